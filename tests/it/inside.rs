//! What steps do to their builder, and what an image may hold: rows of `reliability.md`, section 4.3, with the whole program.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::program::{Ended, Program, busybox};

fn run(program: &Program, layout: &Path, args: &[&str]) -> Ended {
    let base = format!("base=oci-layout://{}", layout.display());
    program.run(&[&["build", "--plain", "--build-context", &base], args].concat())
}

fn said(ended: &Ended) -> String {
    format!("{}{}", ended.stdout, ended.stderr)
}

#[test]
fn s02_steps_side_by_side_have_three_files_open() {
    let Some(layout) = busybox("s02_steps_side_by_side_have_three_files_open") else { return };
    let mut text = String::new();
    for stage in 0..8 {
        let step = "sleep 0.3; ls -l /proc/$$/fd /proc/1/fd; echo listed; echo \"env: $(env | cut -d= -f1 | sort | xargs)\"";
        text.push_str(&format!("FROM base AS s{stage}\nRUN {step}; echo {stage} > /made{stage}\n"));
    }
    text.push_str("FROM scratch\n");
    (0..8).for_each(|stage| text.push_str(&format!("COPY --from=s{stage} /made{stage} /\n")));
    let program = Program::new(&text);
    let ended = run(&program, &layout, &[]);
    let all = said(&ended);
    assert_eq!(ended.code, Some(0), "{all}");
    assert_eq!(all.lines().filter(|line| line.ends_with("| listed")).count(), 8, "{all}");
    let links: Vec<_> = all.lines().filter_map(|line| line.split_once(" -> ")).collect();
    assert!(links.len() >= 48, "{all}");
    for (left, to) in links {
        let number = left.rsplit(' ').next().unwrap();
        let usual = ["pipe:", "/dev/null", "/dev/pts/"].iter().any(|start| to.starts_with(start));
        // The folder that is being listed.
        assert!(to.starts_with("/proc/") || (usual && ["0", "1", "2"].contains(&number)), "{number} -> {to}");
    }
    for line in all.lines().filter_map(|line| line.split_once("| env: ")) {
        assert!(line.1.split(' ').all(|name| ["HOME", "PATH", "PWD", "SHLVL", "HOSTNAME"].contains(&name)), "{}", line.1);
    }
}

#[test]
fn s05_a_path_in_a_cache_does_not_lead_out() {
    let Some(layout) = busybox("s05_a_path_in_a_cache_does_not_lead_out") else { return };
    let program = Program::new(
        "FROM base\nRUN --mount=type=cache,id=c,target=/c ln -s /etc /c/sel; mkdir /c/own; echo mine > /c/own/f\n",
    );
    run(&program, &layout, &[]).says(0, &[]);
    program.write("Dockerfile", "FROM base\nRUN --mount=type=cache,id=c,source=sel,target=/m ls /m; echo ran\n");
    let ended = run(&program, &layout, &[]);
    ended.says(1, &["the source `sel` of a mount does not exist"]);
    assert!(!said(&ended).contains("| ran"), "{}", said(&ended));
    program.write("Dockerfile", "FROM base\nRUN --mount=type=cache,id=c,source=own,target=/m cat /m/f; ls /m\n");
    run(&program, &layout, &[]).says(0, &["| mine"]);
    // A link in a stage ends in the stage.
    let text = "FROM base AS st\nRUN rm -rf /etc/hostname; ln -s /etc /sel; echo staged > /etc/marker\nFROM base\n\
                RUN --mount=type=cache,from=st,source=sel,target=/m cat /m/marker\n";
    program.write("Dockerfile", text);
    run(&program, &layout, &[]).says(0, &["| staged"]);
}

#[test]
fn s05_a_path_that_changes_while_it_is_mounted() {
    let Some(layout) = busybox("s05_a_path_that_changes_while_it_is_mounted") else { return };
    let program = Program::new("");
    let outside = program.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("canary"), "host-canary\n").unwrap();
    let flip = format!(
        "FROM base\nRUN --mount=type=cache,id=c,target=/c n=0; while [ ! -e /c/stop ] && [ $n -lt 200000 ]; do \
         rm -rf /c/sel; mkdir /c/sel; rm -rf /c/sel; ln -s {} /c/sel; n=$((n+1)); done\n",
        outside.display()
    );
    fs::write(program.path("flip"), flip).unwrap();
    let flips = program.path("flip").display().to_string();
    std::thread::scope(|scope| {
        let flipping = scope.spawn(|| run(&program, &layout, &["-f", &flips]));
        let mut codes = Vec::new();
        for round in 0..30 {
            let text = format!("FROM base\nRUN --mount=type=cache,id=c,source=sel,target=/m cat /m/*; echo end {round}\n");
            program.write("Dockerfile", &text);
            let ended = run(&program, &layout, &[]);
            assert!(!said(&ended).contains("host-canary"), "round {round}: {}", said(&ended));
            // What is removed before it is mounted is not there.
            assert!(ended.code != Some(3) || said(&ended).contains("ENOENT"), "round {round}: {}", said(&ended));
            codes.push(ended.code);
        }
        program.write("Dockerfile", "FROM base\nRUN --mount=type=cache,id=c,target=/c touch /c/stop\n");
        run(&program, &layout, &[]).says(0, &[]);
        assert_eq!(flipping.join().unwrap().code, Some(0));
        assert!(codes.iter().all(|code| matches!(code, Some(0 | 1 | 3))), "{codes:?}");
    });
}

#[test]
fn s14_tables_of_users_that_are_no_small_files() {
    let Some(layout) = busybox("s14_tables_of_users_that_are_no_small_files") else { return };
    let program = Program::new("");
    program.write("f", "1\n");
    let canary = program.path("canary");
    fs::write(&canary, "bob:x:77:77::/:/bin/sh\n").unwrap();
    let link = format!("ln -s {0} /etc/passwd; ln -s {0} /etc/group", canary.display());
    // Links end in the image, where there is nothing: no table, and there a name counts for nothing, as in BuildKit.
    for (make, nothing) in [
        ("mkfifo /etc/passwd /etc/group", false),
        ("ln -s /dev/zero /etc/passwd; ln -s /dev/zero /etc/group", true),
        ("mkdir /etc/passwd /etc/group", false),
        ("truncate -s 2G /etc/passwd; truncate -s 2G /etc/group", false),
        ("yes a:x:1:1::/:/bin/sh | head -n 2000000 > /etc/passwd; cp /etc/passwd /etc/group", false),
        (&link, true),
    ] {
        let base = format!("FROM base AS odd\nRUN rm -rf /etc/passwd /etc/group; {make}\n");
        program.write("Dockerfile", &base);
        run(&program, &layout, &[]).says(0, &[]);
        for use_it in ["USER bob\nRUN echo was-run", "COPY --chown=bob f /f", "COPY --chown=0:bob f /f"] {
            program.write("Dockerfile", &format!("{base}{use_it}\nRUN stat -c owner=%u:%g /f\n"));
            let started = Instant::now();
            let ended = run(&program, &layout, &[]);
            assert!(started.elapsed() < Duration::from_secs(5), "{make}: {use_it}: {:?}", started.elapsed());
            let all = said(&ended);
            if nothing && use_it.starts_with("COPY") {
                ended.says(0, &["| owner=0:0"]);
                continue;
            }
            assert_eq!(ended.code, Some(1), "{make}: {use_it}: {all}");
            assert!(all.contains("Dockerfile:3") || all.contains("Dockerfile:4"), "{make}: {use_it}: {all}");
            assert!(all.contains("bob") || all.contains("/etc/"), "{make}: {use_it}: {all}");
            assert!(!all.contains("| was-run") && !all.contains("panicked"), "{make}: {use_it}: {all}");
        }
    }
}

#[test]
fn s26_a_fork_bomb_ends_with_its_step() {
    let Some(layout) = busybox("s26_a_fork_bomb_ends_with_its_step") else { return };
    let text = "FROM base\nUSER 47111:47111\nRUN b() { b | b & }; b; sleep 2; echo after-the-bomb\n";
    let program = Program::new(text);
    let started = Instant::now();
    let ended = run(&program, &layout, &["--ulimit", "nproc=64"]);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    let all = said(&ended);
    assert!(matches!(ended.code, Some(0 | 1)), "{all}");
    assert!(all.contains("can't fork"), "{all}");
    std::thread::sleep(Duration::from_millis(200));
    let left = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| fs::metadata(entry.path()).is_ok_and(|meta| meta.uid() == 47111));
    assert_eq!(left.count(), 0, "processes of the step are left");
}

#[test]
fn s34_the_builder_is_no_shell_and_stays_the_same() {
    let Some(layout) = busybox("s34_the_builder_is_no_shell_and_stays_the_same") else { return };
    let own = || fs::read(env!("CARGO_BIN_EXE_rbuild-tui")).unwrap();
    let before = own();
    let program = Program::new("");
    for step in [
        "SHELL [\"/proc/self/exe\", \"-c\"]\nRUN echo as-shell",
        "RUN [\"/proc/self/exe\", \"--version\"]",
        "RUN [\"/proc/1/exe\", \"--version\"]",
        "ENTRYPOINT [\"/proc/self/exe\"]\nRUN for p in /proc/[0-9]*; do echo x >> $p/exe && echo written; done; exit 9",
    ] {
        program.write("Dockerfile", &format!("FROM base\n{step}\n"));
        let ended = run(&program, &layout, &[]);
        let all = said(&ended);
        assert!(matches!(ended.code, Some(0 | 1)), "{step}: {all}");
        let version = format!("| rbuild-tui {}", env!("CARGO_PKG_VERSION"));
        assert!(!all.contains("| written") && !all.contains(&version), "{step}: {all}");
    }
    assert!(before == own(), "the builder's program changed");
}

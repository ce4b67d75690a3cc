//! What steps do to their builder, and what an image may hold: rows of `reliability.md`, section 4.3, with the whole program.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    let step = "sleep 0.3; ls -l /proc/$$/fd /proc/1/fd; echo listed; echo \"env: $(env | cut -d= -f1 | sort | xargs)\"";
    for stage in 0..8 {
        text.push_str(&format!("FROM base AS s{stage}\nRUN {step}; echo {stage} > /made{stage}\n"));
    }
    text.push_str("FROM scratch\n");
    (0..8).for_each(|stage| text.push_str(&format!("COPY --from=s{stage} /made{stage} /\n")));
    let program = Program::new(&text);
    let ended = run(&program, &layout, &[]);
    assert_eq!(ended.code, Some(0), "{}", said(&ended));
    has_three_files_open(&said(&ended), 8);
    // And eight builders beside each other on one store.
    std::thread::scope(|scope| {
        let build = |number: usize| {
            let file = program.path(&format!("Dockerfile.{number}"));
            fs::write(&file, format!("FROM base\nRUN {step}; echo {number}\n")).unwrap();
            run(&program, &layout, &["--no-cache", "-f", file.to_str().unwrap()])
        };
        let builders: Vec<_> = (0..8).map(|number| scope.spawn(move || build(number))).collect();
        for builder in builders {
            let ended = builder.join().unwrap();
            assert_eq!(ended.code, Some(0), "{}", said(&ended));
            has_three_files_open(&said(&ended), 1);
        }
    });
}

/// Of so many steps that listed their files and those of their process 1, and the names of their variables.
fn has_three_files_open(all: &str, steps: usize) {
    assert_eq!(all.lines().filter(|line| line.ends_with("| listed")).count(), steps, "{all}");
    let links: Vec<_> = all.lines().filter_map(|line| line.split_once(" -> ")).collect();
    assert!(links.len() >= 6 * steps, "{all}");
    for (left, to) in links {
        let number = left.rsplit(' ').next().unwrap();
        let usual = ["pipe:", "/dev/null", "/dev/pts/"].iter().any(|start| to.starts_with(start));
        // The folder that is being listed.
        assert!(to.starts_with("/proc/") || (usual && ["0", "1", "2"].contains(&number)), "{number} -> {to}");
    }
    let variables: Vec<_> = all.lines().filter_map(|line| line.split_once("| env: ")).collect();
    assert_eq!(variables.len(), steps, "{all}");
    for (_, names) in variables {
        assert!(names.split(' ').all(|name| ["HOME", "PATH", "PWD", "SHLVL", "HOSTNAME"].contains(&name)), "{names}");
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

/// Lets the flipping thread end, whatever happens to the test.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The one folder of a cache mount of this store.
fn cache_folder(program: &Program) -> PathBuf {
    let mut folders = fs::read_dir(program.store.join("caches")).unwrap().flatten().map(|entry| entry.path());
    folders.find(|path| path.is_dir()).unwrap()
}

#[test]
fn s05_a_path_that_is_swapped_while_it_is_mounted_two_hundred_times() {
    let Some(layout) = busybox("s05_a_path_that_is_swapped_while_it_is_mounted_two_hundred_times") else { return };
    let program = Program::new("FROM base\nRUN --mount=type=cache,id=c,target=/c mkdir /c/sel; echo folder > /c/sel/f\n");
    let outside = program.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f"), "host-canary\n").unwrap();
    run(&program, &layout, &[]).says(0, &[]);
    // A link to a folder of the machine, whose path leads somewhere inside of the cache, too: both are there at any time.
    let cache = cache_folder(&program);
    let within = cache.join(outside.strip_prefix("/").unwrap());
    fs::create_dir_all(&within).unwrap();
    fs::write(within.join("f"), "behind-the-link\n").unwrap();
    std::os::unix::fs::symlink(&outside, cache.join("other")).unwrap();
    let mut text = String::from("FROM base\n");
    for round in 0..200 {
        text.push_str(&format!("RUN --mount=type=cache,id=c,source=sel,target=/m cat /m/f; echo end {round}\n"));
    }
    program.write("Dockerfile", &text);
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    let ended = std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            let folder = fs::File::open(&cache).unwrap();
            while !stop.load(Ordering::SeqCst) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&folder, "sel", &folder, "other", flags).unwrap();
                swaps.fetch_add(1, Ordering::SeqCst);
            }
        });
        run(&program, &layout, &[])
    });
    let all = said(&ended);
    assert_eq!(ended.code, Some(0), "{all}");
    assert!(!all.contains("host-canary"), "{all}");
    let count = |word: &str| all.lines().filter(|line| line.ends_with(word)).count();
    let (folder, link) = (count("| folder"), count("| behind-the-link"));
    assert_eq!(folder + link, 200, "{all}");
    assert!(folder >= 20 && link >= 20, "{folder} times the folder, {link} times the link");
    let swaps = swaps.load(Ordering::SeqCst);
    assert!(swaps > 2000, "{swaps} swaps are no race");
}

#[test]
fn s05_a_path_that_comes_and_goes_while_it_is_mounted() {
    let Some(layout) = busybox("s05_a_path_that_comes_and_goes_while_it_is_mounted") else { return };
    let program = Program::new("FROM base\nRUN --mount=type=cache,id=c,target=/c true\n");
    run(&program, &layout, &[]).says(0, &[]);
    let (cache, outside) = (cache_folder(&program), program.path("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("canary"), "host-canary\n").unwrap();
    let stop = AtomicBool::new(false);
    let mut codes = Vec::new();
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            let sel = cache.join("sel");
            for round in (0..4).cycle().take_while(|_| !stop.load(Ordering::SeqCst)) {
                fs::create_dir(&sel).unwrap();
                std::thread::sleep(Duration::from_millis(round * 30));
                fs::remove_dir(&sel).unwrap();
                std::os::unix::fs::symlink(&outside, &sel).unwrap();
                fs::remove_file(&sel).unwrap();
            }
        });
        for round in 0..40 {
            let text = format!("FROM base\nRUN --mount=type=cache,id=c,source=sel,target=/m cat /m/*; echo end {round}\n");
            program.write("Dockerfile", &text);
            let ended = run(&program, &layout, &[]);
            let all = said(&ended);
            assert!(!all.contains("host-canary"), "round {round}: {all}");
            match ended.code {
                Some(0) => assert!(all.contains(&format!("| end {round}")), "{all}"),
                Some(1) => {
                    let known = ["of a mount does not exist", "removed while it was being mounted"];
                    assert!(known.iter().any(|words| all.contains(words)), "round {round}: {all}");
                }
                other => panic!("round {round}: {other:?}: {all}"),
            }
            codes.push(ended.code);
        }
    });
    let good = codes.iter().filter(|code| **code == Some(0)).count();
    assert!(good > 0 && good < codes.len(), "{good} of {} steps got the folder: that is no race", codes.len());
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

/// The folder of the group of a step that runs under a store's worker, in the hierarchy that counts processes.
fn processes_group(builder: u32) -> Option<PathBuf> {
    let children = fs::read_to_string(format!("/proc/{builder}/task/{builder}/children")).ok()?;
    let worker: u32 = children.split_whitespace().next()?.parse().ok()?;
    let mut todo = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = todo.pop() {
        for path in fs::read_dir(folder).ok().into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(&format!("rbuild-tui-{worker}-")) && path.join("pids.max").exists() {
                return Some(path);
            }
            if path.is_dir() && !path.is_symlink() {
                todo.push(path);
            }
        }
    }
    None
}

#[test]
fn s26_a_fork_bomb_meets_the_limit_of_its_group_and_ends_with_an_interrupt() {
    let test = "s26_a_fork_bomb_meets_the_limit_of_its_group_and_ends_with_an_interrupt";
    let Some(layout) = busybox(test) else { return };
    let text = "FROM base\nUSER 47112:47112\nRUN echo ready; sleep 2; b() { b | b & }; b; exec sleep 60\n";
    let program = Program::new(text);
    let base = format!("base=oci-layout://{}", layout.display());
    let mut command = program.command(&["build", "--plain", "--build-context", &base]);
    let builder = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut group = None;
    while group.is_none() && Instant::now() < deadline {
        group = processes_group(builder.id());
        std::thread::sleep(Duration::from_millis(20));
    }
    let Some(group) = group else {
        let mut builder = builder;
        builder.kill().unwrap();
        builder.wait().unwrap();
        return println!("skipped: {test}: no control group that counts processes");
    };
    let read = |name: &str| fs::read_to_string(group.join(name)).unwrap_or_default();
    let limit: u64 = read("pids.max").trim().parse().expect("there is a limit");
    assert!(limit <= 16384, "{limit}");
    // The same limit, only lower: a bomb of sixteen thousand would be in the way of everything else here.
    fs::write(group.join("pids.max"), "300").unwrap();
    std::thread::sleep(Duration::from_secs(8));
    let current: u64 = read("pids.current").trim().parse().unwrap();
    let hits = read("pids.events").lines().find_map(|line| line.strip_prefix("max ")?.parse::<u64>().ok());
    assert!(current <= 300 && hits.is_none_or(|hits| hits > 0), "{current} processes, {hits:?} refused");
    let start = Instant::now();
    let pid = rustix::process::Pid::from_raw(i32::try_from(builder.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = Ended::of(builder.wait_with_output().unwrap());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(ended.code, Some(130), "{}", said(&ended));
    assert!(ended.stdout.contains("| ready"), "{}", ended.stdout);
    std::thread::sleep(Duration::from_millis(200));
    let left = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| fs::metadata(entry.path()).is_ok_and(|meta| meta.uid() == 47112));
    assert_eq!(left.count(), 0, "processes of the step are left");
    assert!(hits.is_some_and(|hits| hits > 0) || current > 250, "the limit was not reached: {current}, {hits:?}");
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

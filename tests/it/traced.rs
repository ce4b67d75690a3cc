//! What RUNs read, as the whole program shows it; and `--cache=traced`.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::program::{Program, busybox, codes, line};

/// A badly ordered project: the install stands below a copy of everything. It reads `deps.lock`, and `extra` if it is there.
const BAD: &str = "\
FROM base AS build
WORKDIR /app
COPY . .
RUN test -e extra && cat extra > got; cat deps.lock > installed; mkdir -p modules/a; ln -s ../installed modules/link; \
    chown -R 5:6 modules; chmod 4750 modules/a; echo run >> /log
RUN cat installed > second
FROM base
COPY --from=build /app/second /second
RUN cat /second > /third
CMD [\"third\"]
";

struct Bench {
    program: Program,
    base: String,
}

impl Bench {
    fn new(test: &str, dockerfile: &str) -> Option<Self> {
        let layout = busybox(test)?;
        let program = Program::new(dockerfile);
        program.write(".dockerignore", "Dockerfile\n.dockerignore\n");
        program.write("deps.lock", "one 1\n");
        program.write("src/main.c", "int main;\n");
        Some(Self { program, base: format!("--build-context=base=oci-layout://{}", layout.display()) })
    }

    fn build(&self, args: &[&str]) -> Value {
        self.program.build(&[&[self.base.as_str()], args].concat())
    }

    fn traced(&self) -> Value {
        self.build(&["--cache=traced"])
    }

    fn touch(&self) {
        let old = fs::read_to_string(self.program.context.join("src/main.c")).unwrap();
        self.program.write("src/main.c", &format!("{old}// edited\n"));
    }
}

fn how(document: &Value, at: u64) -> (&str, &str) {
    let step = line(document, at);
    (step["result"].as_str().unwrap(), step["how"].as_str().unwrap_or(""))
}

fn refusal(document: &Value, at: u64) -> String {
    let step = line(document, at);
    assert_eq!(step["result"], "ran", "{step}");
    let reasons = step["reasons"].as_array().unwrap();
    let found = reasons.iter().find(|reason| reason["code"] == "T1").unwrap_or_else(|| panic!("no refusal in {step}"));
    found["text"].as_str().unwrap().to_owned()
}

#[test]
fn runs_below_a_copy_of_the_context_are_watched() {
    let dockerfile = "FROM base\nRUN echo above > /above\nCOPY deps.lock /in/\nRUN cat /in/deps.lock /above; ls /in; test -e /in/none || :\n";
    let Some(bench) = Bench::new("runs_below_a_copy_of_the_context_are_watched", dockerfile) else { return };
    let first = bench.build(&[]);
    assert!(line(&first, 2).get("reads").is_none(), "{first}");
    let reads = &line(&first, 4)["reads"];
    assert!(reads["complete"] == true && reads["calls"].as_u64() > Some(5) && reads["files"].as_u64() > Some(2), "{reads}");
    let told: Value = serde_json::from_str(&bench.program.run(&["why", "--json", "--reads", "4"]).stdout).unwrap();
    let step = &told["steps"][0];
    assert_eq!(step["from_line"]["in/deps.lock"], 3, "{step}");
    assert_eq!(step["from_line"]["above"], 2);
    assert_eq!(
        (&step["listed"], &step["missing"][0]),
        (&serde_json::json!(["in"]), &serde_json::json!("in/none")),
        "{step}"
    );
    let text = bench.program.run(&["why", "--reads", "4"]).stdout;
    for part in
        ["complete\n", "files from line 3 (COPY deps.lock /in/) (1):\n    in/deps.lock\n", "not there (1):\n    in/none\n"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    // A later hit has the same set.
    let second = bench.build(&[]);
    assert_eq!((line(&second, 4)["result"].as_str(), &line(&second, 4)["reads"]), (Some("hit"), reads));
    assert!(bench.program.run(&["why", "4"]).stdout.contains("it read "));
    bench.program.run(&["why", "--reads", "2"]).says(1, &["line 2 was not watched", "--trace=always"]);
    bench.program.run(&["why", "--reads", "99"]).says(1, &["no step stands on line 99"]);
    let always = bench.build(&["--trace=always", "--no-cache"]);
    assert!(line(&always, 2)["reads"]["complete"] == true, "{always}");
    let never = bench.build(&["--trace=never", "--no-cache"]);
    assert!(line(&never, 4).get("reads").is_none());
}

#[test]
fn what_is_reached_by_unusual_ways_is_known() {
    let dockerfile = "FROM base\nCOPY . /in\nRUN cd /in/a; cat /proc/self/cwd/f; cd /in/b; cat /proc/self/cwd/f; \\\n    \
        cd /dev; cat ../in/c/f; cat /in/lib/../d/f; mkdir /in/jail/bin; cp /bin/busybox /in/jail/bin; \\\n    \
        chroot /in/jail /bin/busybox cat /settings/f\n\
        RUN ln -s /in/a /dev/shm/a; cat /dev/shm/a/f\n";
    let Some(bench) = Bench::new("what_is_reached_by_unusual_ways_is_known", dockerfile) else { return };
    for path in ["a/f", "b/f", "c/f", "d/f", "lib/other", "jail/etc/f"] {
        bench.program.write(path, path);
    }
    std::os::unix::fs::symlink("/etc", bench.program.context.join("jail/settings")).unwrap();
    bench.build(&[]);
    let told: Value = serde_json::from_str(&bench.program.run(&["why", "--json", "--reads", "3"]).stdout).unwrap();
    let step = &told["steps"][0];
    for path in ["in/a/f", "in/b/f", "in/c/f", "in/d/f", "in/lib", "in/jail/etc/f"] {
        assert_eq!(step["from_line"][path], 2, "{path}: {step}");
    }
    assert_eq!(step["links"]["in/jail/settings"], "/etc", "{step}");
    assert_eq!(step["summary"]["complete"], true, "{step}");
    // What a link in `/dev` leads to is not seen, and that is said.
    let told: Value = serde_json::from_str(&bench.program.run(&["why", "--json", "--reads", "6"]).stdout).unwrap();
    assert_eq!(told["steps"][0]["summary"]["complete"], false, "{told}");
}

/// Where somebody watches this program already, no call can be made to wait; what is opened is still told, and no more is
/// claimed.
#[test]
fn beside_another_watcher_only_what_is_opened_is_known() {
    let dockerfile = "FROM base\nCOPY . /in\nRUN cat /in/deps.lock; test -e /in/none; echo 1 > /out\n";
    let Some(bench) = Bench::new("beside_another_watcher_only_what_is_opened_is_known", dockerfile) else { return };
    let source = r#"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int n, char **args) {
    struct sock_filter all[] = {{6, 0, 0, 0x7fff0000}};
    struct sock_fprog program = {1, all};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, 1, 8, &program) < 0) return 99;
    int status = 0;
    if (fork()) return wait(&status) < 0 || status;                 /* the listener lives in here */
    execv(args[1], args + 1);
    return 98;
}"#;
    let dir = tempfile::tempdir().unwrap();
    let (from, watcher) = (dir.path().join("watcher.c"), dir.path().join("watcher"));
    fs::write(&from, source).unwrap();
    let built = Command::new("gcc").arg("-o").arg(&watcher).arg(&from).output();
    if !built.as_ref().is_ok_and(|output| output.status.success()) {
        return println!("skipped beside_another_watcher: gcc cannot build it: {built:?}");
    }
    let build = bench.program.command(&["build", "--json", &bench.base, "."]);
    let output = Command::new(&watcher)
        .arg(build.get_program())
        .args(build.get_args())
        .envs(build.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir(build.get_current_dir().unwrap_or(&bench.program.context))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_str(&bench.program.run(&["why", "--json", "--reads", "3"]).stdout).unwrap();
    let step = &told["steps"][0];
    let codes: Vec<&str> =
        step["summary"]["incomplete"].as_array().unwrap().iter().filter_map(|c| c["code"].as_str()).collect();
    if rustix::process::geteuid().is_root() {
        assert_eq!(codes, ["watched", "opens-only"], "{step}");
        assert_eq!(step["from_line"]["in/deps.lock"], 2, "{step}");
        assert_eq!(step["missing"].as_array().map(Vec::len), Some(0), "{step}");
    } else {
        assert_eq!(codes, ["watched"], "{step}");
    }
    // It is not enough for a recorded run to stand in for another one.
    bench.touch();
    assert!(refusal(&bench.traced(), 3).contains("another watcher"), "{told}");
}

#[test]
fn a_source_edit_does_not_run_the_install_again() {
    let Some(bench) = Bench::new("a_source_edit_does_not_run_the_install_again", BAD) else { return };
    bench.build(&[]);
    bench.touch();
    let traced = bench.traced();
    assert_eq!(how(&traced, 3).0, "ran");
    assert_eq!([4, 5].map(|at| how(&traced, at)), [("hit", "traced"), ("hit", "traced")], "{traced}");
    assert!(line(&traced, 4)["seconds"].as_f64() > Some(0.0));
    let text = bench.program.run(&["why", "4"]).stdout;
    assert!(text.contains("BuildKit would have run this: "), "{text}");
    // What is copied from a traced stage has the content of an exact record.
    assert_eq!([7, 8].map(|at| how(&traced, at)), [("hit", "content"), ("hit", "definition")], "{traced}");
    // Once more: known by its own keys, without a comparison.
    assert_eq!(how(&bench.traced(), 4), ("hit", "traced"));
    // Edit after edit.
    for _ in 0..3 {
        bench.touch();
        assert_eq!(how(&bench.traced(), 4), ("hit", "traced"));
    }
}

#[test]
fn an_exact_build_knows_nothing_of_traced_hits() {
    let dockerfile = BAD.replace("RUN cat installed > second\n", "RUN cat installed src/main.c > second\n");
    let Some(bench) = Bench::new("an_exact_build_knows_nothing_of_traced_hits", &dockerfile) else { return };
    bench.build(&[]);
    bench.touch();
    let traced = bench.traced();
    // The second step read the source: it runs, on a traced parent; and so does all that stands on it.
    assert_eq!(how(&traced, 4), ("hit", "traced"));
    assert!(refusal(&traced, 5).contains("`/app/src/main.c`, which it read then, is another one now"));
    assert_eq!([7, 8].map(|at| how(&traced, at).0), ["ran", "ran"], "{traced}");
    let again = bench.traced();
    assert_eq!([4, 5, 7, 8].map(|at| how(&again, at).0), ["hit"; 4], "{again}");
    // None of it serves an exact build.
    let exact = bench.build(&[]);
    assert_eq!([4, 5, 7, 8].map(|at| how(&exact, at).0), ["ran"; 4], "{exact}");
    assert_eq!(codes(line(&exact, 4)), ["T2"], "{exact}");
    // The other direction: what an exact build made, a traced one takes as it is.
    let other = bench.traced();
    assert_eq!([4, 5, 7, 8].map(|at| how(&other, at)), [("hit", "definition"); 4], "{other}");
}

#[test]
fn what_was_not_found_and_appears_has_the_step_run() {
    let Some(bench) = Bench::new("what_was_not_found_and_appears_has_the_step_run", BAD) else { return };
    bench.build(&[]);
    bench.program.write("extra", "now\n");
    let traced = bench.traced();
    assert!(
        refusal(&traced, 4).contains("`/app/extra`, which it looked for and did not find then, is there now"),
        "{traced}"
    );
    let out = bench.program.path("out");
    bench.build(&["--cache=traced", "--target=build", &format!("-o={}", out.display())]);
    assert_eq!(fs::read_to_string(out.join("app/got")).unwrap(), "now\n");
}

#[test]
fn every_kind_of_difference_is_refused_in_words() {
    let command = "cat deps.lock; ls list; test -x mode; readlink link; stat -c %s sized; echo > written; rm -f removed; mkdir -p made";
    let dockerfile = format!("FROM base\nWORKDIR /app\nCOPY . .\nRUN {command}\n");
    let Some(bench) = Bench::new("every_kind_of_difference_is_refused_in_words", &dockerfile) else { return };
    for file in ["list/a", "mode", "sized", "written", "removed", "unread"] {
        bench.program.write(file, "x\n");
    }
    let at = |path: &str| bench.program.context.join(path);
    std::os::unix::fs::symlink("mode", at("link")).unwrap();
    bench.build(&[]);
    bench.program.write("unread", "changed\n");
    bench.touch();
    assert_eq!(how(&bench.traced(), 4), ("hit", "traced"));
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(at(path), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    type Change<'a> = (&'a str, &'a dyn Fn(), &'a dyn Fn());
    let changes: [Change<'_>; 9] = [
        ("`/app/deps.lock`, which it read", &|| bench.program.write("deps.lock", "two\n"), &|| {
            bench.program.write("deps.lock", "one 1\n")
        }),
        ("the folder `/app/list`", &|| bench.program.write("list/b", ""), &|| fs::remove_file(at("list/b")).unwrap()),
        ("`/app/mode`, at which it looked", &|| mode("mode", 0o755), &|| mode("mode", 0o644)),
        (
            "the link `/app/link`",
            &|| {
                fs::remove_file(at("link")).unwrap();
                std::os::unix::fs::symlink("sized", at("link")).unwrap();
            },
            &|| {
                fs::remove_file(at("link")).unwrap();
                std::os::unix::fs::symlink("mode", at("link")).unwrap();
            },
        ),
        ("`/app/sized`, at which it looked", &|| bench.program.write("sized", "longer\n"), &|| {
            bench.program.write("sized", "x\n")
        }),
        ("`/app/written`", &|| bench.program.write("written", "other\n"), &|| bench.program.write("written", "x\n")),
        ("`/app/removed`", &|| bench.program.write("removed", "other\n"), &|| bench.program.write("removed", "x\n")),
        ("`/app/made`", &|| bench.program.write("made/x", ""), &|| fs::remove_dir_all(at("made")).unwrap()),
        ("`/app/deps.lock`", &|| fs::rename(at("deps.lock"), at("away")).unwrap(), &|| {
            fs::rename(at("away"), at("deps.lock")).unwrap()
        }),
    ];
    for (words, change, back) in changes {
        change();
        let refused = refusal(&bench.traced(), 4);
        assert!(refused.contains(words), "{words}: {refused}");
        back();
        // The last build is again the one before the change.
        assert_eq!(how(&bench.traced(), 4).0, "hit", "{words}");
    }
    bench.program.write("unread", "again\n");
    assert_eq!(how(&bench.traced(), 4), ("hit", "traced"));
}

#[test]
fn what_no_program_reads_counts_too() {
    let command = "cat open/f || echo denied; mkfifo fifo; rmdir empty; ls 'a (deleted)'; :";
    let dockerfile = format!("FROM base\nWORKDIR /app\nCOPY passwd /etc/passwd\nCOPY . .\nUSER bob\nRUN {command}\n");
    let Some(bench) = Bench::new("what_no_program_reads_counts_too", &dockerfile) else { return };
    let at = |path: &str| bench.program.context.join(path);
    bench.program.write("passwd", "bob:x:1000:1000::/home/bob:\n");
    bench.program.write("open/f", "x\n");
    fs::create_dir(at("empty")).unwrap();
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(at(path), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    bench.build(&[]);
    bench.touch();
    assert_eq!(how(&bench.traced(), 6), ("hit", "traced"));
    type Change<'a> = (&'a str, &'a dyn Fn(), &'a dyn Fn());
    let changes: [Change<'_>; 5] = [
        ("`/etc/passwd`", &|| bench.program.write("passwd", "bob:x:1001:1000::/home/bob:\n"), &|| {
            bench.program.write("passwd", "bob:x:1000:1000::/home/bob:\n")
        }),
        ("`/app/open`", &|| mode("open", 0o700), &|| mode("open", 0o755)),
        ("`/app/fifo`", &|| bench.program.write("fifo", ""), &|| fs::remove_file(at("fifo")).unwrap()),
        ("the folder `/app/empty`", &|| bench.program.write("empty/x", ""), &|| fs::remove_file(at("empty/x")).unwrap()),
        ("`/app/a (deleted)`", &|| bench.program.write("a (deleted)", ""), &|| fs::remove_file(at("a (deleted)")).unwrap()),
    ];
    for (words, change, back) in changes {
        change();
        let refused = refusal(&bench.traced(), 6);
        assert!(refused.contains(words), "{words}: {refused}");
        back();
        assert_eq!(how(&bench.traced(), 6).0, "hit", "{words}");
    }
}

#[test]
fn a_traced_image_is_that_of_a_full_build() {
    let Some(bench) = Bench::new("a_traced_image_is_that_of_a_full_build", BAD) else { return };
    let fresh = |name: &str| {
        let dest = format!("-o=type=oci,dest={},rewrite-timestamp=true", bench.program.path(name).display());
        ["--build-arg=SOURCE_DATE_EPOCH=1700000000".to_owned(), "--target=build".to_owned(), dest]
    };
    let args = fresh("one.tar");
    bench.build(&args.each_ref().map(String::as_str));
    bench.touch();
    bench.program.write("new-file", "also new\n");
    let args = fresh("two.tar");
    let traced = bench.build(&[&["--cache=traced"], &args.each_ref().map(String::as_str)[..]].concat());
    assert_eq!([4, 5].map(|at| how(&traced, at)), [("hit", "traced"), ("hit", "traced")], "{traced}");
    let full = bench.build(&[&["--no-cache"], &args.each_ref().map(String::as_str)[..]].concat());
    assert_eq!(how(&full, 4).0, "ran");
    assert!(full["digest"].is_string());
    assert_eq!(
        (&traced["image"], &traced["digest"]),
        (&full["image"], &full["digest"]),
        "layers and configuration are the same"
    );
}

#[test]
fn the_network_needs_a_lock_file_or_a_word() {
    let command = "nslookup nowhere.invalid 127.0.0.1 >/dev/null 2>&1; cat /etc/resolv.conf > got; cat list.txt >> got";
    let dockerfile = format!("FROM base\nWORKDIR /app\nCOPY . .\nRUN {command}\n");
    let Some(bench) = Bench::new("the_network_needs_a_lock_file_or_a_word", &dockerfile) else { return };
    bench.program.write("list.txt", "x\n");
    assert_eq!(line(&bench.build(&[]), 4)["reads"]["network"], true);
    bench.touch();
    assert!(refusal(&bench.traced(), 4).contains("it used the network, and no lock file"));
    bench.touch();
    assert_eq!(how(&bench.build(&["--cache=traced", "--traced-network"]), 4), ("hit", "traced"));
    bench.program.run(&["build", "--traced-network"]).says(2, &["--traced-network goes with --cache=traced"]);
    bench.program.write("package-lock.json", "{}\n");
    bench.program.write("Dockerfile", &dockerfile.replace("cat list.txt", "cat package-lock.json"));
    bench.build(&[]);
    bench.touch();
    assert_eq!(how(&bench.traced(), 4), ("hit", "traced"), "a lock file of the context was read");
}

#[test]
fn no_cache_and_other_commands_are_not_served() {
    let Some(bench) = Bench::new("no_cache_and_other_commands_are_not_served", BAD) else { return };
    bench.build(&[]);
    bench.touch();
    assert_eq!(how(&bench.build(&["--cache=traced", "--no-cache"]), 4).0, "ran");
    bench.program.write("Dockerfile", &BAD.replace("echo run", "echo ran"));
    bench.touch();
    let other = bench.traced();
    assert_eq!(how(&other, 4).0, "ran");
    assert!(!codes(line(&other, 4)).contains(&"T1"), "no run of this command is on record");
    bench.program.write("Dockerfile", &BAD.replace("WORKDIR /app\n", "WORKDIR /app\nENV A=1\n"));
    bench.touch();
    assert_eq!(how(&bench.traced(), 5).0, "ran", "a variable counts");
}

/// What a plan with `--cache=traced` says before the build does it; both for every line.
fn foretold(bench: &Bench) -> (Value, Value) {
    let ended = bench.program.run(&["plan", "--json", "--cache=traced", &bench.base]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    (serde_json::from_str(&ended.stdout).unwrap(), bench.traced())
}

#[test]
fn a_plan_foresees_traced_hits() {
    let Some(bench) = Bench::new("a_plan_foresees_traced_hits", BAD) else { return };
    bench.build(&[]);
    for _ in 0..3 {
        bench.touch();
        let (plan, built) = foretold(&bench);
        assert_eq!(how(&plan, 3).0, "ran", "{plan}");
        assert_eq!([4, 5].map(|at| how(&plan, at)), [("hit", "traced"); 2], "{plan}");
        assert_eq!([4, 5].map(|at| how(&built, at)), [("hit", "traced"); 2], "{built}");
        // An exact build would run them, and so says the exact plan.
        bench.touch();
        let exact: Value = serde_json::from_str(&bench.program.run(&["plan", "--json", &bench.base]).stdout).unwrap();
        assert_eq!([4, 5].map(|at| how(&exact, at).0), ["ran"; 2], "{exact}");
    }
    bench.touch();
    let text = bench.program.run(&["plan", "--cache=traced", &bench.base]).stdout;
    assert!(text.contains("traced: the steps above it changed, but nothing that it read when it ran"), "{text}");
    // Once more the same: known by its own keys.
    bench.traced();
    let (plan, built) = foretold(&bench);
    assert_eq!([3, 4, 5, 7, 8].map(|at| how(&plan, at)), [3, 4, 5, 7, 8].map(|at| how(&built, at)), "{plan}\n{built}");
    let text = bench.program.run(&["plan", "--cache=traced", &bench.base]).stdout;
    assert!(text.contains("everything comes from the cache"), "{text}");
    bench.program.run(&["plan", "--traced-network"]).says(2, &["--traced-network goes with --cache=traced"]);
}

#[test]
fn a_plan_foresees_why_a_recorded_run_does_not_stand_in() {
    let Some(bench) = Bench::new("a_plan_foresees_why_a_recorded_run_does_not_stand_in", BAD) else { return };
    bench.build(&[]);
    // A file that the step read; edit after edit, so that several recorded runs are at hand.
    for round in 0..3 {
        bench.program.write("deps.lock", &format!("other {round}\n"));
        let (plan, built) = foretold(&bench);
        assert!(refusal(&plan, 4).contains("`/app/deps.lock`, which it read then, is another one now"), "{plan}");
        assert_eq!(refusal(&plan, 4), refusal(&built, 4));
    }
    // Back to what an older run read: it is not on record where that came from, so it is left open.
    bench.program.write("deps.lock", "one 1\n");
    bench.touch();
    let (plan, built) = foretold(&bench);
    assert_eq!(line(&plan, 4)["result"], "unknown", "{plan}");
    assert_eq!(line(&plan, 4)["depends_on"], 3);
    let words = line(&plan, 4)["depends"].as_str().unwrap();
    assert!(words.starts_with("a recorded run may stand in for it"), "{words}");
    assert_eq!(how(&built, 4), ("hit", "traced"));
    // What it looked for and did not find.
    bench.program.write("extra", "now\n");
    let (plan, built) = foretold(&bench);
    assert!(refusal(&plan, 4).contains("`/app/extra`, which it looked for and did not find then, is there now"), "{plan}");
    assert_eq!(refusal(&plan, 4), refusal(&built, 4));
}

#[test]
fn a_plan_leaves_open_what_only_the_mounted_files_tell() {
    let command = "ls list; cat link/f; echo made > /made";
    let dockerfile =
        format!("FROM base\nWORKDIR /app\nRUN ln -s /srv link\nCOPY . /app/\nCOPY data /app/link/\nRUN {command}\n");
    let Some(bench) = Bench::new("a_plan_leaves_open_what_only_the_mounted_files_tell", &dockerfile) else { return };
    bench.program.write("list/a", "x\n");
    bench.program.write("data/f", "x\n");
    bench.build(&[]);
    // Not read: a hit, although another COPY goes through a link.
    bench.touch();
    let (plan, built) = foretold(&bench);
    assert_eq!((how(&plan, 6), how(&built, 6)), (("hit", "traced"), ("hit", "traced")), "{plan}");
    // Listed: open, and the build finds the difference.
    bench.program.write("list/b", "x\n");
    let (plan, built) = foretold(&bench);
    assert_eq!((how(&plan, 6).0, how(&built, 6).0), ("unknown", "ran"), "{plan}");
    // What goes through a link lies elsewhere than its name says: open.
    bench.program.write("data/g", "x\n");
    let (plan, built) = foretold(&bench);
    assert_eq!((how(&plan, 6).0, how(&built, 6).0), ("unknown", "hit"), "{plan}");
}

#[test]
fn the_same_run_may_stand_in_for_two_steps_of_one_chain() {
    let dockerfile = "FROM base AS build\nCOPY deps.lock /in/\nRUN cat /in/deps.lock\nCOPY src /src/\nRUN cat /in/deps.lock\n\
                      RUN ls /src > /names\nFROM base\nCOPY --from=build /names /names\n";
    let Some(bench) = Bench::new("the_same_run_may_stand_in_for_two_steps_of_one_chain", dockerfile) else { return };
    let traced = bench.traced();
    assert_eq!(
        [3, 5, 6, 8].map(|at| how(&traced, at)),
        [("ran", ""), ("hit", "traced"), ("ran", ""), ("ran", "")],
        "{traced}"
    );
}

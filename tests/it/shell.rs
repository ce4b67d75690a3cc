//! `shell`: the file system before and after steps, cached and failed ones; its terminal; what stays behind.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

use super::program::{Program, busybox};
use super::terminal::Terminal;

const DOCKERFILE: &str = "FROM base AS tools\nENV A=1\nWORKDIR /w\nCOPY f ./\n\
    RUN --mount=type=cache,target=/c --mount=type=bind,source=sub,target=/b echo hi >/made; echo x >>/c/n\n\
    USER 1000:1001\nENV A=2\nRUN touch /tmp/half; rm -f /w/gone; exit 3\n";

/// A program whose build has failed at line 8.
fn failed(test: &str) -> Option<(Program, String)> {
    let layout = busybox(test)?;
    let program = Program::new(DOCKERFILE);
    program.write("f", "file\n");
    program.write("sub/f", "file\n");
    let base = format!("--build-context=base=oci-layout://{}", layout.display());
    program.run(&["build", &base]).says(1, &["line 8"]);
    Some((program, base))
}

/// What a command prints at a step.
fn at(program: &Program, base: &str, step: &[&str], command: &str) -> String {
    let ended = program.run(&[&["shell"], step, &[base, "--", "sh", "-c", command]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout
}

#[test]
fn a_shell_stands_before_and_after_any_step_as_the_step_does() {
    let Some((program, base)) = failed("a_shell_stands_before_and_after_any_step_as_the_step_does") else { return };
    let at = |step: &[&str], command: &str| at(&program, &base, step, command);
    // The failed one is the default, and is as it left itself.
    assert_eq!(at(&[], "ls /tmp; id -u; id -g; pwd; echo $A"), "half\n1000\n1001\n/w\n2\n");
    assert_eq!(at(&["--before"], "ls /tmp"), "");
    assert_eq!(at(&["8", "--before"], "cat /made"), "hi\n");
    // A RUN with all its mounts: the cache is the one of the builds, a file of the context is there.
    assert_eq!(at(&["5"], "cat /made /c/n /b/f; id -u; echo $A"), "hi\nx\nfile\n0\n1\n");
    assert_eq!(at(&["5", "--before"], "ls /made 2>&1; cat /w/f"), "ls: /made: No such file or directory\nfile\n");
    at(&["5"], "echo y >>/c/n; echo no >/made");
    assert_eq!(at(&["tools:5"], "cat /made /c/n"), "hi\nx\ny\n", "the cache keeps what is written, the root does not");
    // A line that only configures: the state at that place, and before it.
    assert_eq!(at(&["6"], "id -u; echo $A"), "1000\n1\n");
    assert_eq!(at(&["7"], "id -u; echo $A"), "1000\n2\n");
    assert_eq!(at(&["7", "--before"], "id -u; echo $A"), "1000\n1\n");
    assert_eq!(at(&["3", "--before"], "pwd; test -e /w || echo none"), "/\nnone\n");
    assert_eq!(at(&["1"], "pwd"), "/\n");
    assert_eq!(at(&["tools"], "ls /tmp"), "half\n", "the last step of a stage");
}

#[test]
fn what_a_shell_changed_is_listed_and_thrown_away() {
    let Some((program, base)) = failed("what_a_shell_changed_is_listed_and_thrown_away") else { return };
    let command = "mkdir /d; echo new >/d/'a\u{1b}[2Jb'; echo longer >/w/f; rm /bin/ash; rm -r /tmp; touch /made; \
                   chmod 700 /var; cat /etc/group >/dev/null; exit 7";
    for snapshotter in ["overlay", "copy"] {
        let args = ["shell", "5", &base, "--json", "--", "sh", "-c", command];
        let output = program.command(&args).env("RBUILD_TUI_SNAPSHOTTER", snapshotter).output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let list: Vec<String> = document["changes"].as_array().unwrap().iter().map(shown).collect();
        let expected = [
            "deleted /bin/ash",
            "added /d",
            "added /d/a\u{1b}[2Jb null 4",
            "changed /made 3 3",
            "deleted /tmp 0 null",
            "changed /var",
            "changed /w/f 5 7",
        ];
        assert!(
            list.len() == expected.len() && list.iter().zip(expected).all(|(a, b)| a.starts_with(b)),
            "{snapshotter}: {list:?}"
        );
        // A directory that took the place of another one.
        let command = "cd /; rm -r /w; mkdir /w; echo z >/w/new";
        let args = ["shell", "5", &base, "--json", "--", "sh", "-c", command];
        let output = program.command(&args).env("RBUILD_TUI_SNAPSHOTTER", snapshotter).output().unwrap();
        let replaced: Value = serde_json::from_slice(&output.stdout).unwrap();
        let list: Vec<String> = replaced["changes"].as_array().unwrap().iter().map(shown).collect();
        assert_eq!(list, ["deleted /w/f 5 null", "added /w/new null 2"], "{snapshotter}");
        assert_eq!((&document["code"], &document["failed"]), (&Value::from(7), &Value::from(false)));
    }
    let ended = program.run(&["shell", "5", &base, "--", "sh", "-c", command]);
    ended.says(
        7,
        &["- /bin/ash", "+ /d/\n", "+ /d/a\\x1b[2Jb  4 B", "~ /w/f  5 B to 7 B", "code 7; 2 added, 3 changed, 2 deleted"],
    );
    assert_eq!(ended.stdout, "", "the list is not the command's output");
    let many = "i=0; while [ $i -lt 300 ]; do echo >/w/n$i; i=$((i+1)); done";
    let ended = program.run(&["shell", "5", &base, "--", "sh", "-c", many]);
    ended.says(0, &["and 100 more paths", "300 added"]);
    assert_eq!(ended.stderr.lines().count(), 202);
}

fn shown(change: &Value) -> String {
    let text = |name: &str| change[name].as_str().unwrap().to_owned();
    format!("{} {} {} {}", text("kind"), text("path"), change["before"], change["after"])
}

#[test]
fn what_is_not_in_the_cache_is_said_and_never_made_up() {
    let test = "what_is_not_in_the_cache_is_said_and_never_made_up";
    let Some(layout) = busybox(test) else { return };
    let program = Program::new("FROM base\nRUN echo 1 >/one\nRUN echo 2 >/two\nFROM scratch AS empty\nCOPY f /\n");
    program.write("f", "file\n");
    let base = format!("--build-context=base=oci-layout://{}", layout.display());
    let all = ["shell", &base, "--target=0"];
    program.run(&[&all[..], &["3", "--", "true"]].concat()).says(1, &["Dockerfile:2", "not in the cache", "build"]);
    assert!(!program.store.join("builds").read_dir().unwrap().any(|_| true), "nothing ran");
    let ended = program.run(&[&all[..], &["3", "--build", "--", "cat", "/one", "/two"]].concat());
    ended.says(0, &["1\n2\n"]);
    // One line changed: what stands above it is there, it itself is not.
    program.write("Dockerfile", "FROM base\nRUN echo 1 >/one\nRUN echo 3 >/two\nFROM scratch AS empty\nCOPY f /\n");
    program.run(&[&all[..], &["2", "--", "cat", "/one"]].concat()).says(0, &["1\n"]);
    program.run(&[&all[..], &["3", "--", "true"]].concat()).says(1, &["Dockerfile:3", "not in the cache"]);
    program.run(&[&all[..], &["9", "--", "true"]].concat()).says(2, &["line 9", "there is line 1, 2, 3", "--target"]);
    let named = ["shell", &base, "nowhere", "--", "true"];
    program.run(&named).says(2, &["a stage `nowhere`", "there is stage `empty`, and line 4, 5", "--target"]);
    // A file system without a shell.
    program.run(&["build", &base]).says(0, &[]);
    let ended = program.run(&["shell", &base]);
    ended.says(1, &["there is no `/bin/sh`", "in `/` there is `f`", "help:", "-- /path/of/program"]);
    program.run(&["shell", &base, "--before"]).says(1, &["it is empty"]);
}

#[test]
fn what_a_failed_step_left_lasts_until_it_is_tried_again() {
    let Some((program, base)) = failed("what_a_failed_step_left_lasts_until_it_is_tried_again") else { return };
    let layers = || {
        let names = program.store.join("layers").read_dir().unwrap().flatten();
        names.filter(|e| e.file_name().to_str().unwrap().starts_with("failed-") && e.path().is_dir()).count()
    };
    assert_eq!(layers(), 1);
    program.run(&["du"]).says(0, &["failed-", "failed", "1"]);
    program.run(&["build", &base]).says(1, &[]);
    assert_eq!(layers(), 1, "the earlier one is gone");
    // Another text: what the old one left is not what this one would have left.
    program.write("Dockerfile", &DOCKERFILE.replace("exit 3", "exit 4"));
    program.run(&["shell", &base, "--", "true"]).says(1, &["Dockerfile:8", "another version", "--before"]);
    program.run(&["build", &base]).says(1, &[]);
    // A build that fails earlier does not reach it, so it stays.
    program.write("Dockerfile", &DOCKERFILE.replace("exit 3", "exit 4").replace("echo x", "exit 9; echo x"));
    program.run(&["build", &base]).says(1, &["line 5"]);
    assert_eq!(layers(), 2);
    assert_eq!(at(&program, &base, &["5"], "cat /made"), "hi\n");
    program.write("Dockerfile", &DOCKERFILE.replace("exit 3", "exit 4"));
    program.run(&["shell", "8", &base, "--", "ls", "/tmp/half"]).says(0, &["/tmp/half"]);
    program.run(&["prune", "--force"]).says(0, &["failed-"]);
    assert_eq!(layers(), 0);
    program.run(&["shell", "8", &base, "--", "true"]).says(1, &["is gone"]);
    program.run(&["build", &base]).says(1, &[]);
    assert_eq!(layers(), 1);
    program.write("Dockerfile", &DOCKERFILE.replace("; exit 3", ""));
    program.build(&[&base]);
    assert_eq!(layers(), 0, "it works now");
    program.run(&["check"]).says(0, &["all is well"]);
}

#[test]
fn secrets_network_and_shell_are_the_steps() {
    let test = "secrets_network_and_shell_are_the_steps";
    let Some(layout) = busybox(test) else { return };
    let program = Program::new(
        "FROM base\nSHELL [\"/bin/ash\", \"-ec\"]\n\
         RUN --mount=type=secret,id=s,required=true --network=none cat /run/secrets/s\nCOPY --link f /linked/f\nRUN true \\\n  && true\n",
    );
    program.write("f", "file\n");
    program.write("secret", "hush\n");
    let base = format!("--build-context=base=oci-layout://{}", layout.display());
    let secret = "--secret=id=s,src=secret";
    program.build(&[&base, secret]);
    let command = "cat /run/secrets/s; ls /sys/class/net";
    let with = program.run(&["shell", "3", &base, secret, "--", "sh", "-c", command]);
    assert_eq!((with.code, with.stdout.as_str()), (Some(0), "hush\nlo\n"), "{}", with.stderr);
    let ended = program.run(&["shell", "3", &base, "--json", "--", "sh", "-c", "cat /run/secrets/s"]);
    ended.says(1, &["\"missing_secrets\":[\"s\"]", "/run/secrets/s"]);
    // The shell of the stage, its script from standard input; a line in the middle of an instruction.
    program.write("script", "echo $0; exit 9\n");
    let script = File::open(program.context.join("script")).unwrap();
    let output = program.command(&["shell", "6", &base]).stdin(Stdio::from(script)).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(9), b"/bin/ash\n".as_slice()));
    assert_eq!(at(&program, &base, &["4"], "cat /linked/f"), "file\n");
    assert_eq!(at(&program, &base, &["4", "--before"], "test -e /linked || echo none"), "none\n");
}

/// What the program itself has to take back.
const RESET: [&str; 6] = ["\x1b[?1047l", "\x1b[?1000l", "\x1b[?2004l", "\x1b[0m", "\x1b[?25h", "\x1b[23;0t"];

#[test]
fn a_shell_has_a_terminal_with_jobs_and_sizes_and_the_users_is_restored() {
    let test = "a_shell_has_a_terminal_with_jobs_and_sizes_and_the_users_is_restored";
    let Some((program, base)) = failed(test) else { return };
    let mut terminal = Terminal::new(&program, &["shell", "5", &base]);
    terminal.wait_for("after Dockerfile:5");
    terminal.wait_for("keep what is written: /c");
    terminal.wait_for("# ");
    assert!(!terminal.is_restored(), "raw while the shell has it");
    terminal.write("stty size; tty; echo $TERM\r");
    terminal.wait_for("\n30 100\r\n");
    terminal.wait_for("/dev/pts/0\r\nxterm-256color");
    tcsetwinsize(&terminal.outer, Winsize { ws_row: 40, ws_col: 132, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    terminal.write("stty size\r");
    terminal.wait_for("\n40 132\r\n");
    // ctrl-c and ctrl-z are keys of the inside.
    terminal.write("sleep 1000\r");
    std::thread::sleep(Duration::from_millis(300));
    terminal.write("\u{3}");
    terminal.wait_for("^C");
    terminal.write("echo left with $?\r");
    terminal.wait_for("\nleft with 130");
    terminal.write("sleep 1000\r");
    std::thread::sleep(Duration::from_millis(300));
    terminal.write("\u{1a}");
    terminal.wait_for("Stopped");
    terminal.write("jobs | grep -c sleep; kill -9 %1; wait\r");
    terminal.wait_for("\n1\r\n");
    terminal.write("echo here >/w/new; exit 5\r");
    terminal.wait_for("+ /w/new  5 B");
    terminal.wait_for("code 5; 1 added, 0 changed, 0 deleted");
    assert_eq!(terminal.ended(), Some(5));
    assert!(terminal.is_restored());
}

#[test]
fn what_a_hostile_program_leaves_on_the_terminal_is_reset() {
    let test = "what_a_hostile_program_leaves_on_the_terminal_is_reset";
    let Some((program, base)) = failed(test) else { return };
    let evil = r"printf '\033[?1049h\033[?1000h\033[?2004h\033[31m\033[?25l\033]0;evil\007\033[5;10r\033]52;c;'; echo end";
    let mut terminal = Terminal::new(&program, &["shell", "5", &base, "--", "sh", "-c", evil]);
    terminal.wait_for("\x1b[22;0t");
    terminal.wait_for("\x1b]52;c;end");
    // The end of the open string comes first, else all of this would be its text.
    terminal.wait_for("\x18\x1b\\");
    for part in RESET {
        terminal.wait_for(part);
    }
    terminal.wait_for("the shell was left");
    assert_eq!(terminal.ended(), Some(0));
    assert!(terminal.is_restored());
}

#[test]
fn signals_and_a_hangup_end_a_shell_and_restore_the_terminal() {
    let test = "signals_and_a_hangup_end_a_shell_and_restore_the_terminal";
    let Some((program, base)) = failed(test) else { return };
    for signal in [Signal::TERM, Signal::HUP] {
        let mut terminal = Terminal::new(&program, &["shell", "5", &base]);
        terminal.wait_for("# ");
        terminal.write("sleep 98765\r");
        std::thread::sleep(Duration::from_millis(200));
        terminal.signal(signal);
        for part in RESET {
            terminal.wait_for(part);
        }
        assert_eq!(terminal.ended(), Some(130));
        assert!(terminal.is_restored(), "{signal:?}");
    }
    // What has closed its own terminal can be ended all the same.
    let away = "echo away; exec sleep 98765 </dev/null >/dev/null 2>&1";
    let mut terminal = Terminal::new(&program, &["shell", "5", &base, "--", "sh", "-c", away]);
    terminal.wait_for("away");
    terminal.wait_for(RESET[5]);
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.ended(), Some(130));
    // The window is closed.
    let mut terminal = Terminal::new(&program, &["shell", "5", &base]);
    terminal.wait_for("# ");
    terminal.write("sleep 98765\r");
    std::thread::sleep(Duration::from_millis(200));
    terminal.close();
    assert_eq!(terminal.ended(), Some(130));
    assert_eq!(left(&program.store), 0);
}

/// Processes that were started for this store, and `sleep 98765`.
fn left(store: &Path) -> usize {
    let store = store.to_str().unwrap();
    let of_ours = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.contains(store) || text.contains("98765")
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.filter(|e| std::fs::read(e.path().join("cmdline")).is_ok_and(|line| of_ours(&line))).count()
}

#[test]
fn a_killed_shell_leaves_nothing() {
    let test = "a_killed_shell_leaves_nothing";
    let Some((program, base)) = failed(test) else { return };
    let mut terminal = Terminal::new(&program, &["shell", &base]);
    terminal.wait_for("as it was left by the failed Dockerfile:8");
    terminal.wait_for("$ ");
    terminal.write("sleep 98765\r");
    std::thread::sleep(Duration::from_millis(300));
    assert!(left(&program.store) > 0);
    // What a shell stands in is not taken away from it, neither by the next build nor by prune.
    program.write("Dockerfile", &DOCKERFILE.replace("; exit 3", ""));
    program.build(&[&base]);
    program.run(&["prune", "--force"]).says(0, &[]);
    let layers = || program.store.join("layers").read_dir().unwrap().flatten().map(|e| e.file_name());
    assert!(layers().any(|name| name.to_str().unwrap().starts_with("failed-")), "{:?}", layers().collect::<Vec<_>>());
    terminal.signal(Signal::KILL);
    terminal.ended();
    let until = Instant::now() + Duration::from_secs(10);
    while left(&program.store) > 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(left(&program.store), 0);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(program.store.to_str().unwrap()));
    program.run(&["prune", "--force"]).says(0, &["failed-"]);
    assert!(!program.store.join("tmp").read_dir().unwrap().any(|_| true), "{:?}", program.store.join("tmp"));
}

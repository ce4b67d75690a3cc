//! The same program without root. Root runs it as the user that `RBUILD_TUI_TEST_USER` names, who needs ranges in /etc/subuid
//! and /etc/subgid, and must be able to read this binary and the lab.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::program::{Ended, Program, busybox};

/// A program whose commands run as the test user, in folders that are that user's.
struct AsUser {
    program: Program,
    setpriv: Vec<String>,
}

impl AsUser {
    fn new(test: &str, dockerfile: &str) -> Option<Self> {
        let user = std::env::var("RBUILD_TUI_TEST_USER").ok().filter(|_| rustix::process::geteuid().is_root());
        let Some(user) = user else {
            println!("skipped: {test}: needs root, and RBUILD_TUI_TEST_USER");
            return None;
        };
        let id = |flag: &str| {
            String::from_utf8(Command::new("id").args([flag, &user]).output().unwrap().stdout).unwrap().trim().to_owned()
        };
        let (uid, gid) = (id("-u"), id("-g"));
        let program = Program::new(dockerfile);
        let owner = format!("{uid}:{gid}");
        assert!(Command::new("chown").args(["-R", &owner]).arg(program.path("")).status().unwrap().success());
        let setpriv = ["--reuid", &uid, "--regid", &gid, "--init-groups", "--inh-caps=-all"].map(str::to_owned).to_vec();
        Some(Self { program, setpriv })
    }

    fn command(&self, args: &[&str]) -> Command {
        let own = self.program.command(args);
        let mut command = Command::new("setpriv");
        command.args(&self.setpriv).arg(own.get_program()).args(own.get_args()).env_clear().stdin(Stdio::null());
        own.get_envs().for_each(|(name, value)| {
            command.env(name, value.unwrap_or_default());
        });
        command.current_dir(&self.program.context);
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }
}

const DOCKERFILE: &str = "FROM base AS tools\nRUN mkdir /x; echo y > /x/y\nFROM base\nWORKDIR /srv/app\n\
    COPY --chown=1000:1001 f ./f\nRUN id -u; echo hi > /made; mkdir /d; chown 33:34 /made; rm -rf /home; chmod 2755 /d\n\
    RUN --mount=type=cache,target=/c --mount=type=bind,from=tools,source=/x,target=/b echo 1 >> /c/n; cat /b/y\n\
    USER 1000:1001\nRUN --network=none touch /tmp/own; test $(id -u) = 1000\nCOPY --from=tools /x /from\n";

fn build_args(layout: &Path, out: &Path) -> [String; 6] {
    let base = format!("base=oci-layout://{}", layout.display());
    let output = format!("type=oci,dest={},rewrite-timestamp=true", out.display());
    ["build", "--build-context", &base, "-o", &output, "--build-arg=SOURCE_DATE_EPOCH=1700000000"].map(str::to_owned)
}

fn digest(path: &Path) -> String {
    rbuild_tui::ground::digest::Digest::of(std::fs::read(path).unwrap()).to_string()
}

#[test]
fn q09_the_same_build_has_the_same_digest_without_root() {
    let test = "q09_the_same_build_has_the_same_digest_without_root";
    let (Some(layout), Some(user)) = (busybox(test), AsUser::new(test, DOCKERFILE)) else { return };
    let root = Program::new(DOCKERFILE);
    let mut digests = Vec::new();
    for context in [&root.context, &user.program.context] {
        std::fs::write(context.join("f"), "hello\n").unwrap();
    }
    let outs: Vec<PathBuf> = [&root, &user.program].map(|program| program.path("out.tar")).into();
    let args = build_args(&layout, &outs[0]);
    root.run(&args.each_ref().map(String::as_str)).says(0, &[]);
    digests.push(digest(&outs[0]));
    let args = build_args(&layout, &outs[1]);
    user.run(&args.each_ref().map(String::as_str)).says(0, &[]);
    digests.push(digest(&outs[1]));
    // And once more with plain trees.
    let third = user.program.path("third.tar");
    let args = build_args(&layout, &third);
    let mut command = user.command(&args.each_ref().map(String::as_str));
    command.env("RBUILD_TUI_SNAPSHOTTER", "copy").env("RBUILD_TUI_STORE", user.program.path("second-store"));
    Ended::of(command.output().unwrap()).says(0, &[]);
    digests.push(digest(&third));
    assert!(digests[0] == digests[1] && digests[1] == digests[2], "{digests:?}");
    // E13, L12: neither uses the other's store; the root's store was not touched by the attempt.
    let other = root.store.to_str().unwrap();
    user.run(&["--store", other, "build"]).says(3, &["store"]);
    let other = user.program.store.to_str().unwrap();
    let ended = root.run(&["--store", other, "build"]);
    ended.says(3, &["belongs to the user", "--store"]);
}

#[test]
fn x05_a_killed_builder_without_root_leaves_nothing() {
    let test = "x05_a_killed_builder_without_root_leaves_nothing";
    let (Some(layout), Some(user)) = (busybox(test), AsUser::new(test, "FROM base\nRUN sleep 86371\n")) else { return };
    let base = format!("base=oci-layout://{}", layout.display());
    let mut child =
        user.command(&["build", "--build-context", &base]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let store = user.program.store.to_str().unwrap().to_owned();
    let left = || {
        let of_ours = |text: &[u8]| {
            let text = String::from_utf8_lossy(text);
            text.contains("86371") || text.contains(&store)
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.filter(|e| std::fs::read(e.path().join("cmdline")).is_ok_and(|c| of_ours(&c))).count()
    };
    let sleeping = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.filter(|e| std::fs::read(e.path().join("cmdline")).is_ok_and(|c| c.starts_with(b"sleep\086371"))).count()
    };
    for _ in 0..200 {
        if sleeping() > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(sleeping(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    for _ in 0..40 {
        if left() == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(left(), 0);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&store));
    // The store is usable at once.
    std::fs::write(user.program.context.join("Dockerfile"), "FROM base\nRUN true\n").unwrap();
    user.run(&["build", "--build-context", &base]).says(0, &[]);
}

#[test]
fn a_shell_without_root_stands_where_the_step_does_with_a_terminal_too() {
    let test = "a_shell_without_root_stands_where_the_step_does_with_a_terminal_too";
    let dockerfile = "FROM base\nUSER 1000:1001\nRUN --network=none touch /tmp/half; exit 3\n";
    let (Some(layout), Some(user)) = (busybox(test), AsUser::new(test, dockerfile)) else { return };
    let base = format!("--build-context=base=oci-layout://{}", layout.display());
    for snapshotter in ["overlay", "copy"] {
        let run = |args: &[&str]| Ended::of(user.command(args).env("RBUILD_TUI_SNAPSHOTTER", snapshotter).output().unwrap());
        run(&["build", &base]).says(1, &["line 3"]);
        let command = "ls /tmp; id -u; echo new > /tmp/new; rm /tmp/half";
        let ended = run(&["shell", &base, "--", "sh", "-c", command]);
        ended.says(0, &["half\n1000\n", "- /tmp/half", "+ /tmp/new  4 B", "1 added, 0 changed, 1 deleted"]);
        // `script` gives it a terminal of the user's own.
        let own = user.command(&["shell", &base, "--", "sh", "-c", "tty; stty size; echo $TERM"]);
        let words: Vec<String> = own.get_args().map(|word| word.to_str().unwrap().replace('$', "\\$")).collect();
        let program = own.get_program().to_str().unwrap();
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let mut script = Command::new("script");
        script.args(["-qec", &format!("{program} {}", quoted.join(" ")), "/dev/null"]).stdin(Stdio::null()).env_clear();
        own.get_envs().for_each(|(name, value)| {
            script.env(name, value.unwrap_or_default());
        });
        script.env("TERM", "xterm").env("RBUILD_TUI_SNAPSHOTTER", snapshotter).current_dir(&user.program.context);
        Ended::of(script.output().unwrap()).says(0, &["/dev/pts/0", "24 80", "xterm", "the shell was left"]);
    }
}

#[test]
fn a_verification_without_root_leaves_nothing_of_folders_that_nobody_may_write() {
    let test = "a_verification_without_root_leaves_nothing_of_folders_that_nobody_may_write";
    let Some(layout) = busybox(test) else { return };
    let dockerfile =
        "FROM base\nWORKDIR /w\nCOPY . .\nRUN cat in/a > /out; mkdir /d; touch /d/x; chown -R 77:77 /d; sleep 1\n";
    let Some(user) = AsUser::new(test, dockerfile) else { return };
    for (path, text) in [("in/a", "a\n"), ("b", "b\n"), (".dockerignore", "Dockerfile\n.dockerignore\n")] {
        user.program.write(path, text);
    }
    let inside = user.program.context.join("in");
    std::fs::set_permissions(&inside, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    let base = format!("--build-context=base=oci-layout://{}", layout.display());
    user.run(&["build", &base]).says(0, &[]);
    let verify = ["suggest", &base, "--rule", "copy-what-is-read", "--verify"];
    let scratch = user.program.store.join("scratch");
    let stores =
        || std::fs::read_dir(&scratch).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    user.run(&verify).says(0, &["proven"]);
    assert_eq!(stores(), Vec::<PathBuf>::new());
    // What a killed one left, with layers of other owners, is taken away by the next.
    let mut child = user.command(&verify).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let has_layers = || {
        let layers = stores().into_iter().flat_map(|store| std::fs::read_dir(store.join("store/layers")));
        layers.flatten().flatten().filter(|entry| entry.path().join("d").exists()).count() > 0
    };
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while !has_layers() {
        assert!(std::time::Instant::now() < until, "no layer appeared");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(stores().len(), 1);
    user.run(&verify).says(0, &["proven"]);
    assert_eq!(stores(), Vec::<PathBuf>::new());
}

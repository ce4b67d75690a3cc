//! Building without root. Root runs all tests of this program once more as the user that `RBUILD_TUI_TEST_USER` names, who
//! needs ranges in /etc/subuid and /etc/subgid; and some of them as a user without any.

use std::process::Command;

use super::lab::{Tar, id, is_root, lab};
use rbuild_tui::engine::protocol::*;

/// This very program, ready to run some of its tests as somebody else.
fn again(user: &str, tests: &[&str]) -> Option<Command> {
    let id = |flag: &str| {
        let text = String::from_utf8(Command::new("id").args([flag, user]).output().ok()?.stdout).ok()?;
        Some(text.trim().to_owned()).filter(|id| !id.is_empty())
    };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &id("-u")?, "--regid", &id("-g")?, "--clear-groups", "--inh-caps=-all"]);
    command.arg(std::env::current_exe().unwrap()).args(tests).env("HOME", "/nonexistent").current_dir("/");
    Some(command)
}

fn passes(mut command: Command, at_least: usize) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let passed = text.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(passed.parse::<usize>().unwrap() >= at_least, "{text}");
}

#[test]
fn every_test_again_as_a_user() {
    let user = std::env::var("RBUILD_TUI_TEST_USER").ok().filter(|_| is_root());
    let Some(command) = user.and_then(|user| again(&user, &["--skip=bench", "--skip=alone_"])) else {
        return println!("skipped every_test_again_as_a_user: needs root, and RBUILD_TUI_TEST_USER");
    };
    passes(command, 40);
}

#[test]
fn s38_a_user_in_further_groups() {
    let user = std::env::var("RBUILD_TUI_TEST_USER").ok().filter(|_| is_root());
    let test = "confinement::s38_groups_of_the_caller_are_not_the_steps";
    let Some(command) = user.and_then(|user| again(&user, &["--exact", test])) else {
        return println!("skipped s38_a_user_in_further_groups: needs root, and RBUILD_TUI_TEST_USER");
    };
    let mut grouped = Command::new(command.get_program());
    for arg in command.get_args() {
        match arg == "--clear-groups" {
            true => grouped.args(["--groups", "4,24"]),
            false => grouped.arg(arg),
        };
    }
    grouped.current_dir("/");
    passes(grouped, 1);
}

#[test]
fn s37_a_user_without_ranges() {
    let command = is_root().then(|| again("nobody", &["--exact", "rootless::alone_there_is_one_id"])).flatten();
    let Some(command) = command else {
        return println!("skipped s37_a_user_without_ranges: needs root, setpriv and the user nobody");
    };
    passes(command, 1);
}

/// Started by the test above.
#[test]
fn alone_there_is_one_id() {
    if rustix::process::geteuid().as_raw() != 65534 {
        return println!("skipped alone_there_is_one_id: is run by s37_a_user_without_ranges");
    }
    let Some(lab) = lab("alone_there_is_one_id") else { return };
    lab.base("base");
    let (code, text, _) = lab.run("own", &["base"], "echo x > /f; mkdir /d; rm /etc/group; id -u; ls -ln /f");
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("0\n"), "{text}");
    assert!(!lab.names(&["base", "own"]).contains(&"etc/group".to_owned()));
    // Somebody else's file in a layer, a copy for somebody, a step as somebody: each names the id and the way out.
    let member = Tar::default().pax(&[("uid", "33"), ("gid", "34")]).file("srv/f", 0o644, b"");
    let layer = lab.unpack("other", &["base"], &member).unwrap_err();
    let source = CopySource::Inline { files: vec![("f".into(), "x".into())] };
    let spec = CopySpec { destination: "/f".into(), chown: Some("1000:0".into()), ..CopySpec::default() };
    let request = Request::Copy { layer: id("copy"), parents: vec![id("base")], source, copy: spec, previous: None };
    let copy = lab.call(request).unwrap_err();
    let step = lab.try_run("as", &["base"], |process| process.user = "bob".into()).unwrap_err();
    for (failure, number) in [(layer, "user 33"), (copy, "user 1000"), (step, "user 1000")] {
        assert!(failure.message.contains(number) && failure.message.contains("0 to 0"), "{failure:?}");
        assert!(failure.hint.as_ref().unwrap().contains("/etc/subuid"), "{failure:?}");
    }
}

#[test]
fn e17_no_user_namespaces_are_no_full_disk() {
    let Some(mut inner) = is_root().then(|| again("nobody", &["--exact", "rootless::alone_without_namespaces"])).flatten()
    else {
        return println!("skipped e17_no_user_namespaces_are_no_full_disk: needs root, setpriv and the user nobody");
    };
    // In a user namespace of its own, so that the machine's limit stays as it is.
    let program = inner.get_program().to_owned();
    let args: Vec<_> = inner.get_args().map(std::ffi::OsStr::to_owned).collect();
    let at = args.iter().position(|arg| *arg == *std::env::current_exe().unwrap()).unwrap();
    let mut command = Command::new(program);
    command.args(&args[..at]).args(["unshare", "--user", "--keep-caps", "sh", "-c"]);
    command.arg("echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps=-all \"$@\"").arg("sh");
    command.args(&args[at..]).env("RBUILD_NO_NAMESPACES", "1").current_dir("/");
    inner.current_dir("/");
    passes(command, 1);
}

/// Started by the test above.
#[test]
fn alone_without_namespaces() {
    if std::env::var_os("RBUILD_NO_NAMESPACES").is_none() {
        return println!("skipped alone_without_namespaces: is run by e17_no_user_namespaces_are_no_full_disk");
    }
    let dir = tempfile::tempdir().unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_rbuild-tui"));
    let worker = rbuild_tui::engine::worker::Worker::spawn_program(program, &dir.path().join("store")).unwrap();
    let layer = id("x");
    let request = Request::MakeDirectory { layer, parents: vec![], path: "/x".into(), owner: None, timestamp: None };
    let error = worker.call(request, vec![]).unwrap_err();
    let text = format!("{error} {}", rbuild_tui::ground::hint::Hint::hint(&error).unwrap());
    assert!(text.contains("user namespace") && text.contains("max_user_namespaces"), "{text}");
    assert!(!text.contains("space left") && !text.contains("disk"), "{text}");
}

#[test]
fn e13_l12_a_store_has_one_form() {
    let Some(lab) = lab("e13_l12_a_store_has_one_form") else { return };
    lab.base("base");
    let form = lab.dir.path().join("store/form");
    let text = std::fs::read_to_string(&form).unwrap();
    let swapped = if is_root() { text.replace("trusted", "user") } else { text.replace("user\"", "trusted\"") };
    let fewer = text.replace("\"ids\":{", "\"ids\":{\"x\":0,").replace("\"users\":[", "\"users\":[[70000000,5,5],");
    for (changed, wanted) in [(swapped, "were made with"), (fewer, "belong to the ids")] {
        assert_ne!(changed, text);
        std::fs::write(&form, &changed).unwrap();
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_rbuild-tui"));
        let store = lab.dir.path().join("store");
        let worker = rbuild_tui::engine::worker::Worker::spawn_program(program, &store).unwrap();
        let error = worker.call(Request::Scan { layers: vec![id("base")], selectors: vec![] }, vec![]).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
        assert_eq!(std::fs::read_to_string(&form).unwrap(), changed, "nothing was changed");
    }
    std::fs::write(&form, text).unwrap();
}

//! RUN.

use super::lab::lab;
use rbuild_tui::engine::worker::protocol::*;

#[test]
fn s32_exit_codes_and_layers() {
    let Some(lab) = lab("s32_exit_codes_and_layers") else { return };
    lab.base("base");
    let (code, text, reply) = lab.run("one", &["base"], "echo hello; echo x > /f; mkdir /d; rm /etc/group");
    assert_eq!((code, text.as_str()), (0, "hello\n"), "{reply:?}");
    // Nothing but what the command did: no /proc, /dev, /sys, no /etc/hosts.
    let (tar, _) = lab.tar_of("one");
    assert!(tar.len() > 1024);
    let names: Vec<_> = lab.names(&["base", "one"]);
    assert!(names.contains(&"f".to_owned()) && names.contains(&"d".to_owned()));
    for absent in ["etc/group", "proc", "dev", "sys", "etc/hosts", "etc/resolv.conf"] {
        assert!(!names.contains(&absent.to_owned()), "{absent}");
    }
    for (command, wanted) in [("exit 3", 3), ("kill -9 $$", 0), ("exec /nowhere", 127), ("exec /etc", 126)] {
        let name = if wanted == 0 { "killed" } else { "never" };
        let (code, text, reply) = lab.run(name, &["base"], command);
        if command.starts_with("kill") {
            // Process 1 of a namespace ignores signals from inside.
            assert_eq!(code, 0, "{text}");
            continue;
        }
        assert_eq!(code, wanted, "{command}: {text}");
        assert!(matches!(reply, Reply::Exited { stat: None, .. }));
    }
    let (code, text, _) = lab.run_with("never2", &["base"], |p| p.args = vec!["nonesuch".into()]);
    assert_eq!((code, text.as_str()), (127, "cannot execute `nonesuch`: no such file, nor in PATH (ENOENT)\n"));
}

#[test]
fn s02_s21_s23_s25_confinement() {
    let Some(lab) = lab("s02_s21_s23_s25_confinement") else { return };
    lab.base("base");
    let (_, text, _) = lab.run("status", &["base"], "cat /proc/self/status; ls -l /proc/self/fd; cat /proc/self/mountinfo");
    for line in [
        "CapInh:\t0000000000000000",
        "CapEff:\t00000000a80425fb",
        "CapBnd:\t00000000a80425fb",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    for refused in [
        "mount -t tmpfs x /tmp",
        "mount -o remount,rw /sys",
        "unshare -U true",
        "unshare -m true",
        "echo 1 > /proc/sys/kernel/sysrq",
        "echo h > /proc/sysrq-trigger",
        "ls /sys/firmware/* ",
        "test -s /proc/kcore",
        "test -s /proc/keys",
        "test -n \"$SSH_AUTH_SOCK$CARGO\"",
    ] {
        let (code, text, _) = lab.run("refused", &["base"], refused);
        assert_ne!(code, 0, "{refused}: {text}");
    }
    let (_, text, _) = lab.run("fds", &["base"], "for f in /proc/self/fd/* /proc/1/fd/*; do echo $f; done");
    assert!(text.split_whitespace().all(|f| ["/0", "/1", "/2", "/3", "/10", "*"].iter().any(|n| f.ends_with(n))), "{text}");
    let (code, text, _) = lab.run("reads", &["base"], "cat; cat /etc/hosts; echo x >> /etc/hosts; ls /dev");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("localhost buildkitsandbox") && text.contains("null") && text.contains("shm"), "{text}");
    let (stat, _) = lab.scan(&["base", "reads"], "etc/hosts", false);
    assert!(!stat.iter().any(|e| e.path == "etc/hosts"), "S39: the given file is not in the layer");
}

#[test]
fn s01_work_directories() {
    let Some(lab) = lab("s01_work_directories") else { return };
    lab.base("base");
    let (code, text, _) = lab.run_with("cwd", &["base"], |p| {
        p.cwd = "/made/here".into();
        p.args = ["/bin/sh", "-c", "pwd; id -u; id -G; echo $HOME"].map(str::to_owned).to_vec();
        p.user = "bob".into();
    });
    assert_eq!((code, text.as_str()), (0, "/made/here\n1000\n1001 10\n/home/bob\n"));
    for number in 0..30 {
        let result = lab.try_run("fd", &["base"], |p| {
            p.cwd = format!("/proc/self/fd/{number}");
            p.args = ["/bin/sh", "-c", "cat ../../../../../../../../etc/hostname ../../../../etc/machine-id"]
                .map(str::to_owned)
                .to_vec();
        });
        match result {
            Err(failure) => assert_eq!(failure.kind, FailureKind::User, "{failure:?}"),
            Ok((Reply::Exited { code, .. }, text)) => assert_ne!(code, 0, "{number} {text}"),
            Ok(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn s16_s17_refusals_name_the_cause() {
    let Some(lab) = lab("s16_s17_refusals_name_the_cause") else { return };
    lab.base("base");
    for user in ["4294967296", "-1", "nosuch"] {
        let failure = lab.try_run("u", &["base"], |p| p.user = user.into()).unwrap_err();
        assert!(failure.message.contains(user), "{failure:?}");
    }
    for name in ["dev", "proc", "sys"] {
        let layer = format!("evil{name}");
        lab.unpack(&layer, &["base"], &super::lab::Tar::default().link(name, &lab.canary())).unwrap();
        let before = lab.canary_state();
        let failure = lab.try_run("r", &["base", &layer], |_| ()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::User);
        assert_eq!(before, lab.canary_state());
    }
}

#[test]
fn s39_links_in_etc_lead_nowhere() {
    let Some(lab) = lab("s39_links_in_etc_lead_nowhere") else { return };
    lab.base("base");
    let canary = lab.canary();
    let tar = super::lab::Tar::default().link("etc/hosts", &format!("{canary}/sub/hosts")).link("etc/resolv.conf", "/run/r");
    lab.unpack("links", &["base"], &tar).unwrap();
    let before = lab.canary_state();
    let (code, text, _) = lab.run("r", &["base", "links"], "cat /etc/hosts; echo x >> /etc/resolv.conf; echo y > /z");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("localhost"));
    assert_eq!(before, lab.canary_state());
    let (entries, _) = lab.scan(&["links", "r"], "", false);
    let paths: Vec<_> = entries.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(paths, ["", "etc", "etc/hosts", "etc/resolv.conf", "z"]);
}

#[test]
fn s28_background_processes_end_with_the_step() {
    let Some(lab) = lab("s28_background_processes_end_with_the_step") else { return };
    lab.base("base");
    let start = std::time::Instant::now();
    let (code, text, _) = lab.run("bg", &["base"], "(while :; do echo x >> /log; done) & sleep 0.1; exit 0");
    assert_eq!(code, 0, "{text}");
    assert!(start.elapsed().as_secs() < 5);
    lab.tar_of("bg");
}

#[test]
fn x05_cancel_and_end_of_the_builder() {
    let Some(lab) = lab("x05_cancel_and_end_of_the_builder") else { return };
    lab.base("base");
    let token = "slow".bytes().fold(0, |sum: u64, b| sum * 31 % 1_000_003 + u64::from(b));
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| lab.run("slow", &["base"], "sleep 86399"));
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(lab.call(Request::Cancel { token }).unwrap(), Reply::Done);
        let (code, _, reply) = run.join().unwrap();
        assert_eq!(code, 137);
        assert!(matches!(reply, Reply::Exited { cancelled: true, stat: None, .. }));
    });
    assert!(start.elapsed().as_secs() < 5);
    // The builder's end: the worker goes, and what it ran.
    let worker = lab.worker.id();
    let sleeping = || {
        std::fs::read_dir("/proc").unwrap().flatten().any(|e| {
            std::fs::read(e.path().join("cmdline")).is_ok_and(|c| c == b"sleep\086397\0" || c == b"/bin/sleep\086397\0")
        })
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lab.run("slow2", &["base"], "sleep 86397; true")));
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(sleeping());
        // kill -9 of the worker is the harder case: nobody of it is left to clean up.
        let pid = rustix::process::Pid::from_raw(i32::try_from(worker).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    });
    for _ in 0..40 {
        if !sleeping() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(!sleeping());
    // What the dead worker left goes with the next one's start; a layer made before is still there.
    let store = lab.dir.path().join("store");
    assert!(store.join("tmp").read_dir().unwrap().count() > 0);
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_rbuild-tui"));
    let second = rbuild_tui::engine::worker::Worker::spawn_program(program, &store).unwrap();
    let layers = vec![super::lab::id("base")];
    assert!(second.call(Request::Scan { layers, selectors: vec![] }, vec![]).is_ok());
    let left = store.join("tmp").read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let left: Vec<_> = left.filter(|n| !n.starts_with(&second.id().to_string())).collect();
    assert!(left.is_empty(), "{left:?}");
}

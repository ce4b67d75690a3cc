//! RUN.

use super::lab::lab;
use rbuild_tui::engine::protocol::*;

#[test]
fn s32_exit_codes_and_layers() {
    let Some(lab) = lab("s32_exit_codes_and_layers") else { return };
    lab.base("base");
    let (code, text, reply) = lab.run("one", &["base"], "echo hello; echo x > /f; mkdir /d; rm /etc/group");
    assert_eq!((code, text.as_str()), (0, "hello\n"), "{reply:?}");
    // Nothing but what the command did: nothing in /proc, /dev, /sys, no /etc/hosts.
    let (tar, _) = lab.tar_of("one");
    assert!(tar.len() > 1024);
    let names: Vec<_> = lab.names(&["base", "one"]);
    assert!(names.contains(&"f".to_owned()) && names.contains(&"d".to_owned()));
    for absent in ["etc/group", "proc/self", "dev/null", "sys/kernel", "etc/hosts", "etc/resolv.conf"] {
        assert!(!names.contains(&absent.to_owned()), "{absent}");
    }
    assert!(!lab.layer("one").join("proc").exists(), "the base has it");
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
fn an_image_without_them_keeps_the_mount_points_that_a_runtime_makes() {
    let Some(lab) = lab("an_image_without_them_keeps_the_mount_points_that_a_runtime_makes") else { return };
    lab.base("base");
    let tar = super::lab::Tar::default().file(".wh.proc", 0, b"").file(".wh.dev", 0, b"").file(".wh.sys", 0, b"");
    lab.unpack("bare", &["base"], &tar).unwrap();
    assert_eq!(lab.run("r", &["base", "bare"], "echo x > /x").0, 0);
    let made = |name: &str| std::fs::read_dir(lab.layer("r").join(name)).map(|entries| entries.count()).ok();
    assert_eq!(["proc", "dev", "sys"].map(made), [Some(0); 3], "there, and empty");
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

#[test]
fn e17_refused_namespaces_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let Some(lab) = lab("e17_refused_namespaces_are_named") else { return };
    if !super::lab::is_root() {
        return println!("skipped e17_refused_namespaces_are_named: needs root; see rootless::e17");
    }
    let program = lab.dir.path().join("weak");
    let binary = env!("CARGO_BIN_EXE_rbuild-tui");
    let script = format!("#!/bin/sh\nexec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin -- {binary} \"$@\"\n");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let store = lab.dir.path().join("weak-store");
    let Ok(worker) = rbuild_tui::engine::worker::Worker::spawn_program(&program, &store) else {
        return println!("skipped e17_refused_namespaces_are_named: no setpriv");
    };
    let layer = super::lab::id("x");
    let request = Request::MakeDirectory { layer, parents: vec![], path: "/x".into(), owner: None, timestamp: None };
    match worker.call(request, vec![]) {
        Err(rbuild_tui::engine::worker::WorkerError::Failed(failure)) => {
            assert_eq!(failure.kind, FailureKind::Environment);
            assert!(failure.message.ends_with("(EPERM)") && failure.hint.unwrap().contains("root"), "{}", failure.message);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn s24_s31_network_and_streams() {
    let Some(lab) = lab("s24_s31_network_and_streams") else { return };
    lab.base("base");
    let (code, text, _) = lab.run("net", &["base"], "cat /proc/net/dev; exec 0<&- 1>&- 2>&-; true");
    assert_eq!(code, 0);
    let interfaces: Vec<_> = text.lines().skip(2).filter_map(|l| l.split(':').next()).map(str::trim).collect();
    assert_eq!(interfaces, ["lo"]);
    let (_, text, _) = lab.run_with("host", &["base"], |p| {
        p.network = Network::Host;
        p.args = ["/bin/sh", "-c", "cat /etc/resolv.conf; cat /proc/sys/kernel/hostname"].map(str::to_owned).to_vec();
    });
    let resolvers = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert_eq!(text, format!("{resolvers}buildkitsandbox\n"));
}

/// `WORKER_IMAGE` names an OCI layout, whose layers are unpacked and run on.
#[test]
#[ignore = "needs an image"]
fn real_image() {
    let (Some(lab), Some(image)) = (lab("real_image"), std::env::var_os("WORKER_IMAGE")) else { return };
    let image = std::path::PathBuf::from(image);
    let json = |path: std::path::PathBuf| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|e| panic!("{path:?} {e}"))).unwrap()
    };
    let blob = |digest: &serde_json::Value| image.join("blobs").join(digest.as_str().unwrap().replace(':', "/"));
    let mut manifest = json(blob(&json(image.join("index.json"))["manifests"][0]["digest"]));
    if manifest["layers"].is_null() {
        manifest = json(blob(&manifest["manifests"][0]["digest"]));
    }
    let config = json(blob(&manifest["config"]["digest"]));
    let mut chain: Vec<String> = Vec::new();
    for (n, layer) in manifest["layers"].as_array().unwrap().iter().enumerate() {
        let gzip = layer["mediaType"].as_str().unwrap().ends_with("gzip");
        let start = std::time::Instant::now();
        let reply = lab.call(Request::Unpack {
            layer: super::lab::id(&format!("{n}")),
            parents: chain.iter().map(|l| super::lab::id(l)).collect(),
            blob: blob(&layer["digest"]),
            compression: if gzip { Compression::Gzip } else { Compression::None },
            digest: layer["digest"].as_str().unwrap().parse().unwrap(),
            size: layer["size"].as_u64().unwrap(),
            diff_id: config["rootfs"]["diff_ids"][n].as_str().unwrap().parse().unwrap(),
        });
        println!("{n}: {:.2} s {:?}", start.elapsed().as_secs_f64(), reply.unwrap());
        chain.push(n.to_string());
    }
    let chain: Vec<&str> = chain.iter().map(String::as_str).collect();
    let (code, text, reply) = lab.run("real", &chain, "id; ls -la / /dev; cat /etc/hosts; touch /x");
    println!("{code} {text} {reply:?}");
    println!("{:?}", lab.names(&["real"]));
    assert_eq!(code, 0);
}

/// CVE-2019-5736: the program that confines a step must not be writable from inside.
#[test]
fn s34_the_own_program_is_read_only_inside() {
    let Some(lab) = lab("s34_the_own_program_is_read_only_inside") else { return };
    lab.base("base");
    let before = std::fs::read(env!("CARGO_BIN_EXE_rbuild-tui")).unwrap();
    let _ = lab.try_run("self", &["base"], |p| p.args = vec!["/proc/self/exe".into()]);
    let (code, _, _) =
        lab.run("write", &["base"], "for p in 1 self $PPID; do echo x >> /proc/$p/exe && exit 0; done; exit 9");
    assert_eq!(code, 9);
    assert!(before == std::fs::read(env!("CARGO_BIN_EXE_rbuild-tui")).unwrap());
}

#[test]
fn x04_a_killed_helper_fails_the_step() {
    let Some(lab) = lab("x04_a_killed_helper_fails_the_step") else { return };
    lab.base("base");
    let worker = lab.worker.id().to_string();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| lab.try_run("slow", &["base"], |p| p.args = vec!["/bin/sleep".into(), "86395".into()]));
        std::thread::sleep(std::time::Duration::from_millis(400));
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            if status.lines().any(|l| l.strip_prefix("PPid:").is_some_and(|p| p.trim() == worker)) {
                let pid = entry.file_name().to_str().unwrap().parse().unwrap();
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            }
        }
        let failure = run.join().unwrap().unwrap_err();
        assert!(failure.message.contains("helper process died"), "{failure:?}");
    });
    assert_eq!(lab.run("next", &["base"], "true").0, 0);
}

#[test]
fn many_calls_at_once_and_one_layer_twice() {
    let Some(lab) = lab("many_calls_at_once_and_one_layer_twice") else { return };
    lab.base("base");
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|n| {
                let lab = &lab;
                scope.spawn(move || lab.run(if n % 2 == 0 { "same" } else { "other" }, &["base"], "echo x > /f; sleep 0.1"))
            })
            .collect();
        for run in runs {
            let (code, text, reply) = run.join().unwrap();
            assert_eq!(code, 0, "{text}");
            assert!(matches!(reply, Reply::Exited { stat: Some(stat), .. } if stat.entries == 1), "{reply:?}");
        }
    });
}

//! What a step can do to the machine: the rows of `reliability.md` 4.3 that the worker answers for. After every test the canary
//! is unchanged and nothing is mounted below the test's folder (see `Lab`).

use std::time::{Duration, Instant};

use super::lab::{Lab, Tar, id, is_root, lab};
use rbuild_tui::engine::protocol::settings::Limits;
use rbuild_tui::engine::protocol::*;

fn shell(process: &mut ProcessSpec, command: &str) {
    process.args = ["/bin/sh", "-c", command].map(str::to_owned).to_vec();
}

fn mount(target: &str, content: MountContent) -> MountSpec {
    MountSpec { target: target.into(), read_only: false, content }
}

fn tmpfs(target: &str) -> MountSpec {
    mount(target, MountContent::Tmpfs { size: None })
}

fn secret(target: &str) -> MountSpec {
    mount(target, MountContent::File { bytes: b"hidden".to_vec(), uid: 0, gid: 0, mode: 0o400 })
}

#[test]
fn s03_parents_of_mounts_become_links() {
    let Some(lab) = lab("s03_parents_of_mounts_become_links") else { return };
    lab.base("base");
    let canary = lab.canary();
    let (code, text, _) = lab.run_with("r", &["base"], |process| {
        let command = format!("for d in a x; do mv /$d /$d.old 2>/dev/null; rm -rf /$d; ln -s {canary} /$d; done; true");
        shell(process, &command);
        let cache = MountContent::Cache {
            name: "00".into(),
            sharing: CacheSharing::Shared,
            seed: None,
            path: String::new(),
            uid: 0,
            gid: 0,
            mode: 0o755,
        };
        process.mounts = vec![tmpfs("/a/b"), secret("/a/b2"), mount("/x/y/z", cache)];
    });
    assert_eq!(code, 0, "{text}");
    lab.tar_of("r");
}

#[test]
fn s04_mount_stubs_leave_no_trace() {
    let Some(lab) = lab("s04_mount_stubs_leave_no_trace") else { return };
    lab.base("base");
    lab.unpack("below", &["base"], &Tar::default().dir("baz", 0o755).dir("qux", 0o711)).unwrap();
    let (code, text, _) = lab.run_with("r", &["base", "below"], |process| {
        shell(process, "echo x > /baz/keep");
        process.mounts = ["/baz/x", "/bar/x/y", "/foo", "/qux"].map(tmpfs).to_vec();
    });
    assert_eq!(code, 0, "{text}");
    assert_eq!(lab.names(&["r"]), ["baz", "baz/keep"]);
    let time = |layer: &str, path: &str| lab.scan(&["base", layer], path, false).0.last().unwrap().modified;
    assert_eq!(time("below", "qux").0, 1_700_000_000, "what was a mount point keeps its time");
}

#[test]
fn s07_what_is_bound_for_writing_is_thrown_away() {
    let Some(lab) = lab("s07_what_is_bound_for_writing_is_thrown_away") else { return };
    lab.base("base");
    lab.unpack("source", &[], &Tar::default().dir("t", 0o755).file("t/f", 0o644, b"1")).unwrap();
    let before = lab.tar_of("source").0;
    let bound = || mount("/b", MountContent::Layers { layers: vec![id("source")], path: "t".into() });
    let (code, text, _) = lab.run_with("r", &["base"], |process| {
        shell(process, "rm /b/f; cp /bin/sh /b/root 2>/dev/null || cat /bin/sh > /b/root; chmod 4755 /b/root");
        process.mounts = vec![bound()];
    });
    assert_eq!(code, 0, "{text}");
    assert!(before == lab.tar_of("source").0);
    assert!(lab.names(&["r"]).is_empty());
}

#[test]
fn s12_targets_are_refused_or_contained() {
    let Some(lab) = lab("s12_targets_are_refused_or_contained") else { return };
    lab.base("base");
    let out = Tar::default().link("out", &lab.canary()).link("up", "../../../../../../tmp");
    lab.unpack("links", &["base"], &out).unwrap();
    let targets =
        ["/", "/proc", "/proc/x", "/proc/self", "/sys", "/dev", "/dev/null", "/dev/shm", ".", "../..", "/out", "/up"];
    for (number, target) in targets.into_iter().enumerate() {
        for content in [MountContent::Tmpfs { size: None }, secret("x").content] {
            let result = lab.try_run(&format!("r{number}"), &["base", "links"], |process| {
                shell(process, "echo x > /written; exit 3");
                process.mounts = vec![mount(target, content)];
            });
            match result {
                Ok((Reply::Exited { code, .. }, text)) => {
                    assert!([3, 126, 127, 2].contains(&code), "{target}: {code} {text}")
                }
                Ok(other) => panic!("{other:?}"),
                Err(failure) => assert!(!failure.message.is_empty(), "{target}"),
            }
        }
    }
    let twice = lab.try_run("twice", &["base"], |process| {
        shell(process, "cat /t; exit 3");
        process.mounts = vec![secret("/t"), secret("/t")];
    });
    assert!(matches!(twice, Err(_) | Ok((Reply::Exited { code: 3, .. }, _))), "{twice:?}");
}

#[test]
fn s13_a_secret_below_a_link_stays_inside() {
    let Some(lab) = lab("s13_a_secret_below_a_link_stays_inside") else { return };
    lab.base("base");
    let tar = Tar::default().dir("run", 0o755).link("run/secrets", &lab.canary()).link("gone", "/nowhere/at/all");
    lab.unpack("links", &["base"], &tar).unwrap();
    let (code, text, _) = lab.run_with("r", &["base", "links"], |process| {
        shell(process, "cat /run/secrets/s /gone/s");
        process.mounts = vec![secret("/gone/s"), secret("/run/secrets/s")];
    });
    assert_eq!((code, text.as_str()), (0, "hiddenhidden"));
}

#[test]
fn s18_what_covers_masked_files_is_our_own() {
    let Some(lab) = lab("s18_what_covers_masked_files_is_our_own") else { return };
    lab.base("base");
    let pattern = || std::fs::read("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let before = pattern();
    let tar = Tar::default().dir("dev", 0o755).link("dev/null", "/proc/sys/kernel/core_pattern");
    lab.unpack("evil", &["base"], &tar).unwrap();
    let command = "for f in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /dev/null; do \
                   echo owned > $f; done; cat /proc/kcore /proc/timer_list";
    let (_, text, _) = lab.run("r", &["base", "evil"], command);
    assert!(!text.contains("owned"), "{text}");
    assert_eq!(before, pattern());
}

#[test]
fn s21_no_device_of_the_machine_can_be_opened() {
    let Some(lab) = lab("s21_no_device_of_the_machine_can_be_opened") else { return };
    lab.base("base");
    let devices = std::fs::read_to_string("/proc/partitions").unwrap_or_default();
    let disk = devices.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        Some((fields.next()?.parse::<u32>().ok()?, fields.next()?.parse::<u32>().ok()?))
    });
    for (major, minor) in disk.chain([(1, 1)]).take(4) {
        let command = format!("mknod /node b {major} {minor} || exit 9; dd if=/node of=/dev/null bs=1 count=1 && echo read");
        let (_, text, _) =
            lab.run("never", &["base"], &format!("{command}; mknod /mem c 1 1; cat /mem && echo read; exit 5"));
        assert!(!text.contains("read\n"), "{text}");
    }
    let (code, text, _) = lab.run("own", &["base"], "echo x > /dev/null && dd if=/dev/zero of=/z bs=4 count=1");
    assert_eq!(code, 0, "{text}");
}

/// A 32-bit program of a few instructions.
#[cfg(target_arch = "x86_64")]
fn program_32(code: &[u8]) -> Vec<u8> {
    let mut out = b"\x7fELF\x01\x01\x01".to_vec();
    out.resize(16, 0);
    for half in [2u16, 3] {
        out.extend(half.to_le_bytes());
    }
    let base = 0x0804_8000u32;
    for word in [1, base + 84, 52, 0, 0] {
        out.extend(word.to_le_bytes());
    }
    for half in [52u16, 32, 1, 0, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    let size = 84 + u32::try_from(code.len()).unwrap();
    for word in [1, 0, base, base, size, size, 5, 4096] {
        out.extend(word.to_le_bytes());
    }
    out.extend(code);
    out
}

#[test]
#[cfg(target_arch = "x86_64")]
fn s21_programs_of_32_bits_run_under_the_same_rules() {
    let Some(lab) = lab("s21_programs_of_32_bits_run_under_the_same_rules") else { return };
    lab.base("base");
    // exit(42): mov $1,%eax; mov $42,%ebx; int $0x80.
    let exits = [0xb8, 1, 0, 0, 0, 0xbb, 42, 0, 0, 0, 0xcd, 0x80];
    // exit(-call()): mov $NUMBER,%eax; xor %ebx,%ebx; int $0x80; neg %eax; mov %eax,%ebx; mov $1,%eax; int $0x80.
    let call = |number: u16, argument: u32| {
        let mut code = vec![0xb8];
        code.extend(u32::from(number).to_le_bytes());
        code.push(0xbb);
        code.extend(argument.to_le_bytes());
        code.extend([0xcd, 0x80, 0xf7, 0xd8, 0x89, 0xc3, 0xb8, 1, 0, 0, 0, 0xcd, 0x80]);
        code
    };
    let (mount, unshare, clone3, new_user) = (call(21, 0), call(310, 0), call(435, 0), call(120, 0x1000_0000));
    let programs: [(&str, &[u8], i32); 5] = [
        ("exits", &exits, 42),
        ("mount", &mount, 1),
        ("unshare", &unshare, 1),
        ("clone3", &clone3, 38),
        ("clone", &new_user, 1),
    ];
    let tar = programs.iter().fold(Tar::default(), |tar, (name, code, _)| tar.file(name, 0o755, &program_32(code)));
    lab.unpack("programs", &["base"], &tar).unwrap();
    for (name, _, wanted) in programs {
        let (code, text, _) = lab.run_with("r", &["base", "programs"], |process| process.args = vec![format!("/{name}")]);
        if code == 126 {
            return println!("skipped s21_programs_of_32_bits_run_under_the_same_rules: this kernel runs none");
        }
        assert_eq!(code, wanted, "{name}: {text}");
    }
}

#[test]
fn s22_an_insecure_step_is_unconfined_but_in_its_namespaces() {
    let Some(lab) = lab("s22_an_insecure_step_is_unconfined_but_in_its_namespaces") else { return };
    lab.base("base");
    let (code, text, _) = lab.run_with("r", &["base"], |process| {
        process.insecure = true;
        shell(process, "cat /proc/self/status; mount -t tmpfs x /tmp && echo mounted");
    });
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Seccomp:\t0") && text.contains("NoNewPrivs:\t0") && text.contains("mounted"), "{text}");
}

/// The folder of a step's group for a controller, by the worker's process id.
fn group(lab: &Lab, controller: &str) -> Option<std::path::PathBuf> {
    let name = format!("rbuild-tui-{}-", lab.worker.id());
    let all = std::path::PathBuf::from("/sys/fs/cgroup");
    // In the unified hierarchy all controllers share one tree.
    let own = all.join(controller);
    let mut todo = vec![if own.is_dir() { own } else { all }];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
            if entry.file_name().to_string_lossy().starts_with(&name) {
                return Some(entry.path());
            }
            todo.push(entry.path());
        }
    }
    None
}

#[test]
fn s26_processes_are_limited_and_all_end() {
    let Some(lab) = lab("s26_processes_are_limited_and_all_end") else { return };
    lab.base("base");
    let token = "many".bytes().fold(0, |sum: u64, b| sum * 31 % 1_000_003 + u64::from(b));
    std::thread::scope(|scope| {
        let many = "n=0; while [ $n -lt 60 ]; do sleep 86391 & n=$((n+1)); done; trap '' TERM; wait";
        let run = scope.spawn(|| lab.run("many", &["base"], many));
        std::thread::sleep(Duration::from_millis(500));
        // On a slow machine there is no group by then, or it has just been made and nothing is written into it.
        let until = Instant::now() + Duration::from_secs(if is_root() { 20 } else { 0 });
        let limit = || {
            let folder = group(&lab, "pids")?;
            std::fs::read_to_string(folder.join("pids.max")).ok()?.trim().parse::<u64>().ok()
        };
        let mut most = limit();
        while most.is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(100));
            most = limit();
        }
        let start = Instant::now();
        lab.call(Request::Cancel { token }).unwrap();
        run.join().unwrap();
        assert!(start.elapsed() < Duration::from_secs(5));
        // Not before the step has ended: a panic would wait for it.
        assert!(most.map_or(!is_root(), |most| most <= 16384), "{most:?}");
    });
    let sleeping = std::fs::read_dir("/proc").unwrap().flatten().filter(|e| {
        std::fs::read(e.path().join("cmdline")).is_ok_and(|c| c == b"sleep\086391\0" || c == b"/bin/sleep\086391\0")
    });
    assert_eq!(sleeping.count(), 0);
}

#[test]
fn s27_out_of_memory_is_the_steps_own() {
    let Some(lab) = lab("s27_out_of_memory_is_the_steps_own") else { return };
    lab.base("base");
    let limits = Limits { memory: Some(64 << 20), memory_swap: Some(64 << 20), ..Limits::default() };
    let Ok(Reply::Surveyed { notes }) = lab.call(Request::Survey { limits: limits.clone(), network: Network::Host }) else {
        panic!()
    };
    let (code, text, reply) = lab.run_with("r", &["base"], |process| {
        process.limits = limits;
        shell(process, "dd if=/dev/zero of=/dev/null bs=400M count=1");
    });
    let Reply::Exited { out_of_memory, usage, .. } = reply else { panic!() };
    if notes.is_empty() {
        assert!(code != 0 && out_of_memory, "{code} {text}");
        assert!(usage.peak_together.is_some_and(|peak| peak <= 64 << 20), "{usage:?}");
    } else {
        assert!(notes[0].contains("--memory") && code == 0 && !out_of_memory, "{notes:?} {code} {text}");
    }
    assert_eq!(lab.run("next", &["base"], "true").0, 0);
}

#[test]
fn limits_of_processors_are_kept() {
    let Some(lab) = lab("limits_of_processors_are_kept") else { return };
    lab.base("base");
    let limits = Limits { cpu_quota: Some(20_000), cpuset_cpus: Some("0".into()), ..Limits::default() };
    let (code, text, reply) = lab.run_with("r", &["base"], |process| {
        process.limits = limits.clone();
        shell(process, "n=0; while [ $n -lt 300000 ]; do n=$((n+1)); done; cat /proc/self/status");
    });
    assert_eq!(code, 0, "{text}");
    let Reply::Exited { usage, .. } = reply else { panic!() };
    assert!(usage.cpu_micros > 0 && usage.peak_memory > 0, "{usage:?}");
    if group_is_possible() {
        assert!(text.contains("Cpus_allowed_list:\t0\n"), "{text}");
        let wrong = Limits { cpuset_cpus: Some("4000".into()), ..Limits::default() };
        let failure = lab.try_run("w", &["base"], |process| process.limits = wrong).unwrap_err();
        assert!(failure.message.contains("4000"), "{failure:?}");
    }
}

fn group_is_possible() -> bool {
    is_root() && std::path::Path::new("/sys/fs/cgroup/cpuset/cpuset.cpus").exists()
}

#[test]
fn s28_a_process_that_holds_the_output_does_not_hold_the_step() {
    let Some(lab) = lab("s28_a_process_that_holds_the_output_does_not_hold_the_step") else { return };
    lab.base("base");
    let start = Instant::now();
    let (code, text, _) = lab.run("r", &["base"], "(trap '' TERM HUP; sleep 86390) & echo done");
    assert_eq!((code, text.as_str()), (0, "done\n"));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn s29_signals_to_everybody_stay_inside() {
    let Some(lab) = lab("s29_signals_to_everybody_stay_inside") else { return };
    lab.base("base");
    let (code, text, _) = lab.run("r", &["base"], "kill -STOP 1; kill -9 1; kill -9 -1; kill -TERM -1; echo alive");
    assert!(code == 0 && text.ends_with("alive\n"), "{code} {text}");
    assert_eq!(lab.run("next", &["base"], "true").0, 0);
}

#[test]
fn s31_output_is_kept_to_the_byte() {
    let Some(lab) = lab("s31_output_is_kept_to_the_byte") else { return };
    lab.base("base");
    let (code, text, _) = lab.run("r", &["base"], "cat; dd if=/dev/zero bs=1024 count=1024 2>/dev/null; printf '\\001end'");
    assert_eq!(code, 0);
    assert_eq!(text.len(), (1 << 20) + 4);
    assert!(text.ends_with("\u{1}end") && text.starts_with("\0\0"));
}

#[test]
fn s38_groups_of_the_caller_are_not_the_steps() {
    let Some(lab) = lab("s38_groups_of_the_caller_are_not_the_steps") else { return };
    lab.base("base");
    let (code, text, _) = lab.run("r", &["base"], "id -G; id -u");
    assert_eq!((code, text.as_str()), (0, "0\n0\n"));
}

#[test]
fn s24_an_isolated_network_reaches_no_loopback_of_the_machine() {
    let Some(lab) = lab("s24_an_isolated_network_reaches_no_loopback_of_the_machine") else { return };
    lab.base("base");
    let survey = lab.call(Request::Survey { limits: Limits::default(), network: Network::Isolated });
    if let Err(failure) = survey {
        assert!(failure.message.contains("pasta") && failure.message.contains("slirp4netns"), "{failure:?}");
        return println!("skipped s24_an_isolated_network: neither pasta nor slirp4netns is installed");
    }
    let result = lab.try_run("r", &["base"], |process| {
        process.network = Network::Isolated;
        shell(process, "cat /proc/net/dev /etc/resolv.conf /proc/net/unix");
    });
    match result {
        Ok((Reply::Exited { code, .. }, text)) => {
            assert_eq!(code, 0, "{text}");
            assert!(text.contains("lo:") && text.contains("nameserver "), "{text}");
            assert!(text.lines().filter(|line| line.contains(':') && line.contains(" 0 ")).count() >= 2, "{text}");
        }
        Ok(other) => panic!("{other:?}"),
        // Its device belongs to root on this machine.
        Err(failure) => assert!(!is_root() && failure.message.contains("cannot connect"), "{failure:?}"),
    }
}

#[test]
fn x19_groups_of_dead_workers_are_removed_and_others_kept() {
    if !group_is_possible() {
        return println!(
            "skipped x19_groups_of_dead_workers_are_removed_and_others_kept: needs root and old control groups"
        );
    }
    let Some(lab) = lab("x19_groups_of_dead_workers_are_removed_and_others_kept") else { return };
    lab.base("base");
    let folder = std::path::Path::new("/sys/fs/cgroup/pids");
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let below = own.lines().find_map(|line| line.split_once(":pids:")).map_or("/", |(_, path)| path).to_owned();
    let folder = folder.join(below.trim_start_matches('/'));
    let (dead, alive, other) = ("rbuild-tui-4194305-0", format!("rbuild-tui-{}-x19", std::process::id()), "other-4194305-0");
    for name in [dead, &alive, other] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    assert_eq!(lab.run("r", &["base"], "true").0, 0);
    let left = [dead, &alive, other].map(|name| folder.join(name).exists());
    for name in [dead, &alive, other] {
        let _ = std::fs::remove_dir(folder.join(name));
    }
    assert_eq!(left, [false, true, true]);
}

//! Where controllers are found, and what is written into groups and read out of them. The kernel is played by plain folders
//! here: what it does with the values is shown on a machine that has it (`tests/worker/confinement.rs`).

use super::*;

#[test]
fn e19_controllers_are_found_one_by_one() {
    let mounts = "30 25 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                  31 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                  32 30 0:29 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  33 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    let own = "4:memory:/docker/x/y\n3:cpu,cpuacct:/a\n2:pids:/\n1:name=systemd:/z\n0::/u\n";
    let found: Vec<_> =
        candidates(own, mounts).into_iter().map(|p| (p.controllers.concat(), p.folder.display().to_string())).collect();
    let wanted = [
        ("memory", "/sys/fs/cgroup/memory/y"),
        ("cpu", "/sys/fs/cgroup/cpu,cpuacct/a"),
        ("cpuacct", "/sys/fs/cgroup/cpu,cpuacct/a"),
        ("", "/sys/fs/cgroup/unified/u"),
    ];
    assert_eq!(found, wanted.map(|(name, path)| (name.to_owned(), path.to_owned())));
    assert!(candidates("", "").is_empty() && candidates(own, "").is_empty());
    let none = Cgroups { places: Vec::new(), next: AtomicU64::new(0) };
    let limits = Limits { memory: Some(1 << 28), ..Limits::default() };
    assert_eq!(none.missing(&limits).len(), 1);
    assert!(none.missing(&Limits::default()).is_empty());
    assert_eq!(none.group(&limits, Devices::Guarded).unwrap().measured(), Measured::default());
}

/// A group of the unified hierarchy as the kernel would have made it, but of plain files.
fn unified(controllers: &[&str]) -> (tempfile::TempDir, Group, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("rbuild-tui-1-0");
    fs::create_dir(&folder).unwrap();
    let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
    let place = Place { controllers, folder: dir.path().to_owned(), unified: true };
    (dir, Group { folders: vec![(place, folder.clone())], guards_devices: false }, folder)
}

#[test]
fn the_group_of_a_machine_with_the_unified_hierarchy_alone() {
    let mounts = "23 1 254:0 / / rw - ext4 /dev/vda rw\n\
                  31 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
    let own = "0::/user.slice/user-0.slice/session-3.scope\n";
    let found = candidates(own, mounts);
    assert_eq!(found.len(), 1);
    assert!(found[0].unified && found[0].controllers.is_empty());
    assert_eq!(found[0].folder, Path::new("/sys/fs/cgroup/user.slice/user-0.slice/session-3.scope"));
    // In a container with a name space for groups, of which only a part is mounted.
    let mounts = "31 23 0:27 /a/b /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
    assert_eq!(candidates("0::/a/b/c\n", mounts)[0].folder, Path::new("/sys/fs/cgroup/c"));
    assert!(candidates("0::/elsewhere\n", mounts).is_empty(), "what is not mounted cannot be written");
}

#[test]
fn limits_become_the_files_of_the_unified_hierarchy() {
    let (_dir, group, folder) = unified(&["memory", "cpu", "cpuset", "pids"]);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_else(|_| "none".into());
    group.limit(&Limits::default()).unwrap();
    assert_eq!((read("pids.max"), read("memory.max"), read("cpu.max")), ("16384".into(), "none".into(), "none".into()));
    let limits = Limits {
        memory: Some(64 << 20),
        cpu_quota: Some(150_000),
        cpu_shares: Some(1024),
        cpuset_cpus: Some("0-1".into()),
        cpuset_mems: Some("0".into()),
        ..Limits::default()
    };
    group.limit(&limits).unwrap();
    // Memory and swap together are twice the memory, and the unified hierarchy counts swap by itself.
    assert_eq!((read("memory.max"), read("memory.swap.max")), ("67108864".into(), "67108864".into()));
    // The weight is that of the runtime specification's table: shares 2 to 262144 are weights 1 to 10000.
    assert_eq!((read("cpu.max"), read("cpu.weight")), ("150000 100000".into(), "39".into()));
    assert_eq!((read("cpuset.cpus"), read("cpuset.mems")), ("0-1".into(), "0".into()));
    for (swap, written) in [(64 << 20, "0"), (96 << 20, "33554432"), (-1, "max")] {
        group.limit(&Limits { memory: Some(64 << 20), memory_swap: Some(swap), ..Limits::default() }).unwrap();
        assert_eq!(read("memory.swap.max"), written);
    }
    for (quota, period, written) in [(-1, None, "max 100000"), (5000, Some(10_000), "5000 10000")] {
        group.limit(&Limits { cpu_quota: Some(quota), cpu_period: period, ..Limits::default() }).unwrap();
        assert_eq!(read("cpu.max"), written);
    }
    for (shares, written) in [(2, "1"), (0, "1"), (262_144, "10000"), (u64::MAX, "10000")] {
        group.limit(&Limits { cpu_shares: Some(shares), ..Limits::default() }).unwrap();
        assert_eq!(read("cpu.weight"), written);
    }
    for old in ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.cfs_quota_us", "cpu.shares", "devices.deny"] {
        assert_eq!(read(old), "none", "{old} belongs to the old hierarchies");
    }
    group.add(4711);
    assert_eq!(read("cgroup.procs"), "4711");
    assert!(!group.guard_devices(), "devices are guarded by a program there, which is not ours to load");
}

#[test]
fn a_limit_that_the_kernel_refuses_ends_the_step_and_names_the_value() {
    let (_dir, group, folder) = unified(&["memory", "cpuset"]);
    fs::create_dir(folder.join("memory.max")).unwrap();
    let error = group.limit(&Limits { memory: Some(1 << 26), ..Limits::default() }).unwrap_err();
    assert!(error.message.contains("cannot limit the memory of the step to 67108864"), "{error}");
    fs::create_dir(folder.join("cpuset.cpus")).unwrap();
    let error = group.limit(&Limits { cpuset_cpus: Some("77".into()), ..Limits::default() }).unwrap_err();
    assert!(error.message.contains("processors (--cpuset-cpus)") && error.message.contains("77"), "{error}");
}

#[test]
fn measures_are_read_from_the_files_of_the_unified_hierarchy() {
    let (_dir, group, folder) = unified(&["memory", "cpu", "cpuset", "pids"]);
    assert_eq!(group.measured(), Measured::default(), "nothing is made up where nothing can be read");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("memory.peak", "12345678\n");
    write("memory.events", "low 0\nhigh 0\nmax 12\noom 0\noom_kill 0\noom_group_kill 0\n");
    write("cpu.stat", "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 0\n");
    let wanted = Measured { cpu_micros: Some(2_500_000), peak_memory: Some(12_345_678), out_of_memory: false };
    assert_eq!(group.measured(), wanted);
    write("memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n");
    assert!(group.measured().out_of_memory);
    // A kernel before 5.19 has no peak.
    fs::remove_file(folder.join("memory.peak")).unwrap();
    assert_eq!(group.measured().peak_memory, None);
    write("memory.peak", "what\n");
    assert_eq!(group.measured().peak_memory, None);
}

#[test]
fn controllers_that_the_group_has_not_got_are_missed_by_name() {
    let (_dir, group, folder) = unified(&["cpu"]);
    let limits = Limits { memory: Some(1 << 26), cpu_quota: Some(1000), ..Limits::default() };
    group.limit(&limits).unwrap();
    assert!(folder.join("cpu.max").exists() && !folder.join("memory.max").exists() && !folder.join("pids.max").exists());
    let places = group.folders.iter().map(|(place, _)| place.clone()).collect();
    let missing = Cgroups { places, next: AtomicU64::new(0) }.missing(&limits);
    assert!(missing.len() == 1 && missing[0].starts_with("--memory cannot be kept"), "{missing:?}");
}

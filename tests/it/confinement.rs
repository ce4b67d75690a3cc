//! What a Dockerfile may ask of the machine: rows of `reliability.md` 4.3 that the whole program answers for.

use super::program::{Ended, Program, busybox};

fn refused(program: &Program, dockerfile: &str, parts: &[&str]) {
    program.write("Dockerfile", dockerfile);
    let ended = program.run(&["build", "--plain"]);
    ended.says(1, parts);
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("first-ran"), "{}", ended.stdout);
}

fn with_base(program: &Program, layout: &std::path::Path, args: &[&str]) -> Ended {
    let base = format!("base=oci-layout://{}", layout.display());
    program.run(&[&["build", "--plain", "--build-context", &base], args].concat())
}

#[test]
fn s22_rights_are_refused_before_the_first_step() {
    let Some(layout) = busybox("s22_rights_are_refused_before_the_first_step") else { return };
    let program = Program::new("FROM scratch\n");
    for (flag, word) in [
        ("--security=insecure", "--allow security.insecure"),
        ("--network=host", "--allow network.host"),
        ("--security=bogus", "bogus"),
        ("--network=bogus", "bogus"),
        ("--device=vendor/gpu", "--device"),
    ] {
        program.write("Dockerfile", &format!("FROM base\nRUN echo first-ran\nRUN {flag} true\n"));
        let ended = with_base(&program, &layout, &[]);
        ended.says(1, &["Dockerfile:3", word]);
        assert!(!ended.stdout.contains("| first-ran"), "{}", ended.stdout);
    }
    program.write("Dockerfile", "FROM base\nRUN --security=insecure grep -c Seccomp:.0 /proc/self/status\n");
    with_base(&program, &layout, &["--allow", "security.insecure"]).says(0, &["| 1\n"]);
    // Granted for one thing, not for another.
    with_base(&program, &layout, &["--allow", "network.host"]).says(1, &["--allow security.insecure"]);
}

#[test]
fn s10_s11_mount_options_lead_nowhere() {
    let Some(layout) = busybox("s10_s11_mount_options_lead_nowhere") else { return };
    let program = Program::new("FROM scratch\n");
    std::fs::write(program.path("outside"), "outside-marker\n").unwrap();
    for source in ["../outside", "/../outside", "..", "/etc/hostname"] {
        let text = format!("FROM base\nRUN --mount=type=bind,source={source},target=/m cat /m /m/outside; exit 5\n");
        program.write("Dockerfile", &text);
        let ended = with_base(&program, &layout, &[]);
        assert_eq!(ended.code, Some(1), "{source}: {}", ended.stdout);
        assert!(!ended.stdout.contains("outside-marker"), "{source}: {}", ended.stdout);
    }
    for option in ["bind-propagation=suid", "bind-propagation=rshared", "nonesuch=1", "type=nonesuch"] {
        refused(&program, &format!("FROM scratch\nRUN --mount=target=/m,{option} x\n"), &["Dockerfile:2"]);
    }
}

#[test]
fn s35_configuration_is_data() {
    let program = Program::new("FROM scratch\n");
    if !super::program::can_build("s35_configuration_is_data") {
        return;
    }
    let text = "FROM scratch\nLABEL com.docker.x=y org.mobyproject.z=\"\\$(id)\"\nVOLUME /../..\nWORKDIR ../../..\n\
                EXPOSE 80\nCOPY f f\n";
    program.write("Dockerfile", text);
    program.write("f", "1\n");
    let document = program.build(&[]);
    assert_eq!(document["steps"].as_array().unwrap().len(), 6);
    assert!(!program.path("f").exists(), "nothing above the root of the image is written");
}

#[test]
fn s27_a_step_that_takes_too_much_memory_says_the_limit() {
    let Some(layout) = busybox("s27_a_step_that_takes_too_much_memory_says_the_limit") else { return };
    let program = Program::new("FROM base\nRUN dd if=/dev/zero of=/dev/null bs=200M count=1\n");
    let ended = with_base(&program, &layout, &["--memory=32m", "--memory-swap=32m"]);
    if ended.stdout.contains("--memory cannot be kept") || ended.stderr.contains("--memory cannot be kept") {
        return println!("skipped: s27_a_step_that_takes_too_much_memory_says_the_limit: no control group for memory");
    }
    ended.says(1, &["Dockerfile:2 RUN", "out of memory (limit 32 MiB)", "give more with --memory"]);
    // So little that what starts the command does not fit in: the flag is named all the same.
    let ended = with_base(&program, &layout, &["--memory=6m", "--memory-swap=6m"]);
    ended.says(1, &["Dockerfile:2 RUN", "out of memory (limit 6 MiB)", "give more with --memory"]);
    for (args, wrong) in [
        (["--memory=1m", "--cpus=1"], "6m"),
        (["--memory=64m", "--memory-swap=32m"], "--memory-swap"),
        (["--cpus=none", "--memory=64m"], "--cpus"),
        (["--cpuset-cpus=a;b", "--memory=64m"], "--cpuset-cpus"),
    ] {
        program.run(&[&["build"][..], &args].concat()).says(2, &[wrong]);
    }
}

#[test]
fn s24_an_isolated_step_does_not_reach_the_machines_loopback() {
    let test = "s24_an_isolated_step_does_not_reach_the_machines_loopback";
    let Some(layout) = busybox(test) else { return };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    // The machine's loopback by its name, by slirp4netns' name for the machine, and by the gateway.
    let text = format!(
        "FROM base\nRUN for a in 127.0.0.1 10.0.2.2 $(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'); do \
         timeout 2 nc -w 1 $a {port} < /dev/null; done; echo tried\n"
    );
    let program = Program::new(&text);
    with_base(&program, &layout, &["--network=host"]).says(0, &["| tried"]);
    assert!(listener.accept().is_ok(), "with the machine's network it is reached");
    let ended = with_base(&program, &layout, &["--network=isolated", "--no-cache"]);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    if said.contains("neither is installed") || said.contains("cannot connect the step's network") {
        assert_eq!(ended.code, Some(3), "{said}");
        return println!("skipped: {test}: no pasta or slirp4netns that could be used");
    }
    ended.says(0, &["| tried"]);
    assert!(listener.accept().is_err(), "{said}");
}

#[test]
fn e19_without_control_groups_limits_are_said_to_be_off() {
    let test = "e19_without_control_groups_limits_are_said_to_be_off";
    let Some(layout) = busybox(test) else { return };
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: {test}: needs root");
    }
    let program = Program::new("FROM base\nRUN echo ran\n");
    let base = format!("base=oci-layout://{}", layout.display());
    // No hierarchy at all, and hierarchies that are read-only, in a mount namespace of its own.
    let hidden = "mount -t tmpfs none /sys/fs/cgroup";
    let closed = "for m in $(awk '$9 ~ /^cgroup/ || $10 ~ /^cgroup/ {print $5}' /proc/self/mountinfo); do \
                  mount -o remount,bind,ro $m; done";
    for way in [hidden, closed] {
        let build =
            program.command(&["build", "--plain", "--no-cache", "--memory=64m", "--cpus=1", "--build-context", &base]);
        let mut command = std::process::Command::new("unshare");
        command.args(["-m", "sh", "-c", &format!("{way} && exec \"$@\""), "sh"]).arg(build.get_program());
        command.args(build.get_args()).env_clear().current_dir(&program.context).stdin(std::process::Stdio::null());
        build.get_envs().for_each(|(name, value)| {
            command.env(name, value.unwrap_or_default());
        });
        let ended = Ended::of(command.output().unwrap());
        ended.says(0, &["--memory cannot be kept", "--cpus", "| ran"]);
    }
}

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
    std::fs::write("/tmp/wk/one.tar", tar).unwrap();
    let names: Vec<_> = lab.names(&["base", "one"]);
    assert!(names.contains(&"f".to_owned()) && names.contains(&"d".to_owned()));
    for absent in ["etc/group", "proc", "dev", "sys", "etc/hosts", "etc/resolv.conf"] {
        assert!(!names.contains(&absent.to_owned()), "{absent}");
    }
    for (command, wanted) in [("exit 3", 3), ("kill -9 $$", 0), ("exec /nowhere", 127), ("exec /etc", 126)] {
        let (code, text, reply) = lab.run("never", &["base"], command);
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

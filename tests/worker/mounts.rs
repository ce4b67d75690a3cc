//! `RUN --mount`.

use super::lab::{id, lab};
use rbuild_tui::engine::protocol::*;

fn mount(target: &str, read_only: bool, content: MountContent) -> MountSpec {
    MountSpec { target: target.into(), read_only, content }
}

fn cache(name: &str, sharing: CacheSharing) -> MountContent {
    MountContent::Cache { name: name.into(), sharing, seed: None, path: String::new(), uid: 0, gid: 0, mode: 0o750 }
}

fn shell(process: &mut ProcessSpec, command: &str, mounts: Vec<MountSpec>) {
    process.args = ["/bin/sh", "-c", command].map(str::to_owned).to_vec();
    process.mounts = mounts;
}

#[test]
fn mounts_show_what_they_should_and_leave_nothing_in_the_layer() {
    let Some(lab) = lab("mounts_show_what_they_should_and_leave_nothing_in_the_layer") else { return };
    lab.base("base");
    let (code, text, _) = lab.run("source", &["base"], "mkdir -p /t/sub; echo tool > /t/sub/x; ln -s /t/sub /link");
    assert_eq!(code, 0, "{text}");
    let layers = vec![id("base"), id("source")];
    let tool = |path: &str| MountContent::Layers { layers: layers.clone(), path: path.into() };
    let secret = MountContent::File { bytes: b"s3cret".to_vec(), uid: 1000, gid: 1001, mode: 0o400 };
    let command = "cat /ro/x; echo y > /ro/y || echo refused; echo y > /rw/y && ls /rw; cat /file; cat /run/secrets/s; \
                   ls -ln /run/secrets; echo kept > /cache/f; echo z > /cache/inner/z; mount";
    let (code, text, _) = lab.run_with("mounted", &["base"], |process| {
        let mounts = vec![
            mount("/cache", false, cache("00aa", CacheSharing::Shared)),
            mount("/cache/inner", false, MountContent::Tmpfs { size: Some(1 << 20) }),
            mount("/file", true, tool("t/sub/x")),
            mount("/ro", true, tool("link")),
            mount("/run/secrets/s", true, secret),
            mount("/rw", false, tool("t/sub")),
        ];
        shell(process, command, mounts);
    });
    assert_eq!(code, 0, "{text}");
    for wanted in ["tool\n", "refused", "x\ny\n", "s3cret", "1000", "size=1024k"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let names = lab.names(&["base", "mounted"]);
    for absent in ["cache", "ro", "rw", "file", "run", "run/secrets"] {
        assert!(!names.contains(&absent.to_owned()), "{absent} is in {names:?}");
    }
    // A cache outlives the step, what was written to a bind does not.
    let (_, text, _) = lab.run_with("again", &["base"], |process| {
        let mounts = vec![mount("/c", false, cache("00aa", CacheSharing::Locked)), mount("/rw", true, tool("t/sub"))];
        shell(process, "cat /c/f; ls /c/inner /rw", mounts);
    });
    assert!(text.starts_with("kept\n") && !text.contains('z') && !text.contains('y'), "{text}");
}

#[test]
fn s06_s09_sources_and_names_do_not_lead_out() {
    let Some(lab) = lab("s06_s09_sources_and_names_do_not_lead_out") else { return };
    lab.base("base");
    let (code, ..) = lab.run("evil", &["base"], "ln -s / /rootdir; ln -s ../../../../../.. /up; echo inside > /marker");
    assert_eq!(code, 0);
    let layers = vec![id("base"), id("evil")];
    for path in ["rootdir", "up", "../../../.."] {
        let (code, text, _) = lab.run_with(&format!("out-{}", path.len()), &["base"], |process| {
            let content = MountContent::Layers { layers: layers.clone(), path: path.into() };
            shell(process, "cat /b/marker", vec![mount("/b", true, content)]);
        });
        assert_eq!((code, text.as_str()), (0, "inside\n"), "{path} leads to the image's own root");
    }
    for name in ["../../etc", "..", "", "a/b"] {
        let failed = lab.try_run("never", &["base"], |process| {
            shell(process, "true", vec![mount("/c", false, cache(name, CacheSharing::Shared))]);
        });
        assert!(failed.unwrap_err().message.contains("no digest"), "{name}");
    }
    let failed = lab.try_run("never", &["base"], |process| {
        let content = MountContent::Layers { layers: layers.clone(), path: "nowhere".into() };
        shell(process, "true", vec![mount("/b", true, content)]);
    });
    assert!(failed.unwrap_err().message.contains("`nowhere` of a mount does not exist"));
}

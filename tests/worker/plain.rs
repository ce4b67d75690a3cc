//! Layers without overlayfs: the layers must be those that overlayfs makes, to the last byte.

use super::lab::{Lab, Tar, id, lab};
use rbuild_tui::engine::protocol::*;

/// What a step may do to a lower tree.
const SCRIPTS: [&str; 14] = [
    "echo x > /new; mkdir /dir /dir/sub; echo y > /dir/sub/f",
    "rm /low/file; rm -r /low/tree",
    "rm -r /low/tree; mkdir /low/tree; echo z > /low/tree/again",
    "echo more >> /low/deep/er/file",
    "chmod 600 /low/file; chmod 700 /low/deep/er",
    "rm /low/file; mkdir /low/file; echo x > /low/file/in",
    "rm -r /low/tree; echo now a file > /low/tree",
    "mv /low/file /low/moved; mv /low/tree /low/elsewhere",
    "ln /low/file /low/second; ln -s file /low/link",
    "rm /low/link-to; ln -s other /low/link-to",
    "touch /low/tree/a; mkdir -p /low/tree/new/er; rm /low/tree/b",
    "mkdir /m; mv /low/tree/a /m/a; rm -r /m; true",
    "rm -r /low; mkdir -p /low/deep/er; echo 1 > /low/deep/er/file",
    "true",
];

fn lower(lab: &Lab) {
    lab.base("base");
    let tar = Tar::default().dir("low", 0o755).file("low/file", 0o644, b"1").dir("low/tree", 0o755);
    let tar = tar.file("low/tree/a", 0o644, b"a").file("low/tree/b", 0o600, b"b").dir("low/tree/c", 0o711);
    let tar = tar.file("low/tree/c/d", 0o644, b"d").dir("low/deep", 0o755).dir("low/deep/er", 0o750);
    let tar = tar.file("low/deep/er/file", 0o644, b"f").link("low/link-to", "file").file("low/hard", 0o644, b"h");
    lab.unpack("low", &["base"], &tar.hard("low/hard2", "low/hard")).unwrap();
    let tar = Tar::default().file("low/tree/.wh.c", 0o644, b"").file("low/tree/e", 0o644, b"e");
    lab.unpack("low2", &["base", "low"], &tar).unwrap();
}

/// DiffIDs of what the scripts make, with all times at zero.
fn digests(lab: &Lab) -> Vec<String> {
    lower(lab);
    let run = |(number, script): (usize, &&str)| {
        let name = format!("made{number}");
        let (code, text, reply) = lab.run(&name, &["base", "low", "low2"], script);
        assert_eq!(code, 0, "{script}: {text} {reply:?}");
        let out = tempfile::tempfile().unwrap();
        let request = Request::WriteLayer { layer: id(&name), compression: Compression::None, clamp_times: Some(0) };
        match lab.call_with(request, vec![out.into()]).unwrap() {
            Reply::Written { diff_id, .. } => format!("{script}: {diff_id} {:?}", lab.names(&[&name])),
            other => panic!("{other:?}"),
        }
    };
    SCRIPTS.iter().enumerate().map(run).collect()
}

#[test]
fn plain_trees_make_the_layers_of_overlayfs() {
    let Some(overlay) = lab("plain_trees_make_the_layers_of_overlayfs") else { return };
    let plain = super::lab::lab_of(rbuild_tui::engine::worker::Snapshots::Copied);
    for (wanted, found) in digests(&overlay).into_iter().zip(digests(&plain)) {
        assert_eq!(wanted, found);
    }
    // Nothing reached the lower layers.
    assert_eq!(overlay.names(&["base", "low", "low2"]), plain.names(&["base", "low", "low2"]));
}

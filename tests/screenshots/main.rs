//! Pictures of the real binary: `cargo test --test screenshots -- --ignored` runs `rbuild-tui demo` in a pseudo-terminal,
//! drives it with keys and writes `screenshots/*.svg` (needs root, as building does; about 20 seconds).

mod terminal;

use std::path::Path;
use std::time::Duration;

use rbuild_tui::front::tui::screenshot;
use terminal::Terminal;

const SIZE: (u16, u16) = (112, 30);

#[test]
#[ignore = "writes pictures; run it by name"]
fn screenshots_of_the_demo() {
    let store = tempfile::tempdir().unwrap();
    let project = store.path().join("shop");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    let kept = store.path().join("store");
    let arguments = ["demo", "--store", &kept.to_string_lossy(), "--dir", &project.to_string_lossy()];
    let mut screen = Terminal::start(env!("CARGO_BIN_EXE_rbuild-tui"), &arguments, SIZE);
    let save = |screen: &Terminal, name: &str| {
        std::fs::write(folder.join(name).with_extension("svg"), screenshot::svg(screen.buffer())).unwrap();
    };
    // The demo built twice; its miss is on the screen.
    screen.wait_for("avoidable");
    screen.wait_for("Then these ran");
    save(&screen, "explain");
    screen.press("s");
    screen.wait_for("on offer");
    screen.wait_for("+ COPY vendor.lock");
    save(&screen, "fix");
    let source = project.join("src/greeting.sh");
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text.replace("good morning", "good evening")).unwrap();
    screen.press("1b");
    screen.wait_for("installed gauges");
    save(&screen, "build");
    screen.wait_for("avoidable");
    screen.press("q");
    assert!(screen.ended(Duration::from_secs(10)), "it did not end after `q`:\n{}", screen.text());
}

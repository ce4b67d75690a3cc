//! The Layers view.

use super::*;
use crate::engine::Layered;
use crate::engine::image::inspect::fixture::Tape;
use crate::engine::image::inspect::{LayerSource, Tar};
use crate::front::tui::ViewName;

/// Three layers whose every name has `word` in it.
pub(super) fn three(word: &str) -> (Layered, Stack) {
    let big = "x".repeat(4000);
    let base = Tape::default()
        .file(&format!("etc/{word}.conf"), "12345")
        .file(&format!("usr/share/{word}/doc"), &big)
        .symlink("lib", &format!("usr/{word}"));
    let app = Tape::default().file(&format!("app/{word}/package.json"), "123456").file(&format!("app/{word}/a.js"), "1");
    let top = Tape::default().gone(&format!("usr/share/{word}")).file(&format!("app/{word}/a.js"), "1234").dir("tmp/");
    let stack = Stack::of([base, app, top].map(Tape::listing).into());
    let source = |made_by: String, line: Option<u32>| LayerSource {
        tar: Tar::Directory("layer-0001".parse().unwrap()),
        made_by,
        line,
        stage: None,
        is_base: line.is_none(),
    };
    let layers = vec![
        source(format!("/bin/sh -c #(nop) ADD file:{word} in / "), None),
        source(format!("COPY {word} ."), Some(3)),
        source(format!("RUN make {word}"), Some(4)),
    ];
    (Layered::outside(format!("Dockerfile:4 RUN make {word}"), layers), stack)
}

#[track_caller]
fn assert_all(screen: &str, parts: &[&str]) {
    for part in parts {
        assert!(screen.contains(part), "`{part}` is missing in\n{screen}");
    }
}

#[test]
fn layers_above_the_tree_or_beside_it() {
    for (width, height, frames) in [(80, 24, 1), (120, 40, 2), (140, 40, 2)] {
        let mut bench = Bench::new();
        bench.keys("5");
        let screen = bench.screen(width, height);
        assert_all(
            &screen,
            &[
                "[5 Layers]",
                "Layers  Dockerfile:4 RUN",
                "4.0 kB  !4.0 kB  0%",
                "▌ 3 4 RUN make",
                "  2 3 COPY shop-api",
                "  1 base: ADD file:shop-api",
                "!4.0 kB",
                "Files in layer 3",
                "C       a.js",
                "R     ▾ shop-api/",
                "R         doc",
                "A   tmp/",
            ],
        );
        if frames == 2 {
            assert_all(
                &screen,
                &["Waste", "4.0 kB  /usr/share/shop-api", "1 > 3 removed", "1 B  /app/shop-api/a.js", "2 > 3 replaced"],
            );
        }
        let row = screen.lines().find(|line| line.contains('╭')).unwrap();
        assert_eq!(row.matches('╭').count(), frames, "{screen}");
        assert!(screen.lines().all(|line| crate::front::text::width(line) <= width.into()));
    }
}

#[test]
fn keys_walk_the_layers_and_the_tree() {
    let mut bench = Bench::new();
    bench.keys("5j");
    assert_eq!((bench.app.layers.layer, bench.app.layers.in_tree), (1, false));
    assert_all(&bench.screen(80, 24), &["Files in layer 2", "A       package.json"]);
    // Into the tree, down to the file, and its beginning.
    bench.key(KeyCode::Right);
    bench.keys("jjj");
    bench.key(KeyCode::Enter);
    let screen = bench.screen(120, 40);
    assert_all(&screen, &["/app/shop-api/package.json", "{\"name\": \"shop-api\"}", "text, "]);
    bench.key(KeyCode::Esc);
    assert_eq!(bench.app.view, ViewName::Layers, "only the preview was closed");
    assert!(!bench.screen(120, 40).contains("{\"name\""));
    // Out: to the directory, which is closed then, and further up.
    bench.key(KeyCode::Left);
    bench.key(KeyCode::Left);
    assert!(!bench.screen(80, 24).contains("package.json"));
    for _ in 0..3 {
        bench.key(KeyCode::Left);
    }
    assert!(!bench.app.layers.in_tree);
    bench.key(KeyCode::Esc);
    assert_eq!(bench.app.view, ViewName::Build);
}

#[test]
fn all_layers_together_have_no_marks_and_nothing_that_was_removed() {
    let mut bench = Bench::new();
    bench.keys("5v");
    let screen = bench.screen(80, 24);
    assert_all(&screen, &["All layers together", "shop-api.conf", "lib -> usr/shop-api"]);
    assert!(!screen.contains("doc"), "{screen}");
}

#[test]
fn the_layers_are_asked_for_once_and_old_answers_are_dropped() {
    let mut bench = Bench::new();
    let effects = |bench: &mut Bench, letter| {
        let key = KeyEvent::new(KeyCode::Char(letter), KeyModifiers::NONE);
        bench.app.update(Msg::Key(key))
    };
    let asked = effects(&mut bench, '5');
    let Some(Effect::Layers(first, 3)) = asked.last() else { panic!("{asked:?}") };
    assert!(effects(&mut bench, 'v').is_empty());
    // Another step is selected before the answer comes.
    bench.app.model.selected = Some(4);
    let again = effects(&mut bench, 'v');
    assert!(matches!(again.last(), Some(Effect::Layers(second, 4)) if second > first), "{again:?}");
    bench.send(Msg::Layers(*first, Err("old".to_owned())));
    assert!(bench.screen(80, 24).contains("Reading the layers"));
    bench.perform(again);
    assert!(bench.screen(80, 24).contains("Files in layer 3") || bench.app.layers.merged);
}

#[test]
fn what_cannot_be_shown_says_why() {
    let mut bench = Bench::new();
    bench.keys("G5");
    assert_all(&bench.screen(80, 24), &["the last build has no step at line 14"]);
    bench.keys("b");
    assert_all(&bench.screen(80, 24), &["Layers are shown when the build has ended."]);
}

#[test]
fn a_large_tree_is_folded_and_moving_in_it_is_quick() {
    let files = (0..20_000).fold(Tape::default(), |tape, n| tape.file(&format!("d{}/s{}/f{n}", n % 100, n % 1000), "1"));
    let stack = Stack::of(vec![files.listing()]);
    let source = three("x").0.layers[0].clone();
    let found = LayersFound::new(Layered::outside("big".to_owned(), vec![source]), stack);
    let mut bench = Bench::new();
    bench.app.view = ViewName::Layers;
    let Some(Effect::Layers(question, _)) = bench.app.update(Msg::Tick(0)).pop() else { panic!("not asked") };
    bench.send(Msg::Layers(question, Ok(Reading(std::sync::Arc::new(found)))));
    assert_eq!(bench.app.layers.visible.len(), 100);
    let began = std::time::Instant::now();
    for _ in 0..100 {
        bench.key(KeyCode::Right);
        bench.keys("j");
    }
    bench.screen(80, 24);
    assert!(began.elapsed().as_millis() < 2000, "{:?}", began.elapsed());
    assert!(bench.app.layers.visible.len() > 100);
}

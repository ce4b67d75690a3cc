//! What newcomers see.

use super::*;

#[track_caller]
fn assert_all(screen: &str, parts: &[&str]) {
    for part in parts {
        assert!(screen.contains(part), "`{part}` is missing in\n{screen}");
    }
}

/// A build up to the moment when `npm install` runs.
fn running() -> Vec<Stamped> {
    let mut log = fixture::second_build();
    let at = log.iter().position(|e| matches!(e.event, BuildEvent::Output { vertex, .. } if vertex.0 == 3)).unwrap();
    log.truncate(at + 1);
    log
}

struct Fresh;

impl Host for Fresh {
    fn name(&self) -> String {
        "shop-api".to_owned()
    }
    fn dockerfile(&self) -> Result<String, String> {
        FakeHost.dockerfile()
    }
    fn outline(&self) -> Vec<Stamped> {
        FakeHost.outline()
    }
    fn last_build(&self) -> Option<Vec<Stamped>> {
        None
    }
    fn start_build(&self) -> Result<BuildHandle, String> {
        FakeHost.start_build()
    }
    fn output(&self, b: &str, v: crate::engine::event::VertexId, o: u64, l: u64) -> Result<Vec<u8>, String> {
        FakeHost.output(b, v, o, l)
    }
    fn plan(&self) -> Result<Vec<Stamped>, String> {
        Err("no engine in this test".to_owned())
    }

    fn wait_for_change(&self) -> bool {
        false
    }

    fn layers(&self, line: u32) -> Result<(crate::engine::Layered, Stack), String> {
        FakeHost.layers(line)
    }
    fn preview(&self, of: &LayersFound, layer: u32, entry: u32) -> Result<Preview, String> {
        FakeHost.preview(of, layer, entry)
    }
    fn shell(&self, line: u32, side: crate::engine::Side) -> Result<String, String> {
        FakeHost.shell(line, side)
    }
    fn suggest(&self) -> Result<SuggestReport, String> {
        FakeHost.suggest()
    }
    fn apply(&self, s: &Suggestion) -> Result<String, String> {
        FakeHost.apply(s)
    }
}

#[test]
fn before_the_first_build() {
    let mut bench = Bench::with(Box::new(Fresh), &TuiOptions::default());
    let screen = bench.screen(80, 24);
    assert_all(&screen, &["not built yet: press b", "RUN npm run build", "? help", "6 Fixes (1)"]);
}

#[test]
fn build_at_80x24() {
    let screen = Bench::new().screen(80, 24);
    assert_all(
        &screen,
        &[
            "shop-api",
            "✓ 5",
            "✗ 1",
            "↳ 2",
            "▲ 41.2s avoidable: press s",
            "[1 Build]",
            "▾ build",
            "▾ final stage",
            "✗  3 COPY . .",
            "changed",
            "reran",
            "41.2s",
            "276 MB",
            "(12.0s)",
            "COPY . . changed, so 2 more steps ran again.",
            "w why",
            "s fix",
            "b build",
            "? help",
        ],
    );
    assert!(screen.lines().all(|line| crate::front::text::width(line) <= 80));
}

#[test]
fn build_at_120x40_and_140x40_has_list_and_log_beside_each_other() {
    for width in [120, 140] {
        let mut bench = Bench::new();
        bench.keys("j");
        let screen = bench.screen(width, 40);
        assert_all(&screen, &["5 cached", "1 changed", "2 reran", "added 812 packages", "root cause: line 3"]);
        let row = screen.lines().find(|line| line.contains("╭")).unwrap();
        assert_eq!(row.matches('╭').count(), 2, "{screen}");
    }
}

#[test]
fn a_running_build_is_live() {
    let mut bench = Bench::new();
    bench.build(&running());
    bench.send(Msg::Tick(20_000_000));
    let screen = bench.screen(80, 24);
    assert_all(&screen, &["▶  4 RUN npm", "running", "added 812 packages", "Running line 4", "19."]);
    assert!(bench.left.contains(&Effect::StartBuild));
}

#[test]
fn a_failed_build_shows_the_failure() {
    let mut bench = Bench::new();
    let mut log = fixture::Log { events: running(), ..Default::default() };
    let message = "Dockerfile:4 RUN npm install: exit code 1".to_owned();
    log.finish(3, crate::engine::event::Outcome::Failed { message: message.clone() }, 0, 900_000);
    log.add(
        1,
        BuildEvent::BuildFinished { error: Some(message), cancelled: false, environment: false, image: None, micros: 9 },
    );
    bench.build(&log.events);
    let screen = bench.screen(80, 24);
    assert_all(&screen, &["‼  4 RUN", "failed", "exit code 1", "Failed at line 4", "– "]);
}

#[test]
fn a_broken_dockerfile_shows_all_findings() {
    let mut bench = Bench::new();
    let mut log = fixture::Log { events: fixture::second_build()[..1].to_vec(), ..Default::default() };
    let text = "Dockerfile:3:1: unknown instruction `COPPY`\n  3 | COPPY . .\n      ^^^^^".to_owned();
    log.add(1, BuildEvent::Diagnosed { text, error: true, line: 3 });
    let error = Some("the Dockerfile has 1 error".to_owned());
    log.add(1, BuildEvent::BuildFinished { error, cancelled: false, environment: false, image: None, micros: 9 });
    bench.build(&log.events);
    assert_all(&bench.screen(80, 24), &["unknown instruction `COPPY`", "^^^^^"]);
}

#[test]
fn explain_at_all_sizes() {
    for (width, height) in [(80, 24), (120, 40), (140, 40)] {
        let mut bench = Bench::new();
        bench.keys("jw");
        let screen = bench.screen(width, height);
        assert_all(
            &screen,
            &[
                "Why did  4 RUN npm install",
                "run again?",
                "↳ reran   It ran again only because a step before it ran.",
                "Root cause",
                "✗  3 COPY . .",
                "M2  the content of `src/routes/cart.ts` changed",
                "41.2s of the 1m 01s",
            ],
        );
        bench.keys("k");
        let screen = bench.screen(width, height);
        assert_all(&screen, &["Why did  3 COPY . .", "Then these ran, only because of it", "41.2s █"]);
        bench.key(KeyCode::Down);
        bench.key(KeyCode::Down);
        assert_all(&bench.screen(width, height), &["5 ENV NODE_ENV", "it enters the key of line 8"]);
    }
}

#[test]
fn fix_at_all_sizes() {
    for (width, height) in [(80, 24), (140, 40)] {
        let mut bench = Bench::new();
        bench.keys("s");
        let screen = bench.screen(width, height);
        assert_all(&screen, &["1 on offer", "Not proven", "- COPY . .", "+ COPY package.json", "avoidable"]);
        bench.keys("a");
        assert_all(&bench.screen(width, height), &["Write Dockerfile?", "[ Cancel ]", "backup"]);
        bench.key(KeyCode::Esc);
        bench.keys("j");
        assert_all(&bench.screen(width, height), &["Not offered: apt-get install reads nothing"]);
    }
}

#[test]
fn help_is_made_from_the_key_map() {
    let mut bench = Bench::new();
    bench.keys("?");
    assert_all(&bench.screen(140, 40), &["Help", "explain why the step ran", "↳  reran ", "Everywhere"]);
    bench.keys("filter");
    let screen = bench.screen(80, 24);
    assert_all(&screen, &["› filter", "show only steps that contain a text"]);
    assert!(!screen.contains("quit; asks"));
}

#[test]
fn a_small_terminal_says_what_it_needs() {
    let screen = Bench::new().screen(40, 10);
    assert_all(&screen, &["needs 60×15, has 40×10"]);
    assert_eq!(screen.lines().filter(|line| !line.is_empty()).count(), 1);
    assert_all(&Bench::new().screen(60, 15), &["✗ 1", "RUN npm", "? help"]);
}

#[test]
fn ascii_and_mono_stay_readable() {
    let mut bench = Bench::with(Box::new(FakeHost), &TuiOptions { ascii: true, no_color: true, ..Default::default() });
    let screen = bench.screen(80, 24);
    assert!(screen.is_ascii(), "{screen}");
    assert_all(&screen, &["**  3 COPY . .", "->  4 RUN", "+- Steps"]);
    let buffer = bench.buffer(80, 24);
    use ratatui::style::{Color, Modifier};
    assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(buffer.content.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
}

#[test]
fn no_size_panics() {
    let script: [&str; 11] = ["", "w", "s", "sa", "?", "/npm", "l", "j2", "5", "5v jjp", "5 jjj "];
    for letters in script {
        for (log, long) in [(running(), false), (fixture::second_build(), true)] {
            let mut bench = Bench::new();
            if long {
                bench.build(&log);
            }
            bench.keys(letters);
            for width in (1..=100).step_by(7) {
                for height in (1..=40).step_by(3) {
                    bench.buffer(width, height);
                }
            }
            bench.buffer(250, 80);
        }
    }
}

#[test]
fn a_screenshot_is_deterministic_and_well_formed() {
    let buffer = Bench::new().buffer(80, 24);
    let svg = crate::front::tui::screenshot::svg(&buffer);
    assert_eq!(svg, crate::front::tui::screenshot::svg(&buffer));
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
}

#[test]
fn what_the_next_build_will_do_stands_beside_the_steps() {
    let mut bench = Bench::new();
    assert!(bench.screen(80, 24).contains("next build: all cached"));
    let events = crate::insight::model::fixture::plan();
    bench.send(Msg::Changed);
    bench.send(Msg::Planned(2, Ok(events)));
    let screen = bench.screen(120, 40);
    for part in [
        "next build: 3 will run, 1 open, ~38.9s",
        "✗≠ 3 COPY . .",
        "✓?12 COPY --from=build",
        "✓  2 WORKDIR",
        "runs next time",
        "next build: it will run",
        "    M2: the content of",
    ] {
        assert!(screen.contains(part), "{part}\n{screen}");
    }
    // With its evidence, also where the steps have no room for it.
    bench.keys("w");
    let screen = bench.screen(80, 40);
    for part in ["Next build", "it will run", "M2: the content of `src/routes/cart.ts` changed"] {
        assert!(screen.contains(part), "{part}\n{screen}");
    }
    bench.keys("1");
    // An answer to an older question is not taken.
    bench.send(Msg::Planned(1, Err("old".into())));
    assert!(bench.screen(80, 24).contains("3 will run"));
}

#[test]
fn the_cascade_and_the_timeline_at_all_sizes() {
    let mut bench = Bench::new();
    bench.keys("3");
    for (width, height) in [(80, 24), (120, 40), (60, 15)] {
        let screen = bench.screen(width, height);
        assert!(screen.contains("1m 01s in all  line 3 COPY . ."), "{screen}");
        assert!(screen.contains("M2: the content of `src/routes/cart.ts` changed"));
        assert!(screen.contains("4 RUN npm install"));
    }
    bench.keys("4");
    for (width, height) in [(80, 24), (120, 40), (60, 15)] {
        let screen = bench.screen(width, height);
        assert!(screen.contains("critical path: line 3 > 4 > 8"), "{screen}");
        assert!(screen.contains("41.2s"));
    }
}

#[test]
fn a_long_list_draws_only_what_is_seen() {
    let mut log = fixture::Log::default();
    for vertex in 0..5_000u32 {
        log.step(vertex, vertex + 1, (vertex / 50, None), &format!("RUN step {vertex}"), Role::Step);
    }
    let mut bench = Bench::new();
    bench.app.model.state = crate::insight::model::BuildState::fold(&log.events);
    bench.keys("G");
    assert_all(&bench.screen(80, 24), &["RUN step 4999", "above, 0 below"]);
    bench.keys("g");
    assert_all(&bench.screen(80, 24), &["RUN step 0", "0 above"]);
    assert!(!log.events.iter().any(|e| is_config(&e.event)));
}

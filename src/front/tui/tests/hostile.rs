//! Names and output that try to act on the terminal.

use super::*;
use crate::engine::event::VertexId;
use crate::engine::verdict::{FileAttribute, MissReason};

const EVIL: &str = "x\x1b[2J\x1b]52;c;aGk=\x07\u{9b}31m\u{202e}gpj\u{200b}\r\n\ty";

struct Evil;

impl Host for Evil {
    fn name(&self) -> String {
        EVIL.to_owned()
    }
    fn dockerfile(&self) -> Result<String, String> {
        Err(EVIL.to_owned())
    }
    fn outline(&self) -> Vec<Stamped> {
        Vec::new()
    }
    fn last_build(&self) -> Option<Vec<Stamped>> {
        let mut log = fixture::Log::default();
        let (build, dockerfile, context) = (EVIL.to_owned(), EVIL.to_owned(), EVIL.to_owned());
        log.add(0, BuildEvent::BuildStarted { build, dockerfile, context, target: Some(EVIL.to_owned()), unix: 0 });
        log.step(0, 1, (0, Some(EVIL)), &format!("RUN {EVIL}"), Role::Step);
        log.step(1, 2, (1, Some(EVIL)), &format!("COPY {EVIL} ."), Role::Step);
        let path = EVIL.to_owned();
        let (old, new) = (Some(EVIL.to_owned()), Some(EVIL.to_owned()));
        let file = MissReason::FileChanged { path, attribute: FileAttribute::Mode, old, new, by_ignore_rule: false };
        log.miss(0, 0, vec![file], 1, 1_000_000);
        log.add(
            1,
            BuildEvent::CacheProbed {
                vertex: VertexId(1),
                verdict: crate::engine::event::Verdict::Miss {
                    reasons: vec![MissReason::CommandChanged { old: EVIL.into(), new: EVIL.into(), whitespace_only: false }],
                    cause: VertexId(1),
                },
            },
        );
        log.finish(1, crate::engine::event::Outcome::Failed { message: EVIL.to_owned() }, 0, 1);
        log.add(1, BuildEvent::Diagnosed { text: EVIL.to_owned(), error: true, line: 1 });
        log.add(
            1,
            BuildEvent::BuildFinished {
                error: Some(EVIL.into()),
                cancelled: false,
                environment: false,
                image: None,
                micros: 1,
            },
        );
        Some(log.events)
    }
    fn start_build(&self) -> Result<BuildHandle, String> {
        Err(EVIL.to_owned())
    }
    fn plan(&self) -> Result<Vec<Stamped>, String> {
        Ok(self.last_build().unwrap_or_default())
    }

    fn wait_for_change(&self) -> bool {
        false
    }

    fn layers(&self, _: u32) -> Result<(crate::engine::Layered, Stack), String> {
        Ok(layers::three(EVIL))
    }
    fn preview(&self, _: &LayersFound, layer: u32, _: u32) -> Result<Preview, String> {
        let bytes = [EVIL.as_bytes(), if layer == 0 { b"" } else { b"\xff\0" }].concat();
        Ok(Preview { size: 1 << 40, bytes })
    }
    fn shell(&self, _: u32, _: crate::engine::Side) -> Result<String, String> {
        Err(EVIL.to_owned())
    }
    fn output(&self, _: &str, _: VertexId, _: u64, _: u64) -> Result<Vec<u8>, String> {
        Ok([EVIL.as_bytes(), b"\xff\xfe\x1b[31;1Hz\n"].concat())
    }
    fn suggest(&self) -> Result<SuggestReport, String> {
        let mut report = crate::front::report::fixture::suggestions();
        let offer = &mut report.offered[0];
        (offer.title, offer.after) = (EVIL.to_owned(), format!("FROM a\n{EVIL}\nRUN {EVIL}\n"));
        (offer.evidence, offer.risks) = (vec![EVIL.to_owned()], vec![EVIL.to_owned()]);
        report.refused[0].reason = EVIL.to_owned();
        Ok(report)
    }
    fn apply(&self, _: &Suggestion) -> Result<String, String> {
        Err(EVIL.to_owned())
    }
}

#[test]
fn no_control_or_deceptive_character_reaches_a_cell() {
    let mut bench = Bench::with(Box::new(Evil), &TuiOptions::default());
    let scripts = [
        "",
        "g",
        "l",
        "l2",
        "G",
        "]",
        "3",
        "j",
        "ka",
        "\t\n",
        "1b",
        "/\u{202e}\u{7}\n",
        "15v",
        "\n\n",
        "jp",
        "jjjp",
        "vjp",
        "jjp",
    ];
    for script in scripts {
        for letter in script.chars() {
            match letter {
                '\t' => bench.key(KeyCode::Tab),
                '\n' => bench.key(KeyCode::Enter),
                letter => bench.key(KeyCode::Char(letter)),
            }
        }
        for (width, height) in [(80, 24), (140, 40)] {
            let buffer = bench.buffer(width, height);
            for cell in &buffer.content {
                let bad = |c: char| c.is_control() || crate::front::text::escape::is_deceptive(c);
                assert!(!cell.symbol().chars().any(bad), "{:?} after {script:?}", cell.symbol());
            }
        }
    }
}

#[test]
fn the_plain_report_of_hostile_events_is_safe() {
    let mut out = Vec::new();
    let source: crate::front::report::plain::OutputSource = Box::new(|_, _, _, _| Some(EVIL.as_bytes().to_vec()));
    let mut reporter = crate::front::report::PlainReporter::new(&mut out, Some(source));
    for event in Evil.last_build().unwrap() {
        reporter.event(&event).unwrap();
    }
    let text = String::from_utf8(out).unwrap();
    let bad = |c: char| c != '\n' && (c.is_control() || crate::front::text::escape::is_deceptive(c));
    assert!(!text.chars().any(bad), "{text:?}");
}

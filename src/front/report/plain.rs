//! A build as lines: one a state change, the output of steps as it comes, a summary at the end.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use super::why;
use crate::engine::event::{BuildEvent, Outcome, Stamped, Verdict, VertexId};
use crate::engine::verdict::HitReason;
use crate::front::text::{self, OutputLine, Screen};
use crate::insight::model::{BuildState, Cascade, Counts, Mark, Step, headline};

/// Reads a part of a step's output: build, vertex, offset, length. None when it cannot be read.
pub type OutputSource = Box<dyn FnMut(&str, VertexId, u64, u64) -> Option<Vec<u8>> + Send>;

/// Reasons told while the build runs; the summary has all of them.
const SHOWN_REASONS: usize = 3;

/// Writes a build as lines into a writer.
pub struct PlainReporter<W: Write> {
    out: W,
    source: Option<OutputSource>,
    state: BuildState,
    screens: HashMap<VertexId, Screen>,
    progress: std::collections::BTreeSet<String>,
    quiet: bool,
    /// Steps whose output goes on unseen.
    clipped: HashSet<VertexId>,
}

/// So much of a step's output is printed, as BuildKit does it; all of it is kept in the store.
const CLIP: u64 = 2 << 20;
const CLIPPED: &str = "more output is not printed (2 MiB are the limit); the store and the interface have all of it";

impl<W: Write> PlainReporter<W> {
    /// A reporter that writes into `out`; without a source no output of steps is shown.
    pub fn new(out: W, source: Option<OutputSource>) -> Self {
        let (state, screens) = (BuildState::default(), HashMap::new());
        Self {
            out,
            source,
            state,
            screens,
            progress: std::collections::BTreeSet::new(),
            quiet: false,
            clipped: HashSet::new(),
        }
    }

    /// Shows only failures and the summary's last line.
    pub fn quiet(mut self, quiet: bool) -> Self {
        self.quiet = quiet;
        self
    }

    /// What was folded so far.
    pub fn state(&self) -> &BuildState {
        &self.state
    }

    /// Takes the next event and writes what it says. Errors: of the writer.
    pub fn event(&mut self, stamped: &Stamped) -> io::Result<()> {
        self.state.apply(stamped);
        match &stamped.event {
            BuildEvent::Diagnosed { text, .. } => writeln!(self.out, "{}", text::block(text).trim_end())?,
            BuildEvent::BuildFinished { .. } => self.finish()?,
            event if !self.quiet => self.step_event(event)?,
            _ => {}
        }
        self.out.flush()
    }

    fn step_event(&mut self, event: &BuildEvent) -> io::Result<()> {
        match event {
            BuildEvent::BuildStarted { dockerfile, context, target, .. } => {
                let target = target.as_ref().map_or_else(String::new, |t| format!(", target {}", text::line(t)));
                let (file, context) = (text::line(dockerfile), text::line(context));
                writeln!(self.out, "building {file} with context {context}{target}")
            }
            BuildEvent::CacheProbed { vertex, verdict: Verdict::Miss { reasons, .. } } => {
                let words: Vec<String> = reasons.iter().take(SHOWN_REASONS).map(|r| text::line(&r.to_string())).collect();
                let more = match reasons.len().saturating_sub(SHOWN_REASONS) {
                    0 => String::new(),
                    more => format!("; and {more} more"),
                };
                self.say(*vertex, &format!("miss: {}{more}", words.join("; ")))
            }
            BuildEvent::VertexWaiting { vertex, pid } => {
                self.say(*vertex, &format!("waiting for process {pid}, which runs the same step"))
            }
            BuildEvent::VertexStarted { vertex } => self.say(*vertex, "running"),
            BuildEvent::Output { vertex, offset, len, .. } => self.output(*vertex, *offset, *len),
            BuildEvent::VertexFinished { vertex, outcome, .. } => self.finished(*vertex, outcome),
            BuildEvent::Progress { vertex, what, .. } => self.progress(*vertex, what),
            BuildEvent::CacheImported { from, mode, steps, results } => {
                let (from, mode) = (text::line(from), text::line(mode));
                writeln!(self.out, "cache from {from}: {steps} steps, {results} with their results (mode={mode})")
            }
            BuildEvent::CacheExported { to, mode, steps, results, bytes } => {
                let (to, mode, bytes) = (text::line(to), text::line(mode), text::size(*bytes));
                writeln!(self.out, "cache to {to}: {steps} steps, {results} with their results (mode={mode}), {bytes}")
            }
            BuildEvent::ExportFinished { format, destination, bytes, digest } => {
                let (format, destination) = (text::line(format), text::line(destination));
                writeln!(self.out, "exported {format} to {destination}: {}, {digest}", text::size(*bytes))
            }
            _ => Ok(()),
        }
    }

    fn say(&mut self, vertex: VertexId, words: &str) -> io::Result<()> {
        let Some(step) = self.state.step(vertex) else { return Ok(()) };
        writeln!(self.out, "#{} {}: {words}", step.line, text::line(&step.name))
    }

    /// Says each kind of progress once: counts would be a spinner.
    fn progress(&mut self, vertex: Option<VertexId>, what: &str) -> io::Result<()> {
        let key = format!("{vertex:?} {what}");
        if !self.progress.insert(key) {
            return Ok(());
        }
        match vertex {
            Some(vertex) => self.say(vertex, &text::line(what)),
            None => writeln!(self.out, "{}", text::line(what)),
        }
    }

    fn output(&mut self, vertex: VertexId, offset: u64, len: u64) -> io::Result<()> {
        if offset >= CLIP {
            return if self.clipped.insert(vertex) { self.say(vertex, CLIPPED) } else { Ok(()) };
        }
        let bytes = self.source.as_mut().and_then(|source| source(&self.state.build, vertex, offset, len));
        let screen = self.screens.entry(vertex).or_default();
        screen.feed(&bytes.unwrap_or_default());
        let lines = screen.take_finished();
        self.lines(vertex, &lines)
    }

    fn lines(&mut self, vertex: VertexId, lines: &[OutputLine]) -> io::Result<()> {
        let line = self.state.step(vertex).map_or(0, |step| step.line);
        lines.iter().try_for_each(|text| writeln!(self.out, "#{line} | {}", text.text()))
    }

    fn finished(&mut self, vertex: VertexId, outcome: &Outcome) -> io::Result<()> {
        let rest = self.screens.remove(&vertex).map(|mut screen| screen.close()).unwrap_or_default();
        self.lines(vertex, &rest)?;
        let Some(step) = self.state.step(vertex) else { return Ok(()) };
        let time = text::seconds(step.micros);
        let used = step.usage.map(|usage| format!(", {}", super::used::short(&usage))).unwrap_or_default();
        let words = match outcome {
            Outcome::Cached => match step.hit() {
                Some(HitReason::Traced) => format!("cached (traced); BuildKit would have run this: {time}"),
                Some(how) if step.micros >= 50_000 => format!("cached ({}), saved {time}", how.code()),
                Some(how) => format!("cached ({})", how.code()),
                None => "cached (not needed)".to_owned(),
            },
            Outcome::Ran => match step.layer {
                Some(layer) => {
                    let traced = step.reads.as_ref().map(|reads| format!(", {}", super::reads::short(reads)));
                    format!("ran in {time}, layer of {}{used}{}", text::size(layer.bytes), traced.unwrap_or_default())
                }
                None => format!("ran in {time}"),
            },
            // The message stands once, at the very end, where it is looked for.
            Outcome::Failed { .. } => format!("failed after {time}{used}"),
            Outcome::Cancelled => format!("cancelled{used}"),
            Outcome::Config | Outcome::Skipped => return Ok(()),
        };
        self.say(vertex, &words)
    }

    fn finish(&mut self) -> io::Result<()> {
        // The error itself is for standard error, which is not this reporter's.
        if self.quiet { Ok(()) } else { summary(&mut self.out, &self.state) }
    }
}

/// The end of a build in a few lines: time and counts, the sentence for the whole, every miss with its explanation.
/// Errors: of the writer.
pub fn summary(out: &mut dyn Write, state: &BuildState) -> io::Result<()> {
    let counts = Counts::of(state);
    let shown: Vec<String> = crate::insight::model::summary::SHOWN
        .iter()
        .filter(|mark| counts.get(**mark) > 0)
        .map(|mark| format!("{} {}", counts.get(*mark), mark.word()))
        .collect();
    let micros = state.finish.as_ref().map_or(state.now, |f| f.micros);
    let saved = match Cascade::of(state).saved_micros {
        0..50_000 => String::new(),
        saved => format!("; the cache saved {}", text::seconds(saved)),
    };
    if state.steps.is_empty() {
        // Nothing was begun: all there is to say is the error.
        return Ok(());
    }
    writeln!(out)?;
    writeln!(out, "{} in all: {}{saved}", text::seconds(micros), shown.join(", "))?;
    writeln!(out, "{}", text::line(&headline(state)))?;
    let ran_again = |s: &&Step| matches!(state.mark(s), Mark::Changed | Mark::Reran);
    for step in state.steps.iter().filter(ran_again) {
        why::explain_in_short(out, state, step)?;
    }
    if let Some(image) = state.finish.as_ref().and_then(|f| f.image) {
        writeln!(out, "image {image}")?;
    } else if state.exports.is_empty() && state.finish.as_ref().is_some_and(|f| f.error.is_none()) {
        writeln!(out, "the result stays in the cache; name it with -t or write it with -o")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::model::fixture;

    fn report(log: &[Stamped]) -> String {
        let source: OutputSource =
            Box::new(|_, _, offset, len| fixture::OUTPUT.get(offset as usize..(offset + len) as usize).map(<[u8]>::to_vec));
        let mut out = Vec::new();
        let mut reporter = PlainReporter::new(&mut out, Some(source));
        for event in log {
            reporter.event(event).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_second_build_is_told_and_explained() {
        let text = report(&fixture::second_build());
        for part in [
            "#2 WORKDIR /app: cached (definition)\n",
            "#3 COPY . .: miss: the content of `src/routes/cart.ts` changed\n",
            "#4 | added 812 packages, and audited 813 packages in 40s\n",
            "#4 RUN npm install --no-audit && npm cache clean --force: ran in 41.2s, layer of 276 MB\n",
            "5 cached, 1 changed, 2 reran; the cache saved 12.0s\n",
            "COPY . . changed, so 2 more steps ran again.\n",
            "  root cause: line 3: COPY . .\n",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn the_error_is_left_to_standard_error() {
        let mut log = fixture::second_build();
        log.pop();
        let error = Some("Dockerfile:8 RUN npm run build: exit code 2\x1b[2J".to_owned());
        let end = BuildEvent::BuildFinished { error, cancelled: false, environment: false, image: None, micros: 1 };
        log.push(Stamped { seq: 99, at: 99, event: end });
        let text = report(&log);
        // The message is for standard error, which is not this reporter's; nothing raw gets through in any case.
        assert!(!text.contains("error: ") && !text.contains('\x1b'), "{text}");
    }
}

//! Instructions that change the configuration, and WORKDIR.

use super::stage::absolute;
use super::{Lowering, StageState};
use crate::engine::event::Role;
use crate::engine::graph::op::{Operation, VariableOrigin};
use crate::engine::graph::redacted;
use crate::engine::graph::vertex::BuildGraph;
use crate::engine::oci::config::{Empty, Healthcheck};
use crate::language::dockerfile::ports::PortSpec;
use crate::language::dockerfile::{Arguments, Assignment, CommandForm, Instruction, Keyword, Word};

impl Lowering<'_> {
    /// Lowers one instruction of a stage.
    pub(super) fn instruction(&mut self, state: &mut StageState, at: &Instruction) {
        let takes_flags = matches!(at.keyword, Keyword::Run | Keyword::Copy | Keyword::Add | Keyword::Healthcheck);
        if let Some(flag) = at.flags.first().filter(|_| !takes_flags) {
            self.not_yet(flag, at.keyword.as_str());
            return;
        }
        match &at.arguments {
            Arguments::From { .. } => {}
            Arguments::Run(_) => self.run(state, at),
            Arguments::Copy { sources, destination } => self.copy(state, at, sources, destination),
            Arguments::Workdir(path) => self.workdir(state, at, path),
            Arguments::Arg(list) => self.arg(state, at, list),
            Arguments::Env(list) => self.env(state, at, list),
            Arguments::Label(list) => self.label(state, at, list),
            Arguments::User(name) => self.user(state, at, name),
            Arguments::Cmd(command) => {
                let args = with_shell(state, command);
                state.note(format!("CMD {}", quoted(&args)));
                // A leftover of Windows that BuildKit always sets.
                state.config.config.args_escaped = true;
                state.config.config.cmd = Some(args);
                state.cmd_is_set = true;
                self.config_step(state, at, "sets the default command");
            }
            Arguments::Entrypoint(command) => {
                let args = with_shell(state, command);
                state.note(format!("ENTRYPOINT {}", quoted(&args)));
                state.config.config.entrypoint = Some(args);
                if !state.cmd_is_set {
                    state.config.config.cmd = None;
                }
                self.config_step(state, at, "sets the entry point");
            }
            Arguments::Shell(words) => {
                state.note(format!("SHELL [{}]", words.join(" ")));
                state.config.config.shell = Some(words.clone());
                self.config_step(state, at, "sets the shell of later RUN, CMD and ENTRYPOINT lines");
            }
            Arguments::Expose(ports) => self.expose(state, at, ports),
            Arguments::Volume(paths) => self.volume(state, at, paths),
            Arguments::Stopsignal(signal) => {
                let Some(signal) = self.expand(state, signal) else { return };
                if !is_signal(&signal) {
                    let message = format!("`{}` is no signal: write a name like SIGTERM or a number", signal.escape_debug());
                    return self.error(at.span, message);
                }
                state.note(format!("STOPSIGNAL {signal}"));
                state.config.config.stop_signal = Some(signal);
                self.config_step(state, at, "sets the stop signal");
            }
            Arguments::Maintainer(name) => {
                state.config.rest.insert("author".into(), name.clone().into());
                state.note(format!("MAINTAINER {name}"));
                self.config_step(state, at, "sets the author");
            }
            Arguments::Healthcheck(command) => self.healthcheck(state, at, command.as_ref()),
            Arguments::Onbuild(_) => {
                state.config.config.on_build.push(trigger(at));
                self.config_step(state, at, "adds a trigger for builds on this image");
            }
        }
    }

    /// Source: BuildKit `dispatchWorkdir`: a directory is made in any case, except for `/`.
    fn workdir(&mut self, state: &mut StageState, at: &Instruction, path: &Word) {
        let Some(text) = self.expand(state, path) else { return };
        if text.is_empty() {
            self.error(path.span, "the path expands to nothing");
            return;
        }
        // An absolute path stays as it is written; only a relative one is joined and cleaned (BuildKit `NormalizeWorkdir`).
        let path = if text.starts_with('/') { text } else { absolute(&state.cwd, &text) };
        state.cwd.clone_from(&path);
        state.config.config.working_dir.clone_from(&path);
        if path == "/" {
            state.note("WORKDIR /");
            self.config_step(state, at, "sets the working directory");
            return;
        }
        let user = state.config.config.user.clone();
        let operation = Operation::MakeDirectory {
            path: path.clone(),
            owner: (!user.is_empty()).then_some(user),
            timestamp: self.graph.epoch,
            platform: state.platform.text(),
        };
        self.step(state, at, operation, format!("WORKDIR {path}"), |_| {});
    }

    /// Source: BuildKit `dispatchArg`: a value from the command line, else the default, else that of a global ARG.
    fn arg(&mut self, state: &mut StageState, at: &Instruction, list: &[Assignment]) {
        let mut shown = Vec::new();
        for arg in list {
            let name = arg.name.text.clone();
            let value = match (self.request.build_args.get(&name), &arg.value) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => self.expand(state, default),
                (None, None) => self.globals.get(&name),
            };
            shown.push(value.as_ref().map_or(name.clone(), |value| format!("{name}={value}")));
            if let Some(value) = &value {
                state.set_variable(&name, value, VariableOrigin::Arg);
            }
            state.declared.push((name, value));
        }
        // Other than BuildKit: an image is given away, an address with credentials is not.
        state.note(redacted(&format!("ARG {}", shown.join(" "))));
        let names: Vec<&str> = list.iter().map(|arg| arg.name.text.as_str()).collect();
        self.config_step(state, at, format!("declares ARG {}", names.join(", ")));
    }

    fn env(&mut self, state: &mut StageState, at: &Instruction, list: &[Assignment]) {
        let pairs = self.pairs(state, list);
        let mut shown = Vec::new();
        let mut names = Vec::new();
        for (name, value) in pairs {
            let entry = format!("{name}={value}");
            let prefix = format!("{name}=");
            let env = &mut state.config.config.env;
            match env.iter_mut().find(|known| known.starts_with(&prefix)) {
                Some(known) => known.clone_from(&entry),
                None => env.push(entry.clone()),
            }
            state.set_variable(&name, &value, VariableOrigin::Env);
            shown.push(entry);
            names.push(name);
        }
        state.note(format!("ENV {}", shown.join(" ")));
        self.config_step(state, at, format!("sets ENV {}", names.join(", ")));
    }

    fn label(&mut self, state: &mut StageState, at: &Instruction, list: &[Assignment]) {
        let pairs = self.pairs(state, list);
        let shown: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let names: Vec<String> = pairs.iter().map(|(name, _)| name.clone()).collect();
        state.config.config.labels.extend(pairs);
        state.note(format!("LABEL {}", shown.join(" ")));
        self.config_step(state, at, format!("sets label {}", names.join(", ")));
    }

    /// Names and values, all expanded with the variables above the instruction.
    fn pairs(&mut self, state: &StageState, list: &[Assignment]) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for pair in list {
            let name = self.expand(state, &pair.name);
            let value = match &pair.value {
                Some(word) => self.expand(state, word),
                None => Some(String::new()),
            };
            if name.as_deref() == Some("") {
                self.error(pair.name.span, "the name expands to nothing");
                continue;
            }
            out.extend(name.zip(value));
        }
        out
    }

    fn user(&mut self, state: &mut StageState, at: &Instruction, name: &Word) {
        let Some(user) = self.expand(state, name) else { return };
        state.note(format!("USER {user}"));
        state.config.config.user = user;
        self.config_step(state, at, "sets the user of later steps");
    }

    fn expose(&mut self, state: &mut StageState, at: &Instruction, ports: &[Word]) {
        // BuildKit sorts the words as they are written (`parseExpose`), and keeps what they expand to in that order.
        let mut sorted: Vec<&Word> = ports.iter().collect();
        sorted.sort_by(|a, b| a.text.cmp(&b.text));
        let mut all: Vec<String> = Vec::new();
        for word in sorted {
            let Some(text) = self.expand(state, word) else { continue };
            for spec in text.split_whitespace() {
                match PortSpec::parse(spec) {
                    Ok(spec) => all.extend(spec.ports()),
                    Err(why) => self.error(word.span, format!("`{}` is no port: {why}", spec.escape_debug())),
                }
            }
        }
        state.note(format!("EXPOSE [{}]", all.join(" ")));
        state.config.config.exposed_ports.extend(all.into_iter().map(|port| (port, Empty {})));
        self.config_step(state, at, "documents ports");
    }

    fn volume(&mut self, state: &mut StageState, at: &Instruction, paths: &[Word]) {
        let mut shown = Vec::new();
        for word in paths {
            let Some(path) = self.expand(state, word) else { continue };
            if path.is_empty() {
                self.error(word.span, "the path of the volume expands to nothing");
                continue;
            }
            state.config.config.volumes.insert(path.clone(), Empty {});
            shown.push(path);
        }
        state.note(format!("VOLUME [{}]", shown.join(" ")));
        self.config_step(state, at, "declares volumes");
    }

    fn healthcheck(&mut self, state: &mut StageState, at: &Instruction, command: Option<&CommandForm>) {
        let mut check = Healthcheck {
            test: match command {
                None => vec!["NONE".into()],
                Some(CommandForm::Shell(text)) => vec!["CMD-SHELL".into(), text.clone()],
                Some(CommandForm::Exec(args)) => std::iter::once("CMD".to_owned()).chain(args.iter().cloned()).collect(),
            },
            ..Healthcheck::default()
        };
        for flag in &at.flags {
            let value = flag.value.clone().unwrap_or_default();
            let nanos = || go_duration(&value);
            let ok = match flag.name.as_str() {
                "interval" => nanos().map(|n| check.interval = n),
                "timeout" => nanos().map(|n| check.timeout = n),
                "start-period" => nanos().map(|n| check.start_period = n),
                "start-interval" => nanos().map(|n| check.start_interval = n),
                "retries" => value.parse().ok().map(|n| check.retries = n),
                _ => {
                    self.not_yet(flag, "HEALTHCHECK");
                    continue;
                }
            };
            if ok.is_none() {
                let message =
                    format!("`{}` is no value for --{}: write 30s, 1m30s or 500ms", value.escape_debug(), flag.name);
                self.error(flag.span, message);
            }
        }
        state.note(format!("HEALTHCHECK {}", shown_check(&check)));
        state.config.config.healthcheck = Some(check);
        self.config_step(state, at, "sets the health check");
    }
}

fn with_shell(state: &StageState, command: &CommandForm) -> Vec<String> {
    match command {
        CommandForm::Exec(args) => args.clone(),
        CommandForm::Shell(text) => {
            let mut args = state.config.config.shell.clone().unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
            args.push(text.clone());
            args
        }
    }
}

/// Go's `%q` of a list.
fn quoted(args: &[String]) -> String {
    let words: Vec<String> = args.iter().map(|arg| format!("{arg:?}")).collect();
    format!("[{}]", words.join(" "))
}

/// A duration in Go's notation as nanoseconds: `1h2m3.5s`, `500ms`.
fn go_duration(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total) = (text, 0f64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let nanos = match &rest[..unit_end] {
            "h" => 3600e9,
            "m" => 60e9,
            "s" => 1e9,
            "ms" => 1e6,
            "us" | "µs" => 1e3,
            "ns" => 1.0,
            _ => return None,
        };
        total += number * nanos;
        rest = &rest[unit_end..];
    }
    (!text.is_empty() && total < 9e18).then_some(total as u64)
}

/// Notes for each configuration step the lines of the steps whose key it enters: later ones of its stage, and of stages that
/// stand on it.
pub(super) fn note_effects(graph: &mut BuildGraph) {
    let stands_on = stage_parents(graph);
    let reaches = |from: u32, mut stage: u32| loop {
        if stage == from {
            return true;
        }
        match stands_on.iter().find(|(child, _)| *child == stage) {
            Some((_, parent)) => stage = *parent,
            None => return false,
        }
    };
    let keyed: Vec<(u32, u32, Keyword)> =
        graph.vertices.iter().filter(|v| v.operation.is_some()).map(|v| (v.stage.index, v.line, v.keyword)).collect();
    for vertex in &mut graph.vertices {
        let keyword = vertex.keyword;
        let concerns = |other: Keyword| match keyword {
            Keyword::Env | Keyword::Arg | Keyword::Shell => other == Keyword::Run,
            Keyword::User => matches!(other, Keyword::Run | Keyword::Workdir),
            Keyword::Workdir => matches!(other, Keyword::Run | Keyword::Copy | Keyword::Add),
            _ => false,
        };
        if let Role::Config { enters, .. } = &mut vertex.role {
            let (stage, line) = (vertex.stage.index, vertex.line);
            *enters = keyed
                .iter()
                .filter(|(s, l, k)| concerns(*k) && reaches(stage, *s) && (*s != stage || *l > line))
                .map(|(_, l, _)| *l)
                .collect();
        }
    }
}

/// The text of a trigger as written, continuations joined, with its heredocs below it.
///
/// Source: BuildKit `parseOnBuild`, `instructions/parse.go`.
fn trigger(at: &Instruction) -> String {
    let documents = at.heredocs.iter().map(|document| format!("\n{}{}", document.content, document.name));
    format!("{}{}", at.text.trim_start(), documents.collect::<String>())
}

/// Pairs of stage and the stage it stands on, read off the chains.
fn stage_parents(graph: &BuildGraph) -> Vec<(u32, u32)> {
    let mut out = Vec::new();
    for vertex in &graph.vertices {
        if let Some(parent) = vertex.parent.and_then(|id| graph.vertex(id))
            && parent.stage.index != vertex.stage.index
            && !out.iter().any(|(child, _)| *child == vertex.stage.index)
        {
            out.push((vertex.stage.index, parent.stage.index));
        }
    }
    out
}

/// As Go prints the structure with `%q`: durations are texts, the number is a character.
fn shown_check(check: &Healthcheck) -> String {
    let times = [check.interval, check.timeout, check.start_period, check.start_interval];
    let times: Vec<String> = times.iter().map(|nanos| format!("\"{}\"", go_duration_text(*nanos))).collect();
    let retries = match u32::try_from(check.retries).ok().and_then(char::from_u32).unwrap_or('\u{fffd}') {
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        control @ ('\0'..='\u{1f}' | '\u{7f}') if !matches!(control, '\t' | '\n' | '\r') => {
            format!("\\x{:02x}", u32::from(control))
        }
        other => other.escape_debug().to_string(),
    };
    format!("&{{{} {} '{retries}'}}", quoted(&check.test), times.join(" "))
}

/// A duration as Go writes it: `1h0m5s`, `1.5s`, `500ms`, `0s`.
fn go_duration_text(nanos: u64) -> String {
    let decimal = |value: u64, unit: u64| {
        let text = format!("{}.{:09}", value / unit, (value % unit) * (1_000_000_000 / unit));
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match nanos {
        0 => "0s".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(nanos, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(nanos, 1_000_000)),
        _ => {
            let (minutes, rest) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
            let seconds = decimal(rest, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// A name of Linux with or without `SIG`, in any case, or a number but 0. Source: moby `signal.ParseSignal`.
fn is_signal(text: &str) -> bool {
    const NAMES: &str = "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS \
                         TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX";
    if let Ok(number) = text.parse::<i32>() {
        return number != 0;
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let offset = |of: &str, most: u8| {
        name.strip_prefix(of).and_then(|n| n.parse::<u8>().ok()).is_some_and(|n| (1..=most).contains(&n))
    };
    NAMES.split_whitespace().any(|known| known == name) || offset("RTMIN+", 15) || offset("RTMAX-", 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(go_duration("1m30s"), Some(90_000_000_000));
        assert_eq!(go_duration("1.5s"), Some(1_500_000_000));
        assert_eq!(go_duration("5"), None);
        assert_eq!(go_duration(""), None);
    }

    #[test]
    fn a_health_check_is_noted_as_buildkit_notes_it() {
        let check = Healthcheck {
            test: vec!["CMD-SHELL".into(), "test -e /app/run.sh".into()],
            interval: 5_000_000_000,
            timeout: 90_500_000_000,
            start_interval: 1_500_000,
            retries: 2,
            ..Healthcheck::default()
        };
        let want = r#"&{["CMD-SHELL" "test -e /app/run.sh"] "5s" "1m30.5s" "0s" "1.5ms" '\x02'}"#;
        assert_eq!(shown_check(&check), want);
        assert_eq!(go_duration_text(3_600_000_000_000), "1h0m0s");
    }
}

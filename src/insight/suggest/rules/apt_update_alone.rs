//! `apt-get update` in a RUN of its own: its layer is cached, and later installs work on its old lists.

use super::super::{ContextView, Page, Rule, SuggestReport, Suggestion};
use super::commands::commands_of;
use super::draft::{numbers, refusal, rewrite};
use crate::language::dockerfile::{Arguments, CommandForm, Dockerfile, Edit, Span, Stage};
use crate::language::shell::ShellCommand;

static PAGE: Page = Page {
    name: "apt-update-alone",
    description: "Run apt-get update in the same RUN as the install",
    why: "A RUN with nothing but `apt-get update` is served from the cache for as long as its text stays: when the install below it is edited, it works on package lists that may be months old, and fails where the versions in them are gone, or installs old ones.",
    bad: "FROM debian:12\nRUN apt-get update\nRUN apt-get install -y curl\n",
    good: "FROM debian:12\nRUN apt-get update && apt-get install -y curl\n",
};

/// The rule.
pub struct AptUpdateAlone;

impl Rule for AptUpdateAlone {
    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn check(&self, dockerfile: &Dockerfile, _: &dyn ContextView) -> SuggestReport {
        let mut report = SuggestReport::default();
        for stage in &dockerfile.stages() {
            for at in 0..stage.instructions.len() {
                let commands = commands_of(stage.instructions[at], &dockerfile.source);
                let only_updates =
                    commands.iter().all(|c| is_update(c) || c.name() == "set") && commands.iter().any(is_update);
                if !only_updates {
                    continue;
                }
                match suggest(dockerfile, stage, at) {
                    Ok(found) => report.offered.extend(found),
                    Err(reason) => report.refused.push(refusal(&PAGE, stage.instructions[at].line, reason)),
                }
            }
        }
        report
    }
}

fn is_apt(command: &ShellCommand, verb: &str) -> bool {
    matches!(command.name(), "apt-get" | "apt") && command.arguments().any(|argument| argument == verb)
}

fn is_update(command: &ShellCommand) -> bool {
    is_apt(command, "update")
}

fn suggest(dockerfile: &Dockerfile, stage: &Stage<'_>, at: usize) -> Result<Option<Suggestion>, String> {
    let update = stage.instructions[at];
    let mut installs = Vec::new();
    for next in at + 1..stage.instructions.len() {
        let commands = commands_of(stage.instructions[next], &dockerfile.source);
        if commands.iter().any(is_update) {
            break;
        }
        if commands.iter().any(|command| is_apt(command, "install") || is_apt(command, "upgrade")) {
            installs.push(next);
        }
    }
    if installs.is_empty() {
        return Ok(None);
    }
    let commands = commands_of(update, &dockerfile.source);
    let text = commands.iter().find(|command| is_update(command)).map(ShellCommand::one_line).unwrap_or_default();
    if commands.iter().any(|command| command.words.iter().any(|word| word.expands)) {
        return Err("the update has variables, whose values may differ below".into());
    }
    let mut edits = vec![Edit::Remove { instruction: stage.first + 1 + at }];
    for next in &installs {
        let run = stage.instructions[*next];
        let shell = matches!(&run.arguments, Arguments::Run(CommandForm::Shell(_))) && run.heredocs.is_empty();
        let behind = run.flags.last().map_or(run.keyword_span.end, |flag| flag.span.end);
        let rest = Span::new(behind, run.span.end).text(&dockerfile.source);
        let start = behind + (rest.len() - rest.trim_start_matches([' ', '\t']).len());
        if !shell || rest.trim_start_matches([' ', '\t']).starts_with(['\\', '\n', '`']) {
            return Err(format!("line {} is no command on one line that the update could stand in front of", run.line));
        }
        edits.push(Edit::ReplaceArgument { span: Span::new(start, start), text: format!("{text} && ") });
    }
    let lines: Vec<u32> = installs.iter().map(|at| stage.instructions[*at].line).collect();
    let Some(mut found) = rewrite(dockerfile, &PAGE, update.line, &edits, -1) else { return Ok(None) };
    found.title = format!("update the package lists in line {}, where they are used", numbers(&lines));
    found.evidence.push(format!(
        "`{text}` (line {}) is a step of its own, so it is served from the cache when line {} {} edited.",
        update.line,
        numbers(&lines),
        if lines.len() == 1 { "is" } else { "are" }
    ));
    found.gain = Some("an edited install no longer works on old package lists; no time is saved".into());
    found.risks.push("Other steps between them that use the package lists would miss them.".into());
    Ok(Some(found))
}

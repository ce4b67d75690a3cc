//! How the file is rewritten once it is certain that it may be.

use super::super::super::{Suggestion, Trigger};
use super::super::draft::advice;
use super::super::manifests::{Manifests, Reason};
use super::super::place::{absolute, copy_of_context, join, unquoted, working_folder, written_destination};
use super::{Case, PAGE, look};
use crate::language::dockerfile::{Arguments, CommandForm, Edit, Span, apply, go_match, line_ending, parse};
use crate::language::shell::{Install, Joint, ShellCommand};

impl Case<'_> {
    /// The same with the RUN made two: up to its last install, and what follows. Only where all of it is one chain of `&&`, so
    /// that the second part does not depend on the shell of the first.
    pub(super) fn in_two(&self) -> Option<Suggestion> {
        let run = self.run();
        let carries = |command: &ShellCommand| {
            matches!(command.name(), "cd" | "set" | "export" | "source" | "." | "exec" | "" | "umask" | "alias")
        };
        let chained = self.commands.iter().skip(1).all(|command| command.joint == Joint::And);
        let simple = self.commands.iter().all(|command| !command.compound && !carries(command));
        let last = self.commands.iter().rposition(|command| Install::of(command).is_some())?;
        let text = run.span.text(&self.dockerfile.source);
        let joints: Vec<usize> = text.match_indices("&&").map(|(at, _)| at).collect();
        let shell = matches!(&run.arguments, Arguments::Run(CommandForm::Shell(_)));
        let plain = shell && run.flags.is_empty() && run.heredocs.is_empty() && !text.contains("\n#");
        if !chained || !simple || !plain || last + 1 >= self.commands.len() || joints.len() + 1 != self.commands.len() {
            return None;
        }
        let joint = joints[last];
        let first = text[..joint].trim_end_matches([' ', '\t', '\r', '\n', self.dockerfile.escape]);
        let blank = |c: char| c.is_whitespace() || c == self.dockerfile.escape;
        let second = text[joint + 2..].trim_start_matches(blank);
        let begin = run.span.start + first.len();
        let end = run.span.end - second.len();
        let keyword = run.keyword_span.text(&self.dockerfile.source);
        let ending = line_ending(&self.dockerfile.source);
        let edit = Edit::ReplaceArgument { span: Span::new(begin, end), text: format!("{ending}{keyword} ") };
        let split = parse(&apply(self.dockerfile, &[edit]));
        if split.has_errors() || split.instructions.len() != self.dockerfile.instructions.len() + 1 {
            return None;
        }
        let mut found = look(&split, self.context, false).offered.into_iter().find(|found| found.line == run.line)?;
        found.before = self.dockerfile.source.to_string();
        let more: Vec<String> = self.commands[last + 1..].iter().map(ShellCommand::one_line).collect();
        found.evidence.push(format!(
            "Line {} does more: `{}` gets a RUN of its own below the sources.",
            run.line,
            more.join(" && ")
        ));
        Some(found)
    }
    /// The new COPY lines, and the files that they name.
    pub(super) fn new_copies(&self, found: &Manifests) -> Result<(Vec<String>, Vec<String>), Reason> {
        let working = working_folder(self.stages, self.stage, self.run_at);
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for (file, folder) in &found.files {
            if self.is_copied_before(file, folder) {
                continue;
            }
            let last = groups
                .last_mut()
                .filter(|(known, files)| known == folder && !file.ends_with('/') && !files[0].ends_with('/'));
            match last {
                Some((_, files)) => files.push(file.clone()),
                None => groups.push((folder.clone(), vec![file.clone()])),
            }
        }
        let mut lines = Vec::new();
        for (folder, files) in &groups {
            let destination = written_destination(&working, folder)
                .ok_or_else(|| "the working folder of the base image is not known".to_owned())?;
            lines.push(self.copy_line(files, &destination));
        }
        Ok((lines, groups.into_iter().flat_map(|(_, files)| files).collect()))
    }

    /// Whether a COPY above the broad one brings this file to the same place.
    fn is_copied_before(&self, file: &str, folder: &str) -> bool {
        (0..self.copy_at).any(|at| {
            let here = working_folder(self.stages, self.stage, at);
            let Some((sources, destination)) = copy_of_context(self.stage.instructions[at], &here) else { return false };
            let brings = |source: &str| {
                let pattern = join("", &format!("/{}", unquoted(source)));
                pattern == file.trim_end_matches('/') || go_match(&pattern, file).unwrap_or(false)
            };
            destination == folder && sources.iter().any(|word| brings(&word.text))
        })
    }

    fn copy_line(&self, files: &[String], destination: &str) -> String {
        let copy = self.copy();
        let written = copy.keyword_span.text(&self.dockerfile.source);
        let mut line = if written.chars().all(|c| c.is_ascii_lowercase()) { "copy".to_owned() } else { "COPY".to_owned() };
        for flag in copy.flags.iter().filter(|flag| matches!(flag.name.as_str(), "chown" | "chmod" | "link")) {
            line.push(' ');
            line.push_str(flag.span.text(&self.dockerfile.source));
        }
        let words = files.iter().map(String::as_str).chain([destination]);
        if words.clone().any(|word| word.contains(char::is_whitespace)) {
            let list: Vec<&str> = words.collect();
            return format!("{line} {}", serde_json::json!(list));
        }
        words.fold(line, |line, word| format!("{line} {word}"))
    }

    pub(super) fn edits(&self, lines: &[String], moved_runs: &[usize]) -> Result<Vec<Edit>, Reason> {
        let index = |at: usize| self.stage.first + 1 + at;
        let run = index(self.run_at);
        let mut edits = Vec::new();
        if !lines.is_empty() {
            edits.push(Edit::InsertBefore { instruction: run, text: lines.join("\n") });
        }
        edits.extend(self.destination_edit()?);
        for at in std::iter::once(&self.copy_at).chain(moved_runs) {
            edits.push(Edit::MoveAfter { instruction: index(*at), after: run });
        }
        Ok(edits)
    }

    /// Below another WORKDIR a relative destination means another folder, so it is written in full.
    fn destination_edit(&self) -> Result<Option<Edit>, Reason> {
        let Arguments::Copy { destination, .. } = &self.copy().arguments else { return Ok(None) };
        let text = unquoted(&destination.text);
        let moves =
            working_folder(self.stages, self.stage, self.copy_at) != working_folder(self.stages, self.stage, self.run_at);
        if !moves || text.starts_with(['/', '$']) {
            return Ok(None);
        }
        let full = absolute(&self.destination).ok_or_else(|| {
            format!("line {} copies into a working folder that is not known, and WORKDIR changes below it", self.copy().line)
        })?;
        let quoted = destination.span.text(&self.dockerfile.source).starts_with('"');
        let text = if quoted { format!("\"{full}\"") } else { full };
        Ok(Some(Edit::ReplaceArgument { span: destination.span, text }))
    }

    pub(super) fn suggestion(&self, found: Manifests, copied: &[String], moved_runs: &[usize], after: String) -> Suggestion {
        let names: Vec<String> = self.installs.iter().map(|site| site.command.one_line()).collect();
        let installs = names.join(" and ");
        let (copy, run) = (self.copy(), self.run());
        let title = if copied.is_empty() {
            format!("copy the sources after {installs}")
        } else {
            format!("copy {} before {installs}", listed(copied))
        };
        let mut evidence = vec![format!(
            "`{}` (line {}) stands above `{installs}` (line {}), so a change of any file it copies runs the install again.",
            copy.one_line(),
            copy.line,
            run.line
        )];
        evidence.extend(found.evidence);
        let mut risks =
            vec!["A dependency whose own install script reads the project's sources would no longer find them.".to_owned()];
        risks.extend(found.risks);
        if !moved_runs.is_empty() {
            let lines: Vec<String> = moved_runs.iter().map(|at| self.stage.instructions[*at].line.to_string()).collect();
            let (plural, runs) = if lines.len() == 1 { ("", "runs") } else { ("s", "run") };
            risks.push(format!(
                "Line{plural} {} {runs} after the install now; if the install uses what {} made, it fails.",
                lines.join(", "),
                if lines.len() == 1 { "it" } else { "they" }
            ));
        }
        Suggestion { title, evidence, risks, trigger: Trigger::Sources, after, ..advice(self.dockerfile, &PAGE, run.line) }
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

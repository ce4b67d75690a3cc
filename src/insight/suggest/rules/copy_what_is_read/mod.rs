//! A broad COPY narrowed to what the RUNs below it really read: each of them gets just those files first, and the rest is copied
//! below. Where the first step read manifests and the next one sources, the COPY falls into two, and so on.
//!
//! Nothing is guessed: without a complete read set of a RUN, everything stays above it. A path that was only looked at counts
//! like one that was read, and what was looked for in vain stays away, because less is copied, never more. Names that were
//! listed are the one thing that changes; that is said, and only building both can tell whether it matters.

pub(super) mod cover;
#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::super::{ContextView, Page, Proof, Refusal, SuggestReport, Suggestion, Trigger};
use super::draft::advice;
use cover::Cover;

use super::place::{BroadSource, below, copy_of_context, overlap, working_folder};
use crate::language::dockerfile::{Arguments, Dockerfile, Edit, Instruction, Keyword, Stage, apply, parse};

/// The rule's stable name.
pub const NAME: &str = "copy-what-is-read";

/// Its page.
pub static PAGE: Page = Page {
    name: NAME,
    description: "Copy first what the next step really read, and the rest below it",
    why: "A RUN that was watched when it ran (`build --trace`) has a list of what it read. A broad COPY above it is narrowed to those files, and the rest is copied below the step, so that their changes no longer run it. It needs a complete read set; listings and look-ups that failed are part of what is said about the risk.",
    bad: "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN make vendor\nRUN make all\n",
    good: "FROM node:22\nWORKDIR /app\nCOPY vendor.list Makefile ./\nRUN make vendor\nCOPY . .\nRUN make all\n",
};

/// Each line is a layer: a step for which more would be needed is left alone.
const LINES: usize = 20;

/// What the steps of a Dockerfile read when they were watched.
#[derive(Debug, Clone, Default)]
pub struct Reads {
    /// By line of the RUN.
    pub runs: BTreeMap<u32, RunReads>,
    /// Where each COPY puts things: absolute, without the leading slash; by its line.
    pub destinations: BTreeMap<u32, String>,
}

/// What one RUN read. Paths are those in the image, without a leading slash.
#[derive(Debug, Clone, Default)]
pub struct RunReads {
    /// Why this may not be all; none when it is all.
    pub incomplete: Option<String>,
    /// What it read or looked at of what a COPY brought, by the line of the COPY.
    pub from: BTreeMap<u32, BTreeSet<String>>,
    /// Folders whose names it listed.
    pub listed: BTreeSet<String>,
    /// Paths it looked for that were not there.
    pub missing: BTreeSet<String>,
    /// All that it read or looked at and that was there, whoever brought it.
    pub seen: BTreeSet<String>,
    /// Links that it followed, or looked at as links.
    pub links: BTreeSet<String>,
    /// What it changed, removed or made; of a folder that it made, not what is in it.
    pub wrote: BTreeSet<String>,
}

/// Runs the rule. Pure: looks at the file, the context and what was watched.
pub fn check(dockerfile: &Dockerfile, context: &dyn ContextView, reads: &Reads) -> SuggestReport {
    let mut report = SuggestReport::default();
    if reads.runs.is_empty() || dockerfile.has_errors() {
        return report;
    }
    let stages = dockerfile.stages();
    for stage in &stages {
        for copy_at in 0..stage.instructions.len() {
            let Some(case) = Case::find(dockerfile, &stages, stage, copy_at, context, reads) else { continue };
            match case.suggest() {
                Ok(Some(suggestion)) => report.offered.push(suggestion),
                Ok(None) => {}
                Err(reason) => {
                    report.refused.push(Refusal { rule: NAME.to_owned(), line: case.copy().line, reason });
                }
            }
        }
    }
    report
}

/// A broad COPY.
pub(super) struct Case<'c> {
    dockerfile: &'c Dockerfile,
    stages: &'c [Stage<'c>],
    stage: &'c Stage<'c>,
    copy_at: usize,
    pub(super) source: BroadSource,
    /// In the image, without a leading slash.
    pub(super) destination: String,
    /// Files that it copies, as paths of the context.
    pub(super) files: BTreeSet<String>,
    reads: &'c Reads,
}

/// What one RUN gets before it runs.
struct Portion<'c> {
    run: &'c Instruction,
    at: usize,
    /// Context paths that it read and that no portion before it has.
    lines: Vec<String>,
    /// How many of the files it read in all.
    read: usize,
    lists: Vec<String>,
    missed: usize,
}

impl<'c> Case<'c> {
    pub(super) fn find(
        dockerfile: &'c Dockerfile,
        stages: &'c [Stage<'c>],
        stage: &'c Stage<'c>,
        copy_at: usize,
        context: &dyn ContextView,
        reads: &'c Reads,
    ) -> Option<Self> {
        let copy = stage.instructions[copy_at];
        let (sources, _) = copy_of_context(copy, "")?;
        let [word] = sources else { return None };
        let source = BroadSource::of(&word.text)?;
        let simple = |flag: &&str| copy.flag(flag).is_none();
        if source.wildcard || !["exclude", "parents", "unpack", "checksum", "keep-git-dir"].iter().all(simple) {
            return None;
        }
        let destination = reads.destinations.get(&copy.line)?.trim_matches('/').to_owned();
        let files: BTreeSet<String> = context
            .list()
            .into_iter()
            .filter(|path| below(&source.folder, path).is_some_and(|rest| !rest.is_empty()))
            .collect();
        (files.len() > 1).then_some(Self { dockerfile, stages, stage, copy_at, source, destination, files, reads })
    }

    pub(super) fn copy(&self) -> &'c Instruction {
        self.stage.instructions[self.copy_at]
    }

    fn suggest(&self) -> Result<Option<Suggestion>, String> {
        let mut covered = BTreeSet::new();
        let mut portions = Vec::new();
        for (at, run) in self.runs() {
            let Some(found) = self.reads.runs.get(&run.line) else {
                if portions.is_empty() {
                    return Ok(None);
                }
                break;
            };
            if let Some(why) = &found.incomplete {
                if portions.is_empty() {
                    return Err(format!("what line {} read is not known completely: {why}", run.line));
                }
                break;
            }
            let wanted = self.wanted(found, run.line)?;
            let read = wanted.len();
            let fresh: BTreeSet<String> = wanted.difference(&covered).cloned().collect();
            let cover = Cover::of(&fresh, &self.files, &self.source.folder);
            let more: BTreeSet<String> = covered.union(&cover.files).cloned().collect();
            if more.len() == self.files.len() {
                break;
            }
            covered = more;
            let lines = self.lines(&cover.folders, &cover.single, at)?;
            let lists = self.listed(found, &covered);
            let missed = found.missing.iter().filter(|path| below(&self.destination, path).is_some()).count();
            portions.push(Portion { run, at, lines, read, lists, missed });
        }
        if portions.is_empty() {
            return Ok(None);
        }
        let index = |at: usize| self.stage.first + 1 + at;
        let mut edits: Vec<Edit> = Vec::new();
        for portion in portions.iter().filter(|portion| !portion.lines.is_empty()) {
            edits.push(Edit::InsertBefore { instruction: index(portion.at), text: portion.lines.join("\n") });
        }
        let last = portions.last().map_or(self.copy_at, |portion| portion.at);
        edits.extend(self.destination_edit(last));
        edits.push(Edit::MoveAfter { instruction: index(self.copy_at), after: index(last) });
        let after = apply(self.dockerfile, &edits);
        if parse(&after).has_errors() {
            return Err("the rewritten file would not be understood".to_owned());
        }
        Ok(Some(self.suggestion(&portions, covered.len(), after)))
    }

    /// The RUNs below the COPY, up to the first line that the COPY must not cross.
    fn runs(&self) -> Vec<(usize, &'c Instruction)> {
        let mut out = Vec::new();
        let uses_variables = self.copy().span.text(&self.dockerfile.source).contains('$');
        for (at, instruction) in self.stage.instructions.iter().enumerate().skip(self.copy_at + 1) {
            match &instruction.arguments {
                Arguments::Run(_) => out.push((at, *instruction)),
                Arguments::Copy { .. } => {
                    let other = self.reads.destinations.get(&instruction.line).map(|path| path.trim_matches('/'));
                    if other.is_none_or(|other| overlap(other, &self.destination)) {
                        break;
                    }
                }
                Arguments::Env(_) | Arguments::Arg(_) if uses_variables => break,
                // With a named owner the file is written for whoever that is at this place.
                _ if instruction.keyword == Keyword::Onbuild => break,
                _ => {}
            }
        }
        out
    }

    /// Files of the context that a RUN needs. Errors: it read something that is not in the context any more.
    pub(super) fn wanted(&self, found: &RunReads, line: u32) -> Result<BTreeSet<String>, String> {
        let mut out = BTreeSet::new();
        // Who made a link is not on record: where the COPY brings one of this name, it is taken to be that.
        for path in &found.links {
            let rest = below(&self.destination, path).filter(|rest| !rest.is_empty());
            out.extend(rest.and_then(|rest| self.source.context_path(rest)).filter(|file| self.files.contains(file)));
        }
        for path in found.from.get(&self.copy().line).into_iter().flatten() {
            let Some(rest) = below(&self.destination, path) else {
                if below(path, &self.destination).is_some() {
                    continue;
                }
                let copy = self.copy().line;
                return Err(format!("line {line} read `/{path}`, where line {copy} put it through a link of the image"));
            };
            let Some(source) = self.source.context_path(rest).filter(|_| !rest.is_empty()) else { continue };
            if self.files.contains(&source) {
                out.insert(source);
                continue;
            }
            let prefix = format!("{source}/");
            let inside: Vec<&String> =
                self.files.range(prefix.clone()..).take_while(|file| file.starts_with(&prefix)).collect();
            match inside.is_empty() {
                // A folder that was looked at has to be there: with what is in it, since it cannot be copied without.
                false if !out.iter().any(|known: &String| known.starts_with(&prefix)) => {
                    out.extend(inside.into_iter().cloned());
                }
                false => {}
                true => {
                    return Err(format!(
                        "line {line} read `{source}`, which is not in the context any more: build again first"
                    ));
                }
            }
        }
        Ok(out)
    }

    /// Folders that a RUN listed and in which it would see fewer names.
    pub(super) fn listed(&self, found: &RunReads, covered: &BTreeSet<String>) -> Vec<String> {
        let fewer = |folder: &&String| {
            let Some(rest) = below(&self.destination, folder) else { return false };
            let place = if rest.is_empty() { Some(self.source.folder.clone()) } else { self.source.context_path(rest) };
            let Some(place) = place else { return false };
            let children = |of: &BTreeSet<String>| -> BTreeSet<String> {
                let inside = of.iter().filter_map(|path| below(&place, path).filter(|rest| !rest.is_empty()));
                inside.map(|rest| rest.split('/').next().unwrap_or("").to_owned()).collect()
            };
            children(&self.files) != children(covered)
        };
        found.listed.iter().filter(fewer).map(|folder| format!("/{folder}")).collect()
    }

    /// COPY lines for folders and files of the context. Errors: a name that cannot be written, or too many lines.
    pub(super) fn lines(
        &self,
        folders: &BTreeSet<String>,
        single: &BTreeMap<String, Vec<String>>,
        at: usize,
    ) -> Result<Vec<String>, String> {
        let place = |path: &str| {
            let rest = below(&self.source.folder, path).unwrap_or(path);
            self.written(rest, at)
        };
        if folders.len() + single.len() > LINES {
            let line = self.copy().line;
            return Err(format!("what a step reads of line {line} lies in too many folders to name them"));
        }
        let mut out = Vec::new();
        for (folder, files) in single {
            if let Some(link) = files.iter().find(|file| self.is_link(file)) {
                return Err(format!("`{link}` is a link, and a COPY that names it would follow it"));
            }
            let sources = files.iter().map(|file| written_source(file)).collect::<Result<Vec<String>, String>>()?;
            out.push(self.copy_line(sources, &place(folder)));
        }
        for folder in folders {
            out.push(self.copy_line(vec![written_source(folder)?], &place(folder)));
        }
        Ok(out)
    }

    /// Whether a step came upon a link where the COPY puts this file.
    fn is_link(&self, file: &str) -> bool {
        let Some(rest) = below(&self.source.folder, file) else { return false };
        let path = format!("{}/{rest}", self.destination);
        self.reads.runs.values().any(|run| run.links.contains(path.trim_start_matches('/')))
    }

    /// Where something below the COPY's destination goes, as a new line before instruction `at` writes it; ends with a slash.
    fn written(&self, rest: &str, at: usize) -> String {
        let Arguments::Copy { destination, .. } = &self.copy().arguments else { return String::new() };
        let text = destination.text.trim_matches(['"', '\'']);
        let stays = self.works_in_the_same_folder(at) || text.starts_with('/');
        let base = match (stays, text) {
            (true, "." | "./") => "./".to_owned(),
            (true, text) => format!("{}/", text.trim_end_matches('/')),
            (false, _) => format!("/{}/", self.destination).replace("//", "/"),
        };
        match (base.as_str(), rest) {
            (base, "") => base.to_owned(),
            ("./", rest) => format!("{rest}/"),
            (base, rest) => format!("{base}{rest}/"),
        }
    }

    fn copy_line(&self, sources: Vec<String>, destination: &str) -> String {
        let copy = self.copy();
        // ADD would unpack an archive that is named by itself.
        let written = copy.keyword_span.text(&self.dockerfile.source);
        let mut line = match copy.keyword {
            Keyword::Add if written.chars().all(char::is_lowercase) => "copy".to_owned(),
            Keyword::Add => "COPY".to_owned(),
            _ => written.to_owned(),
        };
        for flag in &copy.flags {
            line = format!("{line} {}", flag.span.text(&self.dockerfile.source));
        }
        let words: Vec<&str> = sources.iter().map(String::as_str).chain([destination]).collect();
        if words.iter().any(|word| word.contains(char::is_whitespace)) {
            return format!("{line} {}", serde_json::json!(words));
        }
        format!("{line} {}", words.join(" "))
    }

    /// Whether a line at instruction `at` surely works in the folder that the COPY works in.
    fn works_in_the_same_folder(&self, at: usize) -> bool {
        let (first, last) = (self.copy_at.min(at), self.copy_at.max(at));
        let mut between = self.stage.instructions[first..last.min(self.stage.instructions.len())].iter();
        let folder = working_folder(self.stages, self.stage, at);
        // What a variable means may have changed since.
        !between.any(|instruction| instruction.keyword == Keyword::Workdir)
            || (!folder.contains('$') && folder == working_folder(self.stages, self.stage, self.copy_at))
    }

    /// Below another WORKDIR a relative destination means another folder, so it is written in full.
    pub(super) fn destination_edit(&self, last: usize) -> Option<Edit> {
        let Arguments::Copy { destination, .. } = &self.copy().arguments else { return None };
        let relative = !destination.text.trim_matches(['"', '\'']).starts_with('/');
        let moves = relative && !self.works_in_the_same_folder(last + 1);
        moves.then(|| Edit::ReplaceArgument { span: destination.span, text: join_slash(&self.destination) })
    }

    fn suggestion(&self, portions: &[Portion<'_>], covered: usize, after: String) -> Suggestion {
        let copy = self.copy();
        let all = self.files.len();
        let runs: Vec<String> = portions.iter().map(|portion| portion.run.line.to_string()).collect();
        let evidence = portions.iter().map(|portion| {
            let missed = match portion.missed {
                0 => String::new(),
                n => format!(", and looked for {n} that are not there"),
            };
            format!(
                "`{}` (line {}) was watched when it ran: of the {all} files that line {} copies it read {}{missed}.",
                portion.run.one_line(),
                portion.run.line,
                copy.line,
                portion.read,
            )
        });
        let mut risks: Vec<String> = portions
            .iter()
            .filter(|portion| !portion.lists.is_empty())
            .map(|portion| {
                format!(
                    "Line {} listed the names in {}, and would see fewer of them; only building both can tell whether that matters.",
                    portion.run.line,
                    portion.lists.join(", ")
                )
            })
            .collect();
        risks.push(
            "What it read may depend on the files themselves: a new file, or one that it reads the next time, has to be added to the COPY above it."
                .to_owned(),
        );
        let lines = if runs.len() == 1 { "line" } else { "lines" };
        let files = if covered == 1 { "file".to_owned() } else { format!("{covered} files") };
        Suggestion {
            title: format!(
                "copy the {files} that {lines} {} read first, and the other {} below",
                runs.join(" and "),
                all - covered
            ),
            evidence: evidence.collect(),
            risks,
            proof: Proof::Traced,
            trigger: Trigger::Sources,
            after,
            ..advice(self.dockerfile, &PAGE, copy.line)
        }
    }
}

/// A path of the context as a source of COPY, where it stands for itself only. Errors: it cannot be written so that every builder
/// reads it as meant.
fn written_source(path: &str) -> Result<String, String> {
    if path.contains(['$', '\\', '`', '"', '\'', '<']) || path.contains(char::is_control) {
        return Err(format!("`{path}` cannot be named in a COPY line by itself"));
    }
    let mut out = String::new();
    for letter in path.chars() {
        match letter {
            '[' | '*' | '?' => out.extend(['[', letter, ']']),
            letter => out.push(letter),
        }
    }
    // Neither a flag nor a list.
    Ok(if out.starts_with(['-', '[', '#']) { format!("./{out}") } else { out })
}

fn join_slash(path: &str) -> String {
    format!("/{path}/").replace("//", "/")
}

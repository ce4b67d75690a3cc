//! `COPY . .` above an install of dependencies: every change of a source file runs the install again. The rewrite copies the
//! install's manifests, installs, and only then copies the rest.

mod rewrite;

use super::super::{ContextView, Page, Refusal, Rule, SuggestReport, Suggestion};
use super::commands::{InstallSite, commands_of, installs_of};
use super::harmless::{is_harmless, is_piped_interpreter, works_on_sources};
use super::manifests::{Manifests, Reason, Site, main_manifest, manifests};
use super::place::{BroadSource, below, copy_of_context, join, overlap, unquoted, working_folder};
use crate::language::dockerfile::{Arguments, Dockerfile, Instruction, Keyword, Stage, apply, go_match, parse};
use crate::language::shell::{Install, ShellCommand};

/// The rule's stable name.
pub const NAME: &str = "broad-copy-before-install";

/// Larger files are left alone: looking at each pair of instructions would take too long.
const INSTRUCTION_LIMIT: usize = 2_000;

/// The rule.
#[derive(Debug, Clone, Copy)]
pub struct BroadCopyBeforeInstall;

static PAGE: Page = Page {
    name: NAME,
    description: "Copy what an install reads, install, and only then copy the sources",
    why: "A COPY of all sources above an install of dependencies brings every source file into the install's key: each edit installs everything again. It stays silent, and says why, where the install may need the sources: lifecycle scripts, local dependencies, workspaces, other commands in the same RUN.",
    bad: "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci\n",
    good: "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\n",
};

impl Rule for BroadCopyBeforeInstall {
    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn check(&self, dockerfile: &Dockerfile, context: &dyn ContextView) -> SuggestReport {
        look(dockerfile, context, true)
    }
}

/// `may_split`: a RUN that does more than install may be made two.
fn look(dockerfile: &Dockerfile, context: &dyn ContextView, may_split: bool) -> SuggestReport {
    let mut report = SuggestReport::default();
    if dockerfile.instructions.len() > INSTRUCTION_LIMIT {
        return report;
    }
    let stages = dockerfile.stages();
    for stage in &stages {
        for at in 0..stage.instructions.len() {
            let Some(case) = Case::find(dockerfile, &stages, stage, at, context) else { continue };
            match case.suggest() {
                Ok(Some(suggestion)) => report.offered.push(suggestion),
                Ok(None) => {}
                Err(_) if may_split && case.in_two().is_some_and(|found| take(&mut report, found)) => {}
                Err(reason) => report.refused.push(Refusal { rule: NAME.to_owned(), line: case.run().line, reason }),
            }
        }
    }
    report
}

fn take(report: &mut SuggestReport, suggestion: Suggestion) -> bool {
    report.offered.push(suggestion);
    true
}

/// A RUN with an install below a broad COPY.
struct Case<'c> {
    dockerfile: &'c Dockerfile,
    stages: &'c [Stage<'c>],
    stage: &'c Stage<'c>,
    context: &'c dyn ContextView,
    /// Indexes into the stage's instructions.
    run_at: usize,
    copy_at: usize,
    source: BroadSource,
    destination: String,
    commands: Vec<ShellCommand>,
    installs: Vec<InstallSite>,
}

impl<'c> Case<'c> {
    fn find(
        dockerfile: &'c Dockerfile,
        stages: &'c [Stage<'c>],
        stage: &'c Stage<'c>,
        run_at: usize,
        context: &'c dyn ContextView,
    ) -> Option<Self> {
        let commands = commands_of(stage.instructions.get(run_at)?, &dockerfile.source);
        let installs = installs_of(&commands, working_folder(stages, stage, run_at));
        let first = installs.first()?;
        let mut fallback = None;
        for copy_at in (0..run_at).rev() {
            let folder = working_folder(stages, stage, copy_at);
            let Some((sources, destination)) = copy_of_context(stage.instructions[copy_at], &folder) else { continue };
            for source in sources.iter().filter_map(|word| BroadSource::of(&word.text)) {
                let site = Site { source: &source, destination: &destination, folder: &first.folder, context };
                let is_folder = source.wildcard || source.folder.is_empty() || is_folder(context, &source.folder);
                match site.brings(&first.install).filter(|_| is_folder) {
                    Some(true) => {
                        let destination = destination.clone();
                        return Some(Self {
                            dockerfile,
                            stages,
                            stage,
                            context,
                            run_at,
                            copy_at,
                            source,
                            destination,
                            commands,
                            installs,
                        });
                    }
                    Some(false) if fallback.is_none() && source.folder.is_empty() => {
                        fallback = Some((copy_at, source, destination.clone()))
                    }
                    _ => {}
                }
            }
        }
        // A manifest that another COPY brings is not missing.
        let (copy_at, source, destination) = fallback.filter(|_| !names_manifest(stage, run_at, &first.install))?;
        Some(Self { dockerfile, stages, stage, context, run_at, copy_at, source, destination, commands, installs })
    }

    fn run(&self) -> &'c Instruction {
        self.stage.instructions[self.run_at]
    }

    fn copy(&self) -> &'c Instruction {
        self.stage.instructions[self.copy_at]
    }

    fn suggest(&self) -> Result<Option<Suggestion>, Reason> {
        self.check_run()?;
        self.check_earlier_install()?;
        let found = self.manifests()?;
        if !self.brings_more_than(&found) {
            return Ok(None);
        }
        let moved_runs = self.moved_runs()?;
        let (lines, copied) = self.new_copies(&found)?;
        let edits = self.edits(&lines, &moved_runs)?;
        let after = apply(self.dockerfile, &edits);
        let again = parse(&after);
        if again.has_errors() || again.instructions.len() != self.dockerfile.instructions.len() + lines.len() {
            return Err("the rewritten file would not parse to what is meant".to_owned());
        }
        Ok(Some(self.suggestion(found, &copied, &moved_runs, after)))
    }

    /// The RUN may do nothing but install (and what surely needs no sources).
    fn check_run(&self) -> Result<(), Reason> {
        let run = self.run();
        if run.flags.iter().any(|flag| flag.name == "mount" && is_bind_of_context(flag.value.as_deref().unwrap_or(""))) {
            return Err(format!(
                "line {} mounts files of the build context, so it may need more than the manifests",
                run.line
            ));
        }
        for command in self.installs.iter().map(|site| &site.command) {
            if command.compound {
                return Err(format!(
                    "`{}` stands in a branch, a loop or a group, which is not followed",
                    command.one_line()
                ));
            }
            if command.words.iter().any(|word| word.expands) {
                return Err(format!(
                    "`{}` has variables or wildcards, so the files it needs are unknown",
                    command.one_line()
                ));
            }
        }
        for command in &self.commands {
            if Install::of(command).is_none() && command.name() != "cd" && !is_harmless(command) {
                let other = command.one_line();
                let installs = self.installs[0].command.one_line();
                return Err(format!(
                    "line {} also runs `{other}`, which may need the sources: give `{installs}` a RUN of its own first",
                    run.line
                ));
            }
        }
        Ok(())
    }

    /// An install of the same kind above the broad COPY means the order is good already.
    fn check_earlier_install(&self) -> Result<(), Reason> {
        for (at, instruction) in self.stage.instructions.iter().enumerate().take(self.copy_at) {
            let commands = commands_of(instruction, &self.dockerfile.source);
            let earlier = installs_of(&commands, working_folder(self.stages, self.stage, at));
            let same = |site: &&InstallSite| {
                self.installs.iter().any(|own| own.folder == site.folder && own.install.tool() == site.install.tool())
            };
            if let Some(site) = earlier.iter().find(same) {
                let name = site.command.one_line();
                return Err(format!("`{name}` in line {} installs before the sources are copied already", instruction.line));
            }
        }
        Ok(())
    }

    fn manifests(&self) -> Result<Manifests, Reason> {
        let mut all = Manifests::default();
        for site in &self.installs {
            let place =
                Site { source: &self.source, destination: &self.destination, folder: &site.folder, context: self.context };
            let found = manifests(&site.install, &place)?;
            for file in found.files {
                if !all.files.contains(&file) {
                    all.files.push(file);
                }
            }
            all.evidence.extend(found.evidence);
            all.risks.extend(found.risks);
        }
        Ok(all)
    }

    fn brings_more_than(&self, found: &Manifests) -> bool {
        let is_manifest = |path: &str| {
            found.files.iter().any(|(file, _)| path == file || (file.ends_with('/') && path.starts_with(file.as_str())))
        };
        self.context.list().iter().any(|path| below(&self.source.folder, path).is_some() && !is_manifest(path))
    }

    /// Instructions between COPY and RUN: those that need the sources go below with them.
    fn moved_runs(&self) -> Result<Vec<usize>, Reason> {
        let mut moved = Vec::new();
        let variables = self.copy().span.text(&self.dockerfile.source).contains('$');
        for at in self.copy_at + 1..self.run_at {
            let instruction = self.stage.instructions[at];
            let state = matches!(
                instruction.keyword,
                Keyword::Workdir | Keyword::User | Keyword::Env | Keyword::Arg | Keyword::Shell
            );
            match &instruction.arguments {
                Arguments::Run(_) if self.must_move(at)? => moved.push(at),
                Arguments::Copy { destination, .. } => self.check_other_copy(at, &destination.text)?,
                Arguments::Env(_) | Arguments::Arg(_) if variables => {
                    let line = instruction.line;
                    return Err(format!(
                        "line {line} may change a variable that the COPY in line {} uses",
                        self.copy().line
                    ));
                }
                _ => {}
            }
            if let (true, Some(first)) = (state, moved.first()) {
                let (line, needs) = (instruction.line, self.stage.instructions[*first].line);
                return Err(format!("line {needs} needs the sources, and line {line} changes how the steps below it run"));
            }
        }
        Ok(moved)
    }

    /// Whether a RUN between COPY and install works on the sources and goes below with them.
    fn must_move(&self, at: usize) -> Result<bool, Reason> {
        let run = self.stage.instructions[at];
        let line = run.line;
        let commands = commands_of(run, &self.dockerfile.source);
        let same = |command: &ShellCommand| {
            let tool = Install::of(command).map(|install| install.tool());
            tool.is_some_and(|tool| self.installs.iter().any(|own| own.install.tool() == tool))
        };
        if let Some(command) = commands.iter().find(|command| same(command)) {
            return Err(format!("`{}` in line {line} installs below the COPY too, and comes first", command.one_line()));
        }
        let mut moves = false;
        let mut before = None;
        for command in &commands {
            let needs_nothing = command.name() == "cd" || is_harmless(command) || is_piped_interpreter(command, before);
            if !needs_nothing && !works_on_sources(command) && Install::of(command).is_none() {
                let name = command.one_line();
                return Err(format!(
                    "`{name}` in line {line} may need the sources and may provide what the install uses, so its place is not certain"
                ));
            }
            moves |= !needs_nothing;
            before = Some(command);
        }
        if commands.is_empty() {
            return Err(format!("line {line} runs a script of its own, which is not read"));
        }
        Ok(moves)
    }

    fn check_other_copy(&self, at: usize, destination: &str) -> Result<(), Reason> {
        let folder = join(&working_folder(self.stages, self.stage, at), unquoted(destination));
        if overlap(&folder, &self.destination) {
            let line = self.stage.instructions[at].line;
            return Err(format!(
                "line {line} copies into the same folder after line {}, and their order matters",
                self.copy().line
            ));
        }
        Ok(())
    }
}

/// Whether a COPY above a RUN names the install's main manifest by itself, out of the context or another stage.
fn names_manifest(stage: &Stage<'_>, run_at: usize, install: &Install) -> bool {
    let file_name = |path: &str| path.rsplit('/').next().unwrap_or("").to_owned();
    let Some(wanted) = main_manifest(install).map(file_name) else { return false };
    stage.instructions.iter().take(run_at).any(|instruction| match &instruction.arguments {
        Arguments::Copy { sources, .. } => {
            sources.iter().any(|word| go_match(&file_name(unquoted(&word.text)), &wanted).unwrap_or(false))
        }
        _ => false,
    })
}

fn is_folder(context: &dyn ContextView, path: &str) -> bool {
    let prefix = format!("{path}/");
    context.list().iter().any(|file| file.starts_with(&prefix))
}

/// A bind mount whose source is the build context.
fn is_bind_of_context(mount: &str) -> bool {
    let fields: Vec<&str> = mount.split(',').collect();
    let kind = fields.iter().find_map(|field| field.strip_prefix("type=")).unwrap_or("bind");
    kind == "bind" && !fields.iter().any(|field| field.starts_with("from="))
}

#[cfg(test)]
mod tests;

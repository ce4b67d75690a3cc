//! A slow step that needs nothing of what is copied stands below a COPY: packages of the system, downloads, global tools. The
//! rewrite moves the COPY below it.

use super::super::{ContextView, Page, Rule, SuggestReport, Suggestion, Trigger};
use super::commands::commands_of;
use super::draft::{numbers, refusal, rewrite};
use super::harmless::{is_harmless, is_piped_interpreter};
use super::place::{absolute, below, copy_of_context, join, overlap, unquoted, working_folder};
use crate::language::dockerfile::{Arguments, Dockerfile, Edit, Instruction, Keyword, Stage, go_match, names_in};
use crate::language::shell::{Joint, ShellCommand};

static PAGE: Page = Page {
    name: "step-below-copy",
    description: "Run what needs nothing of the sources before they are copied",
    why: "A step runs again whenever anything above it changes. One that installs packages of the system, downloads a file or installs a tool does not read the sources, so above their COPY it stays in the cache. It stays silent where the COPY goes into folders that such programs read (/etc, /usr, /root, the root itself), where the folder is not known, and where a command on the way may need the sources.",
    bad: "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN apt-get update && apt-get install -y curl\nRUN node build.js\n",
    good: "FROM node:22\nWORKDIR /app\nRUN apt-get update && apt-get install -y curl\nCOPY . .\nRUN node build.js\n",
};

/// The rule.
pub struct StepBelowCopy;

impl Rule for StepBelowCopy {
    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn check(&self, dockerfile: &Dockerfile, _: &dyn ContextView) -> SuggestReport {
        let mut report = SuggestReport::default();
        let stages = dockerfile.stages();
        for stage in &stages {
            let case = Case { dockerfile, stages: &stages, stage };
            let mut end = stage.instructions.len();
            while let Some(run_at) = (0..end).rev().find(|at| case.is_slow_and_independent(*at)) {
                let (moved, stop) = case.copies_above(run_at);
                end = stop;
                if moved.is_empty() {
                    continue;
                }
                match case.suggest(run_at, &moved) {
                    Ok(found) => report.offered.extend(found),
                    Err(reason) => {
                        report.refused.push(refusal(&PAGE, stage.instructions[run_at].line, reason));
                    }
                }
            }
        }
        report.offered.sort_by_key(|suggestion| suggestion.line);
        report
    }
}

struct Case<'c> {
    dockerfile: &'c Dockerfile,
    stages: &'c [Stage<'c>],
    stage: &'c Stage<'c>,
}

impl Case<'_> {
    fn commands(&self, at: usize) -> Vec<ShellCommand> {
        let instruction = self.stage.instructions[at];
        if instruction.keyword != Keyword::Run || instruction.flag("mount").is_some_and(mounts_files) {
            return Vec::new();
        }
        commands_of(instruction, &self.dockerfile.source)
    }

    /// A RUN all of whose commands need nothing of the sources.
    fn is_independent(&self, at: usize) -> bool {
        let commands = self.commands(at);
        !commands.is_empty() && are_independent(&commands)
    }

    fn is_slow_and_independent(&self, at: usize) -> bool {
        self.is_independent(at) && self.commands(at).iter().any(is_slow)
    }

    /// The COPYs from the context that may go below a RUN, from the top; and where the search ended.
    fn copies_above(&self, run_at: usize) -> (Vec<usize>, usize) {
        let mut moved = Vec::new();
        for at in (0..run_at).rev() {
            let instruction = self.stage.instructions[at];
            match instruction.keyword {
                Keyword::Run if self.is_independent(at) => {}
                Keyword::Run | Keyword::Shell | Keyword::Onbuild => return (moved, at + 1),
                Keyword::Copy | Keyword::Add if self.is_volatile_copy(at) => match self.may_pass(at, run_at, &moved) {
                    true => moved.insert(0, at),
                    false => return (moved, at),
                },
                // What comes from elsewhere may be what the step needs.
                Keyword::Copy | Keyword::Add => return (moved, at),
                _ => {}
            }
        }
        (moved, 0)
    }

    fn is_volatile_copy(&self, at: usize) -> bool {
        let folder = working_folder(self.stages, self.stage, at);
        let instruction = self.stage.instructions[at];
        let Some((sources, _)) = copy_of_context(instruction, &folder) else { return false };
        instruction.heredocs.is_empty() && sources.iter().all(|word| !word.text.contains("://"))
    }

    /// Whether a COPY may stand below the RUN: it goes where no program looks by itself, no instruction in between changes what
    /// it means, and no other COPY in between goes to the same place.
    fn may_pass(&self, at: usize, run_at: usize, moved: &[usize]) -> bool {
        let destination = self.destination(at);
        let instruction = self.stage.instructions[at];
        let reserved = is_of_the_system(&destination) && !self.is_program_of_nobody(at, &destination, run_at);
        if destination.is_empty() || destination.starts_with(['$', '\u{0}']) || reserved {
            return false;
        }
        let names = names_in(instruction.span.text(&self.dockerfile.source), self.dockerfile.escape);
        (at + 1..=run_at).all(|between| {
            let other = self.stage.instructions[between];
            match &other.arguments {
                Arguments::Env(list) | Arguments::Arg(list) => list.iter().all(|a| !names.contains(&a.name.text)),
                Arguments::Copy { .. } => moved.contains(&between) || !overlap(&self.destination(between), &destination),
                Arguments::Run(_) => !mentions_folder(other, &self.dockerfile.source, &destination),
                // A folder that WORKDIR makes belongs to the user of that place, not to whom the COPY gives it.
                Arguments::Workdir(word) => {
                    let owned = instruction.flag("chown").is_some() || instruction.flag("chmod").is_some();
                    !owned || below(&destination, &join("", unquoted(&word.text))).is_none()
                }
                _ => true,
            }
        })
    }

    /// A program that is put beside those of the system, and that no command on the way names.
    fn is_program_of_nobody(&self, at: usize, destination: &str, run_at: usize) -> bool {
        let Arguments::Copy { sources, destination: written } = &self.stage.instructions[at].arguments else { return false };
        let folder = unquoted(&written.text).ends_with('/') || sources.len() > 1;
        let places = ["usr/bin", "usr/local/bin", "usr/sbin", "usr/local/sbin"];
        let place = if folder { destination } else { destination.rsplit_once('/').map_or("", |(folder, _)| folder) };
        let mut names: Vec<&str> = sources.iter().filter_map(|word| unquoted(&word.text).rsplit('/').next()).collect();
        if !folder {
            names = destination.rsplit('/').next().into_iter().collect();
        }
        // A folder brings programs of any name.
        let plain = names.iter().all(|name| {
            let pattern = name.contains(['*', '?', '[', '$']);
            !name.is_empty()
                && *name != "."
                && (!pattern || name.ends_with(".sh"))
                && (pattern || name.contains('.') || !folder)
        });
        let named = |name: &str, command: &ShellCommand| {
            let is_it =
                |word: &str| word == name || word.ends_with(&format!("/{name}")) || go_match(name, word).unwrap_or(false);
            command.words.iter().any(|word| is_it(&word.text))
        };
        places.iter().any(|known| place == *known || below(known, place).is_some())
            && plain
            && (at + 1..=run_at).all(|between| {
                let commands = self.commands(between);
                names.iter().all(|name| !commands.iter().any(|command| named(name, command)))
            })
    }

    fn destination(&self, at: usize) -> String {
        let folder = working_folder(self.stages, self.stage, at);
        match &self.stage.instructions[at].arguments {
            Arguments::Copy { destination, .. } => join(&folder, unquoted(&destination.text)),
            _ => String::new(),
        }
    }

    fn suggest(&self, run_at: usize, moved: &[usize]) -> Result<Option<Suggestion>, String> {
        let index = |at: usize| self.stage.first + 1 + at;
        let run = self.stage.instructions[run_at];
        let passed: Vec<usize> =
            (moved[0]..=run_at).filter(|at| self.commands(*at).iter().any(is_slow) && !moved.contains(at)).collect();
        let mut edits: Vec<Edit> =
            moved.iter().map(|at| Edit::MoveAfter { instruction: index(*at), after: index(run_at) }).collect();
        for at in moved {
            edits.extend(self.destination_edit(*at, run_at)?);
        }
        let Some(mut found) = rewrite(self.dockerfile, &PAGE, run.line, &edits, 0) else { return Ok(None) };
        let lines = |of: &[usize]| of.iter().map(|at| self.stage.instructions[*at].line).collect::<Vec<u32>>();
        let (copies, runs) = (lines(moved), lines(&passed));
        let what = run.one_line();
        found.title = format!("copy the files of line {} after line {}", numbers(&copies), numbers(&runs));
        found.evidence.push(format!(
            "`{}` (line {}) needs nothing that line {} {}: packages, downloads and tools by their names only.",
            short(&what),
            numbers(&runs),
            numbers(&copies),
            if copies.len() == 1 { "copies" } else { "copy" }
        ));
        let targets: Vec<String> = moved.iter().map(|at| format!("`/{}`", self.destination(*at))).collect();
        found.evidence.push(format!("It is copied into {}, where no such program looks by itself.", targets.join(" and ")));
        found.risks.push("A hook of a package, or an installer that is downloaded, could look into those folders.".into());
        found.trigger = Trigger::Files { paths: moved.iter().flat_map(|at| self.sources(*at)).collect() };
        Ok(Some(found))
    }

    /// What is copied, as paths of the context; of everything, none in particular.
    fn sources(&self, at: usize) -> Vec<String> {
        let Arguments::Copy { sources, .. } = &self.stage.instructions[at].arguments else { return Vec::new() };
        sources.iter().map(|word| join("", unquoted(&word.text))).collect()
    }

    /// Below another WORKDIR a relative destination means another folder, so it is written in full.
    fn destination_edit(&self, at: usize, run_at: usize) -> Result<Option<Edit>, String> {
        let Arguments::Copy { destination, .. } = &self.stage.instructions[at].arguments else { return Ok(None) };
        let text = unquoted(&destination.text);
        let same = working_folder(self.stages, self.stage, at) == working_folder(self.stages, self.stage, run_at + 1);
        if same || text.starts_with('/') {
            return Ok(None);
        }
        let full = absolute(&self.destination(at)).ok_or("the working folder is not known, and WORKDIR changes below")?;
        let folder = text.ends_with('/') || text.ends_with('.') || text.is_empty();
        let full = if folder { full } else { full.trim_end_matches('/').to_owned() };
        Ok(Some(Edit::ReplaceArgument { span: destination.span, text: full }))
    }
}

/// The first words of a command, for a sentence.
fn short(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() <= 8 { words.join(" ") } else { format!("{} ...", words[..8].join(" ")) }
}

fn mounts_files(flag: &crate::language::dockerfile::Flag) -> bool {
    let value = flag.value.as_deref().unwrap_or("");
    !value.contains("type=cache") && !value.contains("type=tmpfs")
}

/// Folders that programs read on their own: configuration, certificates, programs, the home of root.
fn is_of_the_system(folder: &str) -> bool {
    let first = folder.split('/').next().unwrap_or("");
    match first {
        "etc" | "bin" | "sbin" | "lib" | "lib64" | "root" | "boot" | "dev" | "proc" | "sys" | "run" => true,
        // `/usr/src` and `/var/www` are where people put their sources.
        "usr" => !folder.starts_with("usr/src/") && folder != "usr/src",
        "var" => folder.starts_with("var/lib/apt") || folder.starts_with("var/cache") || folder.starts_with("var/lib/dpkg"),
        _ => false,
    }
}

fn mentions_folder(instruction: &Instruction, source: &str, folder: &str) -> bool {
    let text = instruction.span.text(source);
    let full = format!("/{folder}");
    text.match_indices(&full).any(|(at, _)| !text[at + full.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '-'))
}

/// Tools that take what they install by its name from elsewhere.
fn is_independent_tool(command: &ShellCommand) -> bool {
    if command.compound || !command.redirections.iter().all(|place| place.starts_with(['/', '&'])) {
        return false;
    }
    let arguments: Vec<&str> = command.arguments().collect();
    let local = arguments
        .iter()
        .skip(1)
        .any(|argument| argument.starts_with("./") || argument.starts_with("../") || *argument == ".");
    match command.name() {
        "gem" => arguments.first() == Some(&"install") && !local,
        "cargo" => arguments.first() == Some(&"install") && !local && !arguments.contains(&"--path"),
        "rustup" | "xx-apt" | "xx-apt-get" | "xx-apk" | "update-alternatives" | "locale-gen" | "ldconfig" | "apt-key" => {
            !local
        }
        "go" => arguments.first() == Some(&"install") && arguments.iter().any(|argument| argument.contains('@')),
        "svn" => matches!(arguments.first(), Some(&("checkout" | "co" | "export"))) && !local,
        "git" => arguments.first() == Some(&"clone") && arguments.last().is_some_and(|argument| argument.starts_with('/')),
        _ => false,
    }
}

/// Whether commands need nothing but what the system, the network and they themselves give.
pub(super) fn are_independent(commands: &[ShellCommand]) -> bool {
    let mut before = None;
    commands.iter().all(|command| {
        let plain = is_harmless(command) || is_independent_tool(command) || is_piped_interpreter(command, before);
        before = Some(command);
        plain || works_on_own(command, commands)
    })
}

/// Commands on files of the system by their absolute paths, and on what the same RUN has downloaded.
fn works_on_own(command: &ShellCommand, all: &[ShellCommand]) -> bool {
    let known = [
        "chmod",
        "chown",
        "tar",
        "unzip",
        "mv",
        "cp",
        "ln",
        "rm",
        "dpkg",
        "sh",
        "bash",
        "sha256sum",
        "sed",
        "touch",
        "test",
        "[",
    ];
    if command.compound
        || !known.contains(&command.name())
        || !command.redirections.iter().all(|place| place.starts_with(['/', '&']))
    {
        return false;
    }
    let downloads = || all.iter().filter(|other| matches!(other.name(), "curl" | "wget")).map(ShellCommand::one_line);
    let is_file = |argument: &&str| !argument.starts_with(['-', '+']) && argument.contains(['/', '.', '$', '*']);
    let own = |argument: &str| argument.starts_with('/') || downloads().any(|line| line.contains(argument));
    // The script of sed is no file.
    let script = usize::from(command.name() == "sed");
    let files: Vec<&str> = command.arguments().filter(is_file).skip(script).collect();
    match (command.name(), files.as_slice()) {
        // What follows the archive are names in it; a pipe has none.
        ("tar", []) => command.joint == Joint::Pipe,
        ("unzip" | "tar", [archive, ..]) => own(archive),
        (_, []) => false,
        (_, all) => all.iter().all(|file| own(file)),
    }
}

/// Commands that take long: over the network.
pub(super) fn is_slow(command: &ShellCommand) -> bool {
    let names = [
        "apt-get",
        "apt",
        "apk",
        "yum",
        "dnf",
        "microdnf",
        "zypper",
        "pacman",
        "curl",
        "wget",
        "pip",
        "pip3",
        "npm",
        "yarn",
        "gem",
        "cargo",
        "rustup",
        "go",
        "git",
        "svn",
        "xx-apt",
        "xx-apt-get",
        "xx-apk",
    ];
    let python = command.name().starts_with("python") && command.arguments().any(|argument| argument == "install");
    let settles = command.arguments().next().is_some_and(|verb| matches!(verb, "config" | "cache" | "set" | "--version"));
    (names.contains(&command.name()) && !settles) || python
}

//! ARG and ENV stand above steps that do not use them: in BuildKit they are in the key of every later RUN of the stage all the
//! same. The rewrite moves them down to their first use. LABEL alone is nothing to move: it is in no key (it is in that of the
//! classic builder, of buildah and kaniko).

use std::collections::{BTreeMap, BTreeSet};

use super::super::{ContextView, Page, Rule, SuggestReport, Suggestion, Trigger};
use super::commands::commands_of;
use super::draft::{numbers, rewrite};
use super::harmless::is_harmless;
use super::step_below_copy::{are_independent, is_slow};
use crate::language::dockerfile::{Arguments, Dockerfile, Edit, Instruction, Keyword, Stage};
use crate::language::shell::{Install, ShellCommand, mentions_variable};

static PAGE: Page = Page {
    name: "argument-above-steps",
    description: "Declare ARG and ENV where they are first used",
    why: "The value of an ARG is in the environment of every RUN below it in its stage, and so in their keys, whether they use it or not: another commit id or build date runs all of them again. ENV is the same. Names that programs read on their own (PATH, LANG, DEBIAN_FRONTEND, CFLAGS, NODE_ENV, proxies and the like) are left where they are. LABEL is in no key of BuildKit.",
    bad: "FROM alpine\nARG COMMIT\nRUN apk add git\nRUN make COMMIT=$COMMIT\n",
    good: "FROM alpine\nRUN apk add git\nARG COMMIT\nRUN make COMMIT=$COMMIT\n",
};

/// The rule.
pub struct ArgumentAboveSteps;

impl Rule for ArgumentAboveSteps {
    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn check(&self, dockerfile: &Dockerfile, _: &dyn ContextView) -> SuggestReport {
        let mut report = SuggestReport::default();
        for stage in &dockerfile.stages() {
            // What goes below the same line goes there in one rewrite.
            let mut moves: BTreeMap<usize, Vec<Group>> = BTreeMap::new();
            let mut taken = BTreeSet::new();
            for at in 0..stage.instructions.len() {
                if taken.contains(&at) {
                    continue;
                }
                let Some(group) = Group::of(dockerfile, stage, at) else { continue };
                taken.extend(group.members.iter().copied());
                moves.entry(group.after).or_default().push(group);
            }
            let place = Place { dockerfile, stage };
            report.offered.extend(moves.into_iter().filter_map(|(after, groups)| place.suggest(after, &groups)));
        }
        report
    }
}

/// An ARG or ENV, and what only passes its value on.
struct Group {
    name: String,
    /// Places in the stage, in order.
    members: Vec<usize>,
    /// The last step that has it in its key and surely does not use it.
    after: usize,
    /// RUNs that have it in their keys and do not use it, by their lines.
    spared: Vec<u32>,
    /// The line that uses it first, or may.
    used: Option<u32>,
}

impl Group {
    fn of(dockerfile: &Dockerfile, stage: &Stage<'_>, at: usize) -> Option<Self> {
        let instruction = stage.instructions[at];
        let name = movable_name(instruction)?;
        let constant = instruction.keyword == Keyword::Env;
        // An ENV that is made of an ARG moves with it, or not at all; a constant one is worth moving when it is edited often.
        if constant && (value_of(instruction).is_none_or(|value| value.contains('$')) || !is_edited_often(&name)) {
            return None;
        }
        // With another value above, what stands in between would see that one.
        if stage.instructions[..at].iter().any(|above| assigned(above).contains(&name)) {
            return None;
        }
        let for_labels = is_for_labels(dockerfile, &stage.instructions[at + 1..], &name);
        let mut names = vec![name.clone()];
        let mut members = vec![at];
        let (mut after, mut spared, mut used) = (None, Vec::new(), None);
        let mut takes_long = false;
        for next in at + 1..stage.instructions.len() {
            let other = stage.instructions[next];
            let text = other.span.text(&dockerfile.source);
            let uses = names.iter().any(|name| mentions_variable(text, name));
            let carried = movable_name(other).filter(|_| uses && other.keyword == Keyword::Env);
            if carried.is_none() && assigned(other).iter().any(|assigned| names.contains(assigned)) {
                return None;
            }
            match (uses, other.keyword) {
                _ if carried.is_some() => {
                    names.extend(carried);
                    members.push(next);
                }
                (true, keyword) if is_metadata(keyword) => members.push(next),
                (true, _) | (_, Keyword::Onbuild | Keyword::Shell) => {
                    used = Some(other.line);
                    break;
                }
                (false, Keyword::Run) => {
                    // Any other program may read its environment, or name the variable in a form of its own.
                    let is_read = !for_labels && !needs_nothing(other, &dockerfile.source);
                    if is_read || names.iter().any(|name| has_word(text, name)) {
                        used = Some(other.line);
                        break;
                    }
                    after = Some(next);
                    spared.push(other.line);
                    let commands = commands_of(other, &dockerfile.source);
                    takes_long |= commands.iter().any(is_slow) || !are_independent(&commands);
                }
                _ => {}
            }
        }
        // Without any that goes over the network or builds there is nothing to spare.
        let after = after.filter(|_| takes_long)?;
        // Below what only passes it on there is nothing to spare.
        members.retain(|member| *member < after);
        Some(Self { name, members, after, spared, used })
    }
}

/// Whether a RUN only installs packages or downloads by names: such programs read no variables of ours.
fn needs_nothing(run: &Instruction, source: &str) -> bool {
    let commands = commands_of(run, source);
    let is_install = |command: &ShellCommand| Install::of(command).is_some_and(|install| install.tool() != "vendor-install");
    let plain = |command: &ShellCommand| command.name() == "cd" || is_harmless(command) || is_install(command);
    !commands.is_empty() && (are_independent(&commands) || commands.iter().all(plain))
}

/// Whether a text has a name as a word of its own, in whatever form.
fn has_word(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| !text[..at].ends_with(part) && !text[at + name.len()..].starts_with(part))
}

/// Whether the instructions below an ARG name it in labels and the like only: then it is for them, and no program's.
fn is_for_labels(dockerfile: &Dockerfile, below: &[&Instruction], name: &str) -> bool {
    let uses = |instruction: &&&Instruction| mentions_variable(instruction.span.text(&dockerfile.source), name);
    let mut users = below.iter().filter(uses).peekable();
    users.peek().is_some() && users.all(|instruction| is_metadata(instruction.keyword))
}

/// Where groups go.
struct Place<'p> {
    dockerfile: &'p Dockerfile,
    stage: &'p Stage<'p>,
}

impl Place<'_> {
    fn suggest(&self, after: usize, groups: &[Group]) -> Option<Suggestion> {
        let index = |at: usize| self.stage.first + 1 + at;
        let mut members: Vec<usize> = groups.iter().flat_map(|group| group.members.iter().copied()).collect();
        members.sort_unstable();
        members.dedup();
        let edits: Vec<Edit> =
            members.iter().map(|at| Edit::MoveAfter { instruction: index(*at), after: index(after) }).collect();
        let first = self.stage.instructions[*members.first()?];
        let mut found = rewrite(self.dockerfile, &PAGE, first.line, &edits, 0)?;
        let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        found.title = format!("move {} below line {}", names.join(", "), self.stage.instructions[after].line);
        for group in groups {
            let (has, its, does) =
                if group.spared.len() == 1 { ("has", "its", "it does") } else { ("have", "their", "they do") };
            let use_of = match group.used {
                Some(line) => format!("line {line} is the first that may"),
                None => "no step does".to_owned(),
            };
            found.evidence.push(format!(
                "Line {} {has} {} in {its} environment and key, though {does} not use it; {use_of}.",
                numbers(&group.spared),
                group.name
            ));
        }
        let carried = members.len().saturating_sub(groups.len());
        if carried > 0 {
            found.evidence.push(format!("{carried} more lines only pass a value on, and move along."));
        }
        found.risks.push("A hook of a package that reads such a variable from its environment would miss it.".into());
        let is_argument = |group: &&Group| self.stage.instructions[group.members[0]].keyword == Keyword::Arg;
        match groups.iter().find(is_argument) {
            Some(group) => found.trigger = Trigger::Argument { name: group.name.clone() },
            None => found.gain = Some("when such a value is edited, those lines no longer run again".into()),
        }
        Some(found)
    }
}

/// Whether the name is that of something that is edited with every release.
fn is_edited_often(name: &str) -> bool {
    let words = ["VERSION", "VER", "COMMIT", "SHA", "REVISION", "REV", "DATE", "TAG", "RELEASE"];
    name.split('_').next_back().is_some_and(|last| words.contains(&last.to_ascii_uppercase().as_str()))
}

fn assigned(instruction: &Instruction) -> Vec<String> {
    match &instruction.arguments {
        Arguments::Env(list) | Arguments::Arg(list) => list.iter().map(|a| a.name.text.clone()).collect(),
        _ => Vec::new(),
    }
}

fn value_of(instruction: &Instruction) -> Option<&str> {
    match &instruction.arguments {
        Arguments::Env(list) | Arguments::Arg(list) => Some(list.first()?.value.as_ref()?.text.as_str()),
        _ => None,
    }
}

/// The name that an ARG or ENV of one name sets, if no program reads it on its own.
fn movable_name(instruction: &Instruction) -> Option<String> {
    let names = assigned(instruction);
    let [name] = names.as_slice() else { return None };
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (plain && !is_read_by_programs(name)).then(|| name.clone())
}

fn is_metadata(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::Label | Keyword::Cmd | Keyword::Entrypoint | Keyword::Expose | Keyword::Stopsignal)
        || matches!(keyword, Keyword::Maintainer | Keyword::Healthcheck)
}

/// Whether a variable means something to the shell, the system, compilers or package managers, or never changes in a build of one
/// platform.
fn is_read_by_programs(name: &str) -> bool {
    const EXACT: [&str; 31] = [
        "PATH",
        "HOME",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TERM",
        "SHELL",
        "USER",
        "TMPDIR",
        "DEBIAN_FRONTEND",
        "CC",
        "CXX",
        "CPP",
        "CFLAGS",
        "CXXFLAGS",
        "CPPFLAGS",
        "LDFLAGS",
        "MAKEFLAGS",
        "NODE_ENV",
        "NODE_OPTIONS",
        "CI",
        "DEBUG",
        "ENV",
        "PS1",
        "GOPATH",
        "JAVA_HOME",
        "VIRTUAL_ENV",
        "SOURCE_DATE_EPOCH",
        "EDITOR",
        "ACCEPT_EULA",
        "INITRD",
    ];
    const BEGINNINGS: [&str; 45] = [
        "LC_",
        "LD_",
        "PIP_",
        "PYTHON",
        "NPM_",
        "npm_",
        "YARN_",
        "PNPM_",
        "COREPACK_",
        "BUN_",
        "POETRY_",
        "UV_",
        "PIPENV_",
        "GO",
        "CGO_",
        "CARGO_",
        "RUST",
        "GEM_",
        "BUNDLE_",
        "RUBY",
        "RAILS_",
        "COMPOSER_",
        "PHP",
        "MAVEN_",
        "GRADLE_",
        "JAVA_",
        "JDK_",
        "DOTNET_",
        "NUGET_",
        "ASPNETCORE_",
        "APT_",
        "DEBCONF_",
        "PKG_CONFIG",
        "CMAKE_",
        "BUILDKIT_",
        "TARGET",
        "BUILD",
        "DOCKER_",
        "GIT_",
        "CONDA_",
        "MIX_",
        "HEX_",
        "CUDA_",
        "NVIDIA_",
        "NEXT_",
    ];
    let proxy = name.to_ascii_lowercase().ends_with("_proxy");
    // A version, a commit or a date is nobody's setting, whatever it is of.
    let own = is_edited_often(name)
        || matches!(name, "BUILD_TIME" | "BUILD_NUMBER" | "BUILD_ID" | "BUILD_PROFILE")
        || name.starts_with("GIT_COMMIT")
        || name.starts_with("GIT_BRANCH")
        || name.starts_with("GIT_REF");
    proxy || EXACT.contains(&name) || (!own && BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)))
}

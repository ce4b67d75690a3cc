//! ARG and ENV stand above steps that do not use them: in BuildKit they are in the key of every later RUN of the stage all the
//! same. The rewrite moves them down to their first use. LABEL alone is nothing to move: it is in no key (it is in that of the
//! classic builder, of buildah and kaniko).

use std::collections::BTreeSet;

use super::super::{ContextView, Page, Rule, SuggestReport, Suggestion, Trigger};
use super::draft::{numbers, rewrite};
use crate::language::dockerfile::{Arguments, Dockerfile, Edit, Instruction, Keyword, Stage};
use crate::language::shell::mentions_variable;

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
        let stages = dockerfile.stages();
        for stage in &stages {
            let mut taken = BTreeSet::new();
            for at in 0..stage.instructions.len() {
                if taken.contains(&at) {
                    continue;
                }
                let Some(group) = Group::of(dockerfile, stage, at) else { continue };
                if let Some(suggestion) = group.suggest() {
                    taken.extend(group.members);
                    report.offered.push(suggestion);
                }
            }
        }
        report
    }
}

/// An ARG or ENV, and what only passes its value on.
struct Group<'g> {
    dockerfile: &'g Dockerfile,
    stage: &'g Stage<'g>,
    name: String,
    /// Places in the stage, in order.
    members: Vec<usize>,
    /// The first instruction that uses any of it.
    used_at: usize,
}

impl<'g> Group<'g> {
    fn of(dockerfile: &'g Dockerfile, stage: &'g Stage<'g>, at: usize) -> Option<Self> {
        let instruction = stage.instructions[at];
        let name = movable_name(instruction)?;
        if instruction.keyword == Keyword::Env && value_of(instruction).is_some_and(|value| value.contains('$')) {
            // It moves with the ARG that it is made of, or not at all.
            return None;
        }
        // With another value above, what stands in between would see that one.
        if stage.instructions[..at].iter().any(|above| assigned(above).contains(&name)) {
            return None;
        }
        let mut names = vec![name.clone()];
        let mut members = vec![at];
        for next in at + 1..stage.instructions.len() {
            let other = stage.instructions[next];
            let text = other.span.text(&dockerfile.source);
            let uses = names.iter().any(|name| mentions_variable(text, name));
            let sets_again = assigned(other).iter().any(|assigned| names.contains(assigned));
            if sets_again {
                return None;
            }
            if !uses {
                continue;
            }
            match movable_name(other) {
                Some(carried) if other.keyword == Keyword::Env => {
                    names.push(carried);
                    members.push(next);
                }
                _ if is_metadata(other.keyword) => members.push(next),
                _ => return Some(Self { dockerfile, stage, name, members, used_at: next }),
            }
        }
        // What nothing uses goes below the last step; the shell of a later RUN is the only one that could miss it.
        let last =
            (at + 1..stage.instructions.len()).rev().find(|at| !members.contains(at) && is_step(stage.instructions[*at]))?;
        Some(Self { dockerfile, stage, name, members, used_at: last + 1 })
    }

    /// RUNs that have it in their keys and do not use it.
    fn spared(&self) -> Vec<u32> {
        let runs = (self.members[0] + 1..self.used_at).filter(|at| self.stage.instructions[*at].keyword == Keyword::Run);
        runs.map(|at| self.stage.instructions[at].line).collect()
    }

    fn suggest(&self) -> Option<Suggestion> {
        let spared = self.spared();
        let index = |at: usize| self.stage.first + 1 + at;
        // A name that the shell's text has in any other form is used by it, for all that is known.
        let whispered = |at: &usize| {
            let instruction = self.stage.instructions[*at];
            instruction.keyword == Keyword::Run
                && instruction.span.text(&self.dockerfile.source).contains(self.name.as_str())
        };
        if spared.is_empty() || (self.members[0] + 1..self.used_at).any(|at| whispered(&at)) {
            return None;
        }
        // Only what stands above the last step before the use moves.
        let after = (self.members[0]..self.used_at).rev().find(|at| !self.members.contains(at))?;
        let moved: Vec<usize> = self.members.iter().copied().filter(|at| *at < after).collect();
        let edits: Vec<Edit> =
            moved.iter().map(|at| Edit::MoveAfter { instruction: index(*at), after: index(after) }).collect();
        let first = self.stage.instructions[self.members[0]];
        let mut found = rewrite(self.dockerfile, &PAGE, first.line, &edits, 0)?;
        let keyword = first.keyword.as_str();
        let place = self.stage.instructions.get(self.used_at).filter(|_| self.used_at > after);
        found.title = format!("move {keyword} {} below line {}", self.name, self.stage.instructions[after].line);
        let use_of = match place {
            Some(at) => format!("its first use is line {}", at.line),
            None => "no step uses it".to_owned(),
        };
        let (has, them) = if spared.len() == 1 { ("has", "it does") } else { ("have", "they do") };
        found.evidence.push(format!(
            "Line {} {has} {} in its environment, and so in its key, though {them} not use it; {use_of}.",
            numbers(&spared),
            self.name
        ));
        if moved.len() > 1 {
            let lines: Vec<u32> = moved[1..].iter().map(|at| self.stage.instructions[*at].line).collect();
            found.evidence.push(format!("Line {} only passes its value on, and moves with it.", numbers(&lines)));
        }
        found.risks.push(format!("A program in those steps that reads {} from its environment would miss it.", self.name));
        found.trigger = match first.keyword {
            Keyword::Arg => Trigger::Argument { name: self.name.clone() },
            _ => Trigger::None,
        };
        if first.keyword == Keyword::Env {
            let all = if spared.len() == 1 { "runs" } else { "run" };
            found.gain =
                Some(format!("when the value of {} is edited, line {} no longer {all} again", self.name, numbers(&spared)));
        }
        Some(found)
    }
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
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (plain && !is_read_by_programs(name)).then(|| name.clone())
}

fn is_metadata(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::Label | Keyword::Cmd | Keyword::Entrypoint | Keyword::Expose | Keyword::Stopsignal)
        || matches!(keyword, Keyword::Maintainer | Keyword::Healthcheck)
}

fn is_step(instruction: &Instruction) -> bool {
    matches!(instruction.keyword, Keyword::Run | Keyword::Copy | Keyword::Add | Keyword::Workdir)
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
    let dates = matches!(name, "BUILD_DATE" | "BUILD_TIME" | "BUILD_VERSION" | "BUILD_NUMBER" | "BUILD_ID" | "BUILD_COMMIT");
    let proxy = name.to_ascii_lowercase().ends_with("_proxy");
    !dates
        && (proxy || EXACT.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)))
        && !matches!(
            name,
            "BUILD_PROFILE" | "GIT_COMMIT" | "GIT_COMMIT_ID" | "GIT_SHA" | "GIT_REF" | "GIT_BRANCH" | "GIT_TAG"
        )
}

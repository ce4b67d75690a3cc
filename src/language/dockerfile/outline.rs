//! What a Dockerfile offers and asks for: targets, arguments, secrets, ssh, and who uses which stage. Pure: no image is
//! looked at, and `--build-arg` plays no part.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ast::{Arguments, CommandForm, Dockerfile, Instruction, Keyword};
use super::mount::{MountKind, parse_mount};
use super::stage::{Stage, find_stage, find_stage_by_name};

/// The outline of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Outline {
    /// Stages in order; each is a target.
    pub stages: Vec<StageOutline>,
    /// Arguments in order of their declarations.
    pub args: Vec<ArgOutline>,
    /// Secrets by name.
    pub secrets: Vec<Asked>,
    /// Ssh agents by name.
    pub ssh: Vec<Asked>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageOutline {
    /// From 0: a target too.
    pub index: usize,
    /// Its name in lower case.
    pub name: Option<String>,
    /// What the comment above says of it.
    pub description: Option<String>,
    /// Line of its FROM.
    pub line: u32,
    /// What stands after FROM.
    pub base: String,
    /// `--platform` as written.
    pub platform: Option<String>,
    /// Built when no target is named.
    pub default: bool,
    /// Who uses it.
    pub used_by: Vec<StageUse>,
}

/// A use of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageUse {
    /// The stage that does.
    pub stage: usize,
    /// Where.
    pub line: u32,
    /// `FROM`, `COPY` or `RUN`.
    pub instruction: &'static str,
}

/// A declaration of an argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArgOutline {
    /// Its name.
    pub name: String,
    /// As written.
    pub default: Option<String>,
    /// What the comment above says of it.
    pub description: Option<String>,
    /// Where it is declared.
    pub line: u32,
    /// The stage; none before the first FROM.
    pub stage: Option<usize>,
    /// Lines that mention it while it is in scope.
    pub used: Vec<u32>,
}

/// Something that a build is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Its id.
    pub id: String,
    /// Whether a build without it fails.
    pub required: bool,
    /// Lines that ask.
    pub lines: Vec<u32>,
}

impl Dockerfile {
    /// The outline; of a file with broken lines, that of the others.
    pub fn outline(&self) -> Outline {
        let stages = self.stages();
        let (secrets, ssh) = asked(self);
        Outline { stages: stage_outlines(self, &stages), args: arguments(self, &stages), secrets, ssh }
    }
}

fn stage_outlines(file: &Dockerfile, stages: &[Stage<'_>]) -> Vec<StageOutline> {
    let mut out: Vec<StageOutline> = stages
        .iter()
        .map(|stage| StageOutline {
            index: stage.index,
            name: stage.name.clone(),
            description: stage.name.as_ref().and_then(|name| file.description(stage.first, name)).map(str::to_owned),
            line: stage.from.line,
            base: stage.base().to_owned(),
            platform: stage.from.flag("platform").and_then(|flag| flag.value.clone()),
            default: stage.index + 1 == stages.len(),
            used_by: Vec::new(),
        })
        .collect();
    for stage in stages {
        let mut uses = Vec::new();
        uses.extend(parent(stages, stage).map(|used| (used, stage.from)));
        for instruction in &stage.instructions {
            let instruction: &Instruction = instruction;
            uses.extend(
                sources(instruction)
                    .iter()
                    .filter_map(|n| find_stage(stages, n, stages.len()))
                    .map(|used| (used, instruction)),
            );
        }
        for (used, at) in uses {
            if let Some(slot) = out.get_mut(used) {
                slot.used_by.push(StageUse { stage: stage.index, line: at.line, instruction: at.keyword.as_str() });
            }
        }
    }
    out
}

fn parent(stages: &[Stage<'_>], stage: &Stage<'_>) -> Option<usize> {
    find_stage_by_name(stages, stage.base(), stage.index)
}

/// What `--from` and `--mount=...,from=` name.
fn sources(at: &Instruction) -> Vec<String> {
    let values = |name: &'static str| at.flags.iter().filter(move |f| f.name == name).filter_map(|f| f.value.clone());
    match at.keyword {
        Keyword::Copy => values("from").collect(),
        Keyword::Run => values("mount").filter_map(|text| parse_mount(&text, &unset, '\\').ok()?.from).collect(),
        _ => Vec::new(),
    }
}

fn unset(_: &str) -> Option<String> {
    None
}

fn asked(file: &Dockerfile) -> (Vec<Asked>, Vec<Asked>) {
    let (mut secrets, mut ssh): (BTreeMap<String, Asked>, BTreeMap<String, Asked>) = Default::default();
    for at in file.instructions.iter().filter(|at| at.keyword == Keyword::Run) {
        for text in at.flags.iter().filter(|flag| flag.name == "mount").filter_map(|flag| flag.value.as_deref()) {
            let Ok(mount) = parse_mount(text, &unset, file.escape) else { continue };
            let (list, fallback) = match mount.kind {
                MountKind::Secret => (&mut secrets, mount.target.as_deref().and_then(|path| path.rsplit('/').next())),
                MountKind::Ssh => (&mut ssh, Some("default")),
                _ => continue,
            };
            let id = mount.id.clone().or_else(|| fallback.map(str::to_owned)).unwrap_or_default();
            let entry = list.entry(id.clone()).or_insert(Asked { id, required: false, lines: Vec::new() });
            entry.required |= mount.required;
            entry.lines.push(at.line);
        }
    }
    (secrets.into_values().collect(), ssh.into_values().collect())
}

fn arguments(file: &Dockerfile, stages: &[Stage<'_>]) -> Vec<ArgOutline> {
    let first = stages.first().map_or(file.instructions.len(), |stage| stage.first);
    let mut out = Vec::new();
    for (at, instruction) in file.instructions.iter().enumerate() {
        let Arguments::Arg(list) = &instruction.arguments else { continue };
        let stage = stages.iter().rev().find(|stage| stage.first < at).map(|stage| stage.index);
        for entry in list {
            let name = entry.name.text.clone();
            let used = match stage {
                None => global_uses(file, first, at, &name),
                Some(stage) => stage_uses(file, stages, stage, at, &name),
            };
            let description = file.description(at, &name).map(str::to_owned);
            let default = entry.value.as_ref().map(|value| value.text.clone());
            out.push(ArgOutline { name, default, description, line: instruction.line, stage, used });
        }
    }
    out
}

/// Later global ARGs, FROMs, and ARGs without a default that take the value into their stage.
fn global_uses(file: &Dockerfile, first: usize, at: usize, name: &str) -> Vec<u32> {
    let later = file.instructions.iter().enumerate().skip(at + 1);
    let takes_over = |instruction: &Instruction| match &instruction.arguments {
        Arguments::Arg(list) => list.iter().any(|entry| entry.name.text == name && entry.value.is_none()),
        _ => false,
    };
    later
        .filter(|(index, i)| match i.keyword {
            Keyword::From => mentions(i, name),
            _ if *index < first => mentions(i, name),
            _ => takes_over(i),
        })
        .map(|(_, instruction)| instruction.line)
        .collect()
}

/// The rest of the stage, and stages that stand on it.
fn stage_uses(file: &Dockerfile, stages: &[Stage<'_>], stage: usize, at: usize, name: &str) -> Vec<u32> {
    let mut in_scope = vec![false; stages.len()];
    let mut used = Vec::new();
    for current in stages.iter().skip(stage) {
        let stands_on = parent(stages, current).is_some_and(|parent| in_scope[parent]);
        in_scope[current.index] = current.index == stage || stands_on;
        if in_scope[current.index] {
            let first = current.first.max(at) + 1;
            let end = current.first + 1 + current.instructions.len();
            let rest = file.instructions.get(first..end).unwrap_or(&[]);
            used.extend(rest.iter().filter(|instruction| mentions(instruction, name)).map(|instruction| instruction.line));
        }
    }
    used
}

/// Whether `$name` or `${name...}` stands in an instruction, its flags or its heredocs.
fn mentions(at: &Instruction, name: &str) -> bool {
    let exec = match &at.arguments {
        Arguments::Run(CommandForm::Exec(words)) => words.iter().any(|word| has_variable(word, name)),
        _ => false,
    };
    exec || has_variable(&at.text, name)
        || at.flags.iter().filter_map(|flag| flag.value.as_deref()).any(|value| has_variable(value, name))
        || at.heredocs.iter().any(|document| has_variable(&document.content, name))
}

fn has_variable(text: &str, name: &str) -> bool {
    text.match_indices('$').any(|(at, _)| {
        let rest = &text[at + 1..];
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        rest.strip_prefix(name).is_some_and(|below| !below.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn an_outline_says_who_uses_what() {
        let outline = parse(
            "# V is the version\nARG V=1\nFROM alpine:$V AS base\nARG V\nRUN --mount=type=secret,id=key,required echo ${V}\n\
             FROM base AS Next\nRUN --mount=type=ssh echo $V\nFROM scratch\nCOPY --from=next /a /b\nRUN --mount=from=0,target=/x true\n",
        )
        .outline();
        assert_eq!(outline.args[0].description.as_deref(), Some("is the version"));
        assert_eq!(
            (outline.args[0].used.as_slice(), outline.args[1].used.as_slice()),
            ([3, 4].as_slice(), [5, 7].as_slice())
        );
        assert_eq!((outline.secrets[0].id.as_str(), outline.secrets[0].required), ("key", true));
        assert_eq!((outline.ssh[0].id.as_str(), outline.ssh[0].lines.as_slice()), ("default", [7].as_slice()));
        let uses = |at: usize| outline.stages[at].used_by.iter().map(|u| (u.line, u.instruction)).collect::<Vec<_>>();
        assert_eq!((uses(0), uses(1)), (vec![(6, "FROM"), (10, "RUN")], vec![(9, "COPY")]));
        assert!(outline.stages[2].default && outline.stages[1].name.as_deref() == Some("next"));
    }
}

//! What a Dockerfile offers and asks for: targets, arguments, secrets, ssh, and who uses which stage. Pure: no image is
//! looked at, and `--build-arg` plays no part.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::ast::{Arguments, CommandForm, Dockerfile, Instruction, Keyword};
use super::mount::{MountKind, parse_mount};
use super::stage::{Stage, StageIndex};

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
    let index = StageIndex::new(stages);
    for stage in stages {
        let mut uses = Vec::new();
        uses.extend(parent(&index, stage).map(|used| (used, stage.from)));
        for instruction in &stage.instructions {
            let instruction: &Instruction = instruction;
            uses.extend(sources(instruction).iter().filter_map(|n| index.find(n)).map(|used| (used, instruction)));
        }
        for (used, at) in uses {
            if let Some(slot) = out.get_mut(used) {
                slot.used_by.push(StageUse { stage: stage.index, line: at.line, instruction: at.keyword.as_str() });
            }
        }
    }
    out
}

fn parent(index: &StageIndex, stage: &Stage<'_>) -> Option<usize> {
    index.named(stage.base(), stage.index)
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

/// Lines that are listed for one argument.
const LISTED: usize = 1000;

/// Which instructions mention which name, in one pass.
struct Mentions<'f> {
    file: &'f Dockerfile,
    /// Indexes of instructions by name, ascending.
    by_name: HashMap<&'f str, Vec<usize>>,
    /// The stage of each instruction.
    stage: Vec<Option<usize>>,
    parents: Vec<Option<usize>>,
}

fn arguments(file: &Dockerfile, stages: &[Stage<'_>]) -> Vec<ArgOutline> {
    let mentions = Mentions::new(file, stages);
    let mut out = Vec::new();
    for (at, instruction) in file.instructions.iter().enumerate() {
        let Arguments::Arg(list) = &instruction.arguments else { continue };
        let stage = mentions.stage[at];
        for entry in list {
            let name = entry.name.text.clone();
            let used = mentions.uses(&name, at, stage);
            let description = file.description(at, &name).map(str::to_owned);
            let default = entry.value.as_ref().map(|value| value.text.clone());
            out.push(ArgOutline { name, default, description, line: instruction.line, stage, used });
        }
    }
    out
}

impl<'f> Mentions<'f> {
    fn new(file: &'f Dockerfile, stages: &[Stage<'_>]) -> Self {
        let index = StageIndex::new(stages);
        let parents = stages.iter().map(|stage| parent(&index, stage)).collect();
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut stage = Vec::with_capacity(file.instructions.len());
        let mut current: Option<usize> = None;
        for (at, instruction) in file.instructions.iter().enumerate() {
            if instruction.keyword == Keyword::From {
                current = Some(current.map_or(0, |current| current + 1));
            }
            stage.push(current);
            let mut note = |name: &'f str| {
                let places = by_name.entry(name).or_default();
                if places.last() != Some(&at) {
                    places.push(at);
                }
            };
            texts(instruction).for_each(|text| variables(text).for_each(&mut note));
            // An ARG without a default takes the value of a global one.
            if let (Arguments::Arg(list), Some(_)) = (&instruction.arguments, current) {
                list.iter().filter(|entry| entry.value.is_none()).for_each(|entry| note(&entry.name.text));
            }
        }
        Self { file, by_name, stage, parents }
    }

    /// Lines behind instruction `at` that mention the argument which is declared there.
    fn uses(&self, name: &str, at: usize, stage: Option<usize>) -> Vec<u32> {
        let places = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        let behind = places.get(places.partition_point(|place| *place <= at)..).unwrap_or(&[]);
        let seen = |place: &&usize| {
            let (other, keyword) = (self.stage[**place], self.file.instructions[**place].keyword);
            match (stage, other) {
                // FROM belongs to no stage yet.
                (None, None) => true,
                (None, Some(_)) => matches!(keyword, Keyword::From) || self.takes_over(**place, name),
                (Some(stage), Some(other)) => keyword != Keyword::From && self.stands_on(other, stage),
                (Some(_), None) => false,
            }
        };
        behind.iter().take(100 * LISTED).filter(seen).take(LISTED).map(|place| self.file.instructions[*place].line).collect()
    }

    fn takes_over(&self, at: usize, name: &str) -> bool {
        match &self.file.instructions[at].arguments {
            Arguments::Arg(list) => list.iter().any(|entry| entry.value.is_none() && entry.name.text == name),
            _ => false,
        }
    }

    /// Whether a stage is another, or stands on it over not too many others.
    fn stands_on(&self, mut stage: usize, other: usize) -> bool {
        for _ in 0..LISTED {
            if stage == other {
                return true;
            }
            match self.parents.get(stage).copied().flatten().filter(|parent| *parent >= other) {
                Some(parent) => stage = parent,
                None => return false,
            }
        }
        false
    }
}

/// The texts of an instruction in which variables may stand.
fn texts(at: &Instruction) -> impl Iterator<Item = &str> {
    let exec = match &at.arguments {
        Arguments::Run(CommandForm::Exec(words)) => words.as_slice(),
        _ => &[],
    };
    let flags = at.flags.iter().filter_map(|flag| flag.value.as_deref());
    let heredocs = at.heredocs.iter().map(|document| document.content.as_str());
    std::iter::once(at.text.as_str()).chain(exec.iter().map(String::as_str)).chain(flags).chain(heredocs)
}

/// The names in `$name` and `${name...}`.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('$').filter_map(move |(at, _)| {
        let rest = text.get(at + 1..)?;
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest.get(..end).filter(|name| !name.is_empty())
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

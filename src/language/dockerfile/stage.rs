//! Stages: what lies between one FROM and the next.

use std::collections::HashMap;

use super::ast::{Arguments, Dockerfile, Instruction};

/// One build stage.
#[derive(Debug, Clone)]
pub struct Stage<'d> {
    /// From 0, in the order of the file.
    pub index: usize,
    /// The name after AS, in lower case.
    pub name: Option<String>,
    /// The FROM instruction.
    pub from: &'d Instruction,
    /// Index of the FROM in `Dockerfile::instructions`; the stage's others follow it directly.
    pub first: usize,
    /// The instructions behind FROM.
    pub instructions: Vec<&'d Instruction>,
}

impl Stage<'_> {
    /// The image or stage after FROM, as written.
    pub fn base(&self) -> &str {
        match &self.from.arguments {
            Arguments::From { image, .. } => &image.text,
            _ => "",
        }
    }
}

impl Dockerfile {
    /// The stages in order.
    pub fn stages(&self) -> Vec<Stage<'_>> {
        let mut stages: Vec<Stage<'_>> = Vec::new();
        for (at, instruction) in self.instructions.iter().enumerate() {
            if let Arguments::From { name, .. } = &instruction.arguments {
                let name = name.as_ref().map(|name| name.text.to_lowercase());
                stages.push(Stage { index: stages.len(), name, from: instruction, first: at, instructions: Vec::new() });
            } else if let Some(stage) = stages.last_mut() {
                stage.instructions.push(instruction);
            }
        }
        stages
    }

    /// The ARG instructions before the first FROM.
    pub fn global_args(&self) -> Vec<&Instruction> {
        self.instructions
            .iter()
            .take_while(|instruction| !matches!(instruction.arguments, Arguments::From { .. }))
            .filter(|instruction| matches!(instruction.arguments, Arguments::Arg(_)))
            .collect()
    }
}

/// The stage that `reference` names among the first `before` stages: by name (in any case; of equal names the last), else by
/// number. `--from` and `--target` take both; for FROM use [`find_stage_by_name`].
///
/// Source of the rule: `findStage` and `hasStage` of BuildKit's instructions.
pub fn find_stage(stages: &[Stage<'_>], reference: &str, before: usize) -> Option<usize> {
    let by_number = || reference.parse::<usize>().ok().filter(|index| *index < before.min(stages.len()));
    find_stage_by_name(stages, reference, before).or_else(by_number)
}

/// The last of the first `before` stages that has this name, in any case.
pub fn find_stage_by_name(stages: &[Stage<'_>], reference: &str, before: usize) -> Option<usize> {
    let name = reference.to_lowercase();
    stages.iter().take(before).rposition(|stage| stage.name.as_deref() == Some(name.as_str()))
}

/// Where stages stand by their names, for files with very many of them.
#[derive(Debug, Clone, Default)]
pub struct StageIndex {
    by_name: HashMap<String, Vec<usize>>,
    count: usize,
}

impl StageIndex {
    /// Indexes stages in order.
    pub fn new(stages: &[Stage<'_>]) -> Self {
        let mut index = Self { by_name: HashMap::new(), count: stages.len() };
        for stage in stages {
            if let Some(name) = &stage.name {
                index.by_name.entry(name.clone()).or_default().push(stage.index);
            }
        }
        index
    }

    /// The last of the first `before` stages with exactly this name in lower case.
    pub fn named(&self, name: &str, before: usize) -> Option<usize> {
        let places = self.by_name.get(name)?;
        places.partition_point(|place| *place < before).checked_sub(1).and_then(|at| places.get(at)).copied()
    }

    /// As [`find_stage`] among all stages.
    pub fn find(&self, reference: &str) -> Option<usize> {
        let by_number = || reference.parse::<usize>().ok().filter(|number| *number < self.count);
        self.named(&reference.to_lowercase(), self.count).or_else(by_number)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::parse, find_stage};

    #[test]
    fn stages_are_found_by_name_and_number() {
        let file = parse("ARG v=1\nFROM a AS Base\nRUN x\nFROM base\nCOPY --from=BASE /a /b\n");
        let stages = file.stages();
        assert_eq!(file.global_args().len(), 1);
        assert_eq!(stages.iter().map(|stage| stage.instructions.len()).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(find_stage(&stages, "BASE", 2), Some(0));
        assert_eq!(find_stage(&stages, "1", 2), Some(1));
        assert_eq!(find_stage(&stages, "1", 1), None);
    }
}

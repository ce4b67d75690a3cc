//! What the checks look at: the tree, and what BuildKit's conversion learns of it: the variables in scope, words expanded,
//! stages resolved. Pure: base images are what the caller says of them.
//!
//! Source of the rules: `dockerfile2llb/convert.go` of BuildKit.

use std::collections::BTreeMap;

use super::environment::{self, GlobalArguments};
use super::options::CheckOptions;
use super::similar_name::similar_name;
use super::walk::walk;
use crate::language::dockerfile::{
    Arguments, Diagnostic, Dockerfile, Expanded, IgnoreRules, Instruction, PieceKind, Span, Word, expand_word,
};

/// Which stages are checked beyond their syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target<'a> {
    /// All of them, as `build --check` without `--target` does.
    #[default]
    All,
    /// What the last stage needs, as a build does.
    Last,
    /// What this stage needs.
    Named(&'a str),
}

/// What a check wants to know of a base image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BaseImage {
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Whether its configuration has a SHELL.
    pub has_shell: bool,
    /// `os/architecture`, when known.
    pub platform: Option<String>,
}

/// What is checked.
pub struct LintRequest<'a> {
    /// The file; broken lines are allowed, and then only checks of the syntax run.
    pub dockerfile: &'a Dockerfile,
    /// The ignore file of the main context.
    pub ignore: Option<&'a IgnoreRules>,
    /// Which stages.
    pub target: Target<'a>,
    /// `--build-arg`.
    pub build_args: &'a BTreeMap<String, String>,
    /// `os/architecture[/variant]` that is built for and on.
    pub platform: &'a str,
    /// Finds base images; none for one that is not at hand.
    pub base: &'a dyn Fn(&str) -> Option<BaseImage>,
}

/// FROM's words.
#[derive(Debug, Clone)]
pub struct FromFacts<'a> {
    /// The FROM.
    pub instruction: &'a Instruction,
    /// Its index among the instructions.
    pub at: usize,
    /// Its image expanded; none when that failed.
    pub base: Option<Expanded>,
    /// Its image expanded without build arguments; none from the first on that cannot be.
    pub default_base: Option<String>,
    /// `--platform` expanded.
    pub platform: Option<Expanded>,
    /// Names of FROM that are neither declared nor predefined, with the one that was meant.
    pub undeclared: Vec<(String, Option<String>)>,
    /// What the image's own platform is, when the stage is needed and the image known.
    pub base_platform: Option<String>,
    /// The value of TARGETPLATFORM.
    pub target_platform: String,
}

/// One instruction of a stage as BuildKit dispatches it.
#[derive(Debug, Clone)]
pub struct Step<'a> {
    /// The instruction.
    pub instruction: &'a Instruction,
    /// Where it is reported: itself, or the FROM that runs it as a trigger.
    pub place: &'a Instruction,
    /// Index among the instructions; none for a trigger.
    pub at: Option<usize>,
    /// Names that are not set where they are used.
    pub undefined: Vec<UndefinedName>,
    /// What checks need of it expanded: sources of COPY and ADD, names of ENV and ARG, the path of WORKDIR, ports.
    pub words: Vec<String>,
    /// Whether SHELL was set before, here or in the base.
    pub has_shell: bool,
    /// Whether a WORKDIR stands before it, here or in the stage below.
    pub has_workdir: bool,
}

/// A name that is not set where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndefinedName {
    /// The name.
    pub name: String,
    /// The one that was meant.
    pub meant: Option<String>,
    /// The word or flag that uses it.
    pub span: Span,
}

/// One stage.
#[derive(Debug, Clone)]
pub struct StageFacts<'a> {
    /// From 0.
    pub index: usize,
    /// Its FROM.
    pub from: FromFacts<'a>,
    /// Its steps with triggers of its base in front; empty when the target does not need it.
    pub steps: Vec<Step<'a>>,
    /// The base image is not at hand, so that a name that is not defined may be defined there.
    pub unknown_base: Option<String>,
}

/// Everything that is known of a file.
pub struct Facts<'a> {
    /// The file.
    pub dockerfile: &'a Dockerfile,
    /// The ignore file.
    pub ignore: Option<&'a IgnoreRules>,
    /// What is built for.
    pub platform: &'a str,
    /// Stages in order; empty when the syntax is broken.
    pub stages: Vec<StageFacts<'a>>,
    /// What BuildKit would stop at, besides errors of syntax.
    pub errors: Vec<Diagnostic>,
    comments: Vec<Vec<&'a str>>,
}

impl<'a> Facts<'a> {
    /// Learns what there is to know.
    pub fn new(request: &LintRequest<'a>) -> Self {
        let dockerfile = request.dockerfile;
        let mut facts = Self {
            dockerfile,
            ignore: request.ignore,
            platform: request.platform,
            stages: Vec::new(),
            errors: Vec::new(),
            comments: comments_by_instruction(dockerfile),
        };
        if dockerfile.has_errors() {
            return facts;
        }
        let globals = GlobalArguments::new(request, &mut facts.errors);
        let froms = from_facts(request, &globals, &mut facts.errors);
        facts.stages = walk(request, &globals, froms, &mut facts.errors);
        facts
    }

    /// The instruction's keyword as it is written.
    pub fn written(&self, instruction: &Instruction) -> &'a str {
        instruction.keyword_span.text(&self.dockerfile.source)
    }

    /// The comment lines above an instruction.
    pub fn comments(&self, at: usize) -> &[&'a str] {
        self.comments.get(at).map_or(&[], Vec::as_slice)
    }

    /// The options that a comment above an instruction gives.
    pub(super) fn options_at(&self, at: Option<usize>) -> Option<CheckOptions> {
        CheckOptions::of_comments(self.comments(at?).iter().copied())
    }

    /// All steps of all stages.
    pub fn steps(&self) -> impl Iterator<Item = (&StageFacts<'a>, &Step<'a>)> {
        self.stages.iter().flat_map(|stage| stage.steps.iter().map(move |step| (stage, step)))
    }
}

/// [`Dockerfile::comments_above`] of all instructions in one pass.
fn comments_by_instruction(file: &Dockerfile) -> Vec<Vec<&str>> {
    let mut all = vec![Vec::new(); file.instructions.len()];
    let mut comments = Vec::new();
    for piece in &file.pieces {
        match piece.kind {
            PieceKind::Comment => {
                let text = piece.span.text(&file.source).trim();
                let text = text.strip_prefix('#').unwrap_or(text).trim();
                if text.is_empty() { comments.clear() } else { comments.push(text) }
            }
            PieceKind::Instruction(index) => {
                if let Some(slot) = all.get_mut(index) {
                    *slot = std::mem::take(&mut comments);
                }
            }
            PieceKind::Broken => comments.clear(),
            _ => {}
        }
    }
    all
}

fn from_facts<'a>(request: &LintRequest<'a>, globals: &GlobalArguments, errors: &mut Vec<Diagnostic>) -> Vec<FromFacts<'a>> {
    let escape = request.dockerfile.escape;
    let mut defaults_hold = globals.defaults.is_some();
    let mut froms = Vec::new();
    for (at, instruction) in request.dockerfile.instructions.iter().enumerate() {
        let Arguments::From { image, .. } = &instruction.arguments else { continue };
        let mut undeclared = Vec::new();
        let base = expanded(image, globals, escape, errors);
        note_undeclared(globals, base.as_ref(), &mut undeclared);
        let default_base = globals
            .defaults
            .as_ref()
            .filter(|_| defaults_hold)
            .and_then(|defaults| expand_word(&image.text, &environment::lookup(defaults), escape).ok())
            .map(|expanded| expanded.text);
        // BuildKit gives the check up at the first name that cannot be expanded.
        defaults_hold &= default_base.is_some();
        let platform = instruction.flag("platform").and_then(|flag| {
            let word = Word { text: flag.value.clone().unwrap_or_default(), span: flag.span };
            expanded(&word, globals, escape, errors).filter(|_| !word.text.is_empty())
        });
        note_undeclared(globals, platform.as_ref(), &mut undeclared);
        let target_platform = globals.values.get("TARGETPLATFORM").cloned().unwrap_or_default();
        let base_platform = None;
        froms.push(FromFacts { instruction, at, base, default_base, platform, undeclared, base_platform, target_platform });
    }
    froms
}

fn expanded(word: &Word, globals: &GlobalArguments, escape: char, errors: &mut Vec<Diagnostic>) -> Option<Expanded> {
    match expand_word(&word.text, &environment::lookup(&globals.values), escape) {
        Ok(expanded) => Some(expanded),
        Err(error) => {
            errors.push(Diagnostic::error(word.span, error.to_string()));
            None
        }
    }
}

fn note_undeclared(globals: &GlobalArguments, expanded: Option<&Expanded>, out: &mut Vec<(String, Option<String>)>) {
    for name in expanded.iter().flat_map(|expanded| &expanded.unmatched) {
        if !globals.declared.contains(name) {
            // Every name with a value is declared too; more than a thousand are those of an attack.
            let known = globals.declared.iter().map(String::as_str).take(1000);
            out.push((name.clone(), similar_name(name, known)));
        }
    }
}

//! Goes through the stages as BuildKit dispatches them, and notes what the checks need.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::environment::{GlobalArguments, Variables, lookup};
use super::facts::{FromFacts, LintRequest, StageFacts, Step, Target, UndefinedName};
use super::platform::Platform;
use super::similar_name::similar_name;
use crate::language::dockerfile::ports::PortSpec;
use crate::language::dockerfile::reference::ImageName;
use crate::language::dockerfile::{
    Arguments, Assignment, Diagnostic, ExpandError, Expanded, Instruction, Keyword, Span, Stage, StageIndex, Word,
    expand_heredoc, expand_word, expand_words, parse_mount,
};

/// Source of the value: `DefaultPathEnvUnix` of BuildKit.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Names that are no variables of a build.
const NO_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// For how many names of a file a similar one is looked for, and among how many: more are those of an attack.
const SUGGESTIONS: usize = 1000;
const NAMES: usize = 1000;

/// A stage that has been gone through, with what stages on top of it take over.
struct StageWalk<'a> {
    facts: StageFacts<'a>,
    /// Shared with the stage below until one of them changes it.
    env: Rc<Variables>,
    /// ARGs declared, with and without a value; shared in the same way.
    arguments: Rc<BTreeSet<String>>,
    has_shell: bool,
    has_workdir: bool,
    triggers: Vec<&'a Instruction>,
}

/// What a stage takes over from the one that it stands on.
struct Inherited<'a> {
    env: Rc<Variables>,
    arguments: Rc<BTreeSet<String>>,
    has_shell: bool,
    has_workdir: bool,
    unknown_base: Option<String>,
    triggers: Vec<&'a Instruction>,
}

/// The walk through all stages.
struct Walk<'a, 'w> {
    request: &'w LintRequest<'a>,
    globals: &'w GlobalArguments,
    stages: StageIndex,
    /// How many more names are looked for among the known ones: it takes time of the product of both numbers.
    suggestions: usize,
    done: Vec<StageWalk<'a>>,
    errors: &'w mut Vec<Diagnostic>,
}

/// The stages in order, with what was learned of them; what BuildKit would stop at goes to `errors`.
pub(super) fn walk<'a>(
    request: &LintRequest<'a>,
    globals: &GlobalArguments,
    froms: Vec<FromFacts<'a>>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<StageFacts<'a>> {
    let stages = request.dockerfile.stages();
    let index = StageIndex::new(&stages);
    let parents: Vec<Option<usize>> = froms.iter().enumerate().map(|(at, from)| parent(&index, from, at)).collect();
    let mut last_child = vec![None; stages.len()];
    for (at, parent) in parents.iter().enumerate() {
        if let Some(slot) = parent.and_then(|parent| last_child.get_mut(parent)) {
            *slot = Some(at);
        }
    }
    let mut walk = Walk { request, globals, stages: index, suggestions: SUGGESTIONS, done: Vec::new(), errors };
    let needed = walk.needed(&stages, &parents);
    for (stage, from) in stages.iter().zip(froms) {
        let on = parents.get(stage.index).copied().flatten();
        let checked = request.target == Target::All || needed.contains(&stage.index);
        let inherited = on.and_then(|on| walk.inherit(on, last_child.get(on) == Some(&Some(stage.index))));
        let begun = walk.begin(stage, from, inherited, needed.contains(&stage.index), checked);
        walk.done.push(begun);
    }
    walk.done.into_iter().map(|stage| stage.facts).collect()
}

impl<'a> Walk<'a, '_> {
    /// What the target needs.
    fn needed(&mut self, stages: &[Stage<'_>], parents: &[Option<usize>]) -> BTreeSet<usize> {
        let last = stages.len().checked_sub(1);
        let target = match self.request.target {
            Target::Named(name) => {
                let found = self.stages.find(name);
                if found.is_none() {
                    let span = stages.last().map_or(Span::default(), |stage| stage.from.span);
                    self.errors.push(Diagnostic::error(span, format!("the target stage `{name}` does not exist")));
                }
                found
            }
            _ => last,
        };
        let mut open: Vec<usize> = target.into_iter().collect();
        let mut needed = BTreeSet::new();
        while let Some(at) = open.pop() {
            if needed.insert(at) {
                open.extend(parents.get(at).copied().flatten());
                open.extend(stages.get(at).into_iter().flat_map(|stage| sources(&self.stages, stage)));
            }
        }
        needed
    }

    /// What the stage gives on; the last one that asks gets it without a copy.
    fn inherit(&mut self, parent: usize, last: bool) -> Option<Inherited<'a>> {
        let parent = self.done.get_mut(parent)?;
        let (env, arguments) = if last {
            (std::mem::take(&mut parent.env), std::mem::take(&mut parent.arguments))
        } else {
            (Rc::clone(&parent.env), Rc::clone(&parent.arguments))
        };
        Some(Inherited {
            env,
            arguments,
            has_shell: parent.has_shell,
            has_workdir: parent.has_workdir,
            unknown_base: parent.facts.unknown_base.clone(),
            triggers: parent.triggers.clone(),
        })
    }

    fn begin(
        &mut self,
        stage: &Stage<'a>,
        mut from: FromFacts<'a>,
        inherited: Option<Inherited<'a>>,
        needed: bool,
        checked: bool,
    ) -> StageWalk<'a> {
        self.check_from(&from, inherited.is_some());
        let name = from.base.as_ref().map_or("", |base| base.text.as_str()).to_owned();
        let mut unknown_base = None;
        let (mut env, mut arguments) = (Rc::<Variables>::default(), Rc::default());
        let (mut has_shell, mut has_workdir) = (false, false);
        let mut steps: Vec<(&'a Instruction, Option<usize>)> = Vec::new();
        if let Some(parent) = inherited {
            (env, arguments) = (parent.env, parent.arguments);
            (has_shell, has_workdir) = (parent.has_shell, parent.has_workdir);
            unknown_base = parent.unknown_base;
            if needed {
                steps.extend(parent.triggers.iter().map(|trigger| (*trigger, None)));
            }
        } else if name != "scratch" {
            match (self.request.base)(&name) {
                Some(image) => {
                    for entry in &image.env {
                        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
                        Rc::make_mut(&mut env).insert(name.to_owned(), value.to_owned());
                    }
                    has_shell = image.has_shell;
                    from.base_platform = image.platform.filter(|_| checked);
                }
                None => unknown_base = Some(name),
            }
        }
        if !env.contains_key("PATH") {
            Rc::make_mut(&mut env).insert("PATH".to_owned(), DEFAULT_PATH.to_owned());
        }
        let facts = StageFacts { index: stage.index, from, steps: Vec::new(), unknown_base };
        let mut walk = StageWalk { facts, env, arguments, has_shell, has_workdir, triggers: Vec::new() };
        if checked {
            steps.extend(stage.instructions.iter().enumerate().map(|(at, i)| (*i, Some(stage.first + 1 + at))));
            for (instruction, at) in steps {
                let place = if at.is_some() { instruction } else { stage.from };
                let step = self.dispatch(&mut walk, instruction, place, at);
                walk.facts.steps.push(step);
            }
        }
        walk
    }

    fn dispatch(
        &mut self,
        stage: &mut StageWalk<'a>,
        instruction: &'a Instruction,
        place: &'a Instruction,
        at: Option<usize>,
    ) -> Step<'a> {
        let mut step = Step {
            instruction,
            place,
            at,
            undefined: Vec::new(),
            words: Vec::new(),
            has_shell: stage.has_shell,
            has_workdir: stage.has_workdir,
        };
        self.check_source(stage.facts.index, instruction);
        let mut reader = Reader {
            env: &stage.env,
            arguments: &stage.arguments,
            step: &mut step,
            suggestions: &mut self.suggestions,
            errors: self.errors,
        };
        let escape = self.request.dockerfile.escape;
        match &instruction.arguments {
            Arguments::Env(list) | Arguments::Label(list) => {
                let pairs = reader.pairs(list, escape);
                if instruction.keyword == Keyword::Env {
                    step.words = pairs.iter().map(|(name, _)| name.clone()).collect();
                    Rc::make_mut(&mut stage.env).extend(pairs);
                }
            }
            Arguments::Arg(list) => self.declare(stage, &mut step, list),
            Arguments::Copy { sources, destination } => {
                let words = reader.copy(instruction, sources, destination, escape);
                step.words = words;
            }
            Arguments::Workdir(word) => {
                let path = reader.word(word, escape);
                step.words.extend(path);
                stage.has_workdir = true;
            }
            Arguments::User(word) | Arguments::Stopsignal(word) => {
                reader.word(word, escape);
            }
            Arguments::Volume(words) => words.iter().for_each(|word| {
                reader.word(word, escape);
            }),
            Arguments::Expose(words) => reader.ports(words, escape),
            Arguments::Run(_) => reader.mounts(instruction, escape),
            Arguments::Shell(_) => stage.has_shell = true,
            Arguments::Onbuild(trigger) => stage.triggers.push(trigger),
            _ => {}
        }
        step
    }

    /// What FROM says must be a name, and its platform one. Source of the rule: `buildDispatchStates` of BuildKit.
    fn check_from(&mut self, from: &FromFacts<'a>, on_stage: bool) {
        let Arguments::From { image, .. } = &from.instruction.arguments else { return };
        match &from.base {
            Some(base) if base.text.is_empty() => {
                let message = format!("the image name `{}` expands to nothing", image.text);
                self.errors.push(Diagnostic::error(image.span, message).with_help("give the ARG a default"));
            }
            Some(base) if !on_stage && base.text != "scratch" => {
                if let Err(why) = ImageName::parse_normalized(&base.text) {
                    let message = format!("`{}` is not an image reference: {why}", base.text);
                    self.errors.push(Diagnostic::error(image.span, message));
                }
            }
            _ => {}
        }
        if let (Some(flag), Some(platform)) = (from.instruction.flag("platform"), &from.platform)
            && Platform::parse(&platform.text, self.request.platform).is_none()
        {
            let message = format!("`{}` is no platform: write os/architecture, such as linux/arm64", platform.text);
            self.errors.push(Diagnostic::error(flag.span, message));
        }
    }

    /// COPY takes files from stages above. Source of the rule: `dispatch` of BuildKit.
    fn check_source(&mut self, here: usize, at: &Instruction) {
        let Some(flag) = at.flag("from").filter(|_| at.keyword == Keyword::Copy) else { return };
        let name = flag.value.as_deref().unwrap_or("");
        if self.stages.find(name).is_some_and(|found| found >= here) {
            let message = format!("the stage `{name}` must stand above the one that takes files from it");
            self.errors.push(Diagnostic::error(flag.span, message));
        }
    }

    /// Source of the rule: `dispatchArg` of BuildKit.
    fn declare(&mut self, stage: &mut StageWalk<'a>, step: &mut Step<'a>, list: &'a [Assignment]) {
        for entry in list {
            let name = &entry.name.text;
            step.words.push(name.clone());
            let value = match (self.request.build_args.get(name), &entry.value) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => {
                    let mut reader = Reader {
                        env: &stage.env,
                        arguments: &stage.arguments,
                        step,
                        suggestions: &mut self.suggestions,
                        errors: self.errors,
                    };
                    reader.word(default, self.request.dockerfile.escape)
                }
                (None, None) => self.globals.values.get(name).cloned(),
            };
            if let Some(value) = value.filter(|_| !NO_VARIABLES.contains(&name.as_str())) {
                Rc::make_mut(&mut stage.env).insert(name.clone(), value);
            }
            if !stage.arguments.contains(name) {
                Rc::make_mut(&mut stage.arguments).insert(name.clone());
            }
        }
    }
}

/// The stage that FROM stands on. Source of the rule: `addState` of BuildKit: names are kept in lower case and FROM is
/// not made lower case.
fn parent(stages: &StageIndex, from: &FromFacts<'_>, at: usize) -> Option<usize> {
    stages.named(&from.base.as_ref()?.text, at)
}

/// Stages that COPY and RUN of a stage take files from.
fn sources(stages: &StageIndex, stage: &Stage<'_>) -> Vec<usize> {
    let mut out = Vec::new();
    for instruction in &stage.instructions {
        for flag in &instruction.flags {
            let value = flag.value.as_deref().unwrap_or("");
            match (instruction.keyword, flag.name.as_str()) {
                (Keyword::Copy, "from") => out.extend(stages.find(value)),
                (Keyword::Run, "mount") => {
                    let from = parse_mount(value, &|_: &str| None::<String>, '\\').ok().and_then(|mount| mount.from);
                    out.extend(from.and_then(|from| stages.find(&from)));
                }
                _ => {}
            }
        }
    }
    out
}

/// Expands the words of one instruction.
struct Reader<'r, 'a> {
    env: &'r Variables,
    arguments: &'r BTreeSet<String>,
    step: &'r mut Step<'a>,
    suggestions: &'r mut usize,
    errors: &'r mut Vec<Diagnostic>,
}

impl Reader<'_, '_> {
    fn note(&mut self, span: Span, result: Result<Expanded, ExpandError>) -> Option<String> {
        match result {
            Ok(expanded) => {
                expanded.unmatched.iter().for_each(|name| self.undefined(name, span));
                Some(expanded.text)
            }
            Err(error) => {
                self.errors.push(Diagnostic::error(span, error.to_string()));
                None
            }
        }
    }

    fn undefined(&mut self, name: &str, span: Span) {
        if !self.arguments.contains(name) && !NO_VARIABLES.contains(&name) {
            let mut meant = None;
            if *self.suggestions > 0 {
                *self.suggestions -= 1;
                meant = similar_name(name, self.env.keys().map(String::as_str).take(NAMES));
            }
            self.step.undefined.push(UndefinedName { name: name.to_owned(), meant, span });
        }
    }

    fn word(&mut self, word: &Word, escape: char) -> Option<String> {
        self.text(&word.text, word.span, escape)
    }

    fn text(&mut self, text: &str, span: Span, escape: char) -> Option<String> {
        let result = expand_word(text, &lookup(self.env), escape);
        self.note(span, result)
    }

    fn pairs(&mut self, list: &[Assignment], escape: char) -> Vec<(String, String)> {
        let mut out = Vec::with_capacity(list.len());
        for entry in list {
            let name = self.word(&entry.name, escape);
            let value = entry.value.as_ref().and_then(|value| self.word(value, escape));
            out.extend(name.zip(value));
        }
        out
    }

    /// The sources that are paths, expanded.
    fn copy(&mut self, at: &Instruction, sources: &[Word], destination: &Word, escape: char) -> Vec<String> {
        for flag in at.flags.iter().filter(|flag| matches!(flag.name.as_str(), "chown" | "chmod" | "checksum")) {
            self.text(flag.value.as_deref().unwrap_or(""), flag.span, escape);
        }
        let is_path = |word: &&Word| at.heredocs.is_empty() || !word.text.starts_with("<<");
        let words = sources.iter().filter(is_path).filter_map(|word| self.word(word, escape)).collect();
        self.word(destination, escape);
        for document in at.heredocs.iter().filter(|document| document.expand) {
            let result = expand_heredoc(&document.content, &lookup(self.env));
            self.note(document.span, result);
        }
        words
    }

    /// EXPOSE never says which names are not set.
    fn ports(&mut self, words: &[Word], escape: char) {
        for word in words {
            match expand_words(&word.text, &lookup(self.env), escape) {
                Ok(expanded) => {
                    let bad = |text: &String| {
                        let why = PortSpec::parse(text).err()?;
                        Some(Diagnostic::error(word.span, format!("`{text}` is no port: {why}")))
                    };
                    self.errors.extend(expanded.words.iter().filter_map(bad));
                    self.step.words.extend(expanded.words);
                }
                Err(error) => self.errors.push(Diagnostic::error(word.span, error.to_string())),
            }
        }
    }

    /// Mounts are expanded field by field.
    fn mounts(&mut self, at: &Instruction, escape: char) {
        for flag in at.flags.iter().filter(|flag| flag.name == "mount") {
            let missing = RefCell::new(Vec::new());
            let look = |name: &str| {
                let value = self.env.get(name).cloned();
                if value.is_none() {
                    missing.borrow_mut().push(name.to_owned());
                }
                value
            };
            if let Err(error) = parse_mount(flag.value.as_deref().unwrap_or(""), &look, escape) {
                self.errors.push(Diagnostic::error(flag.span, error.to_string()));
            }
            missing.into_inner().iter().for_each(|name| self.undefined(name, flag.span));
        }
    }
}

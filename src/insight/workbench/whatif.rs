//! What a change would cost: which steps run again, why, and what that took last time. Nothing is executed or written.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::folder::Folder;
use crate::engine::context::IgnoreFile;
use crate::engine::forecast::{
    Cause, Concern, Foreseen, Reach, Roots, Times, concerned, roots_of_arguments, roots_of_base, roots_of_files,
};
use crate::engine::graph::BuildGraph;
use crate::engine::store::Store;
use crate::engine::{EngineError, Project};
use crate::insight::suggest::ContextView;
use crate::language::dockerfile::ignore::IgnoreRules;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Patterns of `.dockerignore` for files that change.
    pub touch: Vec<String>,
    /// Build arguments that change, with their new values.
    pub args: BTreeMap<String, String>,
    /// Base images that move.
    pub bases: Vec<String>,
}

/// What comes of it.
#[derive(Debug, Clone, Serialize, Default)]
pub struct Answer {
    /// Shown name of the file.
    pub dockerfile: String,
    /// What each part of the question is about, in its order.
    pub parts: Vec<Part>,
    /// The steps that run, or may, in Dockerfile order.
    pub steps: Vec<StepForecast>,
    /// How many steps the target has in all.
    pub of: usize,
    /// Microseconds of what runs in any case.
    pub certain_micros: u64,
    /// Microseconds of what may run besides.
    pub possible_micros: u64,
    /// Lines of steps that no record has a time for.
    pub untimed: Vec<u32>,
    /// Whether any step has a time on record.
    pub has_times: bool,
    /// Base images that the store does not have.
    pub missing_bases: Vec<String>,
}

/// A part of a question.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// `--touch src/**`.
    pub option: String,
    /// Files that it means.
    pub files: usize,
    /// Of these, files that some step reads.
    pub read: usize,
    /// Files that it would mean, if the ignore file did not leave them out, with the lines that do.
    pub ignored: Ignored,
    /// Whether anything runs because of it.
    pub costs: bool,
    /// The sentence.
    pub text: String,
}

/// Files that are left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Ignored {
    /// How many.
    pub files: usize,
    /// By which file.
    pub by: String,
    /// By which of its lines.
    pub lines: BTreeSet<u32>,
}

/// A step that runs, or may.
#[derive(Debug, Clone, Serialize)]
pub struct StepForecast {
    /// From 1.
    pub line: u32,
    /// Name or number of its stage.
    pub stage: String,
    /// The text on one line.
    pub instruction: String,
    /// It runs in any case; otherwise the output of `depends_on` decides.
    pub certain: bool,
    /// Lines.
    pub depends_on: Vec<u32>,
    /// Why.
    pub causes: Vec<Cause>,
    /// What it took last; none when no record has it, and for base images.
    pub micros: Option<u64>,
    /// It is a base image: nothing to run, but all that stands on it is another.
    pub is_base: bool,
}

/// Answers a question about a project as it lies there. Errors: those of the Dockerfile, the context, the store; a pattern that
/// is none.
pub fn what_if(project: &Project, store: &Store, question: &Question) -> Result<Answer, EngineError> {
    let loaded = project.load()?;
    let previous = project.last_record(store)?.map(|(_, record)| record).unwrap_or_default();
    let before = project.foresee(store, &loaded, &previous)?;
    let mut changed = project.clone();
    changed.build_args.extend(question.args.clone());
    let Foreseen { graph, missing } = changed.foresee(store, &loaded, &previous)?;
    let times = Times::new(&previous);
    let mut parts = Vec::new();
    let mut roots = Roots::new();
    let mut add = |found: Roots| found.into_iter().for_each(|(id, causes)| roots.entry(id).or_default().extend(causes));
    if !question.touch.is_empty() {
        let files = Files { kept: Folder::open(&project.context, &loaded.ignore)?, project, ignore: &loaded.ignore };
        let mut all = BTreeSet::new();
        for pattern in &question.touch {
            let (part, touched) = files.touched(&graph, pattern)?;
            parts.push(part);
            all.extend(touched);
        }
        add(roots_of_files(&graph, all.iter().map(String::as_str)));
    }
    add(arguments(question, &graph, &before.graph, &mut parts, &|args| {
        let mut alone = project.clone();
        alone.build_args.extend(args.clone());
        Ok(alone.foresee(store, &loaded, &previous)?.graph)
    })?);
    for image in &question.bases {
        let found = roots_of_base(&graph, image);
        parts.push(base_part(image, !found.is_empty()));
        add(found);
    }
    let concerns = concerned(&graph, &roots);
    Ok(answer(project, &graph, &concerns, &times, parts, missing))
}

/// Lowers the Dockerfile with these build arguments.
type Lower<'a> = dyn Fn(&BTreeMap<String, String>) -> Result<BuildGraph, EngineError> + 'a;

/// What other arguments do: causes are looked for one argument at a time, so that each is blamed for its own.
fn arguments(
    question: &Question,
    graph: &BuildGraph,
    before: &BuildGraph,
    parts: &mut Vec<Part>,
    lower: &Lower<'_>,
) -> Result<Roots, EngineError> {
    let mut out = roots_of_arguments(graph, before, &question.args);
    let mut own = Roots::new();
    for (name, value) in &question.args {
        let one = BTreeMap::from([(name.clone(), value.clone())]);
        let found = roots_of_arguments(&lower(&one)?, before, &one);
        parts.push(argument_part(name, value, !found.is_empty()));
        for (id, causes) in found {
            own.entry(id).or_default().extend(causes);
        }
    }
    for (id, causes) in &mut out {
        if let Some(known) = own.remove(id) {
            *causes = known;
        }
    }
    Ok(out)
}

fn answer(
    project: &Project,
    graph: &BuildGraph,
    concerns: &[Concern],
    times: &Times<'_>,
    parts: Vec<Part>,
    missing: Vec<String>,
) -> Answer {
    let price = crate::engine::forecast::price(graph, concerns, times);
    let step = |concern: &Concern| {
        let vertex = graph.vertex(concern.vertex)?;
        let is_base = vertex.base.is_some();
        Some(StepForecast {
            line: vertex.line,
            stage: vertex.stage.name.clone().unwrap_or_else(|| vertex.stage.index.to_string()),
            instruction: vertex.name.clone(),
            certain: concern.depends_on.is_empty(),
            depends_on: concern.depends_on.clone(),
            causes: concern.causes.clone(),
            micros: times.of(vertex).filter(|_| !is_base),
            is_base,
        })
    };
    Answer {
        dockerfile: project.file_name(),
        parts,
        steps: concerns.iter().filter_map(step).collect(),
        of: graph.vertices.iter().filter(|v| v.operation.is_some() && v.base.is_none()).count(),
        certain_micros: price.micros,
        possible_micros: price.possible_micros,
        untimed: price.untimed,
        has_times: !times.is_empty(),
        missing_bases: missing,
    }
}

fn part(option: String, costs: bool, text: String) -> Part {
    Part { option, files: 0, read: 0, ignored: Ignored::default(), costs, text }
}

fn argument_part(name: &str, value: &str, costs: bool) -> Part {
    let text = match costs {
        true => format!("the argument {name} gets another value"),
        false => format!("no step has the argument {name} in its key with another value than `{value}`: it costs nothing"),
    };
    part(format!("--arg {name}={value}"), costs, text)
}

fn base_part(image: &str, costs: bool) -> Part {
    let text = match costs {
        true => format!("everything on `{image}` stands on other layers"),
        false => format!("no stage that is built begins with or copies from `{image}`: it costs nothing"),
    };
    part(format!("--base {image}"), costs, text)
}

/// The files of a context, by pattern.
struct Files<'a> {
    kept: Folder,
    project: &'a Project,
    ignore: &'a IgnoreFile,
}

impl Files<'_> {
    /// The files that a pattern means, and what is to be said about it.
    fn touched(&self, graph: &BuildGraph, pattern: &str) -> Result<(Part, Vec<String>), EngineError> {
        let cleaned = pattern.trim_start_matches("./");
        let rules = IgnoreRules::from_patterns([cleaned])
            .map_err(|error| EngineError::usage(format!("--touch `{}`: {}", pattern.escape_debug(), error.kind), None))?;
        let mut files: Vec<String> = self.kept.files().filter(|path| rules.is_ignored(path)).map(str::to_owned).collect();
        let mut ignored = Ignored { by: self.ignore.name.clone(), ..Ignored::default() };
        let literal = !cleaned.contains(['*', '?', '[', '\\', '!']) && !cleaned.is_empty();
        let mut is_new = false;
        if files.is_empty() {
            ignored = self.ignored(&rules, ignored)?;
            if ignored.files == 0 && literal && !self.kept.exists(cleaned) {
                match self.ignore.excluding_line(cleaned) {
                    Some(line) => ignored = Ignored { files: 1, lines: BTreeSet::from([line]), ..ignored },
                    None => (files, is_new) = (vec![cleaned.trim_end_matches('/').to_owned()], true),
                }
            }
        }
        let edges = graph.vertices.iter().filter(|v| v.operation.is_some()).flat_map(|v| &v.edges);
        let reaches: Vec<Reach> = edges.filter_map(Reach::of).collect();
        let read = files.iter().filter(|path| reaches.iter().any(|reach| reach.reads(path))).count();
        let mut part = part(format!("--touch {pattern}"), read > 0, String::new());
        (part.files, part.read, part.ignored) = (files.len(), read, ignored);
        part.text = sentence(&part, is_new);
        Ok((part, files))
    }

    /// What is left out of a pattern's files. Only asked when nothing else is left: all of the folder has to be listed.
    fn ignored(&self, rules: &IgnoreRules, mut out: Ignored) -> Result<Ignored, EngineError> {
        if self.ignore.rules().is_empty() {
            return Ok(out);
        }
        let whole = Folder::open_whole(&self.project.context)?;
        for path in whole.files().filter(|path| rules.is_ignored(path)) {
            if let Some(line) = self.ignore.excluding_line(path) {
                out.files += 1;
                out.lines.insert(line);
            }
        }
        Ok(out)
    }
}

fn sentence(part: &Part, is_new: bool) -> String {
    let count = |n: usize| if n == 1 { "1 file".to_owned() } else { format!("{n} files") };
    let Ignored { files: ignored, by, lines } = &part.ignored;
    if *ignored > 0 {
        let list: Vec<String> = lines.iter().map(u32::to_string).collect();
        let plural = if list.len() == 1 { "line" } else { "lines" };
        return format!("{}, left out by {plural} {} of {by}: it costs nothing", count(*ignored), list.join(", "));
    }
    match (is_new, part.files, part.read) {
        (true, _, 0) => "there is no such file, and no step would read it: it costs nothing".into(),
        (true, ..) => "there is no such file yet: taken as a new one".into(),
        (_, 0, _) => "there is no such file: it costs nothing".into(),
        (_, files, 0) => format!("{}, which no step reads: it costs nothing", count(files)),
        (_, files, read) if files == read => count(files),
        (_, files, read) => format!("{}, of which steps read {read}", count(files)),
    }
}

//! From the syntax tree to the graph: only the stages that the target needs are looked at, as in BuildKit.

mod args;
mod config;
mod context;
mod copy;
mod mount;
mod run;
mod stage;

use std::collections::BTreeMap;

use super::base::ResolvedBase;
use super::fetch::{Fetch, MainContext};
use super::vertex::{BuildGraph, SourceRef};
use crate::engine::event::{Role, VertexId};
use crate::engine::oci::{Platform, Reference};
use crate::engine::protocol::settings::RunSettings;
use crate::language::dockerfile::{Arguments, Diagnostic, Dockerfile, Instruction, Span, detect_syntax};
use stage::StageState;

#[cfg(test)]
mod tests;

/// What is asked of a lowering.
pub struct LowerRequest<'a> {
    /// The file; free of errors.
    pub dockerfile: &'a Dockerfile,
    /// `--target`: name or number; the last stage without it.
    pub target: Option<&'a str>,
    /// `--build-arg` with their values.
    pub build_args: &'a BTreeMap<String, String>,
    /// What is built for: this machine.
    pub platform: Platform,
    /// Names of `--build-context` that are directories.
    pub directories: &'a [String],
    /// Names of `--build-context` that are images.
    pub images: &'a [String],
    /// What the main context is.
    pub main: &'a MainContext,
    /// `--build-context` that come from servers and repositories.
    pub fetched: &'a BTreeMap<String, Fetch>,
    /// SOURCE_DATE_EPOCH.
    pub epoch: Option<u64>,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--no-cache-filter`: stages by name.
    pub no_cache_filter: &'a [String],
    /// `--label`.
    pub labels: &'a BTreeMap<String, String>,
    /// What every RUN gets.
    pub run: &'a RunSettings,
    /// `--network` of the build, where RUN says nothing: part of the key only when it is not the default.
    pub network: Option<String>,
    /// `--allow`.
    pub allow: &'a [String],
}

/// Finds base images.
pub trait Bases {
    /// The image of this name for a platform; `strict` when the Dockerfile names the platform, so that no other one does.
    /// Errors: the whole message and a hint.
    fn resolve(&mut self, name: &str, platform: &Platform, strict: bool) -> Result<ResolvedBase, BaseError>;
}

/// Why a base cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseError {
    /// Lower case, no full stop.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
    /// Whose fault: an unknown name is the user's, an unreadable file the machine's.
    pub environment: bool,
}

/// A graph, with what is worth a warning.
#[derive(Debug)]
pub struct Lowered {
    /// The graph; slots are not given yet.
    pub graph: BuildGraph,
    /// Warnings with a place.
    pub warnings: Vec<Diagnostic>,
    /// Warnings about what was asked for.
    pub notes: Vec<String>,
}

/// Lowers a Dockerfile. Errors: everything that is wrong in the stages that are needed, in order of place.
pub fn lower(request: &LowerRequest<'_>, bases: &mut dyn Bases) -> Result<Lowered, Vec<Diagnostic>> {
    let mut lowering = Lowering::new(request, bases);
    let Some(target) = lowering.find_target() else { return Err(lowering.errors) };
    let state = lowering.stage(target);
    let Lowering { mut graph, mut errors, warnings, .. } = lowering;
    let Some(mut state) = state.filter(|_| errors.is_empty()) else {
        errors.sort_by_key(|d| d.span.start);
        errors.dedup();
        return Err(errors);
    };
    let labels = request.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
    state.config.config.labels.extend(labels);
    graph.target = state.head;
    graph.target_base = state.base;
    graph.history = state.history;
    graph.config = Some(state.config);
    in_file_order(&mut graph);
    config::note_effects(&mut graph);
    let unconsumed = args::unconsumed(request);
    let mut notes: Vec<String> = other_frontend(&request.dockerfile.source).into_iter().collect();
    if !unconsumed.is_empty() {
        notes.push(format!("warning: no ARG takes the build arguments {}", unconsumed.join(", ")));
    }
    Ok(Lowered { graph, warnings, notes })
}

/// `# syntax=` is never fetched or executed. Docker's own frontend is the one that is built in; another one may mean another
/// language.
fn other_frontend(source: &str) -> Option<String> {
    let wanted = detect_syntax(source)?;
    let own = ["docker/dockerfile", "docker/dockerfile-upstream"];
    let is_own = Reference::parse(&wanted.reference).is_ok_and(|name| own.contains(&name.path.as_str()));
    let shown = wanted.reference.chars().take(200).collect::<String>();
    (!is_own).then(|| {
        format!(
            "warning: line {}: the frontend `{}` is not fetched; the one of docker's Dockerfiles is built in",
            wanted.line,
            shown.escape_debug()
        )
    })
}

/// One FROM with what follows it.
struct StageSource<'a> {
    from: &'a Instruction,
    name: Option<String>,
    instructions: &'a [Instruction],
}

struct Lowering<'a> {
    request: &'a LowerRequest<'a>,
    bases: &'a mut dyn Bases,
    resolved: BTreeMap<String, usize>,
    stages: Vec<StageSource<'a>>,
    globals: args::GlobalArgs,
    done: BTreeMap<usize, StageState>,
    /// Archives as contexts, and the steps that unpack them.
    unpacked: Vec<(Fetch, VertexId)>,
    open: Vec<usize>,
    /// While triggers of a base are lowered: the FROM that brought them, where all their errors are shown.
    trigger_span: Option<Span>,
    /// Where the spans of the present instruction lead: the Dockerfile, or a trigger.
    source: std::sync::Arc<str>,
    graph: BuildGraph,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl<'a> Lowering<'a> {
    fn new(request: &'a LowerRequest<'a>, bases: &'a mut dyn Bases) -> Self {
        let all = &request.dockerfile.instructions;
        let starts: Vec<usize> = all
            .iter()
            .enumerate()
            .filter(|(_, i)| matches!(i.arguments, Arguments::From { .. }))
            .map(|(at, _)| at)
            .collect();
        let mut stages = Vec::new();
        for (n, &start) in starts.iter().enumerate() {
            let end = starts.get(n + 1).copied().unwrap_or(all.len());
            let name = match &all[start].arguments {
                Arguments::From { name, .. } => name.as_ref().map(|word| word.text.to_lowercase()),
                _ => None,
            };
            stages.push(StageSource { from: &all[start], name, instructions: &all[start + 1..end] });
        }
        let mut errors = Vec::new();
        let before = &all[..starts.first().copied().unwrap_or(all.len())];
        let globals = args::GlobalArgs::new(before, request, &mut errors);
        let graph = BuildGraph { epoch: args::epoch(before, request, &globals, &mut errors), ..BuildGraph::default() };
        Self {
            request,
            bases,
            resolved: BTreeMap::new(),
            stages,
            globals,
            done: BTreeMap::new(),
            unpacked: Vec::new(),
            open: Vec::new(),
            trigger_span: None,
            source: request.dockerfile.source.clone(),
            graph,
            errors,
            warnings: Vec::new(),
        }
    }

    fn error(&mut self, span: Span, message: impl Into<String>) {
        self.errors.push(Diagnostic::error(self.trigger_span.unwrap_or(span), message));
    }

    /// Whether `--no-cache` or `--no-cache-filter` concerns a stage.
    ///
    /// Source: BuildKit `IsNoCache`, `frontend/dockerui/config.go`: stages without a name are not filtered.
    fn ignores_cache(&self, state: &StageState) -> bool {
        let named = |name: &String| self.request.no_cache_filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        self.request.no_cache || state.name.name.as_ref().is_some_and(named)
    }

    /// The last of the first `before` stages that has this name, in any case.
    fn find_stage(&self, text: &str, before: usize) -> Option<usize> {
        let wanted = text.to_lowercase();
        self.stages.iter().take(before).rposition(|stage| stage.name.as_deref() == Some(&wanted))
    }

    /// The stage that FROM names: other than COPY --from, it must be written in lower case, as BuildKit keeps the names.
    fn find_base_stage(&self, text: &str, before: usize) -> Option<usize> {
        self.stages.iter().take(before).rposition(|stage| stage.name.as_deref() == Some(text))
    }

    fn find_target(&mut self) -> Option<usize> {
        let Some(text) = self.request.target else { return self.stages.len().checked_sub(1) };
        let by_number = || text.parse::<usize>().ok().filter(|n| *n < self.stages.len());
        let found = self.find_stage(text, self.stages.len()).or_else(by_number);
        if found.is_none() {
            let names: Vec<String> = self.stages.iter().filter_map(|s| s.name.clone()).map(|n| format!("`{n}`")).collect();
            let known =
                if names.is_empty() { "no stage has a name".to_owned() } else { format!("there is {}", names.join(", ")) };
            let span = self.stages.last().map_or(Span::default(), |s| s.from.span);
            let message = format!("the target stage `{}` does not exist", text.escape_debug());
            self.errors.push(Diagnostic::error(span, message).with_help(known));
        }
        found
    }

    /// Lowers a stage once; none when something in it, or in what it needs, is wrong.
    fn stage(&mut self, at: usize) -> Option<StageState> {
        if let Some(state) = self.done.get(&at) {
            return Some(state.clone());
        }
        if self.open.contains(&at) {
            let span = self.stages[at].from.span;
            self.error(span, "the stage needs its own result: stages refer to each other in a circle");
            return None;
        }
        self.open.push(at);
        let state = self.lower_stage(at);
        self.open.pop();
        if let Some(state) = &state {
            self.done.insert(at, state.clone());
        }
        state
    }

    /// Finds a base image once.
    fn base(&mut self, name: &str, platform: Option<&Platform>, span: Span) -> Option<usize> {
        let key = format!("{name} {}", platform.map(Platform::text).unwrap_or_default());
        if let Some(at) = self.resolved.get(&key) {
            return Some(*at);
        }
        match self.bases.resolve(name, platform.unwrap_or(&self.request.platform), platform.is_some()) {
            Ok(base) => {
                self.graph.bases.push(base);
                let at = self.graph.bases.len() - 1;
                self.resolved.insert(key, at);
                Some(at)
            }
            Err(error) => {
                let diagnostic = Diagnostic::error(self.trigger_span.unwrap_or(span), error.message);
                self.errors.push(match error.hint {
                    Some(hint) => diagnostic.with_help(hint),
                    None => diagnostic,
                });
                None
            }
        }
    }
}

/// Numbers the vertices in the order of their lines: stages may have been lowered in another.
fn in_file_order(graph: &mut BuildGraph) {
    let mut order: Vec<usize> = (0..graph.vertices.len()).collect();
    order.sort_by_key(|at| (graph.vertices[*at].line, *at));
    let mut new_id = vec![VertexId(0); order.len()];
    for (new, old) in order.iter().enumerate() {
        new_id[*old] = VertexId(new as u32);
    }
    let renamed = |id: VertexId| new_id[id.0 as usize];
    graph.vertices = order.iter().map(|at| graph.vertices[*at].clone()).collect();
    for vertex in &mut graph.vertices {
        vertex.id = renamed(vertex.id);
        vertex.parent = vertex.parent.map(renamed);
        vertex.surroundings.head = vertex.surroundings.head.map(renamed);
        for edge in &mut vertex.edges {
            if let SourceRef::Vertex(Some(id)) = &mut edge.source {
                *id = renamed(*id);
            }
        }
    }
    graph.target = graph.target.map(renamed);
    for step in &mut graph.history {
        step.vertex = step.vertex.map(renamed);
    }
}

/// The role of an instruction without operation; where it is used is noted when the graph is whole.
fn config_role(effect: impl Into<String>) -> Role {
    Role::Config { effect: effect.into(), enters: Vec::new() }
}

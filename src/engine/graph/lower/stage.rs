//! One stage: FROM, and the instructions below it.

use super::{Lowering, StageSource, config_role};
use crate::engine::event::{Role, StageName, VertexId};
use crate::engine::graph::op::{Operation, Variable, VariableOrigin};
use crate::engine::graph::vertex::{HistoryStep, SourceRef, Surroundings, Vertex};
use crate::engine::oci::config::DEFAULT_PATH;
use crate::engine::oci::{ImageConfig, Platform};
use crate::language::dockerfile::expand::expand_word;
use crate::language::dockerfile::{Arguments, Instruction, Span, Word};

/// What later instructions of a stage, and stages on top of it, build on.
#[derive(Debug, Clone)]
pub(super) struct StageState {
    pub name: StageName,
    /// The operation whose result is the file system; none when it is empty.
    pub head: Option<VertexId>,
    /// Variables in scope, in order.
    pub env: Vec<Variable>,
    /// Arguments declared, for the history.
    pub declared: Vec<(String, Option<String>)>,
    pub config: ImageConfig,
    pub cwd: String,
    /// Of the build, or that of `FROM --platform`.
    pub platform: Platform,
    pub history: Vec<HistoryStep>,
    pub base: Option<usize>,
    /// CMD stands in this very stage.
    pub cmd_is_set: bool,
}

impl StageState {
    fn on(config: ImageConfig, origin: VariableOrigin, platform: Platform) -> Self {
        let mut state = Self {
            name: StageName { index: 0, name: None },
            head: None,
            env: Vec::new(),
            declared: Vec::new(),
            cwd: "/".into(),
            platform,
            config,
            history: Vec::new(),
            base: None,
            cmd_is_set: false,
        };
        state.adopt_config(origin);
        state
    }

    /// Takes variables and directory of the configuration over.
    ///
    /// Source: BuildKit `dockerfile2llb/convert.go`, "initialize base metadata from image conf".
    fn adopt_config(&mut self, origin: VariableOrigin) {
        if !self.config.config.env.iter().any(|entry| entry.starts_with("PATH=")) {
            self.config.config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        for entry in self.config.config.env.clone() {
            let (name, value) = entry.split_once('=').unwrap_or((&entry, ""));
            let known = self.env.iter().find(|v| v.name == name && v.value == value).map(|v| v.origin);
            self.set_variable(name, value, known.unwrap_or(origin));
        }
        if !self.config.config.working_dir.is_empty() {
            self.cwd = absolute("/", &self.config.config.working_dir);
        }
        self.cmd_is_set = false;
    }

    /// Replaces a variable; it becomes the last one, as in BuildKit's `EnvList.AddOrReplace`.
    pub fn set_variable(&mut self, name: &str, value: &str, origin: VariableOrigin) {
        self.env.retain(|variable| variable.name != name);
        self.env.push(Variable { name: name.to_owned(), value: value.to_owned(), origin });
    }

    /// A variable in scope.
    pub fn get(&self, name: &str) -> Option<String> {
        self.env.iter().find(|variable| variable.name == name).map(|variable| variable.value.clone())
    }

    /// An entry of the history without a layer.
    pub fn note(&mut self, created_by: impl Into<String>) {
        self.history.push(HistoryStep { created_by: created_by.into(), vertex: None });
    }
}

/// `path` seen from `directory`: absolute, without `.`, `..` and doubled slashes.
pub(super) fn absolute(directory: &str, path: &str) -> String {
    let full = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut out: Vec<&str> = Vec::new();
    for component in full.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                out.pop();
            }
            name => out.push(name),
        }
    }
    format!("/{}", out.join("/"))
}

impl<'a> Lowering<'a> {
    pub(super) fn lower_stage(&mut self, at: usize) -> Option<StageState> {
        let StageSource { from, name, instructions } = &self.stages[at];
        let (from, instructions): (&Instruction, &[Instruction]) = (from, instructions);
        let stage = StageName { index: at as u32, name: name.clone() };
        // A named context takes the place of a stage of that name, with all its instructions.
        // Source of the rule: `toDispatchState` of BuildKit, `namedContext(st.Name)`.
        if let Some(name) = name.as_ref().filter(|name| self.request.images.contains(name)) {
            let name = name.clone();
            return self.start_image(from, &name, None, from.span, stage);
        }
        let first = self.graph.vertices.len();
        let mut state = self.start(at, from, stage)?;
        self.surround(first, &state);
        let errors_before = self.errors.len();
        self.triggers(&mut state, from);
        for instruction in instructions {
            let first = self.graph.vertices.len();
            self.instruction(&mut state, instruction);
            self.surround(first, &state);
        }
        (self.errors.len() == errors_before).then_some(state)
    }

    /// Notes what a command would meet after the vertices of an instruction. Other stages may have been lowered meanwhile.
    fn surround(&mut self, first: usize, state: &StageState) {
        let surroundings = Surroundings {
            head: state.head,
            env: state.env.iter().map(|v| format!("{}={}", v.name, v.value)).collect(),
            cwd: state.cwd.clone(),
            user: state.config.config.user.clone(),
            shell: state.config.config.shell.clone(),
        };
        let of_stage = |vertex: &&mut Vertex| vertex.stage.index == state.name.index;
        self.graph.vertices.iter_mut().skip(first).filter(of_stage).for_each(|v| v.surroundings = surroundings.clone());
    }

    /// Runs the ONBUILD triggers that the base brought; they are spent then.
    ///
    /// Source: BuildKit `initOnBuildTriggers`, `dockerfile2llb/convert.go`.
    fn triggers(&mut self, state: &mut StageState, from: &Instruction) {
        let triggers = std::mem::take(&mut state.config.config.on_build);
        self.trigger_span = Some(from.span);
        for text in triggers {
            let parsed = crate::language::dockerfile::parse(&format!("FROM scratch\n{text}\n"));
            if parsed.has_errors() {
                let why = parsed.diagnostics.first().map_or_else(String::new, |d| format!(": {}", d.message));
                self.error(
                    from.span,
                    format!("the base brings a trigger that cannot be understood, `{}`{why}", text.escape_debug()),
                );
                continue;
            }
            self.source = parsed.source.clone();
            for instruction in parsed.instructions.iter().skip(1) {
                let mut instruction = instruction.clone();
                (instruction.line, instruction.end_line) = (from.line, from.end_line);
                let first = self.graph.vertices.len();
                self.instruction(state, &instruction);
                self.surround(first, state);
            }
        }
        self.trigger_span = None;
        self.source = self.request.dockerfile.source.clone();
    }

    /// FROM: an image, another stage, or nothing.
    fn start(&mut self, at: usize, from: &Instruction, stage: StageName) -> Option<StageState> {
        let Arguments::From { image, .. } = &from.arguments else { return None };
        let lookup = |name: &str| self.globals.get(name);
        let expanded = match expand_word(&image.text, &lookup, self.request.dockerfile.escape) {
            Ok(expanded) => expanded.text,
            Err(error) => {
                self.error(image.span, error.to_string());
                return None;
            }
        };
        if expanded.is_empty() {
            self.error(image.span, format!("the image name `{}` expands to nothing: give the ARG a default", image.text));
            return None;
        }
        let given = self.stage_platform(from)?;
        let platform = given.clone().unwrap_or_else(|| self.request.platform.clone());
        let state = if expanded == "scratch" {
            let mut state = StageState::on(ImageConfig::scratch(&platform), VariableOrigin::Base, platform);
            state.name = stage;
            self.push(&state, from, Role::Start, None);
            state
        } else if let Some(base) = self.find_base_stage(&expanded, at) {
            let mut state = self.stage(base)?;
            state.name = stage;
            state.adopt_config(VariableOrigin::Env);
            self.push(&state, from, Role::Start, None);
            state
        } else {
            self.start_image(from, &expanded, given.as_ref(), image.span, stage)?
        };
        Some(state)
    }

    fn start_image(
        &mut self,
        from: &Instruction,
        name: &str,
        platform: Option<&Platform>,
        span: Span,
        stage: StageName,
    ) -> Option<StageState> {
        if self.request.directories.iter().any(|known| known == name) {
            let message =
                format!("the build context `{name}` is a directory, which FROM cannot stand on yet; use COPY --from={name}");
            self.error(span, message);
            return None;
        }
        let base = self.base(name, platform, span)?;
        let config = self.graph.bases[base].config.clone();
        let platform = platform.unwrap_or(&self.request.platform).clone();
        let mut state = StageState::on(config, VariableOrigin::Base, platform);
        state.name = stage;
        state.base = Some(base);
        state.head = self.base_vertex(&state, from, base, Role::Base);
        Some(state)
    }

    /// The vertex of a base; none for an image without layers.
    pub(super) fn base_vertex(&mut self, state: &StageState, at: &Instruction, base: usize, role: Role) -> Option<VertexId> {
        let resolved = &self.graph.bases[base];
        let operation = Operation::Base {
            image: resolved.image.clone(),
            manifest: resolved.manifest,
            chain: resolved.chain(),
            platform: state.platform.text(),
        };
        let id = self.push(state, at, role, Some(operation));
        self.graph.vertices[id.0 as usize].base = Some(base);
        self.graph.vertices[id.0 as usize].parent = None;
        Some(id)
    }

    /// The platform that `FROM --platform` names; none within where it names none, or the one that is built for anyway.
    fn stage_platform(&mut self, from: &Instruction) -> Option<Option<Platform>> {
        let mut given = None;
        for flag in &from.flags {
            let value = flag.value.clone().unwrap_or_default();
            if flag.name != "platform" {
                self.not_yet(flag, "FROM");
                return None;
            }
            let lookup = |name: &str| self.globals.get(name);
            let text = expand_word(&value, &lookup, self.request.dockerfile.escape).map(|e| e.text).unwrap_or(value);
            let Some(platform) = Platform::parse(&text) else {
                let message = format!("`{}` is no platform: write it like linux/amd64", text.escape_debug());
                self.error(flag.span, message);
                return None;
            };
            given = Some(platform).filter(|platform| *platform != self.request.platform);
        }
        Some(given)
    }

    /// Adds a vertex on top of the stage's head.
    pub(super) fn push(
        &mut self,
        state: &StageState,
        at: &Instruction,
        role: Role,
        operation: Option<Operation>,
    ) -> VertexId {
        let id = VertexId(self.graph.vertices.len() as u32);
        self.graph.vertices.push(Vertex {
            id,
            slot: String::new(),
            name: at.one_line(),
            keyword: at.keyword,
            line: at.line,
            stage: state.name.clone(),
            role,
            parent: operation.as_ref().and(state.head),
            operation,
            edges: Vec::new(),
            base: None,
            ignore_cache: false,
            hidden_env: Vec::new(),
            hosts: Vec::new(),
            surroundings: Surroundings::default(),
        });
        id
    }

    /// Adds an operation and moves the stage's head onto it.
    pub(super) fn step(
        &mut self,
        state: &mut StageState,
        at: &Instruction,
        operation: Operation,
        created_by: String,
        fill: impl FnOnce(&mut Vertex),
    ) {
        let id = self.push(state, at, Role::Step, Some(operation));
        fill(&mut self.graph.vertices[id.0 as usize]);
        state.head = Some(id);
        state.history.push(HistoryStep { created_by, vertex: Some(id) });
    }

    /// Adds an instruction that changes only the configuration.
    pub(super) fn config_step(&mut self, state: &StageState, at: &Instruction, effect: impl Into<String>) {
        self.push(state, at, config_role(effect), None);
    }

    /// A flag that is data so far.
    pub(super) fn not_yet(&mut self, flag: &crate::language::dockerfile::Flag, instruction: &str) {
        let message = format!("{instruction} --{} is not acted on yet by this builder", flag.name.escape_debug());
        self.error(flag.span, message);
    }

    /// Expands a word with the stage's variables.
    pub(super) fn expand(&mut self, state: &StageState, word: &Word) -> Option<String> {
        self.expand_text(state, &word.text, word.span)
    }

    pub(super) fn expand_text(&mut self, state: &StageState, text: &str, span: Span) -> Option<String> {
        let lookup = |name: &str| state.get(name);
        match expand_word(text, &lookup, self.request.dockerfile.escape) {
            Ok(expanded) => Some(expanded.text),
            Err(error) => {
                self.error(span, error.to_string());
                None
            }
        }
    }

    /// Where `COPY --from=` takes its files from.
    pub(super) fn source_ref(&mut self, state: &StageState, at: &Instruction, name: &str, span: Span) -> Option<SourceRef> {
        let here = state.name.index as usize;
        if self.request.directories.iter().any(|known| known == name) {
            return Some(SourceRef::Context(name.to_owned()));
        }
        // By name the last stage of the whole file is meant, so that one below is found, and refused.
        // Source of the rule: `toCommand` and `dispatchCopy` of BuildKit.
        let by_number = || name.parse::<usize>().ok().filter(|n| *n < self.stages.len());
        if let Some(stage) = self.find_stage(name, self.stages.len()).or_else(by_number) {
            if stage == here {
                self.error(span, "the stage copies from itself");
                return None;
            }
            if stage > here {
                let message =
                    format!("the stage `{}` must stand above the one that takes files from it", name.escape_debug());
                self.error(span, message);
                return None;
            }
            return Some(SourceRef::Vertex(self.stage(stage)?.head));
        }
        if name == "scratch" {
            return Some(SourceRef::Vertex(None));
        }
        if name.parse::<usize>().is_ok() {
            self.error(span, format!("there is no stage number `{name}`"));
            return None;
        }
        let before = self.errors.len();
        let Some(base) = self.base(name, None, span) else {
            if let Some(error) = self.errors.get_mut(before) {
                error.message = format!("no stage is named `{}`, and {}", name.escape_debug(), error.message);
                let names = self.stages.iter().filter_map(|stage| stage.name.as_deref());
                if let Some(near) = crate::language::dockerfile::nearest(name, names) {
                    error.help = Some(format!("did you mean the stage `{near}`?"));
                }
            }
            return None;
        };
        if let Some(known) = self.graph.vertices.iter().find(|v| v.base == Some(base)) {
            return Some(SourceRef::Vertex(Some(known.id)));
        }
        let mut from = at.clone();
        from.keyword = crate::language::dockerfile::Keyword::From;
        from.flags.clear();
        from.text = name.to_owned();
        Some(SourceRef::Vertex(self.base_vertex(state, &from, base, Role::Base)))
    }
}

//! What the next build would do. The graph is lowered and probed as for a build, but nothing is executed and nothing is
//! written: what the plan found out is in its events, as for a build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::unbounded_channel;

use super::build::registrations;
use super::contexts::{Memory, scan_contexts};
use super::error::EngineError;
use super::project::Project;
use crate::engine::context::Kept;
use crate::engine::event::{BuildEvent, Stamped};
use crate::engine::reads::{CacheUse, TraceWhen};
use crate::engine::solver::{Lists, Solver, Speaker, State};
use crate::engine::store::Store;
use crate::ground::cancel::CancelToken;

/// What is kept from plan to plan of one project, so that the next one is quick. Start with an empty one.
#[derive(Default)]
pub struct PlanMemory {
    /// Lists of files that were compared.
    lists: Lists,
    /// The contexts as they were read last, by folder.
    kept: BTreeMap<PathBuf, Kept>,
}

impl PlanMemory {
    /// From now on [`Self::note`] tells everything that changes in a context.
    pub fn watched(&mut self, context: &Path) {
        self.kept.entry(context.to_owned()).or_default().watched();
    }

    /// Tells what changed in a context since the last plan: paths in it; none when anything may have.
    pub fn note(&mut self, context: &Path, paths: Option<&[String]>) {
        self.kept.entry(context.to_owned()).or_default().note(paths);
    }
}

impl Project {
    /// Plans the next build with a Dockerfile as it is on disk. Base images are those of the store; servers are not asked.
    /// Errors: those of the Dockerfile and the context with which a build would end before it runs anything.
    pub fn plan(&self, store: &Store, memory: &mut PlanMemory) -> Result<Vec<Stamped>, EngineError> {
        self.plan_build(store, CacheUse::Exact, memory)
    }

    /// The same for a build that uses the cache in this way.
    pub fn plan_build(
        &self,
        store: &Store,
        cache_use: CacheUse,
        memory: &mut PlanMemory,
    ) -> Result<Vec<Stamped>, EngineError> {
        let text = self.read_dockerfile()?;
        let plan = || self.look_ahead(store, &text, cache_use, memory);
        // A chain of 500 instructions is decided by recursion.
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(crate::engine::solver::STACK).spawn_scoped(scope, plan);
            let thread = thread.map_err(|e| EngineError::environment(format!("cannot start a thread: {e}"), None))?;
            thread.join().unwrap_or_else(|_| Err(EngineError::environment("the plan broke off", None)))
        })
    }

    fn look_ahead(
        &self,
        store: &Store,
        text: &str,
        cache_use: CacheUse,
        memory: &mut PlanMemory,
    ) -> Result<Vec<Stamped>, EngineError> {
        self.require_folder()?;
        let loaded = self.load_text(text)?;
        let previous = self.last_record(store)?.map(|(_, record)| record);
        let (graph, warnings) = self.lower(store, &loaded, previous.as_ref())?;
        let (sender, mut events) = unbounded_channel();
        let speaker = Speaker::new(self.file_name(), None, Some(sender));
        speaker.say(BuildEvent::BuildStarted {
            build: "plan".into(),
            dockerfile: self.file_name(),
            context: self.context.display().to_string(),
            target: self.target.clone(),
            unix: super::build::unix_micros() / 1_000_000,
        });
        for text in warnings {
            speaker.say(BuildEvent::Diagnosed { text, error: false, line: 0 });
        }
        for event in registrations(&graph, previous.as_ref()) {
            speaker.say(event);
        }
        speaker.say(BuildEvent::GraphSealed);
        let contexts = scan_contexts(
            store,
            self,
            &speaker,
            &graph,
            (&loaded.ignore, &BTreeMap::new()),
            Memory::Here(&mut memory.kept),
            &CancelToken::default(),
        )?;
        let imports = self.open_caches(store, &speaker, None);
        let solver = Solver {
            imports: &imports,
            lease: None,
            graph: &graph,
            store,
            worker: None,
            speaker: &speaker,
            contexts: &contexts,
            previous: previous.as_ref(),
            folder: store.layout.root(),
            cancel: CancelToken::default(),
            secrets: &BTreeMap::new(),
            agents: &BTreeMap::new(),
            // As a build does when nobody says otherwise.
            trace: TraceWhen::Auto,
            cache_use,
            default_network: self.default_network(),
            limits: &self.limits,
            state: State::foreseeing(graph.vertices.len(), memory.lists.clone()),
        };
        solver.foresee_all()?;
        solver.forget_unused_lists();
        drop(solver);
        drop(speaker);
        let mut out = Vec::new();
        while let Ok(event) = events.try_recv() {
            out.push(event);
        }
        Ok(out)
    }
}

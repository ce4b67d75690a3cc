//! The project behind the interface.

use std::io::{Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::engine::context::{Changed, IgnoreFile, Watch};
use crate::engine::event::{BuildEvent, Stamped, VertexId, log};
use crate::engine::handle::BuildHandle;
use crate::engine::image::inspect::{Preview, Stack};
use crate::engine::store::Store;
use crate::engine::{BuildRequest, Chosen, Engine, EngineError, Layered, PlanMemory, ShellRequest, Side};
use crate::front::tui::host::Host;
use crate::front::tui::views::layers::LayersFound;
use crate::front::tui::views::layers::preview::LIMIT;
use crate::insight::suggest::{SuggestReport, Suggestion};
use crate::insight::workbench::advice::advise_with_history;
use crate::insight::workbench::rewrite;

/// How long the watch waits before it looks whether it is still wanted.
const WAIT: Duration = Duration::from_secs(2);

/// A project that can be built, explained and rewritten.
pub struct ProjectHost {
    engine: Engine,
    request: BuildRequest,
    /// TERM.
    terminal: Option<String>,
    /// From plan to plan.
    memory: Mutex<PlanMemory>,
    /// The watch over the context; none where it could not be set up, or nobody asked yet.
    watch: Mutex<Option<Watch>>,
}

impl ProjectHost {
    /// `terminal` is TERM.
    pub fn new(engine: Engine, request: BuildRequest, terminal: Option<&str>) -> Self {
        let (memory, watch) = (Mutex::default(), Mutex::default());
        Self { engine, request, terminal: terminal.map(str::to_owned), memory, watch }
    }
}

/// Events of the last build of a project.
pub fn last_events(store: &Store, project: &str) -> Option<Vec<Stamped>> {
    let row = store.index.last_build(project).ok()??;
    log::read(&store.layout.build(&row.id).join("events.jsonl")).ok().map(|events| events.events)
}

/// A part of what a step wrote.
pub fn read_output(store: &Store, build: &str, vertex: VertexId, offset: u64, len: u64) -> std::io::Result<Vec<u8>> {
    let path = store.layout.build(build).join(format!("{}.log", vertex.0));
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut out = Vec::new();
    file.take(len).read_to_end(&mut out)?;
    Ok(out)
}

impl Host for ProjectHost {
    fn name(&self) -> String {
        let folder = self.request.project.context.file_name();
        folder.map_or_else(|| "project".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    fn dockerfile(&self) -> Result<String, String> {
        self.request.project.read_dockerfile().map_err(|e| e.text())
    }

    fn outline(&self) -> Vec<Stamped> {
        let project = &self.request.project;
        let fail = |error: EngineError| vec![BuildEvent::Diagnosed { text: error.text(), error: true, line: 0 }];
        let events = match project.load().and_then(|loaded| project.lower(&self.engine.store, &loaded, None)) {
            Ok((graph, _)) => crate::engine::registrations(&graph, None),
            Err(error) => fail(error),
        };
        events.into_iter().zip(0..).map(|(event, seq)| Stamped { seq, at: 0, event }).collect()
    }

    fn last_build(&self) -> Option<Vec<Stamped>> {
        last_events(&self.engine.store, &self.request.project.id())
    }

    fn start_build(&self) -> Result<BuildHandle, String> {
        Ok(self.engine.start(self.request.clone()))
    }

    fn output(&self, build: &str, vertex: VertexId, offset: u64, len: u64) -> Result<Vec<u8>, String> {
        read_output(&self.engine.store, build, vertex, offset, len).map_err(|e| crate::ground::fs::error::describe(&e))
    }

    fn suggest(&self) -> Result<SuggestReport, String> {
        let last = self.last_build();
        let (project, store, git) = (&self.request.project, &self.engine.store, &self.engine.sources.git);
        advise_with_history(project, store, last.as_deref(), Some(git)).map_err(|e| e.text())
    }

    fn plan(&self) -> Result<Vec<Stamped>, String> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let (project, cache_use) = (&self.request.project, self.request.cache_use);
        project.plan_build(&self.engine.store, cache_use, &mut memory).map_err(|e| e.text())
    }

    fn wait_for_change(&self) -> bool {
        let project = &self.request.project;
        let ignore = || IgnoreFile::find(&project.context, Some(&project.dockerfile)).unwrap_or_default();
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.is_none() && project.require_folder().is_ok() {
            *watch = Watch::new(&project.context, &project.dockerfile, &ignore()).ok();
        }
        let Some(watch) = watch.as_mut() else {
            std::thread::sleep(WAIT);
            return false;
        };
        match watch.wait(WAIT) {
            Changed::Nothing => false,
            Changed::Paths(_) | Changed::Anything => {
                let _ = watch.refresh(&ignore());
                true
            }
        }
    }

    fn layers(&self, line: u32) -> Result<(Layered, Stack), String> {
        let found = self.engine.step_layers(&self.request.project, &Chosen::Line(line)).map_err(|e| e.text())?;
        let of = found.ok_or_else(|| format!("the last build has no step at line {line}"))?;
        let stack = self.engine.read_layers(&of, false).map_err(|e| e.text())?;
        Ok((of, stack))
    }

    fn preview(&self, of: &LayersFound, layer: u32, entry: u32) -> Result<Preview, String> {
        self.engine.preview(&of.of, layer, entry, LIMIT).map_err(|e| e.text())
    }

    fn shell(&self, line: u32, side: Side) -> Result<String, String> {
        let request = ShellRequest {
            project: self.request.project.clone(),
            secrets: self.request.secrets.clone(),
            step: Chosen::Line(line),
            side,
            command: Vec::new(),
            terminal: self.terminal.clone(),
        };
        super::shell::from_interface(&self.engine, &request).map_err(|e| e.text())
    }

    fn apply(&self, suggestion: &Suggestion) -> Result<String, String> {
        let done = rewrite::apply(&self.request.project, &self.engine.store, suggestion).map_err(|e| e.text())?;
        Ok(done.backup.unwrap_or(done.path).display().to_string())
    }
}

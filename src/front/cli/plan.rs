//! `plan`.

use std::time::{Duration, Instant};

use clap::Args;

use super::args::ProjectArgs;
use super::cache_spec::cache_from;
use super::cache_use::CacheArgs;
use super::{Context, build};
use crate::engine::context::{Changed, IgnoreFile, Watch};
use crate::engine::event::{BuildEvent, Stamped};
use crate::engine::reads::CacheUse;
use crate::engine::store::{Store, StoreError};
use crate::engine::{EngineError, PlanMemory, Project};
use crate::front::report::plan;
use crate::insight::model::BuildState;

/// `plan [PATH]`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Count steps of a cache that another store wrote as hits, too: type=local,src=DIR[,tag=NAME].
    #[arg(long, value_name = "SPEC")]
    pub cache_from: Vec<String>,
    #[command(flatten)]
    pub cache: CacheArgs,
    /// Plan again whenever the context or the Dockerfile changes, until ctrl-c.
    #[arg(long)]
    pub watch: bool,
}

pub fn run(context: &Context, args: &PlanArgs) -> Result<u8, EngineError> {
    let mut project = build::project(context, &args.project)?;
    project.cache_from =
        args.cache_from.iter().filter(|spec| !spec.is_empty()).map(|spec| cache_from(spec)).collect::<Result<_, _>>()?;
    let cache_use = args.cache.cache_use()?;
    let store = context.store_to_read()?;
    if args.watch {
        return watch(context, &project, store, cache_use);
    }
    let events = project.plan_build(&store, cache_use, &mut PlanMemory::default())?;
    show(context, &store, &BuildState::fold(&events))
}

fn show(context: &Context, store: &Store, state: &BuildState) -> Result<u8, EngineError> {
    context.output.write(|out| {
        if context.output.json {
            return plan::json(out, state);
        }
        if !store.is_made {
            writeln!(out, "{}\n", super::nothing_yet(store.layout.root()))?;
        }
        plan::plain(out, state)
    })
}

/// What two plans of the same say.
fn facts(events: &[Stamped]) -> Vec<&BuildEvent> {
    let lasting = |event: &&BuildEvent| !matches!(event, BuildEvent::BuildStarted { .. } | BuildEvent::Progress { .. });
    events.iter().map(|stamped| &stamped.event).filter(lasting).collect()
}

/// A plan after every change. A Dockerfile that cannot be read at the moment is told and waited for.
fn watch(context: &Context, project: &Project, mut store: Store, cache_use: CacheUse) -> Result<u8, EngineError> {
    project.require_folder()?;
    let ignore = || IgnoreFile::find(&project.context, Some(&project.dockerfile)).unwrap_or_default();
    let fail = |error| EngineError::from(StoreError::from(error));
    let mut watch = Watch::new(&project.context, &project.dockerfile, &ignore()).map_err(fail)?;
    if let Some(why) = watch.off() {
        eprintln!("watching is off: {why}");
    }
    let mut memory = PlanMemory::default();
    let mut last: Option<Vec<Stamped>> = None;
    loop {
        // A build may have made it meanwhile.
        if !store.is_made {
            store = context.store_to_read()?;
        }
        let began = Instant::now();
        match project.plan_build(&store, cache_use, &mut memory) {
            Ok(events) if last.as_ref().is_some_and(|last| facts(last) == facts(&events)) => {}
            Ok(events) => {
                let took = began.elapsed();
                let state = BuildState::fold(&events);
                let code = show(context, &store, &state)?;
                if !context.output.json {
                    context.output.write(|out| {
                        writeln!(out, "planned in {} ms; watching, ctrl-c ends\n", took.as_millis())?;
                        out.flush()
                    })?;
                }
                if code != super::DONE {
                    return Ok(code);
                }
                last = Some(events);
            }
            Err(error) => {
                super::report(&error);
                last = None;
            }
        }
        if watch.off().is_none() {
            memory.watched(&project.context);
        }
        let changed = loop {
            match watch.wait(Duration::from_secs(3600)) {
                Changed::Nothing => {}
                changed => break changed,
            }
        };
        let is_folder = |path: &String| project.context.join(path).is_dir();
        match changed {
            Changed::Paths(paths) => {
                memory.note(&project.context, Some(&paths));
                // A new folder, or rules that leave in what they left out before.
                if paths.iter().any(|path| is_folder(path) || path.ends_with("ignore")) {
                    watch.refresh(&ignore()).map_err(fail)?;
                }
            }
            Changed::Anything | Changed::Nothing => {
                memory.note(&project.context, None);
                watch.refresh(&ignore()).map_err(fail)?;
            }
        }
    }
}

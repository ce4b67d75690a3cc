//! `demo`: a small project is built, one source file edited, built again, and the miss explained, with a fix on offer. Every
//! step is real: a base image of this machine's tools, a real installer at work, real processes, real layers.

mod project;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::DemoArgs;
use super::build::{Reporter, output_source, watch};
use super::{Context, host, last, screen};
use crate::engine::event::Stamped;
use crate::engine::image::{HostBase, host_base};
use crate::engine::{BuildRequest, Engine, EngineError, Project};
use crate::front::report::plain::PlainReporter;
use crate::front::report::{document, suggest, why};
use crate::front::text;
use crate::front::tui::ViewName;
use crate::insight::workbench::advice::advise;

/// The name that the demo's Dockerfile builds on.
const BASE: &str = "rbuild-demo:host";
const INSTALLER: &[u8] = include_bytes!("../../../assets/demo/vendor-install");

pub fn run(context: &Context, args: &DemoArgs) -> Result<u8, EngineError> {
    let demo = Demo::open(context, args)?;
    let base = demo.base()?;
    let existed = demo.write_project()?;
    let what = if base.reused || existed { "every step below the base runs" } else { "every step runs" };
    demo.head(&format!("3. The first build: {what}"))?;
    let code = demo.build()?;
    if code != super::DONE {
        return Ok(code);
    }
    let first = demo.document()?;
    project::edit(&demo.folder)?;
    demo.head(&format!("4. One source file was edited ({}); the same build again", project::EDITED))?;
    let code = demo.build()?;
    if code != super::DONE {
        return Ok(code);
    }
    if context.output.json {
        return demo.json(&base, first);
    }
    demo.explain()
}

/// The demo at work.
struct Demo<'c> {
    context: &'c Context,
    engine: Engine,
    folder: PathBuf,
}

impl<'c> Demo<'c> {
    fn open(context: &'c Context, args: &DemoArgs) -> Result<Self, EngineError> {
        // Before any thread.
        let engine = context.engine()?;
        let folder = args.dir.clone().unwrap_or_else(|| engine.store.layout.root().join("demo"));
        Ok(Self { context, engine, folder })
    }

    /// What comes next; with `--json` and `--quiet` there is no narration.
    fn head(&self, line: &str) -> Result<(), EngineError> {
        self.narrate("\n== ", line)
    }

    /// A line below it.
    fn say(&self, line: &str) -> Result<(), EngineError> {
        self.narrate("   ", line)
    }

    fn narrate(&self, mark: &str, line: &str) -> Result<(), EngineError> {
        if self.context.output.json || self.context.output.quiet {
            return Ok(());
        }
        self.context.output.write(|out| writeln!(out, "{mark}{}", text::line(line))).map(|_| ())
    }

    fn base(&self) -> Result<HostBase, EngineError> {
        self.head(&format!("1. The base image `{BASE}`, assembled from this machine's own shell and tools"))?;
        let base = host_base(&self.engine.store, BASE, &[("usr/bin/vendor-install", INSTALLER)])?;
        let size = text::size(base.record.size);
        let state = if base.reused { "at hand from an earlier demo" } else { "assembled now" };
        self.say(&format!(
            "{} programs with their libraries, {size}, {state}; no registry, no Docker, no network",
            base.programs
        ))?;
        self.say("it depends on this machine: good for trying things here, not for publishing")?;
        Ok(base)
    }

    /// Returns whether there was one of an earlier demo.
    fn write_project(&self) -> Result<bool, EngineError> {
        self.head("2. A small project with a classic mistake: everything is copied before modules are installed")?;
        let existed = project::write(&self.folder)?;
        let verb = if existed { "reset (your own files in it stay)" } else { "written" };
        self.say(&format!("{}: {verb}", self.folder.display()))?;
        Ok(existed)
    }

    fn project(&self) -> Result<Project, EngineError> {
        Project::open(&self.folder, None)
    }

    fn request(&self) -> Result<BuildRequest, EngineError> {
        Ok(BuildRequest { project: self.project()?, tags: vec!["rbuild-demo:app".into()], ..BuildRequest::default() })
    }

    fn build(&self) -> Result<u8, EngineError> {
        let handle = self.engine.start(self.request()?);
        if self.context.output.json {
            return watch(handle, Box::new(Silent));
        }
        let reporter = PlainReporter::new(std::io::stdout(), Some(output_source(&self.engine)));
        watch(handle, Box::new(reporter.quiet(self.context.output.quiet)))
    }

    /// The last build as `build --json` has it.
    fn document(&self) -> Result<Value, EngineError> {
        let state = last::state(&self.engine.store, &self.project()?)?;
        Ok(serde_json::to_value(document::document(&state)).unwrap_or_default())
    }

    fn json(&self, base: &HostBase, first: Value) -> Result<u8, EngineError> {
        let project = self.project()?;
        let events = host::last_events(&self.engine.store, &project.id());
        let mut suggestions = Vec::new();
        let report = advise(&project, &self.engine.store, events.as_deref())?;
        // Writing into memory does not fail.
        let _ = suggest::json(&mut suggestions, &report);
        let document = json!({
            "schema": 1,
            "folder": self.folder.display().to_string(),
            "base": { "name": BASE, "image": base.record.id.to_string(), "reused": base.reused },
            "builds": [first, self.document()?],
            "suggest": serde_json::from_slice::<Value>(&suggestions).unwrap_or_default(),
        });
        self.context.output.write(|out| writeln!(out, "{document}"))
    }

    /// The miss and the fix: on screens where there is a terminal, else as lines.
    fn explain(self) -> Result<u8, EngineError> {
        let (context, folder) = (self.context, self.folder.clone());
        if context.output.plain {
            self.lines()?;
            next_steps(context, &folder)?;
            return Ok(super::DONE);
        }
        self.head(
            "5. Now the interface, with the miss explained: `s` shows the fix, `a` applies it, `b` builds, `q` quits",
        )?;
        let host = host::ProjectHost::new(self.engine.clone(), self.request()?, context.config.variable("TERM"));
        let code = screen::open(context, host, false, ViewName::Explain, false)?;
        next_steps(context, &folder)?;
        Ok(code)
    }

    fn lines(&self) -> Result<(), EngineError> {
        let project = self.project()?;
        let output = &self.context.output;
        let state = last::state(&self.engine.store, &project)?;
        let install = state.steps.iter().find(|step| step.name.contains("vendor-install")).map(|step| step.line);
        self.head("5. Why did the install run again? (`rbuild-tui why`)")?;
        output.write(|out| why::plain(out, &state, install))?;
        self.head("6. What would help? (`rbuild-tui suggest`)")?;
        let events = host::last_events(&self.engine.store, &project.id());
        let report = advise(&project, &self.engine.store, events.as_deref())?;
        output.write(|out| suggest::plain(out, &report)).map(|_| ())
    }
}

/// Commands to try on the project.
fn next_steps(context: &Context, folder: &Path) -> Result<(), EngineError> {
    if context.output.quiet {
        return Ok(());
    }
    let store = context.cli.store.as_ref().map(|path| format!(" --store {}", word(path))).unwrap_or_default();
    let folder = word(folder);
    let lines = [
        (format!("rbuild-tui suggest --apply {folder}{store}"), "apply the fix; a backup is kept"),
        (format!("rbuild-tui build {folder}{store}"), "build, edit a file below src/, build again"),
        (format!("rbuild-tui why -C {folder}{store}"), "why each step ran, or did not"),
        (format!("rbuild-tui {folder}{store}"), "all of it in the interface"),
    ];
    context.output.write(|out| {
        writeln!(out, "\n== Next")?;
        lines.iter().try_for_each(|(command, what)| writeln!(out, "   {command}\n      # {what}"))
    })?;
    Ok(())
}

/// A path as a shell reads it.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text::line(&text.replace('\'', "'\\''"))) }
}

/// Shows nothing: the document at the end says it all.
struct Silent;

impl Reporter for Silent {
    fn event(&mut self, _: &Stamped) -> std::io::Result<()> {
        Ok(())
    }
}

//! `build`.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;

use super::args::{BuildArgs, LimitArgs, LintFormat, Progress, ProjectArgs, Trace};
use super::cache_spec::{cache_from, cache_to};
use super::delivery_spec::Delivery;
use super::output_spec::export_to;
use super::results::ResultFiles;
use super::{Context, host};
use crate::engine::event::{BuildEvent, Stamped};
use crate::engine::handle::BuildHandle;
use crate::engine::oci::Reference;
use crate::engine::protocol::settings::{Limits, Ulimit, parse_host, parse_size};
use crate::engine::reads::TraceWhen;
use crate::engine::{BuildRequest, Engine, EngineError, ExportTo, NamedContext, Project, SshSource};
use crate::front::report::document;
use crate::front::report::plain::{OutputSource, PlainReporter};
use crate::front::tui::ViewName;
use crate::insight::model::BuildState;

/// A project from its arguments.
pub fn project(context: &Context, args: &ProjectArgs) -> Result<Project, EngineError> {
    let stream = || Ok(std::fs::File::from(std::io::stdin().as_fd().try_clone_to_owned()?));
    let mut project = Project::open_anywhere(&args.path, args.file.as_deref(), stream)?;
    project.target.clone_from(&args.target);
    project.no_cache = args.no_cache;
    project.pull = args.pull;
    project.network = args.network.clone().filter(|mode| mode != "default");
    project.allow.clone_from(&args.allow);
    settings(&mut project, args)?;
    for given in &args.build_arg {
        let (name, value) = match given.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (given.as_str(), context.config.variable(given).map(str::to_owned)),
        };
        if name.is_empty() {
            return Err(usage(format!("--build-arg `{}` has no name", given.escape_debug())));
        }
        if let Some(value) = value {
            project.build_args.insert(name.to_owned(), value);
        }
    }
    for given in &args.build_context {
        let Some((name, value)) = given.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty()) else {
            return Err(usage(format!("--build-context `{}` is not NAME=VALUE", given.escape_debug())));
        };
        let named = NamedContext::parse(value).map_err(|why| usage(format!("--build-context {why}")))?;
        project.contexts.insert(name.to_owned(), named);
    }
    let epoch = project.build_args.get("SOURCE_DATE_EPOCH").cloned().or_else(|| context.config.source_date_epoch.clone());
    // `context`: the time of the context, which a folder does not have.
    if let Some(text) = epoch.filter(|text| !text.is_empty() && text != "context") {
        let seconds = text
            .parse()
            .map_err(|_| usage(format!("SOURCE_DATE_EPOCH `{}` is no number of seconds", text.escape_debug())))?;
        project.epoch = Some(seconds);
    }
    Ok(project)
}

/// Labels, what every RUN gets, and a Dockerfile from standard input.
fn settings(project: &mut Project, args: &ProjectArgs) -> Result<(), EngineError> {
    project.no_cache_filter = args.no_cache_filter.iter().filter(|name| !name.is_empty()).cloned().collect();
    for given in &args.label {
        let (name, value) = given.split_once('=').unwrap_or((given, ""));
        if name.is_empty() {
            return Err(usage(format!("--label `{}` has no name", given.escape_debug())));
        }
        project.labels.insert(name.to_owned(), value.to_owned());
    }
    let wrong = |flag: &'static str| move |why: String| usage(format!("{flag} {why}"));
    let hosts = args.add_host.iter().map(|given| parse_host(given));
    project.run.hosts = hosts.collect::<Result<_, _>>().map_err(wrong("--add-host"))?;
    project.run.shm_size = args.shm_size.as_deref().map(parse_size).transpose().map_err(wrong("--shm-size"))?;
    let ulimits = args.ulimit.iter().map(|given| Ulimit::parse(given));
    project.run.ulimits = ulimits.collect::<Result<_, _>>().map_err(wrong("--ulimit"))?;
    project.limits = limits(&args.limits).map_err(usage)?;
    if args.file.as_deref() == Some(std::path::Path::new("-")) {
        project.read_given(std::io::stdin().lock())?;
    }
    Ok(())
}

/// `--memory` and its like. Errors: the message.
fn limits(args: &LimitArgs) -> Result<Limits, String> {
    let size = |flag: &'static str| move |text: &String| parse_size(text).map_err(|why| format!("{flag} {why}"));
    let total = |text: &String| match text.as_str() {
        "-1" => Ok(-1),
        text => {
            parse_size(text).map(|bytes| i64::try_from(bytes).unwrap_or(-1)).map_err(|why| format!("--memory-swap {why}"))
        }
    };
    // Docker takes 0 for "not given".
    let mut out = Limits {
        memory: args.memory.as_ref().map(size("--memory")).transpose()?.filter(|bytes| *bytes > 0),
        memory_swap: args.memory_swap.as_ref().map(total).transpose()?.filter(|bytes| *bytes != 0),
        cpu_quota: args.cpu_quota.filter(|quota| *quota != 0),
        cpu_period: args.cpu_period.filter(|period| *period != 0),
        cpu_shares: args.cpu_shares.filter(|shares| *shares != 0),
        cpuset_cpus: args.cpuset_cpus.clone().filter(|list| !list.is_empty()),
        cpuset_mems: args.cpuset_mems.clone().filter(|list| !list.is_empty()),
    };
    args.cpus.as_ref().map_or(Ok(()), |text| out.cpus(text))?;
    out.check()?;
    Ok(out)
}

pub(super) fn usage(message: String) -> EngineError {
    EngineError::usage(message, Some("see `rbuild-tui build --help`".into()))
}

/// Larger secrets are refused, as BuildKit does.
const SECRET_LIMIT: u64 = 500 << 10;

/// `id=ID,src=FILE`, `id=ID,env=NAME`; without either, the variable ID, else the file ID.
pub fn secret(context: &Context, spec: &str) -> Result<(String, Vec<u8>), EngineError> {
    let (mut id, mut file, mut variable) = (None, None, None);
    for part in spec.split(',') {
        match part.split_once('=') {
            Some(("id", value)) => id = Some(value),
            Some(("src" | "source", value)) => file = Some(value),
            Some(("env", value)) => variable = Some(value),
            Some(("type", "file" | "env")) => {}
            _ => return Err(usage(format!("--secret `{}` is not id=ID,src=FILE or id=ID,env=NAME", spec.escape_debug()))),
        }
    }
    let id = id.or(file).or(variable).filter(|id| !id.is_empty());
    let Some(id) = id else { return Err(usage(format!("--secret `{}` has no id", spec.escape_debug()))) };
    let by_name = |name: &str| context.config.variable(name).map(|value| value.as_bytes().to_vec());
    if let Some(name) = variable {
        let missing = || usage(format!("--secret: the variable `{}` is not set", name.escape_debug()));
        return Ok((id.to_owned(), by_name(name).ok_or_else(missing)?));
    }
    if let (None, Some(value)) = (file, by_name(id)) {
        return Ok((id.to_owned(), value));
    }
    let path = std::path::Path::new(file.unwrap_or(id));
    let fail = |e: &std::io::Error| {
        let cause = crate::ground::fs::error::describe(e);
        usage(format!("--secret: cannot read `{}`: {cause}", path.display().to_string().escape_debug()))
    };
    let bytes = read_secret(path).map_err(|e| fail(&e))?;
    if bytes.len() as u64 > SECRET_LIMIT {
        return Err(usage(format!("--secret `{}` is larger than 500 KiB", id.escape_debug())));
    }
    Ok((id.to_owned(), bytes))
}

/// At most one byte more than a secret may have. A pipe that nobody writes to must not hold the build, and a device has no end:
/// only regular files are read.
fn read_secret(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() {
        let what = if kind.is_dir() { "is a directory" } else { "is not a regular file" };
        return Err(std::io::Error::other(what));
    }
    let mut bytes = Vec::new();
    file.take(SECRET_LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The request of `build`.
fn request(context: &Context, args: &BuildArgs) -> Result<BuildRequest, EngineError> {
    let mut project = project(context, &args.project)?;
    project.cache_from =
        args.cache_from.iter().filter(|spec| !spec.is_empty()).map(|spec| cache_from(spec)).collect::<Result<_, _>>()?;
    let cache_to =
        args.cache_to.iter().filter(|spec| !spec.is_empty()).map(|spec| cache_to(spec)).collect::<Result<_, _>>()?;
    for tag in &args.tag {
        Reference::parse(tag).map_err(|e| usage(e.to_string()))?;
    }
    let (delivered, written): (Vec<&String>, Vec<&String>) = args.output.iter().partition(|spec| Delivery::is_one(spec));
    let exports: Vec<ExportTo> = written.into_iter().map(|spec| export_to(spec)).collect::<Result<_, _>>()?;
    let mut delivery = Delivery::of(&args.tag);
    delivered.into_iter().try_for_each(|spec| delivery.add(spec))?;
    if args.push {
        delivery.push_all()?;
    }
    if args.load && args.tag.is_empty() {
        return Err(usage("--load needs a name for the image: add -t NAME".into()));
    }
    let secrets = args.secret.iter().map(|spec| secret(context, spec)).collect::<Result<_, _>>()?;
    let agent = context.config.variable("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(std::path::Path::new);
    let mut ssh = std::collections::BTreeMap::new();
    for given in &args.ssh {
        let wrong = |why: String| usage(format!("--ssh `{}` {why}", given.escape_debug()));
        let (id, source) = SshSource::parse(given, agent).map_err(wrong)?;
        ssh.insert(id, source);
    }
    let Delivery { tags, push } = delivery;
    let trace = match args.trace {
        Trace::Auto => TraceWhen::Auto,
        Trace::Always => TraceWhen::Always,
        Trace::Never => TraceWhen::Never,
    };
    let cache_use = args.cache.cache_use()?;
    let (load, jobs) = (args.load, args.jobs);
    let assemble = false;
    Ok(BuildRequest { project, tags, exports, secrets, ssh, push, load, jobs, trace, cache_use, cache_to, assemble })
}

pub fn run(context: &Context, args: &BuildArgs) -> Result<u8, EngineError> {
    if args.check {
        let json = context.output.json || args.progress == Progress::Json;
        let format = if json { LintFormat::Json } else { LintFormat::Tty };
        return super::lint::check(context, &args.project, format);
    }
    let mut request = request(context, args)?;
    let files = ResultFiles::new(args.iidfile.clone(), args.metadata_file.clone());
    request.assemble = files.any();
    if files.any() && args.progress == Progress::Tui {
        return Err(usage("--iidfile and --metadata-file cannot be combined with --progress=tui".into()));
    }
    let to_standard_output = request.exports.iter().any(|to| to.stream.is_some());
    check_standard_output(context, args, &request)?;
    files.prepare()?;
    // Before any thread.
    let engine = context.engine()?;
    if args.progress == Progress::Tui {
        let host = host::ProjectHost::new(engine, request, context.config.variable("TERM"));
        return super::screen::open(context, host, true, ViewName::Build, false);
    }
    let handle = engine.start(request);
    let reporter: Box<dyn Reporter> = match (args.progress, context.output.json) {
        (Progress::Json, _) => Box::new(EventLines::default()),
        (_, true) => Box::new(Document::default()),
        (progress, false) => {
            let quiet = context.output.quiet || progress == Progress::Quiet;
            let source = Some(output_source(&engine));
            match to_standard_output {
                true => Box::new(PlainReporter::new(std::io::stderr(), source).quiet(quiet)),
                false => Box::new(PlainReporter::new(std::io::stdout(), source).quiet(quiet)),
            }
        }
    };
    let code = watch(handle, files.watch(reporter))?;
    if code == super::DONE {
        files.write(&args.tag)?;
    }
    Ok(code)
}

/// Standard output is one thing's only: the result's, or the report's.
fn check_standard_output(context: &Context, args: &BuildArgs, request: &BuildRequest) -> Result<(), EngineError> {
    let streams = request.exports.iter().filter(|to| to.stream.is_some()).count();
    let reported = context.output.json || matches!(args.progress, Progress::Json | Progress::Tui);
    match streams {
        2.. => Err(usage("two outputs go to standard output; name a file for one of them".into())),
        1 if reported => {
            Err(usage("standard output cannot take both the result and a report: leave out --json or --progress".into()))
        }
        _ => Ok(()),
    }
}

/// Reads what steps wrote, for the plain report.
pub fn output_source(engine: &Engine) -> OutputSource {
    let engine = engine.clone();
    Box::new(move |build, vertex, offset, len| host::read_output(&engine.store, build, vertex, offset, len).ok())
}

/// Something that shows a build; errors are those of standard output.
pub trait Reporter: Send {
    /// Shows what an event changes.
    fn event(&mut self, event: &Stamped) -> std::io::Result<()>;
}

impl<W: Write + Send> Reporter for PlainReporter<W> {
    fn event(&mut self, event: &Stamped) -> std::io::Result<()> {
        PlainReporter::event(self, event)
    }
}

/// `--progress=json`: each event a line, then the document.
#[derive(Default)]
struct EventLines(Document);

impl Reporter for EventLines {
    fn event(&mut self, event: &Stamped) -> std::io::Result<()> {
        document::write_event(&mut std::io::stdout().lock(), event)?;
        self.0.event(event)
    }
}

/// `--json`: one document at the end.
#[derive(Default)]
struct Document(BuildState);

impl Reporter for Document {
    fn event(&mut self, event: &Stamped) -> std::io::Result<()> {
        self.0.apply(event);
        match &event.event {
            BuildEvent::BuildFinished { .. } => document::write(&mut std::io::stdout().lock(), &self.0),
            _ => Ok(()),
        }
    }
}

/// Shows a build to its end. The first ctrl-c (or TERM, or HUP) cancels it; a second one ends at once.
pub fn watch(mut handle: BuildHandle, mut reporter: Box<dyn Reporter>) -> Result<u8, EngineError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let fail = |e: std::io::Error| EngineError::environment(format!("cannot wait for the build: {e}"), None);
    let runtime = runtime.map_err(fail)?;
    runtime.block_on(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(fail)?;
        let mut ended = super::FAILED;
        let mut cancelled = false;
        let mut unwritten = None;
        loop {
            let event = tokio::select! {
                event = handle.events.recv() => event,
                _ = interrupt.recv() => { cancel(&handle, &mut cancelled); continue }
                _ = terminate.recv() => { cancel(&handle, &mut cancelled); continue }
                _ = hangup.recv() => { cancel(&handle, &mut cancelled); continue }
            };
            let Some(event) = event else { return Ok(ended) };
            if let BuildEvent::BuildFinished { error, cancelled, environment, .. } = &event.event {
                ended = match (cancelled, error) {
                    (true, _) => super::CANCELLED,
                    (false, None) => super::DONE,
                    (false, Some(_)) if *environment => super::ENVIRONMENT,
                    (false, Some(_)) => super::FAILED,
                };
            }
            if let Err(error) = reporter.event(&event)
                && unwritten.is_none()
            {
                // Nobody reads any more: what runs is ended.
                handle.cancel.cancel();
                unwritten = Some(error);
            }
            if let (BuildEvent::BuildFinished { .. }, Some(error)) = (&event.event, &unwritten) {
                if error.kind() == std::io::ErrorKind::BrokenPipe {
                    eprintln!("error: standard output was closed, so the build was cancelled; finished steps are kept");
                    ended = super::CANCELLED;
                } else {
                    let cause = crate::ground::fs::error::describe(error);
                    eprintln!("error: cannot write to standard output: {cause}; the build was cancelled");
                    ended = super::ENVIRONMENT;
                }
            } else if let BuildEvent::BuildFinished { error: Some(error), .. } = &event.event {
                eprintln!("error: {}", crate::front::text::block(error).trim_end());
            }
        }
    })
}

fn cancel(handle: &BuildHandle, before: &mut bool) {
    if *before {
        std::process::exit(i32::from(super::CANCELLED));
    }
    *before = true;
    eprintln!("cancelling the build; once more to end at once");
    handle.cancel.cancel();
}

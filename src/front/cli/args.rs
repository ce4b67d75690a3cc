//! The arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::cache_use::CacheArgs;
use super::history::HistoryArgs;
use super::image::ImageArgs;

const EXAMPLES: &str = "\
Examples:
  rbuild-tui                      open the folder's Dockerfile in the interface
  rbuild-tui demo                 see a cache miss explained and fixed, offline
  rbuild-tui image load base.tar  bring a base image in
  rbuild-tui build -t app .       build
  rbuild-tui why                  why did each step run, or not
  rbuild-tui shell 7              look around after line 7, or in what it left when it failed
  rbuild-tui suggest              what to change, and what it saves";

/// A build explorer and cache debugger for Dockerfiles, on a builder of its own.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, subcommand_precedence_over_arg = true)]
pub struct Cli {
    /// Without a subcommand: the project to open.
    #[command(flatten)]
    pub project: ScreenArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Folder of the store.
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// The configuration file [default: rbuild-tui/config.json in the user's configuration folder].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A registry that is spoken to without encryption.
    #[arg(long, global = true, value_name = "HOST[:PORT]")]
    pub insecure_registry: Vec<String>,
    /// Lines instead of screens.
    #[arg(long, global = true)]
    pub plain: bool,
    /// JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Only what matters.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// `rbuild-tui [PATH]`.
#[derive(Debug, Args)]
pub struct ScreenArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Draw with ASCII only.
    #[arg(long)]
    pub ascii: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a Dockerfile.
    Build(BuildArgs),
    /// Say what the next build will do, step by step, and how long it will take; nothing is run or written.
    Plan(super::plan::PlanArgs),
    /// Explain hits and misses of the last build.
    Why(WhyArgs),
    /// Open a shell in the file system before or after a step; what it writes is listed and thrown away.
    Shell(ShellArgs),
    /// Show what a change would make run, and what that took last time; run nothing.
    #[command(name = "whatif")]
    WhatIf(super::whatif::WhatIfArgs),
    /// Show what every path of the context costs: what a change of it makes run, times how often it changes.
    Heat(super::heat::HeatArgs),
    /// Show what the builds of a git history would have cost; check out and build nothing.
    Replay(super::replay::ReplayArgs),
    /// Hold what a change would make run against a budget, for pipelines.
    Ci(super::ci::CiArgs),
    /// Show rewrites that save time, with their evidence.
    Suggest(super::suggest::SuggestArgs),
    /// Check a Dockerfile with BuildKit's build checks; build nothing.
    Lint(LintArgs),
    /// Show what a build reads of its context: how big it is, which step uses it, and what the ignore file leaves out.
    Context(super::context::ContextArgs),
    /// Show when each step of the last build ran, and which chain of steps decided how long it took.
    Timeline(super::timeline::TimelineArgs),
    /// Show what the layers of a step or an image hold, change, hide and waste.
    Layers(super::layers::LayersArgs),
    /// Take in a build that docker made, from its rawjson progress or an exported history record.
    Import(super::import::ImportArgs),
    /// Builds on record.
    History(HistoryArgs),
    /// Images of the store.
    Image(ImageArgs),
    /// Show what takes space in the store.
    Du(DuArgs),
    /// Take away what no image and no running build needs.
    Prune(PruneArgs),
    /// Verify every blob, layer and record of the store.
    Check(CheckArgs),
    /// Build a small project twice and see one miss explained and one fix on offer; no network, no Docker.
    Demo(DemoArgs),
}

/// What a project is made of.
#[derive(Debug, Clone, Args, Default)]
pub struct ProjectArgs {
    /// The build context: a folder; for `build` also `-` (a tar, or a Dockerfile alone, on standard input), the URL of an
    /// archive or a Dockerfile, or a git repository (https://HOST/REPO.git#REF:FOLDER).
    #[arg(default_value = ".", value_name = "PATH")]
    pub path: PathBuf,
    /// The Dockerfile [default: PATH/Dockerfile]; `-` reads it from standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The stage to build.
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// A build argument; without a value it is taken from the environment.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,
    /// A further context for FROM, COPY --from and RUN --mount: a folder, an image in an OCI layout, another image, the URL
    /// of an archive, or a git repository.
    #[arg(long, value_name = "NAME=DIR|oci-layout://PATH|docker-image://NAME|URL")]
    pub build_context: Vec<String>,
    /// Run every RUN, COPY and ADD again.
    #[arg(long)]
    pub no_cache: bool,
    /// Run every RUN, COPY and ADD of these stages again: NAME[,NAME...].
    #[arg(long, value_name = "STAGES", value_delimiter = ',')]
    pub no_cache_filter: Vec<String>,
    /// A label of the image.
    #[arg(long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// A line of /etc/hosts for every RUN.
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub add_host: Vec<String>,
    /// Size of /dev/shm for every RUN.
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,
    /// A resource limit of every RUN.
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub ulimit: Vec<String>,
    /// Ask registries what the tags of base images mean now, also where the store has one.
    #[arg(long)]
    pub pull: bool,
    /// Network of RUNs that do not say; `isolated` needs pasta or slirp4netns.
    #[arg(long, value_name = "MODE", value_parser = ["default", "host", "none", "isolated"])]
    pub network: Option<String>,
    /// Allow what a Dockerfile may not do by itself.
    #[arg(long, value_name = "ENTITLEMENT", value_parser = ["network.host", "security.insecure"])]
    pub allow: Vec<String>,
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// What every RUN may use, by docker's names.
#[derive(Debug, Clone, Args, Default)]
pub struct LimitArgs {
    /// Memory of every RUN.
    #[arg(long, short, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Memory and swap together; -1 for any [default: twice the memory].
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Processors of every RUN, such as 1.5.
    #[arg(long, value_name = "N", conflicts_with_all = ["cpu_quota", "cpu_period"])]
    pub cpus: Option<String>,
    /// Microseconds of processor time in each period.
    #[arg(long, value_name = "MICROS", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    /// Length of a period.
    #[arg(long, value_name = "MICROS")]
    pub cpu_period: Option<u64>,
    /// Weight against other processes.
    #[arg(long, short = 'c', value_name = "N")]
    pub cpu_shares: Option<u64>,
    /// Processors that may be used, such as 0-2,4.
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes that may be used.
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
}

/// `build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Name of the image in the store.
    #[arg(short, long, value_name = "NAME")]
    pub tag: Vec<String>,
    /// Write the result: DIR or type=local,dest=DIR for its files, `-` or type=tar,dest=FILE|- for a tar of them,
    /// type=oci|docker,dest=FILE|- for the image [,tar=false][,name=NAME][,annotation.NAME=VALUE]
    /// [,compression=uncompressed|gzip|zstd][,compression-level=N][,force-compression=true][,rewrite-timestamp=true], or
    /// type=registry|image[,name=NAME][,push=true].
    #[arg(short, long, value_name = "SPEC")]
    pub output: Vec<String>,
    /// Push the image to the registries of its names.
    #[arg(long)]
    pub push: bool,
    /// Load the image into the docker daemon of this machine.
    #[arg(long)]
    pub load: bool,
    /// A file that only `RUN --mount=type=secret` sees: id=ID[,src=FILE|,env=NAME].
    #[arg(long, value_name = "SPEC")]
    pub secret: Vec<String>,
    /// An ssh agent that only `RUN --mount=type=ssh` sees: default, ID, ID=SOCKET, or keys as ID=FILE[,FILE].
    #[arg(long, value_name = "SPEC")]
    pub ssh: Vec<String>,
    /// Write the image's id to a file.
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
    /// Write names and digests of the result to a file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// How the build is shown.
    #[arg(long, value_enum, default_value = "auto")]
    pub progress: Progress,
    /// Check the Dockerfile and build nothing.
    #[arg(long)]
    pub check: bool,
    /// Take steps from a cache that another store wrote, too: type=local,src=DIR[,tag=NAME], or type=registry,ref=NAME.
    #[arg(long, value_name = "SPEC")]
    pub cache_from: Vec<String>,
    /// Write a cache for other stores: type=local,dest=DIR[,tag=NAME] or type=registry,ref=NAME, [,mode=min|max]
    /// [,ignore-error=true]; `min` keeps the steps whose layers are in the image, `max` those of all stages.
    #[arg(long, value_name = "SPEC")]
    pub cache_to: Vec<String>,
    #[command(flatten)]
    pub cache: CacheArgs,
    /// Which of the RUNs that run are watched: what they read is shown by `why --reads`.
    #[arg(long, value_enum, default_value = "auto")]
    pub trace: Trace,
    /// Steps at a time [default: twice the cores].
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true)]
    pub jobs: usize,
}

/// `--trace`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Trace {
    /// Those below a COPY or ADD from the build context, or with a bind mount of it.
    #[default]
    Auto,
    /// All.
    Always,
    /// None.
    Never,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Lines.
    Auto,
    /// Lines.
    Plain,
    /// The interface.
    Tui,
    /// Events as JSON lines.
    Json,
    /// Only failures.
    Quiet,
}

/// `shell`.
#[derive(Debug, Args)]
pub struct ShellArgs {
    /// A line of the Dockerfile, a stage, or STAGE:LINE [default: the step that failed last, else the last one].
    #[arg(value_name = "STEP")]
    pub step: Option<String>,
    #[command(flatten)]
    pub project: ProjectArgs,
    /// The file system that the step begins with.
    #[arg(long)]
    pub before: bool,
    /// Build first; a failed build is no obstacle.
    #[arg(long)]
    pub build: bool,
    /// A file that `RUN --mount=type=secret` sees: id=ID[,src=FILE|,env=NAME].
    #[arg(long, value_name = "SPEC")]
    pub secret: Vec<String>,
    /// What to run instead of the stage's shell; its output goes to standard error with --json.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// A line of the Dockerfile [default: all], or the build context.
    #[arg(value_name = "STEP")]
    pub step: Option<String>,
    /// What the step read while it ran: files, listings, look-ups that failed, programs.
    #[arg(long)]
    pub reads: bool,
    /// Show what the step's key is made of, and what is no part of it.
    #[arg(long, requires = "step", conflicts_with_all = ["reads", "builders"])]
    pub key: bool,
    /// With --key: beside the key that the step had in another build (a name of `history ls`, or `previous`).
    #[arg(long, value_name = "BUILD", requires = "key")]
    pub against: Option<String>,
    /// Show what the classic builder, buildah and kaniko would have made of the same change.
    #[arg(long, conflicts_with = "reads")]
    pub builders: bool,
    /// The build context [default: the present folder].
    #[arg(long, short = 'C', value_name = "PATH")]
    pub context: Option<PathBuf>,
    /// The Dockerfile [default: PATH/Dockerfile].
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The stage that was built.
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
}

/// `lint`.
#[derive(Debug, Args)]
pub struct LintArgs {
    /// The build context.
    #[arg(default_value = ".", value_name = "PATH")]
    pub path: PathBuf,
    /// The Dockerfile [default: PATH/Dockerfile].
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Check only what this stage needs [default: all stages].
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// A build argument; without a value it is taken from the environment.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,
    /// How findings are shown.
    #[arg(long, value_enum, default_value = "tty")]
    pub format: LintFormat,
    /// Print the page of a rule.
    #[arg(long, value_name = "RULE")]
    pub explain: Option<String>,
    /// Print targets, arguments, secrets and ssh instead.
    #[arg(long, conflicts_with = "explain")]
    pub outline: bool,
}

impl LintArgs {
    /// The project that is checked.
    pub fn project(&self) -> ProjectArgs {
        ProjectArgs {
            path: self.path.clone(),
            file: self.file.clone(),
            target: self.target.clone(),
            build_arg: self.build_arg.clone(),
            ..ProjectArgs::default()
        }
    }
}

/// `lint --format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LintFormat {
    /// Text with the lines that are meant.
    Tty,
    /// One document.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Annotations of GitHub's runners.
    Github,
}

/// `du`.
#[derive(Debug, Args)]
pub struct DuArgs {
    /// Show what lies in this cache mount: its id or the name of its folder.
    #[arg(value_name = "CACHE")]
    pub cache: Option<String>,
    /// Only what fits: until=24h, type=step, id=ID.
    #[arg(long, value_name = "NAME=VALUE")]
    pub filter: Vec<String>,
}

/// `prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Also blobs kept for the next export, unpacked base layers that can be unpacked again, and all but the last logs.
    #[arg(short, long)]
    pub all: bool,
    /// Only what fits: until=24h, type=step, id=ID.
    #[arg(long, value_name = "NAME=VALUE")]
    pub filter: Vec<String>,
    /// Stop as soon as no more than this is left: 10GB.
    #[arg(long, value_name = "SIZE", alias = "max-used-space")]
    pub keep_storage: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub force: bool,
    /// Only show what would go.
    #[arg(long)]
    pub dry_run: bool,
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Take damaged things away, so that they are made again.
    #[arg(long)]
    pub repair: bool,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where the project is written [default: a folder in the store].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

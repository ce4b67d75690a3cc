//! What a history would have cost: every commit is built in thought, on a cache that only knows names. Nothing is checked out,
//! executed or written.

mod arm;
mod cache;
mod checkout;
mod selection;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::history::{Blobs, Commit, Object, Repository};
use crate::engine::context::IgnoreFile;
use crate::engine::fetch::GitSettings;
use crate::engine::forecast::Times;
use crate::engine::solver::record::BuildRecord;
use crate::engine::store::Store;
use crate::engine::{EngineError, Project};
use crate::ground::digest::Digest;
use crate::language::dockerfile::encoding;
use arm::Arm;
use checkout::Checkout;

/// What files are to blame for, by path.
pub type Blame = BTreeMap<String, Share>;

/// What a file is to blame for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Builds in which steps ran on account of it, alone or with others.
    pub builds: usize,
    /// Microseconds; what several files are to blame for is split evenly.
    pub micros: u64,
}

/// The mode of a link.
const LINK: u32 = 0o120000;

/// Dockerfiles and ignore files larger than this are not read.
const TEXT_LIMIT: u64 = 10 << 20;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct ReplayRequest {
    /// How many commits, from HEAD on.
    pub commits: usize,
    /// A Dockerfile that takes the place of that of each commit.
    pub proposed: Option<String>,
}

/// What it would have cost.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Replay {
    /// Shown name of the file.
    pub dockerfile: String,
    /// Oldest first.
    pub commits: Vec<CommitRow>,
    /// The sums of the Dockerfile of each commit, without the first build.
    pub present: Totals,
    /// The sums of the proposed one.
    pub proposed: Option<Totals>,
    /// Whether any step has a time on record.
    pub has_times: bool,
    /// What was taken for granted, a sentence each.
    pub assumptions: Vec<String>,
    /// What the replay itself took.
    pub replayed_in_micros: u64,
}

/// A commit.
#[derive(Debug, Clone, Serialize)]
pub struct CommitRow {
    /// In hex.
    pub commit: String,
    /// Seconds since 1970.
    pub time: u64,
    /// First line of its message.
    pub subject: String,
    /// Why nothing is built.
    pub skipped: Option<String>,
    /// The first build: the cache is empty before it, and it is not part of the sums.
    pub first: bool,
    /// With the Dockerfile that it has.
    pub present: BuildRow,
    /// With the proposed one.
    pub proposed: Option<BuildRow>,
}

/// A build in thought.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BuildRow {
    /// Steps that are served.
    pub hits: usize,
    /// Steps that run.
    pub ran: usize,
    /// Of these, steps that only run if the output of another is new.
    pub possible: usize,
    /// Steps that would fail, because something that they copy is missing, and those that need them.
    pub failed: usize,
    /// Microseconds of what runs.
    pub micros: u64,
    /// Of these, of what only runs if an output is new.
    pub possible_micros: u64,
    /// Steps that run and have no time on record.
    pub untimed: usize,
    /// Who is to blame.
    pub blame: Blame,
    /// Line and result of each step: `hit`, `ran`, `unknown` (an output decides), `failed`, `skipped`.
    pub lines: Vec<(u32, &'static str)>,
}

/// Sums over all builds but the first.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    /// Builds.
    pub builds: usize,
    /// Builds in which nothing ran.
    pub idle: usize,
    /// Builds that would fail.
    pub failed: usize,
    /// Steps that are served.
    pub hits: usize,
    /// Steps that run.
    pub ran: usize,
    /// Of these, steps that only run if an output is new.
    pub possible: usize,
    /// Microseconds.
    pub micros: u64,
    /// Of these, of what only runs if an output is new.
    pub possible_micros: u64,
    /// Runs of steps that have no time on record.
    pub untimed: usize,
    /// Who is to blame.
    pub blame: Blame,
}

impl Totals {
    fn add(&mut self, row: &BuildRow) {
        self.builds += 1;
        self.idle += usize::from(row.ran == 0 && row.failed == 0);
        self.failed += usize::from(row.failed > 0);
        self.hits += row.hits;
        self.ran += row.ran;
        self.possible += row.possible;
        self.micros += row.micros;
        self.possible_micros += row.possible_micros;
        self.untimed += row.untimed;
        for (file, share) in &row.blame {
            let sum = self.blame.entry(file.clone()).or_default();
            (sum.builds, sum.micros) = (sum.builds + share.builds, sum.micros + share.micros);
        }
    }
}

/// Replays the history of a project. Errors: there is no git, no repository, no commit, or nothing to build.
pub fn replay(project: &Project, store: &Store, git: &GitSettings, request: &ReplayRequest) -> Result<Replay, EngineError> {
    let began = Instant::now();
    let repository = Repository::needed(git, &project.context)?;
    let commits = repository.commits(request.commits)?;
    let record = project.last_record(store)?.map(|(_, record)| record).unwrap_or_default();
    let places = Places::new(&repository, project)?;
    let first = commits.first().map(|commit| repository.files(&commit.id)).transpose()?.unwrap_or_default();
    let first: Vec<(String, Option<Object>)> = first.into_iter().map(|(path, object)| (path, Some(object))).collect();
    let later = commits.iter().skip(1).flat_map(|commit| &commit.changes);
    let links = first.iter().chain(later).any(|(_, object)| object.as_ref().is_some_and(|object| object.mode == LINK));
    let proposed = request.proposed.as_deref();
    let mut walk = Walk {
        project,
        store,
        record: &record,
        blobs: repository.blobs()?,
        present: Arm::new(Checkout::new(None), links),
        proposed: proposed.map(|text| {
            let fixed = places.dockerfile_in_context().map(|path| (path, Digest::of(text)));
            (text.to_owned(), Arm::new(Checkout::new(fixed), links))
        }),
        dockerfile: None,
        ignore: None,
        own_ignore: None,
        places,
    };
    let times = Times::new(&record);
    let mut out = Replay { dockerfile: project.file_name(), has_times: !times.is_empty(), ..Replay::default() };
    let mut built = false;
    for (at, commit) in commits.iter().enumerate() {
        let changes = if at == 0 { &first } else { &commit.changes };
        let mut row = walk.commit(commit, changes, &times)?;
        if row.skipped.is_none() {
            row.first = !std::mem::replace(&mut built, true);
            if !row.first {
                out.present.add(&row.present);
                if let Some(build) = &row.proposed {
                    out.proposed.get_or_insert_with(Totals::default).add(build);
                }
            }
        }
        out.commits.push(row);
    }
    if !built {
        let why = out.commits.last().and_then(|row| row.skipped.clone()).unwrap_or_else(|| "there is no commit".into());
        return Err(EngineError::user(format!("nothing can be replayed: {why}"), None));
    }
    out.assumptions = walk.assumptions(&times, &out);
    out.replayed_in_micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(out)
}

/// Where things lie in the repository.
struct Places {
    /// The context, with a slash at the end, or empty.
    prefix: String,
    /// The Dockerfile from the top; none when it lies elsewhere and is the same at every commit.
    dockerfile: Option<String>,
    /// Its text, then.
    fixed: Option<String>,
}

impl Places {
    fn new(repository: &Repository, project: &Project) -> Result<Self, EngineError> {
        let prefix = repository.prefix.clone();
        let top = repository.top.canonicalize().unwrap_or_else(|_| repository.top.clone());
        let file = absolute(&project.dockerfile);
        let inside = file.and_then(|file| Some(file.strip_prefix(&top).ok()?.to_str()?.to_owned()));
        let dockerfile = inside.filter(|_| project.given.is_none());
        let fixed = if dockerfile.is_none() { Some(project.read_dockerfile()?) } else { None };
        Ok(Self { prefix, dockerfile, fixed })
    }

    /// The Dockerfile as a path of the context.
    fn dockerfile_in_context(&self) -> Option<String> {
        self.dockerfile.as_ref()?.strip_prefix(&self.prefix).map(str::to_owned)
    }

    fn in_context<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(self.prefix.as_str())
    }

    /// The context is the whole repository: then `.git` lies in it.
    fn has_git(&self) -> bool {
        self.prefix.is_empty()
    }
}

/// The folder is resolved, the file is not: what a link leads to is another path of the repository.
fn absolute(file: &Path) -> Option<PathBuf> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(folder.canonicalize().ok()?.join(file.file_name()?))
}

/// A walk through the history.
struct Walk<'a> {
    project: &'a Project,
    store: &'a Store,
    record: &'a BuildRecord,
    blobs: Blobs,
    places: Places,
    present: Arm,
    proposed: Option<(String, Arm)>,
    dockerfile: Option<Object>,
    /// `.dockerignore`, and that of the Dockerfile.
    ignore: Option<Object>,
    own_ignore: Option<Object>,
}

impl Walk<'_> {
    fn commit(
        &mut self,
        commit: &Commit,
        changes: &[(String, Option<Object>)],
        times: &Times<'_>,
    ) -> Result<CommitRow, EngineError> {
        self.note_files(changes);
        let mut below: Vec<(String, Option<Object>)> = changes
            .iter()
            .filter_map(|(path, object)| Some((self.places.in_context(path)?.to_owned(), object.clone())))
            .collect();
        if self.places.has_git() {
            // Where `.git` is copied, every commit is another content.
            below.push((".git/HEAD".into(), Some(Object { mode: 0o100644, id: commit.id.clone() })));
        }
        let moved = self.present.apply(&below, &mut self.blobs)?;
        let files: HashSet<&str> = below.iter().map(|(path, _)| path.as_str()).collect();
        let changed: Vec<String> =
            moved.into_iter().map(|moved| moved.path).filter(|path| files.contains(path.as_str())).collect();
        if let Some((_, arm)) = &mut self.proposed {
            arm.apply(&below, &mut self.blobs)?;
        }
        let mut row = CommitRow {
            commit: commit.id.clone(),
            time: commit.time,
            subject: commit.subject.clone(),
            skipped: None,
            first: false,
            present: BuildRow::default(),
            proposed: None,
        };
        if let Err(why) = self.prepare()? {
            row.skipped = Some(why);
            return Ok(row);
        }
        let file = self.project.file_name();
        row.present = self.present.build(times, &changed, &file);
        row.proposed = self.proposed.as_mut().map(|(_, arm)| arm.build(times, &changed, &file));
        Ok(row)
    }

    /// Keeps an eye on the Dockerfile and the ignore files.
    fn note_files(&mut self, changes: &[(String, Option<Object>)]) {
        let ignore = format!("{}.dockerignore", self.places.prefix);
        for (path, object) in changes {
            if *path == ignore {
                self.ignore.clone_from(object);
            }
            let Some(dockerfile) = &self.places.dockerfile else { continue };
            if path == dockerfile {
                self.dockerfile.clone_from(object);
            }
            if path.strip_suffix(".dockerignore").is_some_and(|beside| beside == dockerfile) {
                self.own_ignore.clone_from(object);
            }
        }
    }

    /// Texts of this commit. Returns why nothing can be built with them.
    fn prepare(&mut self) -> Result<Result<(), String>, EngineError> {
        let text = match (&self.places.fixed, &self.dockerfile) {
            (Some(text), _) => text.clone(),
            (None, None) => return Ok(Err(format!("there is no `{}` at this commit", self.project.file_name()))),
            (None, Some(object)) => match self.blobs.read(&object.id, TEXT_LIMIT)?.map(encoding::decode) {
                Some(Ok(text)) => text,
                _ => return Ok(Err("the Dockerfile of this commit cannot be read".into())),
            },
        };
        let ignore = match self.read_ignore()? {
            Ok(ignore) => ignore,
            Err(why) => return Ok(Err(why)),
        };
        self.present.set_ignore(ignore.clone());
        if let Err(why) = self.present.set_text(self.project, self.store, self.record, &text) {
            return Ok(Err(format!("its Dockerfile cannot be built: {why}")));
        }
        if let Some((text, arm)) = &mut self.proposed {
            arm.set_ignore(ignore);
            arm.set_text(self.project, self.store, self.record, text)
                .map_err(|why| EngineError::user(format!("the proposed Dockerfile cannot be built: {why}"), None))?;
        }
        Ok(Ok(()))
    }

    fn read_ignore(&mut self) -> Result<Result<IgnoreFile, String>, EngineError> {
        let Some(object) = self.own_ignore.as_ref().or(self.ignore.as_ref()) else { return Ok(Ok(IgnoreFile::default())) };
        let bytes = self.blobs.read(&object.id, TEXT_LIMIT)?.unwrap_or_default();
        Ok(IgnoreFile::parse(".dockerignore", &bytes).map_err(|error| error.to_string()))
    }

    fn assumptions(&self, times: &Times<'_>, replay: &Replay) -> Vec<String> {
        let arms = || std::iter::once(&self.present).chain(self.proposed.as_ref().map(|(_, arm)| arm));
        let mut out = vec![
            "the cache is empty before the first build, which is not counted, and nothing is ever removed from it"
                .to_owned(),
            "base images stay as they are, and so do further contexts, downloads and repositories that are added".to_owned(),
            "a step that runs is taken to give a new result: what copies from it runs too; how much hangs on that is said"
                .to_owned(),
            "only what git tracks lies in the context; modes are those of a checkout with umask 022; other repositories \
             (submodules) are empty; filters and LFS are not applied, what git stores counts"
                .to_owned(),
        ];
        match times.is_empty() {
            true => out.push("no build of this project is on record, so there are no times".into()),
            false => out.push(
                "a step takes what the step of the same text, or the one that it was before it was reworded, took when it \
                 ran last"
                    .into(),
            ),
        }
        let copies_git = arms().any(|arm| arm.checkout.tree().get(".git/HEAD").is_some());
        if copies_git {
            out.push("`.git` is not left out by an ignore file: where it is copied, every commit is another content".into());
        }
        let mut missing: Vec<&String> = arms().flat_map(Arm::all_lowered).flat_map(|lowered| &lowered.missing).collect();
        missing.sort();
        missing.dedup();
        if !missing.is_empty() {
            let names: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
            out.push(format!("not in the store, so that what they set and trigger is not known: {}", names.join(", ")));
        }
        let skipped = replay.commits.iter().filter(|row| row.skipped.is_some()).count();
        if skipped > 0 {
            out.push(format!("{skipped} commits are left out: they have no Dockerfile that can be built"));
        }
        out
    }
}

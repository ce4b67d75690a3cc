//! What a RUN read: the files, look-ups, listings and programs that its result may depend on, and whether that is all of it.
//! Data only; who watches is `sandbox::trace`.
//!
//! Paths are those of the step's root with every link followed: no leading slash, the root itself is empty. What the step made
//! itself is no input, and is not in here; neither is what lies in `/proc`, `/dev` and `/sys`, nor what it was given from
//! outside (caches, secrets, memory, `/etc/hosts` and `/etc/resolv.conf`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

/// What a RUN read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadSet {
    /// Files whose content counts: opened for reading (or mapped, which needs that), executed, or written to without being
    /// emptied first.
    pub read: BTreeSet<String>,
    /// Paths that were looked at and are there, whatever they are: only kind and attributes count.
    pub looked: BTreeSet<String>,
    /// Paths that were looked at and are not there.
    pub missing: BTreeSet<String>,
    /// Directories whose names were listed.
    pub listed: BTreeSet<String>,
    /// Programs that were executed, with the interpreters that they name; all of them are in `read`, too.
    pub executed: BTreeSet<String>,
    /// Symbolic links that were followed or read, and where they lead.
    pub links: BTreeMap<String, String>,
    /// Paths that were there before and that the step changed, replaced or removed.
    pub changed: BTreeSet<String>,
    /// Paths that the step made where nothing was; what is in a new directory is not listed.
    pub added: BTreeSet<String>,
    /// Which layer shows a path of `read`, `looked` or `listed`: its place in the chain that the step stood on. What the layers
    /// of a base image show is not in here.
    pub origin: BTreeMap<String, u32>,
    /// It asked for a connection to another machine, or for the address of one.
    pub network: bool,
    /// Why this may not be all; empty: it is all.
    pub incomplete: BTreeSet<Incomplete>,
    /// System calls that were looked at.
    pub events: u64,
    /// Time spent on them, in microseconds.
    pub micros: u64,
}

/// Which RUNs are watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TraceWhen {
    /// Those that stand on files of the build context, or mount them: for them it can be told what of it they need.
    #[default]
    Auto,
    /// All.
    Always,
    /// None.
    Never,
}

/// Whether a RUN whose parent changed may be taken from the cache because nothing that it read did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheUse {
    /// Hits are those that BuildKit would have.
    #[default]
    Exact,
    /// A recorded run stands in for one on another parent.
    Traced {
        /// Also where it used the network and no lock file says what it got.
        network: bool,
    },
}

/// Why a set may lack something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Incomplete {
    /// More system calls, or longer paths, than the budget allows.
    Budget,
    /// A program of another architecture (32 bits).
    ForeignArchitecture,
    /// A program of the step wanted to watch system calls itself.
    SecondListener,
    /// Somebody watches the system calls of this program already.
    Watched,
    /// The kernel refuses to have system calls looked at.
    Refused,
    /// A signal ended a call that waited to be looked at.
    Interrupted,
    /// It reached files through another process' folder in `/proc`.
    OtherProcess,
    /// A path is no UTF-8.
    NotText,
    /// What a path named could not be read out of the program, or not be followed.
    Unreadable,
    /// Whoever watched ended before the step did.
    Trouble,
    /// `--security=insecure`: nothing is filtered, so no call is looked at.
    Insecure,
    /// Only what it opened is known, not what it looked at or looked for.
    OpensOnly,
}

impl Incomplete {
    /// The word of reports.
    pub fn code(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::ForeignArchitecture => "foreign-architecture",
            Self::SecondListener => "second-listener",
            Self::Watched => "watched",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
            Self::OtherProcess => "other-process",
            Self::NotText => "not-text",
            Self::Unreadable => "unreadable",
            Self::Trouble => "trouble",
            Self::Insecure => "insecure",
            Self::OpensOnly => "opens-only",
        }
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Budget => "it made more system calls than are looked at",
            Self::ForeignArchitecture => "a 32-bit program ran, whose system calls are not looked at",
            Self::SecondListener => "one of its programs wanted to watch system calls itself",
            Self::Watched => "another watcher of system calls on this machine was in the way",
            Self::Interrupted => "a signal ended a call that waited to be looked at, so it was run again, unwatched",
            Self::Refused => "the kernel refused to have its system calls looked at",
            Self::OtherProcess => "it reached files through another process' folder in /proc",
            Self::NotText => "it used a path that is no UTF-8",
            Self::Unreadable => "a path that it used could not be read or followed",
            Self::Trouble => "the watching ended before the step did",
            Self::Insecure => "it ran with --security=insecure, where system calls are not looked at",
            Self::OpensOnly => "only what it opened was seen, not what it looked at or looked for",
        })
    }
}

/// The size of a read set, for who does not need the paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadSummary {
    /// Files.
    pub read: u64,
    /// Paths looked at that are there.
    pub looked: u64,
    /// Paths looked for that are not there.
    pub missing: u64,
    /// Directories listed.
    pub listed: u64,
    /// Programs.
    pub executed: u64,
    /// It used the network.
    pub network: bool,
    /// Why it may not be all.
    pub incomplete: BTreeSet<Incomplete>,
    /// System calls that were looked at.
    pub events: u64,
    /// Time spent on them, in microseconds.
    pub micros: u64,
}

/// An unpacked set may not be larger: the index could be damaged.
const MAX_BYTES: u64 = 1 << 30;

impl ReadSet {
    /// Whether it is all that the step read.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }

    /// Its size.
    pub fn summary(&self) -> ReadSummary {
        ReadSummary {
            read: self.read.len() as u64,
            looked: self.looked.len() as u64,
            missing: self.missing.len() as u64,
            listed: self.listed.len() as u64,
            executed: self.executed.len() as u64,
            network: self.network,
            incomplete: self.incomplete.clone(),
            events: self.events,
            micros: self.micros,
        }
    }

    /// The bytes that are stored.
    pub fn pack(&self) -> Vec<u8> {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let _ = encoder.write_all(&text);
        encoder.finish().unwrap_or_default()
    }

    /// Reads stored bytes; none when they are damaged.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(bytes).take(MAX_BYTES).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// Files in which package managers write down what exactly they got.
const LOCK_FILES: [&str; 17] = [
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "bun.lockb",
    "poetry.lock",
    "uv.lock",
    "pdm.lock",
    "Pipfile.lock",
    "Cargo.lock",
    "go.sum",
    "Gemfile.lock",
    "composer.lock",
    "packages.lock.json",
    "gradle.lockfile",
    "mix.lock",
];

impl ReadSet {
    /// A lock file that it read and that is not the base image's own.
    pub fn lock_file(&self) -> Option<&str> {
        let is_lock = |path: &&String| path.rsplit('/').next().is_some_and(|name| LOCK_FILES.contains(&name));
        self.read.iter().filter(|path| self.origin.contains_key(*path)).find(is_lock).map(String::as_str)
    }
}

impl ReadSummary {
    /// Whether it is all that the step read.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }

    /// The reasons why it may not be all, as one phrase; none when it is.
    pub fn why_incomplete(&self) -> Option<String> {
        let words: Vec<String> = self.incomplete.iter().map(ToString::to_string).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_and_damage_is_nothing() {
        let mut set = ReadSet { network: true, events: 7, ..ReadSet::default() };
        set.read.insert("app/ä \u{1b}".into());
        set.links.insert("bin".into(), "usr/bin".into());
        set.incomplete.insert(Incomplete::Budget);
        let packed = set.pack();
        assert_eq!(ReadSet::unpack(&packed), Some(set));
        assert_eq!(ReadSet::unpack(&packed[..packed.len() / 2]), None);
        assert_eq!(ReadSet::unpack(b""), None);
    }
}

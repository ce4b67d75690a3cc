//! The only words for hits and misses. Codes are those of the taxonomy of verdicts: M for a step's own reasons, C for
//! cascades, H for hits.

mod action;
mod doubt;
mod refusal;

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub use doubt::Doubt;
pub use refusal::TraceRefusal;

/// How a step was served from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HitReason {
    /// The chain of operations above it is the same as in an earlier build.
    Definition,
    /// What it copies has the same content as in an earlier build, however that came about (early cutoff).
    Content,
    /// An identical step of this very build, or of one running beside it, made the result.
    Merged,
    /// The base image is present, found by its manifest digest.
    Manifest,
    /// The base image has another manifest, but the same layers (ChainID).
    ChainId,
    /// Its parent is another one, but nothing that it read has changed (`--cache=traced`); BuildKit would have run it.
    Traced,
    /// A cache that was brought in (`--cache-from`) has its result.
    Imported,
    /// Another builder's build: it was cached there.
    Told,
}

impl HitReason {
    /// The word of reports: `definition`, `content`, `merged`, `manifest`, `chain-id`, `traced`, `imported`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Definition => "definition",
            Self::Content => "content",
            Self::Merged => "merged",
            Self::Manifest => "manifest",
            Self::ChainId => "chain-id",
            Self::Traced => "traced",
            Self::Imported => "imported",
            Self::Told => "told",
        }
    }

    /// The sentence, with the cache that a result was taken from where it was brought in.
    pub fn sentence(self, from: Option<&str>) -> String {
        match (self, from) {
            (Self::Imported, Some(from)) => format!("its result is in the cache at `{from}`, which --cache-from names"),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for HitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Definition => "same operation on the same chain of operations as in an earlier build",
            Self::Content => "the copied files have the same content as in an earlier build",
            Self::Merged => "an identical step made the result",
            Self::Manifest => "this very image (manifest digest) was used before",
            Self::ChainId => "the image has another manifest, but the same layers as one used before",
            Self::Told => "the builder that ran says so; how it was found it does not say",
            Self::Imported => "its result is in a cache that --cache-from names",
            Self::Traced => "the steps above it changed, but nothing that it read when it ran",
        })
    }
}

/// What differs in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAttribute {
    /// The bytes.
    Content,
    /// New.
    Added,
    /// Gone.
    Removed,
    /// Same content under another name; `old` holds the former path.
    Renamed,
    /// Permission bits.
    Mode,
    /// Owner or group.
    Owner,
    /// Target of a symbolic link.
    LinkTarget,
    /// File became directory, and the like.
    Kind,
    /// Extended attributes, file capabilities among them.
    Xattr,
}

impl FileAttribute {
    /// The word of reports.
    pub fn code(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Renamed => "renamed",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::LinkTarget => "link target",
            Self::Kind => "kind",
            Self::Xattr => "xattr",
        }
    }
}

/// A result that was taken out of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// Microseconds since 1970.
    pub at: u64,
    /// What took it, as a phrase that follows "by": "`prune --keep-storage 1GB`".
    pub why: String,
    /// How big its layer was.
    pub bytes: u64,
}

impl Collected {
    /// `2026-11-23 08:29:15 UTC`.
    fn moment(&self) -> String {
        // The end of the year 9999 is the last that the format can say.
        let at = Duration::from_secs((self.at / 1_000_000).min(253_402_300_799));
        humantime::format_rfc3339_seconds(UNIX_EPOCH + at).to_string().replace('T', " ").replace('Z', " UTC")
    }
}

/// One reason why a step had to run: its own (`M…`) or its parents' (`C…`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum MissReason {
    /// M1: this step was never built before.
    FirstTime,
    /// M2 to M9: one file that it copies differs.
    FileChanged {
        /// Path relative to the context or to the source's root.
        path: String,
        /// What differs.
        attribute: FileAttribute,
        /// Before, as people write it (digest, mode, path ...).
        old: Option<String>,
        /// Now.
        new: Option<String>,
        /// M10: the change comes from `.dockerignore`, not from the file.
        by_ignore_rule: bool,
    },
    /// More files differ than are listed.
    MoreFiles {
        /// How many are not listed.
        count: u64,
    },
    /// M12: the text of the command differs.
    CommandChanged {
        /// Before.
        old: String,
        /// Now.
        new: String,
        /// Only blanks differ.
        whitespace_only: bool,
    },
    /// M13, M19 to M22: a setting that is part of the key differs (`USER`, `SHELL`, `WORKDIR`, `--chown`, `network` ...).
    FieldChanged {
        /// Name of the setting, as written in a Dockerfile where it has such a name.
        field: String,
        /// Before.
        old: Option<String>,
        /// Now.
        new: Option<String>,
    },
    /// M14, M15: an environment variable in the key differs.
    VariableChanged {
        /// Its name.
        name: String,
        /// `ENV` or `ARG`.
        origin: String,
        /// Before; none when it is new.
        old: Option<String>,
        /// Now; none when it is gone.
        new: Option<String>,
        /// Whether the command's text mentions it.
        mentioned: bool,
    },
    /// M14: the same variables in another order.
    VariableOrder,
    /// M16: the base image is another one.
    BaseChanged {
        /// The reference as written.
        image: String,
        /// Before (manifest digest).
        old: Option<String>,
        /// Now.
        new: String,
    },
    /// M17: what a server gives under an address is another content than before.
    DownloadChanged {
        /// The address, without credentials.
        address: String,
    },
    /// M18: a branch or tag of a git repository leads to another commit.
    CommitChanged {
        /// The repository as written.
        repository: String,
        /// Before.
        old: String,
        /// Now.
        new: String,
    },
    /// M23: `--no-cache`.
    NoCache,
    /// M24: the key is known, the result is gone.
    ResultGone {
        /// What took it away, when that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        collected: Option<Collected>,
    },
    /// M25: a cache that was brought in knows the step, but does not give its result.
    NotImported {
        /// The cache, as `--cache-from` names it; empty for one that was given to an earlier build only.
        cache: String,
        /// `min` or `max`: how it was exported.
        mode: String,
        /// It has the result, but not as it should be: what is wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        damage: Option<String>,
    },
    /// It failed in the last build: there is no result to take.
    FailedBefore,
    /// M26: the record was made by another version of the key format.
    EngineChanged,
    /// The steps stand in another order, or on another parent, than in the last build.
    ParentChanged {
        /// The step above it, then.
        old: Option<String>,
        /// The step above it, now.
        new: Option<String>,
    },
    /// C1: the step above it in the stage ran again; root file systems are never compared by content.
    ParentRan {
        /// Line of the step above it.
        line: u32,
        /// Nothing of the step's own differs.
        alone: bool,
    },
    /// C1: the step above it came from the cache, but it is another one than in the last build.
    ParentDiffers {
        /// Line of the step above it.
        line: u32,
    },
    /// T1: under `--cache=traced` a recorded run was at hand, but does not stand in for this one.
    NotTraced {
        /// Why not.
        why: TraceRefusal,
    },
    /// T2: the last build took it as a traced hit, or on top of one; an exact build knows nothing of that.
    TracedBefore,
    /// A build of another builder, which says that it ran and not why; nothing that can be compared has changed.
    NotTold,
    /// C2: the stage or image it copies from was made anew, and the copied files differ (they are listed beside this).
    SourceRan {
        /// Line of the step it copies from.
        line: u32,
    },
}

impl MissReason {
    /// The sentence of a plan: what has not happened yet is said as such.
    pub fn foretold(&self) -> String {
        match self {
            Self::ParentRan { line, alone: true } => {
                format!("nothing of its own changed; it will run because the step above it (line {line}) will")
            }
            Self::ParentRan { line, alone: false } => format!("the step above it (line {line}) will run, too"),
            Self::SourceRan { line } => format!("the step it copies from (line {line}) will run"),
            Self::FirstTime => "this step was never built: there is nothing to compare with".to_owned(),
            other => other.to_string(),
        }
    }

    /// The code of the taxonomy of verdicts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::FirstTime => "M1",
            Self::FileChanged { by_ignore_rule: true, .. } => "M10",
            Self::FileChanged { path, .. } if is_of_build(path) => "M11",
            Self::FileChanged { attribute, .. } => match attribute {
                FileAttribute::Content | FileAttribute::Kind => "M2",
                FileAttribute::Added => "M3",
                FileAttribute::Removed => "M4",
                FileAttribute::Renamed => "M5",
                FileAttribute::Mode => "M6",
                FileAttribute::Xattr => "M7",
                FileAttribute::LinkTarget => "M8",
                FileAttribute::Owner => "M9",
            },
            Self::MoreFiles { .. } => "M2",
            Self::CommandChanged { .. } => "M12",
            Self::FieldChanged { field, .. } => field_code(field),
            Self::VariableChanged { origin, .. } if origin == "ARG" => "M15",
            Self::VariableChanged { .. } | Self::VariableOrder => "M14",
            Self::BaseChanged { .. } => "M16",
            Self::DownloadChanged { .. } => "M17",
            Self::CommitChanged { .. } => "M18",
            Self::NotTold => "M1",
            Self::NoCache => "M23",
            Self::ResultGone { .. } => "M24",
            Self::NotImported { .. } => "M25",
            Self::FailedBefore => "M1",
            Self::EngineChanged => "M26",
            Self::ParentChanged { .. } => "M1",
            Self::ParentRan { .. } | Self::ParentDiffers { .. } => "C1",
            Self::SourceRan { .. } => "C2",
            Self::NotTraced { .. } => "T1",
            Self::TracedBefore => "T2",
        }
    }

    /// True for reasons that lie in the step itself, false for those of its parents.
    pub fn is_own(&self) -> bool {
        !matches!(
            self,
            Self::ParentRan { .. } | Self::ParentDiffers { .. } | Self::SourceRan { .. } | Self::NotTraced { .. }
        )
    }
}

/// Whether a file belongs to the build or to git itself, not to what is built.
fn is_of_build(path: &str) -> bool {
    path == "Dockerfile" || path == ".git" || path.starts_with(".git/")
}

fn field_code(field: &str) -> &'static str {
    match field {
        "USER" | "SHELL" | "WORKDIR" => "M13",
        "network" | "security" | "platform" | "add-host" | "ulimit" | "shm-size" => "M19",
        "mount" | "secret variables" => "M20",
        "SOURCE_DATE_EPOCH" => "M22",
        _ => "M21",
    }
}

fn show(value: Option<&String>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |text| format!("`{text}`"))
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstTime => f.write_str("first build of this step: no earlier one to compare with"),
            Self::FileChanged { path, attribute, old, new, by_ignore_rule } => {
                match attribute {
                    FileAttribute::Content => write!(f, "the content of `{path}` changed")?,
                    FileAttribute::Added => write!(f, "`{path}` was added")?,
                    FileAttribute::Removed => write!(f, "`{path}` was removed")?,
                    FileAttribute::Renamed => {
                        write!(f, "{} was renamed to `{path}`, content unchanged", show(old.as_ref()))?
                    }
                    other => {
                        write!(
                            f,
                            "the {} of `{path}` changed from {} to {}",
                            other.code(),
                            show(old.as_ref()),
                            show(new.as_ref())
                        )?;
                    }
                }
                if *by_ignore_rule { f.write_str(" by a rule of .dockerignore") } else { Ok(()) }
            }
            Self::MoreFiles { count } => write!(f, "{count} more files differ"),
            Self::CommandChanged { whitespace_only: true, .. } => {
                f.write_str("only blanks of the command changed, but they are part of its key")
            }
            Self::CommandChanged { old, new, .. } => write!(f, "the command changed from `{old}` to `{new}`"),
            Self::FieldChanged { field, old, new } => {
                let of_field = |value: &Option<String>| match (value, field.as_str()) {
                    // What nobody asks for is as usual.
                    (None, "network" | "security") => "the default".to_owned(),
                    _ => show(value.as_ref()),
                };
                write!(f, "{field} changed from {} to {}", of_field(old), of_field(new))
            }
            Self::VariableChanged { name, origin, old, new, mentioned } => {
                write!(f, "{origin} {name} changed from {} to {}", show(old.as_ref()), show(new.as_ref()))?;
                if *mentioned {
                    Ok(())
                } else {
                    write!(f, "; the command does not mention {name}, but every variable in scope is part of its key")
                }
            }
            Self::VariableOrder => f.write_str("the variables are the same, but their order is part of the key"),
            Self::BaseChanged { image, old, new } => {
                write!(f, "the base image `{image}` moved from {} to `{new}`", show(old.as_ref()))
            }
            Self::DownloadChanged { address } => write!(f, "the content of `{address}` changed"),
            Self::CommitChanged { repository, old, new } => {
                write!(f, "`{repository}` moved from commit `{old}` to `{new}`")
            }
            Self::NotTold => {
                f.write_str("the builder that ran it does not say why, and nothing that is compared here has changed")
            }
            Self::NoCache => f.write_str("--no-cache was given"),
            Self::ResultGone { collected: None } => {
                f.write_str("its key is known, but the result is no longer in the store")
            }
            Self::ResultGone { collected: Some(entry) } => {
                write!(f, "its key is known, but the result was taken away on {} by {}", entry.moment(), entry.why)
            }
            Self::NotImported { cache, .. } if cache.is_empty() => {
                f.write_str("its key came with a cache that was brought in (--cache-from), its result did not")
            }
            Self::NotImported { cache, damage: Some(damage), .. } => {
                write!(f, "the cache at `{cache}` has its result, but cannot give it: {damage}")
            }
            Self::NotImported { cache, mode, damage: None } if mode == "max" => write!(
                f,
                "the cache at `{cache}` knows this step, but lacks its result: it was exported with mode=max, but the store \
                 that it was exported from had lost the result"
            ),
            Self::NotImported { cache, mode, damage: None } => write!(
                f,
                "the cache at `{cache}` knows this step, but lacks its result: it was exported with mode={mode}, which keeps \
                 only the steps whose layers are in the final image"
            ),
            Self::FailedBefore => f.write_str("it failed in the last build, so there is no result of it"),
            Self::EngineChanged => f.write_str("its record was made by another version of the key format"),
            Self::ParentChanged { old, new } => {
                write!(f, "it now stands on {} instead of {}", show(new.as_ref()), show(old.as_ref()))
            }
            Self::ParentRan { line, alone: true } => {
                write!(f, "nothing of its own changed; it ran because the step above it (line {line}) ran again")
            }
            Self::ParentRan { line, alone: false } => write!(f, "the step above it (line {line}) ran again, too"),
            Self::ParentDiffers { line } => write!(
                f,
                "nothing of its own changed; the step above it (line {line}) came from the cache, but is another one than in \
                 the last build"
            ),
            Self::TracedBefore => f.write_str(
                "the last build had it by a traced hit (--cache=traced), which counts for other traced builds only",
            ),
            Self::NotTraced { why } => write!(f, "no recorded run of it could be taken: {why}"),
            Self::SourceRan { line } => write!(f, "the step it copies from (line {line}) ran again with another result"),
        }
    }
}

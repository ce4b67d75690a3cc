//! What to do about a verdict: one sentence each, beside the sentence that says it.

use super::{FileAttribute, HitReason, MissReason, TraceRefusal};

impl HitReason {
    /// What to do if the hit is not wanted, or to keep it.
    pub fn action(self) -> &'static str {
        match self {
            Self::Definition => "to run it all the same: --no-cache-filter STAGE",
            Self::Content => "it stays a hit as long as the copied content stays the same, whatever the steps before it do",
            Self::Merged => "write the step once in a stage of its own if both are meant to stay the same",
            Self::Manifest => "to look for a newer image: --pull",
            Self::Traced => "an exact build would run it: leave out --cache=traced to see that it gives the same",
            Self::Imported => "to run it here all the same: leave out --cache-from, or --no-cache-filter STAGE",
            Self::Told => "build it with this builder to see its key",
            Self::ChainId => "steps whose settings come from the image's configuration may still run again",
        }
    }
}

impl MissReason {
    /// What to do to avoid the miss the next time.
    pub fn action(&self) -> &'static str {
        match self {
            Self::FirstTime => "build again: the next build has something to compare with",
            Self::FileChanged { by_ignore_rule: true, .. } => "check the rule of the ignore file: it decides what is copied",
            Self::FileChanged { path, .. } if super::is_of_build(path) => {
                "exclude Dockerfile, .dockerignore and .git in .dockerignore: no step needs them"
            }
            Self::FileChanged { attribute, .. } => match attribute {
                FileAttribute::Content | FileAttribute::Kind => {
                    "copy only what the steps below read, or copy it below the steps that do not need it"
                }
                FileAttribute::Added | FileAttribute::Removed => {
                    "exclude it in .dockerignore if no step needs it, or copy less than the whole folder"
                }
                FileAttribute::Renamed => "names are part of the key: copy the folder below the steps that do not need it",
                FileAttribute::Mode => {
                    "the mode counts, the time does not: set it with `git update-index --chmod`, and look at the umask of the checkout"
                }
                FileAttribute::Owner => {
                    "owners count in COPY --from: set them with --chown, or keep them the same in the stage"
                }
                FileAttribute::LinkTarget => {
                    "the text of the link counts: keep it relative, so that it is the same everywhere"
                }
                FileAttribute::Xattr => "remove the attribute, or set it in a RUN: it counts like content",
            },
            Self::MoreFiles { .. } => "copy less, or exclude in .dockerignore what no step needs",
            Self::CommandChanged { whitespace_only: true, .. } => {
                "put the blanks back if nothing else was meant: the exact text is the key"
            }
            Self::CommandChanged { .. } => "keep what changes often in a RUN of its own, below what is dear",
            Self::FieldChanged { field, .. } if field == "SOURCE_DATE_EPOCH" => {
                "give an epoch that does not change with every commit, or use absolute paths without WORKDIR"
            }
            Self::FieldChanged { .. } => "move the setting below the steps that do not need it",
            Self::VariableChanged { mentioned: false, .. } => {
                "move its line below this step: every variable in scope counts, read or not"
            }
            Self::VariableChanged { .. } => "the step reads it, so it has to run; move other work above its line",
            Self::VariableOrder => "put the lines back in the order that they had",
            Self::BaseChanged { .. } => "name the base by its digest to decide yourself when it moves",
            Self::DownloadChanged { .. } => "give --checksum=sha256:… to decide yourself when it changes",
            Self::CommitChanged { .. } => "name a commit instead of a branch to decide yourself when it moves",
            Self::NoCache => "leave out --no-cache, or name only the stage with --no-cache-filter",
            Self::ResultGone { .. } => {
                "keep more with `prune --keep-storage`, or build more often than what is pruned by age"
            }
            Self::NotImported { cache, .. } if cache.is_empty() => "give --cache-from again, if that cache has it by now",
            Self::NotImported { damage: Some(_), .. } => "export the cache anew: --cache-to …,mode=max",
            Self::NotImported { mode, .. } if mode == "max" => {
                "export it again from a build that ran the step, with mode=max as before"
            }
            Self::NotImported { .. } => {
                "export it with mode=max, which keeps the steps of all stages: --cache-to …,mode=max"
            }
            Self::FailedBefore => "mend what made it fail; the steps before it are kept",
            Self::EngineChanged => "nothing: from now on the new format is compared with itself",
            Self::ParentChanged { .. } | Self::ParentDiffers { .. } => {
                "put new lines below the dear ones where their order does not matter"
            }
            Self::ParentRan { .. } => "look at the root cause, or move this step above it if it does not need it",
            Self::NotTraced { why: TraceRefusal::Network } => "commit the lock file of its package manager",
            Self::NotTraced { why: TraceRefusal::Incomplete { .. } } => "`why --reads` says what could not be watched",
            Self::NotTraced { .. } => "nothing: it had to run, and the next traced build can take this run",
            Self::TracedBefore => "nothing: it is on record for exact builds now; --cache=traced would have taken it",
            Self::NotTold => "build it with this builder to see its key; or it was built elsewhere, or pruned, in between",
            Self::SourceRan { .. } => "look at the step it copies from: equal content would have been a hit",
        }
    }
}

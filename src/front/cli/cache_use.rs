//! `--cache`: what counts as a hit, for `build` and `plan`.

use clap::{Args, ValueEnum};

use crate::engine::EngineError;
use crate::engine::reads::CacheUse;

/// What counts as a hit.
#[derive(Debug, Clone, Args)]
pub struct CacheArgs {
    /// What counts as a hit.
    #[arg(long, value_enum, default_value = "exact")]
    pub cache: CacheArg,
    /// With --cache=traced: take also runs that used the network and read no lock file.
    #[arg(long)]
    pub traced_network: bool,
}

/// `--cache`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CacheArg {
    /// Hits are those that BuildKit would have.
    #[default]
    Exact,
    /// Also a RUN whose parent changed, when nothing that it read when it ran has changed.
    Traced,
}

impl CacheArgs {
    /// The engine's word. Errors: the network is allowed to hits that are not asked for.
    pub fn cache_use(&self) -> Result<CacheUse, EngineError> {
        match self.cache {
            CacheArg::Exact if self.traced_network => {
                Err(EngineError::usage("--traced-network goes with --cache=traced", None))
            }
            CacheArg::Exact => Ok(CacheUse::Exact),
            CacheArg::Traced => Ok(CacheUse::Traced { network: self.traced_network }),
        }
    }
}

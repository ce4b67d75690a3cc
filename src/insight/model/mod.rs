//! What is known about a build, as a fold of its events, and what follows from it. The hard rule: pure and total. Any
//! event may come in any state; what does not fit is counted, never unwrapped. Start with [`state`], then [`cascade`].

pub mod builders;
pub mod cascade;
pub mod critical;
#[cfg(test)]
pub(crate) mod fixture;
pub mod forecast;
pub mod state;
pub mod step;
pub mod summary;
pub mod timeline;

pub use cascade::{Cascade, Cutoff, RootCause};
pub use critical::CriticalPath;
pub use forecast::{Fate, Forecast};
pub use state::{BuildState, Diagnosis, Export, Finish};
pub use step::{Difference, Mark, Progress, Status, Step};
pub use summary::{Counts, headline};
pub use timeline::Timeline;

//! A running build as its watchers hold it.

use crate::engine::event::Stamped;
use crate::ground::cancel::CancelToken;

/// A build that runs on threads of its own. Dropping it does not stop the build.
pub struct BuildHandle {
    /// All events from the first to `BuildFinished`; then the channel closes.
    pub events: tokio::sync::mpsc::UnboundedReceiver<Stamped>,
    /// Stops it.
    pub cancel: CancelToken,
}

//! A running build as its watchers hold it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::event::Stamped;

/// Set once; everything that waits in a build looks at it.
#[derive(Clone, Default)]
pub struct CancelToken {
    set: Arc<AtomicBool>,
}

impl CancelToken {
    /// Asks for the end; returns at once, the build's last event tells when it is over.
    pub fn cancel(&self) {
        self.set.store(true, Ordering::SeqCst);
    }

    /// Whether the end was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }
}

/// A build that runs on threads of its own. Dropping it does not stop the build.
pub struct BuildHandle {
    /// All events from the first to `BuildFinished`; then the channel closes.
    pub events: tokio::sync::mpsc::UnboundedReceiver<Stamped>,
    /// Stops it.
    pub cancel: CancelToken,
}

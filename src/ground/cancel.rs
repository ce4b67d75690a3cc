//! How work under way is asked to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once; everything that takes long looks at it.
#[derive(Clone, Default)]
pub struct CancelToken {
    set: Arc<AtomicBool>,
}

impl CancelToken {
    /// Asks for the end; returns at once. Of a build, the last event tells when it is over.
    pub fn cancel(&self) {
        self.set.store(true, Ordering::SeqCst);
    }

    /// Whether the end was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }
}

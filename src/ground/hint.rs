//! The trait by which an error offers the next step.

/// An error that knows what its reader can do about it.
pub trait Hint {
    /// One short sentence in the imperative, without a full stop; `None` where nothing sensible can be said.
    fn hint(&self) -> Option<String>;
}

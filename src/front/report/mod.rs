//! The plain and JSON twin of every view. The hard rule: a report writes into the `Write` it is given, one line per fact,
//! without spinner or box, and every untrusted word passes through [`crate::front::text`].

pub mod builders;
pub mod ci;
pub mod context;
pub mod document;
#[cfg(test)]
pub(crate) mod fixture;
pub mod heat;
pub mod history;
pub mod images;
pub mod key;
pub mod layers;
pub mod lint;
pub mod plain;
pub mod plan;
pub mod reads;
pub mod replay;
pub mod shell;
pub mod suggest;
pub mod table;
pub mod timeline;
pub mod upkeep;
mod used;
pub mod whatif;
pub mod why;
pub mod word_diff;

pub use document::{Document, document};
pub use history::BuildRow;
pub use images::ImageRow;
pub use plain::PlainReporter;

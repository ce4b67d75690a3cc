//! Assembles and exports images, and brings images from files in. The hard rule: what leaves is verified, and appears whole.

pub mod assemble;
pub mod export;
pub mod import;
pub mod layer;

pub use assemble::{Assembled, assemble};
pub use export::{ExportFormat, ExportRequest, Exported, export};
pub use import::{ImportError, import, layout_image};

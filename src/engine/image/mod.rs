//! Assembles and exports images, and brings images from files in. The hard rule: what leaves is verified, and appears whole.

pub mod assemble;
mod elf;
pub mod export;
pub mod host_base;
pub mod import;
pub mod inspect;
pub mod layer;

pub use assemble::{Assembled, assemble};
pub use export::{ExportFormat, ExportRequest, Exported, Packaging, export};
pub use host_base::{HostBase, HostBaseError, host_base};
pub use import::{ImportError, import, layout_image, peek_layout};

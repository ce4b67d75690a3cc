//! Untrusted text made safe, and text made to fit: shared by reports and interface. The hard rule: nothing that came
//! from a Dockerfile, a file name or a process reaches a terminal without passing through here.

pub mod escape;
pub mod fit;
pub mod output;
pub mod quantity;
pub mod syntax;

pub use escape::{block, line, path};
pub use fit::{fit, pad, pad_left, width, wrap};
pub use output::{Ink, OutputLine, Screen};
pub use quantity::{seconds, size};
pub use syntax::Syntax;

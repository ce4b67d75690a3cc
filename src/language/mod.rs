//! Text: Dockerfiles, and the shell inside them as far as analysis needs it. Reads no files, knows no builds.

pub mod dockerfile;
pub mod shell;

pub use shell::mentions_variable;

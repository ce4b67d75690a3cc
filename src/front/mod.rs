//! People and scripts: the command line, the interface, the plain and JSON reports.

pub mod cli;
pub mod report;
pub mod text;
pub mod tui;

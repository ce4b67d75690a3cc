//! The program: a worker or a step's helper where the first argument says so, else the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: these two must be single-threaded, and know nothing of the command line.
    if let Some(code) = rbuild_tui::engine::worker::hidden_main() {
        return code;
    }
    rbuild_tui::front::cli::main()
}

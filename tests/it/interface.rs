//! The interface on a terminal.

use super::program::Program;
use super::terminal::Terminal;

#[test]
fn a_window_that_is_closed_ends_the_interface() {
    let program = Program::new("FROM scratch\nCOPY f /f\n");
    program.write("f", "1\n");
    // Several times: whether the reader of keys sees the end or the signal first is a matter of chance.
    for _ in 0..3 {
        let mut terminal = Terminal::new(&program, &["."]);
        terminal.wait_for("COPY f /f");
        terminal.close();
        terminal.ended();
    }
}

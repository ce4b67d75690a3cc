//! Dockerfiles that mean harm: an answer in time, one message, nothing executed.

use std::fs;
use std::time::{Duration, Instant};

use super::program::{Program, can_build};

#[test]
fn c39_texts_that_grow_or_never_end_are_answered_in_time() {
    let doubling: String = (0..64).map(|_| "ARG A=${A}${A}x\n").collect();
    let texts: [(&str, Vec<u8>, bool); 9] = [
        ("a line of 70 KB", format!("FROM scratch\nRUN {}\n", "x".repeat(70_000)).into_bytes(), false),
        ("deep nesting", format!("FROM scratch\nENV A={}\n", "${a:-".repeat(100_000)).into_bytes(), false),
        ("doubling", format!("FROM scratch\nARG A=x\n{doubling}ENV B=$A\n").into_bytes(), false),
        ("a heredoc without end", b"FROM scratch\nCOPY <<EOF /x\nnever\n".to_vec(), false),
        ("an odd escape", b"# escape=xy\nFROM scratch\n".to_vec(), false),
        ("NUL", b"FROM scratch\nENV A=a\0b\n".to_vec(), true),
        ("UTF-16", "FROM scratch\n".encode_utf16().flat_map(u16::to_le_bytes).collect(), false),
        ("CRLF", b"FROM scratch\r\nENV A=b\r\n".to_vec(), true),
        ("a byte order mark", "\u{feff}FROM scratch\nENV A=b\n".as_bytes().to_vec(), true),
    ];
    for (name, text, fine) in texts {
        let program = Program::new("");
        fs::write(program.context.join("Dockerfile"), text).unwrap();
        let begun = Instant::now();
        let ended = program.run(&["build"]);
        // A second or two on a free machine, unoptimized; here other tests run beside it.
        assert!(begun.elapsed() < Duration::from_secs(40), "{name}: {:?}", begun.elapsed());
        if fine && !can_build("c39") {
            continue;
        }
        assert_eq!(
            ended.code,
            Some(if fine { 0 } else { 1 }),
            "{name}: {}",
            ended.stderr.chars().take(600).collect::<String>()
        );
        assert!(fine || ended.stderr.contains("Dockerfile:"), "{name}: the place is named: {}", ended.stderr);
        assert!(ended.stderr.len() < 100_000 && !ended.stderr.contains(['\0', '\u{1b}']), "{name}");
    }
}

#[test]
fn c40_a_frontend_that_a_file_names_is_not_fetched_and_that_is_said() {
    if !can_build("c40_a_frontend_that_a_file_names_is_not_fetched_and_that_is_said") {
        return;
    }
    let program = Program::new("# syntax=127.0.0.1:1/evil/frontend\nFROM scratch\nCOPY a /a\n");
    program.write("a", "a");
    let ended = program.run(&["build"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("evil/frontend"), "that it is not used is said: {said}");
}

//! The parser against what BuildKit does.

use super::super::{Arguments, CommandForm, Severity};
use super::*;

fn errors(source: &str) -> Vec<(u32, &str, String)> {
    let file = parse(source);
    let errors = file.diagnostics.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|error| (file.lines.line(error.span.start), error.span.text(source), error.message.clone())).collect()
}

#[test]
fn a_broken_line_never_hides_the_rest() {
    let source =
        "RUN early\nFROM a\nRUNN x\nCOPY one\nCOPY --frm=b x y\nENV a=b c\nRUN <<EOF\nlost\nCMD [\"a\", 1]\nUSER me\n";
    let found = errors(source);
    let places: Vec<(u32, &str)> = found.iter().map(|(line, text, _)| (*line, *text)).collect();
    assert_eq!(places, [(1, "RUN"), (3, "RUNN"), (4, "one"), (5, "--frm=b"), (6, "c"), (7, "<<EOF"), (9, "1")]);
    let file = parse(source);
    assert!(file.instructions.iter().any(|instruction| instruction.keyword == Keyword::User));
    let help = file.diagnostics.iter().find_map(|finding| finding.help.clone().filter(|help| help.contains("--from")));
    assert_eq!(help.as_deref(), Some("did you mean `--from`?"));
}

#[test]
fn continuations_are_joined_as_buildkit_joins_them() {
    let file = parse("FROM a\nRUN one \\ \t\n  # comment\n\n    && two\\\nthree  \n");
    let run = &file.instructions[1];
    assert_eq!(run.text, "one     && twothree");
    assert_eq!((run.line, run.end_line), (2, 6));
    assert_eq!(file.diagnostics.len(), 1, "the empty line is warned of");
    assert!(!file.has_errors());
}

#[test]
fn spans_cross_continuations() {
    let source = "FROM a\nCOPY --chown=1 a \\\n  b/ /c\r\n";
    let file = parse(source);
    let Arguments::Copy { sources, destination } = &file.instructions[1].arguments else { unreachable!() };
    assert_eq!(sources.iter().map(|word| word.span.text(source)).collect::<Vec<_>>(), ["a", "b/"]);
    assert_eq!(destination.span.text(source), "/c");
    assert!(file.instructions[1].span.text(source).ends_with("/c"));
}

#[test]
fn heredocs_are_read() {
    let source = "FROM a\nRUN <<A cat <<-'B C' && x\n1\nA\n\t\t2\n\tB C\nCOPY <<EOF /f\n$v\nEOF\n";
    let file = parse(source);
    assert!(!file.has_errors(), "{:?}", file.diagnostics);
    let run = &file.instructions[1].heredocs;
    assert_eq!((run[0].content.as_str(), run[0].expand), ("1\n", true));
    assert_eq!((run[1].name.as_str(), run[1].content.as_str(), run[1].expand, run[1].chomp), ("B C", "2\n", false, true));
    assert_eq!(run[1].span.text(source), "\t\t2\n");
    assert_eq!(file.instructions[2].end_line, 9);
}

#[test]
fn shifts_are_no_heredocs() {
    let file = parse("FROM a\nRUN echo $((1 << 2))\nRUN cat <<<word\nRUN [\"<<EOF\"]\n");
    assert!(!file.has_errors(), "{:?}", file.diagnostics);
    assert!(file.instructions.iter().all(|instruction| instruction.heredocs.is_empty()));
}

#[test]
fn json_falls_back_to_the_shell() {
    for text in ["['a']", "[\"a\",]", "[ -f x ] && y", "[\"a\"] b"] {
        let file = parse(&format!("FROM a\nCMD {text}\n"));
        assert_eq!(file.instructions[1].arguments, Arguments::Cmd(CommandForm::Shell(text.to_owned())));
    }
}

#[test]
fn onbuild_holds_its_trigger() {
    let file = parse("FROM a\nonbuild copy --link <<X /a\n1\nX\n");
    let Arguments::Onbuild(trigger) = &file.instructions[1].arguments else { unreachable!() };
    assert_eq!((trigger.keyword, trigger.heredocs.len()), (Keyword::Copy, 1));
    assert_eq!(errors("FROM a\nONBUILD ONBUILD RUN x\nONBUILD FROM b\nONBUILD\n").len(), 3);
}

#[test]
fn files_without_stages() {
    assert_eq!(errors("").len(), 1);
    assert_eq!(errors("ARG a\n").len(), 1);
    assert_eq!(errors("RUN a\nRUN b\n").len(), 1, "one complaint says it all");
    assert_eq!(errors("RUN a\nRUN b\nFROM c\n").len(), 2);
    assert_eq!(errors("FORM a\nRUN b\n").len(), 1, "a misspelt FROM begins a stage");
}

#[test]
fn the_escape_directive_holds() {
    let file = parse("# escape=`\nFROM a\nCOPY c:\\ `\n d:\\\n");
    assert_eq!((file.escape, file.instructions[1].text.as_str()), ('`', "c:\\  d:\\"));
}

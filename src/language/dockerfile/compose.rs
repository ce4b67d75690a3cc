//! Changes that are put together from the plain edits.

use super::ast::{Arguments, Dockerfile};
use super::edit::Edit;
use super::span::Span;

/// Gives an instruction one more flag, in front of those it has. `flag` is written as in a file: `--chown=1:1`. None when
/// there is no such instruction.
pub fn add_flag(dockerfile: &Dockerfile, instruction: usize, flag: &str) -> Option<Edit> {
    let end = dockerfile.instructions.get(instruction)?.keyword_span.end;
    Some(Edit::ReplaceArgument { span: Span::new(end, end), text: format!(" {flag}") })
}

/// Splits a COPY or ADD: the sources whose numbers are in `first` get a line of their own above it, with the same flags and
/// the same destination. None when it is no COPY or ADD, has heredocs or the JSON form, when a number is out of range, or when
/// one of the two would be left without a source.
pub fn split_copy(dockerfile: &Dockerfile, instruction: usize, first: &[usize]) -> Option<Vec<Edit>> {
    let at = dockerfile.instructions.get(instruction)?;
    let Arguments::Copy { sources, destination } = &at.arguments else { return None };
    let source = &*dockerfile.source;
    let json = at.text.trim_start().starts_with('[');
    let covers = first.iter().all(|number| *number < sources.len());
    let taken = |number: &usize| first.contains(number);
    let count = (0..sources.len()).filter(taken).count();
    if json || !covers || count == 0 || count == sources.len() || !at.heredocs.is_empty() {
        return None;
    }
    let mut line = at.keyword_span.text(source).to_owned();
    let flags = at.flags.iter().map(|flag| flag.span);
    let words = (0..sources.len()).filter(taken).map(|number| sources[number].span);
    for span in flags.chain(words).chain([destination.span]) {
        line.push(' ');
        line.push_str(span.text(source));
    }
    let mut edits = vec![Edit::InsertBefore { instruction, text: line }];
    for number in (0..sources.len()).filter(taken) {
        // With the blanks behind it, as far as they are on its line.
        let span = sources[number].span;
        let behind = source.get(span.end..).unwrap_or("");
        let blanks = behind.len() - behind.trim_start_matches([' ', '\t']).len();
        edits.push(Edit::ReplaceArgument { span: Span::new(span.start, span.end + blanks), text: String::new() });
    }
    Some(edits)
}

#[cfg(test)]
mod tests {
    use super::super::{apply, parse};
    use super::*;

    #[test]
    fn a_flag_goes_in_front_and_everything_else_stays() {
        let file = parse("FROM a\r\n# why\r\nCOPY  --chmod=644 x \\\r\n  y /\r\n");
        let edit = add_flag(&file, 1, "--chown=1:1").unwrap();
        let after = apply(&file, &[edit]);
        assert_eq!(after, "FROM a\r\n# why\r\nCOPY --chown=1:1  --chmod=644 x \\\r\n  y /\r\n");
        assert_eq!(parse(&after).instructions[1].flags.len(), 2);
        assert_eq!(add_flag(&file, 9, "--x"), None);
    }

    #[test]
    fn a_copy_is_split_and_both_halves_parse_to_what_was_meant() {
        let file = parse("FROM a\n# files\nCOPY --chown=1 package.json src lock.json /app/\nRUN x\n");
        let after = apply(&file, &split_copy(&file, 1, &[0, 2]).unwrap());
        assert_eq!(after, "FROM a\nCOPY --chown=1 package.json lock.json /app/\n# files\nCOPY --chown=1 src /app/\nRUN x\n");
        let sources = |at: usize| match &parse(&after).instructions[at].arguments {
            Arguments::Copy { sources, .. } => sources.iter().map(|word| word.text.clone()).collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        assert_eq!((sources(1), sources(2)), (vec!["package.json".into(), "lock.json".into()], vec!["src".to_owned()]));
        for refused in [&[][..], &[0, 1, 2], &[3]] {
            assert_eq!(split_copy(&file, 1, refused), None);
        }
        assert_eq!(split_copy(&file, 2, &[0]), None);
    }
}

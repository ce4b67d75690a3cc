//! Offers of several rules as one list: those that come to the same rewrite are one, with the evidence of all.

use crate::insight::suggest::{ContextView, SuggestReport, Suggestion};
use crate::language::dockerfile::{Arguments, Instruction, Keyword, parse};

/// Adds what a further rule found. Another rule that comes to the same rewrite has its evidence and its proof here.
pub fn join(report: &mut SuggestReport, more: SuggestReport, context: &dyn ContextView) {
    let is_file = |path: &str| context.list().iter().any(|file| file == path.trim_start_matches("./"));
    for found in more.offered {
        let same = |known: &Suggestion| known.file == found.file && is_same(&known.after, &found.after, &is_file);
        match report.offered.iter_mut().find(|known| same(known)) {
            Some(known) => {
                known.joined.push(found.rule);
                known.evidence.extend(found.evidence);
                known.risks.extend(found.risks);
                known.proof = found.proof;
                known.expected = found.expected.or(known.expected.take());
            }
            None => report.offered.push(found),
        }
    }
    report.refused.extend(more.refused);
}

/// Whether two files build the same: instruction by instruction, with the files of a COPY in any order.
fn is_same(one: &str, other: &str, is_file: &dyn Fn(&str) -> bool) -> bool {
    if one == other {
        return true;
    }
    let (one, other) = (parse(one), parse(other));
    let text = |file: &str, at: &Instruction| at.span.text(file).trim_end().to_owned();
    one.instructions.len() == other.instructions.len()
        && one.instructions.iter().zip(&other.instructions).all(|(a, b)| {
            let copies = || plain_copy(a).filter(|copy| plain_copy(b).as_ref() == Some(copy));
            text(&one.source, a) == text(&other.source, b)
                || copies().is_some_and(|(_, sources, _)| sources.len() == 1 || sources.iter().all(|path| is_file(path)))
        })
}

/// A COPY of things that have different names, so that as files they cannot meet at their destination: flags, sources in order
/// of the alphabet (a folder with or without a slash behind it), destination.
fn plain_copy(at: &Instruction) -> Option<(Vec<String>, Vec<&str>, &str)> {
    let Arguments::Copy { sources, destination } = &at.arguments else { return None };
    let mut sources: Vec<&str> = sources.iter().map(|word| word.text.trim_end_matches('/')).collect();
    sources.sort_unstable();
    let mut names: Vec<&str> = sources.iter().filter_map(|path| path.rsplit('/').next()).collect();
    names.sort_unstable();
    let meet = names.windows(2).any(|pair| pair[0] == pair[1]);
    let flags = at.flags.iter().map(|flag| format!("{}={:?}", flag.name, flag.value)).collect();
    let plain = at.keyword == Keyword::Copy && at.heredocs.is_empty() && !meet;
    plain.then_some((flags, sources, destination.text.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_files_beside_each_other_makes_no_other_rewrite() {
        let file = |copy: &str| format!("FROM a\n{copy}\nRUN x\n");
        let is_file = |path: &str| !path.contains('*') && !matches!(path, "src" | "lib");
        let same = |one: &str, other: &str| is_same(&file(one), &file(other), &is_file);
        assert!(same("COPY a.json b.json ./", "COPY b.json a.json ./"));
        assert!(same("COPY --chown=1 a b ./", "COPY --chown=1 b a ./"));
        assert!(!same("COPY --chown=1 a b ./", "COPY b a ./"));
        assert!(!same("COPY a b ./", "COPY a b c ./"));
        assert!(!same("COPY a b ./", "COPY b a /other/"));
        assert!(!same("COPY a b ./", "ADD b a ./"));
        // These would meet, or could.
        assert!(!same("COPY x/a y/a ./", "COPY y/a x/a ./"));
        assert!(!same("COPY a* b ./", "COPY b a* ./"));
        assert!(!same("COPY src lib ./", "COPY lib src ./"));
        assert!(same("COPY src/ src/", "COPY src src/"));
        assert!(!same("COPY src lib/", "COPY src src/"));
        assert!(!same("ADD a.tar b.tar ./", "ADD b.tar a.tar ./"));
        assert!(!is_same("FROM a\nCOPY a b ./\n", "FROM b\nCOPY b a ./\n", &is_file));
        assert!(!is_same("FROM a\nCOPY a b ./\n", "FROM a\nCOPY b a ./\nRUN x\n", &is_file));
    }
}

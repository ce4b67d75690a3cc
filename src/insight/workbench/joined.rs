//! Offers of several rules as one list: those that come to the same rewrite are one, with the evidence of all.

use crate::insight::suggest::SuggestReport;
use crate::language::dockerfile::{Arguments, Instruction, parse};

/// Adds what a further rule found. Another rule that comes to the same rewrite has its evidence and its proof here.
pub fn join(report: &mut SuggestReport, more: SuggestReport) {
    for found in more.offered {
        match report.offered.iter_mut().find(|known| known.file == found.file && is_same(&known.after, &found.after)) {
            Some(known) => {
                known.joined.push(found.rule);
                known.evidence.extend(found.evidence);
                known.risks.extend(found.risks);
                known.proof = found.proof;
                known.expected = found.expected;
            }
            None => report.offered.push(found),
        }
    }
    report.refused.extend(more.refused);
}

/// Whether two files build the same, as far as that shows without a look at the context: instruction by instruction, with the
/// sources of a COPY in any order.
fn is_same(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let (one, other) = (parse(one), parse(other));
    let text = |file: &str, at: &Instruction| at.span.text(file).trim_end().to_owned();
    one.instructions.len() == other.instructions.len()
        && one.instructions.iter().zip(&other.instructions).all(|(a, b)| {
            text(&one.source, a) == text(&other.source, b) || plain_copy(a).is_some_and(|a| plain_copy(b) == Some(a))
        })
}

/// A COPY of files that cannot meet at their destination, so that their order does not matter: keyword, flags, sources in
/// order of the alphabet, destination.
fn plain_copy(at: &Instruction) -> Option<(String, Vec<String>, Vec<&str>, &str)> {
    let Arguments::Copy { sources, destination } = &at.arguments else { return None };
    let mut sources: Vec<&str> = sources.iter().map(|word| word.text.as_str()).collect();
    sources.sort_unstable();
    let mut names: Vec<&str> = sources.iter().filter_map(|path| path.trim_end_matches('/').rsplit('/').next()).collect();
    names.sort_unstable();
    let meet = names.windows(2).any(|pair| pair[0] == pair[1]);
    let pattern = sources.iter().any(|path| path.contains(['*', '?', '[', '$', '\\', '"']) || path.ends_with(['/', '.']));
    let flags = at.flags.iter().map(|flag| format!("{}={:?}", flag.name, flag.value)).collect();
    (!meet && !pattern && at.heredocs.is_empty())
        .then(|| (format!("{:?}", at.keyword), flags, sources, destination.text.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_files_beside_each_other_makes_no_other_rewrite() {
        let file = |copy: &str| format!("FROM a\n{copy}\nRUN x\n");
        let same = |one: &str, other: &str| is_same(&file(one), &file(other));
        assert!(same("COPY a.json b.json ./", "COPY b.json a.json ./"));
        assert!(same("COPY --chown=1 a b ./", "COPY --chown=1 b a ./"));
        assert!(!same("COPY --chown=1 a b ./", "COPY b a ./"));
        assert!(!same("COPY a b ./", "COPY a b c ./"));
        assert!(!same("COPY a b ./", "COPY b a /other/"));
        assert!(!same("COPY a b ./", "ADD b a ./"));
        // These would meet, or could.
        assert!(!same("COPY x/a y/a ./", "COPY y/a x/a ./"));
        assert!(!same("COPY a* b ./", "COPY b a* ./"));
        assert!(!same("COPY src/ lib/ ./", "COPY lib/ src/ ./"));
        assert!(!is_same("FROM a\nCOPY a b ./\n", "FROM b\nCOPY b a ./\n"));
        assert!(!is_same("FROM a\nCOPY a b ./\n", "FROM a\nCOPY b a ./\nRUN x\n"));
    }
}

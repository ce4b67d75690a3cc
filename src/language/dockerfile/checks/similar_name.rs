//! Which known name was meant, as BuildKit's checks suggest it.

/// The known name at the smallest edit distance below three; none when the name itself is known. Of equally near ones the
/// first in order is taken (BuildKit takes any).
///
/// Source of the rule: `util/suggest` of BuildKit: insertions, deletions and replacements count one each, case counts.
pub(super) fn similar_name<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    let wanted: Vec<char> = name.chars().take(LONGEST + 1).collect();
    if wanted.len() > LONGEST {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        if candidate == name {
            return None;
        }
        if candidate.len().abs_diff(name.len()) > 2 * 4 {
            continue;
        }
        let distance = distance(&wanted, &candidate.chars().collect::<Vec<_>>());
        let better = best.is_none_or(|(least, text)| (distance, candidate) < (least, text));
        if distance < 3 && better {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, text)| text.to_owned())
}

/// Longer names get no suggestion: the distance takes time of the product of both lengths.
const LONGEST: usize = 128;

fn distance(left: &[char], right: &[char]) -> usize {
    if left.len().abs_diff(right.len()) > 2 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, l) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != r);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::similar_name;

    #[test]
    fn near_names_are_found() {
        assert_eq!(similar_name("PAHT", ["PATH", "HOME"]).as_deref(), Some("PATH"));
        assert_eq!(similar_name("foo", ["bar"]), None);
        assert_eq!(similar_name("X", ["X", "Y"]), None);
    }
}

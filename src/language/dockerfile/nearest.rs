//! Did you mean: the nearest known name.

/// The candidate with the smallest edit distance to `name`, if it is near enough to be a slip of the hand.
///
/// Distances count inserted, removed, replaced and swapped characters, without regard to case; at most a third of the
/// name's length (at least one, at most two) may differ.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // A long word is no misspelt keyword; the bound also keeps the table small.
    if name.is_empty() || name.len() > 64 {
        return None;
    }
    let allowed = (name.chars().count() / 3).clamp(1, 2);
    let lower: Vec<char> = name.to_lowercase().chars().collect();
    candidates
        .into_iter()
        .map(|candidate| (distance(&lower, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn distance(left: &[char], right: &[char]) -> usize {
    let mut before_previous: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, l) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, r) in right.iter().enumerate() {
            let mut best = (previous[column] + usize::from(l != r)).min(previous[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *l == right[column - 1] && left[row - 1] == *r {
                best = best.min(before_previous[column - 1] + 1);
            }
            current.push(best);
        }
        before_previous = std::mem::replace(&mut previous, current);
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_slips_and_leaves_strangers_alone() {
        let names = ["RUN", "COPY", "FROM", "WORKDIR"];
        assert_eq!(nearest("FORM", names), Some("FROM"));
        assert_eq!(nearest("rum", names), Some("RUN"));
        assert_eq!(nearest("WROKDRI", names), Some("WORKDIR"));
        assert_eq!(nearest("INCLUDE", names), None);
    }
}

//! Two texts as one line, with the words that went and came marked: `npm [-install-] {+ci+} --force`.

use similar::{ChangeTag, TextDiff};

/// Unchanged words shown on each side of a change.
const AROUND: usize = 4;

/// The words of both texts in order; long unchanged stretches are cut to their ends.
pub fn marked(old: &str, new: &str) -> String {
    let diff = TextDiff::from_words(old, new);
    let mut out = String::new();
    let changes: Vec<_> = diff.iter_all_changes().map(|change| (change.tag(), change.value().to_owned())).collect();
    let mut runs: Vec<(ChangeTag, String)> = Vec::new();
    for (tag, value) in changes {
        match runs.last_mut() {
            Some((last, text)) if *last == tag => text.push_str(&value),
            _ => runs.push((tag, value)),
        }
    }
    let last = runs.len().saturating_sub(1);
    for (at, (tag, text)) in runs.iter().enumerate() {
        match tag {
            ChangeTag::Equal => out.push_str(&shortened(text, at == 0, at == last)),
            ChangeTag::Delete => out.push_str(&format!("[-{text}-]")),
            ChangeTag::Insert => out.push_str(&format!("{{+{text}+}}")),
        }
    }
    out
}

/// The ends of an unchanged stretch that lie beside a change.
fn shortened(text: &str, is_first: bool, is_last: bool) -> String {
    let starts: Vec<usize> = text.split_whitespace().map(|word| word.as_ptr() as usize - text.as_ptr() as usize).collect();
    if starts.len() <= 2 * AROUND + 1 {
        return text.to_owned();
    }
    let head = text.get(..starts[AROUND]).unwrap_or(text);
    let tail = text.get(starts[starts.len() - AROUND]..).unwrap_or(text);
    match (is_first, is_last) {
        (true, true) => text.to_owned(),
        (true, false) => format!("… {tail}"),
        (false, true) => format!("{head}…"),
        (false, false) => format!("{head}… {tail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::marked;

    #[test]
    fn words_that_went_and_came_are_marked_and_long_rests_are_cut() {
        assert_eq!(marked("npm install --force", "npm ci --force"), "npm [-install-]{+ci+} --force");
        let old = "a b c d e f g h i j k l";
        assert_eq!(marked(&format!("{old} x"), &format!("{old} y")), "… i j k l [-x-]{+y+}");
        assert_eq!(marked("same", "same"), "same");
    }
}

//! Go's `filepath.Match` on a system with `/`: wildcards of COPY sources and the syntax check of `.dockerignore` patterns.

/// The pattern is malformed: an unclosed or empty `[]`, or a backslash at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// Whether the whole of `name` matches: `*` any run without `/`, `?` one character but `/`, `[a-z]`, `[^a]`, `\` escapes.
///
/// Source of the rule: Go's `path/filepath.Match`. As there, an error in the pattern may go unseen where the name failed to
/// match before it; use [`check_pattern`] to find it.
///
/// # Errors
/// When the pattern is malformed.
pub fn go_match(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // The usual walk with one point of return: a later star makes an earlier one needless, because `*` never crosses `/`
    // and each chunk is matched at its first place.
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p + 1, n));
            p += 1;
            continue;
        }
        let step = if p < pattern.len() { one(&pattern, p, name.get(n).copied())? } else { None };
        match (step, star) {
            (Some(next), _) => {
                p = next;
                n += 1;
            }
            _ if p == pattern.len() && n == name.len() => return Ok(true),
            (None, Some((after, from))) if from < name.len() && name[from] != '/' => {
                star = Some((after, from + 1));
                p = after;
                n = from + 1;
            }
            _ => {
                check_from(&pattern, p)?;
                return Ok(false);
            }
        }
    }
}

/// Finds a malformed pattern.
///
/// # Errors
/// When it is malformed.
pub fn check_pattern(pattern: &str) -> Result<(), BadPattern> {
    check_from(&pattern.chars().collect::<Vec<_>>(), 0)
}

fn check_from(pattern: &[char], from: usize) -> Result<(), BadPattern> {
    let mut p = from;
    while p < pattern.len() {
        p = match pattern[p] {
            '[' => class(pattern, p, '\0')?.1,
            '\\' if p + 1 == pattern.len() => return Err(BadPattern),
            '\\' => p + 2,
            _ => p + 1,
        };
    }
    Ok(())
}

/// Matches one character; the place in the pattern behind it, or `None`.
fn one(pattern: &[char], p: usize, character: Option<char>) -> Result<Option<usize>, BadPattern> {
    let Some(character) = character else { return Ok(None) };
    Ok(match pattern[p] {
        '?' => (character != '/').then_some(p + 1),
        '[' => {
            let (matched, next) = class(pattern, p, character)?;
            matched.then_some(next)
        }
        '\\' => {
            let literal = pattern.get(p + 1).ok_or(BadPattern)?;
            (*literal == character).then_some(p + 2)
        }
        literal => (literal == character).then_some(p + 1),
    })
}

/// Matches a class that opens at `p`; whether it matched and the place behind it.
fn class(pattern: &[char], p: usize, character: char) -> Result<(bool, usize), BadPattern> {
    let mut p = p + 1;
    let negated = pattern.get(p) == Some(&'^');
    p += usize::from(negated);
    let mut matched = false;
    let mut count = 0;
    loop {
        if pattern.get(p) == Some(&']') && count > 0 {
            return Ok((matched != negated, p + 1));
        }
        let (low, next) = bound(pattern, p)?;
        let (high, next) = if pattern.get(next) == Some(&'-') { bound(pattern, next + 1)? } else { (low, next) };
        matched |= (low..=high).contains(&character);
        p = next;
        count += 1;
    }
}

fn bound(pattern: &[char], p: usize) -> Result<(char, usize), BadPattern> {
    let (character, next) = match pattern.get(p) {
        None | Some('-' | ']') => return Err(BadPattern),
        Some('\\') => (*pattern.get(p + 1).ok_or(BadPattern)?, p + 2),
        Some(character) => (*character, p + 1),
    };
    // A class must close, so something has to follow.
    if next >= pattern.len() { Err(BadPattern) } else { Ok((character, next)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_go_does() {
        for (pattern, name, expected) in [
            ("*.go", "main.go", Ok(true)),
            ("*.go", "a/main.go", Ok(false)),
            ("a*b*c", "axxbxxc", Ok(true)),
            ("package*.json", "package-lock.json", Ok(true)),
            ("[a-c]?[^x]", "bzy", Ok(true)),
            ("\\*", "*", Ok(true)),
            ("a[", "a", Err(BadPattern)),
            ("[]a]", "]", Err(BadPattern)),
            ("*", "", Ok(true)),
            ("a/*/c", "a/b/c", Ok(true)),
        ] {
            assert_eq!(go_match(pattern, name), expected, "{pattern} {name}");
        }
    }
}

//! Go's `filepath.Match` for one path component.

/// Whether `name` matches `pattern`: `*`, `?`, `[a-z]`, `[^a]`, `\` escapes. A malformed pattern matches nothing.
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let Some((&first, rest)) = pattern.split_first() else { return name.is_empty() };
    match first {
        b'*' => {
            let rest = &rest[rest.iter().take_while(|b| **b == b'*').count()..];
            rest.is_empty() || (0..=name.len()).any(|skip| matches(rest, &name[skip..]))
        }
        b'?' => next_char(name).is_some_and(|(_, left)| matches(rest, left)),
        b'[' => match (class(rest, name), next_char(name)) {
            (Some((true, rest)), Some((_, left))) => matches(rest, left),
            _ => false,
        },
        b'\\' => match (rest.split_first(), name.split_first()) {
            (Some((want, rest)), Some((have, left))) => want == have && matches(rest, left),
            _ => false,
        },
        _ => name.split_first().is_some_and(|(have, left)| *have == first && matches(rest, left)),
    }
}

/// The first character: UTF-8, or one byte where it is none.
fn next_char(text: &[u8]) -> Option<(u32, &[u8])> {
    let first = *text.first()?;
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    match text.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(|s| s.chars().next()) {
        Some(c) => Some((u32::from(c), &text[length..])),
        None => Some((u32::from(first), &text[1..])),
    }
}

/// Reads a class after its `[`; whether it holds the first character of `name`, and what follows the `]`.
fn class<'a>(mut pattern: &'a [u8], name: &[u8]) -> Option<(bool, &'a [u8])> {
    let (c, _) = next_char(name)?;
    let negated = pattern.first() == Some(&b'^');
    if negated {
        pattern = &pattern[1..];
    }
    let (mut holds, mut empty) = (false, true);
    loop {
        if pattern.first() == Some(&b']') && !empty {
            return Some((holds != negated, &pattern[1..]));
        }
        let (low, rest) = bound(pattern)?;
        let (high, rest) = if rest.first() == Some(&b'-') { bound(&rest[1..])? } else { (low, rest) };
        holds |= (low..=high).contains(&c);
        (pattern, empty) = (rest, false);
    }
}

fn bound(pattern: &[u8]) -> Option<(u32, &[u8])> {
    match pattern.first()? {
        b'-' | b']' => None,
        b'\\' => next_char(&pattern[1..]),
        _ => next_char(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    /// Rows of Go's path/filepath/match_test.go.
    #[test]
    fn as_in_go() {
        for (pattern, name, wanted) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab", true),
            ("a*b*c*d*e*", "axbxcxdxexxx", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("[a-ζ]*", "α", true),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[]a]", "]", false),
            ("[-]", "-", false),
            ("[", "a", false),
            ("*x", "xxx", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), wanted, "{pattern} {name}");
        }
    }
}

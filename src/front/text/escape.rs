//! Characters that would act on a terminal or deceive a reader are shown as escapes.

/// One line of safe text: control characters (newlines too), C1, direction marks and invisible characters are shown as
/// `\n`, `\t`, `\x1b`, `\u{202e}`.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut out, c);
    }
    out
}

/// Safe text of several lines: newlines stay, tabs become four blanks, everything else as [`line`].
pub fn block(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('\n'),
            '\t' => out.push_str("    "),
            _ => push(&mut out, c),
        }
    }
    out
}

/// Bytes that should be a text, such as a path of an image: as [`line`], and what is no UTF-8 as `\xff`.
pub fn path(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut out, c));
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c.is_control() && (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
        c if is_deceptive(c) => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
        c => out.push(c),
    }
}

/// Characters that reorder, hide or join text: bidirectional controls, zero-width characters, line separators, variation
/// selectors and tags.
pub fn is_deceptive(c: char) -> bool {
    matches!(c as u32,
        0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
        | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0
        | 0xfff0..=0xfffb | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_characters_are_shown() {
        assert_eq!(line("a\x1b]0;x\x07b\nc\u{9b}d"), "a\\x1b]0;x\\x07b\\nc\\x9bd");
        assert_eq!(line("user\u{202e}txt\u{200b}"), "user\\u{202e}txt\\u{200b}");
        assert_eq!(block("a\tb\nc\r"), "a    b\nc\\r");
        assert_eq!(line("größe 漢字"), "größe 漢字");
        assert_eq!(path(b"a\xff/\x1b[b/\xc3\xa4"), "a\\xff/\\x1b[b/ä");
    }
}

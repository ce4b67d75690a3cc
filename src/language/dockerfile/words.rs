//! How a logical line falls into words: by blanks, by blanks outside of quotes, or as a JSON array of strings.

use serde_json::value::RawValue;

use super::ast::Word;
use super::logical::Slice;

/// Splits at runs of tabs, form feeds, carriage returns and spaces; quotes mean nothing here.
///
/// Source of the rule: `parseStringsWhitespaceDelimited` of BuildKit's parser.
pub(super) fn split_at_blanks<'l>(rest: Slice<'l>) -> Vec<Slice<'l>> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, character) in rest.text().char_indices() {
        match (is_blank(character), start) {
            (true, Some(begun)) => {
                words.push(rest.part(begun, at));
                start = None;
            }
            (false, None) => start = Some(at),
            _ => {}
        }
    }
    if let Some(begun) = start {
        words.push(rest.after(begun));
    }
    words
}

/// The blanks at which an instruction's arguments are split.
pub(super) fn is_blank(character: char) -> bool {
    matches!(character, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// Splits a text as ENV, LABEL and ARG are split: at blanks outside of quotes; quotes and escapes stay in the words.
pub fn quoted_words(text: &str, escape: char) -> Vec<String> {
    let mut line = super::logical::LogicalLine::default();
    line.push(text, 0);
    split_quoted(line.whole(), escape).into_iter().map(|word| word.text).collect()
}

/// Splits at blanks outside of quotes; quotes and escapes stay in the words.
///
/// Source of the rule: `parseWords` of BuildKit's parser.
pub(super) fn split_quoted(rest: Slice<'_>, escape: char) -> Vec<Word> {
    let mut splitter = QuotedSplitter {
        escape,
        phase: Phase::Blanks,
        text: String::new(),
        start: 0,
        blank_is_word: false,
        words: Vec::new(),
    };
    let text = rest.text();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, following)| *following);
        if splitter.take(&rest, at, character, next) {
            characters.next();
        }
    }
    splitter.finish_word(&rest, text.len());
    splitter.words
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Blanks,
    Word,
    Quote(char),
}

struct QuotedSplitter {
    escape: char,
    phase: Phase,
    text: String,
    start: usize,
    /// A quoted word counts even when it is empty.
    blank_is_word: bool,
    words: Vec<Word>,
}

impl QuotedSplitter {
    /// Takes one character; says whether the following one was taken with it (as an escaped character).
    fn take(&mut self, rest: &Slice<'_>, at: usize, character: char, next: Option<char>) -> bool {
        if self.phase == Phase::Blanks {
            if character.is_whitespace() {
                return false;
            }
            self.phase = Phase::Word;
            self.start = at;
        }
        match self.phase {
            Phase::Word if character.is_whitespace() => {
                self.finish_word(rest, at);
                return false;
            }
            Phase::Word if character == '\'' || character == '"' => {
                self.blank_is_word = true;
                self.phase = Phase::Quote(character);
            }
            Phase::Quote(quote) if character == quote => self.phase = Phase::Word,
            // Nothing can be escaped between single quotes.
            Phase::Quote('\'') => {}
            _ if character == self.escape => return self.take_escaped(character, next),
            _ => {}
        }
        self.text.push(character);
        false
    }

    /// The escape character and what follows go into the word; at the end of the line the escape character is dropped.
    fn take_escaped(&mut self, character: char, next: Option<char>) -> bool {
        let Some(next) = next else { return false };
        self.text.push(character);
        self.text.push(next);
        true
    }

    fn finish_word(&mut self, rest: &Slice<'_>, end: usize) {
        if self.phase != Phase::Blanks && (self.blank_is_word || !self.text.is_empty()) {
            self.words.push(Word { text: std::mem::take(&mut self.text), span: rest.part(self.start, end).span() });
        }
        self.text.clear();
        self.blank_is_word = false;
        self.phase = Phase::Blanks;
    }
}

/// What the JSON form of an instruction gave.
pub(super) enum JsonForm {
    /// An array of strings.
    Words(Vec<Word>),
    /// No JSON array: the text is meant for a shell.
    NotJson,
    /// A JSON array, but this element of it is no string.
    NotString(super::span::Span),
}

/// Reads the JSON form. Text that only resembles it is `NotJson`, as in BuildKit: it falls back to the shell form.
///
/// Source of the rule: `parseJSON` of BuildKit's parser.
pub(super) fn json_form(rest: Slice<'_>) -> JsonForm {
    let text = rest.text();
    if !text.trim_start().starts_with('[') {
        return JsonForm::NotJson;
    }
    // Raw values, because they are skipped without recursion: a thousand opening brackets must not overflow the stack.
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(text) else { return JsonForm::NotJson };
    let mut words = Vec::with_capacity(elements.len());
    for element in elements {
        let raw = element.get();
        let start = (raw.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        let span = rest.part(start, start + raw.len()).span();
        if !raw.starts_with('"') {
            return JsonForm::NotString(span);
        }
        let Ok(text) = serde_json::from_str::<String>(raw) else { return JsonForm::NotJson };
        words.push(Word { text, span });
    }
    JsonForm::Words(words)
}

//! The lexer: quotes, escapes, names and modifiers.

use std::collections::BTreeSet;

use super::super::pattern::{self, Direction};
use super::split::Words;
use super::{Environment, ExpandError, ExpandOptions, NESTING_LIMIT, OUTPUT_LIMIT};

/// Reads a text character by character, and expands what it meets.
pub(super) struct Lexer<'t> {
    pub characters: std::iter::Peekable<std::str::Chars<'t>>,
    pub env: &'t dyn Environment,
    pub options: ExpandOptions,
    pub used: BTreeSet<String>,
    pub unmatched: BTreeSet<String>,
    pub depth: usize,
}

impl Lexer<'_> {
    fn peek(&mut self) -> Option<char> {
        self.characters.peek().copied()
    }

    /// Reads up to `stop` (or the end), giving the text and its words.
    pub fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<(String, Vec<String>), ExpandError> {
        let outer = std::mem::replace(&mut self.options.raw_escapes, raw_escapes);
        let result = self.until_inner(stop);
        self.options.raw_escapes = outer;
        result
    }

    fn until_inner(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), ExpandError> {
        let mut result = String::new();
        let mut words = Words::default();
        while let Some(character) = self.peek() {
            if stop == Some(character) {
                self.characters.next();
                return Ok((result, words.finish()));
            }
            match character {
                '$' => {
                    let value = self.dollar()?;
                    words.add_text(&value);
                    result.push_str(&value);
                }
                '\'' | '"' if !self.options.ignore_quotes => {
                    let value = if character == '"' { self.double_quoted()? } else { self.single_quoted()? };
                    words.add_quoted(&value);
                    result.push_str(&value);
                }
                _ => self.plain(character, &mut result, &mut words),
            }
            bounded(&result)?;
        }
        match stop {
            Some(stop) => Err(ExpandError::MissingEnd(stop)),
            None => Ok((result, words.finish())),
        }
    }

    fn plain(&mut self, character: char, result: &mut String, words: &mut Words) {
        self.characters.next();
        if character != self.options.escape {
            words.add(character);
            result.push(character);
            return;
        }
        if self.options.raw_escapes {
            words.add_raw(character);
            result.push(character);
        }
        if let Some(escaped) = self.characters.next() {
            words.add_raw(escaped);
            result.push(escaped);
        }
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let mut result = String::new();
        self.take_quote(&mut result);
        loop {
            match self.peek() {
                None => return Err(ExpandError::MissingQuote("single")),
                Some('\'') => {
                    self.take_quote(&mut result);
                    return Ok(result);
                }
                Some(character) => {
                    self.characters.next();
                    result.push(character);
                }
            }
        }
    }

    fn take_quote(&mut self, result: &mut String) {
        if let Some(quote) = self.characters.next()
            && self.options.raw_quotes
        {
            result.push(quote);
        }
    }

    fn double_quoted(&mut self) -> Result<String, ExpandError> {
        let mut result = String::new();
        self.take_quote(&mut result);
        loop {
            match self.peek() {
                None => return Err(ExpandError::MissingQuote("double")),
                Some('"') => {
                    self.take_quote(&mut result);
                    return Ok(result);
                }
                Some('$') => {
                    let value = self.dollar()?;
                    result.push_str(&value);
                    bounded(&result)?;
                }
                Some(character) => {
                    self.characters.next();
                    self.inside_double_quotes(character, &mut result);
                }
            }
        }
    }

    fn inside_double_quotes(&mut self, character: char, result: &mut String) {
        let mut character = character;
        if character == self.options.escape {
            if self.options.raw_escapes {
                result.push(character);
            }
            match self.peek() {
                // An escape character at the end of the text is dropped.
                None => return,
                Some(next) if next == '"' || next == '$' || next == self.options.escape => {
                    self.characters.next();
                    character = next;
                }
                Some(_) => {}
            }
        }
        result.push(character);
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.characters.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.look_up(&name) {
                None if self.options.keep_unset => format!("${name}"),
                value => value.unwrap_or_default(),
            });
        }
        self.characters.next();
        match self.peek() {
            None => return Err(ExpandError::MissingEnd('}')),
            Some('{' | '}' | ':') => return Err(ExpandError::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        self.depth += 1;
        if self.depth > NESTING_LIMIT {
            return Err(ExpandError::TooDeep);
        }
        let result = self.braced(&name);
        self.depth -= 1;
        result
    }

    fn braced(&mut self, name: &str) -> Result<String, ExpandError> {
        let Some(first) = self.characters.next() else { return Err(ExpandError::UnsupportedModifier(String::new())) };
        match first {
            '}' => Ok(match self.look_up(name) {
                None if self.options.keep_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default(),
            }),
            ':' => {
                let modifier = self.characters.next().unwrap_or('\u{fffd}');
                self.modified(name, modifier, true)
            }
            '+' | '-' | '?' | '#' | '%' => self.modified(name, first, false),
            '/' => self.replaced(name),
            other => Err(ExpandError::UnsupportedModifier(other.to_string())),
        }
    }

    fn modified(&mut self, name: &str, modifier: char, colon: bool) -> Result<String, ExpandError> {
        let is_pattern = modifier == '#' || modifier == '%';
        let written = if colon { format!(":{modifier}") } else { modifier.to_string() };
        if colon && is_pattern {
            return Err(ExpandError::UnsupportedModifier(written));
        }
        let (word, _) = self.until(Some('}'), is_pattern)?;
        let value = self.look_up(name);
        if value.is_none() && self.options.keep_unset {
            return Ok(format!("${{{name}{written}{word}}}"));
        }
        let counts_as_set = value.as_deref().is_some_and(|value| !(colon && value.is_empty()));
        match modifier {
            '-' if counts_as_set => Ok(value.unwrap_or_default()),
            '-' => Ok(word),
            '+' if counts_as_set => Ok(word),
            '+' => Ok(String::new()),
            '?' if counts_as_set => Ok(value.unwrap_or_default()),
            '?' => Err(required(name, word, value.is_some())),
            '#' | '%' => trimmed(&word, &value.unwrap_or_default(), modifier),
            _ => Err(ExpandError::UnsupportedModifier(written)),
        }
    }

    fn replaced(&mut self, name: &str) -> Result<String, ExpandError> {
        let all = self.peek() == Some('/');
        if all {
            self.characters.next();
        }
        let (pattern, _) = self.until(Some('/'), true)?;
        let (replacement, _) = self.until(Some('}'), true)?;
        let value = self.look_up(name);
        if value.is_none() && self.options.keep_unset {
            return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
        }
        pattern::replace(&pattern, &value.unwrap_or_default(), &replacement, all, OUTPUT_LIMIT)
            .map_err(|source| ExpandError::Pattern { pattern, source })
    }

    /// A name of letters, digits and `_`; digits alone; or one special parameter.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(character) = self.peek() {
            if name.is_empty() && is_digit(character) {
                while let Some(digit) = self.peek().filter(|c| is_digit(*c)) {
                    self.characters.next();
                    name.push(digit);
                }
                return name;
            }
            if name.is_empty() && matches!(character, '@' | '*' | '#' | '?' | '-' | '$' | '!') {
                self.characters.next();
                return character.to_string();
            }
            if !character.is_alphanumeric() && character != '_' {
                break;
            }
            self.characters.next();
            name.push(character);
        }
        name
    }

    fn look_up(&mut self, name: &str) -> Option<String> {
        let value = self.env.get(name);
        let names = if value.is_some() { &mut self.used } else { &mut self.unmatched };
        names.insert(name.to_owned());
        value
    }
}

fn is_digit(character: char) -> bool {
    character.is_numeric() && (character.is_ascii_digit() || !character.is_ascii())
}

fn bounded(text: &str) -> Result<(), ExpandError> {
    if text.len() > OUTPUT_LIMIT { Err(ExpandError::TooLong) } else { Ok(()) }
}

fn required(name: &str, word: String, set: bool) -> ExpandError {
    let general = if set { "is not allowed to be empty" } else { "is not allowed to be unset" };
    ExpandError::Required { name: name.to_owned(), message: if word.is_empty() { general.to_owned() } else { word } }
}

fn trimmed(word: &str, value: &str, modifier: char) -> Result<String, ExpandError> {
    let longest = word.starts_with(modifier);
    let pattern = if longest { &word[modifier.len_utf8()..] } else { word };
    let direction = if modifier == '#' { Direction::Prefix } else { Direction::Suffix };
    pattern::trim(pattern, value, direction, longest)
        .map_err(|source| ExpandError::Pattern { pattern: pattern.to_owned(), source })
}

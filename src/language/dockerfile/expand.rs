//! Expansion of variables, exactly as the frontend's shell lexer does it.
//!
//! Source of the rule: `frontend/dockerfile/shell/lex.go` of BuildKit. The lexer resembles a POSIX shell but is none:
//! `$1` and `$@` are names like others, `=` is no modifier, patterns know `*` and `?` but no brackets.

use std::collections::{BTreeSet, HashMap};

use super::pattern::{self, Direction, PatternError};

/// The largest text that an expansion may give: 1 MiB.
pub const OUTPUT_LIMIT: usize = 1 << 20;
/// How deep `${a:-${b:-...}}` may nest; the lexer recurses once a level.
const NESTING_LIMIT: usize = 64;

/// Where variables come from.
pub trait Environment {
    /// The value of a variable; `None` when it is not set.
    fn get(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

impl Environment for HashMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        HashMap::get(self, name).cloned()
    }
}

/// The text of an expansion and the names it met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expanded {
    /// The result.
    pub text: String,
    /// Names that were set, sorted.
    pub used: Vec<String>,
    /// Names that were not set, sorted.
    pub unmatched: Vec<String>,
}

/// Words of an expansion and the names it met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExpandedWords {
    /// The words; blanks out of variables split too, unless quoted.
    pub words: Vec<String>,
    /// Names that were set, sorted.
    pub used: Vec<String>,
    /// Names that were not set, sorted.
    pub unmatched: Vec<String>,
}

/// Why a text cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// A quote has no partner.
    #[error("missing closing {0} quote")]
    MissingQuote(&'static str),
    /// `${` has no end.
    #[error("missing `{0}` in `${{...}}`")]
    MissingEnd(char),
    /// `${}`, `${{`, `${:`.
    #[error("bad substitution")]
    BadSubstitution,
    /// `${name<modifier>`.
    #[error("unsupported modifier `{0}` in substitution")]
    UnsupportedModifier(String),
    /// `${name?message}` of a variable that is not set (or empty, with a colon).
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The text after `?`, expanded, or a general one.
        message: String,
    },
    /// A pattern of `#`, `%` or `/` that has a wrong escape, or is too expensive.
    #[error("invalid pattern `{pattern}` in substitution: {source}")]
    Pattern {
        /// The pattern after expansion.
        pattern: String,
        /// Why.
        source: PatternError,
    },
    /// More than [`OUTPUT_LIMIT`].
    #[error("expands to more than 1 MiB")]
    TooLong,
    /// More than 64 levels of `${...}`.
    #[error("substitutions nest too deep")]
    TooDeep,
}

/// How the lexer treats what it meets.
#[derive(Debug, Clone, Copy)]
pub struct ExpandOptions {
    /// The character that escapes: that of the `# escape=` directive.
    pub escape: char,
    /// Leave quotes in the result.
    pub raw_quotes: bool,
    /// Leave escape characters in the result.
    pub raw_escapes: bool,
    /// Quotes are ordinary characters (bodies of heredocs).
    pub ignore_quotes: bool,
    /// Leave names that are not set as they are written.
    pub keep_unset: bool,
}

impl ExpandOptions {
    /// Ordinary expansion with this escape character.
    pub fn new(escape: char) -> Self {
        Self { escape, raw_quotes: false, raw_escapes: false, ignore_quotes: false, keep_unset: false }
    }
}

/// Expands one word: quotes are removed, variables replaced, blanks kept.
///
/// # Errors
/// When quotes or substitutions are malformed, a required variable is missing, or the result would pass 1 MiB.
pub fn expand_word(text: &str, env: &dyn Environment, escape: char) -> Result<Expanded, ExpandError> {
    let outcome = run(text, env, ExpandOptions::new(escape));
    let text = outcome.result?.0;
    Ok(Expanded { text, used: outcome.used.into_iter().collect(), unmatched: outcome.unmatched.into_iter().collect() })
}

/// Expands and then splits at blanks that are not quoted.
///
/// # Errors
/// As [`expand_word`].
pub fn expand_words(text: &str, env: &dyn Environment, escape: char) -> Result<ExpandedWords, ExpandError> {
    expand_words_with(text, env, ExpandOptions::new(escape))
}

/// [`expand_words`] with every choice of the lexer open.
///
/// # Errors
/// As [`expand_word`].
pub fn expand_words_with(text: &str, env: &dyn Environment, options: ExpandOptions) -> Result<ExpandedWords, ExpandError> {
    let outcome = run(text, env, options);
    let words = outcome.result?.1;
    Ok(ExpandedWords { words, used: outcome.used.into_iter().collect(), unmatched: outcome.unmatched.into_iter().collect() })
}

/// Expands the body of a heredoc of COPY or ADD whose delimiter was not quoted: quotes are ordinary characters, and the
/// escape character is always the backslash.
///
/// Source of the rule: `dispatchCopy` (`SkipProcessQuotes`) in BuildKit's `dockerfile2llb/convert.go`.
///
/// # Errors
/// As [`expand_word`].
pub fn expand_heredoc(body: &str, env: &dyn Environment) -> Result<Expanded, ExpandError> {
    let outcome = run(body, env, ExpandOptions { ignore_quotes: true, ..ExpandOptions::new('\\') });
    let text = outcome.result?.0;
    Ok(Expanded { text, used: outcome.used.into_iter().collect(), unmatched: outcome.unmatched.into_iter().collect() })
}

/// The names that an expansion of `text` would look up, set or not, sorted; also those met before an error.
pub fn names_in(text: &str, escape: char) -> Vec<String> {
    let nothing = |_: &str| -> Option<String> { None };
    run(text, &nothing, ExpandOptions::new(escape)).unmatched.into_iter().collect()
}

struct Outcome {
    result: Result<(String, Vec<String>), ExpandError>,
    used: BTreeSet<String>,
    unmatched: BTreeSet<String>,
}

fn run(text: &str, env: &dyn Environment, options: ExpandOptions) -> Outcome {
    let mut lexer = Lexer {
        characters: text.chars().peekable(),
        env,
        options,
        used: BTreeSet::new(),
        unmatched: BTreeSet::new(),
        depth: 0,
    };
    let result = lexer.until(None, options.raw_escapes);
    Outcome { result, used: lexer.used, unmatched: lexer.unmatched }
}

struct Lexer<'t> {
    characters: std::iter::Peekable<std::str::Chars<'t>>,
    env: &'t dyn Environment,
    options: ExpandOptions,
    used: BTreeSet<String>,
    unmatched: BTreeSet<String>,
    depth: usize,
}

impl Lexer<'_> {
    fn peek(&mut self) -> Option<char> {
        self.characters.peek().copied()
    }

    /// Reads up to `stop` (or the end), giving the text and its words.
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<(String, Vec<String>), ExpandError> {
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

/// Splits at blanks as characters come in.
#[derive(Default)]
struct Words {
    word: String,
    words: Vec<String>,
}

impl Words {
    fn add(&mut self, character: char) {
        if !character.is_whitespace() {
            self.word.push(character);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    fn add_raw(&mut self, character: char) {
        self.word.push(character);
    }

    fn add_text(&mut self, text: &str) {
        text.chars().for_each(|character| self.add(character));
    }

    fn add_quoted(&mut self, text: &str) {
        self.word.push_str(text);
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, ExpandError> {
        let env = |name: &str| match name {
            "a" => Some("x.tar.gz".to_owned()),
            "empty" => Some(String::new()),
            "spaces" => Some("one  two".to_owned()),
            _ => None,
        };
        expand_word(text, &env, '\\').map(|expanded| expanded.text)
    }

    #[test]
    fn modifiers_of_the_frontend() {
        assert_eq!(expand("${a%.*} ${a%%.*} ${a#*.} ${a##*.}").as_deref(), Ok("x.tar x tar.gz gz"));
        assert_eq!(expand("${empty-d}|${empty:-d}|${unset-d}").as_deref(), Ok("|d|d"));
        assert_eq!(expand("${a/tar/zip}${a//./_}").as_deref(), Ok("x.zip.gzx_tar_gz"));
        assert!(expand("${unset?needed}").is_err_and(|error| error.to_string() == "unset: needed"));
        assert!(expand("${a:=b}").is_err());
    }

    #[test]
    fn bombs_are_refused() {
        let big = |_: &str| Some("x".repeat(1000));
        assert_eq!(expand_word(&"$a".repeat(2000), &big, '\\'), Err(ExpandError::TooLong));
        let deep = format!("{}x{}", "${u:-".repeat(5000), "}".repeat(5000));
        assert_eq!(expand(&deep), Err(ExpandError::TooDeep));
    }

    #[test]
    fn words_split_after_expansion() {
        let env = |_: &str| Some("one  two".to_owned());
        let words = expand_words("a$x \"$x\"b", &env, '\\').map(|expanded| expanded.words);
        assert_eq!(words, Ok(vec!["aone".to_owned(), "two".to_owned(), "one  twob".to_owned()]));
    }

    #[test]
    fn heredoc_bodies_keep_their_quotes() {
        let env = |_: &str| Some("v".to_owned());
        assert_eq!(expand_heredoc("\"$x\" '$x' \\$x\n", &env).map(|e| e.text).as_deref(), Ok("\"v\" 'v' $x\n"));
    }
}

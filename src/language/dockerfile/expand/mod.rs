//! Expansion of variables, exactly as the frontend's shell lexer does it.
//!
//! Source of the rule: `frontend/dockerfile/shell/lex.go` of BuildKit. The lexer resembles a POSIX shell but is none:
//! `$1` and `$@` are names like others, `=` is no modifier, patterns know `*` and `?` but no brackets.

mod lexer;
mod split;

use std::collections::{BTreeSet, HashMap};

use super::pattern::PatternError;
use lexer::Lexer;

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

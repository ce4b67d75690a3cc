//! `.dockerignore`: which paths of a context are left out, and which line says so.
//!
//! Source of the rules: `moby/patternmatcher` (`MatchesOrParentMatches`) and its `ignorefile` reader, on a system with `/`.

use super::glob::{BadPattern, check_pattern};

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}: `{pattern}`")]
pub struct IgnoreError {
    /// Line in the file, from 1.
    pub line: u32,
    /// The pattern as written.
    pub pattern: String,
    /// Why.
    #[source]
    pub kind: IgnoreErrorKind,
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IgnoreErrorKind {
    /// `!` alone.
    #[error("an exception without a pattern")]
    EmptyException,
    /// Malformed.
    #[error(transparent)]
    Syntax(#[from] BadPattern),
}

/// The rule that decided about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleHit {
    /// Line in the file, from 1.
    pub line: u32,
    /// `!`: the path stays in.
    pub negated: bool,
}

/// The rules of a `.dockerignore`.
#[derive(Debug, Clone, Default)]
pub struct IgnoreRules {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    line: u32,
    negated: bool,
    /// Cleaned, without `!`.
    pattern: String,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Tokens(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Literal(char),
    /// `*`
    Run,
    /// `?`
    One,
    /// `**/` before more: nothing, or anything that ends with `/`.
    Folders,
    /// `**` at the end: anything.
    Rest,
    /// `[...]`
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl IgnoreRules {
    /// Reads a `.dockerignore`: a byte order mark, comment lines and blank lines are skipped.
    ///
    /// # Errors
    /// At the first pattern that is malformed.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            // Only a `#` in the very first column begins a comment.
            if line.starts_with('#') {
                continue;
            }
            if let Some(pattern) = read_line(line) {
                rules.extend(rule(&pattern, number, line)?);
            }
        }
        Ok(Self { rules })
    }

    /// Takes patterns as they are, without the clean-up that belongs to a file (a leading `/` stays).
    ///
    /// # Errors
    /// At the first pattern that is malformed.
    pub fn from_patterns<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, IgnoreError> {
        let mut rules = Vec::new();
        for (pattern, number) in patterns.into_iter().zip(1..) {
            rules.extend(rule(pattern, number, pattern)?);
        }
        Ok(Self { rules })
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether any rule is an exception.
    pub fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.negated)
    }

    /// The rule that decides about a path (relative to the context, with `/`), or `None` when none does. A rule that matches a
    /// folder above the path matches the path. Whether the path is a folder does not matter to moby, so it is not looked at.
    pub fn matches(&self, path: &str, _is_dir: bool) -> Option<RuleHit> {
        let path = clean(path);
        if path == "." {
            return None;
        }
        let mut decided: Option<RuleHit> = None;
        for rule in &self.rules {
            let ignored = decided.is_some_and(|hit| !hit.negated);
            // An exception can change only what is ignored so far, and the other way round.
            if rule.negated == ignored && rule.matches_with_parents(&path) {
                decided = Some(RuleHit { line: rule.line, negated: rule.negated });
            }
        }
        decided
    }

    /// Whether a path is left out of the context.
    pub fn is_ignored(&self, path: &str) -> bool {
        self.matches(path, false).is_some_and(|hit| !hit.negated)
    }

    /// Whether a rule is for everything, and so for the root (`.` or `/`) itself.
    ///
    /// Source of the rule: `copySourceRootIgnored` of BuildKit's checks.
    pub fn leaves_out_the_root(&self, root: &str) -> bool {
        let for_all = |rule: &Rule| !rule.negated && matches!(rule.pattern.as_str(), "*" | "**" | "**/*");
        self.rules.iter().any(for_all) && self.rules.iter().any(|rule| !rule.negated && rule.matches_path(root))
    }

    /// Whether an exception could bring back something below an ignored folder; when not, a walk can skip it.
    ///
    /// Errs on the side of yes.
    pub fn may_have_exceptions_below(&self, dir: &str) -> bool {
        let dir = clean(dir);
        self.rules.iter().filter(|rule| rule.negated).any(|rule| rule.may_match_below(&dir))
    }
}

/// What `ignorefile.ReadAll` makes of a line.
fn read_line(line: &str) -> Option<String> {
    let pattern = line.trim();
    if pattern.is_empty() {
        return None;
    }
    let (negated, rest) = match pattern.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", pattern),
    };
    if rest.is_empty() {
        return Some(negated.to_owned());
    }
    let cleaned = clean(rest);
    let relative = if cleaned.len() > 1 { cleaned.strip_prefix('/').unwrap_or(&cleaned) } else { &cleaned };
    Some(format!("{negated}{relative}"))
}

fn rule(pattern: &str, line: u32, written: &str) -> Result<Option<Rule>, IgnoreError> {
    let error = |kind| IgnoreError { line, pattern: written.to_owned(), kind };
    let trimmed = pattern.trim();
    if trimmed.is_empty() {
        return Ok(None);
    }
    let cleaned = clean(trimmed);
    let (negated, pattern) = match cleaned.strip_prefix('!') {
        Some("") => return Err(error(IgnoreErrorKind::EmptyException)),
        Some(rest) => (true, rest.to_owned()),
        None => (false, cleaned),
    };
    check_pattern(&pattern).map_err(|bad| error(bad.into()))?;
    let matcher = compile(&pattern);
    Ok(Some(Rule { line, negated, pattern, matcher }))
}

/// Go's `filepath.Clean` on a system with `/`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            other => parts.push(other),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

fn compile(pattern: &str) -> Matcher {
    let characters: Vec<char> = pattern.chars().collect();
    let mut tokens = Vec::new();
    let (mut exact, mut prefix, mut suffix) = (true, false, false);
    let (mut at, mut index) = (0, 0);
    while at < characters.len() {
        let plain = |tokens: &mut Vec<Token>, character| tokens.push(Token::Literal(character));
        match characters[at] {
            '*' if characters.get(at + 1) == Some(&'*') => {
                at += 2;
                at += usize::from(characters.get(at) == Some(&'/'));
                let last = at >= characters.len();
                tokens.push(if last { Token::Rest } else { Token::Folders });
                (prefix, suffix) = (last && exact, index == 0);
                exact = false;
                index += 1;
                continue;
            }
            '*' => tokens.push(Token::Run),
            '?' => tokens.push(Token::One),
            '[' => {
                let (class, next) = class(&characters, at);
                tokens.push(class);
                at = next - 1;
            }
            '\\' if at + 1 < characters.len() => {
                at += 1;
                plain(&mut tokens, characters[at]);
                (exact, prefix, suffix) = (false, false, false);
            }
            literal => plain(&mut tokens, literal),
        }
        if !matches!(tokens.last(), Some(Token::Literal(_))) {
            (exact, prefix, suffix) = (false, false, false);
        }
        at += 1;
        index += 1;
    }
    if suffix {
        Matcher::Suffix(pattern.get(2..).unwrap_or("").to_owned())
    } else if exact {
        Matcher::Exact(pattern.to_owned())
    } else if prefix {
        // The trailing `**` (or `**/`, which cleaning has made `**`) is cut.
        Matcher::Prefix(pattern.strip_suffix("**").unwrap_or(pattern).to_owned())
    } else {
        Matcher::Tokens(tokens)
    }
}

/// Reads a class that is known to be well formed.
fn class(characters: &[char], open: usize) -> (Token, usize) {
    let mut at = open + 1;
    let negated = characters.get(at) == Some(&'^');
    at += usize::from(negated);
    let mut ranges = Vec::new();
    let bound = |at: &mut usize| {
        *at += usize::from(characters.get(*at) == Some(&'\\'));
        let character = characters.get(*at).copied().unwrap_or(']');
        *at += 1;
        character
    };
    while at < characters.len() && (characters[at] != ']' || ranges.is_empty()) {
        let low = bound(&mut at);
        let high = if characters.get(at) == Some(&'-') {
            at += 1;
            bound(&mut at)
        } else {
            low
        };
        ranges.push((low, high));
    }
    (Token::Class { negated, ranges }, at + 1)
}

impl Rule {
    fn matches_with_parents(&self, path: &str) -> bool {
        match &self.matcher {
            // One pass for the path and all folders above it.
            Matcher::Tokens(tokens) => matches_tokens(tokens, path, Folders::Count),
            _ => self.matches_path(path) || path.match_indices('/').any(|(at, _)| self.matches_path(&path[..at])),
        }
    }

    fn matches_path(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exact(exact) => path == exact,
            Matcher::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Matcher::Suffix(suffix) => path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path),
            Matcher::Tokens(tokens) => matches_tokens(tokens, path, Folders::DoNotCount),
        }
    }

    fn may_match_below(&self, dir: &str) -> bool {
        if dir == "." {
            return true;
        }
        // Compare part by part up to the first that is more than plain text.
        let mut pattern = self.pattern.split('/');
        for part in dir.split('/') {
            match pattern.next() {
                // The pattern matches a folder above: everything below comes back.
                None => return true,
                Some(expected) if expected.contains("**") => return true,
                Some(expected) if super::glob::go_match(expected, part) != Ok(true) => return false,
                Some(_) => {}
            }
        }
        true
    }
}

/// Whether a match of a folder above the path is one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folders {
    Count,
    DoNotCount,
}

/// Steps through the set of reachable pattern places: time is bounded by the product of both lengths.
fn matches_tokens(tokens: &[Token], path: &str, folders: Folders) -> bool {
    let mut reachable = vec![false; tokens.len() + 1];
    reachable[0] = true;
    // `**/` may also end at any `/` behind where it began; that is remembered apart from "has matched nothing".
    let mut within = vec![false; tokens.len() + 1];
    settle(tokens, &mut reachable, &mut within);
    let mut next = vec![false; tokens.len() + 1];
    let mut next_within = vec![false; tokens.len() + 1];
    for character in path.chars() {
        if folders == Folders::Count && character == '/' && reachable[tokens.len()] {
            return true;
        }
        next.fill(false);
        next_within.fill(false);
        for (place, token) in tokens.iter().enumerate() {
            if within[place] {
                next_within[place] = true;
                next[place + 1] |= character == '/';
            }
            if !reachable[place] {
                continue;
            }
            match token {
                Token::Literal(literal) => next[place + 1] |= *literal == character,
                Token::One => next[place + 1] |= character != '/',
                Token::Run => next[place] |= character != '/',
                Token::Rest => next[place] = true,
                Token::Folders => {}
                Token::Class { negated, ranges } => {
                    next[place + 1] |= ranges.iter().any(|(low, high)| (*low..=*high).contains(&character)) != *negated;
                }
            }
        }
        settle(tokens, &mut next, &mut next_within);
        std::mem::swap(&mut reachable, &mut next);
        std::mem::swap(&mut within, &mut next_within);
    }
    reachable[tokens.len()]
}

/// Passes over tokens that may match nothing, and enters `**/`.
fn settle(tokens: &[Token], reachable: &mut [bool], within: &mut [bool]) {
    for (place, token) in tokens.iter().enumerate() {
        if reachable[place] && matches!(token, Token::Run | Token::Rest | Token::Folders) {
            reachable[place + 1] = true;
            within[place] |= *token == Token::Folders;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> IgnoreRules {
        IgnoreRules::parse(text).unwrap_or_default()
    }

    #[test]
    fn says_which_line_decided() {
        let rules = rules("\u{feff}# c\n/node_modules/\n*.md\n!README.md\n**/tmp\n");
        assert_eq!(rules.matches("node_modules/a/b", false), Some(RuleHit { line: 2, negated: false }));
        assert_eq!(rules.matches("README.md", false), Some(RuleHit { line: 4, negated: true }));
        assert!(rules.is_ignored("a/b/tmp/c") && rules.is_ignored("x.md") && !rules.is_ignored("src/x.md"));
        assert!(!rules.is_ignored("."));
    }

    #[test]
    fn exceptions_keep_folders_open() {
        let rules = rules("docs\n!docs/*/keep.md\n");
        assert!(rules.may_have_exceptions_below("docs") && rules.may_have_exceptions_below("docs/a"));
        assert!(!rules.may_have_exceptions_below("src"));
        assert!(rules.is_ignored("docs/a/x") && !rules.is_ignored("docs/a/keep.md"));
    }

    #[test]
    fn bad_patterns_name_their_line() {
        assert_eq!(IgnoreRules::parse("a\n[\n").map_err(|error| error.line).err(), Some(2));
        assert_eq!(IgnoreRules::parse("!\n").map_err(|error| error.kind).err(), Some(IgnoreErrorKind::EmptyException));
    }
}

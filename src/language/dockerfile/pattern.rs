//! Patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/replacement}`: `*` and `?`, no brackets.
//!
//! BuildKit turns them into regular expressions (`convertShellPatternToRegex` in `shell/lex.go`); here they are matched by
//! stepping through the set of reachable pattern places, in time bounded by [`STEP_LIMIT`].

/// How many steps one substitution may take.
const STEP_LIMIT: usize = 20_000_000;

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// A backslash before something that needs none.
    #[error("invalid escape `\\{0}`")]
    InvalidEscape(char),
    /// Pattern and value together are too large to be matched.
    #[error("pattern and value are too large")]
    TooExpensive,
}

/// Which end is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Direction {
    /// `#`
    Prefix,
    /// `%`
    Suffix,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    Any,
    Star,
    Literal(char),
}

/// Cuts the shortest or longest match of `pattern` off one end of `value`.
pub(super) fn trim(pattern: &str, value: &str, direction: Direction, longest: bool) -> Result<String, PatternError> {
    let mut tokens = tokens(pattern)?;
    let mut characters: Vec<char> = value.chars().collect();
    if direction == Direction::Suffix {
        tokens.reverse();
        characters.reverse();
    }
    let mut steps = 0;
    let cut = match_end(&tokens, &characters, longest, &mut steps)?.unwrap_or(0);
    let mut rest = characters.split_off(cut);
    if direction == Direction::Suffix {
        rest.reverse();
    }
    Ok(rest.into_iter().collect())
}

/// Replaces the first or every leftmost longest match.
pub(super) fn replace(
    pattern: &str,
    value: &str,
    replacement: &str,
    all: bool,
    limit: usize,
) -> Result<String, PatternError> {
    let tokens = tokens(pattern)?;
    let characters: Vec<char> = value.chars().collect();
    // Go's ReplaceAllString takes `$name` in the replacement as a group of the pattern; ReplaceFirst does not exist there.
    let mut steps = 0;
    let mut out = String::new();
    let mut at = 0;
    let mut last_end = None;
    while at <= characters.len() {
        let found = match_end(&tokens, &characters[at..], true, &mut steps)?.map(|length| at + length);
        match found {
            // An empty match right behind a match does not count.
            Some(end) if !(end == at && last_end == Some(at)) => {
                let matched: String = characters[at..end].iter().collect();
                if all {
                    out.push_str(&templated(replacement, &matched))
                } else {
                    out.push_str(replacement)
                }
                last_end = Some(end);
                if end == at {
                    out.extend(characters.get(at));
                    at += 1;
                } else {
                    at = end;
                }
                if !all {
                    break;
                }
            }
            _ => {
                out.extend(characters.get(at));
                at += 1;
            }
        }
        if out.len() > limit {
            return Err(PatternError::TooExpensive);
        }
    }
    out.extend(characters.get(at..).unwrap_or_default());
    Ok(out)
}

/// `$0` is the match, `$$` a dollar sign, every other group is empty: the patterns have no groups.
fn templated(replacement: &str, matched: &str) -> String {
    let mut out = String::new();
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(below) = after.strip_prefix('$') {
            out.push('$');
            rest = below;
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, below) = match braced {
            Some(parts) => parts,
            None => after.split_at(after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len())),
        };
        if name.is_empty() {
            out.push('$');
            rest = after;
            continue;
        }
        if name == "0" {
            out.push_str(matched);
        }
        rest = below;
    }
    out.push_str(rest);
    out
}

fn tokens(pattern: &str) -> Result<Vec<Token>, PatternError> {
    let mut tokens = Vec::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        tokens.push(match character {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => match characters.peek() {
                // `\}` and `\/` are escaped for the substitution around the pattern, not for the pattern.
                Some('}' | '/') => continue,
                Some(escaped @ ('*' | '?' | '\\')) => {
                    let literal = Token::Literal(*escaped);
                    characters.next();
                    literal
                }
                other => return Err(PatternError::InvalidEscape(other.copied().unwrap_or('\u{fffd}'))),
            },
            other => Token::Literal(other),
        });
    }
    Ok(tokens)
}

/// Where a match that starts at the first character ends.
fn match_end(tokens: &[Token], value: &[char], longest: bool, steps: &mut usize) -> Result<Option<usize>, PatternError> {
    let mut reachable = vec![false; tokens.len() + 1];
    reachable[0] = true;
    pass_stars(tokens, &mut reachable);
    let mut end = None;
    for at in 0..=value.len() {
        *steps += tokens.len() + 1;
        if *steps > STEP_LIMIT {
            return Err(PatternError::TooExpensive);
        }
        if reachable[tokens.len()] {
            end = Some(at);
            if !longest {
                break;
            }
        }
        let Some(character) = value.get(at) else { break };
        let mut next = vec![false; tokens.len() + 1];
        for (place, token) in tokens.iter().enumerate().filter(|(place, _)| reachable[*place]) {
            match token {
                // A dot of Go's regular expressions does not match a line break.
                Token::Star if *character != '\n' => next[place] = true,
                Token::Any if *character != '\n' => next[place + 1] = true,
                Token::Literal(literal) if literal == character => next[place + 1] = true,
                _ => {}
            }
        }
        pass_stars(tokens, &mut next);
        if !next.contains(&true) {
            break;
        }
        reachable = next;
    }
    Ok(end)
}

fn pass_stars(tokens: &[Token], reachable: &mut [bool]) {
    for (place, token) in tokens.iter().enumerate() {
        if reachable[place] && *token == Token::Star {
            reachable[place + 1] = true;
        }
    }
}

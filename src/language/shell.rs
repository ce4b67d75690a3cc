//! A RUN's shell text as far as analysis needs it: its simple commands, their words, and which of them install dependencies.
//! What is beyond that (loops, functions, substitutions) is reported as such and never guessed.

mod install;
mod network;

pub use install::{Install, Manager, is_local_package};
pub use network::unpinned_fetch;

/// How a command is joined to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joint {
    /// The first one, after `;`, `&` or a line break.
    Sequence,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `|`
    Pipe,
}

/// A word of a command, quotes removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellWord {
    /// The text; variables and substitutions stay in it as written.
    pub text: String,
    /// Whether the shell would change it: a variable, a substitution or a wildcard outside of quotes.
    pub expands: bool,
}

/// A simple command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellCommand {
    /// How it follows the command before.
    pub joint: Joint,
    /// `NAME=value` in front of it.
    pub environment: Vec<(String, String)>,
    /// Name and arguments.
    pub words: Vec<ShellWord>,
    /// Files of its redirections (`> file`, `< file`, `2>&1` gives `&1`).
    pub redirections: Vec<String>,
    /// It belongs to a loop, a branch, a group, a subshell or a substitution.
    pub compound: bool,
}

impl ShellCommand {
    /// The command's name without folders; empty when it only sets variables.
    pub fn name(&self) -> &str {
        let first = self.words.first().map_or("", |word| word.text.as_str());
        first.rsplit('/').next().unwrap_or("")
    }

    /// The command as one line.
    pub fn one_line(&self) -> String {
        self.words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// The arguments behind the name.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.words.iter().skip(1).map(|word| word.text.as_str())
    }
}

/// Reads shell text into its simple commands, in order; bodies of heredocs inside of the text are skipped.
pub fn parse_commands(text: &str) -> Vec<ShellCommand> {
    let mut reader = Reader::default();
    let mut lines: Vec<char> = text.chars().collect();
    lines.push('\n');
    let mut at = 0;
    while at < lines.len() {
        at = reader.take(&lines, at);
    }
    reader.end_command(Joint::Sequence);
    reader.commands
}

const OPENERS: [&str; 9] = ["if", "for", "while", "until", "case", "{", "function", "select", "[["];
const CLOSERS: [&str; 4] = ["fi", "done", "esac", "}"];
const INNER: [&str; 6] = ["then", "else", "elif", "do", "!", "time"];

#[derive(Default)]
struct Reader {
    commands: Vec<ShellCommand>,
    words: Vec<ShellWord>,
    redirections: Vec<String>,
    word: String,
    in_word: bool,
    expands: bool,
    next_is_redirection: bool,
    depth: usize,
    joint: Option<Joint>,
}

impl Reader {
    /// Takes what starts at `at` and says where the next begins.
    fn take(&mut self, text: &[char], at: usize) -> usize {
        let next = text.get(at + 1).copied();
        match text[at] {
            '\\' if next == Some('\n') => at + 2,
            '\\' => {
                self.in_word = true;
                self.word.extend(next);
                at + 2
            }
            '\'' => self.quoted(text, at + 1, '\''),
            '"' => self.quoted(text, at + 1, '"'),
            '$' if next == Some('(') => self.substitution(text, at + 1),
            '`' => self.backticks(text, at + 1),
            '\n' | ';' => self.separator(Joint::Sequence, at + 1),
            '&' if next == Some('&') => self.separator(Joint::And, at + 2),
            '|' if next == Some('|') => self.separator(Joint::Or, at + 2),
            '|' => self.separator(Joint::Pipe, at + 1),
            '&' if next == Some('>') || self.next_is_redirection => self.character('&', at),
            '&' => self.separator(Joint::Sequence, at + 1),
            '(' => {
                self.end_command(Joint::Sequence);
                self.depth += 1;
                at + 1
            }
            ')' => {
                self.end_command(Joint::Sequence);
                self.depth = self.depth.saturating_sub(1);
                at + 1
            }
            '>' | '<' => self.redirection(text, at),
            '#' if !self.in_word => text[at..].iter().position(|c| *c == '\n').map_or(text.len(), |length| at + length),
            blank if blank.is_whitespace() => {
                self.end_word();
                at + 1
            }
            other => self.character(other, at),
        }
    }

    fn character(&mut self, character: char, at: usize) -> usize {
        self.in_word = true;
        self.expands |= matches!(character, '$' | '*' | '?' | '~');
        self.word.push(character);
        at + 1
    }

    fn quoted(&mut self, text: &[char], from: usize, quote: char) -> usize {
        self.in_word = true;
        let mut at = from;
        while let Some(character) = text.get(at).copied() {
            if character == quote {
                return at + 1;
            }
            if quote == '"' && character == '\\' && matches!(text.get(at + 1), Some('"' | '\\' | '$' | '`' | '\n')) {
                at += 1;
            } else if quote == '"' && matches!(character, '$' | '`') {
                self.expands = true;
            }
            self.word.extend(text.get(at));
            at += 1;
        }
        at
    }

    /// `$(...)`: kept as text; what runs inside is not looked at, so the command counts as compound.
    fn substitution(&mut self, text: &[char], open: usize) -> usize {
        let mut depth = 0;
        let mut at = open;
        self.in_word = true;
        self.expands = true;
        self.word.push('$');
        while let Some(character) = text.get(at).copied() {
            self.word.push(character);
            at += 1;
            match character {
                '(' => depth += 1,
                ')' if depth == 1 => break,
                ')' => depth -= 1,
                _ => {}
            }
        }
        at
    }

    fn backticks(&mut self, text: &[char], from: usize) -> usize {
        self.in_word = true;
        self.expands = true;
        let length = text[from.min(text.len())..].iter().position(|c| *c == '`').unwrap_or(0);
        self.word.push('`');
        self.word.extend(text.iter().skip(from).take(length));
        self.word.push('`');
        from + length + 1
    }

    fn redirection(&mut self, text: &[char], at: usize) -> usize {
        // A number right in front is a descriptor, no word.
        if self.in_word && self.word.chars().all(|c| c.is_ascii_digit() || c == '&') {
            self.word.clear();
            self.in_word = false;
            self.expands = false;
        }
        self.end_word();
        self.next_is_redirection = true;
        let run = text[at..].iter().take_while(|c| matches!(c, '>' | '<' | '-')).count();
        at + run
    }

    fn separator(&mut self, joint: Joint, next: usize) -> usize {
        self.end_command(joint);
        next
    }

    fn end_word(&mut self) {
        if !self.in_word {
            return;
        }
        let word = ShellWord { text: std::mem::take(&mut self.word), expands: self.expands };
        self.in_word = false;
        self.expands = false;
        if self.next_is_redirection {
            self.next_is_redirection = false;
            self.redirections.push(word.text);
            return;
        }
        if self.words.is_empty() && self.keyword(&word.text) {
            return;
        }
        self.words.push(word);
    }

    /// Words of the shell's own grammar open and close groups; they are no command.
    fn keyword(&mut self, word: &str) -> bool {
        if OPENERS.contains(&word) {
            self.depth += 1;
        } else if CLOSERS.contains(&word) {
            self.depth = self.depth.saturating_sub(1);
        } else if !INNER.contains(&word) {
            return false;
        }
        true
    }

    fn end_command(&mut self, following: Joint) {
        let depth_before = self.depth;
        self.end_word();
        self.next_is_redirection = false;
        let joint = self.joint.unwrap_or(Joint::Sequence);
        let redirections = std::mem::take(&mut self.redirections);
        let mut words = std::mem::take(&mut self.words);
        if words.is_empty() && redirections.is_empty() {
            // `&&` at the end of a line continues on the next.
            if following != Joint::Sequence || self.joint.is_none() {
                self.joint = Some(following);
            }
            return;
        }
        let count = words.iter().take_while(|word| assignment(&word.text).is_some()).count();
        let environment = words.drain(..count).filter_map(|word| assignment(&word.text)).collect();
        let substitutes = words.iter().any(|word| word.expands && (word.text.contains("$(") || word.text.contains('`')));
        let compound = self.depth > 0 || depth_before > 0 || substitutes;
        self.commands.push(ShellCommand { joint, environment, words, redirections, compound });
        self.joint = Some(following);
    }
}

fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

/// Whether a command's text names a variable: `$NAME`, `${NAME...}`, and `%NAME%` or `$env:NAME` of Windows shells.
///
/// Errs on the side of yes: quotes and backslashes are not looked at.
pub fn mentions_variable(command_text: &str, name: &str) -> bool {
    if name.is_empty() {
        return false;
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    command_text.match_indices(name).any(|(at, _)| {
        let before = &command_text[..at];
        let after = &command_text[at + name.len()..];
        let ends = !after.starts_with(is_part);
        let opened = before.ends_with('$') || before.ends_with("${") || before.ends_with("${#") || before.ends_with("${!");
        (ends && (opened || before.to_ascii_lowercase().ends_with("$env:")))
            || (before.ends_with('%') && after.starts_with('%'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_and_unquoted() {
        let commands = parse_commands(
            "set -ex; A=1 B='x y' npm ci --cache \"/tmp/a b\" \\\n && echo a#b >/dev/null 2>&1 || exit 1 # c",
        );
        let lines: Vec<String> = commands.iter().map(ShellCommand::one_line).collect();
        assert_eq!(lines, ["set -ex", "npm ci --cache /tmp/a b", "echo a#b", "exit 1"]);
        assert_eq!(commands[1].environment, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "x y".to_owned())]);
        assert_eq!(commands[2].joint, Joint::And);
        assert_eq!(commands[3].joint, Joint::Or);
        assert!(commands.iter().all(|command| !command.compound));
    }

    #[test]
    fn groups_and_substitutions_are_compound() {
        assert!(parse_commands("if [ -f x ]; then npm ci; fi").iter().all(|command| command.compound));
        assert!(parse_commands("(cd x && npm ci)").iter().all(|command| command.compound));
        assert!(parse_commands("echo $(date)")[0].compound);
    }

    #[test]
    fn variables_are_mentioned() {
        assert!(
            mentions_variable("echo $A", "A") && mentions_variable("echo ${A:-x}", "A") && mentions_variable("%A%", "A")
        );
        assert!(!mentions_variable("echo $AB A", "A"));
    }
}

//! The one table of keys. Footer hints and the help are made from it, so they cannot be wrong.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::ViewName;
use crate::engine::Side;

/// Where a key means something; a scope in front hides the same key behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A question with two answers.
    Dialog,
    /// The help; letters search.
    Help,
    /// The filter's line; letters are its text.
    Filter,
    /// The log over the whole screen.
    Log,
    /// Lists of steps: Build and Explain.
    Steps,
    /// The list of fixes.
    Fix,
    /// Layers and their files.
    Layers,
    /// All views.
    Everywhere,
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Build the project.
    Build,
    /// Explain the selected step.
    Why,
    /// Show the fixes.
    Fixes,
    /// Write the selected fix.
    Apply,
    /// Open the selected thing.
    Open,
    /// One layer, or all together.
    Merged,
    /// From the layers into their files, into a directory.
    Into,
    /// Out of a directory, back to the layers.
    OutOf,
    /// Open or close a directory; the beginning of a file.
    Fold,
    /// The beginning of a file, and away with it.
    Preview,
    /// A shell before or after the selected step.
    Shell(Side),
    /// Type a filter.
    Filter,
    /// The log over the whole screen, and back.
    Log,
    /// One up.
    Up,
    /// One down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first.
    Top,
    /// To the last.
    Bottom,
    /// The next step that ran.
    NextMiss,
    /// The step before that ran.
    PreviousMiss,
    /// A view.
    View(ViewName),
    /// The view to the right.
    NextView,
    /// The view to the left.
    PreviousView,
    /// The help.
    Help,
    /// One layer back; never quits.
    Back,
    /// Delete the last letter.
    Erase,
    /// The other answer.
    Toggle,
    /// The chosen answer.
    Choose,
    /// Stop the program for a while.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// Leave.
    Quit,
    /// Cancel the build, or leave.
    Interrupt,
}

/// A key with or without ctrl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(KeyCode, bool);

/// One row of the table.
pub struct Binding {
    /// Where.
    pub scope: Scope,
    /// Any of them.
    pub keys: &'static [Key],
    /// What.
    pub action: Action,
    /// Stable name, for configuration.
    pub name: &'static str,
    /// Word in the footer; empty when it is not shown there.
    pub hint: &'static str,
    /// Sentence in the help.
    pub sentence: &'static str,
}

const fn c(letter: char) -> Key {
    Key(KeyCode::Char(letter), false)
}

const fn ctrl(letter: char) -> Key {
    Key(KeyCode::Char(letter), true)
}

const fn k(code: KeyCode) -> Key {
    Key(code, false)
}

const fn bind(
    scope: Scope,
    keys: &'static [Key],
    action: Action,
    name: &'static str,
    hint: &'static str,
    sentence: &'static str,
) -> Binding {
    Binding { scope, keys, action, name, hint, sentence }
}

use Action as A;
use Scope as S;

const ESC: Key = k(KeyCode::Esc);
const ENTER: Key = k(KeyCode::Enter);

/// Every key. Order is the order of hints and help.
pub const BINDINGS: &[Binding] = &[
    bind(S::Dialog, &[ENTER], A::Choose, "dialog.choose", "choose", "take the marked answer"),
    bind(
        S::Dialog,
        &[k(KeyCode::Tab), k(KeyCode::Left), k(KeyCode::Right), c('h'), c('l'), k(KeyCode::BackTab)],
        A::Toggle,
        "dialog.toggle",
        "other answer",
        "mark the other answer",
    ),
    bind(S::Dialog, &[ESC, c('q')], A::Back, "dialog.cancel", "cancel", "close without doing anything"),
    bind(S::Help, &[ESC], A::Back, "help.close", "close", "close the help"),
    bind(S::Help, &[k(KeyCode::Up)], A::Up, "help.up", "", "scroll up"),
    bind(S::Help, &[k(KeyCode::Down)], A::Down, "help.down", "scroll", "scroll down"),
    bind(S::Help, &[k(KeyCode::PageUp)], A::PageUp, "help.page-up", "", "a page up"),
    bind(S::Help, &[k(KeyCode::PageDown)], A::PageDown, "help.page-down", "", "a page down"),
    bind(S::Help, &[k(KeyCode::Backspace)], A::Erase, "help.erase", "", "delete a letter of the search"),
    bind(S::Filter, &[ENTER], A::Choose, "filter.keep", "keep filter", "keep the filter and go back to the list"),
    bind(S::Filter, &[ESC], A::Back, "filter.clear", "clear", "clear the filter"),
    bind(S::Filter, &[k(KeyCode::Backspace)], A::Erase, "filter.erase", "", "delete a letter"),
    bind(S::Filter, &[k(KeyCode::Up)], A::Up, "filter.up", "", "one up"),
    bind(S::Filter, &[k(KeyCode::Down)], A::Down, "filter.down", "", "one down"),
    bind(S::Log, &[c('l'), c('L')], A::Log, "log.close", "close log", "back to the view"),
    bind(S::Steps, &[ENTER], A::Open, "step.open", "", "open the explanation of the step"),
    bind(S::Fix, &[c('a')], A::Apply, "fix.apply", "apply", "write this fix into the Dockerfile; asks before"),
    bind(S::Layers, &[k(KeyCode::Right)], A::Into, "layers.into", "files", "into the files of the layer; open a directory"),
    bind(S::Layers, &[k(KeyCode::Left)], A::OutOf, "layers.out", "back to layers", "close a directory; back to the layers"),
    bind(S::Layers, &[ENTER, c(' ')], A::Fold, "layers.fold", "open", "open or close a directory, show a file"),
    bind(S::Layers, &[c('v')], A::Merged, "layers.merged", "one/all", "one layer, or what all layers show together"),
    bind(S::Layers, &[c('p')], A::Preview, "layers.preview", "preview", "the beginning of the selected file"),
    bind(S::Everywhere, &[c('w')], A::Why, "step.why", "why", "explain why the step ran or did not"),
    bind(S::Everywhere, &[c('s')], A::Fixes, "step.fix", "fix", "show what to change in the Dockerfile"),
    bind(S::Everywhere, &[c('b')], A::Build, "build.start", "build", "build the project"),
    bind(S::Steps, &[c('/')], A::Filter, "steps.filter", "filter", "show only steps that contain a text"),
    bind(S::Steps, &[c('!')], A::Shell(Side::After), "step.shell", "shell", "a shell after the step, also a failed one"),
    bind(S::Steps, &[c('$')], A::Shell(Side::Before), "step.shell-before", "", "a shell before the step"),
    bind(S::Everywhere, &[c('l'), c('L')], A::Log, "step.log", "log", "the whole output of the step"),
    bind(S::Everywhere, &[k(KeyCode::Up), c('k')], A::Up, "move.up", "", "one up"),
    bind(S::Everywhere, &[k(KeyCode::Down), c('j')], A::Down, "move.down", "move", "one down"),
    bind(S::Everywhere, &[k(KeyCode::PageUp), ctrl('u')], A::PageUp, "move.page-up", "", "a page up"),
    bind(S::Everywhere, &[k(KeyCode::PageDown), ctrl('d')], A::PageDown, "move.page-down", "", "a page down"),
    bind(S::Everywhere, &[c('g'), k(KeyCode::Home)], A::Top, "move.top", "", "to the first"),
    bind(S::Everywhere, &[c('G'), k(KeyCode::End)], A::Bottom, "move.bottom", "", "to the last"),
    bind(S::Steps, &[c(']')], A::NextMiss, "step.next-miss", "next miss", "to the next step that ran"),
    bind(S::Steps, &[c('[')], A::PreviousMiss, "step.previous-miss", "", "to the step before that ran"),
    bind(S::Everywhere, &[c('1')], A::View(ViewName::Build), "view.build", "", "the steps of the build"),
    bind(S::Everywhere, &[c('2')], A::View(ViewName::Explain), "view.explain", "", "the explanation of the step"),
    bind(S::Everywhere, &[c('3')], A::View(ViewName::Cascade), "view.cascade", "", "what each change cost"),
    bind(S::Everywhere, &[c('4')], A::View(ViewName::Timeline), "view.timeline", "", "when each step ran, and what decided"),
    bind(S::Everywhere, &[c('5')], A::View(ViewName::Layers), "view.layers", "", "the layers of the step and their files"),
    bind(S::Everywhere, &[c('6')], A::View(ViewName::Fix), "view.fix", "", "the fixes"),
    bind(S::Everywhere, &[k(KeyCode::Tab)], A::NextView, "view.next", "", "the next view"),
    bind(S::Everywhere, &[k(KeyCode::BackTab)], A::PreviousView, "view.previous", "", "the view before"),
    bind(S::Everywhere, &[ESC, k(KeyCode::Backspace)], A::Back, "back", "back", "one layer back; never quits"),
    bind(S::Everywhere, &[c('q')], A::Quit, "quit", "quit", "quit; asks when a build runs"),
    bind(S::Everywhere, &[c('?'), k(KeyCode::F(1))], A::Help, "help", "help", "this help; type to search in it"),
    bind(S::Everywhere, &[ctrl('l')], A::Redraw, "redraw", "", "draw the screen anew"),
    bind(S::Everywhere, &[ctrl('z')], A::Suspend, "suspend", "", "back to the shell for a while (fg returns)"),
    bind(S::Everywhere, &[ctrl('c')], A::Interrupt, "interrupt", "", "cancel the running build; else quit"),
];

/// What a key means, asking the scopes in order, the front layer first.
pub fn lookup(scopes: &[Scope], event: KeyEvent) -> Option<Action> {
    let key = Key(event.code, event.modifiers.contains(KeyModifiers::CONTROL));
    if event.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    let in_scope = |scope: &Scope| BINDINGS.iter().find(|b| b.scope == *scope && b.keys.contains(&key));
    scopes.iter().find_map(in_scope).map(|b| b.action)
}

/// The first key of an action, for hints in the text of views.
pub fn label(action: Action) -> String {
    BINDINGS.iter().find(|b| b.action == action).map_or_else(String::new, |b| b.keys[0].label())
}

/// Bindings with a footer hint that are not hidden by a scope before theirs, in order of the table; `?` is not among them.
pub fn hints(scopes: &[Scope]) -> Vec<&'static Binding> {
    let mut shown: Vec<&'static Binding> = Vec::new();
    for binding in BINDINGS.iter().filter(|b| !b.hint.is_empty() && b.action != Action::Help) {
        let first = scopes.iter().find(|s| BINDINGS.iter().any(|b| b.scope == **s && b.keys.contains(&binding.keys[0])));
        if first == Some(&binding.scope) {
            shown.push(binding);
        }
    }
    shown
}

impl Key {
    /// As people write it: `enter`, `ctrl-c`, `w`.
    pub fn label(self) -> String {
        let name = match self.0 {
            KeyCode::Char(' ') => "space".to_owned(),
            KeyCode::Char(letter) => letter.to_string(),
            KeyCode::Enter => "enter".to_owned(),
            KeyCode::Esc => "esc".to_owned(),
            KeyCode::Tab => "tab".to_owned(),
            KeyCode::BackTab => "shift-tab".to_owned(),
            KeyCode::Backspace => "backspace".to_owned(),
            KeyCode::PageUp => "pgup".to_owned(),
            KeyCode::PageDown => "pgdn".to_owned(),
            KeyCode::F(number) => format!("F{number}"),
            other => format!("{other:?}").to_lowercase(),
        };
        if self.1 { format!("ctrl-{name}") } else { name }
    }
}

impl Binding {
    /// Its keys in the footer: the first, or both arrows for a movement.
    pub fn short(&self) -> String {
        if self.action == Action::Down { "↑↓".to_owned() } else { self.keys[0].label() }
    }

    /// All its keys: `down j`.
    pub fn labels(&self) -> String {
        self.keys.iter().map(|key| key.label()).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_bound_twice_in_a_scope_and_names_are_unique() {
        for (at, a) in BINDINGS.iter().enumerate() {
            for b in &BINDINGS[at + 1..] {
                assert_ne!(a.name, b.name);
                let clash = a.scope == b.scope && a.keys.iter().any(|key| b.keys.contains(key));
                assert!(!clash, "{} and {}", a.name, b.name);
            }
        }
    }

    #[test]
    fn arrows_and_enter_only_move_and_open() {
        for b in BINDINGS.iter().filter(|b| b.scope == Scope::Everywhere || b.scope == Scope::Steps) {
            if b.keys.contains(&k(KeyCode::Up)) || b.keys.contains(&k(KeyCode::Down)) || b.keys.contains(&ENTER) {
                assert!(matches!(b.action, Action::Up | Action::Down | Action::Open));
            }
        }
    }
}

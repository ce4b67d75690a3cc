//! The interface as a state machine: messages in, effects out, no I/O.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::keymap::{self, Action, Scope};
use super::log::LogPane;
use super::model::{Activity, Fixes, Message, Model, Outlook};
use super::msg::{Effect, Msg};
use super::theme::Theme;
use super::views::layers::LayersView;
use super::views::{self, explain::ExplainView, fix::FixView};
use super::{Exit, TuiOptions, ViewName};
use crate::engine::Side;
use crate::engine::event::{BuildEvent, Stamped};
use crate::insight::model::BuildState;
use crate::insight::suggest::SuggestReport;

/// A question with two answers; the default is the harmless one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Write the selected fix.
    Apply,
    /// Quit while a build runs.
    Quit,
}

/// What lies over the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlay {
    /// The help with its search and scroll position.
    Help {
        /// What was typed.
        query: String,
        /// First line shown.
        top: usize,
    },
    /// A question, and whether `yes` is marked.
    Dialog(Question, bool),
    /// The filter is being typed.
    Filter,
}

/// The whole interface.
pub struct App {
    /// What the views draw from.
    pub model: Model,
    /// How things look.
    pub theme: Theme,
    /// The open view.
    pub view: ViewName,
    /// State of the Explain view.
    pub explain: ExplainView,
    /// State of the Fix view.
    pub fix: FixView,
    /// State of the Layers view.
    pub layers: LayersView,
    /// Output of the selected step.
    pub log: LogPane,
    /// The log covers the view.
    pub full_log: bool,
    /// What lies over the view.
    pub overlay: Option<Overlay>,
    /// Columns and rows.
    pub size: (u16, u16),
    /// The selection follows the build.
    pub(super) follow: bool,
    start_build: bool,
    leaving: Option<Exit>,
    question: u64,
    planning: u64,
}

impl App {
    /// The interface before it knows anything, and the first effects.
    pub fn new(options: &TuiOptions) -> (Self, Vec<Effect>) {
        let app = Self {
            model: Model::default(),
            theme: Theme { mono: options.no_color, ascii: options.ascii },
            view: options.initial_view,
            explain: ExplainView::default(),
            fix: FixView::default(),
            layers: LayersView::default(),
            log: LogPane::default(),
            full_log: false,
            overlay: None,
            size: (80, 24),
            follow: true,
            start_build: options.start_build,
            leaving: None,
            question: 0,
            planning: 0,
        };
        (app, vec![Effect::LoadProject])
    }

    /// Whether the screen changes by itself as time passes.
    pub fn is_live(&self) -> bool {
        self.model.activity != Activity::Idle
    }

    /// Takes a message; returns what must be done.
    pub fn update(&mut self, msg: Msg) -> Vec<Effect> {
        let mut effects = Vec::new();
        match msg {
            Msg::Key(key) => self.key(key, &mut effects),
            Msg::Resize(columns, rows) => self.size = (columns, rows),
            Msg::Tick(clock) => self.model.clock = clock,
            Msg::Project { name, outline, last } => self.project(name, &outline, last, &mut effects),
            Msg::Build(event) => self.build_event(&event, &mut effects),
            Msg::BuildClosed => self.build_closed(&mut effects),
            Msg::BuildRefused(message) => {
                self.model.message = Some(Message::Bad(message));
                self.build_closed(&mut effects);
            }
            Msg::Output { build, vertex, offset, bytes } => self.log.loaded(&build, vertex, offset, bytes),
            Msg::Suggested(question, result) if question == self.question => self.suggested(result),
            Msg::Suggested(..) => {}
            Msg::Changed => self.plan(&mut effects),
            Msg::Planned(question, result) if question == self.planning => self.planned(result),
            Msg::Planned(..) => {}
            Msg::Layers(question, found) => self.layers.answer(question, found),
            Msg::Previewed(question, found) => self.layers.previewed(question, found),
            Msg::Applied(result) => self.applied(result, &mut effects),
            Msg::ShellLeft(Ok(words)) => self.model.message = Some(Message::Good(views::explain::sentence(&words))),
            Msg::ShellLeft(Err(words)) => self.model.message = Some(Message::Bad(words)),
            Msg::Panicked(text) => self.model.message = Some(Message::Bad(format!("internal error: {text}"))),
            Msg::Terminate => {
                if self.is_live() {
                    effects.push(Effect::CancelBuild);
                }
                effects.push(Effect::Leave(Exit::Terminated));
            }
        }
        self.clamp();
        effects.extend(self.log.follow(&self.model.state.build, self.model.step()));
        if self.view == ViewName::Layers && !self.is_live() && !self.model.is_outline() {
            effects.extend(self.layers.follow(self.model.selected));
        }
        effects
    }

    fn clamp(&mut self) {
        if self.model.step().is_none() {
            self.model.selected = self.model.state.steps.first().map(|step| step.line);
        }
        let fixes = self.model.report().map_or(0, |report| report.offered.len() + report.refused.len());
        self.fix.selected = self.fix.selected.min(fixes.saturating_sub(1));
        if self.explain.top > 0 {
            self.explain.top = self.explain.top.min(views::explain::max_top(self));
        }
        if self.fix.top > 0 {
            self.fix.top = self.fix.top.min(views::fix::max_top(self));
        }
    }

    fn project(&mut self, name: String, outline: &[Stamped], last: Option<Vec<Stamped>>, effects: &mut Vec<Effect>) {
        self.model.name = name;
        self.layers.forget();
        if !self.is_live() {
            self.model.state = BuildState::fold(last.as_deref().unwrap_or(outline));
            self.model.state.end_here();
            self.model.selected = self.model.telling_line();
        }
        self.suggest(effects);
        match std::mem::take(&mut self.start_build) {
            true => self.start(effects),
            false => self.plan(effects),
        }
    }

    fn start(&mut self, effects: &mut Vec<Effect>) {
        if self.is_live() {
            self.model.message = Some(Message::Bad("a build is running: ctrl-c cancels it".to_owned()));
            return;
        }
        self.model.activity = Activity::Building;
        self.model.clock = 0;
        self.model.outlook = Outlook::Unknown;
        self.layers.forget();
        self.model.message = None;
        self.follow = true;
        effects.push(Effect::StartBuild);
    }

    fn suggest(&mut self, effects: &mut Vec<Effect>) {
        self.question += 1;
        if self.model.report().is_none() {
            self.model.fixes = Fixes::Looking;
        }
        effects.push(Effect::Suggest(self.question));
    }

    /// Asks what the next build will do; while one runs, nobody can say.
    fn plan(&mut self, effects: &mut Vec<Effect>) {
        if !self.is_live() {
            self.planning += 1;
            effects.push(Effect::Plan(self.planning));
        }
    }

    fn planned(&mut self, result: Result<Vec<Stamped>, String>) {
        self.model.outlook = match result {
            Ok(events) => Outlook::Known(Box::new(BuildState::fold(&events))),
            Err(message) => Outlook::Failed(message),
        };
    }

    fn suggested(&mut self, result: Result<SuggestReport, String>) {
        self.model.fixes = match result {
            Ok(report) => Fixes::Known(report),
            Err(message) => Fixes::Failed(message),
        };
    }

    fn applied(&mut self, result: Result<String, String>, effects: &mut Vec<Effect>) {
        self.model.message = Some(match result {
            Ok(backup) => {
                // The folder is the Dockerfile's own, which everybody here knows.
                let name = backup.rsplit('/').next().unwrap_or(&backup);
                Message::Good(format!("Written; {name} is the file before. Press b to build."))
            }
            Err(message) => Message::Bad(message),
        });
        self.suggest(effects);
    }

    fn build_event(&mut self, stamped: &Stamped, effects: &mut Vec<Effect>) {
        if matches!(stamped.event, BuildEvent::BuildStarted { .. }) {
            self.model.state = BuildState::default();
        }
        self.model.state.apply(stamped);
        self.model.clock = self.model.clock.max(stamped.at);
        match stamped.event {
            BuildEvent::VertexStarted { vertex } if self.follow => {
                let line = self.model.state.step(vertex).map(|step| step.line);
                self.model.selected = line.or(self.model.selected);
            }
            BuildEvent::BuildFinished { .. } => self.build_closed(effects),
            _ => {}
        }
    }

    fn build_closed(&mut self, effects: &mut Vec<Effect>) {
        if self.model.activity == Activity::Idle {
            return;
        }
        self.model.state.end_here();
        if self.model.activity == Activity::Cancelling {
            self.model.message = Some(Message::Good("Cancelled. Finished steps are kept; press b to go on.".to_owned()));
        }
        self.model.activity = Activity::Idle;
        if let Some(exit) = self.leaving {
            effects.push(Effect::Leave(exit));
            return;
        }
        if self.follow {
            self.model.selected = self.model.telling_line().or(self.model.selected);
        }
        self.suggest(effects);
        self.plan(effects);
    }

    /// The scopes of keys, the front layer first.
    pub fn scopes(&self) -> Vec<Scope> {
        match &self.overlay {
            Some(Overlay::Dialog(..)) => return vec![Scope::Dialog],
            Some(Overlay::Help { .. }) => return vec![Scope::Help],
            Some(Overlay::Filter) => return vec![Scope::Filter],
            None => {}
        }
        let view = match (self.full_log, self.view) {
            (true, _) => Scope::Log,
            (false, ViewName::Fix) => Scope::Fix,
            (false, ViewName::Layers) => Scope::Layers,
            (false, _) => Scope::Steps,
        };
        vec![view, Scope::Everywhere]
    }

    fn key(&mut self, key: KeyEvent, effects: &mut Vec<Effect>) {
        self.model.message = None;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(key.code, KeyCode::Char('c')) {
            return self.interrupt(effects);
        }
        if let Some(action) = keymap::lookup(&self.scopes(), key) {
            return self.act(action, effects);
        }
        let (KeyCode::Char(letter), false) = (key.code, control) else { return };
        match &mut self.overlay {
            Some(Overlay::Help { query, top }) => {
                query.push(letter);
                *top = 0;
            }
            Some(Overlay::Filter) => {
                self.model.filter.push(letter);
                self.select_listed();
            }
            _ => {}
        }
    }

    fn act(&mut self, action: Action, effects: &mut Vec<Effect>) {
        match action {
            Action::Build => self.start(effects),
            Action::Why | Action::Open => self.show(ViewName::Explain),
            Action::Fixes => self.show(ViewName::Fix),
            Action::View(view) => self.show(view),
            Action::NextView => self.show(turn(self.view, 1)),
            Action::PreviousView => self.show(turn(self.view, ORDER.len() - 1)),
            Action::Apply => self.ask_apply(),
            Action::Merged | Action::Into | Action::OutOf | Action::Fold | Action::Preview => {
                effects.extend(self.layers.act(action));
            }
            Action::Shell(side) => self.shell(side, effects),
            Action::Filter => {
                self.overlay = Some(Overlay::Filter);
            }
            Action::Log => {
                self.full_log = !self.full_log;
                self.log.top = None;
            }
            Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::Top | Action::Bottom => {
                self.go(action);
            }
            Action::NextMiss => self.next_miss(false),
            Action::PreviousMiss => self.next_miss(true),
            Action::Help => self.overlay = Some(Overlay::Help { query: String::new(), top: 0 }),
            Action::Back => self.back(),
            Action::Erase => self.erase(),
            Action::Toggle => {
                if let Some(Overlay::Dialog(_, yes)) = &mut self.overlay {
                    *yes = !*yes;
                }
            }
            Action::Choose => self.choose(effects),
            Action::Suspend => effects.push(Effect::Suspend),
            Action::Redraw => effects.push(Effect::Redraw),
            Action::Quit if self.is_live() => self.overlay = Some(Overlay::Dialog(Question::Quit, false)),
            Action::Quit => effects.push(Effect::Leave(Exit::Quit)),
            Action::Interrupt => self.interrupt(effects),
        }
    }

    fn show(&mut self, view: ViewName) {
        self.view = view;
        self.full_log = false;
        self.explain.top = 0;
        self.fix.top = 0;
    }

    fn interrupt(&mut self, effects: &mut Vec<Effect>) {
        if self.model.activity == Activity::Building {
            self.model.activity = Activity::Cancelling;
            let words = "Cancelling the build. Press ctrl-c again to leave at once.";
            self.model.message = Some(Message::Bad(words.to_owned()));
            effects.push(Effect::CancelBuild);
        } else {
            effects.push(Effect::Leave(Exit::Interrupted));
        }
    }

    fn ask_apply(&mut self) {
        if self.model.activity != Activity::Idle {
            self.model.message = Some(Message::Bad("wait for the build to end before writing the Dockerfile".to_owned()));
        } else if self.fix.suggestion(&self.model).is_some() {
            self.overlay = Some(Overlay::Dialog(Question::Apply, false));
        } else {
            self.model.message = Some(Message::Bad("there is nothing to apply here".to_owned()));
        }
    }

    fn shell(&mut self, side: Side, effects: &mut Vec<Effect>) {
        if self.is_live() {
            self.model.message = Some(Message::Bad("wait for the build to end before opening a shell".to_owned()));
        } else if let Some(step) = self.model.step() {
            effects.push(Effect::Shell(step.line, side));
        }
    }

    fn choose(&mut self, effects: &mut Vec<Effect>) {
        match self.overlay.take() {
            Some(Overlay::Dialog(Question::Apply, true)) => {
                effects.extend(self.fix.suggestion(&self.model).map(|s| Effect::Apply(Box::new(s.clone()))));
            }
            Some(Overlay::Dialog(Question::Quit, true)) if self.is_live() => {
                self.leaving = Some(Exit::Quit);
                self.model.activity = Activity::Cancelling;
                self.model.message = Some(Message::Bad("Cancelling the build, then leaving.".to_owned()));
                effects.push(Effect::CancelBuild);
            }
            Some(Overlay::Dialog(Question::Quit, true)) => effects.push(Effect::Leave(Exit::Quit)),
            _ => {}
        }
    }

    fn back(&mut self) {
        if let Some(overlay) = self.overlay.take() {
            if overlay == Overlay::Filter {
                self.model.filter.clear();
            }
        } else if self.full_log {
            self.full_log = false;
            self.log.top = None;
        } else if self.view == ViewName::Layers && self.layers.close_preview() {
            // Only the preview was closed.
        } else if !self.model.filter.is_empty() && self.view == ViewName::Build {
            self.model.filter.clear();
        } else {
            self.show(ViewName::Build);
        }
    }

    fn erase(&mut self) {
        match &mut self.overlay {
            Some(Overlay::Help { query, .. }) => {
                query.pop();
            }
            Some(Overlay::Filter) => {
                self.model.filter.pop();
            }
            _ => {}
        }
    }
}

/// The views in the order of their keys.
const ORDER: [ViewName; 6] =
    [ViewName::Build, ViewName::Explain, ViewName::Cascade, ViewName::Timeline, ViewName::Layers, ViewName::Fix];

fn turn(view: ViewName, steps: usize) -> ViewName {
    let at = ORDER.iter().position(|v| *v == view).unwrap_or(0);
    ORDER[(at + steps) % ORDER.len()]
}

//! Where movements lead: the selection in lists, the first row of texts.

use super::ViewName;
use super::app::{App, Overlay};
use super::keymap::Action;
use super::views;
use crate::insight::model::{Mark, Step};

impl App {
    /// Moves what is in front: help, log, text or list.
    pub(super) fn go(&mut self, action: Action) {
        let page = usize::from(self.size.1 / 2).max(1);
        if let Some(Overlay::Help { top, .. }) = &mut self.overlay {
            *top = moved(*top, action, page, views::help::LINES);
        } else if self.full_log {
            let last = views::build::log_len(self).saturating_sub(views::log_height(self.size));
            let top = moved(self.log.top.unwrap_or(last).min(last), action, page, last + 1);
            self.log.top = (top < last).then_some(top);
        } else if self.view == ViewName::Layers {
            self.layers.go(action, page);
        } else if matches!(action, Action::PageUp | Action::PageDown) && self.view != ViewName::Build {
            let top = if self.view == ViewName::Fix { &mut self.fix.top } else { &mut self.explain.top };
            *top = moved(*top, action, page, usize::MAX);
        } else if self.view == ViewName::Fix {
            let rows = self.model.report().map_or(0, |r| r.offered.len() + r.refused.len());
            self.fix.selected = moved(self.fix.selected, action, page, rows);
            self.fix.top = 0;
        } else {
            let lines: Vec<u32> = self.model.listed().map(|step| step.line).collect();
            let at = lines.iter().position(|line| Some(*line) == self.model.selected).unwrap_or(0);
            self.select(lines.get(moved(at, action, page, lines.len())).copied());
        }
    }

    fn select(&mut self, line: Option<u32>) {
        self.model.selected = line.or(self.model.selected);
        self.explain.top = 0;
        self.follow = false;
    }

    /// Selects a step that the filter shows.
    pub(super) fn select_listed(&mut self) {
        let visible = self.model.listed().any(|step| Some(step.line) == self.model.selected);
        let first = self.model.listed().next().map(|step| step.line);
        if !visible {
            self.select(first);
        }
    }

    /// Selects the next, or the previous, step that ran.
    pub(super) fn next_miss(&mut self, back: bool) {
        let state = &self.model.state;
        let missed = |s: &&Step| {
            let mark = state.mark(s);
            mark.ran() || matches!(mark, Mark::Failed | Mark::Running)
        };
        let mut lines: Vec<u32> = self.model.listed().filter(missed).map(|s| s.line).collect();
        let here = self.model.selected.unwrap_or(0);
        if back {
            lines.reverse();
        }
        let next = lines.iter().copied().find(|line| if back { *line < here } else { *line > here });
        self.select(next.or(lines.first().copied()));
    }
}

/// A position among `count` after a movement.
pub(super) fn moved(at: usize, action: Action, page: usize, count: usize) -> usize {
    let last = count.saturating_sub(1);
    match action {
        Action::Up => at.saturating_sub(1),
        Action::Down => at.saturating_add(1).min(last),
        Action::PageUp => at.saturating_sub(page),
        Action::PageDown => at.saturating_add(page).min(last),
        Action::Top => 0,
        Action::Bottom => last,
        _ => at,
    }
}

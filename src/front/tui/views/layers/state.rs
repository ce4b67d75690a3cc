//! What the Layers view knows and where it stands in it. Everything slow was done before it came here.

use std::collections::HashSet;
use std::sync::Arc;

use super::preview::PreviewText;
use crate::engine::Layered;
use crate::engine::image::inspect::{
    self, Efficiency, Kind, Mark, Place, Row, Stack, WasteGroup, changed_rows, efficiency, merged_rows, wasted_by_layer,
};
use crate::front::tui::keymap::Action;
use crate::front::tui::movement::moved;
use crate::front::tui::msg::Effect;

/// Layers that were read, with their trees and sums: whatever takes time is done before they are drawn.
pub struct LayersFound {
    /// What was opened.
    pub of: Layered,
    /// What it holds.
    pub stack: Stack,
    /// What each layer did.
    pub changed: Vec<Vec<Row>>,
    /// What all of them show.
    pub merged: Vec<Row>,
    /// Bytes of each layer's files.
    pub bytes: Vec<u64>,
    /// Wasted bytes of each layer.
    pub wasted: Vec<u64>,
    /// What is wasted, the most first.
    pub groups: Vec<WasteGroup>,
    /// How much of what is carried is needed.
    pub efficiency: Efficiency,
}

impl LayersFound {
    /// Makes the trees.
    pub fn new(of: Layered, stack: Stack) -> Self {
        let changed = (0..stack.listings().len()).map(|layer| changed_rows(&stack, layer)).collect();
        let bytes = (0..stack.listings().len()).map(|layer| stack.bytes(layer)).collect();
        let (merged, wasted, efficiency) = (merged_rows(&stack), wasted_by_layer(&stack), efficiency(&stack));
        let groups = inspect::wasted(&stack);
        Self { of, stack, changed, merged, bytes, wasted, groups, efficiency }
    }
}

/// Found layers as part of messages and effects: the same when they are the same reading.
#[derive(Clone)]
pub struct Reading(pub Arc<LayersFound>);

impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reading({:?})", self.0.of.name)
    }
}

/// What is known of something that was asked for.
#[derive(Clone, Default)]
pub enum Answer<T> {
    /// Nobody asked.
    #[default]
    None,
    /// Asked.
    Waiting,
    /// Known.
    Known(T),
    /// It failed; the message.
    Failed(String),
}

/// State of the view.
#[derive(Default)]
pub struct LayersView {
    /// The layers.
    pub found: Answer<Reading>,
    /// The selected layer, from 0.
    pub layer: usize,
    /// The tree shows what all layers show together.
    pub merged: bool,
    /// Keys move in the tree, not in the list of layers.
    pub in_tree: bool,
    /// The selected one of the visible rows.
    pub row: usize,
    /// Rows in sight, by their number in the tree.
    pub visible: Vec<usize>,
    /// The beginning of a file, and which.
    pub preview: Answer<PreviewText>,
    /// First line of the preview.
    pub top: usize,
    open: HashSet<usize>,
    line: Option<u32>,
    question: u64,
    file_question: u64,
}

/// A tree with no more rows than this is shown unfolded.
const UNFOLDED: usize = 60;

impl LayersView {
    /// Asks for the layers of the step of a line, unless they are known or asked for.
    pub fn follow(&mut self, line: Option<u32>) -> Option<Effect> {
        let line = line.filter(|line| self.line != Some(*line))?;
        self.forget();
        self.line = Some(line);
        self.found = Answer::Waiting;
        Some(Effect::Layers(self.question, line))
    }

    /// What is known is of a former build.
    pub fn forget(&mut self) {
        let (question, file_question) = (self.question + 1, self.file_question + 1);
        *self = Self { question, file_question, merged: self.merged, ..Self::default() };
    }

    /// An answer; one to an older question is dropped.
    pub fn answer(&mut self, question: u64, found: Result<Reading, String>) {
        if question != self.question {
            return;
        }
        match found {
            Ok(found) => {
                self.layer = found.0.changed.len().saturating_sub(1);
                self.found = Answer::Known(found);
                self.unfold();
            }
            Err(message) => self.found = Answer::Failed(message),
        }
    }

    /// The beginning of a file came.
    pub fn previewed(&mut self, question: u64, found: Result<PreviewText, String>) {
        if question == self.file_question {
            self.preview = found.map_or_else(Answer::Failed, Answer::Known);
        }
    }

    /// The layers, when they are known.
    pub fn known(&self) -> Option<&LayersFound> {
        match &self.found {
            Answer::Known(found) => Some(&found.0),
            _ => None,
        }
    }

    /// The rows of the open tree.
    pub fn rows(&self) -> &[Row] {
        let tree = self.known().map(|found| match self.merged {
            true => &found.merged,
            false => found.changed.get(self.layer).unwrap_or(&found.merged),
        });
        tree.map_or(&[], Vec::as_slice)
    }

    /// The selected row and its number in the tree.
    pub fn selected(&self) -> Option<(usize, &Row)> {
        let at = *self.visible.get(self.row)?;
        Some((at, self.rows().get(at)?))
    }

    /// Whether a row has rows below it that are in sight.
    pub fn is_open(&self, at: usize) -> bool {
        self.open.contains(&at)
    }

    /// Whether a preview covers a part of the tree.
    pub fn has_preview(&self) -> bool {
        !matches!(self.preview, Answer::None)
    }

    /// Closes the preview; whether there was one.
    pub fn close_preview(&mut self) -> bool {
        self.file_question += 1;
        self.top = 0;
        !matches!(std::mem::take(&mut self.preview), Answer::None)
    }

    /// A tree as it is first seen: small ones whole, of large ones what a layer did, where it did it: a directory that it brought
    /// or took away stays closed.
    fn unfold(&mut self) {
        self.row = 0;
        self.close_preview();
        let rows = self.rows();
        let is_small = rows.len() <= UNFOLDED;
        let leads_to_more = |row: &Row| !self.merged && matches!(row.mark, None | Some(Mark::Named));
        let opens = |(at, row): &(usize, &Row)| row.end > at + 1 && (is_small || leads_to_more(row));
        self.open = rows.iter().enumerate().filter(opens).map(|(at, _)| at).collect();
        self.look();
    }

    /// Finds the rows in sight: as many steps as there are such rows.
    fn look(&mut self) {
        let rows = self.rows();
        let mut visible = Vec::new();
        let mut at = 0;
        while let Some(row) = rows.get(at) {
            visible.push(at);
            at = if self.open.contains(&at) { at + 1 } else { row.end.max(at + 1) };
        }
        self.row = self.row.min(visible.len().saturating_sub(1));
        self.visible = visible;
    }

    /// Moves in the list, the tree or the preview.
    pub fn go(&mut self, action: Action, page: usize) {
        let lines = match &self.preview {
            Answer::Known(text) => text.lines.len(),
            _ => 0,
        };
        if self.has_preview() && matches!(action, Action::PageUp | Action::PageDown) {
            self.top = moved(self.top, action, page / 2 + 1, lines);
        } else if self.in_tree {
            self.row = moved(self.row, action, page, self.visible.len());
            self.close_preview();
        } else {
            let layers = self.known().map_or(0, |found| found.changed.len());
            // The highest stands first.
            let from_top = layers.saturating_sub(1).saturating_sub(self.layer);
            self.layer = layers.saturating_sub(1).saturating_sub(moved(from_top, action, page, layers));
            if !self.merged {
                self.unfold();
            }
        }
    }

    /// One of the keys of this view.
    pub fn act(&mut self, action: Action) -> Option<Effect> {
        match action {
            Action::Merged => {
                self.merged = !self.merged;
                self.unfold();
            }
            Action::Into if !self.in_tree => self.in_tree = !self.rows().is_empty(),
            Action::Into => self.set_open(true),
            Action::OutOf => self.out(),
            Action::Fold if !self.in_tree => self.in_tree = !self.rows().is_empty(),
            Action::Fold => {
                let (at, row) = self.selected()?;
                if !row.is_directory {
                    return self.ask_preview();
                }
                let is_open = self.is_open(at);
                self.set_open(!is_open);
            }
            Action::Preview if self.has_preview() => {
                self.close_preview();
            }
            Action::Preview => return self.ask_preview(),
            _ => {}
        }
        None
    }

    fn set_open(&mut self, open: bool) {
        let Some((at, row)) = self.selected() else { return };
        if row.end <= at + 1 {
            return;
        }
        if open {
            self.open.insert(at)
        } else {
            self.open.remove(&at)
        };
        self.look();
    }

    /// Folds the directory, else goes to the one above, else back to the layers.
    fn out(&mut self) {
        let Some((at, row)) = self.selected().filter(|_| self.in_tree) else {
            self.in_tree = false;
            return;
        };
        let parent = row.path.parent().filter(|parent| !parent.is_root());
        if self.is_open(at) && row.end > at + 1 {
            self.set_open(false);
        } else if let Some(parent) = parent {
            let rows = self.rows();
            let above = self.visible[..self.row].iter().rposition(|at| rows[*at].path == parent);
            self.row = above.unwrap_or(self.row);
            self.close_preview();
        } else {
            self.in_tree = false;
        }
    }

    /// The bytes of the selected file: those that the tree shows, which for what was removed are those of before.
    fn ask_preview(&mut self) -> Option<Effect> {
        let Answer::Known(found) = &self.found else { return None };
        let stack = &found.0.stack;
        let (_, row) = self.selected()?;
        let node = stack.at(&row.path).filter(|node| Some(node.place) == row.place);
        let place = node.and_then(|node| stack.body(node)).or(row.place)?;
        let (Place { layer, entry: Some(entry) }, file) = (place, stack.entry(place)?) else { return None };
        let (path, found, is_file) = (row.path.clone(), found.clone(), file.kind == Kind::File);
        self.close_preview();
        if !is_file {
            self.preview = Answer::Failed("It has no bytes of its own.".to_owned());
            return None;
        }
        self.preview = Answer::Waiting;
        Some(Effect::Preview { question: self.file_question, of: found, path, layer, entry })
    }
}

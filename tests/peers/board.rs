//! The table of the matrix: verdicts down, Dockerfiles across.

use std::collections::BTreeMap;

use super::differences::{MATRIX, NOT_PLAYED};
use super::matrix::VERDICTS;
use super::projects::PROJECTS;

/// How many steps of one build agree.
#[derive(Default)]
pub struct Cell {
    pub agree: usize,
    pub differ: usize,
    pub meant: usize,
    /// Steps that the other side does not name.
    pub unseen: usize,
    /// There was no other side.
    pub alone: bool,
}

#[derive(Default)]
pub struct Board {
    pub cells: BTreeMap<(&'static str, &'static str), Cell>,
    pub wrong: Vec<String>,
}

impl Board {
    /// In each cell the steps that agree, of those that were compared.
    pub fn print(&self) {
        let row = |cells: &mut dyn Iterator<Item = String>| cells.map(|cell| format!("{cell:>14}")).collect::<String>();
        println!("\n{:<8}{}", "verdict", row(&mut PROJECTS.iter().map(|project| project.name.to_owned())));
        for verdict in VERDICTS {
            let cell = |name| match self.cells.get(&(verdict.code, name)) {
                None => String::new(),
                Some(cell) if cell.alone => "ours alone".into(),
                Some(Cell { agree, differ: 0, meant: 0, .. }) => format!("{agree}/{agree}"),
                Some(Cell { agree, differ, meant, .. }) => format!("{agree}/{}", agree + differ + meant),
            };
            println!("{:<8}{}", verdict.code, row(&mut PROJECTS.iter().map(|project| cell(project.name))));
        }
        for verdict in VERDICTS.iter().filter(|verdict| verdict.alone.is_some()) {
            println!("{:<8}ours alone: {}", verdict.code, verdict.alone.unwrap_or_default());
        }
        for (code, why) in NOT_PLAYED {
            println!("{code:<8}not played: {why}");
        }
        for (code, name, instruction, why) in MATRIX {
            println!("{code:<8}meant: {name}: {instruction}: {why}");
        }
        println!("{}", self.totals());
    }

    pub fn totals(&self) -> String {
        let sum = |count: fn(&Cell) -> usize| self.cells.values().filter(|cell| !cell.alone).map(count).sum::<usize>();
        let compared = sum(|_| 1);
        let (agree, differ, meant, unseen) = (sum(|c| c.agree), sum(|c| c.differ), sum(|c| c.meant), sum(|c| c.unseen));
        format!(
            "{compared} builds compared, {} of ours alone: {agree} steps agree, {differ} differ, {meant} differ on purpose, \
             {unseen} are not named by the other side",
            self.cells.len() - compared
        )
    }
}

//! Plays a group on both sides.

use super::case::Group;
use super::judge::{Outcome, disagreement, judge};
use super::known::{deviation, unplayable};
use super::lab::{Built, Peer};
use super::ours::{Answer, Engine};

/// What became of a case.
#[derive(Debug)]
pub enum Verdict {
    /// An image equal to BuildKit's.
    Passed,
    /// Refused by both; in our words.
    Refused(String),
    /// It cannot be played.
    Skipped(String),
    /// Answered differently on purpose.
    Deviates(String),
    Failed(String),
}

/// The verdicts on the cases of a group, in their order, each with what has to be known about it.
pub fn play(group: &Group, engine: &Engine, peer: &Peer) -> Vec<(Verdict, Option<&'static str>)> {
    let mut group = group.clone();
    for case in &mut group.cases {
        case.skip = case.skip.take().or_else(|| unplayable(&case.name).map(str::to_owned));
    }
    let lab = peer.build(&group);
    let home = engine.folder();
    let mut ours: Vec<Answer> = Vec::new();
    let mut verdicts = Vec::new();
    for (at, case) in group.cases.iter().enumerate() {
        if let Some(why) = &case.skip {
            ours.push(Answer { built: Built::Error(why.clone()), output: String::new() });
            verdicts.push((Verdict::Skipped(why.clone()), None));
            continue;
        }
        ours.push(engine.build(case, at, home.path()));
        let outcome = judge(case, at, &ours, &lab);
        let verdict = match (outcome, deviation(&case.name)) {
            (Outcome::Wrong(_), Some(reason)) => Verdict::Deviates(reason.to_owned()),
            (_, Some(_)) => Verdict::Failed("is on the list of deviations, but does not deviate".into()),
            (Outcome::Wrong(why), None) => Verdict::Failed(why),
            (Outcome::Equal, None) => Verdict::Passed,
            (Outcome::Refused(words), None) => Verdict::Refused(words),
            (Outcome::Unjudged(why), None) => Verdict::Skipped(why.to_owned()),
        };
        verdicts.push((verdict, disagreement(case, &lab[at])));
    }
    verdicts
}

//! A budget on what a change costs.

use serde::Serialize;

use super::whatif::Answer;

/// What comes of holding a price against a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// No budget was given.
    NotAsked,
    /// The change costs no more.
    Within,
    /// What is known of its price is more already.
    Over,
    /// Steps that run have no time on record, and the others are within: nobody knows.
    Unknown,
}

/// Holds the certain seconds of a change against a budget in microseconds. A change that runs nothing costs nothing, whatever
/// is on record.
pub fn judge(answer: &Answer, max: Option<u64>) -> Judgement {
    let Some(max) = max else { return Judgement::NotAsked };
    let untimed = answer.steps.iter().any(|step| step.certain && !step.is_base && step.micros.is_none());
    match (answer.certain_micros > max, untimed) {
        (true, _) => Judgement::Over,
        (false, true) => Judgement::Unknown,
        (false, false) => Judgement::Within,
    }
}

#[cfg(test)]
mod tests {
    use super::super::whatif::StepForecast;
    use super::*;

    fn answer(times: &[Option<u64>]) -> Answer {
        let step = |micros: &Option<u64>| StepForecast {
            line: 1,
            stage: "0".into(),
            instruction: "RUN x".into(),
            certain: true,
            depends_on: Vec::new(),
            causes: Vec::new(),
            micros: *micros,
            is_base: false,
        };
        Answer { steps: times.iter().map(step).collect(), certain_micros: times.iter().flatten().sum(), ..Answer::default() }
    }

    #[test]
    fn a_budget_is_judged_only_where_it_can_be() {
        assert_eq!(judge(&answer(&[Some(5), Some(6)]), None), Judgement::NotAsked);
        assert_eq!(judge(&answer(&[Some(5), Some(6)]), Some(11)), Judgement::Within);
        assert_eq!(judge(&answer(&[Some(5), Some(6)]), Some(10)), Judgement::Over);
        assert_eq!(judge(&answer(&[Some(5), None]), Some(10)), Judgement::Unknown);
        assert_eq!(judge(&answer(&[Some(11), None]), Some(10)), Judgement::Over);
        assert_eq!(judge(&answer(&[]), Some(0)), Judgement::Within);
    }
}

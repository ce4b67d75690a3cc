//! The search beside all permutations, and what it does where orders cost the same.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Found, Limits, Quality, Step, Task, search};

const LIMITS: Limits = Limits { sets: 6_000, width: 50, group: 8 };

fn step(micros: u64, needs: &[usize], changed_by: &[usize]) -> Step {
    Step { micros, needs: needs.iter().copied().collect(), changed_by: changed_by.iter().copied().collect() }
}

fn task(steps: Vec<Step>) -> Task {
    Task { steps, ..Task::default() }
}

/// By the definition: each commit runs the first step that it changes, and all below it.
fn cost(task: &Task, order: &[usize]) -> u64 {
    let commits: BTreeSet<usize> =
        task.steps.iter().flat_map(|step| &step.changed_by).chain(&task.below_all).copied().collect();
    let of = |commit: usize| -> u64 {
        let hit = |step: &&usize| !task.below_all.contains(&commit) && !task.steps[**step].changed_by.contains(&commit);
        let first = order.iter().take_while(hit).count();
        order[first..].iter().map(|step| task.steps[*step].micros).sum()
    };
    commits.into_iter().map(of).sum()
}

fn dislike(task: &Task, order: &[usize]) -> u64 {
    let pairs = order.iter().enumerate().flat_map(|(at, above)| order[at + 1..].iter().map(move |below| (*above, *below)));
    pairs.filter_map(|pair| task.dislikes.get(&pair)).sum()
}

fn keeps_needs(task: &Task, order: &[usize]) -> bool {
    order.iter().enumerate().all(|(at, step)| task.steps[*step].needs.iter().all(|need| order[..at].contains(need)))
}

fn permutations(rest: &[usize]) -> Vec<Vec<usize>> {
    if rest.is_empty() {
        return vec![Vec::new()];
    }
    let with_first = |first: &usize| {
        let others: Vec<usize> = rest.iter().filter(|other| *other != first).copied().collect();
        permutations(&others).into_iter().map(|tail| [vec![*first], tail].concat()).collect::<Vec<_>>()
    };
    rest.iter().flat_map(with_first).collect()
}

fn tasks() -> impl Strategy<Value = Task> {
    let step = (0_u64..5, proptest::collection::vec(0_usize..7, 0..3), proptest::collection::btree_set(0_usize..9, 0..4));
    let steps = proptest::collection::vec(step, 1..=7);
    let dislikes = proptest::collection::btree_map((0_usize..7, 0_usize..7), 1_u64..4, 0..8);
    (steps, proptest::collection::btree_set(0_usize..9, 0..2), dislikes).prop_map(|(steps, below_all, dislikes)| {
        let made = steps.into_iter().enumerate().map(|(at, (micros, needs, changed_by))| {
            let needs = needs.into_iter().filter(|need| *need < at).collect();
            Step { micros, needs, changed_by }
        });
        Task { steps: made.collect(), below_all, dislikes }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_exact_search_finds_the_least_of_all_permutations(task in tasks()) {
        let found = search(&task, LIMITS);
        let all = permutations(&(0..task.steps.len()).collect::<Vec<_>>());
        let orders: Vec<Vec<usize>> = all.into_iter().filter(|order| keeps_needs(&task, order)).collect();
        let best = orders.iter().map(|order| (cost(&task, order), dislike(&task, order))).min().unwrap();
        prop_assert!(keeps_needs(&task, &found.order));
        prop_assert_eq!((cost(&task, &found.order), dislike(&task, &found.order)), best);
        prop_assert_eq!((found.micros, task.cost(&found.order)), (best.0, best.0));
        prop_assert_eq!(found.quality, Quality::Optimal { orders: Some(orders.len() as u64) });
    }

    /// However narrow it looks: what it says about the distance to the best is true, and the author's order is not made worse.
    #[test]
    fn the_narrow_search_says_truly_how_far_it_may_be_off(task in tasks(), width in 1_usize..4, group in 1_usize..4) {
        let best = search(&task, LIMITS).micros;
        let Found { order, micros, quality } = search(&task, Limits { sets: 0, width, group });
        let author: Vec<usize> = (0..task.steps.len()).collect();
        prop_assert!(keeps_needs(&task, &order) && micros == cost(&task, &order) && micros <= cost(&task, &author));
        match quality {
            Quality::Optimal { orders } => prop_assert_eq!((micros, orders), (best, None)),
            Quality::Within { micros: off } => prop_assert!(off > 0 && micros - off <= best && best <= micros),
        }
    }
}

#[test]
fn what_changes_often_and_takes_little_goes_below_what_is_dear() {
    let found = search(&task(vec![step(1, &[], &[0, 1, 2]), step(50, &[], &[3]), step(7, &[0], &[])]), LIMITS);
    assert_eq!(found.order, [1, 0, 2]);
    assert_eq!((found.micros, found.quality), (50 + 4 + 4 * 7, Quality::Optimal { orders: Some(3) }));
}

#[test]
fn the_authors_order_stays_where_nothing_is_gained() {
    let mut same = task(vec![step(4, &[], &[0]), step(4, &[], &[1]), step(4, &[], &[2])]);
    for (above, below) in [(1, 0), (2, 0), (2, 1)] {
        same.dislikes.insert((above, below), 1);
    }
    assert_eq!(search(&same, LIMITS).order, [0, 1, 2]);
    assert_eq!(search(&same, Limits { sets: 0, width: 1, group: 1 }).order, [0, 1, 2]);
    // What all stand on changes with every commit: no order helps.
    let mut hopeless = task(vec![step(4, &[], &[0, 1]), step(400, &[], &[])]);
    (hopeless.below_all, hopeless.dislikes) = ([0, 1].into(), [((1, 0), 1)].into());
    assert_eq!(search(&hopeless, LIMITS).order, [0, 1]);
}

#[test]
fn many_free_steps_are_searched_narrowly_and_the_bound_can_still_prove_it() {
    // Thirty steps without needs have a thousand million sets; dear ones first is right, and the bound knows when it is reached.
    let free: Vec<Step> = (0..30).map(|at| step(1 + at as u64, &[], if at < 29 { &[] } else { &[0] })).collect();
    let found = search(&task(free), LIMITS);
    assert_eq!((found.micros, found.quality), (30, Quality::Optimal { orders: None }));
    assert_eq!(found.order.last(), Some(&29));
    let limits = [1, 30, 200, 2_000].map(|steps| (Limits::of(steps).sets, Limits::of(steps).width));
    assert_eq!(limits, [(100_000, 500), (55_555, 370), (1_250, 1), (1_000, 1)]);
    let none = search(&Task::default(), LIMITS);
    assert_eq!((none.order, none.micros), (Vec::new(), 0));
}

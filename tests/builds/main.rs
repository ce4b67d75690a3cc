//! The builds of other projects' test suites, by our program and by a real BuildKit.
//!
//! `cargo test --test conformance_builds -- --nocapture`, with `RBUILD_TUI_CONFORMANCE` (folder of the cases), `RBUILD_LAB` and
//! `RBUILD_LAB_SCRIPTS` set, as root. `RBUILD_BUILDS=PART` plays only cases whose name contains it. What the lab built is kept
//! in its folder, so that a second run asks it nothing. What cannot be played is skipped by name.

mod base;
mod case;
mod compare;
mod context;
mod judge;
mod known;
mod lab;
mod ours;
mod play;
mod rootless;
mod sets;
mod table;
mod tree;

use std::sync::Mutex;

use case::{Group, folder};
use table::Table;

/// Groups are shared out among so many threads, each with a store of its own.
const THREADS: usize = 2;

#[test]
fn conformance_builds() {
    let ready = || {
        let cases = folder("RBUILD_TUI_CONFORMANCE")?;
        if rustix::process::geteuid().is_root() { Ok((cases, lab::Peer::open()?)) } else { Err("needs root".to_owned()) }
    };
    let (cases, peer) = match ready() {
        Ok(ready) => ready,
        Err(why) => return println!("skipped: conformance_builds: {why}"),
    };
    let only = std::env::var("RBUILD_BUILDS").unwrap_or_default();
    let mut groups: Vec<Group> = sets::all(&cases);
    groups.retain(|group| group.cases.iter().any(|case| case.name.contains(&only)));
    groups.reverse();
    let (queue, table) = (Mutex::new(groups), Mutex::new(Table::default()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let engine = ours::Engine::new(&peer.base());
                loop {
                    let Some(group) = queue.lock().unwrap().pop() else { return };
                    let verdicts = play::play(&group, &engine, &peer);
                    table.lock().unwrap().note(&group, verdicts);
                }
            });
        }
    });
    let wrong = table.into_inner().unwrap().print();
    assert!(wrong == 0, "{wrong} cases are wrong");
}

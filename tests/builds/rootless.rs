//! Every case that can be played once as root and once as a user: the same image digest, or the reason why not.
//!
//! Needs root, the lab's base image, and `RBUILD_TUI_TEST_USER` (a user with ranges in /etc/subuid and /etc/subgid).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use super::case::{Case, Group, folder};
use super::compare::differences;
use super::lab::{Built, Peer};
use super::ours::Engine;
use super::{THREADS, known, sets};

/// What became of a case.
enum Verdict {
    SameDigest,
    BothRefuse,
    /// Root's own second build differs as well.
    NotReproducible,
    /// As a user it comes out differently, and this is why.
    Explained(&'static str),
    Differs(String),
}

#[test]
fn rootless_builds_give_roots_digests() {
    let ready = || {
        let cases = folder("RBUILD_TUI_CONFORMANCE")?;
        let user = std::env::var("RBUILD_TUI_TEST_USER").map_err(|_| "RBUILD_TUI_TEST_USER is not set".to_owned())?;
        if rustix::process::geteuid().is_root() { Ok((cases, user, Peer::open()?)) } else { Err("needs root".to_owned()) }
    };
    let (cases, user, peer) = match ready() {
        Ok(ready) => ready,
        Err(why) => return println!("skipped: rootless_builds_give_roots_digests: {why}"),
    };
    let only = std::env::var("RBUILD_BUILDS").unwrap_or_default();
    let mut groups: Vec<Group> = sets::all(&cases);
    groups.retain(|group| group.cases.iter().any(|case| case.name.contains(&only)));
    let (queue, found) = (Mutex::new(groups), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let [root, again] = [(); 2].map(|()| Engine::new(&peer.base()));
                let rootless = Engine::of_user(&peer.base(), &user);
                loop {
                    let Some(group) = queue.lock().unwrap().pop() else { return };
                    let verdicts = play(&group, &root, &again, &rootless);
                    found.lock().unwrap().extend(verdicts);
                }
            });
        }
    });
    assert_eq!(print(&found.into_inner().unwrap()), 0, "a difference without a reason");
}

fn play(group: &Group, root: &Engine, again: &Engine, rootless: &Engine) -> Vec<(String, Verdict)> {
    let (own, second, users) = (root.folder(), again.folder(), rootless.folder());
    let mut out = Vec::new();
    for (at, case) in group.cases.iter().enumerate() {
        let unplayable = case.skip.is_some() || known::unplayable(&case.name).is_some() || known::not_yet(case).is_some();
        if unplayable {
            continue;
        }
        let case = reproducible(case);
        let by_root = root.build(&case, at, own.path()).built;
        let by_user = rootless.build(&case, at, users.path()).built;
        let verdict = match (&by_root, &by_user) {
            (Built::Error(_), Built::Error(_)) => Verdict::BothRefuse,
            (Built::Image(a), Built::Image(b)) if a.id == b.id => Verdict::SameDigest,
            (Built::Image(a), other) => {
                let repeated = again.build(&case, at, second.path()).built;
                match (repeated, other) {
                    (Built::Image(repeated), Built::Image(_)) if repeated.id != a.id => Verdict::NotReproducible,
                    (_, Built::Image(b)) => explained(differences(b, a).join("; ")),
                    (_, Built::Error(why)) => explained(why.clone()),
                }
            }
            (Built::Error(why), Built::Image(_)) => Verdict::Differs(format!("only root is refused: {why}")),
        };
        out.push((case.name, verdict));
    }
    out
}

/// The same files give the same digest: times are set, and those of layers rewritten.
fn reproducible(case: &Case) -> Case {
    let mut case = case.clone();
    case.rewrite_timestamps = true;
    if !case.flags.iter().any(|flag| flag.contains("SOURCE_DATE_EPOCH")) {
        case.flags.extend(["--build-arg".to_owned(), "SOURCE_DATE_EPOCH=1700000000".to_owned()]);
    }
    case
}

/// What a user cannot do, by the words of the difference.
const REASONS: [(&str, &str); 3] = [
    (".dockerignore`: permission denied", "the file has no right to be read, which only root does without"),
    ("are you root?", "a raw socket in the machine's network is root's alone"),
    ("type tmpfs (rw,nosuid,nodev,relatime,size=131072k,uid=", "the kernel shows a user's tmpfs with the ids outside"),
];

fn explained(why: String) -> Verdict {
    match REASONS.iter().find(|(words, _)| why.contains(words)) {
        Some((_, reason)) => Verdict::Explained(reason),
        None => Verdict::Differs(why),
    }
}

/// Prints the counts and every difference; gives how many have no reason.
fn print(found: &[(String, Verdict)]) -> usize {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, verdict) in found {
        let kind = match verdict {
            Verdict::SameDigest => "the same digest",
            Verdict::BothRefuse => "refused by both",
            Verdict::NotReproducible => {
                println!("   not the same twice as root either: {name}");
                "not reproducible by root either"
            }
            Verdict::Explained(reason) => {
                println!("   differs: {name}: {reason}");
                "another result, explained"
            }
            Verdict::Differs(why) => {
                println!("   DIFFERS {name}: {}", why.lines().next().unwrap_or(""));
                "another result"
            }
        };
        *counts.entry(kind).or_default() += 1;
    }
    println!("\nrootless beside root, {} builds: {counts:?}", found.len());
    counts.get("another result").copied().unwrap_or(0)
}

/// The program as another user, and what lies in `home` handed to that user.
pub fn command_of(user: &str, home: &Path) -> Command {
    let handed = Command::new("chown").args(["-R", "-h", user]).arg(home).status();
    assert!(handed.is_ok_and(|status| status.success()), "the folder cannot be handed to {user}");
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/as-user"));
    command.arg(user).arg(env!("CARGO_BIN_EXE_rbuild-tui"));
    command
}

//! Orders that are offered, and what keeps one from being offered.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::{BestOrder, SuggestReport, Trigger, find_page};
use super::super::copy_what_is_read::tests::Files;
use super::super::copy_what_is_read::{self, Reads, RunReads};
use super::{Ledger, PAGE, check};
use crate::language::dockerfile::parse;

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// A project: a Dockerfile whose COPYs go into `/app`, what was watched, and a history.
struct Project {
    source: &'static str,
    files: Files,
    reads: Reads,
    ledger: Ledger,
}

impl Project {
    fn new(source: &'static str, files: &[&'static str], commits: &[&[&str]]) -> Self {
        let (mut reads, mut ledger) = (Reads::default(), Ledger::default());
        ledger.commits = commits.iter().map(|paths| paths.iter().map(|path| (*path).to_owned()).collect()).collect();
        for instruction in &parse(source).instructions {
            let text = instruction.span.text(source);
            if text.starts_with("COPY") {
                reads.destinations.insert(instruction.line, "/app".to_owned());
                let words: Vec<&str> = text.split_whitespace().filter(|word| !word.starts_with("--")).collect();
                let takes = |path: &&str| {
                    words[1..words.len() - 1].iter().any(|source| {
                        *source == "." || path == source || path.starts_with(&format!("{}/", source.trim_end_matches('/')))
                    })
                };
                let changed = commits.iter().enumerate().filter(|(_, paths)| paths.iter().any(takes));
                ledger.changed.insert(instruction.line, changed.map(|(at, _)| at).collect());
            }
        }
        Self { source, files: Files(files.to_vec()), reads, ledger }
    }

    /// The RUN of a line took so many seconds, read this of the COPY of a line, and wrote that.
    fn run(mut self, line: u32, seconds: u64, copy: u32, read: &[&str], wrote: &[&str]) -> Self {
        let read: BTreeSet<String> = read.iter().map(|path| format!("app/{path}")).collect();
        let mut seen = read.clone();
        seen.insert("bin/sh".to_owned());
        let found = RunReads { seen, wrote: set(wrote), from: BTreeMap::from([(copy, read)]), ..RunReads::default() };
        self.reads.runs.insert(line, found);
        self.ledger.micros.insert(line, seconds * 1_000_000);
        self
    }

    fn check(&self) -> SuggestReport {
        let dockerfile = parse(self.source);
        assert!(!dockerfile.has_errors(), "{}", self.source);
        check(&dockerfile, &self.files, &self.reads, &self.ledger)
    }

    #[track_caller]
    fn after(&self) -> String {
        let report = self.check();
        assert_eq!(report.offered.len(), 1, "{:?}", report.refused);
        report.offered[0].after.clone()
    }

    #[track_caller]
    fn silent(&self) -> Vec<String> {
        let report = self.check();
        assert!(report.offered.is_empty(), "{}", report.offered[0].after);
        report.refused.into_iter().map(|refusal| refusal.reason).collect()
    }
}

const TWO: &str = "FROM a\nWORKDIR /app\nCOPY . .\nRUN make app\n# what others wrote\nRUN make vendor\nCMD x\n";
const FILES: [&str; 5] = ["Makefile", "readme", "src/a.c", "src/b.c", "vendor/list"];
const COMMITS: [&[&str]; 4] = [&["src/a.c"], &["src/a.c", "src/b.c"], &["readme"], &["vendor/list"]];

/// The app takes 2 s and changes often, what others wrote takes 10 s and rarely changes.
fn two() -> Project {
    Project::new(TWO, &FILES, &COMMITS).run(4, 2, 3, &["Makefile", "src/a.c", "src/b.c"], &["app/out"]).run(
        6,
        10,
        3,
        &["Makefile", "vendor/list"],
        &["app/lib"],
    )
}

#[test]
fn what_is_dear_and_rarely_changes_goes_above_what_changes_often() {
    let project = two();
    assert_eq!(
        project.after(),
        "FROM a\nWORKDIR /app\nCOPY Makefile ./\nCOPY vendor vendor/\n# what others wrote\nRUN make vendor\nCOPY src src/\nRUN make app\nCOPY . .\nCMD x\n"
    );
    let offered = project.check().offered.remove(0);
    // Each commit runs both now; then the third none, the fourth both, the others only the app.
    let expected = offered.expected.clone().unwrap();
    assert_eq!((expected.commits, expected.now_micros, expected.after_micros), (4, 12_000_000, (2 + 2 + 12) * 250_000));
    assert!(matches!(expected.order, BestOrder::Optimal { orders: Some(orders) } if orders > 2), "{expected:?}");
    assert_eq!(offered.trigger, Trigger::Files { paths: vec!["src/a.c".into()] });
    assert_eq!(offered.title, "run lines 6 and 4 in this order, each below what it reads of line 3");
    assert_eq!(
        offered.evidence[0],
        "`RUN make vendor` (line 6) took 10.0s and read 2 of the 5 files of line 3; 1 of 4 commits changed what it reads."
    );
    assert!(
        offered.evidence.iter().any(|words| words.starts_with("Line 6 used nothing that line 4 wrote, nor")),
        "{offered:?}"
    );
}

#[test]
fn steps_of_which_one_uses_what_the_other_wrote_keep_their_order() {
    let mut project = two();
    project.reads.runs.get_mut(&6).unwrap().seen.insert("app/out/app".into());
    let after = project.after();
    assert!(
        after.contains("RUN make app\nCOPY vendor vendor/\n# what others wrote\nRUN make vendor\nCOPY . .\n"),
        "{after}"
    );
    let words = project.check().offered.remove(0).evidence;
    assert!(
        words.contains(&"Lines 4 and 6 keep their order: both use `/app/out`, which one of them wrote.".to_owned()),
        "{words:?}"
    );
}

#[test]
fn steps_with_caches_keep_their_order_however_the_mounts_are_written() {
    const CACHES: &str = "FROM a\nWORKDIR /app\nCOPY . .\nRUN --mount=type=CACHE,target=/c make app\n# what others wrote\nRUN --mount=ty\\\npe=cache,target=/c make vendor\nCMD x\n";
    let mut project = two();
    project.source = CACHES;
    let offered = project.check().offered;
    assert!(offered.iter().all(|offer| offer.after.find("make app") < offer.after.find("make vendor")), "{offered:?}");
    // Without the caches they change places.
    assert!(two().after().find("make app") > two().after().find("make vendor"));
}

#[test]
fn a_listing_in_which_names_come_or_go_is_a_risk() {
    let mut project = two();
    project.reads.runs.get_mut(&4).unwrap().listed.insert("app".into());
    let offered = project.check().offered.remove(0);
    assert_eq!(offered.after, two().after());
    let said = |words: &str| offered.risks.iter().any(|risk| risk.starts_with(words));
    assert!(
        said("Line 4 listed the names in /app, and would see others, such as `lib` of line 6; only building"),
        "{:?}",
        offered.risks
    );
    assert!(said("Line 4 listed the names in /app, and would see fewer of them"), "{:?}", offered.risks);
}

#[test]
fn what_takes_no_time_to_copy_stands_as_low_as_it_can() {
    // Where others' files change, the app's always do, too: nothing is gained, and nothing but a word is lost.
    let mut project = two();
    project.ledger.micros.insert(3, 200_000);
    project.reads.runs.get_mut(&6).unwrap().seen.insert("app/out/app".into());
    project.ledger.commits[3].push("src/a.c".into());
    assert!(project.after().contains("RUN make app\nCOPY vendor vendor/\n"), "{}", project.after());
}

#[test]
fn what_was_not_watched_completely_keeps_its_place() {
    let mut project = two();
    project.reads.runs.get_mut(&6).unwrap().incomplete = Some("budget".into());
    // All files have to be above the step that was not watched, and it stays below the other.
    assert!(
        project
            .after()
            .contains("COPY Makefile ./\nCOPY src src/\nRUN make app\nCOPY . .\n# what others wrote\nRUN make vendor\n")
    );
    project.reads.runs.get_mut(&4).unwrap().incomplete = Some("budget".into());
    assert_eq!(project.silent(), [""; 0], "nothing is known, and nothing is said");
}

#[test]
fn what_is_set_between_steps_keeps_its_place() {
    let source = "FROM a\nWORKDIR /app\nCOPY . .\nRUN make app\nENV X=1\nRUN make vendor\n";
    let project = Project { source, ..two() };
    assert_eq!(
        project.after(),
        "FROM a\nWORKDIR /app\nCOPY Makefile ./\nCOPY src src/\nRUN make app\nENV X=1\nCOPY vendor vendor/\nRUN make vendor\nCOPY . .\n"
    );
    // Another folder: what is copied below it is written in full.
    let source = "FROM a\nWORKDIR /app\nCOPY . .\nRUN make app\nWORKDIR /lib\nRUN make vendor\n";
    let after = Project { source, ..two() }.after();
    assert!(after.contains("WORKDIR /lib\nCOPY vendor /app/vendor/\nRUN make vendor\nCOPY . /app/\n"), "{after}");
}

#[test]
fn a_step_that_changed_what_is_copied_keeps_the_copy_above_it() {
    let mut project = two();
    project.reads.runs.get_mut(&4).unwrap().wrote.insert("app/readme".into());
    let after = project.after();
    assert!(after.ends_with("# what others wrote\nRUN make vendor\nCOPY . .\nRUN make app\nCMD x\n"), "{after}");
}

#[test]
fn whole_copies_change_places_with_their_steps() {
    let source = "FROM a\nWORKDIR /app\nCOPY src/a.c ./\nRUN make app\nCOPY vendor/list ./\nRUN make vendor\n";
    let project =
        Project::new(source, &FILES, &COMMITS).run(4, 2, 3, &["a.c"], &["app/out"]).run(6, 10, 5, &["list"], &["app/lib"]);
    assert_eq!(
        project.after(),
        "FROM a\nWORKDIR /app\nCOPY vendor/list ./\nRUN make vendor\nCOPY src/a.c ./\nRUN make app\n"
    );
    let expected = project.check().offered.remove(0).expected.unwrap();
    assert_eq!((expected.now_micros, expected.after_micros), ((12 + 12 + 10) * 250_000, (2 + 2 + 12) * 250_000));
    let mut lists = project;
    lists.reads.runs.get_mut(&6).unwrap().listed.insert("app".into());
    let risks = lists.check().offered.remove(0).risks;
    assert!(
        risks[0].starts_with("Line 6 listed the names in /app, and would see others, such as `out` of line 4"),
        "{risks:?}"
    );
    // Not the work of the other step, but a file that was there.
    lists.reads.runs.get_mut(&4).unwrap().wrote = set(&["lib/out"]);
    let risks = lists.check().offered.remove(0).risks;
    assert!(risks[0].contains("such as `a.c` of line 3"), "{risks:?}");
    let project = lists;
    // Where the one reads what the other is given, both are there in any case.
    let mut needs = project;
    needs.reads.runs.get_mut(&6).unwrap().from.insert(3, set(&["app/a.c"]));
    needs.reads.runs.get_mut(&6).unwrap().seen.insert("app/a.c".into());
    needs.reads.runs.get_mut(&6).unwrap().seen.insert("lib/out".into());
    assert!(needs.silent()[0].contains("no order costs less"), "{:?}", needs.silent());
}

#[test]
fn a_folder_that_is_taken_whole_does_not_go_above_what_must_not_see_all_of_it() {
    let source = "FROM a\nWORKDIR /app\nCOPY d/gen src/gen\nRUN use\nCOPY . .\nRUN make\n";
    let files =
        ["d/gen", "readme", "src/1", "src/2", "src/3", "src/4", "src/5", "src/6", "src/7", "src/8", "src/9", "src/gen"];
    let project = |own: &str| {
        let mut project = Project::new(source, &files, &[&["d/gen"], &["d/gen"], &["readme"]])
            .run(4, 2, 3, &[own], &["first"])
            .run(6, 10, 5, &files[2..11], &["lib"]);
        project.reads.destinations.insert(3, format!("/app/{own}"));
        project
    };
    // The first step reads a file of which the folder has another.
    let after = project("src/gen").after();
    let lines =
        "WORKDIR /app\nCOPY src/1 src/2 src/3 src/4 src/5 src/6 src/7 src/8 src/9 src/\nRUN make\nCOPY d/gen src/gen\n";
    assert!(after.contains(lines), "{after}");
    // Elsewhere, it may be there.
    let after = project("gen").after();
    assert!(after.contains("WORKDIR /app\nCOPY src src/\nRUN make\nCOPY d/gen"), "{after}");
}

#[test]
fn owners_keep_the_order_of_copies() {
    let of = |one: &'static str, other: &'static str, files: &[&'static str], place: &str, commits: &[&[&str]]| {
        let source = format!("FROM a\nWORKDIR /app\nCOPY {one}\nCOPY {other}\nRUN make\n");
        let mut project =
            Project::new(Box::leak(source.into_boxed_str()), files, commits).run(5, 9, 4, &["sub/b"], &["lib"]);
        project.reads.destinations.insert(3, place.to_owned());
        project.check().offered.len()
    };
    let files = ["x/sub/a", "x/sub/b1", "y/sub/b", "y/sub/c"];
    let commits: [&[&str]; 2] = [&["x/sub/a"], &["x/sub/a"]];
    // Both make a folder: the second one's owner has it.
    assert_eq!(of("--chown=1 x /app/", "--chown=2 y /app/", &files, "/app", &commits), 0);
    assert_eq!(of("--chown=1 x /app/", "--chown=1 y /app/", &files, "/app", &commits), 1);
    assert_eq!(of("--chown=1 x /o/", "--chown=2 y /app/", &files, "/o", &commits), 1);
    // The first one says who the owner is.
    let files = ["users", "y/sub/b", "y/sub/c"];
    let commits: [&[&str]; 2] = [&["users"], &["users"]];
    assert_eq!(of("users /etc/passwd", "--chown=me y /app/", &files, "/etc/passwd", &commits), 0);
    assert_eq!(of("users /etc/passwd", "--chown=1 y /app/", &files, "/etc/passwd", &commits), 1);
}

#[test]
fn what_another_stage_made_goes_below_what_needs_nothing_of_it() {
    let source = "FROM b AS build\nFROM a\nCOPY --from=build /o /out/o\nCOPY vendor /app/\nRUN make docs\nEXPOSE 8\n";
    let mut project =
        Project::new(source, &["vendor/list", "vendor/other"], &COMMITS).run(5, 10, 4, &["list", "other"], &["x"]);
    project.reads.destinations.insert(3, "/out/o".into());
    project.ledger.changed.insert(3, [0, 1, 3].into());
    assert_eq!(
        project.after(),
        "FROM b AS build\nFROM a\nCOPY vendor /app/\nRUN make docs\nCOPY --from=build /o /out/o\nEXPOSE 8\n"
    );
    let offered = project.check().offered.remove(0);
    assert_eq!(offered.title, "copy line 3 below line 5");
    assert!(offered.evidence.contains(&"Line 3 is changed by 3 of 4 commits, and line 5 used nothing of it.".to_owned()));
    // It read what the other stage made.
    project.reads.runs.get_mut(&5).unwrap().from.insert(3, set(&["out/o"]));
    project.reads.runs.get_mut(&5).unwrap().seen.insert("out/o".into());
    assert_eq!(project.check().offered, []);
}

#[test]
fn where_only_the_copy_is_split_it_is_the_rewrite_of_the_rule_that_needs_no_history() {
    let mut project = two();
    project.reads.runs.get_mut(&6).unwrap().seen.insert("app/out/app".into());
    let other = copy_what_is_read::check(&parse(TWO), &project.files, &project.reads);
    assert_eq!(project.after(), other.offered[0].after);
}

#[test]
fn without_history_times_or_gain_it_is_silent() {
    let mut project = two();
    project.ledger.micros.remove(&4);
    assert!(project.silent()[0].contains("line 4 has no time on record"));
    let mut project = two();
    project.ledger.commits.clear();
    assert_eq!(project.silent(), [""; 0]);
    // Every commit changes what both read.
    let mut project = two();
    project.ledger.commits = vec![vec!["Makefile".into()]; 4];
    assert!(
        project.silent()[0].starts_with("over 4 commits this order costs 12.0s a commit; of "),
        "{:?}",
        project.silent()
    );
    // What all stand on changes every time.
    let mut project = two();
    project.ledger.above.insert(2, (0..4).collect());
    assert!(project.silent()[0].contains("no order costs less"));
    // Too cheap to be worth a word of more.
    let mut project = two();
    project.ledger.micros = BTreeMap::from([(4, 20_000), (6, 20_000)]);
    assert_eq!(project.check().offered, []);
}

#[test]
fn a_file_that_is_gone_counts_like_those_of_its_folder() {
    let mut project = two();
    project.ledger.commits.push(vec!["src/gone.c".into()]);
    project.ledger.commits.push(vec!["gone".into()]);
    project.ledger.changed.insert(3, (0..6).collect());
    let offered = project.check().offered.remove(0);
    let expected = offered.expected.clone().unwrap();
    assert_eq!((expected.now_micros, expected.after_micros), (12_000_000, (2 + 2 + 12 + 2) * 1_000_000 / 6));
    // Where it went is not known, and that is said.
    let said = |risk: &String| risk.starts_with("2 of 6 commits changed files that are not there any more");
    assert!(offered.risks.iter().any(said), "{offered:?}");
    assert!(!two().check().offered[0].risks.iter().any(|risk| risk.contains("not there any more")));
}

#[test]
fn its_page_is_true() {
    let page = |source| {
        let commits: [&[&str]; 3] = [&["app.c"], &["app.c"], &["vendor.list"]];
        let mut project = Project::new(source, &["Makefile", "app.c", "readme", "vendor.list"], &commits);
        for (at, line) in source.lines().enumerate() {
            let line_number = at as u32 + 1;
            let copy = if source == PAGE.bad { 3 } else { 5 };
            project = match line {
                "RUN make app" => project.run(line_number, 2, copy, &["Makefile", "app.c", "readme"], &["app/out"]),
                "RUN make vendor" => project.run(line_number, 10, copy.min(3), &["Makefile", "vendor.list"], &["app/lib"]),
                _ => project,
            };
        }
        project
    };
    assert_eq!(page(PAGE.bad).after(), PAGE.good);
    assert!(page(PAGE.good).silent()[0].contains("no order costs less"));
    assert_eq!(find_page("Best-Order"), Some(&PAGE));
}

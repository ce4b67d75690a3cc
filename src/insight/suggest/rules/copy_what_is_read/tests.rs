//! What is narrowed, what is refused, and how the new lines are written.

use super::*;

/// A context of these files, of which nobody reads anything.
pub(in super::super) struct Files(pub(in super::super) Vec<&'static str>);

impl ContextView for Files {
    fn exists(&self, path: &str) -> bool {
        self.0.contains(&path)
    }
    fn read(&self, _: &str) -> Option<String> {
        None
    }
    fn list(&self) -> Vec<String> {
        self.0.iter().map(|path| (*path).to_owned()).collect()
    }
}

const FILE: &str = "FROM x\nWORKDIR /app\nCOPY . .\nRUN deps\nRUN build\nRUN docs\nCMD y\n";

fn reads(of: &[(u32, &[&str])]) -> Reads {
    let run = |paths: &[&str]| RunReads {
        from: BTreeMap::from([(3, paths.iter().map(|path| (*path).to_owned()).collect())]),
        ..RunReads::default()
    };
    Reads {
        runs: of.iter().map(|(line, paths)| (*line, run(paths))).collect(),
        destinations: BTreeMap::from([(3, "/app".to_owned())]),
    }
}

fn files() -> Files {
    Files(vec!["docs/a.md", "docs/b.md", "lock", "manifest", "src/a", "src/b", "readme"])
}

fn after(reads: &Reads) -> Option<String> {
    let report = check(&parse(FILE), &files(), reads);
    report.offered.into_iter().next().map(|suggestion| suggestion.after)
}

#[test]
fn each_step_gets_what_it_read_and_the_rest_comes_last() {
    let found = reads(&[(4, &["app/manifest", "app/lock"]), (5, &["app/src/a", "app/src/b", "app/lock"])]);
    assert_eq!(
        after(&found).as_deref(),
        Some("FROM x\nWORKDIR /app\nCOPY lock manifest ./\nRUN deps\nCOPY src src/\nRUN build\nCOPY . .\nRUN docs\nCMD y\n")
    );
}

/// A step that needs all that is left stays below the COPY, and what it read is no part of what is copied first.
#[test]
fn only_what_is_copied_first_is_counted() {
    let rest = ["app/docs/a.md", "app/docs/b.md", "app/src/a", "app/src/b", "app/readme"];
    let found = reads(&[(4, &["app/manifest", "app/lock"]), (5, &rest)]);
    let report = check(&parse(FILE), &files(), &found);
    assert_eq!(report.offered[0].title, "copy the 2 files that line 4 read first, and the other 5 below");
}

#[test]
fn without_a_complete_set_nothing_is_offered() {
    assert_eq!(after(&Reads::default()), None);
    let mut found = reads(&[(4, &["app/manifest"])]);
    found.runs.get_mut(&4).unwrap().incomplete = Some("budget".into());
    let report = check(&parse(FILE), &files(), &found);
    assert!(report.offered.is_empty() && report.refused[0].reason.contains("budget"));
    // A step that was not watched keeps everything above it.
    let found = reads(&[(4, &["app/manifest"]), (6, &[])]);
    assert!(after(&found).unwrap().contains("RUN deps\nCOPY . .\nRUN build\n"));
}

/// Files beside the others, of which the first step read one.
fn offered_of(file: &str, more: &[&'static str], read: &str) -> SuggestReport {
    let found = reads(&[(4, &[read]), (5, &["app/lock"])]);
    let mut all = files().0;
    all.extend(more);
    check(&parse(file), &Files(all), &found)
}

#[test]
fn names_are_written_so_that_they_stand_for_themselves() {
    let line = |name: &'static str| {
        let report = offered_of(FILE, &[name], &format!("app/{name}"));
        let after = report.offered.first().map(|offered| offered.after.clone());
        after.and_then(|after| after.lines().nth(2).map(str::to_owned)).unwrap_or_else(|| report.refused[0].reason.clone())
    };
    assert_eq!(line("pages[id].ts"), "COPY pages[[]id].ts ./");
    assert_eq!(line("[id].ts"), "COPY ./[[]id].ts ./");
    assert_eq!(line("a*b?"), "COPY a[*]b[?] ./");
    assert_eq!(line("--link"), "COPY ./--link ./");
    assert_eq!(line("a b"), "COPY [\"a b\",\"./\"]");
    for name in ["a$b", "it's", "a\"b", "a\\b", "<<EOF", "a`b", "a\nb"] {
        assert!(line(name).ends_with("cannot be named in a COPY line by itself"), "{}", line(name));
    }
}

#[test]
fn an_archive_of_an_added_folder_is_not_unpacked() {
    let report = offered_of(&FILE.replace("COPY", "ADD"), &["x.tar"], "app/x.tar");
    assert!(report.offered[0].after.contains("\nCOPY x.tar ./\nRUN deps\n"), "{}", report.offered[0].after);
    assert!(report.offered[0].after.contains("\nADD . .\n"));
}

#[test]
fn a_link_is_there_in_its_folder_and_never_by_itself() {
    let with_link = |link: &str| {
        let mut found = reads(&[(4, &["app/manifest"])]);
        found.runs.get_mut(&4).unwrap().links.insert(link.to_owned());
        check(&parse(FILE), &files(), &found)
    };
    assert_eq!(with_link("app/lock").refused[0].reason, "`lock` is a link, and a COPY that names it would follow it");
    assert_eq!(with_link("bin/sh").offered.len(), 1);
    // All that the folder has.
    let mut found = reads(&[(4, &["app/src/b"])]);
    found.runs.get_mut(&4).unwrap().links.insert("app/src/a".to_owned());
    assert!(after(&found).unwrap().contains("COPY src src/\nRUN deps"), "{:?}", after(&found));
}

#[test]
fn what_was_put_elsewhere_through_a_link_is_not_narrowed() {
    let report = check(&parse(FILE), &files(), &reads(&[(4, &["real/manifest"])]));
    assert!(report.offered.is_empty());
    assert_eq!(report.refused[0].reason, "line 4 read `/real/manifest`, where line 3 put it through a link of the image");
    assert!(after(&reads(&[(4, &["app", "app/lock"])])).is_some());
}

#[test]
fn a_destination_with_another_meaning_below_is_written_in_full() {
    let variable = FILE.replace("COPY . .\n", "COPY . $D\nWORKDIR /b\n").replace("WORKDIR /app", "ENV D=app");
    let found = |line: u32| Reads {
        runs: BTreeMap::from([(line, reads(&[(0, &["app/lock"])]).runs.remove(&0).unwrap())]),
        destinations: BTreeMap::from([(3, "app".to_owned())]),
    };
    let report = check(&parse(&variable), &files(), &found(5));
    assert!(report.offered[0].after.contains("COPY lock /app/\nRUN deps\nCOPY . /app/\n"), "{}", report.offered[0].after);
    let folder = FILE.replace("WORKDIR /app", "WORKDIR $A").replace("COPY . .\n", "COPY . .\nENV A=/b\nWORKDIR $A\n");
    let report = check(&parse(&folder), &files(), &found(6));
    assert!(report.offered[0].after.contains("COPY lock /app/\nRUN deps\nCOPY . /app/\n"), "{}", report.offered[0].after);
}

#[test]
fn a_step_that_read_everything_ends_it() {
    let all = ["docs/a.md", "docs/b.md", "lock", "manifest", "src/a", "src/b", "readme"].map(|path| format!("app/{path}"));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(after(&reads(&[(4, &all)])), None);
    assert!(
        after(&reads(&[(4, &["app/lock"]), (5, &all)])).unwrap().contains("COPY lock ./\nRUN deps\nCOPY . .\nRUN build")
    );
}

#[test]
fn a_folder_that_was_looked_at_is_there_and_a_listing_is_a_risk() {
    let mut found = reads(&[(4, &["app/src"])]);
    found.runs.get_mut(&4).unwrap().listed = BTreeSet::from(["app".to_owned()]);
    let report = check(&parse(FILE), &files(), &found);
    assert!(report.offered[0].after.contains("COPY src src/\nRUN deps"), "{}", report.offered[0].after);
    assert!(report.offered[0].risks[0].contains("listed the names in /app"));
}

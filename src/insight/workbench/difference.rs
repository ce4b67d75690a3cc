//! What two images have in common, and what not: as a proof compares them.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::context::Entry;
use crate::engine::oci::RunConfig;
use crate::ground::path::upwards;

/// One image as it is compared.
pub(super) struct Image {
    pub files: BTreeMap<String, Entry>,
    pub config: RunConfig,
}

/// Paths that are not the same in both.
fn paths_that_differ(a: &Image, b: &Image) -> BTreeSet<String> {
    let paths: BTreeSet<&String> = a.files.keys().chain(b.files.keys()).collect();
    let same = |path: &&&String| match (a.files.get(**path), b.files.get(**path)) {
        (Some(a), Some(b)) => aspects(a, b).is_empty(),
        _ => false,
    };
    paths.iter().filter(|path| !same(path)).map(|path| (**path).clone()).collect()
}

/// All that differs between two entries of one path.
fn aspects(a: &Entry, b: &Entry) -> Vec<&'static str> {
    if a.kind != b.kind {
        return vec!["kind"];
    }
    let checks = [
        (a.mode != b.mode, "mode"),
        ((a.uid, a.gid) != (b.uid, b.gid), "owner"),
        (a.link != b.link, "link target"),
        (a.xattrs != b.xattrs, "extended attributes"),
        (a.device != b.device, "device"),
        (a.digest != b.digest, "content"),
    ];
    checks.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what).collect()
}

/// Whether two paths are names of the same kind: in one folder, and their words differ only as numbers or random words do. A
/// log that is named by the time has another name in every build, and so has a folder that is named by chance.
fn alike(a: &str, b: &str) -> bool {
    let split = |path: &str| {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        (folder.to_owned(), name.to_owned())
    };
    let ((folder, name), (other_folder, other)) = (split(a), split(b));
    let (words, others) = (words(&name), words(&other));
    let differing = || words.iter().zip(&others).filter(|(x, y)| x != y);
    // No language has digits in its words.
    let by_chance = differing().any(|(x, y)| is_mixed(x) || is_mixed(y));
    let same_kind = |(x, y): (&&str, &&str)| are_numbers(x, y) || by_chance && are_long(x, y);
    folder == other_folder && name != other && words.len() == others.len() && differing().all(same_kind)
}

/// Runs of letters and digits, and what stands between them.
fn words(name: &str) -> Vec<&str> {
    let mut out: Vec<&str> = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let is_word = first.is_ascii_alphanumeric();
        let end = rest.find(|c: char| c.is_ascii_alphanumeric() != is_word).unwrap_or(rest.len());
        out.push(&rest[..end]);
        rest = &rest[end..];
    }
    out
}

/// Of one length, with hexadecimal digits where they differ.
fn are_numbers(a: &str, b: &str) -> bool {
    let digit = |(x, y): (char, char)| x == y || (x.is_ascii_hexdigit() && y.is_ascii_hexdigit());
    a.len() == b.len() && a.chars().zip(b.chars()).all(digit)
}

/// Of letters and digits.
fn is_mixed(word: &str) -> bool {
    word.chars().any(|c| c.is_ascii_digit()) && word.chars().any(|c| c.is_ascii_alphabetic())
}

/// Long words of nearly one length.
fn are_long(a: &str, b: &str) -> bool {
    let long = |word: &str| word.len() >= 6 && word.chars().all(|c| c.is_ascii_alphanumeric());
    long(a) && long(b) && a.len().abs_diff(b.len()) <= 1
}

/// Paths that builds of the original do not have in common.
pub(super) fn unreproduced(originals: &[Image]) -> BTreeSet<String> {
    let Some((original, others)) = originals.split_first() else { return BTreeSet::new() };
    others.iter().flat_map(|other| paths_that_differ(original, other)).collect()
}

/// What differs between the original and the rewrite, leaving out what builds of the original do not have in common. What
/// they have counts: a file of another content in every build still has to be there, with its mode and its owner.
pub(super) fn differences(originals: &[Image], rewrite: &Image) -> Vec<String> {
    let mut out = Vec::new();
    let Some((original, others)) = originals.split_first() else { return out };
    let in_all = |path: &String| originals.iter().all(|image| image.files.contains_key(path));
    let by_chance: BTreeSet<String> = unreproduced(originals).into_iter().filter(|path| !in_all(path)).collect();
    for path in paths_that_differ(original, rewrite) {
        // With a folder that has another name in every build, all that is in it is left out.
        if upwards(&path).any(|part| by_chance.contains(part)) {
            continue;
        }
        let one_sided = !original.files.contains_key(&path) || !rewrite.files.contains_key(&path);
        if one_sided && upwards(&path).any(|part| by_chance.iter().any(|other| alike(other, part))) {
            continue;
        }
        out.push(match (original.files.get(&path), rewrite.files.get(&path)) {
            (Some(_), None) => format!("/{path} is missing"),
            (None, Some(_)) => format!("/{path} is new"),
            (Some(a), Some(b)) => {
                let again = others.iter().filter_map(|other| other.files.get(&path));
                let left_out: Vec<&str> = again.flat_map(|again| aspects(a, again)).collect();
                match aspects(a, b).into_iter().find(|aspect| !left_out.contains(aspect)) {
                    Some(aspect) => format!("/{path}: {aspect}"),
                    None => continue,
                }
            }
            (None, None) => continue,
        });
    }
    if original.config != rewrite.config {
        out.push("the configuration (environment, user, command and the like)".to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::context::entry::fixtures::{dir, file};

    fn made(entries: Vec<Entry>) -> Image {
        let files = entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
        Image { files, config: RunConfig::default() }
    }

    #[test]
    fn what_the_original_does_not_reproduce_is_left_out_and_nothing_else() {
        let image = |log: &str, text: &str, more: &[&str]| {
            let mut entries = vec![dir("logs"), file(&format!("logs/{log}"), "x"), file("date", text), file("app", "1")];
            entries.extend(more.iter().map(|path| file(path, "new")));
            made(entries)
        };
        let (first, again) = (image("10-01.log", "a", &[]), image("10-02.log", "b", &[]));
        let left_out = unreproduced(&[first, again]);
        assert_eq!(left_out.iter().map(String::as_str).collect::<Vec<_>>(), ["date", "logs/10-01.log", "logs/10-02.log"]);
        let differences =
            |rewrite: &Image| differences(&[image("10-01.log", "a", &[]), image("10-02.log", "b", &[])], rewrite);
        assert!(differences(&image("10-03.log", "c", &[])).is_empty());
        assert_eq!(differences(&image("10-03.log", "c", &["logs/other"])), ["/logs/other is new"]);
        let mut changed = image("10-01.log", "a", &[]);
        changed.files.get_mut("app").unwrap().mode = 0o755;
        assert_eq!(differences(&changed), ["/app: mode"]);
        changed = image("10-01.log", "a", &[]);
        changed.config.user = "x".into();
        assert_eq!(differences(&changed).len(), 1);
    }

    #[test]
    fn what_differs_from_build_to_build_still_has_to_be_there() {
        let image = |text: &str| made(vec![file("page1.html", text), file("page2.html", "x"), file("tool", text)]);
        let originals = [image("a"), image("b")];
        let differences = |rewrite: &Image| differences(&originals, rewrite);
        assert!(differences(&image("c")).is_empty());
        let mut changed = image("c");
        changed.files.get_mut("tool").unwrap().mode = 0o600;
        assert_eq!(differences(&changed), ["/tool: mode"]);
        changed.files.remove("tool");
        // Its name is no chance, though it has the form of one that differs.
        changed.files.remove("page2.html");
        assert_eq!(differences(&changed), ["/page2.html is missing", "/tool is missing"]);
    }

    #[test]
    fn what_two_builds_have_in_common_by_chance_a_third_may_tell() {
        let image = |coin: &str| made(vec![file("coin", coin)]);
        assert_eq!(differences(&[image("a"), image("a")], &image("b")), ["/coin: content"]);
        assert!(differences(&[image("a"), image("a"), image("b")], &image("b")).is_empty());
    }

    #[test]
    fn names_by_chance_are_alike_with_all_below_them_and_words_are_not() {
        let image = |session: &str| {
            let folder = format!("app/{session}");
            made(vec![dir("app"), dir(&folder), file(&format!("{folder}/graph.bin"), "x")])
        };
        let originals = [image("s-holn9rxz92-1romg9z"), image("s-holn9tb3p0-0k2f8ab")];
        let differences = |rewrite: &Image| differences(&originals, rewrite);
        assert!(differences(&image("s-holn9w17zz-11abcde")).is_empty());
        assert!(differences(&image("s-holohkwuvk-8lof1n")).is_empty(), "by chance without a digit");
        assert_eq!(differences(&image("s-holn9w17zz")), ["/app/s-holn9w17zz is new", "/app/s-holn9w17zz/graph.bin is new"]);
        assert!(alike("a/app-1a2b3c.o", "a/app-9f8e7d.o") && alike("x1y2z3w4", "q9r8s7t"));
        assert!(!alike("README", "LICENSE") && !alike("a/chunk1", "b/chunk2") && !alike("main1.txt", "other.txt"));
    }
}

//! What two images have in common, and what not: as a proof compares them.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::context::Entry;
use crate::engine::oci::RunConfig;

/// One image as it is compared.
pub(super) struct Image {
    pub files: BTreeMap<String, Entry>,
    pub config: RunConfig,
}

/// Paths that are not the same in both.
pub(super) fn paths_that_differ(a: &Image, b: &Image) -> BTreeSet<String> {
    let paths: BTreeSet<&String> = a.files.keys().chain(b.files.keys()).collect();
    let same = |path: &&&String| match (a.files.get(**path), b.files.get(**path)) {
        (Some(a), Some(b)) => difference(a, b).is_none(),
        _ => false,
    };
    paths.iter().filter(|path| !same(path)).map(|path| (**path).clone()).collect()
}

/// What differs between two entries of one path.
fn difference(a: &Entry, b: &Entry) -> Option<&'static str> {
    if a.kind != b.kind {
        return Some("kind");
    }
    let checks = [
        (a.mode != b.mode, "mode"),
        ((a.uid, a.gid) != (b.uid, b.gid), "owner"),
        (a.link != b.link, "link target"),
        (a.xattrs != b.xattrs, "extended attributes"),
        (a.device != b.device, "device"),
        (a.digest != b.digest, "content"),
    ];
    checks.into_iter().find(|(differs, _)| *differs).map(|(_, what)| what)
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
    let same_kind = |(x, y): (&&str, &&str)| x == y || are_numbers(x, y) || are_random(x, y);
    folder == other_folder && name != other && words.len() == others.len() && words.iter().zip(&others).all(same_kind)
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

/// Long, of nearly one length, and with a digit: no words of a language.
fn are_random(a: &str, b: &str) -> bool {
    let random = |word: &str| {
        word.len() >= 6
            && word.chars().all(|c| c.is_ascii_alphanumeric())
            && word.chars().any(|c| c.is_ascii_digit())
            && word.chars().any(|c| c.is_ascii_alphabetic())
    };
    random(a) && random(b) && a.len().abs_diff(b.len()) <= 1
}

/// A path and the folders above it.
fn upwards(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rfind('/').map(|at| &path[..at]))
}

/// What differs between the original and the rewrite, leaving out what the original does not reproduce.
pub(super) fn differences(original: &Image, rewrite: &Image, left_out: &BTreeSet<String>) -> Vec<String> {
    let mut out = Vec::new();
    for path in paths_that_differ(original, rewrite).into_iter().filter(|path| !left_out.contains(path)) {
        // What a folder holds that differs from build to build is left out with it.
        let inside = |folder: &String| path.starts_with(folder.as_str()) && path.as_bytes().get(folder.len()) == Some(&b'/');
        if left_out.iter().any(inside) {
            continue;
        }
        let one_sided = !original.files.contains_key(&path) || !rewrite.files.contains_key(&path);
        if one_sided && upwards(&path).any(|part| left_out.iter().any(|other| alike(other, part))) {
            continue;
        }
        out.push(match (original.files.get(&path), rewrite.files.get(&path)) {
            (Some(_), None) => format!("/{path} is missing"),
            (None, Some(_)) => format!("/{path} is new"),
            (Some(a), Some(b)) => format!("/{path}: {}", difference(a, b).unwrap_or("something")),
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
        let left_out = paths_that_differ(&first, &again);
        assert_eq!(left_out.iter().map(String::as_str).collect::<Vec<_>>(), ["date", "logs/10-01.log", "logs/10-02.log"]);
        assert!(differences(&first, &image("10-03.log", "c", &[]), &left_out).is_empty());
        assert_eq!(differences(&first, &image("10-03.log", "c", &["logs/other"]), &left_out), ["/logs/other is new"]);
        let mut changed = image("10-01.log", "a", &[]);
        changed.files.get_mut("app").unwrap().mode = 0o755;
        assert_eq!(differences(&first, &changed, &left_out), ["/app: mode"]);
        changed = image("10-01.log", "a", &[]);
        changed.config.user = "x".into();
        assert_eq!(differences(&first, &changed, &left_out).len(), 1);
    }

    #[test]
    fn names_by_chance_are_alike_with_all_below_them_and_words_are_not() {
        let image = |session: &str| {
            let folder = format!("app/{session}");
            made(vec![dir("app"), dir(&folder), file(&format!("{folder}/graph.bin"), "x")])
        };
        let (first, again) = (image("s-holn9rxz92-1romg9z"), image("s-holn9tb3p0-0k2f8ab"));
        let left_out = paths_that_differ(&first, &again);
        assert!(differences(&first, &image("s-holn9w17zz-11abcde"), &left_out).is_empty());
        assert_eq!(
            differences(&first, &image("s-holn9w17zz"), &left_out),
            ["/app/s-holn9w17zz is new", "/app/s-holn9w17zz/graph.bin is new"]
        );
        assert!(alike("a/app-1a2b3c.o", "a/app-9f8e7d.o") && alike("x1y2z3w4", "q9r8s7t"));
        assert!(!alike("README", "LICENSE") && !alike("a/chunk1", "b/chunk2") && !alike("main1.txt", "other.txt"));
    }
}

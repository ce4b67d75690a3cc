//! The demo's project on disk: a few shell scripts, and vendored modules that are generated here, always the same.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};

use crate::engine::EngineError;
use crate::ground::digest::Digest;
use crate::ground::fs::{AtomicFile, PathResultExt};

/// Lies in a folder that the demo made; without it no existing folder is touched.
const MARKER: &str = ".rbuild-demo";
const MARKER_TEXT: &str = "rbuild-tui demo made this folder and resets the files that it wrote when it runs again\n";
/// The source file that the demo edits.
pub const EDITED: &str = "src/greeting.sh";
const GREETING: &str = include_str!("../../../../assets/demo/src/greeting.sh");
const MODULE: &str = include_str!("../../../../assets/demo/module.sh.in");
const TEXTS: [(&str, &str); 7] = [
    ("Dockerfile", include_str!("../../../../assets/demo/Dockerfile")),
    (".dockerignore", include_str!("../../../../assets/demo/dockerignore")),
    ("README.md", include_str!("../../../../assets/demo/README.md")),
    ("build.sh", include_str!("../../../../assets/demo/build.sh")),
    ("src/main.sh", include_str!("../../../../assets/demo/src/main.sh")),
    ("src/report.sh", include_str!("../../../../assets/demo/src/report.sh")),
    (EDITED, GREETING),
];

const MODULES: &str = "atlas calendar colours compass dates fields gauges ledger markers routes tables units";
/// Files of a module.
const PARTS: u64 = 80;
/// Rows of a part's table.
const ROWS: u64 = 36;
const WORDS: &str = "amber anchor april autumn bamboo basalt birch cedar clover cobalt copper coral cotton crimson dawn delta \
    dune echo ember falcon fern flint forest garnet ginger granite hazel heron indigo ivory jade jasmine juniper lagoon \
    larch laurel lilac linen lotus maple marble meadow mist moss nectar north oak ocean olive onyx opal orchid pearl pine \
    plum poppy quartz raven reed ridge river robin rose ruby rust saffron sage sand scarlet shell silver slate snow sorrel \
    spruce stone summer teal thistle tide topaz tulip umber valley velvet violet walnut wheat willow winter wren";
/// Time of every file in the archives, so that they are always the same: 2026-01-01.
const TIME: u64 = 1_767_225_600;

/// Writes the project into `folder`. A folder of an earlier demo is reset: files of the demo get their first content again,
/// all others stay. Returns whether the folder was there.
///
/// Errors: the folder holds something and was not made by the demo, or is not writable.
pub fn write(folder: &Path) -> Result<bool, EngineError> {
    let existed = check(folder)?;
    for path in ["src", "vendor"].map(|name| folder.join(name)) {
        std::fs::create_dir_all(&path).at("create", &path)?;
    }
    put(folder, MARKER, MARKER_TEXT.as_bytes())?;
    for (path, text) in TEXTS {
        put(folder, path, text.as_bytes())?;
    }
    // A demo that is run again must have something to build.
    let version = format!("# Written anew by each demo.\nVERSION=1.0+{}\n", crate::ground::random_hex(4));
    put(folder, "src/version.sh", version.as_bytes())?;
    let mut lock = "# SHA-256 NAME VERSION ARCHIVE\n".to_owned();
    for (at, name) in MODULES.split_whitespace().enumerate() {
        let version = format!("{}.{}.{}", 1 + at % 3, at % 7, at % 5);
        let archive = format!("{name}-{version}.tar.gz");
        let bytes = module(name, &version, at as u64).at("write", &archive)?;
        put(folder, &format!("vendor/{archive}"), &bytes)?;
        let _ = writeln!(lock, "{} {name} {version} {archive}", Digest::of(&bytes).hex());
    }
    put(folder, "vendor.lock", lock.as_bytes())?;
    Ok(existed)
}

/// Edits the source file, as a developer would.
pub fn edit(folder: &Path) -> Result<(), EngineError> {
    put(folder, EDITED, GREETING.replace("hello, $1!", "good morning, $1!").as_bytes())
}

/// Whether the folder is one of an earlier demo; an error when it holds something else.
fn check(folder: &Path) -> Result<bool, EngineError> {
    let mut entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).at("open", folder).map_err(EngineError::from),
    };
    if std::fs::symlink_metadata(folder.join(MARKER)).is_ok_and(|meta| meta.is_file()) {
        return Ok(true);
    }
    if entries.next().is_none() {
        return Ok(false);
    }
    let shown = folder.display().to_string().escape_debug().to_string();
    let message = format!("`{shown}` holds files that are not the demo's");
    Err(EngineError::user(message, Some("name a new or empty folder with --dir".into())))
}

/// Replaces a file whole, never through a link.
fn put(folder: &Path, path: &str, bytes: &[u8]) -> Result<(), EngineError> {
    use std::os::unix::fs::PermissionsExt;
    let path: PathBuf = folder.join(path);
    let mut file = AtomicFile::create(&path)?;
    file.write_all(bytes).at("write", &path)?;
    file.file().set_permissions(std::fs::Permissions::from_mode(0o644)).at("set the mode of", &path)?;
    Ok(file.commit_unsynced()?)
}

/// The archive of a module: its parts and a MANIFEST with the checksum of each.
fn module(name: &str, version: &str, number: u64) -> std::io::Result<Vec<u8>> {
    let gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(6));
    let mut tar = tar::Builder::new(gzip);
    let mut manifest = String::new();
    for part in 1..=PARTS {
        let text = part_text(name, version, part, number * 1000 + part);
        let path = format!("part-{part:02}.sh");
        let _ = writeln!(manifest, "{}  {path}", Digest::of(&text).hex());
        member(&mut tar, &format!("{name}/{path}"), text.as_bytes())?;
    }
    member(&mut tar, &format!("{name}/MANIFEST"), manifest.as_bytes())?;
    tar.into_inner()?.finish()
}

fn member(tar: &mut tar::Builder<impl std::io::Write>, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_mtime(TIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes)
}

/// A shell file with a table of words and one of numbers.
fn part_text(name: &str, version: &str, part: u64, seed: u64) -> String {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut random = Random(seed);
    let mut word = || words[(random.next() % words.len() as u64) as usize];
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for row in 0..ROWS {
        names.push(format!("    {row}) echo \"{} {}\" ;;", word(), word()));
    }
    for _ in 0..ROWS / 2 {
        let row: Vec<String> = (0..8).map(|_| (random.next() % 10_000).to_string()).collect();
        values.push(format!("    {} \\", row.join(" ")));
    }
    let last = values.last_mut();
    if let Some(last) = last {
        last.truncate(last.len().saturating_sub(2));
    }
    let text = MODULE.replace("@MODULE@", name).replace("@VERSION@", version).replace("@PART@", &format!("{part:02}"));
    text.replace("@NAMES@", &names.join("\n")).replace("@VALUES@", &values.join("\n"))
}

/// Numbers that look random and are always the same: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_are_always_the_same_and_the_lock_names_them() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!write(folder.path()).unwrap());
        let lock = std::fs::read_to_string(folder.path().join("vendor.lock")).unwrap();
        for line in lock.lines().skip(1) {
            let words: Vec<&str> = line.split(' ').collect();
            let archive = std::fs::read(folder.path().join("vendor").join(words[3])).unwrap();
            assert_eq!(Digest::of(archive).hex(), words[0]);
        }
        assert!(write(folder.path()).unwrap());
        assert_eq!(std::fs::read_to_string(folder.path().join("vendor.lock")).unwrap(), lock);
    }

    #[test]
    fn files_of_the_user_are_never_touched() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine.txt"), "mine").unwrap();
        assert!(write(folder.path()).unwrap_err().message.contains("not the demo's"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let made = folder.path().join("new");
        write(&made).unwrap();
        std::fs::write(made.join("src/mine.sh"), "mine").unwrap();
        edit(&made).unwrap();
        assert!(write(&made).unwrap());
        assert_eq!(std::fs::read_to_string(made.join("src/mine.sh")).unwrap(), "mine");
        assert_eq!(std::fs::read_to_string(made.join(EDITED)).unwrap(), GREETING);
    }
}

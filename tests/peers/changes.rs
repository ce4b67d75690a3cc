//! The seeded changes: what a project looks like, what is changed, and which codes the debugger must give for it.
//!
//! `@N@` in a text is a word that no other build has seen, so that neither side remembers anything from before.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::lab::{Docker, Ours, Random, write};
use super::pair::Options;

/// What a change may touch.
pub struct Play<'a> {
    pub context: &'a Path,
    pub ours: &'a Ours,
    pub docker: Option<&'a Docker>,
    pub word: String,
    pub options: Options,
    pub random: Random,
    /// Nothing to compare with from here on.
    pub alone: bool,
}

impl Play<'_> {
    pub fn text(&self, text: &str) -> String {
        text.replace("@N@", &self.word)
    }

    pub fn write(&self, path: &str, text: &str) {
        write(self.context, path, &self.text(text));
    }

    /// A line nobody can guess.
    pub fn fresh(&mut self) -> String {
        format!("{:x}\n", self.random.next())
    }

    pub fn edit(&self, from: &str, to: &str) {
        let path = self.context.join("Dockerfile");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(&self.text(from)), "the Dockerfile has no {from}");
        fs::write(&path, text.replacen(&self.text(from), &self.text(to), 1)).unwrap();
    }

    /// Gives a flag to the RUN that holds `step-one`.
    pub fn edit_run(&self, flag: &str) {
        let path = self.context.join("Dockerfile");
        let text = fs::read_to_string(&path).unwrap();
        let run = text[..text.find("step-one").unwrap()].rfind("RUN ").unwrap() + "RUN ".len();
        fs::write(&path, format!("{}{flag} {}", &text[..run], &text[run..])).unwrap();
    }

    pub fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.context.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Makes the image `peers-@N@` on both sides from lines on busybox.
    pub fn base(&self, lines: &str) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "Dockerfile", &self.text(&format!("FROM busybox:local\n{lines}")));
        let name = format!("peers-{}:base", self.word);
        self.ours.build(folder.path(), &["-t", &name]);
        if let Some(docker) = self.docker {
            let path = folder.path().to_str().unwrap();
            docker.ok(&["buildx", "build", "--quiet", "--network=host", "--load", "-t", &name, path]);
        }
    }

    pub fn arg(&mut self, name: &str, value: &str) {
        self.options.args.retain(|(known, _)| known != name);
        self.options.args.push((name.into(), value.into()));
    }

    /// Removes the result of the step whose layer holds the file `marker`.
    fn forget(&mut self, marker: &str) {
        let marker = self.text(marker);
        let layers = fs::read_dir(self.ours.store.join("layers")).unwrap().flatten().map(|e| e.path());
        let found: Vec<_> = layers.filter(|path| path.join(&marker).exists()).collect();
        assert_eq!(found.len(), 1, "layers with {marker}: {found:?}");
        fs::remove_dir_all(&found[0]).unwrap();
        // The lab's BuildKit cannot play along: after any prune it forgets all its links, even of other builds (docker 28.5
        // with the containerd image store), so that everything runs. The reference, section 1, point 5, is the measure here.
        self.alone = true;
    }
}

/// Codes that a line must show, among others; empty: it must be a hit.
pub type Expected = &'static [(u64, &'static [&'static str])];

pub struct Case {
    pub name: &'static str,
    pub dockerfile: &'static str,
    pub files: &'static [(&'static str, &'static str)],
    /// Before the first build.
    pub prepare: fn(&mut Play),
    /// Between further builds; the last one is compared.
    pub changes: &'static [fn(&mut Play)],
    pub expected: Expected,
}

fn nothing(_: &mut Play) {}

const COPY_FILE: &str = "FROM busybox:local\nRUN echo @N@\nCOPY a /a\nRUN cat /a\n";
const COPY_FOLDER: &str = "FROM busybox:local\nRUN echo @N@\nCOPY d /d\nRUN ls /d\n";
const COPY_ALL: &str = "FROM busybox:local\nRUN echo @N@\nCOPY . /all\nRUN ls /all\n";
const FILE: &[(&str, &str)] = &[("a", "a @N@\n")];
const FOLDER: &[(&str, &str)] = &[("d/x", "x @N@\n"), ("d/y", "y @N@\n"), ("d/sub/z", "z\n")];

const HIT: &[&str] = &[];
const BELOW: &[&str] = &["C1"];

macro_rules! case {
    ($name:literal, $dockerfile:expr, $files:expr, $prepare:expr, [$($change:expr),+], [$($line:literal $codes:expr),* $(,)?]) => {
        Case { name: $name, dockerfile: $dockerfile, files: $files, prepare: $prepare, changes: &[$($change),+],
               expected: &[$(($line, $codes)),*] }
    };
}

// One line a case, however long: they are read beside each other.
#[rustfmt::skip]
pub const CASES: &[Case] = &[
    case!("file content", COPY_FILE, FILE, nothing, [|p| { let t = p.fresh(); p.write("a", &t) }], [2 HIT, 3 &["M2"], 4 BELOW]),
    case!("file content, same size and times", COPY_FILE, FILE, nothing, [same_size_and_times], [2 HIT, 3 &["M2"], 4 BELOW]),
    case!("file added", COPY_FOLDER, FOLDER, nothing, [|p| p.write("d/new", "n\n")], [3 &["M3"], 4 BELOW]),
    case!("empty folder added", COPY_FOLDER, FOLDER, nothing, [|p| fs::create_dir(p.context.join("d/e")).unwrap()], [3 &["M3"], 4 BELOW]),
    case!("file removed", COPY_FOLDER, FOLDER, nothing, [|p| fs::remove_file(p.context.join("d/y")).unwrap()], [3 &["M4"], 4 BELOW]),
    case!("file renamed", COPY_FOLDER, FOLDER, nothing, [|p| fs::rename(p.context.join("d/y"), p.context.join("d/w")).unwrap()], [3 &["M5"], 4 BELOW]),
    case!("two files swapped", COPY_FOLDER, FOLDER, nothing, [|p| { p.write("d/x", "y @N@\n"); p.write("d/y", "x @N@\n") }], [3 &["M2"], 4 BELOW]),
    case!("mode of a file", COPY_FOLDER, FOLDER, nothing, [|p| p.mode("d/x", 0o600)], [3 &["M6"], 4 BELOW]),
    case!("setuid bit", COPY_FILE, FILE, nothing, [|p| p.mode("a", 0o4755)], [3 &["M6"], 4 BELOW]),
    case!("mode of a folder", COPY_FOLDER, FOLDER, nothing, [|p| p.mode("d/sub", 0o700)], [3 &["M6"], 4 BELOW]),
    case!("mode of the context itself", COPY_ALL, FILE, nothing, [|p| p.mode("", 0o711)], [3 HIT, 4 HIT]),
    case!("owner in the context", COPY_FOLDER, FOLDER, nothing, [|p| std::os::unix::fs::chown(p.context.join("d/x"), Some(1234), Some(99)).unwrap()], [3 HIT, 4 HIT]),
    case!("symlink target", COPY_FOLDER, FOLDER, |p| symlink("x", p.context.join("d/l")).unwrap(), [|p| { fs::remove_file(p.context.join("d/l")).unwrap(); symlink("y", p.context.join("d/l")).unwrap() }], [3 &["M8"], 4 BELOW]),
    case!("copy becomes hard link", COPY_FOLDER, &[("d/x", "same\n"), ("d/y", "same\n")], nothing, [|p| { fs::remove_file(p.context.join("d/y")).unwrap(); fs::hard_link(p.context.join("d/x"), p.context.join("d/y")).unwrap() }], [3 HIT, 4 HIT]),
    case!("xattr", COPY_FILE, FILE, nothing, [|p| mark(p, "a")], [3 &["M7"], 4 BELOW]),
    case!("xattr, file sent again", COPY_FILE, FILE, nothing, [|p| { p.write("a", "a @N@\n"); mark(p, "a") }], [3 &["M7"], 4 BELOW]),
    case!("xattr, only mtime afterwards", COPY_FILE, FILE, |p| mark(p, "a"), [|p| p.write("a", "a @N@\n")], [3 HIT, 4 HIT]),
    case!("file becomes folder", COPY_FOLDER, FOLDER, nothing, [|p| { fs::remove_file(p.context.join("d/x")).unwrap(); p.write("d/x/in", "1\n") }], [3 &["M2"], 4 BELOW]),
    case!("only mtime", COPY_FOLDER, FOLDER, nothing, [|p| { let f = fs::File::options().write(true).open(p.context.join("d/x")).unwrap(); f.set_modified(std::time::UNIX_EPOCH).unwrap() }], [3 HIT, 4 HIT]),
    case!("unrelated file", COPY_FILE, FILE, nothing, [|p| p.write("b", "1\n")], [3 HIT, 4 HIT]),
    case!("content changed and changed back", COPY_FILE, FILE, nothing, [|p| p.write("a", "other\n"), |p| p.write("a", "a @N@\n")], [3 HIT, 4 HIT]),
    case!("ignore rule lets a file in", COPY_ALL, &[("a", "a\n"), ("b", "b\n"), (".dockerignore", "b\nDockerfile\n.dockerignore\n")], nothing, [|p| p.write(".dockerignore", "Dockerfile\n.dockerignore\n")], [3 &["M10"], 4 BELOW]),
    case!("ignore rule keeps a file out", COPY_ALL, &[("a", "a\n"), ("b", "b\n"), (".dockerignore", "Dockerfile\n.dockerignore\n")], nothing, [|p| p.write(".dockerignore", "b\nDockerfile\n.dockerignore\n")], [3 &["M10"], 4 BELOW]),
    case!("ignored file changed", COPY_ALL, &[("a", "a\n"), ("b", "b\n"), (".dockerignore", "b\n")], nothing, [|p| p.write("b", "2\n")], [3 HIT, 4 HIT]),
    case!(".git in the context", COPY_ALL, &[("a", "a\n"), (".git/HEAD", "1\n")], nothing, [|p| p.write(".git/HEAD", "2\n")], [3 &["M11"], 4 BELOW]),
    case!("Dockerfile in the context", COPY_ALL, FILE, nothing, [|p| p.edit("RUN ls", "# why\nRUN ls")], [3 &["M11"], 5 BELOW]),
    case!("comment above, no context", "FROM busybox:local\nRUN echo @N@\nRUN true\n", &[], nothing, [|p| p.edit("RUN true", "# why\nRUN true")], [2 HIT, 4 HIT]),
    case!("RUN text", "FROM busybox:local\nRUN echo @N@ 1\nRUN echo 2\n", &[], nothing, [|p| p.edit("@N@ 1", "@N@ 3")], [2 &["M12"], 3 BELOW]),
    case!("script with its interpreter", "FROM busybox:local\nRUN echo @N@\nRUN <<EOF\n#!/bin/sh\necho 1\nEOF\nRUN echo 2\n", &[], nothing, [|p| p.edit("echo 1", "echo 3")], [2 HIT, 3 &["M12"], 7 BELOW]),
    case!("script with its interpreter, the same", "FROM busybox:local\nRUN echo @N@\nRUN <<EOF\n#!/bin/sh\necho 1\nEOF\nRUN echo 2\n", &[], nothing, [nothing], [2 HIT, 3 HIT, 7 HIT]),
    case!("COPY heredoc beside a file", "FROM busybox:local\nRUN echo @N@\nCOPY a <<one /h/\n1\none\nRUN cat /h/one\n", FILE, nothing, [|p| p.edit("\n1\n", "\n2\n")], [2 HIT, 3 &["M21"], 6 BELOW]),
    case!("COPY heredoc, the file beside it", "FROM busybox:local\nRUN echo @N@\nCOPY a <<one /h/\n1\none\nRUN cat /h/one\n", FILE, nothing, [|p| p.write("a", "other\n")], [2 HIT, 3 &["M2"], 6 BELOW]),
    case!("COPY becomes ADD that does not unpack", COPY_FILE, FILE, nothing, [|p| p.edit("COPY", "ADD --unpack=false")], [2 HIT, 3 HIT, 4 HIT]),
    case!("RUN indented anew", "FROM busybox:local\nRUN echo @N@ && \\\n  true\nRUN echo 2\n", &[], nothing, [|p| p.edit("  true", "    true")], [2 &["M12"], 4 BELOW]),
    case!("blanks after the backslash", "FROM busybox:local\nRUN echo @N@ && \\\n  true\nRUN echo 2\n", &[], nothing, [|p| p.edit("&& \\\n", "&& \\  \n")], [2 HIT, 4 HIT]),
    case!("comment inside RUN", "FROM busybox:local\nRUN echo @N@ && \\\n  # one\n  true\nRUN echo 2\n", &[], nothing, [|p| p.edit("# one", "# two")], [2 HIT, 5 HIT]),
    case!("comment added inside RUN", "FROM busybox:local\nRUN echo @N@ && \\\n  true\nRUN echo 2\n", &[], nothing, [|p| p.edit("  true", "  # two\n  true")], [2 HIT, 5 HIT]),
    case!("inserted line above", "FROM busybox:local\nRUN echo @N@ 1\nRUN echo 2\n", &[], nothing, [|p| p.edit("RUN echo 2", "RUN echo new\nRUN echo 2")], [2 HIT, 3 &["M1"], 4 BELOW]),
    case!("removed line above", "FROM busybox:local\nRUN echo @N@ 1\nRUN echo new\nRUN echo 2\n", &[], nothing, [|p| p.edit("RUN echo new\n", "")], [2 HIT, 3 &["M1"]]),
    case!("SHELL above", "FROM busybox:local\nRUN echo @N@\nSHELL [\"/bin/sh\", \"-c\"]\nRUN echo 2\n", &[], nothing, [|p| p.edit("\"-c\"", "\"-e\", \"-c\"")], [2 HIT, 4 &["M13"]]),
    case!("USER above", "FROM busybox:local\nRUN echo @N@\nUSER 1\nRUN echo 2\nCOPY a /a\n", FILE, nothing, [|p| p.edit("USER 1", "USER 2")], [2 HIT, 4 &["M13"], 5 BELOW]),
    case!("USER above COPY", "FROM busybox:local\nRUN echo @N@\nUSER 1\nCOPY a /a\n", FILE, nothing, [|p| p.edit("USER 1", "USER 2")], [2 HIT, 4 HIT]),
    case!("USER above WORKDIR", "FROM busybox:local\nRUN echo @N@\nUSER 1\nWORKDIR /w\n", FILE, nothing, [|p| p.edit("USER 1", "USER 2")], [2 HIT, 4 &["M13"]]),
    case!("WORKDIR above", "FROM busybox:local\nRUN echo @N@\nWORKDIR /w1\nRUN echo 2\n", &[], nothing, [|p| p.edit("/w1", "/w2")], [2 HIT, 3 &["M13"], 4 &["M13", "C1"]]),
    case!("ENV value", "FROM busybox:local\nRUN echo @N@\nENV A=1\nRUN echo 2\n", &[], nothing, [|p| p.edit("A=1", "A=2")], [2 HIT, 4 &["M14"]]),
    case!("ENV order", "FROM busybox:local\nRUN echo @N@\nENV A=1\nENV B=1\nRUN echo 2\n", &[], nothing, [|p| p.edit("ENV A=1\nENV B=1", "ENV B=1\nENV A=1")], [2 HIT, 5 &["M14"]]),
    case!("ENV above COPY only", "FROM busybox:local\nRUN echo @N@\nENV A=1\nCOPY a /a\n", FILE, nothing, [|p| p.edit("A=1", "A=2")], [2 HIT, 4 HIT]),
    case!("ENV of the parent stage", "FROM busybox:local AS p\nRUN echo @N@\nENV A=1\nFROM p\nRUN echo 2\n", &[], nothing, [|p| p.edit("A=1", "A=2")], [2 HIT, 5 &["M14"]]),
    case!("ARG used", "FROM busybox:local\nRUN echo @N@\nARG V=1\nRUN echo $V\n", &[], nothing, [|p| p.arg("V", "2")], [2 HIT, 4 &["M15"]]),
    case!("ARG not used", "FROM busybox:local\nRUN echo @N@\nARG V=1\nRUN echo 1\n", &[], nothing, [|p| p.arg("V", "2")], [2 HIT, 4 &["M15"]]),
    case!("ARG default", "FROM busybox:local\nRUN echo @N@\nARG V=1\nRUN echo 1\n", &[], nothing, [|p| p.edit("V=1", "V=2")], [2 HIT, 4 &["M15"]]),
    case!("ARG in a destination", "FROM busybox:local\nRUN echo @N@\nARG V=1\nCOPY a /a$V\n", FILE, nothing, [|p| p.arg("V", "2")], [2 HIT, 4 &["M21"]]),
    case!("ARG above COPY only", "FROM busybox:local\nRUN echo @N@\nARG V=1\nCOPY a /a\n", FILE, nothing, [|p| p.arg("V", "2")], [2 HIT, 4 HIT]),
    case!("global ARG not redeclared", "ARG V=1\nFROM busybox:local\nRUN echo @N@\nRUN echo 2\n", &[], nothing, [|p| p.arg("V", "2")], [3 HIT, 4 HIT]),
    case!("proxy ARG not declared", "FROM busybox:local\nRUN echo @N@\nRUN echo 2\n", &[], nothing, [|p| p.arg("HTTP_PROXY", "http://127.0.0.1:9")], [2 HIT, 3 HIT]),
    case!("LABEL, CMD and EXPOSE", "FROM busybox:local\nRUN echo @N@\nLABEL a=1\nEXPOSE 80\nCMD [\"a\"]\nRUN echo 2\n", &[], nothing, [|p| { p.edit("a=1", "a=2"); p.edit("EXPOSE 80", "EXPOSE 81"); p.edit("[\"a\"]", "[\"b\"]") }], [2 HIT, 6 HIT]),
    case!("base with other layers", "FROM peers-@N@:base\nRUN echo @N@\nCOPY a /a\n", FILE, |p| p.base("RUN echo @N@ 1 > /base\n"), [|p| p.base("RUN echo @N@ 2 > /base\n")], [1 &["M16"], 2 BELOW, 3 BELOW]),
    case!("base with equal layers, other manifest", "FROM peers-@N@:base\nRUN echo @N@\nCOPY a /a\n", FILE, |p| p.base("RUN echo @N@ 1 > /base\nLABEL a=1\n"), [|p| p.base("RUN echo @N@ 1 > /base\nLABEL a=2\n")], [1 HIT, 2 HIT, 3 HIT]),
    case!("base with equal layers, other ENV", "FROM peers-@N@:base\nCOPY a /a\nRUN echo @N@\n", FILE, |p| p.base("RUN echo @N@ 1 > /base\nENV E=1\n"), [|p| p.base("RUN echo @N@ 1 > /base\nENV E=2\n")], [1 HIT, 2 HIT, 3 &["M14"]]),
    case!("COPY --chown", "FROM busybox:local\nRUN echo @N@\nCOPY --chown=1:1 a /a\nRUN cat /a\n", FILE, nothing, [|p| p.edit("1:1", "2:2")], [2 HIT, 3 &["M21"], 4 BELOW]),
    case!("COPY --chmod", "FROM busybox:local\nRUN echo @N@\nCOPY --chmod=600 a /a\nRUN cat /a\n", FILE, nothing, [|p| p.edit("chmod=600", "chmod=640")], [2 HIT, 3 &["M21"], 4 BELOW]),
    case!("COPY --exclude, file added that it leaves out", "FROM busybox:local\nRUN echo @N@\nCOPY --exclude=*.md d /d\nRUN ls /d\n", FOLDER, nothing, [|p| p.write("d/new.md", "n\n")], [2 HIT, 3 HIT, 4 HIT]),
    case!("COPY --exclude, file added", "FROM busybox:local\nRUN echo @N@\nCOPY --exclude=*.md d /d\nRUN ls /d\n", FOLDER, nothing, [|p| p.write("d/new", "n\n")], [2 HIT, 3 &["M3"], 4 BELOW]),
    case!("COPY --exclude, another pattern with the same effect", "FROM busybox:local\nRUN echo @N@\nCOPY --exclude=*.md d /d\nRUN ls /d\n", FOLDER, nothing, [|p| p.edit("*.md", "*.mdx")], [2 HIT, 3 &["M21"], 4 BELOW]),
    case!("COPY --chmod in symbols", "FROM busybox:local\nRUN echo @N@\nCOPY --chmod=u=rwX a /a\nRUN cat /a\n", FILE, nothing, [|p| p.edit("u=rwX", "u=rw")], [2 HIT, 3 &["M21"], 4 BELOW]),
    case!("COPY --chmod and the source's mode", "FROM busybox:local\nRUN echo @N@\nCOPY --chmod=600 a /a\nRUN cat /a\n", FILE, nothing, [|p| p.mode("a", 0o640)], [2 HIT, 3 &["M6"], 4 BELOW]),
    case!("COPY destination", "FROM busybox:local\nRUN echo @N@\nCOPY a /a1\nRUN ls /\n", FILE, nothing, [|p| p.edit("/a1", "/a2")], [2 HIT, 3 &["M21"], 4 BELOW]),
    case!("COPY destination, the same in other words", "FROM busybox:local\nRUN echo @N@\nCOPY a /a1\nRUN ls /\n", FILE, nothing, [|p| p.edit("/a1", "/b/../a1")], [2 HIT]),
    case!("COPY source order", "FROM busybox:local\nRUN echo @N@\nCOPY a b /d/\n", &[("a", "a\n"), ("b", "b\n")], nothing, [|p| p.edit("a b", "b a")], [2 HIT, 3 &["M21"]]),
    case!("COPY from another folder, same name and content", "FROM busybox:local\nRUN echo @N@\nCOPY one/a /a\nRUN cat /a\n", &[("one/a", "a\n"), ("two/a", "a\n")], nothing, [|p| p.edit("one/a", "two/a")], [2 HIT, 3 HIT, 4 HIT]),
    case!("COPY becomes ADD", COPY_FILE, FILE, nothing, [|p| p.edit("COPY", "ADD")], [2 HIT, 3 &["M21"], 4 BELOW]),
    case!("wildcard, new match", "FROM busybox:local\nRUN echo @N@\nCOPY *.txt /d/\nRUN ls /d\n", &[("a.txt", "a\n"), ("b.md", "b\n")], nothing, [|p| p.write("c.txt", "c\n")], [2 HIT, 3 &["M3"], 4 BELOW]),
    case!("wildcard, file that does not match", "FROM busybox:local\nRUN echo @N@\nCOPY *.txt /d/\nRUN ls /d\n", &[("a.txt", "a\n"), ("b.md", "b\n")], nothing, [|p| p.write("c.md", "c\n")], [2 HIT, 3 HIT, 4 HIT]),
    case!("heredoc of COPY", "FROM busybox:local\nRUN echo @N@\nCOPY <<EOF /f\none\nEOF\nRUN cat /f\n", &[], nothing, [|p| p.edit("one", "two")], [2 HIT, 3 &["M21"], 6 BELOW]),
    case!("heredoc of RUN", "FROM busybox:local\nRUN echo @N@\nRUN <<EOF\necho one\nEOF\nRUN true\n", &[], nothing, [|p| p.edit("one", "two")], [2 HIT, 3 &["M12"], 6 BELOW]),
    case!("RUN --network", "FROM busybox:local\nRUN echo @N@\nRUN --network=none true\n", &[], nothing, [|p| p.edit("--network=none ", "")], [2 HIT, 3 &["M19"]]),
    case!("SOURCE_DATE_EPOCH and WORKDIR", "FROM busybox:local\nRUN echo @N@\nWORKDIR /w\nRUN echo 2\n", &[], |p| p.arg("SOURCE_DATE_EPOCH", "1000000000"), [|p| p.arg("SOURCE_DATE_EPOCH", "1000000001")], [2 HIT, 3 &["M22"], 4 BELOW]),
    case!("no-cache", COPY_FILE, FILE, nothing, [|p| p.options.no_cache = true], [2 & ["M23"], 3 & ["M23"], 4 & ["M23"]]),
    case!("no-cache-filter and what stands on it", "FROM busybox:local AS one\nRUN echo @N@\nFROM one AS two\nRUN echo 2\nWORKDIR /w\nRUN echo 3\n", &[], nothing, [|p| p.options.more = vec!["--no-cache-filter=One".into()]], [2 &["M23"], 4 BELOW, 5 BELOW, 6 BELOW]),
    case!("add-host, another address", "FROM busybox:local\nRUN echo @N@\n", &[], |p| p.options.more = vec!["--add-host=db:10.0.0.1".into()], [|p| p.options.more = vec!["--add-host=db:10.0.0.2".into()]], [2 HIT]),
    case!("add-host, another name", "FROM busybox:local\nRUN echo @N@\n", &[], |p| p.options.more = vec!["--add-host=db:10.0.0.1".into()], [|p| p.options.more = vec!["--add-host=dc:10.0.0.1".into()]], [2 &["M19"]]),
    case!("shm-size", "FROM busybox:local\nRUN echo @N@\n", &[], nothing, [|p| p.options.more = vec!["--shm-size=96m".into()]], [2 &["M20"]]),
    case!("ulimit", "FROM busybox:local\nRUN echo @N@\n", &[], nothing, [|p| p.options.more = vec!["--ulimit=nofile=64".into()]], [2 &["M19"]]),
    case!("label", "FROM busybox:local\nRUN echo @N@\n", &[], nothing, [|p| p.options.more = vec!["--label=a=1".into()]], [2 HIT]),
    case!("after no-cache", COPY_FILE, FILE, nothing, [|p| p.options.no_cache = true, |p| p.options.no_cache = false], [2 HIT, 3 HIT, 4 HIT]),
    case!("no-cache leaves WORKDIR", "FROM busybox:local\nWORKDIR /@N@\nRUN true\n", &[], nothing, [|p| p.options.no_cache = true], [2 HIT, 3 &["M23"]]),
    case!("identical steps in two stages", "FROM busybox:local AS one\nRUN echo @N@ > /f\nFROM busybox:local AS two\nRUN echo @N@ > /f\nFROM busybox:local\nCOPY --from=one /f /one\nCOPY --from=two /f /two\n", &[], nothing, [nothing], [2 HIT, 4 HIT, 6 HIT, 7 HIT]),
    case!("identical steps changed in one stage", "FROM busybox:local AS one\nRUN echo @N@ > /f\nFROM busybox:local AS two\nRUN echo @N@ > /f\nFROM busybox:local\nCOPY --from=one /f /one\nCOPY --from=two /f /two\n", &[], nothing, [|p| p.edit("AS two\nRUN echo @N@", "AS two\nRUN echo new @N@")], [2 HIT, 4 &["M12"], 6 HIT, 7 &["M2", "C2"]]),
    case!("early cutoff", "FROM busybox:local AS src\nRUN echo @N@ > /f\nFROM busybox:local\nCOPY --from=src /f /f\nRUN cat /f\n", &[], nothing, [|p| p.edit("RUN echo", "RUN : other; echo")], [2 &["M12"], 4 HIT, 5 HIT]),
    case!("no cutoff in the same stage", "FROM busybox:local\nRUN echo @N@ > /f\nRUN cat /f\n", &[], nothing, [|p| p.edit("RUN echo", "RUN : other; echo")], [2 &["M12"], 3 BELOW]),
    case!("source stage gives something else", "FROM busybox:local AS src\nRUN echo @N@ > /f\nFROM busybox:local\nCOPY --from=src /f /f\nRUN cat /f\n", &[], nothing, [|p| p.edit("RUN echo", "RUN echo more")], [2 &["M12"], 4 &["M2", "C2"], 5 BELOW]),
    case!(
        "owner in a source stage",
        "FROM busybox:local AS src\nRUN echo @N@ > /f && chown 1 /f\nFROM busybox:local\nCOPY --from=src /f /f\n",
        &[],
        nothing,
        [|p| p.edit("chown 1", "chown 2")],
        [2 & ["M12"], 4 & ["M9"]]
    ),
    case!("source stage renamed", "FROM busybox:local AS src\nRUN echo @N@ > /f\nFROM busybox:local\nCOPY --from=src /f /f\n", &[], nothing, [|p| { p.edit("AS src", "AS other"); p.edit("from=src", "from=other") }], [2 HIT, 4 HIT]),
    case!("pruned source stage", "FROM busybox:local AS src\nRUN echo 1 > /src-@N@\nFROM busybox:local\nCOPY --from=src /src-@N@ /f\nRUN cat /f\n", &[], nothing, [|p| p.forget("src-@N@")], [2 HIT, 4 HIT, 5 HIT]),
    case!("pruned source stage that is needed", "FROM busybox:local AS src\nRUN echo 1 > /src-@N@\nFROM busybox:local\nCOPY --from=src /src-@N@ /f\nRUN ls /\n", &[], nothing, [|p| { p.forget("src-@N@"); p.edit("/f\nRUN", "/g\nRUN") }], [2 &["M24"], 4 &["M21"], 5 BELOW]),
    case!("pruned last step", "FROM busybox:local\nRUN echo @N@\nRUN echo 1 > /last-@N@\n", &[], nothing, [|p| p.forget("last-@N@")], [2 HIT, 3 &["M24"]]),
    case!("definition of one input, content of the other", "FROM busybox:local AS one\nRUN echo 1 @N@ > /f\nFROM busybox:local AS two\nRUN echo 2 @N@ > /f\nFROM busybox:local\nCOPY --from=one /f /one\nCOPY --from=two /f /two\nRUN ls\n", &[], nothing, [|p| p.edit("AS two\nRUN echo", "AS two\nRUN : other; echo")], [2 HIT, 4 &["M12"], 6 HIT, 7 HIT, 8 HIT]),
    case!("ChainID below, content beside", "FROM busybox:local AS src\nRUN echo 1 @N@ > /f\nFROM peers-@N@:base\nCOPY --from=src /f /f\nRUN cat /f\n", &[], |p| p.base("RUN echo @N@ 1 > /base\nLABEL a=1\n"), [|p| { p.base("RUN echo @N@ 1 > /base\nLABEL a=2\n"); p.edit("RUN echo", "RUN : other; echo") }], [2 &["M12"], 3 HIT, 4 HIT, 5 HIT]),
    case!("keys learnt on the way: back by definition", "FROM busybox:local AS src\nRUN echo 1 @N@ > /src-@N@\nFROM busybox:local\nCOPY --from=src /src-@N@ /f\nRUN cat /f\n", &[], nothing, [|p| p.edit("RUN echo", "RUN : other; echo"), |p| p.edit("RUN cat", "RUN true; cat")], [2 HIT, 4 HIT, 5 &["M12"]]),
    case!("unused stage edited", "FROM busybox:local AS unused\nRUN echo 1\nFROM busybox:local\nRUN echo @N@\n", &[], nothing, [|p| p.edit("echo 1", "echo 2")], [4 HIT]),
    case!("target", "FROM busybox:local AS one\nRUN echo @N@ 1\nFROM one\nRUN echo 2\n", &[], nothing, [|p| p.options.target = Some("one".into())], [2 HIT]),
    case!("named context stage order", "FROM busybox:local AS one\nRUN echo @N@ 1 > /f\nFROM busybox:local AS two\nCOPY --from=one /f /f\nRUN cat /f\nFROM two\nRUN echo 3\n", &[], nothing, [|p| p.edit("RUN echo 3", "RUN echo 4")], [2 HIT, 4 HIT, 5 HIT, 7 &["M12"]]),
    case!("COPY of another name, same content", "FROM busybox:local\nRUN echo @N@\nCOPY a /x\nRUN ls\n", &[("a", "1\n"), ("b", "1\n")], nothing, [|p| p.edit("COPY a", "COPY b")], [2 HIT, 3 &["M21"], 4 BELOW]),
    case!("COPY of a folder, slash at its end", "FROM busybox:local\nRUN echo @N@\nCOPY d /d\nRUN ls\n", FOLDER, nothing, [|p| p.edit("COPY d /d", "COPY d/ /d")], [2 HIT, 3 HIT, 4 HIT]),
    case!("COPY of a folder, slash at the destination", "FROM busybox:local\nRUN echo @N@\nCOPY d /d\nRUN ls\n", FOLDER, nothing, [|p| p.edit("COPY d /d", "COPY d /d/")], [2 HIT]),
    case!("wildcard, match renamed", "FROM busybox:local\nRUN echo @N@\nCOPY a*.txt /d/\nRUN ls /d\n", &[("a1.txt", "a\n")], nothing, [|p| fs::rename(p.context.join("a1.txt"), p.context.join("a2.txt")).unwrap()], [2 HIT, 3 &["M5"], 4 BELOW]),
    case!("link in the context leads elsewhere, same content", "FROM busybox:local\nRUN echo @N@\nCOPY link /x\nRUN ls\n", &[("one", "1\n"), ("two", "1\n")], |p| symlink("one", p.context.join("link")).unwrap(), [|p| { fs::remove_file(p.context.join("link")).unwrap(); symlink("two", p.context.join("link")).unwrap() }], [2 HIT, 3 HIT, 4 HIT]),
    case!("target of a followed link changed", "FROM busybox:local\nRUN echo @N@\nCOPY link /x\nRUN ls\n", &[("one", "1\n")], |p| symlink("one", p.context.join("link")).unwrap(), [|p| p.write("one", "22\n")], [2 HIT, 3 &["M2"], 4 BELOW]),
    case!("ignore rule with an exception", COPY_ALL, &[("d/a", "a\n"), ("d/b", "b\n"), (".dockerignore", "*\n!d/a\n")], nothing, [|p| p.write("d/b", "other\n"), |p| p.write("c", "c\n")], [2 HIT, 3 HIT, 4 HIT]),
    case!("ignore file reworded", COPY_ALL, &[("a", "a\n"), ("b", "b\n"), (".dockerignore", "b\n.dockerignore\n")], nothing, [|p| p.write(".dockerignore", "# no b\n/b\n.docker*\n")], [2 HIT, 3 HIT, 4 HIT]),
    case!("Dockerfile.dockerignore takes over", COPY_ALL, &[("a", "a\n"), ("b", "b\n"), (".dockerignore", "b\n*ignore\n")], nothing, [|p| p.write("Dockerfile.dockerignore", "a\n*ignore\n")], [2 HIT, 3 &["M10"], 4 BELOW]),
    case!("ENV twice gives the same", "FROM busybox:local\nRUN echo @N@\nENV A=1\nRUN echo 2\n", &[], nothing, [|p| p.edit("ENV A=1", "ENV A=0\nENV A=1")], [2 HIT, 5 HIT]),
    case!("ENV through an expansion", "FROM busybox:local\nRUN echo @N@\nENV A=1\nENV B=1\nRUN echo 2\n", &[], nothing, [|p| p.edit("B=1", "B=$A")], [2 HIT, 5 HIT]),
    case!("ARG equal to its default", "FROM busybox:local\nRUN echo @N@\nARG V=1\nRUN echo $V\n", &[], nothing, [|p| p.arg("V", "1")], [2 HIT, 4 HIT]),
    case!("ARG becomes ENV", "FROM busybox:local\nRUN echo @N@\nARG V=1\nRUN echo $V\n", &[], nothing, [|p| p.edit("ARG V=1", "ENV V=1")], [2 HIT]),
    case!("ARG names the base", "ARG B=busybox:local\nFROM $B\nRUN echo @N@\n", &[], nothing, [|p| p.edit("FROM $B", "FROM busybox:local")], [3 HIT]),
    case!("ARG of the platform", "FROM busybox:local\nRUN echo @N@\nARG TARGETARCH\nRUN echo 2\n", &[], nothing, [|p| p.edit("ARG TARGETARCH\n", "")], [2 HIT, 3 &["M15"]]),
    case!("WORKDIR in relative words", "FROM busybox:local\nRUN echo @N@\nWORKDIR /w/x\nRUN echo 2\n", &[], nothing, [|p| p.edit("WORKDIR /w/x", "WORKDIR /w\nWORKDIR x")], [2 HIT]),
    case!("RUN in exec form", "FROM busybox:local\nRUN echo @N@\nRUN echo 2\n", &[], nothing, [|p| p.edit("RUN echo 2", "RUN [\"/bin/sh\", \"-c\", \"echo 2\"]")], [2 HIT, 3 HIT]),
    case!("stage between", "FROM busybox:local AS one\nRUN echo @N@\nRUN echo 2\n", &[], nothing, [|p| p.edit("RUN echo 2", "FROM one\nRUN echo 2")], [2 HIT, 4 HIT]),
    case!("instruction in small letters", "FROM busybox:local\nRUN echo @N@\nCOPY a /a\n", FILE, nothing, [|p| p.edit("COPY", "copy")], [2 HIT, 3 HIT]),
    case!("COPY --from of an image", "FROM busybox:local\nRUN echo @N@\nCOPY --from=peers-@N@:base /base /b\nRUN ls\n", &[], |p| p.base("RUN echo @N@ 1 > /base\n"), [|p| p.base("RUN : other; echo @N@ 1 > /base\n")], [2 HIT, 3 HIT, 4 HIT]),
    case!("COPY --from of an image, other content", "FROM busybox:local\nRUN echo @N@\nCOPY --from=peers-@N@:base /base /b\nRUN ls\n", &[], |p| p.base("RUN echo @N@ 1 > /base\n"), [|p| p.base("RUN echo @N@ 2 > /base\n")], [2 HIT, 3 &["M2"], 4 BELOW]),
    case!("wildcard out of a stage", "FROM busybox:local AS s\nRUN mkdir /o && echo @N@ > /o/a\nFROM busybox:local\nCOPY --from=s /o/* /o/\nRUN ls\n", &[], nothing, [|p| p.edit("RUN mkdir /o &&", "RUN mkdir /o && echo 1 > /o/b &&")], [2 &["M12"], 4 &["M3"], 5 BELOW]),
];

/// The hazard of BuildKit's own transfer: a file with other bytes, but the same size and mtime.
fn same_size_and_times(play: &mut Play) {
    let path = play.context.join("a");
    let before = fs::metadata(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen('a', "b", 1)).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(before.modified().unwrap()).unwrap();
}

pub fn mark(play: &mut Play, path: &str) {
    rustix::fs::setxattr(play.context.join(path), "user.peers", b"1", rustix::fs::XattrFlags::empty()).unwrap();
}

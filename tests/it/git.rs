//! ADD and contexts of git repositories, served over dumb http on loopback. Tests carry the ids of the rows of the reliability
//! reference, section 4.4.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::program::{Program, can_build, codes, line};
use super::registry::server::{Action, Registry};

pub struct Repository {
    pub work: PathBuf,
    pub bare: PathBuf,
}

fn git(folder: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"]).args(args);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let done = command.current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Repository {
    pub fn new(program: &Program) -> Self {
        let repository = Self::empty(program, "work");
        repository.commit(&[("a", "1"), ("sub/b", "2"), ("sub/Dockerfile", "FROM scratch\nCOPY . /s/\n")]);
        repository
    }

    fn empty(program: &Program, name: &str) -> Self {
        let (work, bare) = (program.path(name), program.path(&format!("{name}.git")));
        fs::create_dir(&work).unwrap();
        git(&work, &["init", "-q", "-b", "main"]);
        Self { work, bare }
    }

    pub fn commit(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = self.work.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        git(&self.work, &["add", "-A"]);
        git(&self.work, &["commit", "-q", "--allow-empty", "-m", "x"]);
    }

    pub fn serve(&self) -> Registry {
        let server = Registry::new();
        self.serve_as(&server, "r.git");
        server
    }

    pub fn pack(&self) {
        let _ = fs::remove_dir_all(&self.bare);
        git(&self.work, &["clone", "-q", "--bare", ".", self.bare.to_str().unwrap()]);
        git(&self.bare, &["repack", "-qad"]);
        git(&self.bare, &["update-server-info"]);
    }

    /// Every file of the repository, as a server without any knowledge of git gives it.
    fn serve_as(&self, server: &Registry, folder: &str) {
        self.pack();
        let mut todo = vec![self.bare.clone()];
        while let Some(path) = todo.pop() {
            if path.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
            } else {
                let name = path.strip_prefix(&self.bare).unwrap().display().to_string();
                server.fault(
                    &format!("GET /{folder}/{name}"),
                    1000,
                    Action::Answer(200, String::new(), fs::read(&path).unwrap()),
                );
            }
        }
    }

    /// Enters another repository's commit as a submodule.
    fn submodule(&self, folder: &str, url: &str, of: &Repository) {
        let head = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(&of.work).output().unwrap();
        let head = String::from_utf8(head.stdout).unwrap();
        git(&self.work, &["update-index", "--add", "--cacheinfo", &format!("160000,{},{folder}", head.trim())]);
        let mut modules = fs::read_to_string(self.work.join(".gitmodules")).unwrap_or_default();
        modules.push_str(&format!("[submodule \"{folder}\"]\n\tpath = {folder}\n\turl = {url}\n"));
        fs::write(self.work.join(".gitmodules"), modules).unwrap();
        git(&self.work, &["add", ".gitmodules"]);
        git(&self.work, &["commit", "-q", "-m", "submodule"]);
    }
}

pub fn has_git(test: &str) -> bool {
    let found = ["/usr/bin/git", "/bin/git"].iter().any(|path| Path::new(path).is_file());
    if !found {
        println!("skipped: {test}: there is no git in /usr/bin");
    }
    found && can_build(test)
}

#[test]
fn a_repository_is_added_by_reference_and_folder_and_a_moved_branch_is_a_miss() {
    if !has_git("a_repository_is_added_by_reference_and_folder_and_a_moved_branch_is_a_miss") {
        return;
    }
    let program = Program::new("");
    let repository = Repository::new(&program);
    git(&repository.work, &["tag", "-a", "-m", "t", "v1"]);
    let server = repository.serve();
    let url = format!("http://{}/r.git", server.address);
    let dockerfile = |url: &str| {
        format!(
            "FROM scratch\nADD {url}#main /m\nADD {url}#v1:sub /t/\nADD --keep-git-dir {url} /k\nADD --chown=3:4 {url}#:sub /o\n"
        )
    };
    program.write("Dockerfile", &dockerfile(&url));
    let out = program.path("out");
    program.build(&["-o", out.to_str().unwrap(), "."]);
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    assert_eq!((read("m/a"), read("m/sub/b"), read("t/b"), read("o/b")), ("1".into(), "2".into(), "2".into(), "2".into()));
    assert!(!out.join("m/.git").exists() && out.join("k/.git/HEAD").exists() && !out.join("t/.git").exists());
    let document = program.build(&["."]);
    for at in 2..=5 {
        assert_eq!(line(&document, at)["result"], "hit", "line {at}");
    }
    repository.commit(&[("a", "changed")]);
    let moved = repository.serve();
    program.write("Dockerfile", &dockerfile(&format!("http://{}/r.git", moved.address)));
    let document = program.build(&["."]);
    let step = line(&document, 2);
    assert_eq!(step["result"], "ran");
    assert!(codes(step).contains(&"M18"), "{step}");
    assert_eq!(program.build(&["."])["steps"][1]["result"], "hit");
}

#[test]
fn a_repository_is_a_context() {
    if !has_git("a_repository_is_a_context") {
        return;
    }
    let program = Program::new("");
    let repository = Repository::new(&program);
    let server = repository.serve();
    let url = format!("http://{}/r.git", server.address);
    let out = program.path("out");
    let ended = program.run(&["build", "-o", out.to_str().unwrap(), &format!("{url}#main:sub")]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(out.join("s/b")).unwrap(), "2");
    program.run(&["build", &url]).says(1, &["there is no Dockerfile `Dockerfile`"]);
    program.run(&["build", "-f", "sub/Dockerfile", &url]).says(0, &["COPY . /s/"]);
    program.write("Dockerfile", "FROM r\nCOPY --from=r a /x\n");
    program.build(&["--build-context", &format!("r={url}"), "."]);
}

#[test]
fn c34_c36_references_and_folders_that_lead_elsewhere() {
    if !has_git("c34_c36_references_and_folders_that_lead_elsewhere") {
        return;
    }
    let program = Program::new("");
    let repository = Repository::new(&program);
    std::os::unix::fs::symlink("/", repository.work.join("proj")).unwrap();
    repository.commit(&[]);
    let server = repository.serve();
    let url = format!("http://{}/r.git", server.address);
    let canary = program.path("canary");
    for (source, part) in [
        (format!("{url}#--upload-pack=touch${{IFS}}{}", canary.display()), "Dockerfile:2"),
        (format!("{url}#-x"), "is no name of a branch"),
        ("ssh://-oProxyCommand=touch/x.git".to_owned(), "is no git repository"),
        (format!("{url}#main:../../x"), "leads out of the repository"),
        (format!("{url}#main:proj"), "has no such folder"),
        (format!("{url}#main:/abs"), "has no such folder"),
        (format!("{url}#missing"), "has no branch, tag or commit"),
        (format!("--checksum=1234567 {url}#main"), "instead of 1234567"),
    ] {
        program.write("Dockerfile", &format!("FROM scratch\nADD {source} /x\n"));
        program.run(&["build", "."]).says(1, &[part]);
    }
    assert!(!canary.exists());
    program.write("Dockerfile", "FROM scratch\nADD http://u:RB-S3CR3T@127.0.0.1:1/r.git /x\n");
    let ended = program.run(&["build", "."]);
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("S3CR3T"), "{ended:?}");
    ended.says(3, &["Dockerfile:2", "git cannot get"]);
}

#[test]
fn submodules_come_along_and_theirs_too() {
    if !has_git("submodules_come_along_and_theirs_too") {
        return;
    }
    let program = Program::new("");
    let [inner, middle, outer] = ["inner", "middle", "outer"].map(|name| Repository::empty(&program, name));
    inner.commit(&[("deep", "3")]);
    middle.commit(&[("mid", "2")]);
    middle.submodule("in", "../inner.git", &inner);
    outer.commit(&[("a", "1"), ("Dockerfile", "FROM scratch\nCOPY . /c/\n")]);
    outer.submodule("lib/m", "../middle.git", &middle);
    // A commit after the one that the submodule names: no branch leads to that one directly.
    middle.commit(&[("mid", "changed")]);
    let server = Registry::new();
    for (repository, name) in [(&inner, "inner.git"), (&middle, "middle.git"), (&outer, "outer.git")] {
        repository.serve_as(&server, name);
    }
    let url = format!("http://{}/outer.git", server.address);
    let out = program.path("out");
    program.write(
        "Dockerfile",
        &format!("FROM scratch\nADD {url}#main /m/\nADD {url}#main:lib /l/\nADD --keep-git-dir {url} /k/\n"),
    );
    program.build(&["-o", out.to_str().unwrap(), "."]);
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    for folder in ["m/lib", "l", "k/lib"] {
        assert_eq!((read(&format!("{folder}/m/mid")), read(&format!("{folder}/m/in/deep"))), ("2".into(), "3".into()));
    }
    for without in ["m/.git", "m/lib/m/.git", "m/lib/m/in/.git", "l/m/.git", "l/m/in/.git"] {
        assert!(fs::symlink_metadata(out.join(without)).is_err(), "{without}");
    }
    assert!(out.join("k/.git/HEAD").is_file() && out.join("k/.git/modules/lib/m/HEAD").is_file());
    // As a context, too.
    let _ = fs::remove_dir_all(&out);
    program.run(&["build", "-o", out.to_str().unwrap(), &url]).says(0, &[]);
    assert_eq!(read("c/lib/m/in/deep"), "3");
    assert!(fs::symlink_metadata(out.join("c/lib/m/.git")).is_err());
}

#[test]
fn c34_submodules_that_are_programs_or_files_of_this_machine() {
    if !has_git("c34_submodules_that_are_programs_or_files_of_this_machine") {
        return;
    }
    let program = Program::new("");
    let private = Repository::empty(&program, "private");
    private.commit(&[("secret", "RB-S3CR3T")]);
    private.pack();
    let canary = program.path("canary");
    let (file, canary_text) = (private.bare.display().to_string(), canary.display().to_string());
    for (at, url) in [
        format!("ext::sh -c \"touch {canary_text}\""),
        format!("file://{file}"),
        file,
        format!("-oProxyCommand=touch {canary_text}"),
        format!("ssh://-oProxyCommand=touch%20{canary_text}/x"),
    ]
    .into_iter()
    .enumerate()
    {
        let outer = Repository::empty(&program, &format!("outer{at}"));
        outer.commit(&[("a", "1")]);
        outer.submodule("m", &url, &private);
        let server = outer.serve();
        let out = program.path("out");
        program.write("Dockerfile", &format!("FROM scratch\nADD http://{}/r.git /x\n", server.address));
        let ended = program.run(&["build", "-o", out.to_str().unwrap(), "."]);
        assert!(matches!(ended.code, Some(1 | 3)), "{url}: {ended:?}");
        assert!(format!("{}{}", ended.stdout, ended.stderr).contains("Dockerfile:2"), "{url}: {ended:?}");
        assert!(!canary.exists() && !out.exists(), "{url}");
    }
}

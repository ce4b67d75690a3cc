//! Git repositories, by the user's git. The hard rule: nothing from a Dockerfile, a repository or the user's configuration can
//! become an option, a program or a hook. References are asked for by name and checked here, git gets them behind `--`.
//!
//! Source of the rules: BuildKit `source/git/source.go`, `util/gitutil`; `reference/reliability.md`, section 2.4.

use std::fs::{File, FileTimes, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::{FetchError, Fetched, Fetcher, Temporary, appear};
use crate::engine::graph::{GitSource, redacted};
use crate::ground::digest::Digest;
use crate::ground::fs::{PathResultExt, RootDir};

/// A repository that answers nothing is given up.
const PATIENCE: Duration = Duration::from_secs(600);
/// The transports that ADD may use.
const TRANSPORTS: [(&str, &str); 4] = [
    ("protocol.https.allow", "always"),
    ("protocol.http.allow", "always"),
    ("protocol.ssh.allow", "always"),
    ("protocol.git.allow", "always"),
];

impl Fetcher<'_> {
    pub(super) fn git(&self, source: &GitSource) -> Result<Fetched, FetchError> {
        source.check().map_err(FetchError::Source)?;
        self.tell("asking", &source.remote, 0, None);
        let (name, commit) = self.resolve(source)?;
        if let Some(wanted) = source.checksum.as_ref().filter(|wanted| !commit.starts_with(&wanted.to_ascii_lowercase())) {
            let shown = source.shown();
            return Err(FetchError::Source(format!("`{shown}` leads to the commit {commit} instead of {wanted}")));
        }
        // With `.git` the reference counts, too: it is written there.
        let reference = source.keep_git_dir.then_some(&name);
        let key = json!([
            "git",
            redacted(&source.remote),
            commit,
            reference,
            source.folder,
            source.skip_submodules,
            source.commit_times
        ]);
        let definition = Digest::of(key.to_string());
        let folder = format!("git-{}", definition.hex());
        let root = self.folder()?.join(&folder);
        let fetched = Fetched { root: root.clone(), definition, revision: commit.clone() };
        if self.is_kept(&folder, &root)? {
            return Ok(fetched);
        }
        let temporary = Temporary::new(&self.folder()?)?;
        self.check_out(source, &name, &commit, &temporary.0)?;
        let taken = inside(&temporary.0, source)?;
        tidy(&taken, self.time(source, &commit, &temporary.0)?)?;
        match source.keep_git_dir {
            true => scrub(&temporary.0.join(".git"))?,
            false => remove_git_dirs(&taken)?,
        }
        appear(&taken, &root)?;
        Ok(fetched)
    }

    /// The full name of the reference, and its commit. Annotated tags are followed to what they tag.
    fn resolve(&self, source: &GitSource) -> Result<(String, String), FetchError> {
        let wanted = source.reference.as_deref().unwrap_or("HEAD");
        if is_commit(wanted) {
            return Ok((wanted.to_ascii_lowercase(), wanted.to_ascii_lowercase()));
        }
        let peeled = format!("{wanted}^{{}}");
        let text = self.run(source, None, &["ls-remote", "--", &source.remote, wanted, &peeled])?;
        let found: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('\t')).collect();
        // Source: BuildKit `gitSourceHandler.CacheKey`: exact names first, then tags, then branches; the commit of a tag.
        let names = [wanted.to_owned(), format!("refs/tags/{wanted}"), format!("refs/heads/{wanted}")];
        for name in names {
            let commit = |name: &str| found.iter().find(|(_, known)| *known == name).map(|(commit, _)| (*commit).to_owned());
            if let Some(commit) = commit(&format!("{name}^{{}}")).or_else(|| commit(&name)).filter(|text| is_commit(text)) {
                return Ok((name, commit));
            }
        }
        let shown = redacted(&source.remote);
        Err(FetchError::Source(format!("the repository `{shown}` has no branch, tag or commit `{}`", wanted.escape_debug())))
    }

    /// Fetches one commit and checks it out. Where a server does not give single commits, everything is fetched.
    fn check_out(&self, source: &GitSource, name: &str, commit: &str, folder: &Path) -> Result<(), FetchError> {
        let run = |args: &[&str]| self.run(source, Some(folder), args).map(|_| ());
        self.tell("fetching", &source.remote, 0, None);
        run(&["-c", "init.defaultBranch=master", "init", "-q"])?;
        run(&["remote", "add", "--", "origin", &source.remote])?;
        let by_name = format!("{name}:refs/rbuild/fetched");
        let shallow = ["fetch", "-q", "--no-tags", "--depth=1", "--no-recurse-submodules", "--", "origin"];
        let first = if is_commit(name) { commit } else { &by_name };
        if run(&[&shallow[..], &[first]].concat()).is_err() || run(&["cat-file", "-e", commit]).is_err() {
            let all =
                ["fetch", "-q", "--tags", "--no-recurse-submodules", "--", "origin", "+refs/heads/*:refs/remotes/origin/*"];
            run(&all)?;
        }
        run(&["checkout", "-q", "--detach", commit, "--"])?;
        if !source.skip_submodules && folder.join(".gitmodules").is_file() {
            self.tell("fetching submodules of", &source.remote, 0, None);
            let update = ["submodule", "update", "-q", "--init", "--recursive"];
            // Some servers give no single commits, and a submodule's may be none that a branch leads to.
            if run(&[&update[..], &["--depth=1"]].concat()).is_err() {
                run(&update)?;
            }
        }
        Ok(())
    }

    /// The time that files get: that of the commit, where it was asked for.
    fn time(&self, source: &GitSource, commit: &str, folder: &Path) -> Result<Option<u64>, FetchError> {
        if !source.commit_times {
            return Ok(None);
        }
        let text = self.run(source, Some(folder), &["show", "-s", "--format=%ct", commit, "--"])?;
        Ok(text.trim().parse().ok())
    }

    fn run(&self, source: &GitSource, folder: Option<&Path>, args: &[&str]) -> Result<String, FetchError> {
        let mut command = self.command()?;
        command.args(args).current_dir(folder.unwrap_or(Path::new("/")));
        let fail = |error: &std::io::Error| FetchError::Git {
            message: format!("cannot start git: {}", crate::ground::fs::error::describe(error)),
            hint: None,
        };
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| fail(&e))?;
        let pid = rustix::process::Pid::from_child(&child);
        let done = std::sync::atomic::AtomicBool::new(false);
        let output = std::thread::scope(|scope| {
            let watch = scope.spawn(|| self.watch(pid, &done));
            let output = child.wait_with_output();
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            watch.thread().unpark();
            output
        });
        let output = output.map_err(|e| fail(&e))?;
        if (self.cancelled)() {
            return Err(FetchError::Cancelled);
        }
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(refused(source, &String::from_utf8_lossy(&output.stderr)))
    }

    /// Ends git, and what it started, when somebody cancels or nothing happens for long.
    fn watch(&self, pid: rustix::process::Pid, done: &std::sync::atomic::AtomicBool) {
        let until = std::time::Instant::now() + PATIENCE;
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            if (self.cancelled)() || std::time::Instant::now() > until {
                let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn command(&self) -> Result<Command, FetchError> {
        let missing = || FetchError::Git {
            message: "there is no `git`, which repositories are fetched with".into(),
            hint: Some("install git, or clone the repository elsewhere and copy its folder".into()),
        };
        let mut command = self.git.command(&TRANSPORTS).ok_or_else(missing)?;
        command.env("GIT_ALLOW_PROTOCOL", "https:http:ssh:git");
        let proxies = &self.client.settings().proxies;
        for (name, value) in [("http_proxy", &proxies.http), ("https_proxy", &proxies.https)] {
            if let Some(value) = value {
                command.env(name, value).env("no_proxy", &proxies.none);
            }
        }
        command.env("GIT_SSH_COMMAND", "ssh -F /dev/null -o BatchMode=yes");
        if let Some(agent) = &self.git.agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        if let Some(home) = &self.git.home {
            command.env("HOME", home);
        }
        Ok(command)
    }
}

/// 40 or 64 hex digits.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Git's last words, without credentials and without anything a terminal acts on.
fn refused(source: &GitSource, text: &str) -> FetchError {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.iter().rev().find(|line| line.starts_with("fatal:") || line.starts_with("error:")).or(lines.last());
    let why: String = redacted(last.copied().unwrap_or("it said nothing")).chars().take(300).collect();
    let why = why.trim_start_matches("fatal: ").escape_debug().to_string().replace("\\'", "'");
    let (cause, hint) = of_ssh(text);
    FetchError::Git {
        message: format!("git cannot get `{}`: {}", source.shown(), cause.map_or(why, str::to_owned)),
        hint: Some(hint.into()),
    }
}

/// Git itself knows nothing of why ssh did not come through, and what to do then.
fn of_ssh(text: &str) -> (Option<&'static str>, &'static str) {
    if text.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        let hint = "ask who runs the host; if it is right, renew its line with `ssh-keygen -R HOST` and `ssh-keyscan HOST`";
        return (Some("its host key is another than the one in ~/.ssh/known_hosts"), hint);
    }
    if text.contains("Host key verification failed") {
        let hint = "compare its key with what the host's owner says, and add it: `ssh-keyscan HOST >> ~/.ssh/known_hosts`";
        return (Some("its host key is not in ~/.ssh/known_hosts"), hint);
    }
    if text.contains("Permission denied (") {
        let hint = "give a key that it knows to your agent (`ssh-add`); the agent is found by SSH_AUTH_SOCK";
        return (Some("it accepts none of the keys that are offered"), hint);
    }
    (None, "check the address, the network and your access to it")
}

/// The folder that is taken; a link on the way could lead out of the repository.
fn inside(root: &Path, source: &GitSource) -> Result<PathBuf, FetchError> {
    let Some(folder) = source.folder.as_deref().filter(|folder| !folder.trim_matches('/').is_empty()) else {
        return Ok(root.to_owned());
    };
    let path = Path::new(folder.trim_start_matches('/'));
    let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOFOLLOW;
    let resolve = rustix::fs::ResolveFlags::BENEATH | rustix::fs::ResolveFlags::NO_SYMLINKS;
    let top = RootDir::open(root)?;
    rustix::fs::openat2(top.fd().as_fd(), path, flags, rustix::fs::Mode::empty(), resolve)
        .map_err(|_| FetchError::Source(format!("`{}` has no such folder", source.shown())))?;
    Ok(root.join(path))
}

/// Modes as a checkout by root with the usual umask has them, whatever the user's is, and times.
fn tidy(folder: &Path, time: Option<u64>) -> Result<(), FetchError> {
    let mut todo = vec![folder.to_owned()];
    let mut times = Vec::new();
    while let Some(path) = todo.pop() {
        let meta = std::fs::symlink_metadata(&path).at("look at", &path)?;
        if meta.is_symlink() {
            continue;
        }
        let mode = if meta.is_dir() || meta.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 };
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).at("set the mode of", &path)?;
        if meta.is_dir() {
            for entry in std::fs::read_dir(&path).at("list", &path)?.flatten() {
                todo.push(entry.path());
            }
        }
        times.push(path);
    }
    let Some(seconds) = time else { return Ok(()) };
    let time = FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(seconds));
    for path in times.iter().rev() {
        File::open(path).and_then(|file| file.set_times(time)).at("set the time of", path)?;
    }
    Ok(())
}

/// Takes credentials out of what git noted about the remote, of submodules too.
fn scrub(git: &Path) -> Result<(), FetchError> {
    let mut todo = vec![git.to_owned()];
    while let Some(path) = todo.pop() {
        for entry in std::fs::read_dir(&path).at("list", &path)?.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let kind = entry.file_type().at("look at", &path)?;
            if kind.is_dir() && name != "objects" {
                todo.push(path);
            } else if kind.is_file() && (name == "config" || name == "FETCH_HEAD" || path.parent().is_some_and(in_logs)) {
                let text = String::from_utf8_lossy(&std::fs::read(&path).at("read", &path)?).into_owned();
                std::fs::write(&path, redacted(&text)).at("write", &path)?;
            }
        }
    }
    Ok(())
}

fn in_logs(folder: &Path) -> bool {
    folder.components().any(|component| component.as_os_str() == "logs")
}

/// `.git` of the repository and of its submodules, which is a file there.
fn remove_git_dirs(folder: &Path) -> Result<(), FetchError> {
    let mut todo = vec![folder.to_owned()];
    while let Some(path) = todo.pop() {
        let git = path.join(".git");
        match std::fs::symlink_metadata(&git) {
            Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(&git).at("remove", &git)?,
            Ok(_) => std::fs::remove_file(&git).at("remove", &git)?,
            Err(_) => {}
        }
        for entry in std::fs::read_dir(&path).at("list", &path)?.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c38_what_git_noted_keeps_no_credentials() {
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("modules/x");
        std::fs::create_dir_all(&module).unwrap();
        std::fs::create_dir_all(dir.path().join("logs/refs")).unwrap();
        let text = "[remote \"origin\"]\n\turl = https://u:s3cret@h/r.git\n";
        let files = [dir.path().join("config"), module.join("config"), dir.path().join("logs/refs/main")];
        files.iter().for_each(|path| std::fs::write(path, text).unwrap());
        scrub(dir.path()).unwrap();
        for path in files {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("s3cret") && text.contains("xxxxx:xxxxx@h/r.git"), "{text}");
        }
    }

    #[test]
    fn a_link_is_no_folder_of_a_repository() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("proj")).unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        let source = |folder: &str| GitSource { folder: Some(folder.into()), ..GitSource::default() };
        assert!(inside(dir.path(), &source("proj")).is_err());
        assert!(inside(dir.path(), &source("/real")).is_ok());
        assert!(inside(dir.path(), &source("missing")).is_err());
    }
}

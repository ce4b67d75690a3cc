//! Logins from docker's configuration and its credential programs. A secret is read for the host that asked for it, kept in
//! memory, and shown nowhere.
//!
//! Source: docker's `cli/config/configfile` and the protocol of `docker-credential-helpers`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::{CredentialSources, RegistryError};

/// The largest configuration, and the most that a credential program may say.
const FILE_LIMIT: u64 = 4 << 20;
const ANSWER_LIMIT: u64 = 64 << 10;
/// Docker's registry stands under this name in its configuration.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";

/// A login. Its text form hides it.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// User name and password.
    Password(String, String),
    /// A refresh token, which only gives other tokens.
    Identity(String),
    /// A token that is shown as it is.
    Bearer(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

impl Credentials {
    /// The value of `Authorization` for user name and password.
    pub fn basic(user: &str, password: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ConfigFile {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl CredentialSources {
    /// The login for a host as it stands in image names; none when there is none.
    ///
    /// # Errors
    /// A file or a program for this host that cannot be read, does not answer in time, or answers with something else.
    pub fn find(&self, host: &str) -> Result<Option<Credentials>, RegistryError> {
        for path in &self.files {
            let Some(config) = read(path)? else { continue };
            if let Some(found) = self.of(&config, host, path)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn of(&self, config: &ConfigFile, host: &str, path: &Path) -> Result<Option<Credentials>, RegistryError> {
        let helper = config.cred_helpers.iter().find(|(key, _)| same_host(key, host)).map(|(_, name)| name);
        let key = if is_docker(host) { DOCKER_KEY } else { host };
        if let Some(name) = helper.or(config.creds_store.as_ref()).filter(|name| !name.is_empty())
            && let Some(found) = self.ask(name, key)?
        {
            return Ok(Some(found));
        }
        match config.auths.iter().find(|(key, _)| same_host(key, host)) {
            Some((_, entry)) => entry.login(path),
            None => Ok(None),
        }
    }

    /// Asks a credential program. The host goes to its standard input, nothing but `get` to its arguments.
    fn ask(&self, name: &str, key: &str) -> Result<Option<Credentials>, RegistryError> {
        let shown: String = name.chars().take(60).collect::<String>().escape_debug().to_string();
        let fail = |why: String| RegistryError::Credentials { what: format!("the credential program `{shown}`"), why };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !name.chars().all(plain) || name.len() > 60 {
            return Err(fail("its name is not letters, digits, `.`, `_` and `-`".into()));
        }
        let file = format!("docker-credential-{name}");
        let program = self.path.iter().filter(|folder| folder.is_absolute()).map(|folder| folder.join(&file));
        let Some(program) = program.into_iter().find(|path| path.is_file()) else {
            return Err(fail(format!("there is no `{file}` on the search path")));
        };
        let answer = self.run(&program, key).map_err(fail)?;
        let Some(answer) = answer else { return Ok(None) };
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            username: String,
            secret: String,
        }
        let answer: Answer =
            serde_json::from_slice(&answer).map_err(|_| fail("it answered with something that is no login".into()))?;
        Ok(match (answer.username.as_str(), answer.secret) {
            ("", secret) if secret.is_empty() => None,
            ("<token>", secret) => Some(Credentials::Identity(secret)),
            (_, secret) => Some(Credentials::Password(answer.username, secret)),
        })
    }

    /// The program's answer; none when it has no login.
    fn run(&self, program: &PathBuf, key: &str) -> Result<Option<Vec<u8>>, String> {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A group of its own, so that what it started ends with it.
        let spawn = command.process_group(0).spawn();
        let cause = |e: std::io::Error| crate::ground::fs::error::describe(&e);
        let mut child = spawn.map_err(|e| format!("it cannot be started: {}", cause(e)))?;
        if let Some(mut input) = child.stdin.take() {
            // A program that reads nothing answers or not all the same.
            let _ = writeln!(input, "{key}");
        }
        let (sender, receiver) = channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let read = output.take(ANSWER_LIMIT + 1).read_to_end(&mut bytes);
                let _ = sender.send(read.map(|_| bytes));
            });
        }
        let deadline = Instant::now() + self.timeout;
        let answer = receiver.recv_timeout(self.timeout);
        let ended = wait(&mut child, deadline);
        let seconds = self.timeout.as_secs();
        let answer = answer.map_err(|_| format!("it did not answer within {seconds} seconds"))?.map_err(cause)?;
        let ended = ended.ok_or_else(|| format!("it did not end within {seconds} seconds"))?;
        if answer.len() as u64 > ANSWER_LIMIT {
            return Err("it answered with more than 64 kB".into());
        }
        if ended.success() {
            return Ok(Some(answer));
        }
        let text = String::from_utf8_lossy(&answer);
        if text.contains("credentials not found") || text.contains("no credentials") {
            return Ok(None);
        }
        // What it says is not shown: it may be the secret.
        Err(format!("it failed ({ended})"))
    }
}

/// Waits for the end of a program until `deadline`, then ends it.
fn wait(child: &mut Child, deadline: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
                let _ = group.map(|group| rustix::process::kill_process_group(group, rustix::process::Signal::KILL));
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

impl Entry {
    fn login(&self, path: &Path) -> Result<Option<Credentials>, RegistryError> {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = some(&self.registrytoken) {
            return Ok(Some(Credentials::Bearer(token)));
        }
        if let Some(token) = some(&self.identitytoken) {
            return Ok(Some(Credentials::Identity(token)));
        }
        if let Some(auth) = some(&self.auth) {
            let decoded = BASE64_STANDARD.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
            let Some((user, password)) = pair else {
                let what = format!("the login in `{}`", path.display().to_string().escape_debug());
                return Err(RegistryError::Credentials { what, why: "`auth` is not USER:PASSWORD in base64".into() });
            };
            let password = password.trim_end_matches('\0');
            return Ok(Some(Credentials::Password(user.to_owned(), password.to_owned())));
        }
        Ok(some(&self.username).zip(some(&self.password)).map(|(user, password)| Credentials::Password(user, password)))
    }
}

fn read(path: &Path) -> Result<Option<ConfigFile>, RegistryError> {
    let what = || format!("the file `{}`", path.display().to_string().escape_debug());
    let fail = |why: String| RegistryError::Credentials { what: what(), why };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(fail(crate::ground::fs::error::describe(&error))),
    };
    if !file.metadata().is_ok_and(|m| m.is_file() && m.len() <= FILE_LIMIT) {
        return Err(fail("it is no regular file of at most 4 MiB".into()));
    }
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT).read_to_end(&mut bytes).map_err(|e| fail(crate::ground::fs::error::describe(&e)))?;
    // The parser's own words may quote what stands there.
    let place = |e: serde_json::Error| fail(format!("it is malformed at line {}, column {}", e.line(), e.column()));
    serde_json::from_slice(&bytes).map(Some).map_err(place)
}

fn is_docker(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

/// Keys are hosts, or addresses with scheme and path as old versions wrote them.
fn same_host(key: &str, host: &str) -> bool {
    let bare = key.split_once("://").map_or(key, |(_, rest)| rest);
    let bare = bare.split('/').next().unwrap_or_default();
    bare == host || (is_docker(bare) && is_docker(host))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn sources(folder: &Path, config: &str, helper: &str) -> CredentialSources {
        std::fs::write(folder.join("config.json"), config).unwrap();
        let program = folder.join("docker-credential-test");
        std::fs::write(&program, format!("#!/bin/sh\n{helper}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        CredentialSources {
            files: vec![folder.join("missing.json"), folder.join("config.json")],
            path: vec!["relative".into(), folder.to_owned()],
            timeout: Duration::from_millis(500),
        }
    }

    #[test]
    fn logins_stand_under_their_host_alone() {
        let folder = tempfile::tempdir().unwrap();
        let auth = BASE64_STANDARD.encode("u:p:q");
        let config = format!(
            r#"{{"auths": {{"a.example": {{"auth": "{auth}"}}, "https://b.example/v1/": {{"identitytoken": "t"}},
            "https://index.docker.io/v1/": {{"username": "n", "password": "w"}}, "c.example": {{"auth": "!"}}}}}}"#
        );
        let sources = sources(folder.path(), &config, "");
        let password = |u: &str, p: &str| Some(Credentials::Password(u.into(), p.into()));
        assert_eq!(sources.find("a.example").unwrap(), password("u", "p:q"));
        assert_eq!(sources.find("b.example").unwrap(), Some(Credentials::Identity("t".into())));
        assert_eq!(sources.find("docker.io").unwrap(), password("n", "w"));
        assert_eq!(sources.find("a.example:5000").unwrap(), None);
        assert_eq!(sources.find("xa.example").unwrap(), None);
        assert!(sources.find("c.example").is_err());
        assert!(!format!("{:?}", sources.find("a.example")).contains("p:q"));
    }

    #[test]
    fn k15_programs_are_asked_with_the_host_on_standard_input_and_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let config = r#"{"credHelpers": {"a.example": "test", "b.example": "../test", "c.example": "absent"}}"#;
        let good = r#"read host; test "$#" = 1 && test "$host" = a.example && echo '{"ServerURL":"x","Username":"u","Secret":"s"}'"#;
        let ask = |helper: &str| sources(folder.path(), config, helper).find("a.example");
        assert_eq!(ask(good).unwrap(), Some(Credentials::Password("u".into(), "s".into())));
        assert_eq!(ask(r#"echo '{"Username":"<token>","Secret":"s"}'"#).unwrap(), Some(Credentials::Identity("s".into())));
        assert_eq!(ask("echo credentials not found in native keychain; exit 1").unwrap(), None);
        for (helper, why) in [
            ("sleep 60", "did not answer within"),
            ("exec >&-; exec sleep 60", "did not end within"),
            ("yes RB-S3CR3T", "more than 64 kB"),
            ("echo RB-S3CR3T", "no login"),
            ("echo RB-S3CR3T; exit 1", "failed"),
        ] {
            let started = Instant::now();
            let error = ask(helper).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("S3CR3T"), "{helper}: {error}");
            assert!(started.elapsed() < Duration::from_secs(3), "{helper}");
        }
        let sources = sources(folder.path(), config, good);
        assert!(sources.find("b.example").unwrap_err().to_string().contains("its name is not"));
        assert!(sources.find("c.example").unwrap_err().to_string().contains("search path"));
        assert_eq!(sources.find("d.example").unwrap(), None);
        std::fs::write(folder.path().join("config.json"), r#"{"auths": {"x": {"auth": RB-S3CR3T"#).unwrap();
        let error = sources.find("a.example").unwrap_err().to_string();
        assert!(error.contains("line 1") && !error.contains("S3CR3T"), "{error}");
    }
}

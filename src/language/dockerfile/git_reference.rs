//! Git repositories as ADD and build contexts name them.
//!
//! Source of the rules: `dfgitutil.ParseGitRef`, `gitutil.ParseURL` and `sshutil` of BuildKit.

/// A repository, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GitReference {
    /// What git is given.
    pub remote: String,
    /// The last part of its path, without `.git`.
    pub short_name: String,
    /// Branch, tag or commit.
    pub reference: Option<String>,
    /// `checksum=`: the commit that the reference must lead to.
    pub checksum: Option<String>,
    /// The folder in the repository.
    pub folder: Option<String>,
    /// `keep-git-dir=`.
    pub keep_git_dir: Option<bool>,
    /// `submodules=`.
    pub submodules: Option<bool>,
    /// `mtime=commit`: files get the time of their commit; `checkout` the time they are written.
    pub commit_times: Option<bool>,
    /// `fetch-by-commit=`.
    pub fetch_by_commit: Option<bool>,
    /// `github.com/...`: could be a path, so it is one for ADD.
    pub like_a_local_path: bool,
    /// `git://` and `http://`.
    pub unencrypted: bool,
}

/// A git repository with options that contradict each other or are unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitReferenceError {
    /// Two options of a kind.
    #[error("`{0}` conflicts with `{1}`")]
    Conflict(String, String),
    /// An option with a value that it cannot have.
    #[error("invalid value `{value}` of `{name}`")]
    Value {
        /// The option.
        name: String,
        /// Its value.
        value: String,
    },
    /// No such option.
    #[error("unknown option `{0}` of a git repository")]
    Unknown(String),
}

/// What `ParseURL` makes of an address.
struct Address<'t> {
    scheme: &'t str,
    /// Without query and fragment.
    remote: &'t str,
    path: &'t str,
    query: Option<&'t str>,
    fragment: &'t str,
}

impl GitReference {
    /// Reads a reference; `None` when the text is something else (a path, a file on a server).
    ///
    /// # Errors
    /// When it is a git repository, but its options are wrong.
    pub fn parse(text: &str) -> Result<Option<Self>, GitReferenceError> {
        if text.starts_with("./") || text.starts_with("../") {
            return Ok(None);
        }
        let like_a_local_path = text.starts_with("github.com/");
        let written = if like_a_local_path { format!("https://{text}") } else { text.to_owned() };
        let Some(address) = address(&written) else { return Ok(None) };
        let web = matches!(address.scheme, "http" | "https");
        if web && !like_a_local_path && !address.path.ends_with(".git") {
            return Ok(None);
        }
        let remote = if like_a_local_path { address.remote.trim_start_matches("https://") } else { address.remote };
        let last = remote.rsplit('/').next().unwrap_or("");
        let mut reference = Self {
            remote: remote.to_owned(),
            short_name: last.strip_suffix(".git").unwrap_or(last).to_owned(),
            like_a_local_path,
            unencrypted: matches!(address.scheme, "http" | "git"),
            ..Self::default()
        };
        let (name, folder) = address.fragment.split_once(':').unwrap_or((address.fragment, ""));
        reference.reference = Some(name.to_owned()).filter(|name| !name.is_empty());
        reference.folder = Some(folder.to_owned()).filter(|folder| !folder.is_empty());
        reference.read_query(address.query.unwrap_or(""))?;
        reference.folder = reference.folder.map(|folder| folder.trim_start_matches('/').to_owned());
        Ok(Some(reference))
    }

    /// The remote with reference and, if `with_folder`, folder behind `#`.
    pub fn with_fragment(&self, with_folder: bool) -> String {
        let folder = self.folder.as_deref().filter(|folder| with_folder && !folder.is_empty());
        match (self.reference.as_deref(), folder) {
            (None, None) => self.remote.clone(),
            (name, None) => format!("{}#{}", self.remote, name.unwrap_or("")),
            (name, Some(folder)) => format!("{}#{}:{folder}", self.remote, name.unwrap_or("")),
        }
    }

    fn read_query(&mut self, query: &str) -> Result<(), GitReferenceError> {
        let (mut tag, mut branch) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value);
            match name {
                "ref" => set(&mut self.reference, name, value)?,
                "tag" => set(&mut tag, name, value)?,
                "branch" => set(&mut branch, name, value)?,
                "subdir" => set(&mut self.folder, name, value)?,
                "checksum" | "commit" => set(&mut self.checksum, name, value)?,
                "keep-git-dir" => self.keep_git_dir = Some(truth(name, value)?),
                "submodules" => self.submodules = Some(truth(name, value)?),
                "fetch-by-commit" => self.fetch_by_commit = Some(truth(name, value)?),
                "mtime" => {
                    self.commit_times = Some(match value.as_str() {
                        "commit" => true,
                        "checkout" => false,
                        _ => return Err(GitReferenceError::Value { name: name.to_owned(), value }),
                    });
                }
                _ => return Err(GitReferenceError::Unknown(name.to_owned())),
            }
        }
        let full = |kind: &str, value: String| {
            if value.starts_with("refs/") { value } else { format!("refs/{kind}/{value}") }
        };
        if tag.is_some() && branch.is_some() {
            return Err(GitReferenceError::Conflict("branch".to_owned(), "tag".to_owned()));
        }
        for (kind, value) in [("tags", tag), ("heads", branch)] {
            if let Some(value) = value.map(|value| full(kind, value)) {
                set(&mut self.reference, "ref", value)?;
            }
        }
        Ok(())
    }
}

/// Sets what is not set; the same again is fine.
fn set(slot: &mut Option<String>, name: &str, value: String) -> Result<(), GitReferenceError> {
    match slot {
        Some(before) if *before != value => Err(GitReferenceError::Conflict(format!("{name}={value}"), before.clone())),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

fn truth(name: &str, value: String) -> Result<bool, GitReferenceError> {
    match value.as_str() {
        // The name alone means yes.
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(GitReferenceError::Value { name: name.to_owned(), value }),
    }
}

/// `%41` and `+` of a query.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Takes an address with a scheme, or `user@host:path`, apart.
fn address(text: &str) -> Option<Address<'_>> {
    let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (remote, query) = match before.split_once('?') {
        Some((remote, query)) => (remote, Some(query)),
        None => (before, None),
    };
    if let Some((scheme, rest)) = remote.split_once("://")
        && !scheme.is_empty()
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
    {
        let scheme = ["http", "https", "ssh", "git"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
        let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        // Go's parser refuses blanks and an empty port number that is followed by more.
        let bad = |b: u8| b.is_ascii_control() || b == b' ';
        let port = host.rsplit('@').next().unwrap_or("").rsplit_once(':').map(|(_, port)| port);
        let bad_port = port.is_some_and(|port| !port.ends_with(']') && !port.bytes().all(|b| b.is_ascii_digit()));
        if host.bytes().any(bad) || bad_port {
            return None;
        }
        return Some(Address { scheme, remote, path, query, fragment });
    }
    // `user@host:path`: Source of the rule: `sshutil.ParseSCPStyleURL`.
    let (user, rest) = remote.split_once('@')?;
    let (host, path) = rest.split_once(':')?;
    let word =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    (word(user) && word(host) && !path.is_empty()).then_some(Address { scheme: "ssh", remote, path, query, fragment })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<GitReference> {
        GitReference::parse(text).ok().flatten()
    }

    #[test]
    fn repositories_and_others() {
        let found = parsed("https://github.com/foo/bar.git#baz/qux:quux/quuz").unwrap_or_default();
        assert_eq!((found.short_name.as_str(), found.reference.as_deref()), ("bar", Some("baz/qux")));
        assert_eq!(found.folder.as_deref(), Some("quux/quuz"));
        assert_eq!(found.with_fragment(true), "https://github.com/foo/bar.git#baz/qux:quux/quuz");
        assert!(parsed("github.com/moby/buildkit").is_some_and(|found| found.like_a_local_path));
        assert!(parsed("git@host:a/b").is_some());
        for other in ["https://x.org/file.txt", ".git", "a/b.git", "ftp://x/y.git", "http://x.org/y.git:#b"] {
            assert_eq!(parsed(other), None, "{other}");
        }
        assert!(GitReference::parse("https://x.org/y.git?tag=a&branch=b").is_err());
        assert!(GitReference::parse("https://x.org/y.git?nonsense=1").is_err());
    }
}

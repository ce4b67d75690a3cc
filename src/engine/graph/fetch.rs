//! What a step copies from that is on no disk of this machine yet: files of servers, git repositories.

use crate::language::dockerfile::git_reference::GitReference;

/// Fetched before anything runs: what comes decides about the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fetch {
    /// A file of a server.
    Web(WebFile),
    /// Files of a git repository.
    Git(GitSource),
    /// An archive that came through standard input, and lies in the store.
    Archive(Archive),
}

/// An archive of the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Archive {
    /// Hex digits of its SHA-256.
    pub checksum: String,
}

impl Archive {
    /// The file's name, as BuildKit has it.
    pub const NAME: &'static str = "context";
}

/// Where files come from that no `--from` names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MainContext {
    /// A folder of this machine.
    #[default]
    Folder,
    /// Nothing.
    Empty,
    /// A repository, or an archive.
    Fetched(Fetch),
}

/// A file of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WebFile {
    /// As written; it may hold credentials.
    pub url: String,
    /// The name that the file gets.
    pub name: String,
    /// `--checksum`: hex digits of its SHA-256.
    pub checksum: Option<String>,
}

/// Files of a git repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct GitSource {
    /// What git is given; it may hold credentials.
    pub remote: String,
    /// Branch, tag or commit.
    pub reference: Option<String>,
    /// The folder that is taken.
    pub folder: Option<String>,
    /// `.git` stays.
    pub keep_git_dir: bool,
    /// Submodules are left out.
    pub skip_submodules: bool,
    /// Files get the time of the commit.
    pub commit_times: bool,
    /// The commit that the reference must lead to, or its first digits.
    pub checksum: Option<String>,
}

impl Fetch {
    /// For messages and records: without credentials.
    pub fn shown(&self) -> String {
        match self {
            Self::Web(file) => redacted(&file.url),
            Self::Git(source) => source.shown(),
            Self::Archive(_) => "-".to_owned(),
        }
    }
}

impl WebFile {
    /// An archive as context, under the name that BuildKit gives it.
    pub fn context(url: &str) -> Self {
        Self { url: url.to_owned(), name: Archive::NAME.to_owned(), checksum: None }
    }

    /// The file that a URL names.
    ///
    /// Source of the name: BuildKit `dispatchCopy` (`path.Base`, `__unnamed__`) and `safeFileName` of its http source.
    pub fn new(url: &str, checksum: Option<String>) -> Self {
        let place = url.split_once("://").map_or(url, |(_, rest)| rest);
        let place = place.split(['?', '#']).next().unwrap_or_default();
        let path = place.split_once('/').map_or("", |(_, path)| path);
        let base = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        // A name is taken apart after its escapes are read, as Go does.
        let base = unescaped(base);
        let base = base.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let name = match base.as_str() {
            "" | "." => "__unnamed__".to_owned(),
            _ => safe_name(&base),
        };
        Self { url: url.to_owned(), name, checksum }
    }
}

impl GitSource {
    /// What a reference names.
    pub fn new(reference: &GitReference, keep_git_dir: bool) -> Self {
        let secure = if reference.like_a_local_path { "https://" } else { "" };
        Self {
            remote: format!("{secure}{}", reference.remote),
            reference: reference.reference.clone(),
            folder: reference.folder.clone(),
            keep_git_dir: reference.keep_git_dir.unwrap_or(keep_git_dir),
            skip_submodules: reference.submodules == Some(false),
            commit_times: reference.commit_times == Some(true),
            checksum: reference.checksum.clone(),
        }
    }

    /// Refuses what git could take for an option or a program, before git is started. Errors: the message.
    pub fn check(&self) -> Result<(), String> {
        let odd = |text: &str| text.starts_with('-') || text.chars().any(|c| c.is_control() || c.is_whitespace());
        let host = self.remote.split_once("://").map_or(self.remote.as_str(), |(_, rest)| rest);
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        if odd(&self.remote) || host.starts_with('-') || self.remote.contains("::") {
            return Err(format!("`{}` is no git repository that is asked", redacted(&self.remote).escape_debug()));
        }
        let reference = self.reference.as_deref().unwrap_or_default();
        if odd(reference) || !reference.chars().all(is_reference_character) || reference.contains("..") {
            return Err(format!("`{}` is no name of a branch, tag or commit", reference.escape_debug()));
        }
        let folder = self.folder.as_deref().unwrap_or_default();
        if folder.split('/').any(|part| part == "..") || folder.contains('\0') {
            return Err(format!("the folder `{}` leads out of the repository", folder.escape_debug()));
        }
        let is_hex = |text: &str| text.len() >= 7 && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match &self.checksum {
            Some(checksum) if !is_hex(checksum) => {
                Err(format!("the checksum `{}` is no commit: 7 to 64 hex digits", checksum.escape_debug()))
            }
            _ => Ok(()),
        }
    }

    /// The remote with reference and folder, without credentials.
    pub fn shown(&self) -> String {
        let reference = self.reference.as_deref().unwrap_or_default();
        let folder = self.folder.as_ref().map(|folder| format!(":{folder}")).unwrap_or_default();
        let mark = if reference.is_empty() && folder.is_empty() { "" } else { "#" };
        format!("{}{mark}{reference}{folder}", redacted(&self.remote))
    }
}

/// What a context's text names that is no path. Errors: the message.
pub fn elsewhere(text: &str) -> Result<Option<Fetch>, String> {
    if let Some(reference) = GitReference::parse(text).map_err(|error| error.to_string())? {
        let source = GitSource::new(&reference, false);
        source.check()?;
        return Ok(Some(Fetch::Git(source)));
    }
    let web = text.starts_with("http://") || text.starts_with("https://");
    Ok(web.then(|| Fetch::Web(WebFile::context(text))))
}

/// Characters of names of branches and tags; git allows more, but nothing else is needed.
fn is_reference_character(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '@' | '#' | '=' | '%' | ',')
}

/// A name that is one component of a path and can be shown; else `download`.
///
/// Source: BuildKit `safeFileName`, `source/http/source.go`.
pub fn safe_name(name: &str) -> String {
    let base = name.trim().rsplit('/').next().unwrap_or_default();
    let unfit = base.is_empty() || base == "." || base == ".." || base.len() > 255 || base.chars().any(char::is_control);
    if unfit { "download".to_owned() } else { base.to_owned() }
}

/// Reads the escapes of a URL.
pub fn unescaped(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                out.push(value);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A text with the credentials of every address in it made unreadable, as BuildKit's `RedactCredentials` does.
pub fn redacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c == '/' || c == '?' || c == '#' || c.is_whitespace()).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => out.push_str(&format!("xxxxx:xxxxx@{host}")),
            // A name alone is no secret of ssh, but a token of http.
            Some((_, host)) if !before.to_ascii_lowercase().ends_with("ssh://") => out.push_str(&format!("xxxxx@{host}")),
            _ => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c30_names_of_downloads_are_one_safe_component() {
        let name = |url: &str| WebFile::new(url, None).name;
        for (url, wanted) in [
            ("http://h", "__unnamed__"),
            ("http://h/", "__unnamed__"),
            ("http://h/a/b.txt", "b.txt"),
            ("http://h/a/?q=/x", "a"),
            ("https://h/x%2e%2fy?q=1", "y"),
            ("http://h/..", "download"),
            ("http://h/%2e%2e", "download"),
            ("http://h/a%00b", "download"),
            ("http://h/a%0Ab", "download"),
            ("http://h/%1b]0;x", "download"),
            ("http://h/%20a%20", "a"),
            ("http://h/.", "__unnamed__"),
        ] {
            assert_eq!(name(url), wanted, "{url}");
        }
        for (text, wanted) in
            [("", "download"), (".", "download"), ("..", "download"), ("../", "download"), ("a/b/c.txt", "c.txt")]
        {
            assert_eq!(safe_name(text), wanted, "{text}");
        }
    }

    #[test]
    fn c34_what_git_could_take_for_an_option_is_refused() {
        let source = |remote: &str, reference: &str, folder: &str| GitSource {
            remote: remote.into(),
            reference: Some(reference.into()),
            folder: Some(folder.into()),
            ..GitSource::default()
        };
        for (remote, reference, folder) in [
            ("https://h/x.git", "--upload-pack=touch p", ""),
            ("https://h/x.git", "-x", ""),
            ("https://h/x.git", "--config=core.pager=x", ""),
            ("ext::sh -c touch", "main", ""),
            ("ssh://-oProxyCommand=touch/x", "main", ""),
            ("git@-oProxyCommand=x:y", "main", ""),
            ("https://h/x.git", "a\nb", ""),
            ("https://h/x.git", "main", "../../x"),
            ("https://h/x.git", "main", "a/../../x"),
        ] {
            assert!(source(remote, reference, folder).check().is_err(), "{remote} {reference} {folder}");
        }
        assert_eq!(source("https://h/x.git", "feature/a-b_1.0", "a/b").check(), Ok(()));
    }

    #[test]
    fn c38_credentials_are_never_shown() {
        for (text, wanted) in [
            ("ADD https://u:s3cret@h/x /d", "ADD https://xxxxx:xxxxx@h/x /d"),
            ("https://s3cret@h", "https://xxxxx@h"),
            ("ssh://git@h/x.git", "ssh://git@h/x.git"),
            ("ssh://git:s3cret@h/x.git", "ssh://xxxxx:xxxxx@h/x.git"),
            ("https://h/a@b https://u:a@b@h:1/", "https://h/a@b https://xxxxx:xxxxx@h:1/"),
        ] {
            assert_eq!(redacted(text), wanted);
        }
    }
}

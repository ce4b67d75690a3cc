//! `# check=skip=A,B;error=true;experimental=all`: which checks run, and whether a finding fails the build.

use std::collections::BTreeSet;

/// What a `check` directive says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckOptions {
    /// `skip=all`.
    pub skip_all: bool,
    /// Rules named by `skip=`.
    pub skip: BTreeSet<String>,
    /// `experimental=all`.
    pub experimental_all: bool,
    /// Rules named by `experimental=`.
    pub experimental: BTreeSet<String>,
    /// `error=true`: a finding fails the build.
    pub error: bool,
}

/// A `check` directive that says nothing known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Neither `skip`, `error` nor `experimental`, or no `=`.
    #[error("invalid check option `{0}`: there is `skip=`, `error=` and `experimental=`")]
    Unknown(String),
    /// `error=` with something else than a truth value.
    #[error("the check option `error` takes `true` or `false`, not `{0}`")]
    NotBoolean(String),
}

impl CheckOptions {
    /// Reads the value of a `check` directive.
    ///
    /// Source of the rule: `ParseLintOptions` of BuildKit's linter: at most three parts, the last of a kind wins.
    ///
    /// # Errors
    /// At the first part that is not understood.
    pub fn parse(text: &str) -> Result<Self, OptionsError> {
        let mut options = Self::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(options);
        }
        for part in text.splitn(3, ';') {
            let (key, value) = part.split_once('=').ok_or_else(|| OptionsError::Unknown(part.to_owned()))?;
            let (key, value) = (key.trim(), value.trim());
            match key {
                "skip" if value == "all" => options.skip_all = true,
                "skip" => options.skip = names(value),
                "experimental" if value == "all" => options.experimental_all = true,
                "experimental" => options.experimental = names(value),
                "error" => options.error = boolean(value).ok_or_else(|| OptionsError::NotBoolean(value.to_owned()))?,
                other => return Err(OptionsError::Unknown(other.to_owned())),
            }
        }
        Ok(options)
    }

    /// Whether a rule runs. One that is experimental runs only when it is asked for, and then `skip` does not concern it.
    pub fn allows(&self, name: &str, experimental: bool) -> bool {
        if experimental {
            return self.experimental_all || self.experimental.contains(name);
        }
        !self.skip_all && !self.skip.contains(name)
    }

    /// Both together: what either skips is skipped, what either asks for is asked for.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        Self {
            skip_all: self.skip_all || other.skip_all,
            skip: self.skip.union(&other.skip).cloned().collect(),
            experimental_all: self.experimental_all || other.experimental_all,
            experimental: self.experimental.union(&other.experimental).cloned().collect(),
            error: self.error || other.error,
        }
    }

    /// The options of the first `check=` among the comments above an instruction; one that is malformed counts for nothing.
    ///
    /// Source of the rule: `WithMergedConfigFromComments` of BuildKit's linter.
    pub fn of_comments<'c>(comments: impl IntoIterator<Item = &'c str>) -> Option<Self> {
        let value = comments.into_iter().find_map(|comment| {
            let (name, value) = comment.split_once('=')?;
            name.trim().eq_ignore_ascii_case("check").then(|| value.trim())
        })?;
        Self::parse(value.split(' ').next().unwrap_or("")).ok()
    }
}

fn names(list: &str) -> BTreeSet<String> {
    list.split(',').map(|name| name.trim().to_owned()).collect()
}

/// Go's `strconv.ParseBool`.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_buildkit_reads_them() {
        let options = CheckOptions::parse(" skip=A, B;error=true;experimental=C").unwrap_or_default();
        assert!(!options.allows("A", false) && !options.allows("B", false) && options.allows("D", false) && options.error);
        assert!(options.allows("C", true) && !options.allows("D", true));
        assert!(!CheckOptions::parse("skip=all").unwrap_or_default().allows("D", false));
        assert!(CheckOptions::parse("skip").is_err() && CheckOptions::parse("error=maybe").is_err());
        assert!(CheckOptions::of_comments(["text", "check=skip=X"]).is_some_and(|o| !o.allows("X", false)));
    }
}

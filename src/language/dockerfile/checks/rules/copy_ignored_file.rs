//! CopyIgnoredFile: Attempting to Copy file that is excluded by .dockerignore.

use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};
use crate::language::dockerfile::git_reference::GitReference;
use crate::language::dockerfile::ignore::clean;
use crate::language::dockerfile::{Arguments, Keyword};

/// The rule.
///
/// Source of the rule: `validateCopySourcePath` of BuildKit.
pub struct CopyIgnoredFile;

static RULE: Rule = Rule {
    name: "CopyIgnoredFile",
    description: "Attempting to Copy file that is excluded by .dockerignore",
    url: Some("https://docs.docker.com/go/dockerfile/rule/copy-ignored-file/"),
    experimental: false,
    why: "What .dockerignore leaves out is not in the context: COPY of it fails, or copies less than it says. Files with exceptions (`!`) are not judged: a folder may be left out while something in it stays.",
    bad: "FROM scratch\n# .dockerignore: tmp/*\nCOPY ./tmp/helloworld.txt /helloworld.txt\n",
    good: "FROM scratch\nCOPY ./forever/helloworld.txt /helloworld.txt\n",
};

impl Check for CopyIgnoredFile {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let Some(ignore) = facts.ignore.filter(|rules| !rules.is_empty() && !rules.has_exceptions()) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for (_, step) in facts.steps() {
            let Arguments::Copy { .. } = &step.instruction.arguments else { continue };
            let verb = match step.instruction.keyword {
                Keyword::Copy if step.instruction.flag("from").is_some_and(|f| f.value.as_deref() != Some("")) => continue,
                Keyword::Copy => "Copy",
                _ => "Add",
            };
            for source in step.words.iter().filter(|source| !is_remote(source)) {
                let path = clean(source);
                let ignored = match path.as_str() {
                    // The context's root is left out only by a pattern for everything.
                    "." | "/" => ignore.leaves_out_the_root(&path),
                    _ => ignore.is_ignored(&path),
                };
                if ignored {
                    let message = format!("Attempting to {verb} file {path:?} that is excluded by .dockerignore");
                    found.push(Finding::at(step.place, step.place.span, message).with_options_of(step.at));
                }
            }
        }
        found
    }
}

/// An address or a git repository.
fn is_remote(source: &str) -> bool {
    if source.starts_with("http://") || source.starts_with("https://") {
        return true;
    }
    matches!(GitReference::parse(source), Ok(Some(reference)) if !reference.like_a_local_path)
}

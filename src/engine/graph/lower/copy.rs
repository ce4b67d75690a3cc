//! COPY and ADD of files.

use super::stage::absolute;
use super::{Lowering, StageState};
use crate::engine::context::{Selector, pattern};
use crate::engine::graph::op::Operation;
use crate::engine::graph::vertex::SourceRef;
use crate::language::dockerfile::expand::expand_heredoc;
use crate::language::dockerfile::git_reference::GitReference;
use crate::language::dockerfile::{Instruction, Keyword, Word};

#[derive(Default)]
struct Options {
    from: Option<SourceRef>,
    chown: Option<String>,
    chmod: Option<String>,
    shown: String,
}

impl Lowering<'_> {
    /// Source: BuildKit `dispatchCopy`, `dockerfile2llb/convert_copy.go`.
    pub(super) fn copy(&mut self, state: &mut StageState, at: &Instruction, sources: &[Word], destination: &Word) {
        let errors = self.errors.len();
        let options = self.copy_options(state, at);
        let instruction = at.keyword.as_str();
        let (mut names, mut selectors, mut inline) = (Vec::new(), Vec::new(), Vec::new());
        let mut shown = format!("{instruction}{}", options.shown);
        for word in sources {
            if word.text.starts_with("<<") && !at.heredocs.is_empty() {
                continue;
            }
            let Some(text) = self.expand(state, word) else { continue };
            if is_remote(&text) {
                self.error(word.span, remote_refusal(at.keyword));
                continue;
            }
            let path = absolute("/", &text).trim_start_matches('/').to_owned();
            names.push(path.rsplit('/').next().unwrap_or("").to_owned());
            selectors.push(Selector { wildcard: pattern::is_pattern(&path), path, follow_links: true });
            shown.push_str(&format!(" {text}"));
        }
        for document in &at.heredocs {
            let lookup = |name: &str| state.get(name);
            let text = if document.expand {
                expand_heredoc(&document.content, &lookup).map(|e| e.text)
            } else {
                Ok(document.content.clone())
            };
            match text {
                Ok(text) => inline.push((document.name.clone(), text)),
                Err(error) => self.error(document.span, error.to_string()),
            }
            shown.push_str(&format!(" <<{}", document.name));
        }
        if !inline.is_empty() && !selectors.is_empty() {
            self.error(
                at.span,
                format!("{instruction} of heredocs together with other sources is not acted on yet by this builder"),
            );
        }
        let Some(target) = self.expand(state, destination) else { return };
        if self.errors.len() > errors {
            return;
        }
        let count = names.len() + inline.len();
        let resolved = resolve_destination(&state.cwd, &target);
        if count > 1 && !resolved.ends_with('/') {
            let message =
                format!("{instruction} has {count} sources, so its destination is a directory and must end with `/`");
            self.error(destination.span, message);
            return;
        }
        shown.push_str(&format!(" {target} # buildkit"));
        let operation = Operation::Copy {
            instruction: instruction.to_owned(),
            sources: names,
            destination: resolved,
            chown: options.chown,
            chmod: options.chmod,
            inline,
            platform: self.request.platform.text(),
        };
        let source = (!selectors.is_empty()).then(|| options.from.unwrap_or(SourceRef::Context(String::new())));
        let ignore_cache = self.request.no_cache;
        self.step(state, at, operation, shown, |vertex| {
            vertex.source = source;
            vertex.selectors = selectors;
            vertex.ignore_cache = ignore_cache;
        });
    }

    fn copy_options(&mut self, state: &StageState, at: &Instruction) -> Options {
        let mut options = Options::default();
        for flag in &at.flags {
            let given = flag.value.clone().unwrap_or_default();
            match flag.name.as_str() {
                "from" if at.keyword == Keyword::Copy => {
                    options.from = self.source_ref(state, at, &given, flag.span);
                }
                "chown" => options.chown = self.expand_text(state, &given, flag.span).filter(|text| !text.is_empty()),
                "chmod" => {
                    let Some(text) = self.expand_text(state, &given, flag.span) else { continue };
                    let octal = u32::from_str_radix(&text, 8).is_ok_and(|mode| mode <= 0o7777);
                    if octal {
                        options.chmod = Some(text);
                    } else {
                        let message =
                            format!("`{}` is no octal mode; symbolic modes are not acted on yet", text.escape_debug());
                        self.error(flag.span, message);
                    }
                }
                "link" | "parents" | "keep-git-dir" | "unpack" if given.eq_ignore_ascii_case("false") => {}
                _ => self.not_yet(flag, at.keyword.as_str()),
            }
        }
        if let Some(chown) = &options.chown {
            options.shown.push_str(&format!(" --chown={chown}"));
        }
        if let Some(chmod) = &options.chmod {
            options.shown.push_str(&format!(" --chmod={chmod}"));
        }
        options
    }
}

fn remote_refusal(keyword: Keyword) -> &'static str {
    match keyword {
        Keyword::Copy => "COPY takes no URL and no git repository; ADD does",
        _ => "ADD of a URL or a git repository is not acted on yet by this builder",
    }
}

fn is_remote(source: &str) -> bool {
    let web = source.starts_with("http://") || source.starts_with("https://");
    web || match GitReference::parse(source) {
        Ok(Some(reference)) => !reference.like_a_local_path,
        Ok(None) => false,
        Err(_) => true,
    }
}

/// Absolute, with the trailing slash kept: it says that the destination is a directory.
///
/// Source: BuildKit `pathRelativeToWorkingDir`.
fn resolve_destination(cwd: &str, target: &str) -> String {
    let directory = target.is_empty() || target.ends_with('/') || target == "." || target.ends_with("/.");
    let path = absolute(cwd, target);
    if directory && path != "/" { format!("{path}/") } else { path }
}

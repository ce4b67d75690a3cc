//! COPY and ADD of files.

use super::stage::absolute;
use super::{Lowering, StageState};
use crate::engine::context::{Selector, pattern};
use crate::engine::event::Role;
use crate::engine::graph::fetch::{Fetch, GitSource, WebFile, redacted};
use crate::engine::graph::op::Operation;
use crate::engine::graph::vertex::{Counts, Edge, SourceRef};
use crate::language::dockerfile::expand::expand_heredoc;
use crate::language::dockerfile::git_reference::GitReference;
use crate::language::dockerfile::{FileMode, IgnoreRules, Instruction, Keyword, Span, Word};

/// What is copied.
#[derive(Default)]
struct Sources {
    /// Base names, which are part of the key.
    names: Vec<String>,
    /// What is selected, by where it comes from: sources side by side of one origin are one group. None is what `--from`
    /// names, else the context.
    groups: Vec<(Option<Fetch>, Vec<Selector>)>,
    /// Files given by their text.
    inline: Vec<(String, String)>,
    /// `--parents`: what each source asks for.
    parents: Vec<(String, Option<String>)>,
    /// For the history.
    shown: String,
}

/// What the flags say.
#[derive(Default)]
struct Options {
    from: Option<SourceRef>,
    chown: Option<String>,
    chmod: Option<String>,
    link: bool,
    parents: bool,
    unpack: Option<bool>,
    keep_git_dir: bool,
    checksum: Option<(String, Span)>,
    exclude: Vec<String>,
    shown: String,
}

impl Sources {
    fn add(&mut self, fetch: Option<Fetch>, name: String, selector: Selector) {
        self.names.push(name);
        match self.groups.last_mut() {
            Some((known, selectors)) if *known == fetch => selectors.push(selector),
            _ => self.groups.push((fetch, vec![selector])),
        }
    }
}

impl Lowering<'_> {
    /// Source: BuildKit `dispatchCopy`, `dockerfile2llb/convert_copy.go`.
    pub(super) fn copy(&mut self, state: &mut StageState, at: &Instruction, sources: &[Word], destination: &Word) {
        let errors = self.errors.len();
        let options = self.copy_options(state, at);
        let instruction = at.keyword.as_str();
        let found = self.copy_sources(state, at, sources, &options);
        self.check_checksum(&options, &found);
        let Sources { names, groups, inline, parents, shown } = found;
        let Some(target) = self.expand(state, destination) else { return };
        if self.errors.len() > errors {
            return;
        }
        let resolved = resolve_destination(&state.cwd, &target);
        // Only what is unpacked on demand: files of servers stay as they are, as in BuildKit.
        let fetched = !groups.is_empty() && groups.iter().all(|(fetch, _)| fetch.is_some());
        let created_by = format!("{instruction}{}{shown} {target} # buildkit", options.shown);
        let operation = Operation::Copy {
            instruction: instruction.to_owned(),
            sources: names,
            destination: resolved,
            chown: options.chown,
            chmod: options.chmod.clone(),
            inline,
            exclude: options.exclude,
            parents,
            unpack: options.unpack.or(fetched.then_some(false)),
            platform: state.platform.text(),
        };
        let needs_local = options.from.is_none() && groups.iter().any(|(fetch, _)| fetch.is_none());
        let local = match options.from.clone() {
            None if needs_local => self.main_context(state, at),
            from => from.unwrap_or(SourceRef::Vertex(None)),
        };
        let edge = |(fetch, selectors): (Option<Fetch>, Vec<Selector>)| {
            let source = fetch.map_or_else(|| local.clone(), SourceRef::Fetched);
            Edge { source, counts: Counts::Content, selectors }
        };
        let edges = groups.into_iter().map(edge).collect();
        let ignore_cache = self.ignores_cache(state);
        // As in BuildKit, `--chmod` takes the effect of `--link` away.
        if options.link && options.chmod.is_none() {
            return self.link(state, at, operation, edges, created_by);
        }
        self.step(state, at, operation, created_by, |vertex| {
            vertex.edges = edges;
            vertex.ignore_cache = ignore_cache;
        });
    }

    /// `--link`: the files are copied onto nothing, so that the copy does not depend on the step above; then the two are
    /// merged.
    ///
    /// Source: BuildKit `dispatchCopy`, `cfg.link`.
    fn link(
        &mut self,
        state: &mut StageState,
        at: &Instruction,
        operation: Operation,
        edges: Vec<Edge>,
        created_by: String,
    ) {
        let copied = self.push(state, at, Role::Step, Some(operation));
        let ignore_cache = self.ignores_cache(state);
        let vertex = &mut self.graph.vertices[copied.0 as usize];
        vertex.parent = None;
        vertex.edges = edges;
        vertex.ignore_cache = ignore_cache;
        let source = SourceRef::Vertex(Some(copied));
        let edge = Edge { source, counts: Counts::Definition, selectors: Vec::new() };
        let merge = Operation::Merge { platform: state.platform.text() };
        self.step(state, at, merge, created_by, |vertex| {
            vertex.name = format!("LINK {}", vertex.name);
            vertex.edges = vec![edge];
        });
    }

    /// Expands sources and heredocs.
    fn copy_sources(&mut self, state: &StageState, at: &Instruction, words: &[Word], options: &Options) -> Sources {
        let mut out = Sources::default();
        for word in words.iter().filter(|word| !word.text.starts_with("<<") || at.heredocs.is_empty()) {
            let Some(text) = self.expand(state, word) else { continue };
            match self.fetch(&text, at.keyword, options) {
                Ok(None) => {}
                Ok(Some(fetch)) => {
                    let (name, selector) = selected_of(&fetch, options);
                    out.shown.push_str(&format!(" {}", redacted(&text)));
                    out.add(Some(fetch), name, selector);
                    continue;
                }
                Err(message) => {
                    self.error(word.span, message);
                    continue;
                }
            }
            let mut selector = Selector::new(inside(&text));
            if options.parents {
                selector = parents_selector(&text);
                out.parents.push((selector.include.concat(), selector.required.clone()));
                self.check_patterns(&selector.include, word.span);
            }
            selector.exclude.clone_from(&options.exclude);
            out.add(None, selector.path.rsplit('/').next().unwrap_or("").to_owned(), selector);
            out.shown.push_str(&format!(" {text}"));
        }
        for document in &at.heredocs {
            let lookup = |name: &str| state.get(name);
            let text = if document.expand {
                expand_heredoc(&document.content, &lookup).map(|e| e.text)
            } else {
                Ok(document.content.clone())
            };
            match text {
                Ok(text) => out.inline.push((document.name.clone(), text)),
                Err(error) => self.error(document.span, error.to_string()),
            }
            out.shown.push_str(&format!(" <<{}", document.name));
        }
        out
    }

    /// What a source is that is no path. Errors: the message.
    fn fetch(&self, text: &str, keyword: Keyword, options: &Options) -> Result<Option<Fetch>, String> {
        let git = GitReference::parse(text).map_err(|error| error.to_string())?;
        let git = git.filter(|reference| !reference.like_a_local_path);
        let web = text.starts_with("http://") || text.starts_with("https://");
        if keyword == Keyword::Copy && (web || git.is_some()) {
            return Err("COPY takes no URL and no git repository; ADD does".into());
        }
        let checksum = options.checksum.as_ref().map(|(text, _)| text.clone());
        if let Some(reference) = git {
            let mut source = GitSource::new(&reference, options.keep_git_dir);
            if checksum.is_some() && source.checksum.is_some() && checksum != source.checksum {
                return Err("the repository has another checksum than --checksum".into());
            }
            source.checksum = checksum.or(source.checksum);
            source.check()?;
            return Ok(Some(Fetch::Git(source)));
        }
        if !web {
            return Ok(None);
        }
        let Some(digest) = checksum else { return Ok(Some(Fetch::Web(WebFile::new(text, None)))) };
        let hex = digest.strip_prefix("sha256:").filter(|hex| is_sha256(hex));
        let hex = hex.ok_or_else(|| format!("--checksum=`{}` is not sha256: and 64 hex digits", digest.escape_debug()))?;
        Ok(Some(Fetch::Web(WebFile::new(text, Some(hex.to_owned())))))
    }

    /// `--checksum` is about one file or repository.
    ///
    /// Source: BuildKit `dispatchCopy`, `cfg.checksum`.
    fn check_checksum(&mut self, options: &Options, sources: &Sources) {
        let Some((_, span)) = options.checksum.clone() else { return };
        if sources.names.len() + sources.inline.len() != 1 {
            self.error(span, "--checksum is about one source, but there are several");
        } else if sources.groups.iter().any(|(fetch, _)| fetch.is_none()) {
            self.error(span, "--checksum needs a URL or a git repository as source");
        }
    }

    fn copy_options(&mut self, state: &StageState, at: &Instruction) -> Options {
        let mut options = Options::default();
        for flag in &at.flags {
            let given = flag.value.clone().unwrap_or_default();
            match flag.name.as_str() {
                // An empty name is none, as in BuildKit.
                "from" if at.keyword == Keyword::Copy && given.is_empty() => {}
                "from" if at.keyword == Keyword::Copy => {
                    options.from = self.source_ref(state, at, &given, flag.span);
                }
                "chown" => options.chown = self.expand_text(state, &given, flag.span).filter(|text| !text.is_empty()),
                "chmod" => {
                    let Some(text) = self.expand_text(state, &given, flag.span) else { continue };
                    match FileMode::parse(&text) {
                        // As in BuildKit, an empty one says nothing.
                        _ if text.is_empty() => {}
                        Ok(_) => options.chmod = Some(text),
                        Err(why) => {
                            self.error(flag.span, format!("--chmod=`{}` cannot be used: {why}", text.escape_debug()))
                        }
                    }
                }
                "link" if given.is_empty() || given.eq_ignore_ascii_case("true") => options.link = true,
                "parents" if given.is_empty() || given.eq_ignore_ascii_case("true") => options.parents = true,
                "exclude" => {
                    let Some(text) = self.expand_text(state, &given, flag.span) else { continue };
                    self.check_patterns(std::slice::from_ref(&text), flag.span);
                    options.exclude.push(text);
                }
                "checksum" if at.keyword == Keyword::Add => {
                    let Some(text) = self.expand_text(state, &given, flag.span) else { continue };
                    options.checksum = Some(text).filter(|text| !text.is_empty()).map(|text| (text, flag.span));
                }
                "keep-git-dir" if at.keyword == Keyword::Add => {
                    options.keep_git_dir = !given.eq_ignore_ascii_case("false");
                }
                "unpack" => options.unpack = Some(!given.eq_ignore_ascii_case("false")),
                "link" | "parents" if given.eq_ignore_ascii_case("false") => {}
                _ => self.not_yet(flag, at.keyword.as_str()),
            }
        }
        if options.parents {
            options.shown.push_str(" --parents");
        }
        if let Some(chown) = &options.chown {
            options.shown.push_str(&format!(" --chown={chown}"));
        }
        if let Some(chmod) = &options.chmod {
            options.shown.push_str(&format!(" --chmod={chmod}"));
        }
        options
    }

    fn check_patterns(&mut self, patterns: &[String], span: Span) {
        if let Err(error) = IgnoreRules::from_patterns(patterns.iter().map(String::as_str)) {
            let message = format!("`{}` is no pattern: {}", error.pattern.escape_debug(), error.kind);
            self.error(span, message);
        }
    }
}

/// A source as a path of what it is copied from.
fn inside(text: &str) -> String {
    absolute("/", text).trim_start_matches('/').to_owned()
}

/// What `--parents` copies of a source: the part behind the first `/./` is a pattern for what is below the part before it, and
/// keeps its directories.
///
/// Source: BuildKit `dispatchCopy`, `cfg.parents`.
fn parents_selector(text: &str) -> Selector {
    let (before, pattern) = text.split_once("/./").unwrap_or(("/", text));
    let pattern = inside(pattern);
    let required =
        (!pattern::is_pattern(before) && !pattern::is_pattern(&pattern)).then(|| inside(&format!("{before}/{pattern}")));
    Selector { include: vec![pattern], required, ..Selector::new(inside(before)) }
}

/// What is copied of something fetched, and the name that counts.
fn selected_of(fetch: &Fetch, options: &Options) -> (String, Selector) {
    let path = match fetch {
        Fetch::Web(file) => file.name.clone(),
        Fetch::Git(_) | Fetch::Archive(_) => String::new(),
    };
    let exclude = options.exclude.clone();
    (path.clone(), Selector { path, exclude, follow_links: true, ..Selector::default() })
}

fn is_sha256(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Absolute, with the trailing slash kept: it says that the destination is a directory.
///
/// Source: BuildKit `pathRelativeToWorkingDir`.
fn resolve_destination(cwd: &str, target: &str) -> String {
    let directory = target.is_empty() || target.ends_with('/') || target == "." || target.ends_with("/.");
    let path = absolute(cwd, target);
    if directory && path != "/" { format!("{path}/") } else { path }
}

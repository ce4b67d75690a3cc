//! BuildKit's build checks: one file a rule, pure functions over what [`Facts`] know. The hard rule: names, facts of the
//! messages, lines, levels and addresses are BuildKit's, so that both builders can be held side by side.
//!
//! Read next: `facts.rs`, then any rule.

mod environment;
mod facts;
mod options;
mod platform;
mod rules;
mod similar_name;
mod walk;

pub use facts::{BaseImage, Facts, FromFacts, LintRequest, StageFacts, Step, Target, UndefinedName};
pub use options::{CheckOptions, OptionsError};
pub use rules::{ALL, is_secret};

use super::{Diagnostic, Instruction, Severity, Span, detect_check};

/// What is known of a rule without a file.
#[derive(Debug)]
pub struct Rule {
    /// BuildKit's name.
    pub name: &'static str,
    /// BuildKit's description.
    pub description: &'static str,
    /// Its page; one rule has none.
    pub url: Option<&'static str>,
    /// Off unless asked for.
    pub experimental: bool,
    /// Why it matters, in our words.
    pub why: &'static str,
    /// A file that it warns about.
    pub bad: &'static str,
    /// The same without the warning.
    pub good: &'static str,
}

/// A rule.
pub trait Check: Sync {
    /// What is known of it.
    fn rule(&self) -> &'static Rule;
    /// What it finds.
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding>;
    /// BuildKit's name.
    fn name(&self) -> &'static str {
        self.rule().name
    }
    /// BuildKit's description.
    fn description(&self) -> &'static str {
        self.rule().description
    }
    /// Its page.
    fn url(&self) -> Option<&'static str> {
        self.rule().url
    }
    /// Off unless asked for.
    fn experimental(&self) -> bool {
        self.rule().experimental
    }
}

/// The rule of this name, in any case.
pub fn find_rule(name: &str) -> Option<&'static Rule> {
    ALL.iter().map(|check| check.rule()).find(|rule| rule.name.eq_ignore_ascii_case(name))
}

/// What a rule found, before the options of the file have their say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub span: Span,
    /// Line that BuildKit reports, from 1.
    pub line: u32,
    /// BuildKit's message.
    pub message: String,
    /// The instruction whose comments may hold `# check=`.
    pub options_of: Option<usize>,
    /// What could make the finding untrue.
    pub doubt: Option<String>,
}

impl Finding {
    /// At an instruction.
    pub(super) fn at(instruction: &Instruction, span: Span, message: String) -> Self {
        Self { span, line: instruction.line, message, options_of: None, doubt: None }
    }

    /// Comments above this instruction may switch it off.
    #[must_use]
    pub(super) fn with_options_of(mut self, at: Option<usize>) -> Self {
        self.options_of = at;
        self
    }
}

/// A finding of a rule that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The rule.
    pub rule: &'static str,
    /// Its description.
    pub description: &'static str,
    /// Its page.
    pub url: Option<&'static str>,
    /// BuildKit's level: 1 for all of them.
    pub level: u8,
    /// BuildKit's message.
    pub message: String,
    /// Line, from 1.
    pub line: u32,
    /// The exact bytes.
    pub span: Span,
    /// What could make it untrue; such a warning never fails a build.
    pub doubt: Option<String>,
}

/// What linting a file gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lint {
    /// By line, then by the order of the rules.
    pub warnings: Vec<Warning>,
    /// What makes the file impossible to build, by place.
    pub errors: Vec<Diagnostic>,
    /// `error=true` is in force.
    pub warnings_are_errors: bool,
}

impl Lint {
    /// Whether a build of this file would end before its first step.
    pub fn fails(&self) -> bool {
        !self.errors.is_empty() || (self.warnings_are_errors && self.warnings.iter().any(|warning| warning.doubt.is_none()))
    }
}

/// The build argument that stands in for the file's own `# check=`.
const OPTION_ARGUMENT: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// Runs all checks that the file and the build arguments ask for.
pub fn lint(request: &LintRequest<'_>) -> Lint {
    let mut lint = Lint::default();
    let syntax = request.dockerfile.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    lint.errors.extend(syntax.cloned());
    let written = detect_check(&request.dockerfile.source).map(|directive| directive.reference);
    let options = request.build_args.get(OPTION_ARGUMENT).or(written.as_ref()).map_or("", String::as_str);
    let options = CheckOptions::parse(options).unwrap_or_else(|error| {
        let span = request.dockerfile.directives.iter().find(|d| d.name == "check").map_or(Span::default(), |d| d.span);
        lint.errors.push(Diagnostic::error(span, error.to_string()));
        CheckOptions::default()
    });
    lint.warnings_are_errors = options.error;
    let facts = Facts::new(request);
    for check in ALL {
        let rule = check.rule();
        for finding in check.check(&facts) {
            let merged = facts.options_at(finding.options_of).map(|own| options.merged(&own));
            if !merged.as_ref().unwrap_or(&options).allows(rule.name, rule.experimental) {
                continue;
            }
            let Finding { span, line, message, doubt, .. } = finding;
            let (rule, description, url) = (rule.name, rule.description, rule.url);
            lint.warnings.push(Warning { rule, description, url, level: 1, message, line, span, doubt });
        }
    }
    lint.warnings.sort_by_key(|warning| warning.line);
    lint.errors.extend(facts.errors);
    lint.errors.sort_by_key(|error| (error.span.start, error.span.end));
    lint.errors.dedup();
    lint
}

#[cfg(test)]
mod tests;

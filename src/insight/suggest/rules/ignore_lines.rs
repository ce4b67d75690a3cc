//! What a COPY of everything brings along although no step needs it: the repository, installed modules, editors' folders.

use super::super::{ContextView, Page, Rewritten, Rule, SuggestReport, Suggestion, Trigger};
use super::draft::{advice, numbers};
use super::place::{BroadSource, copy_of_context, working_folder};
use crate::language::dockerfile::{Dockerfile, IgnoreRules, line_ending};

static PAGE: Page = Page {
    name: "ignore-lines",
    description: "Leave out of the context what no step needs",
    why: "`COPY . .` takes the repository's own `.git`, which changes with every commit, installed modules of this machine, and the folders of editors and caches. Each of their changes is a change of the copy, and runs all that follows. `.git` is left alone where a step names git or a tool that reads versions from it.",
    bad: "# without a .dockerignore\nFROM node:22\nWORKDIR /app\nCOPY . .\nRUN node build.js\n",
    good: "# with .git and node_modules in .dockerignore\nFROM node:22\nWORKDIR /app\nCOPY . .\nRUN node build.js\n",
};

/// The rule.
pub struct IgnoreLines;

/// A path that is rarely needed: the words in a Dockerfile that say that it is, and the sentence.
struct Candidate {
    path: &'static str,
    needed_by: &'static [&'static str],
    why: &'static str,
}

const CANDIDATES: [Candidate; 13] = [
    Candidate {
        path: ".git",
        needed_by: &[
            "git",
            "setuptools",
            "hatch",
            "versioneer",
            "go build",
            "go install",
            "goreleaser",
            "make",
            "gradle",
            "mvn",
            "mix ",
        ],
        why: "changes with every commit",
    },
    Candidate { path: "node_modules", needed_by: &[], why: "is what an install in the image makes anew" },
    Candidate { path: ".venv", needed_by: &[".venv"], why: "is an environment of this machine" },
    Candidate { path: "venv", needed_by: &["venv"], why: "is an environment of this machine" },
    Candidate { path: "__pycache__", needed_by: &[], why: "is what Python makes anew" },
    Candidate { path: ".pytest_cache", needed_by: &[], why: "is a cache of this machine" },
    Candidate { path: ".mypy_cache", needed_by: &[], why: "is a cache of this machine" },
    Candidate { path: ".idea", needed_by: &[".idea"], why: "is an editor's" },
    Candidate { path: ".vscode", needed_by: &[".vscode"], why: "is an editor's" },
    Candidate { path: ".github", needed_by: &[".github"], why: "is for the server of the repository" },
    Candidate { path: "docker-compose.yml", needed_by: &["docker-compose.yml"], why: "starts containers, and is in none" },
    Candidate { path: "Dockerfile", needed_by: &["Dockerfile"], why: "is read without being copied" },
    Candidate { path: ".dockerignore", needed_by: &[".dockerignore"], why: "is read without being copied" },
];

impl Rule for IgnoreLines {
    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn check(&self, dockerfile: &Dockerfile, context: &dyn ContextView) -> SuggestReport {
        let offered = suggest(dockerfile, context).into_iter().collect();
        SuggestReport { offered, refused: Vec::new() }
    }
}

fn suggest(dockerfile: &Dockerfile, context: &dyn ContextView) -> Option<Suggestion> {
    let stages = dockerfile.stages();
    let mut lines = Vec::new();
    for stage in &stages {
        for (at, instruction) in stage.instructions.iter().enumerate() {
            let folder = working_folder(&stages, stage, at);
            let Some((sources, _)) = copy_of_context(instruction, &folder) else { continue };
            let broad = sources.iter().filter_map(|word| BroadSource::of(&word.text));
            if instruction.heredocs.is_empty() && broad.into_iter().any(|source| source.folder.is_empty()) {
                lines.push(instruction.line);
            }
        }
    }
    let first = *lines.first()?;
    let installs_node = mentions(dockerfile, &["npm ", "npm\n", "yarn", "pnpm", "bun "]);
    let wanted = |candidate: &&Candidate| {
        context.exists(candidate.path)
            && !mentions(dockerfile, candidate.needed_by)
            && (candidate.path != "node_modules" || installs_node)
    };
    let found: Vec<&Candidate> = CANDIDATES.iter().filter(wanted).collect();
    if found.is_empty() {
        return None;
    }
    let before = context.ignore_text();
    let ending = line_ending(&before);
    let mut after = before.clone();
    if !after.is_empty() && !after.ends_with('\n') {
        after.push_str(ending);
    }
    for candidate in &found {
        after.push_str(candidate.path);
        after.push_str(ending);
    }
    // Whatever an exception below them brought back must stay.
    let rules = IgnoreRules::parse(&after).ok()?;
    if found.iter().any(|candidate| !rules.is_ignored(candidate.path)) || rules.has_exceptions() {
        return None;
    }
    let names: Vec<&str> = found.iter().map(|candidate| candidate.path).collect();
    let mut suggestion = advice(dockerfile, &PAGE, first);
    suggestion.title = format!("leave {} out of the context", names.join(", "));
    let sentence = |candidate: &&Candidate| format!("`{}` is in the context and {}.", candidate.path, candidate.why);
    suggestion.evidence.push(format!("Line {} copies everything.", numbers(&lines)));
    suggestion.evidence.extend(found.iter().map(sentence));
    suggestion.risks.push("A step that reads one of them without naming it would miss it.".into());
    suggestion.gain = Some("less to read and copy in every build".into());
    let paths = found.iter().filter(|candidate| candidate.path != "node_modules").map(|candidate| candidate.path.to_owned());
    suggestion.trigger = Trigger::Files { paths: paths.collect() };
    (suggestion.file, suggestion.before, suggestion.after) = (Rewritten::IgnoreFile, before, after);
    Some(suggestion)
}

fn mentions(dockerfile: &Dockerfile, words: &[&str]) -> bool {
    let own = dockerfile.instructions.iter().map(|instruction| instruction.span.text(&dockerfile.source));
    let mut texts = own.filter(|text| !text.starts_with("FROM"));
    texts.any(|text| words.iter().any(|word| text.contains(word)))
}

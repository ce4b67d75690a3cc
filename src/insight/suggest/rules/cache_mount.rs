//! Package managers that download everything again whenever their step runs, because nothing keeps what they had.

use super::super::{ContextView, Page, Rule, SuggestReport, Suggestion};
use super::commands::commands_of;
use super::draft::{numbers, refusal, rewrite};
use crate::language::dockerfile::{Arguments, CommandForm, Dockerfile, Edit, Instruction, Keyword, Stage, add_flag};
use crate::language::shell::ShellCommand;

static PAGE: Page = Page {
    name: "cache-mount",
    description: "Give package managers a cache mount",
    why: "A step that installs packages downloads all of them again whenever it runs, for one changed line of a lock file too. A cache mount outlives the build: only what is new is downloaded. It is not part of the image. Only download caches are mounted, never what later steps or the image need; go, cargo, maven, gradle and nuget keep what they build from in the same place as their downloads, so all steps of the stage that use them get the mount.",
    bad: "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\n",
    good: "FROM node:22\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN --mount=type=cache,target=/root/.npm npm ci\n",
};

/// The rule.
pub struct CacheMount;

/// A tool with its downloads.
struct Tool {
    name: &'static str,
    targets: &'static [&'static str],
    /// Later steps build from what lies there.
    built_from: bool,
}

const TOOLS: [Tool; 12] = [
    Tool { name: "npm", targets: &["/root/.npm"], built_from: false },
    Tool { name: "yarn", targets: &["/usr/local/share/.cache/yarn"], built_from: false },
    Tool { name: "pnpm", targets: &["/root/.local/share/pnpm/store"], built_from: false },
    Tool { name: "pip", targets: &["/root/.cache/pip"], built_from: false },
    Tool { name: "poetry", targets: &["/root/.cache/pypoetry"], built_from: false },
    Tool { name: "uv", targets: &["/root/.cache/uv"], built_from: false },
    Tool { name: "composer", targets: &["/root/.composer/cache"], built_from: false },
    Tool { name: "go", targets: &["/go/pkg/mod", "/root/.cache/go-build"], built_from: true },
    Tool { name: "cargo", targets: &["/usr/local/cargo/registry"], built_from: true },
    Tool { name: "mvn", targets: &["/root/.m2"], built_from: true },
    Tool { name: "gradle", targets: &["/root/.gradle"], built_from: true },
    Tool { name: "dotnet", targets: &["/root/.nuget/packages"], built_from: true },
];

impl Rule for CacheMount {
    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn check(&self, dockerfile: &Dockerfile, _: &dyn ContextView) -> SuggestReport {
        let mut report = SuggestReport::default();
        for stage in &dockerfile.stages() {
            for tool in &TOOLS {
                match suggest(dockerfile, stage, tool) {
                    Ok(found) => report.offered.extend(found),
                    Err((line, reason)) => report.refused.push(refusal(&PAGE, line, reason)),
                }
            }
        }
        report
    }
}

/// Which tool a command is, and whether it downloads.
fn uses(command: &ShellCommand, tool: &Tool) -> Option<bool> {
    let words: Vec<&str> = command.arguments().filter(|argument| !argument.starts_with('-')).collect();
    let first = words.first().copied().unwrap_or("");
    let own = match command.name() {
        "pip3" => "pip",
        "mvnw" => "mvn",
        "gradlew" => "gradle",
        "yarnpkg" => "yarn",
        name if name.starts_with("python") && words.starts_with(&["pip"]) => {
            return (tool.name == "pip").then_some(words.get(1) == Some(&"install"));
        }
        name => name,
    };
    if own != tool.name {
        return None;
    }
    Some(match tool.name {
        "npm" => matches!(first, "ci" | "install" | "i" | "clean-install"),
        "yarn" => matches!(first, "" | "install" | "add"),
        "pnpm" => matches!(first, "install" | "i" | "fetch" | "add"),
        "pip" | "composer" | "poetry" => matches!(first, "install" | "sync"),
        "uv" => matches!(first, "sync" | "pip"),
        "go" => matches!(first, "mod" | "build" | "install" | "get" | "test" | "run" | "vet" | "generate"),
        "cargo" => matches!(first, "build" | "fetch" | "test" | "b" | "rustc"),
        "dotnet" => matches!(first, "restore" | "build" | "publish"),
        _ => true,
    })
}

fn suggest(dockerfile: &Dockerfile, stage: &Stage<'_>, tool: &Tool) -> Result<Option<Suggestion>, (u32, String)> {
    let mut runs = Vec::new();
    for (at, instruction) in stage.instructions.iter().enumerate().filter(|(_, i)| i.keyword == Keyword::Run) {
        let commands = commands_of(instruction, &dockerfile.source);
        let used: Vec<(&ShellCommand, bool)> = commands.iter().filter_map(|c| Some((c, uses(c, tool)?))).collect();
        let downloads = used.iter().any(|(_, downloads)| *downloads);
        let has = instruction.flags.iter().any(|flag| flag.name == "mount" && flag.value.as_deref().is_some_and(is_cache));
        if has && !used.is_empty() {
            return Ok(None);
        }
        if downloads || (tool.built_from && !used.is_empty()) {
            runs.push((at, commands, downloads));
        }
    }
    let Some((first, ..)) = runs.iter().find(|(.., downloads)| *downloads) else { return Ok(None) };
    let line = stage.instructions[*first].line;
    for (at, commands, _) in &runs {
        let run = stage.instructions[*at];
        if !matches!(&run.arguments, Arguments::Run(CommandForm::Shell(_))) {
            return Err((run.line, "the step has no shell form, which is what is looked at".into()));
        }
        let keeps = |command: &ShellCommand| {
            let text = command.one_line();
            let declines =
                ["--no-cache-dir", "--no-cache", "cache clean", "cache purge", "PIP_NO_CACHE", "/go/pkg", "-modcache"];
            declines.iter().any(|part| text.contains(part)) && (uses(command, tool).is_some() || command.name() == "rm")
        };
        if let Some(command) = commands.iter().find(|command| keeps(command)) {
            return Err((
                run.line,
                format!("`{}` is told to keep nothing: without that, a cache mount would help", command.one_line()),
            ));
        }
        let vendored =
            |command: &ShellCommand| command.arguments().any(|a| matches!(a, "-mod=vendor" | "--offline" | "--frozen"));
        if commands.iter().any(|command| uses(command, tool).is_some() && vendored(command) && tool.built_from) {
            return Ok(None);
        }
    }
    let last = runs.iter().map(|(at, ..)| *at).max().unwrap_or(*first);
    let changes_user = |keyword: Keyword| keyword == Keyword::User;
    if let Some(user) = stage.instructions.iter().take(last).find(|i| changes_user(i.keyword)) {
        return Err((line, format!("line {} changes the user, whose cache lies elsewhere", user.line)));
    }
    if let Some(start) = stage.instructions.iter().find(|i| tool.built_from && starts_with_tool(i, tool)) {
        return Err((
            line,
            format!("the image starts {} (line {}), which needs what it keeps there", tool.name, start.line),
        ));
    }
    let mut edits = Vec::new();
    for (at, ..) in &runs {
        let flags: Vec<String> = tool.targets.iter().map(|target| format!("--mount=type=cache,target={target}")).collect();
        let edit = add_flag(dockerfile, stage.first + 1 + at, &flags.join(" "));
        edits.extend(edit.into_iter().collect::<Vec<Edit>>());
    }
    let Some(mut found) = rewrite(dockerfile, &PAGE, line, &edits, 0) else { return Ok(None) };
    let lines: Vec<u32> = runs.iter().map(|(at, ..)| stage.instructions[*at].line).collect();
    found.title = format!("keep the downloads of {} in a cache mount (line {})", tool.name, numbers(&lines));
    found.evidence.push(format!("{} downloads in line {line}, and no mount keeps what it downloaded.", tool.name));
    found.gain = Some(format!(
        "when line {line} runs again, {} downloads only what is new; how long that takes is not predicted",
        tool.name
    ));
    found.risks.push(format!(
        "The folder is {}, which is where {} keeps its downloads as root by default: another HOME or configuration moves it.",
        tool.targets.join(" and "),
        tool.name
    ));
    Ok(Some(found))
}

/// CMD and ENTRYPOINT that run the tool itself.
fn starts_with_tool(instruction: &Instruction, tool: &Tool) -> bool {
    let (Arguments::Cmd(form) | Arguments::Entrypoint(form)) = &instruction.arguments else { return false };
    let words: Vec<String> = match form {
        CommandForm::Shell(text) => text.split_whitespace().map(str::to_owned).collect(),
        CommandForm::Exec(words) => words.iter().flat_map(|word| word.split_whitespace()).map(str::to_owned).collect(),
    };
    let of = |word: &str| word.rsplit('/').next().unwrap_or("").trim_end_matches('w') == tool.name;
    let at = words.iter().position(|word| of(word) || word == tool.name);
    // `dotnet app.dll` runs what was published.
    at.is_some_and(|at| tool.name != "dotnet" || words.get(at + 1).is_some_and(|next| !next.ends_with(".dll")))
}

fn is_cache(value: &str) -> bool {
    value.split(',').any(|field| field == "type=cache")
}

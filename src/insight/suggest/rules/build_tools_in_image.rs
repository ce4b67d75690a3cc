//! Compilers and their like in the image that is shipped. Offered as advice only: what the program needs at run time is not in
//! the file.

use super::super::{ContextView, Page, Rule, SuggestReport, Suggestion};
use super::commands::commands_of;
use super::draft::{advice, numbers};
use crate::language::dockerfile::{Dockerfile, Keyword, Stage, find_stage_by_name};

static PAGE: Page = Page {
    name: "build-tools-in-image",
    description: "Build in one stage, ship another",
    why: "A stage that compiles and is shipped carries its compiler, its headers and its sources: the image is larger, and slower to export, push and pull. A second stage that copies only the result stays small, and a change of the sources changes only its last layers. It is advice only and never applied: what the program needs when it runs is not in the file.",
    bad: "FROM golang:1.23\nWORKDIR /src\nCOPY . .\nRUN go build -o /app .\nCMD [\"/app\"]\n",
    good: "FROM golang:1.23 AS build\nWORKDIR /src\nCOPY . .\nRUN go build -o /app .\nFROM debian:12\nCOPY --from=build /app /app\nCMD [\"/app\"]\n",
};

/// The rule.
pub struct BuildToolsInImage;

impl Rule for BuildToolsInImage {
    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn check(&self, dockerfile: &Dockerfile, _: &dyn ContextView) -> SuggestReport {
        let offered = suggest(dockerfile).into_iter().collect();
        SuggestReport { offered, refused: Vec::new() }
    }
}

/// Packages that are for building.
const PACKAGES: [&str; 14] = [
    "build-essential",
    "gcc",
    "g++",
    "make",
    "cmake",
    "build-base",
    "clang",
    "autoconf",
    "automake",
    "ninja-build",
    "musl-dev",
    "python3-dev",
    "libc-dev",
    "libc6-dev",
];

fn suggest(dockerfile: &Dockerfile) -> Option<Suggestion> {
    let stages = dockerfile.stages();
    let last = stages.last()?;
    // A shipped stage that only copies what others built is what is wanted.
    let starts: Option<&str> =
        last.instructions.iter().find(|i| matches!(i.keyword, Keyword::Cmd | Keyword::Entrypoint)).map(|_| "");
    starts?;
    let chain = chain(&stages, last);
    let (mut tools, mut compiles) = (Vec::new(), Vec::new());
    for stage in &chain {
        for instruction in stage.instructions.iter().filter(|i| i.keyword == Keyword::Run) {
            let commands = commands_of(instruction, &dockerfile.source);
            let removes = commands
                .iter()
                .any(|command| command.arguments().any(|a| matches!(a, "purge" | "del" | "remove" | "autoremove")));
            for command in &commands {
                let installs = matches!(command.name(), "apt-get" | "apt" | "apk" | "yum" | "dnf")
                    && command.arguments().any(|a| matches!(a, "install" | "add"));
                let names = command.arguments().filter(|argument| PACKAGES.contains(argument));
                if installs && !removes && !command.arguments().any(|a| a == "--virtual" || a.starts_with("--virtual=")) {
                    tools.extend(names.map(|name| (instruction.line, name.to_owned())));
                }
                let words: Vec<&str> = command.arguments().take(2).collect();
                let builds = match command.name() {
                    "go" => matches!(words.first(), Some(&("build" | "install"))),
                    "cargo" => matches!(words.first(), Some(&("build" | "install"))),
                    "mvn" | "mvnw" | "gradle" | "gradlew" => true,
                    "make" | "cmake" | "tsc" => true,
                    _ => false,
                };
                if builds {
                    compiles.push(instruction.line);
                }
            }
        }
    }
    let first = *compiles.first()?;
    let toolchain = ["golang", "rust", "maven", "gradle", "gcc"]
        .iter()
        .find(|name| image_name(chain.last().map_or("", |s| s.base())) == **name);
    if tools.is_empty() && toolchain.is_none() {
        return None;
    }
    let mut found = advice(dockerfile, &PAGE, first);
    compiles.dedup();
    found.title = "build in a stage of its own, and copy only the result into the image".into();
    found.evidence.push(format!("Line {} builds, in the stage that is shipped.", numbers(&compiles)));
    if let Some(name) = toolchain {
        found.evidence.push(format!("The image begins with the toolchain of `{name}`."));
    }
    if let Some((line, _)) = tools.first() {
        let names: Vec<&str> = tools.iter().map(|(_, name)| name.as_str()).collect();
        found.evidence.push(format!("Line {line} installs {}.", names.join(", ")));
    }
    found.gain = Some("a smaller image, faster to export, push and pull; how much is not predicted".into());
    found.risks.push("Libraries and files that the program needs when it runs have to be copied or installed too.".into());
    Some(found)
}

fn image_name(image: &str) -> &str {
    image.rsplit('/').next().unwrap_or("").split([':', '@']).next().unwrap_or("")
}

/// A stage and those that it stands on, the image's first.
fn chain<'s, 'd>(stages: &'s [Stage<'d>], last: &'s Stage<'d>) -> Vec<&'s Stage<'d>> {
    let mut out = vec![last];
    let mut next = find_stage_by_name(stages, last.base(), last.index);
    while let Some(stage) = next.and_then(|index| stages.get(index)) {
        out.push(stage);
        next = find_stage_by_name(stages, stage.base(), stage.index);
    }
    out
}

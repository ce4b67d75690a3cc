//! Secrets in ARG and ENV: they stay in the image's history and configuration, and another value runs every later step.

use super::super::{ContextView, Page, Rule, SuggestReport, Suggestion};
use super::draft::{advice, numbers, rewrite};
use crate::language::dockerfile::checks::is_secret;
use crate::language::dockerfile::{Arguments, Assignment, CommandForm, Dockerfile, Edit, Keyword, Stage, add_flag};
use crate::language::shell::mentions_variable;

static PAGE: Page = Page {
    name: "secret-in-arg-or-env",
    description: "Give secrets to single steps by a mount",
    why: "The value of an ARG is in the history of the image, that of an ENV in its configuration: whoever has the image can read them. `RUN --mount=type=secret,id=NAME,env=NAME` gives the value to one command, leaves no trace, and is in no key, so that a new token runs nothing again.",
    bad: "FROM node:22\nARG NPM_TOKEN\nRUN npm ci --//registry.example/:_authToken=$NPM_TOKEN\n",
    good: "FROM node:22\nRUN --mount=type=secret,id=NPM_TOKEN,env=NPM_TOKEN npm ci --//registry.example/:_authToken=$NPM_TOKEN\n",
};

/// The rule.
pub struct SecretInArgOrEnv;

impl Rule for SecretInArgOrEnv {
    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn check(&self, dockerfile: &Dockerfile, _: &dyn ContextView) -> SuggestReport {
        let mut report = SuggestReport::default();
        for stage in &dockerfile.stages() {
            for at in 0..stage.instructions.len() {
                report.offered.extend(suggest(dockerfile, stage, at));
            }
        }
        report
    }
}

/// A path says where a secret lies, and is none: `ENV TOKEN_FILE=/run/secrets/token`.
fn is_a_place(assignment: &Assignment) -> bool {
    assignment.value.as_ref().is_some_and(|value| value.text.trim_start_matches(['"', '\'']).starts_with('/'))
}

fn suggest(dockerfile: &Dockerfile, stage: &Stage<'_>, at: usize) -> Option<Suggestion> {
    let instruction = stage.instructions[at];
    let (Arguments::Arg(list) | Arguments::Env(list)) = &instruction.arguments else { return None };
    let name = &list.iter().find(|assignment| is_secret(&assignment.name.text) && !is_a_place(assignment))?.name.text;
    let keyword = instruction.keyword.as_str();
    let uses: Vec<usize> = (at + 1..stage.instructions.len())
        .filter(|next| mentions_variable(stage.instructions[*next].span.text(&dockerfile.source), name))
        .collect();
    let runs = uses.iter().all(|next| {
        let run = stage.instructions[*next];
        matches!(&run.arguments, Arguments::Run(CommandForm::Shell(_))) && run.heredocs.is_empty()
    });
    let alone = instruction.keyword == Keyword::Arg && list.len() == 1 && list[0].value.is_none();
    let mut found = None;
    if runs && alone && !uses.is_empty() {
        let mut edits = vec![Edit::Remove { instruction: stage.first + 1 + at }];
        let flag = format!("--mount=type=secret,id={name},env={name}");
        edits.extend(uses.iter().filter_map(|next| add_flag(dockerfile, stage.first + 1 + next, &flag)));
        found = rewrite(dockerfile, &PAGE, instruction.line, &edits, -1);
    }
    let mut found = found.unwrap_or_else(|| advice(dockerfile, &PAGE, instruction.line));
    let lines: Vec<u32> = uses.iter().map(|next| stage.instructions[*next].line).collect();
    found.title = format!("give {name} to the steps that need it as a secret");
    let where_used = if lines.is_empty() { String::new() } else { format!(" It is used in line {}.", numbers(&lines)) };
    found.evidence.push(format!("`{keyword} {name}` (line {}) has the name of a secret.{where_used}", instruction.line));
    found.gain = Some("the secret is not in the image, and another value runs nothing again".into());
    found.risks.push(format!("Builds have to give it by `--secret id={name},env={name}` instead of `--build-arg {name}`."));
    if found.is_advice() {
        found.risks.push("It is not rewritten: it has a value in the file, or is used elsewhere than in commands.".into());
    }
    Some(found)
}

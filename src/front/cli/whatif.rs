//! `whatif`.

use clap::Args;

use super::args::ProjectArgs;
use super::{Context, build};
use crate::engine::EngineError;
use crate::front::report::whatif;
use crate::insight::workbench::whatif::{Question, what_if};

/// `whatif`.
#[derive(Debug, Args)]
pub struct WhatIfArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// A change that is only thought of.
#[derive(Debug, Clone, Args, Default)]
#[group(required = true, multiple = true)]
pub struct ChangeArgs {
    /// Files that change: a pattern as in .dockerignore.
    #[arg(long, value_name = "GLOB")]
    pub touch: Vec<String>,
    /// A build argument that gets another value.
    #[arg(long, value_name = "NAME=VALUE")]
    pub arg: Vec<String>,
    /// A base image whose tag moves to other layers.
    #[arg(long, value_name = "IMAGE")]
    pub base: Vec<String>,
}

impl ChangeArgs {
    /// The question. Errors: an argument without a value.
    pub fn question(&self) -> Result<Question, EngineError> {
        let mut question = Question { touch: self.touch.clone(), bases: self.base.clone(), ..Question::default() };
        for given in &self.arg {
            let Some((name, value)) = given.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                return Err(EngineError::usage(format!("--arg `{}` is not NAME=VALUE", given.escape_debug()), None));
            };
            question.args.insert(name.to_owned(), value.to_owned());
        }
        Ok(question)
    }
}

pub fn run(context: &Context, args: &WhatIfArgs) -> Result<u8, EngineError> {
    let project = build::project(context, &args.project)?;
    project.require_folder()?;
    let answer = what_if(&project, &context.store_to_read()?, &args.change.question()?)?;
    if context.output.json {
        return context.output.write(|out| whatif::json(out, &answer));
    }
    context.output.write(|out| whatif::plain(out, &answer))
}

//! The commands of a RUN, and its installs with the folders they run in.

use super::place::join;
use crate::language::dockerfile::{Instruction, RunScript, run_script};
use crate::language::shell::{Install, Joint, ShellCommand, ShellWord, parse_commands};

/// An install in a RUN, and the folder it runs in.
pub(super) struct InstallSite {
    pub(super) install: Install,
    pub(super) command: ShellCommand,
    pub(super) folder: String,
}

/// A RUN of more commands is not looked into: rules compare them with each other.
const COMMAND_LIMIT: usize = 1_000;

/// The simple commands of a RUN; none for a script of its own, for everything that is no RUN, and for one that is too long.
pub(super) fn commands_of(instruction: &Instruction, source: &str) -> Vec<ShellCommand> {
    let found = read(instruction, source);
    if found.len() > COMMAND_LIMIT { Vec::new() } else { found }
}

fn read(instruction: &Instruction, source: &str) -> Vec<ShellCommand> {
    match run_script(instruction, source) {
        Some(RunScript::Shell(text)) => parse_commands(&text),
        Some(RunScript::Exec(words)) => match words.as_slice() {
            [shell, option, text] if shell.ends_with("sh") && option.starts_with('-') && option.ends_with('c') => {
                parse_commands(text)
            }
            _ => vec![ShellCommand {
                joint: Joint::Sequence,
                environment: Vec::new(),
                words: words.into_iter().map(|text| ShellWord { text, expands: false }).collect(),
                redirections: Vec::new(),
                compound: false,
            }],
        },
        Some(RunScript::File { .. }) | None => Vec::new(),
    }
}

/// The installs among commands that begin in a folder.
pub(super) fn installs_of(commands: &[ShellCommand], working: String) -> Vec<InstallSite> {
    let mut folder = working;
    let mut found = Vec::new();
    for command in commands {
        if command.name() == "cd"
            && let Some(target) = command.words.get(1)
        {
            folder = join(&folder, &target.text);
        } else if let Some(install) = Install::of(command) {
            found.push(InstallSite { install, command: command.clone(), folder: folder.clone() });
        }
    }
    found
}

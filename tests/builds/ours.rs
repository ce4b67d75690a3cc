//! Our program, on a store of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::case::Case;
use super::context::{Written, secrets, write};
use super::lab::{Built, last_lines, named_context, run};
use super::rootless::command_of;
use super::tree::Image;

/// A store, and the base image that every name stands for.
pub struct Engine {
    home: tempfile::TempDir,
    base: PathBuf,
    /// Who builds; root if nobody is named.
    user: Option<String>,
}

/// How a build ended, and all that was said.
pub struct Answer {
    pub built: Built,
    pub output: String,
}

impl Engine {
    pub fn new(base: &Path) -> Self {
        Self { home: tempfile::tempdir().unwrap(), base: base.to_owned(), user: None }
    }

    /// As a user without rights.
    pub fn of_user(base: &Path, user: &str) -> Self {
        Self { user: Some(user.to_owned()), ..Self::new(base) }
    }

    /// A folder for one group.
    pub fn folder(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(self.home.path()).unwrap()
    }

    pub fn build(&self, case: &Case, at: usize, home: &Path) -> Answer {
        let Written { context, dockerfile } = write(case, &home.join(format!("case{at}")));
        let layout = home.join(format!("layout{at}"));
        let rewrite = if case.rewrite_timestamps { ",rewrite-timestamp=true" } else { "" };
        let named: Vec<String> = case.named.iter().filter_map(|named| named_context(named, &self.base, home)).collect();
        let secrets = secrets(case, home);
        let mut command = match &self.user {
            Some(user) => command_of(user, self.home.path()),
            None => Command::new(env!("CARGO_BIN_EXE_rbuild-tui")),
        };
        command.env("RBUILD_TUI_STORE", self.home.path().join("store"));
        command.args(["build", "--progress=plain", "--network=host", "-o"]);
        command.arg(format!("type=oci,tar=false,dest={}{rewrite}", layout.display()));
        for value in named {
            command.arg("--build-context").arg(value);
        }
        for tag in &case.tags {
            command.args(["-t", tag]);
        }
        command.args(secrets).args(&case.flags).arg("-f").arg(dockerfile).arg(context);
        command.envs(case.environment.iter().cloned()).env_remove("SOURCE_DATE_EPOCH");
        let (ok, output) = run(command, &home.join("output"));
        let built = match ok {
            true => Image::read(&layout).map_or_else(|why| Built::Error(format!("our image: {why}")), Built::Image),
            false => Built::Error(last_lines(&output)),
        };
        Answer { built, output }
    }
}

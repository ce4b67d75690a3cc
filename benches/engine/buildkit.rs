//! A real BuildKit, where one is at hand.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub struct Buildkit {
    docker: PathBuf,
    tag: String,
}

impl Buildkit {
    /// The lab's, when `RBUILD_LAB_SCRIPTS` names its scripts and its daemon answers; else says why not.
    pub fn find(work: &Path) -> Option<Self> {
        let Some(folder) = std::env::var_os("RBUILD_LAB_SCRIPTS") else {
            eprintln!("BuildKit: skipped, RBUILD_LAB_SCRIPTS is not set");
            return None;
        };
        let docker = PathBuf::from(folder).join("dk");
        let answer = Command::new(&docker).args(["version", "--format", "{{.Server.Version}}"]).output();
        let Some(answer) = answer.ok().filter(|answer| answer.status.success()) else {
            eprintln!("BuildKit: skipped, the lab's daemon does not answer");
            return None;
        };
        eprintln!("BuildKit of docker {}", String::from_utf8_lossy(&answer.stdout).trim());
        let tag = work.file_name().map(|name| name.to_string_lossy().to_lowercase().replace('.', "")).unwrap_or_default();
        Some(Self { docker, tag: format!("rbuild-bench-{tag}") })
    }

    /// Builds into the daemon's own image store. None where it fails, in its own words on standard error: its collector may
    /// take a snapshot from under a build, which must not cost the rows of others.
    pub fn build(&self, folder: &Path, flags: &[&str]) -> Option<Duration> {
        let start = Instant::now();
        let mut command = Command::new(&self.docker);
        command.args(["buildx", "build", "--quiet", "--network=host", "--tag", &self.tag]).args(flags).arg(folder);
        let done = command.stdout(Stdio::null()).status();
        done.is_ok_and(|status| status.success()).then(|| start.elapsed())
    }

    /// Loads an archive; the image's name.
    pub fn load(&self, archive: &Path) -> Option<String> {
        let done = Command::new(&self.docker).args(["load", "--input"]).arg(archive).stdout(Stdio::null()).status();
        done.is_ok_and(|status| status.success()).then(|| "rbuild-bench:host".to_owned())
    }

    /// Removes an image by name.
    pub fn forget(&self, name: &str) {
        let _ = Command::new(&self.docker).args(["rmi", "--force", name]).stdout(Stdio::null()).status();
    }
}

impl Drop for Buildkit {
    fn drop(&mut self) {
        self.forget(&self.tag);
    }
}

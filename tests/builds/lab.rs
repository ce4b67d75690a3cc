//! The lab's BuildKit, and what it built in earlier runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rbuild_tui::ground::digest::Digest;
use serde::{Deserialize, Serialize};

use super::base;
use super::case::{Case, Group, Named, folder};
use super::context::{Written, secrets, write};
use super::tree::Image;

/// Longer than any build of a case takes.
const LIMIT: Duration = Duration::from_secs(180);

/// How a build ended: an image, or the last words.
#[derive(Serialize, Deserialize)]
pub enum Built {
    Image(Image),
    Error(String),
}

/// The lab.
pub struct Peer {
    script: PathBuf,
    lab: PathBuf,
}

impl Peer {
    /// Asks whether its daemon answers; results of earlier runs are used without it.
    pub fn open() -> Result<Self, String> {
        let (script, lab) = (folder("RBUILD_LAB_SCRIPTS")?.join("dk"), folder("RBUILD_LAB")?);
        std::fs::create_dir_all(lab.join("conformance-builds")).map_err(|e| e.to_string())?;
        let answers = Command::new(&script).arg("version").stdin(Stdio::null()).output();
        match answers {
            Ok(done) if done.status.success() => {
                let peer = Self { script, lab };
                base::make(&peer.script, &peer.lab.join("images/busybox.oci"), &peer.base())?;
                Ok(peer)
            }
            _ => Err("the lab's daemon does not answer (lab start)".into()),
        }
    }

    /// The layout of the base image.
    pub fn base(&self) -> PathBuf {
        self.lab.join("conformance-builds/base.oci")
    }

    /// What BuildKit makes of the cases of a group, in their order.
    pub fn build(&self, group: &Group) -> Vec<Built> {
        let name = Digest::of(format!("{:?}", described(group))).hex();
        let kept = self.lab.join("conformance-builds").join(name);
        if let Some(built) = std::fs::read(&kept).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return built;
        }
        let home = tempfile::tempdir_in(self.lab.join("conformance-builds")).unwrap();
        let built: Vec<Built> =
            group.cases.iter().enumerate().map(|(at, case)| self.build_case(case, at, home.path())).collect();
        let written = home.path().join("result");
        std::fs::write(&written, serde_json::to_vec(&built).unwrap()).unwrap();
        std::fs::rename(written, kept).unwrap();
        built
    }

    fn build_case(&self, case: &Case, at: usize, home: &Path) -> Built {
        if let Some(why) = &case.skip {
            return Built::Error(why.clone());
        }
        let Written { context, dockerfile } = write(case, &home.join(format!("case{at}")));
        let layout = home.join(format!("layout{at}"));
        let rewrite = if case.rewrite_timestamps { ",rewrite-timestamp=true" } else { "" };
        let mut command = Command::new(&self.script);
        command.args(["buildx", "build", "--progress=plain", "--provenance=false", "--network=host"]);
        command.arg("-o").arg(format!("type=oci,tar=false,dest={}{rewrite}", layout.display()));
        for value in case.named.iter().filter_map(|named| named_context(named, &self.base(), home)) {
            command.arg("--build-context").arg(value);
        }
        command.args(secrets(case, home)).args(&case.flags).arg("-f").arg(dockerfile).arg(context);
        command.envs(case.environment.iter().cloned()).env_remove("SOURCE_DATE_EPOCH");
        let (ok, text) = run(command, &home.join("output"));
        if !ok {
            return Built::Error(last_lines(&text));
        }
        Image::read(&layout).map_or_else(|why| panic!("{}: the lab's image: {why}", case.name), Built::Image)
    }
}

/// The value of `--build-context` for an image; none when it could not be built.
pub fn named_context(named: &Named, base: &Path, home: &Path) -> Option<String> {
    let (name, layout) = match named {
        Named::Base(name) => (name, base.to_owned()),
        Named::Step(name, step) => (name, home.join(format!("layout{step}"))),
        Named::Before(_) | Named::Tagged(..) => return None,
    };
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).ok()?).ok()?;
    let digest = index["manifests"][0]["digest"].as_str()?;
    Some(format!("{name}=oci-layout://{}@{digest}", layout.display()))
}

/// What a result depends on.
fn described(group: &Group) -> Vec<String> {
    let one = |case: &Case| {
        let Case { dockerfile, file, beside, context, flags, environment, named, rewrite_timestamps, skip, secrets, .. } =
            case;
        let build = (dockerfile, file, beside, context, flags, environment);
        format!("{:?}", (build, named, secrets, rewrite_timestamps, skip, base::DOCKERFILE))
    };
    group.cases.iter().map(one).collect()
}

/// The part that says why.
pub fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Runs to the end or the limit; gives all that it said. The output goes to a file: a pipe could fill.
pub fn run(mut command: Command, output: &Path) -> (bool, String) {
    let file = std::fs::File::create(output).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    let ok = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.success();
        }
        if began.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            break false;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    (ok, String::from_utf8_lossy(&std::fs::read(output).unwrap()).into_owned())
}

//! The key of a step, ingredient by ingredient, and what is no part of it: for people who ask what a change would do.

use super::ingredients::{Content, Ingredients, Source};
use crate::engine::graph::op::{Mount, MountKind, Operation};

/// One ingredient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name, as a Dockerfile has it where it does.
    pub name: String,
    /// What it is; untrusted.
    pub value: String,
}

fn part(name: impl Into<String>, value: impl Into<String>) -> Part {
    Part { name: name.into(), value: value.into() }
}

/// Everything that enters the key, in the order of the reference (`cache-semantics.md`, sections 4, 6, 7 and 8).
pub fn parts(of: &Ingredients) -> Vec<Part> {
    // No `..` here, as in `explain`: a new ingredient does not compile until it can be shown.
    let Ingredients { format, operation, parent, sources } = of;
    let mut out = Vec::new();
    match parent {
        Some(parent) => out.push(part("stands on", &parent.name)),
        None if matches!(operation, Operation::Base { .. }) => {}
        None => out.push(part("stands on", "scratch")),
    }
    operation_parts(operation, &mut out);
    for Source { slot: _, name, content, revision } in sources {
        let digest = content.as_ref().map(|Content { digest, tree: _ }| digest.to_string());
        out.push(part(format!("content of {name}"), digest.unwrap_or_else(|| "by definition only".to_owned())));
        if let Some(revision) = revision {
            out.push(part(format!("revision of {name}"), revision));
        }
    }
    out.push(part("key format", format.to_string()));
    out
}

fn operation_parts(operation: &Operation, out: &mut Vec<Part>) {
    let mut some = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            out.push(part(name, value));
        }
    };
    match operation {
        Operation::Base { image, manifest, chain, platform } => {
            some("image, as written (no part of the key)", &Some(image.clone()));
            some("manifest", &Some(manifest.to_string()));
            some("or the layers alone (ChainID)", &chain.as_ref().map(ToString::to_string));
            some("platform", &Some(platform.clone()));
        }
        Operation::Run { args, env, cwd, user, network, security, mounts, secrets, hosts, ulimits, platform } => {
            some("command", &args.last().cloned());
            some("shell", &args.split_last().filter(|(_, shell)| !shell.is_empty()).map(|(_, shell)| shell.join(" ")));
            some("USER", &Some(if user.is_empty() { "root, as nothing is set".to_owned() } else { user.clone() }));
            some("WORKDIR", &Some(cwd.clone()));
            some("network", network);
            some("security", security);
            some("platform", &Some(platform.clone()));
            for (at, variable) in env.iter().enumerate() {
                let name = format!("{} {} ({} of {})", variable.origin.word(), variable.name, at + 1, env.len());
                out.push(part(name, &variable.value));
            }
            out.extend(mounts.iter().map(|mount| part(format!("mount at {}", mount.target), mount_value(mount))));
            for secret in secrets {
                out.push(part(format!("secret in variable {}", secret.name), format!("id {}, not its value", secret.id)));
            }
            out.extend(hosts.iter().map(|host| part("add-host", format!("{host}, not its address"))));
            out.extend(ulimits.iter().map(|limit| part("ulimit", limit.to_string())));
        }
        Operation::Copy { instruction, sources, destination, chown, chmod, inline, exclude, parents, unpack, platform } => {
            let unpacks = crate::engine::graph::op::unpacks(instruction, *unpack);
            some("names of the sources, in order", &Some(sources.join(" ")));
            some("destination", &Some(destination.clone()));
            some("--chown", chown);
            some("--chmod", chmod);
            some("archives are unpacked", &Some(if unpacks { "yes" } else { "no" }.to_owned()));
            some("platform", &Some(platform.clone()));
            out.extend(inline.iter().map(|(name, text)| part(format!("heredoc {name}"), text)));
            out.extend(exclude.iter().map(|pattern| part("--exclude", pattern)));
            out.extend(parents.iter().map(|(pattern, _)| part("--parents", pattern)));
        }
        Operation::Merge { platform } => some("platform", &Some(platform.clone())),
        Operation::MakeDirectory { path, owner, timestamp, platform } => {
            some("WORKDIR", &Some(path.clone()));
            some("owner", owner);
            some("SOURCE_DATE_EPOCH", &timestamp.map(|seconds| seconds.to_string()));
            some("platform", &Some(platform.clone()));
        }
    }
}

fn mount_value(mount: &Mount) -> String {
    let what = match &mount.kind {
        MountKind::Bind { .. } => "its content".to_owned(),
        MountKind::Cache { .. } => "that it is there, not what it holds".to_owned(),
        MountKind::Tmpfs { .. } => "its size".to_owned(),
        MountKind::Secret { id, .. } => format!("id {id}, not its value"),
        MountKind::Ssh { id, .. } => format!("id {id}, not the keys"),
        MountKind::Script { text } => text.clone(),
    };
    format!("{}: {what}", mount.kind.word())
}

/// What people might think of and that is no part of the key.
pub fn outside(operation: &Operation) -> &'static [&'static str] {
    match operation {
        Operation::Base { .. } => {
            &["the name and tag", "when it was made", "labels, history, other configuration, if the layers match"]
        }
        Operation::Run { .. } => &[
            "what the command reads from the network, the clock or random numbers",
            "values of secrets, keys of ssh agents, contents of cache mounts",
            "proxy variables that no ARG declares, addresses of --add-host, limits of memory and processors",
            "comments and the line number; LABEL, CMD, EXPOSE and the like above it",
        ],
        Operation::Copy { .. } => &[
            "times of files",
            "owners of files of the build context (of a stage they count)",
            "the folders above a source, and the name of the stage it comes from",
            "variables in scope, unless the line expands them",
        ],
        Operation::Merge { .. } => &["anything but the step below and the copied layer"],
        Operation::MakeDirectory { .. } => &["variables in scope, unless the line expands them"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::graph::op::{Variable, VariableOrigin};

    #[test]
    fn every_variable_of_a_run_is_a_part_with_its_place() {
        let variable = |name: &str| Variable { name: name.into(), value: "1".into(), origin: VariableOrigin::Arg };
        let operation = Operation::Run {
            args: vec!["/bin/sh".into(), "-c".into(), "make".into()],
            env: vec![variable("A"), variable("B")],
            cwd: "/".into(),
            user: String::new(),
            network: None,
            security: None,
            mounts: Vec::new(),
            secrets: Vec::new(),
            hosts: Vec::new(),
            ulimits: Vec::new(),
            platform: "linux/amd64".into(),
        };
        let found = parts(&Ingredients { format: 1, operation, parent: None, sources: Vec::new() });
        let names: Vec<&str> = found.iter().map(|part| part.name.as_str()).collect();
        assert!(
            names.contains(&"ARG A (1 of 2)") && names.contains(&"ARG B (2 of 2)") && names.contains(&"command"),
            "{names:?}"
        );
    }
}

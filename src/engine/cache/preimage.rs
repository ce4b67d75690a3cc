//! The bytes that an operation's digest is taken over. At present our own canonical encoding: JSON with the fields in the
//! order in which they stand here. Nothing outside of this file knows it.

use serde_json::{Value, json};

use super::ingredients::KEY_FORMAT;
use crate::engine::graph::op::{Mount, MountKind, Operation, unpacks};
use crate::ground::digest::Digest;

/// The digest of an operation without its inputs: the `CacheMap.Digest` of BuildKit.
///
/// Source of the fields: `reference/cache-semantics.md`, sections 4, 6, 7 and 8.
pub fn operation_digest(operation: &Operation) -> Digest {
    let body = match operation {
        Operation::Base { manifest, platform, image: _, chain: _ } => json!(["base", manifest, platform]),
        Operation::Run { args, env, cwd, user, network, security, mounts, secrets, hosts, ulimits, platform } => {
            let env: Vec<String> = env.iter().map(|v| format!("{}={}", v.name, v.value)).collect();
            let mounts: Vec<Value> = mounts.iter().map(mount).collect();
            let mut body = json!(["run", args, env, cwd, user, network, security, mounts, platform]);
            let secrets: Vec<Value> = secrets.iter().map(|s| json!([s.name, s.id, s.required])).collect();
            add_used(&mut body, [("secrets", json!(secrets))]);
            add_used(&mut body, [("hosts", json!(hosts)), ("ulimits", json!(ulimits))]);
            body
        }
        Operation::Copy { instruction, sources, destination, chown, chmod, inline, exclude, parents, unpack, platform } => {
            let mut body =
                json!(["copy", unpacks(instruction, *unpack), sources, destination, chown, chmod, inline, platform]);
            // What came later counts only where it is used: keys of everything else stay as they were.
            let later = [("exclude", json!(exclude)), ("parents", json!(parents))];
            add_used(&mut body, later);
            body
        }
        Operation::Merge { platform } => json!(["merge", platform]),
        Operation::MakeDirectory { path, owner, timestamp, platform } => {
            json!(["mkdir", path, owner, timestamp, platform])
        }
    };
    Digest::of(json!(["rbuild-tui", KEY_FORMAT, body]).to_string())
}

/// Appends the fields that are used.
fn add_used<const N: usize>(body: &mut Value, fields: [(&str, Value); N]) {
    let Value::Array(list) = body else { return };
    for (name, value) in fields {
        let unused = match &value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        if !unused {
            list.push(json!([name, value]));
        }
    }
}

/// What of a mount counts: not the content of secrets and caches, and not the name of a cache that is not the default one.
fn mount(mount: &Mount) -> Value {
    let kind = match &mount.kind {
        MountKind::Bind { edge } => json!([edge]),
        MountKind::Cache { id, sharing, seed, path, uid, gid, mode } => {
            let default = *id == mount.target && sharing == "shared";
            match path.as_str() {
                "" => json!([default, seed, uid, gid, mode]),
                path => json!([default, seed, uid, gid, mode, path]),
            }
        }
        MountKind::Tmpfs { size } => json!([size]),
        MountKind::Secret { id, uid, gid, mode, required } => json!([id, uid, gid, mode, required]),
        MountKind::Ssh { id, uid, gid, mode, required } => json!([id, uid, gid, mode, required]),
        MountKind::Script { text } => json!([text]),
    };
    json!([mount.target, mount.kind.word(), mount.read_only, kind])
}

/// The digest of an operation in the key space of traced hits and of all that stands on one: an exact build never asks for it.
pub fn traced_digest(exact: &Digest) -> Digest {
    Digest::of(json!(["rbuild-tui", KEY_FORMAT, ["traced", exact]]).to_string())
}

/// The second root key of a base: the layers alone, whatever the manifest says about them.
pub fn chain_digest(chain: Option<&Digest>) -> Digest {
    Digest::of(json!(["rbuild-tui", KEY_FORMAT, ["chain", chain]]).to_string())
}

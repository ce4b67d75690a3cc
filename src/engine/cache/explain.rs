//! Compares what a step's key is made of with what it was made of in the last build.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::ingredients::{Content, Ingredients, Source};
use crate::engine::context::{Entry, EntryKind};
use crate::engine::graph::op::{Mount, MountKind, Operation, SecretVariable, Variable, unpacks};
use crate::engine::protocol::settings::Ulimit;
use crate::engine::verdict::{FileAttribute, MissReason};
use crate::ground::digest::Digest;
use crate::language::shell::mentions_variable;

/// How many files are listed one by one; the rest is counted.
const LISTED_FILES: usize = 20;

/// What the comparison needs beside the two records.
pub trait Evidence {
    /// A list of files that was kept.
    fn tree(&self, digest: &Digest) -> Option<Arc<[Entry]>>;
    /// Whether the `.dockerignore` of the last build excluded this path.
    fn ignored_then(&self, path: &str) -> bool;
    /// Whether the present `.dockerignore` excludes it.
    fn ignored_now(&self, path: &str) -> bool;
}

/// Everything of the step itself that differs; empty when its own ingredients are the same.
pub fn own_reasons(now: &Ingredients, then: &Ingredients, evidence: &dyn Evidence) -> Vec<MissReason> {
    // No `..` here: a new ingredient does not compile until it is explained.
    let Ingredients { format, operation, parent, sources } = now;
    let mut out = Vec::new();
    if *format != then.format {
        out.push(MissReason::EngineChanged);
    }
    operations(operation, &then.operation, &mut out);
    parents(parent.as_ref(), then.parent.as_ref(), &mut out);
    for (now, then) in sources.iter().zip(&then.sources) {
        let Source { slot: _, name, content, revision } = now;
        // Of a download the content says it all; of a repository the commit is what people know.
        if let (Some(new), Some(old)) = (revision, &then.revision)
            && new != old
            && !new.starts_with("sha256:")
        {
            out.push(MissReason::CommitChanged { repository: name.clone(), old: old.clone(), new: new.clone() });
        }
        if let (Some(now), Some(then)) = (content, &then.content) {
            files(now, then, evidence, &mut out);
        }
    }
    out
}

/// A parent that is another step than before, although it did not run: a line between them was removed or moved.
fn parents(now: Option<&Source>, then: Option<&Source>, out: &mut Vec<MissReason>) {
    let slot = |source: Option<&Source>| source.map(|s| s.slot.clone());
    if slot(now) != slot(then) {
        let name = |source: Option<&Source>| source.map(|s| s.name.clone());
        out.push(MissReason::ParentChanged { old: name(then), new: name(now) });
    }
}

fn field(out: &mut Vec<MissReason>, name: &str, then: Option<String>, now: Option<String>) {
    if then != now {
        out.push(MissReason::FieldChanged { field: name.to_owned(), old: then, new: now });
    }
}

fn operations(now: &Operation, then: &Operation, out: &mut Vec<MissReason>) {
    let some = |text: &str| Some(text.to_owned());
    match (now, then) {
        (
            Operation::Base { image, manifest, chain, platform },
            Operation::Base { manifest: old, chain: old_chain, platform: old_platform, image: _ },
        ) => {
            if manifest != old || chain != old_chain {
                let (old, new) = (Some(old.to_string()), manifest.to_string());
                out.push(MissReason::BaseChanged { image: image.clone(), old, new });
            }
            field(out, "platform", some(old_platform), some(platform));
        }
        (
            Operation::Run { args, env, cwd, user, network, security, mounts, secrets, hosts, ulimits, platform },
            Operation::Run {
                args: args0,
                env: env0,
                cwd: cwd0,
                user: user0,
                network: net0,
                security: sec0,
                mounts: mounts0,
                secrets: secrets0,
                hosts: hosts0,
                ulimits: limits0,
                platform: p0,
            },
        ) => {
            commands(args, args0, out);
            variables(env, env0, args, out);
            field(out, "WORKDIR", some(cwd0), some(cwd));
            field(out, "USER", some(user0), some(user));
            field(out, "network", net0.clone(), network.clone());
            field(out, "security", sec0.clone(), security.clone());
            mount_list(mounts, mounts0, out);
            let named = |list: &[SecretVariable]| {
                let one = |s: &SecretVariable| format!("{}={}{}", s.name, s.id, if s.required { " required" } else { "" });
                listed(&list.iter().map(one).collect::<Vec<_>>())
            };
            field(out, "secret variables", named(secrets0), named(secrets));
            field(out, "add-host", listed(hosts0), listed(hosts));
            let shown = |limits: &[Ulimit]| listed(&limits.iter().map(Ulimit::to_string).collect::<Vec<_>>());
            field(out, "ulimit", shown(limits0), shown(ulimits));
            field(out, "platform", some(p0), some(platform));
        }
        (
            Operation::Copy { instruction, sources, destination, chown, chmod, inline, exclude, parents, unpack, platform },
            Operation::Copy {
                instruction: i0,
                sources: s0,
                destination: d0,
                chown: o0,
                chmod: m0,
                inline: t0,
                exclude: e0,
                parents: a0,
                unpack: u0,
                platform: p0,
            },
        ) => {
            let (unpacked, unpacks) = (unpacks(i0, *u0), unpacks(instruction, *unpack));
            // Nothing else tells the two instructions apart.
            match instruction == i0 {
                true => field(out, "--unpack", Some(unpacked.to_string()), Some(unpacks.to_string())),
                false if unpacked != unpacks => field(out, "instruction", some(i0), some(instruction)),
                false => {}
            }
            field(out, "sources", Some(s0.join(" ")), Some(sources.join(" ")));
            field(out, "destination", some(d0), some(destination));
            field(out, "--chown", o0.clone(), chown.clone());
            field(out, "--chmod", m0.clone(), chmod.clone());
            inline_files(inline, t0, out);
            field(out, "--exclude", listed(e0), listed(exclude));
            field(out, "--parents", patterns(a0), patterns(parents));
            field(out, "platform", some(p0), some(platform));
        }
        (
            Operation::MakeDirectory { path, owner, timestamp, platform },
            Operation::MakeDirectory { path: old, owner: o0, timestamp: t0, platform: p0 },
        ) => {
            field(out, "WORKDIR", some(old), some(path));
            field(out, "USER", o0.clone(), owner.clone());
            field(out, "SOURCE_DATE_EPOCH", t0.map(|t| t.to_string()), timestamp.map(|t| t.to_string()));
            field(out, "platform", some(p0), some(platform));
        }
        (Operation::Merge { platform }, Operation::Merge { platform: p0 }) => {
            field(out, "platform", some(p0), some(platform));
        }
        (_, _) => field(out, "instruction", some(word(then)), some(word(now))),
    }
}

/// Words of a list; none for an empty one.
fn listed(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(" "))
}

/// The sources of `--parents` as far as they count.
fn patterns(parents: &[(String, Option<String>)]) -> Option<String> {
    let shown = |(pattern, required): &(String, Option<String>)| required.as_ref().unwrap_or(pattern).clone();
    listed(&parents.iter().map(shown).collect::<Vec<_>>())
}

fn word(operation: &Operation) -> &str {
    match operation {
        Operation::Base { .. } => "FROM",
        Operation::Run { .. } => "RUN",
        Operation::Copy { instruction, .. } => instruction,
        Operation::Merge { .. } => "LINK",
        Operation::MakeDirectory { .. } => "WORKDIR",
    }
}

fn commands(now: &[String], then: &[String], out: &mut Vec<MissReason>) {
    let (Some((now_text, now_shell)), Some((then_text, then_shell))) = (now.split_last(), then.split_last()) else {
        if now != then {
            out.push(MissReason::CommandChanged { old: then.join(" "), new: now.join(" "), whitespace_only: false });
        }
        return;
    };
    if now_shell.is_empty() != then_shell.is_empty() && now != then {
        // From shell form to JSON form, or back.
        out.push(MissReason::CommandChanged { old: then.join(" "), new: now.join(" "), whitespace_only: false });
        return;
    }
    if now_shell != then_shell {
        field(out, "SHELL", Some(then_shell.join(" ")), Some(now_shell.join(" ")));
    }
    if now_text != then_text {
        let whitespace_only = now_text.split_whitespace().eq(then_text.split_whitespace());
        out.push(MissReason::CommandChanged { old: then_text.clone(), new: now_text.clone(), whitespace_only });
    }
}

fn variables(now: &[Variable], then: &[Variable], args: &[String], out: &mut Vec<MissReason>) {
    let map = |list: &[Variable]| -> BTreeMap<String, Variable> {
        list.iter().map(|variable| (variable.name.clone(), variable.clone())).collect()
    };
    let (new, old) = (map(now), map(then));
    let before = out.len();
    for name in new.keys().chain(old.keys().filter(|name| !new.contains_key(*name))) {
        let (now, then) = (new.get(name), old.get(name));
        if now.map(|v| &v.value) == then.map(|v| &v.value) {
            continue;
        }
        out.push(MissReason::VariableChanged {
            name: name.clone(),
            origin: now.or(then).map_or("ENV", |v| v.origin.word()).to_owned(),
            old: then.map(|v| v.value.clone()),
            new: now.map(|v| v.value.clone()),
            mentioned: args.iter().any(|arg| mentions_variable(arg, name)),
        });
    }
    let names = |list: &[Variable]| -> Vec<String> { list.iter().map(|v| v.name.clone()).collect() };
    if out.len() == before && names(now) != names(then) {
        out.push(MissReason::VariableOrder);
    }
}

/// One reason for each mount that came, went or changed its shape.
fn mount_list(now: &[Mount], then: &[Mount], out: &mut Vec<MissReason>) {
    let find = |list: &[Mount], target: &str| list.iter().find(|m| m.target == target).map(describe_mount);
    let mut targets: Vec<&str> = now.iter().chain(then).map(|mount| mount.target.as_str()).collect();
    targets.sort_unstable();
    targets.dedup();
    for target in targets {
        match (script(then, target), script(now, target)) {
            (Some(old), Some(new)) if old != new => {
                let whitespace_only = old.split_whitespace().eq(new.split_whitespace());
                out.push(MissReason::CommandChanged { old, new, whitespace_only });
            }
            _ => field(out, "mount", find(then, target), find(now, target)),
        }
    }
}

/// The text of a script that is mounted there.
fn script(mounts: &[Mount], target: &str) -> Option<String> {
    mounts.iter().find(|mount| mount.target == target).and_then(|mount| match &mount.kind {
        MountKind::Script { text } => Some(text.clone()),
        _ => None,
    })
}

/// What of a mount is part of the key, in the words of its flag.
fn describe_mount(mount: &Mount) -> String {
    let mut out = format!("type={},target={}", mount.kind.word(), mount.target);
    match &mount.kind {
        MountKind::Bind { .. } | MountKind::Script { .. } => {}
        MountKind::Cache { id, sharing, uid, gid, mode, .. } => {
            if *id != mount.target || sharing != "shared" {
                out.push_str(",with an id or a sharing of its own");
            }
            out.push_str(&format!(",uid={uid},gid={gid},mode={mode:o}"));
        }
        MountKind::Tmpfs { size } => out.push_str(&size.map_or_else(String::new, |size| format!(",size={size}"))),
        MountKind::Secret { id, uid, gid, mode, required } | MountKind::Ssh { id, uid, gid, mode, required } => {
            out.push_str(&format!(",id={id},uid={uid},gid={gid},mode={mode:o},required={required}"));
        }
    }
    if mount.read_only {
        out.push_str(",readonly");
    }
    out
}

fn inline_files(now: &[(String, String)], then: &[(String, String)], out: &mut Vec<MissReason>) {
    for (name, text) in now {
        match then.iter().find(|(old, _)| old == name) {
            Some((_, old)) if old == text => {}
            Some((_, old)) => field(out, &format!("heredoc {name}"), Some(old.clone()), Some(text.clone())),
            None => field(out, &format!("heredoc {name}"), None, Some(text.clone())),
        }
    }
    for (name, old) in then.iter().filter(|(name, _)| !now.iter().any(|(new, _)| new == name)) {
        field(out, &format!("heredoc {name}"), Some(old.clone()), None);
    }
}

fn files(now: &Content, then: &Content, evidence: &dyn Evidence, out: &mut Vec<MissReason>) {
    if now.digest == then.digest {
        return;
    }
    let (Some(new), Some(old)) = (evidence.tree(&now.tree), evidence.tree(&then.tree)) else {
        out.push(MissReason::FieldChanged {
            field: "content".into(),
            old: Some(then.digest.to_string()),
            new: Some(now.digest.to_string()),
        });
        return;
    };
    let mut found = compare(&new, &old, evidence);
    let more = found.len().saturating_sub(LISTED_FILES) as u64;
    found.truncate(LISTED_FILES);
    out.append(&mut found);
    if more > 0 {
        out.push(MissReason::MoreFiles { count: more });
    }
}

/// The differences between two lists of files, in order of path. Directories that came or went are named only when nothing
/// inside of them is.
pub fn compare(new: &[Entry], old: &[Entry], evidence: &dyn Evidence) -> Vec<MissReason> {
    let (mut added, mut removed) = (BTreeMap::new(), BTreeMap::new());
    let mut out = Vec::new();
    let (new, old) = (by_path(new), by_path(old));
    let (mut new, mut old) = (new.into_iter().peekable(), old.into_iter().peekable());
    // Both are sorted: one walk through both.
    loop {
        let order = match (new.peek(), old.peek()) {
            (Some(now), Some(then)) => now.path.cmp(&then.path),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        match order {
            Ordering::Less => added.extend(new.next().map(|entry| (entry.path.as_str(), entry))),
            Ordering::Greater => removed.extend(old.next().map(|entry| (entry.path.as_str(), entry))),
            Ordering::Equal => {
                if let (Some(now), Some(then)) = (new.next(), old.next()) {
                    changed(now, then, &mut out);
                }
            }
        }
    }
    renames(&mut added, &mut removed, &mut out);
    for path in outermost(&added) {
        let by_ignore_rule = evidence.ignored_then(&path);
        out.push(changed_file(path, FileAttribute::Added, None, None, by_ignore_rule));
    }
    for path in outermost(&removed) {
        let by_ignore_rule = evidence.ignored_now(&path);
        out.push(changed_file(path, FileAttribute::Removed, None, None, by_ignore_rule));
    }
    out.sort_by(|a, b| path_of(a).cmp(path_of(b)));
    out
}

/// Kept lists are sorted already; others are by this.
fn by_path(list: &[Entry]) -> Vec<&Entry> {
    let mut out: Vec<&Entry> = list.iter().collect();
    out.sort_by(|a, b| a.path.cmp(&b.path));
    out
}

/// All but directories of which something inside is listed, too.
fn outermost(list: &BTreeMap<&str, &Entry>) -> Vec<String> {
    let inside = |path: &str| {
        let prefix = format!("{path}/");
        list.range(prefix.as_str()..).next().is_some_and(|(other, _)| other.starts_with(&prefix))
    };
    let kept = list.iter().filter(|(path, entry)| entry.kind != EntryKind::Directory || !inside(path));
    kept.map(|(path, _)| (*path).to_owned()).collect()
}

fn path_of(reason: &MissReason) -> &str {
    match reason {
        MissReason::FileChanged { path, .. } => path,
        _ => "",
    }
}

fn changed_file(
    path: String,
    attribute: FileAttribute,
    old: Option<String>,
    new: Option<String>,
    by_ignore_rule: bool,
) -> MissReason {
    MissReason::FileChanged { path, attribute, old, new, by_ignore_rule }
}

/// A file that went and one that came with the same record are one that was renamed.
fn renames<'a>(
    added: &mut BTreeMap<&'a str, &'a Entry>,
    removed: &mut BTreeMap<&'a str, &'a Entry>,
    out: &mut Vec<MissReason>,
) {
    let files = |list: &BTreeMap<&'a str, &'a Entry>| -> Vec<(&'a str, &'a Entry)> {
        let filled = list.iter().filter(|(_, entry)| entry.kind == EntryKind::File && entry.size > 0);
        filled.map(|(path, entry)| (*path, *entry)).collect()
    };
    let mut gone: BTreeMap<Digest, Vec<&str>> = BTreeMap::new();
    for (path, entry) in files(removed).into_iter().rev() {
        gone.entry(entry.digest).or_default().push(path);
    }
    for (path, entry) in files(added) {
        let Some(from) = gone.get_mut(&entry.digest).and_then(Vec::pop) else { continue };
        removed.remove(from);
        added.remove(path);
        out.push(changed_file(path.to_owned(), FileAttribute::Renamed, Some(from.into()), Some(path.into()), false));
    }
}

fn changed(now: &Entry, then: &Entry, out: &mut Vec<MissReason>) {
    if now.digest == then.digest {
        return;
    }
    let path = now.path.clone();
    let mut push = |attribute, old: String, new: String| {
        out.push(changed_file(path.clone(), attribute, Some(old), Some(new), false));
    };
    if now.kind != then.kind {
        return push(FileAttribute::Kind, then.kind.word().into(), now.kind.word().into());
    }
    let mut found = false;
    if now.mode != then.mode {
        push(FileAttribute::Mode, format!("{:04o}", then.mode), format!("{:04o}", now.mode));
        found = true;
    }
    if (now.uid, now.gid) != (then.uid, then.gid) {
        push(FileAttribute::Owner, format!("{}:{}", then.uid, then.gid), format!("{}:{}", now.uid, now.gid));
        found = true;
    }
    if now.link != then.link {
        let text = |link: &Option<String>| link.clone().unwrap_or_default();
        push(FileAttribute::LinkTarget, text(&then.link), text(&now.link));
        found = true;
    }
    if now.xattrs != then.xattrs {
        let names = |e: &Entry| match e.xattrs.as_slice() {
            [] => "none".to_owned(),
            some => some.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" "),
        };
        push(FileAttribute::Xattr, names(then), names(now));
        found = true;
    }
    // The record covers header and bytes in one: with an equal header only the bytes are left.
    if !found || now.size != then.size {
        push(FileAttribute::Content, then.digest.to_string(), now.digest.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::context::entry::fixtures::*;

    struct Nothing;
    impl Evidence for Nothing {
        fn tree(&self, _: &Digest) -> Option<Arc<[Entry]>> {
            None
        }
        fn ignored_then(&self, path: &str) -> bool {
            path == "secret"
        }
        fn ignored_now(&self, _: &str) -> bool {
            false
        }
    }

    fn codes(new: &[Entry], old: &[Entry]) -> Vec<(String, &'static str)> {
        compare(new, old, &Nothing).iter().map(|r| (path_of(r).to_owned(), r.code())).collect()
    }

    #[test]
    fn each_attribute_has_its_code() {
        let mut executable = file("same", "x");
        executable.mode = 0o755;
        executable.digest = Digest::of("other header");
        let old = [file("a", "1"), file("gone", "2"), file("from", "3"), file("same", "x"), link("l", "x")];
        let new =
            [file("a", "9"), file("new", "4"), file("to", "3"), executable, link("l", "y"), file("secret", "5"), dir("d")];
        let want = [
            ("a", "M2"),
            ("d", "M3"),
            ("gone", "M4"),
            ("l", "M8"),
            ("new", "M3"),
            ("same", "M6"),
            ("secret", "M10"),
            ("to", "M5"),
        ];
        assert_eq!(codes(&new, &old), want.map(|(path, code)| (path.to_owned(), code)));
    }

    #[test]
    fn a_variable_that_the_command_does_not_read_is_said_to_be_unread() {
        let variable = |value: &str| {
            vec![Variable { name: "V".into(), value: value.into(), origin: crate::engine::graph::op::VariableOrigin::Arg }]
        };
        let mut out = Vec::new();
        variables(&variable("2"), &variable("1"), &["echo hello".into()], &mut out);
        assert_eq!(out.len(), 1);
        assert!(out[0].to_string().contains("does not mention V"), "{}", out[0]);
        assert_eq!(out[0].code(), "M15");
    }
}

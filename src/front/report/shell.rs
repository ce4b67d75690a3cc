//! What is said about a shell: where it stands, and what it changed.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::document;
use crate::engine::protocol::{Change, ChangeKind};
use crate::engine::{ShellEnd, ShellSession, Side};
use crate::front::text;

/// So many paths are listed as lines.
const LISTED: usize = 200;

/// Where a shell stands. Errors: of the writer.
pub fn introduction(out: &mut dyn Write, session: &ShellSession) -> io::Result<()> {
    let state = match (session.side, session.is_failed()) {
        (Side::Before, _) => "before",
        (Side::After, true) => "as it was left by the failed",
        (Side::After, false) => "after",
    };
    let (user, directory) = session.user_and_directory();
    writeln!(out, "{state} {}", text::line(&session.place))?;
    writeln!(out, "{} in {}; what is written here is thrown away when you leave", text::line(user), text::line(directory))?;
    if !session.caches().is_empty() {
        let caches = session.caches().join(", ");
        writeln!(out, "but cache mounts are those of the builds, and keep what is written: {}", text::line(&caches))?;
    }
    if !session.missing_secrets().is_empty() {
        let missing = session.missing_secrets().join(", ");
        writeln!(out, "secrets that were not given with --secret are not here: {}", text::line(&missing))?;
    }
    Ok(())
}

/// What a shell changed, as lines. Errors: of the writer.
pub fn plain(out: &mut dyn Write, end: &ShellEnd) -> io::Result<()> {
    for change in end.changes.listed.iter().take(LISTED) {
        writeln!(out, "{}", row(change))?;
    }
    let shown = end.changes.listed.len().min(LISTED) as u64;
    match end.changes.count().saturating_sub(shown) {
        0 => {}
        more => writeln!(out, "and {more} more paths")?,
    }
    writeln!(out, "{}", summary(end))
}

/// One sentence.
pub fn summary(end: &ShellEnd) -> String {
    let changes = &end.changes;
    let how = match (end.cancelled, end.code) {
        (true, _) => "the shell was ended".to_owned(),
        (false, 0) => "the shell was left".to_owned(),
        (false, code) => format!("the shell was left with code {code}"),
    };
    match changes.count() {
        0 => format!("{how}; it changed nothing"),
        _ => format!(
            "{how}; {} added, {} changed, {} deleted, all thrown away",
            changes.added, changes.changed, changes.deleted
        ),
    }
}

fn row(change: &Change) -> String {
    let slash = if change.directory { "/" } else { "" };
    let path = format!("{}{slash}", text::line(&change.path));
    let size = |bytes: Option<u64>| bytes.map(text::size);
    let (sign, size) = match change.kind {
        ChangeKind::Added => ('+', size(change.after)),
        ChangeKind::Deleted => ('-', size(change.before)),
        ChangeKind::Changed => match (size(change.before), size(change.after)) {
            (Some(before), Some(after)) if before != after => ('~', Some(format!("{before} to {after}"))),
            (_, after) => ('~', after),
        },
    };
    format!("{sign} {path}{}", size.map(|size| format!("  {size}")).unwrap_or_default())
}

/// `{"schema":1,"step":…,"code":…,"changes":[…]}`. Errors: of the writer.
pub fn json(out: &mut dyn Write, session: &ShellSession, end: &ShellEnd) -> io::Result<()> {
    let changes: Vec<Value> = end.changes.listed.iter().map(value).collect();
    let side = if session.side == Side::Before { "before" } else { "after" };
    let (user, directory) = session.user_and_directory();
    document::json(
        out,
        &json!({
            "schema": 1, "step": session.place, "line": session.line, "side": side, "failed": session.is_failed(),
            "user": user, "directory": directory, "caches": session.caches(),
            "missing_secrets": session.missing_secrets(),
            "code": end.code, "cancelled": end.cancelled,
            "added": end.changes.added, "changed": end.changes.changed, "deleted": end.changes.deleted,
            "changes": changes,
        }),
    )
}

fn value(change: &Change) -> Value {
    json!({
        "path": change.path, "kind": change.kind, "directory": change.directory,
        "before": change.before, "after": change.after,
    })
}

//! `replay`, plain and JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::document::json as write_json;
use super::table;
use crate::front::text;
use crate::insight::workbench::replay::{Blame, BuildRow, CommitRow, Replay, Share, Totals};

/// Commits and files that are listed.
const LISTED: usize = 10;

/// The sums, the dearest commits, the files to blame, the assumptions; with `each`, every commit. Errors: of the writer.
pub fn plain(out: &mut dyn Write, replay: &Replay, each: bool) -> io::Result<()> {
    let timed = replay.has_times;
    if each {
        for row in &replay.commits {
            writeln!(out, "{}", commit_line(row, timed))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{} commits, {} builds after the first one", replay.commits.len(), replay.present.builds)?;
    totals(out, replay)?;
    dearest(out, replay)?;
    blamed(out, "files to blame", &replay.present.blame, timed)?;
    if let Some(proposed) = &replay.proposed {
        blamed(out, "files to blame with the proposed Dockerfile", &proposed.blame, timed)?;
    }
    writeln!(out, "\ntaken for granted:")?;
    for sentence in &replay.assumptions {
        writeln!(out, "- {}", text::line(sentence))?;
    }
    let taken = replay.replayed_in_micros;
    writeln!(out, "\nreplayed in {}; nothing was checked out or built", text::seconds(taken))
}

fn totals(out: &mut dyn Write, replay: &Replay) -> io::Result<()> {
    let row = |name: &str, totals: &Totals| {
        vec![
            name.to_owned(),
            totals.hits.to_string(),
            totals.ran.to_string(),
            totals.possible.to_string(),
            totals.idle.to_string(),
            totals.failed.to_string(),
            time(totals.micros, replay.has_times),
            time(totals.possible_micros, replay.has_times),
            totals.untimed.to_string(),
        ]
    };
    let mut rows = vec![row("of each commit", &replay.present)];
    rows.extend(replay.proposed.as_ref().map(|totals| row("proposed", totals)));
    let head = ["Dockerfile", "hits", "ran", "if new", "idle", "failed", "seconds", "if new", "untimed"];
    table::write(out, &head, &rows)?;
    if let Some(proposed) = replay.proposed.as_ref().filter(|_| replay.has_times) {
        let (now, then) = (replay.present.micros, proposed.micros);
        let word = if then <= now { "less" } else { "more" };
        let each = now.abs_diff(then) / u64::try_from(replay.present.builds.max(1)).unwrap_or(1);
        writeln!(out, "proposed: {} {word}, {} a build", text::seconds(now.abs_diff(then)), text::seconds(each))?;
    }
    Ok(())
}

/// Without times on record there is nothing to say.
fn time(micros: u64, timed: bool) -> String {
    if timed { text::seconds(micros) } else { "-".into() }
}

fn dearest(out: &mut dyn Write, replay: &Replay) -> io::Result<()> {
    let mut rows: Vec<&CommitRow> =
        replay.commits.iter().filter(|row| row.skipped.is_none() && !row.first && row.present.ran > 0).collect();
    rows.sort_by_key(|row| (std::cmp::Reverse(row.present.micros), std::cmp::Reverse(row.present.ran)));
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\ndearest commits:")?;
    for row in rows.into_iter().take(LISTED) {
        writeln!(out, "{}", commit_line(row, replay.has_times))?;
    }
    Ok(())
}

/// `1a2b3c4d5e  3 hits, 4 ran 12.3s; proposed 6 hits, 1 ran 0.4s  a subject`.
fn commit_line(row: &CommitRow, timed: bool) -> String {
    let (id, subject) = (text::line(&row.commit).chars().take(10).collect::<String>(), text::line(&row.subject));
    if let Some(why) = &row.skipped {
        return format!("{id}  left out: {}  {subject}", text::line(why.lines().next().unwrap_or("")));
    }
    let build = |build: &BuildRow| {
        let failed = if build.failed > 0 { format!(", {} fail", build.failed) } else { String::new() };
        let taken = if timed { format!(" {}", text::seconds(build.micros)) } else { String::new() };
        format!("{} hits, {} ran{failed}{taken}", build.hits, build.ran)
    };
    let proposed = row.proposed.as_ref().map(|row| format!("; proposed {}", build(row))).unwrap_or_default();
    let first = if row.first { " (the first)" } else { "" };
    format!("{id}  {}{proposed}{first}  {subject}", build(&row.present))
}

fn sorted(blame: &Blame) -> Vec<(&String, Share)> {
    let mut files: Vec<(&String, Share)> = blame.iter().map(|(file, share)| (file, *share)).collect();
    files.sort_by_key(|(_, share)| std::cmp::Reverse((share.micros, share.builds)));
    files
}

fn blamed(out: &mut dyn Write, title: &str, blame: &Blame, timed: bool) -> io::Result<()> {
    let files = sorted(blame);
    if files.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title} (the time of what several changed is split evenly):")?;
    let rows: Vec<Vec<String>> = files
        .into_iter()
        .take(LISTED)
        .map(|(file, share)| vec![time(share.micros, timed), share.builds.to_string(), file.clone()])
        .collect();
    table::write(out, &["seconds", "builds", "file"], &rows)
}

/// `{"schema":1,"dockerfile":…,"present":{…},"proposed":{…}|null,"commits":[…],"assumptions":[…],"replayed_in_seconds":…}`.
/// Errors: of the writer.
pub fn json(out: &mut dyn Write, replay: &Replay) -> io::Result<()> {
    let seconds = |micros: u64| micros as f64 / 1e6;
    let blame = |blame: &Blame| -> Vec<Value> {
        sorted(blame)
            .into_iter()
            .map(|(file, share)| json!({"path": file, "builds": share.builds, "seconds": seconds(share.micros)}))
            .collect()
    };
    let totals = |totals: &Totals| {
        json!({
            "builds": totals.builds, "idle": totals.idle, "failed": totals.failed, "hits": totals.hits, "ran": totals.ran,
            "if_new": totals.possible, "seconds": seconds(totals.micros), "if_new_seconds": seconds(totals.possible_micros),
            "untimed": totals.untimed, "blame": blame(&totals.blame),
        })
    };
    let build = |row: &BuildRow| {
        let steps: Vec<Value> = row.lines.iter().map(|(line, result)| json!({"line": line, "result": result})).collect();
        json!({
            "hits": row.hits, "ran": row.ran, "if_new": row.possible, "failed": row.failed, "seconds": seconds(row.micros),
            "if_new_seconds": seconds(row.possible_micros), "untimed": row.untimed, "blame": blame(&row.blame),
            "steps": steps,
        })
    };
    let commits: Vec<Value> = replay
        .commits
        .iter()
        .map(|row| {
            json!({
                "commit": row.commit, "time": row.time, "subject": row.subject, "left_out": row.skipped,
                "first": row.first,
                "present": row.skipped.is_none().then(|| build(&row.present)),
                "proposed": row.proposed.as_ref().map(build),
            })
        })
        .collect();
    let document = json!({
        "schema": 1,
        "dockerfile": replay.dockerfile,
        "present": totals(&replay.present),
        "proposed": replay.proposed.as_ref().map(totals),
        "commits": commits,
        "has_times": replay.has_times,
        "assumptions": replay.assumptions,
        "replayed_in_seconds": seconds(replay.replayed_in_micros),
    });
    write_json(out, &document)
}

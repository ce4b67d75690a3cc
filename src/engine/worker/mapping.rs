//! Ids for a worker without root: it enters a user namespace, and the front, which is still outside, has `newuidmap` and
//! `newgidmap` write what the user's lines in `/etc/subuid` and `/etc/subgid` allow. Where that cannot be had, the worker has
//! the user's own id alone, as root inside: builds work until something belongs to somebody else.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{getegid, geteuid};
use serde::{Deserialize, Serialize};

use crate::ground::fs::error::describe;

/// What a worker says first when it was told to map.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Hello {
    /// It is in its user namespace and waits for the ids.
    Unshared,
    /// It has none, and says why when it is asked for something.
    Refused,
}

/// The front's answer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Mapped {
    /// What is worth knowing about the ids.
    pub notes: Vec<String>,
}

/// A program that takes longer is stopped.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ranges of ids outside: first, and how many.
type Ranges = Vec<(u32, u32)>;

/// Writes the maps of the worker `pid`. Errors: not even the user's own id could be mapped.
pub(super) fn map(pid: u32) -> io::Result<Mapped> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let name = user_name(&std::fs::read_to_string("/etc/passwd").unwrap_or_default(), uid);
    let mut mapped = Mapped::default();
    for kind in [&USERS, &GROUPS] {
        let own = if kind.of_groups { gid } else { uid };
        let text = std::fs::read_to_string(kind.table).unwrap_or_default();
        let ranges = allowed(&text, name.as_deref(), uid, own);
        let failed = if ranges.is_empty() {
            Some(format!("{} has no range for this user", kind.table))
        } else {
            run(kind.program, pid, own, &ranges).err()
        };
        if let Some(why) = failed {
            alone(kind, pid, own)?;
            let whose = if kind.of_groups { "group" } else { "user" };
            mapped.notes.push(format!("only the own {whose} id can be used: {why}; a chown to another one fails"));
        }
    }
    Ok(mapped)
}

/// The two maps of a user namespace.
struct Kind {
    of_groups: bool,
    table: &'static str,
    program: &'static str,
    map: &'static str,
}

const USERS: Kind = Kind { of_groups: false, table: "/etc/subuid", program: "newuidmap", map: "uid_map" };
const GROUPS: Kind = Kind { of_groups: true, table: "/etc/subgid", program: "newgidmap", map: "gid_map" };

/// The own id alone, as 0.
fn alone(kind: &Kind, pid: u32, own: u32) -> io::Result<()> {
    let folder = Path::new("/proc").join(pid.to_string());
    if kind.of_groups {
        // The kernel asks for this: dropping a group could otherwise open what the group is kept out of.
        std::fs::write(folder.join("setgroups"), "deny")?;
    }
    std::fs::write(folder.join(kind.map), format!("0 {own} 1"))
}

/// The ranges of a user's lines, by name or number, without those that overlap what is before them or the own id.
///
/// Source: `subuid(5)`.
fn allowed(table: &str, name: Option<&str>, uid: u32, own: u32) -> Ranges {
    let mut out = Ranges::new();
    for line in table.lines() {
        let mut fields = line.split(':');
        let whose = fields.next().unwrap_or("");
        if Some(whose) != name && whose != uid.to_string() {
            continue;
        }
        let number = |field: Option<&str>| field.and_then(|text| text.trim().parse::<u32>().ok());
        let (Some(first), Some(count)) = (number(fields.next()), number(fields.next())) else { continue };
        let Some(end) = first.checked_add(count).filter(|_| count > 0) else { continue };
        let overlaps = |from: u32, length: u32| first < from + length && from < end;
        if !overlaps(own, 1) && !out.iter().any(|(from, length)| overlaps(*from, *length)) {
            out.push((first, count));
        }
    }
    out
}

/// The name of an id in a passwd table.
fn user_name(table: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(uid.as_str())).then(|| name.to_owned())
    };
    table.lines().find_map(of_line)
}

/// Has `newuidmap` or `newgidmap` write the map: the own id is 0, then the ranges one after the other. Errors: in words.
fn run(program: &str, pid: u32, own: u32, ranges: &Ranges) -> Result<(), String> {
    let mut args = vec![pid, 0, own, 1];
    let mut inside = 1u32;
    for (first, count) in ranges {
        args.extend([inside, *first, *count]);
        inside = inside.saturating_add(*count);
    }
    let mut command = Command::new(program);
    command.args(args.iter().map(u32::to_string)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("`{program}` cannot be started: {}", describe(&error)))?;
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("`{program}` did not end within {} seconds", PATIENCE.as_secs()));
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    let _ = child.stderr.take().map(|pipe| pipe.take(4096).read_to_string(&mut said));
    let said = said.trim().escape_debug().to_string();
    Err(format!("`{program}` failed ({status}){}{said}", if said.is_empty() { "" } else { ": " }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e18_ranges_of_a_user_by_name_and_number_without_overlaps() {
        let table =
            "eve:1:5\nann:100000:65536\n1000:300000:10\nann:165000:100\nann:999:3\nann:x:1\nann:5:0\nann:4294967295:9\n";
        assert_eq!(allowed(table, Some("ann"), 1000, 1000), [(100_000, 65536), (300_000, 10)]);
        assert_eq!(allowed(table, None, 1000, 1000), [(300_000, 10)]);
        assert_eq!(allowed("", Some("ann"), 1000, 1000), []);
        assert_eq!(user_name("root:x:0:0::/:\nann:x:1000:1000::/:\n", 1000).as_deref(), Some("ann"));
        assert_eq!(user_name("ann:x:1000:", 7), None);
    }

    #[test]
    fn e18_a_program_that_is_missing_or_fails_is_named() {
        let said = run("newuidmap-is-not-here", 1, 2, &vec![(3, 4)]).unwrap_err();
        assert!(said.contains("newuidmap-is-not-here") && said.contains("ENOENT"), "{said}");
        assert!(run("false", 1, 2, &vec![(3, 4)]).unwrap_err().contains("failed"));
    }
}

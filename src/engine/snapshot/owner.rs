//! Users and groups by the image's own `/etc/passwd` and `/etc/group`, read as untrusted files inside the root: no NSS, regular
//! files only, at most 10 MiB (the rule of BuildKit and runc).

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags};

use super::failure::{During, user};
use crate::engine::protocol::Failure;
use crate::ground::fs::RootDir;

const MAX_TABLE: u64 = 10 << 20;
/// The largest id runtimes take; beyond it ids wrap in one program or another.
const MAX_ID: u32 = i32::MAX as u32;

/// As whom a process runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessUser {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory; `/` when the image names none.
    pub home: String,
}

struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

enum Id {
    Number(u32),
    Name(String),
}

/// Digits are always a number and never looked up as a name: a line `4294967296:x:0:0` must not make a root out of it.
fn id(text: &str) -> Result<Id, Failure> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Id::Name(text.to_owned()));
    }
    let canonical = text == "0" || !text.starts_with(['0', '-', '+']);
    match text.parse::<u32>() {
        Ok(number) if canonical && number <= MAX_ID => Ok(Id::Number(number)),
        _ => Err(user(format!("user or group id `{}` is outside of 0 to {MAX_ID}", text.escape_debug()))),
    }
}

/// `USER` for a process: `user[:group]`; empty is root.
pub fn process_user(root: &RootDir, spec: &str) -> Result<ProcessUser, Failure> {
    let (name, group) = spec.split_once(':').map_or((spec, ""), |(name, group)| (name, group));
    if name.is_empty() && !spec.is_empty() {
        return Err(user(format!("user `{}` has no name before the colon", spec.escape_debug())));
    }
    let name = if name.is_empty() { "0" } else { name };
    let wanted = id(name)?;
    let accounts = accounts(root);
    let found = match (&wanted, &accounts) {
        (Id::Number(uid), Ok(accounts)) => accounts.iter().find(|a| a.uid == *uid),
        // A number needs no table, so a broken one does not stand in its way.
        (Id::Number(_), Err(_)) => None,
        (Id::Name(name), Ok(accounts)) => Some(
            accounts
                .iter()
                .find(|a| a.name == *name)
                .ok_or_else(|| user(format!("user `{}` is not in the image's `/etc/passwd`", name.escape_debug())))?,
        ),
        (Id::Name(_), Err(failure)) => return Err(failure.clone()),
    };
    let mut out = ProcessUser { home: "/".into(), ..ProcessUser::default() };
    if let Id::Number(uid) = wanted {
        out.uid = uid;
    }
    if let Some(account) = found {
        (out.uid, out.gid) = (account.uid, account.gid);
        if account.home.starts_with('/') {
            out.home.clone_from(&account.home);
        }
    }
    if !group.is_empty() {
        out.gid = group_id(root, group)?;
    } else if let Some(account) = found {
        let groups = groups(root).unwrap_or_default();
        out.groups = groups.iter().filter(|g| g.members.contains(&account.name)).map(|g| g.gid).collect();
    }
    Ok(out)
}

/// The owner that `--chown` or, of a WORKDIR's directory, USER names: `user[:group]`. A number alone is the group too, a name
/// alone brings its own group, `root` and nothing at all are 0. `root` is what is there: none stands for `scratch`, and then
/// there is nothing to look a name up in.
///
/// A name that the image does not know counts for nothing: an unknown user is 0:0, an unknown group leaves that of the user.
/// Seen with docker 28.5, which refuses names on scratch and with `--link`. Numbers out of range are refused here, where BuildKit
/// takes them for names and thereby for root.
///
/// Source: BuildKit `parseUID`, `client/llb/fileop.go`; `readUser`, `solver/llbsolver/file/user_linux.go`.
pub fn owner(root: Option<&RootDir>, spec: &str) -> Result<(u32, u32), Failure> {
    let (name, group) = spec.split_once(':').map_or((spec, None), |(name, group)| (name, Some(group)));
    let (uid, gid) = match owner_id(name)? {
        Id::Number(uid) => (uid, uid),
        Id::Name(name) => {
            accounts(known(root, &name)?)?.into_iter().find(|a| a.name == name).map_or((0, 0), |a| (a.uid, a.gid))
        }
    };
    match group.map(owner_id).transpose()? {
        None => Ok((uid, gid)),
        Some(Id::Number(gid)) => Ok((uid, gid)),
        Some(Id::Name(name)) => {
            let found = groups(known(root, &name)?)?.into_iter().find(|g| g.name == name);
            Ok((uid, found.map_or(gid, |g| g.gid)))
        }
    }
}

fn owner_id(text: &str) -> Result<Id, Failure> {
    if matches!(text, "" | "root") { Ok(Id::Number(0)) } else { id(text) }
}

fn known<'a>(root: Option<&'a RootDir>, name: &str) -> Result<&'a RootDir, Failure> {
    let name = name.escape_debug();
    root.ok_or_else(|| {
        user(format!("`{name}` cannot be looked up: on scratch there is no `/etc/passwd`; give the id as a number"))
    })
}

fn group_id(root: &RootDir, name: &str) -> Result<u32, Failure> {
    match id(name)? {
        Id::Number(gid) => Ok(gid),
        Id::Name(name) => groups(root)?
            .into_iter()
            .find(|g| g.name == name)
            .map(|g| g.gid)
            .ok_or_else(|| user(format!("group `{}` is not in the image's `/etc/group`", name.escape_debug()))),
    }
}

/// Lines whose ids do not parse are left out, as the C library does.
fn accounts(root: &RootDir) -> Result<Vec<Account>, Failure> {
    let text = table(root, "/etc/passwd")?;
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|n| !n.is_empty())?.to_owned();
        let uid = fields.nth(1)?.parse().ok().filter(|id| *id <= MAX_ID)?;
        let gid = fields.next()?.parse().ok().filter(|id| *id <= MAX_ID)?;
        Some(Account { name, uid, gid, home: fields.nth(1).unwrap_or("").to_owned() })
    };
    Ok(text.lines().filter_map(line).collect())
}

fn groups(root: &RootDir) -> Result<Vec<Group>, Failure> {
    let text = table(root, "/etc/group")?;
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|n| !n.is_empty())?.to_owned();
        let gid = fields.nth(1)?.parse().ok().filter(|id| *id <= MAX_ID)?;
        let members = fields.next().unwrap_or("").split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
        Some(Group { name, gid, members })
    };
    Ok(text.lines().filter_map(line).collect())
}

/// A missing table is an empty one.
fn table(root: &RootDir, path: &str) -> Result<String, Failure> {
    let at = match root.open_in(Path::new(path), OFlags::PATH) {
        Ok(fd) => fd,
        Err(error) if matches!(error.raw_os_error(), Some(2 | 20)) => return Ok(String::new()),
        Err(error) => return Err(error).during("open", path),
    };
    let stat = rustix::fs::fstat(&at).during("open", path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(user(format!("the image's `{path}` is not a regular file")));
    }
    let too_large = || user(format!("the image's `{path}` is larger than {} MiB", MAX_TABLE >> 20));
    if u64::try_from(stat.st_size).unwrap_or(u64::MAX) > MAX_TABLE {
        return Err(too_large());
    }
    // Opened again through the descriptor: the file that was looked at, whatever the name means by now.
    let mut bytes = Vec::new();
    let file = File::open(format!("/proc/self/fd/{}", at.as_fd().as_raw_fd())).during("open", path)?;
    file.take(MAX_TABLE + 1).read_to_end(&mut bytes).during("read", path)?;
    if bytes.len() as u64 > MAX_TABLE {
        return Err(too_large());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn image() -> (tempfile::TempDir, RootDir) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("usr/etc")).unwrap();
        symlink("/usr/etc", dir.path().join("etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1001::/home/bob:\n4294967296:x:0:0:::\n";
        std::fs::write(dir.path().join("usr/etc/passwd"), passwd).unwrap();
        std::fs::write(dir.path().join("usr/etc/group"), "root:x:0:\nwheel:x:10:bob,eve\nstaff:x:50:\n").unwrap();
        let root = RootDir::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn s15_names_inside_the_root() {
        let (_dir, root) = image();
        let bob = process_user(&root, "bob").unwrap();
        assert_eq!((bob.uid, bob.gid, bob.groups, bob.home.as_str()), (1000, 1001, vec![10], "/home/bob"));
        let staff = process_user(&root, "1000:staff").unwrap();
        assert_eq!((staff.uid, staff.gid, staff.groups), (1000, 50, vec![]));
        assert_eq!(process_user(&root, "").unwrap().home, "/root");
        assert_eq!(process_user(&root, "7").unwrap().gid, 0);
    }

    #[test]
    fn s16_overflowing_ids_are_refused() {
        let (_dir, root) = image();
        for bad in ["2147483648", "4294967295", "4294967296", "-1", "0x0", " 0", "00", ":1", "1:4294967296", "nobody"] {
            assert!(process_user(&root, bad).is_err(), "{bad}");
        }
        for bad in ["2147483648", "4294967295", "4294967296", "-1", "00", "bob:4294967296"] {
            assert!(owner(Some(&root), bad).is_err(), "{bad}");
        }
    }

    /// What docker 28.5 gives for each.
    #[test]
    fn an_owner_that_the_image_does_not_know_is_root() {
        let (_dir, root) = image();
        let by_image = |spec: &str| owner(Some(&root), spec).unwrap();
        assert_eq!(
            (by_image("bob"), by_image("bob:0"), by_image("7"), by_image("7:staff")),
            ((1000, 1001), (1000, 0), (7, 7), (7, 50))
        );
        assert_eq!((by_image("nobody"), by_image("nobody:nobody"), by_image("nobody:3")), ((0, 0), (0, 0), (0, 3)));
        assert_eq!((by_image("bob:nobody"), by_image("7:nobody"), by_image("1:2:3")), ((1000, 1001), (7, 7), (1, 1)));
        assert_eq!((by_image(":7"), by_image("7:"), by_image("root:root")), ((0, 7), (7, 0), (0, 0)));
    }

    #[test]
    fn on_scratch_only_numbers_and_root_are_owners() {
        let on_scratch = |spec: &str| owner(None, spec).ok();
        assert_eq!(
            (on_scratch("5"), on_scratch("root:root"), on_scratch("5:6")),
            (Some((5, 5)), Some((0, 0)), Some((5, 6)))
        );
        assert_eq!((on_scratch("bob"), on_scratch("5:staff"), on_scratch("bob:6")), (None, None, None));
    }

    #[test]
    fn s14_tables_that_are_no_small_files() {
        let (dir, root) = image();
        let passwd = dir.path().join("usr/etc/passwd");
        std::fs::remove_file(&passwd).unwrap();
        File::create(&passwd).unwrap().set_len(2 << 30).unwrap();
        assert!(process_user(&root, "bob").unwrap_err().message.contains("larger than"));
        std::fs::remove_file(&passwd).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &passwd, FileType::Fifo, 0o644.into(), 0).unwrap();
        assert!(process_user(&root, "bob").unwrap_err().message.contains("not a regular file"));
        assert_eq!(process_user(&root, "5").unwrap().uid, 5);
    }
}

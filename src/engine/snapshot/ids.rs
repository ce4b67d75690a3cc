//! The ids of this worker: those of the machine, or those that a user namespace gives it. Which of the two decides how overlayfs
//! marks its directories, and so what the layers of a store look like.

use std::fs;
use std::io;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// Ids that lie side by side: inside, outside, how many.
pub type Range = (u32, u32, u32);

/// What a process sees of the machine's ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// User ids.
    pub users: Vec<Range>,
    /// Group ids.
    pub groups: Vec<Range>,
}

/// The whole space of ids, as the first user namespace has it.
const ALL: Range = (0, 0, u32::MAX);

impl Ids {
    /// Those of this process. They are settled before the first request, so they are read once.
    pub fn current() -> &'static Self {
        static IDS: OnceLock<Ids> = OnceLock::new();
        IDS.get_or_init(|| {
            let ranges = |name: &str| ranges(&fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default());
            Self { users: ranges("uid_map"), groups: ranges("gid_map") }
        })
    }

    /// Whether these are not the machine's own. Without a map to read (no `/proc`) they are taken for those.
    pub fn are_mapped(&self) -> bool {
        !self.users.is_empty() && self.users != [ALL]
    }

    /// Whether there is only one user to be.
    pub fn are_single(&self) -> bool {
        self.are_mapped() && self.users.iter().map(|range| range.2).sum::<u32>() == 1
    }

    /// Whether everything that `earlier` could own has the same owner here.
    pub fn extend(&self, earlier: &Self) -> bool {
        let within = |now: &[Range], then: &[Range]| {
            then.iter().all(|then| now.iter().any(|now| now.0 == then.0 && now.1 == then.1 && now.2 >= then.2))
        };
        within(&self.users, &earlier.users) && within(&self.groups, &earlier.groups)
    }
}

/// The lines of a map file.
fn ranges(text: &str) -> Vec<Range> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(inside)), Some(Ok(outside)), Some(Ok(count))) => Some((inside, outside, count)),
            _ => None,
        }
    };
    text.lines().filter_map(line).collect()
}

/// An id that this build has not got.
#[derive(Debug, thiserror::Error)]
#[error("{what} {id} is not one of this build's ids, which are {have}")]
pub struct Unmapped {
    what: &'static str,
    id: u32,
    have: String,
}

/// How a user gets more ids.
pub const MORE_IDS: &str = "give the user a range in /etc/subuid and /etc/subgid (usermod --add-subuids 100000-165535 \
                            --add-subgids 100000-165535 NAME), install newuidmap, and use a new store; or build as root";

/// The kernel says EINVAL to an id without a map; this says which one.
pub fn unmapped(uid: u32, gid: u32) -> Option<io::Error> {
    let ids = Ids::current();
    let has = |ranges: &[Range], id: u32| ranges.iter().any(|range| id >= range.0 && id - range.0 < range.2);
    let (what, id, ranges) = match (has(&ids.users, uid), has(&ids.groups, gid)) {
        _ if !ids.are_mapped() => return None,
        (false, _) => ("user", uid, &ids.users),
        (true, false) => ("group", gid, &ids.groups),
        (true, true) => return None,
    };
    Some(io::Error::new(io::ErrorKind::InvalidInput, Unmapped { what, id, have: shown(ranges) }))
}

/// `0 to 65536`.
pub fn shown(ranges: &[Range]) -> String {
    let one = |range: &Range| format!("{} to {}", range.0, range.0.saturating_add(range.2.saturating_sub(1)));
    ranges.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_map_extends_a_shorter_one_only_where_owners_stay() {
        let ids = |ranges: &[Range]| Ids { users: ranges.to_vec(), groups: ranges.to_vec() };
        let single = ids(&[(0, 1000, 1)]);
        let full = ids(&[(0, 1000, 1), (1, 100_000, 65536)]);
        assert!(full.extend(&single) && full.extend(&full));
        assert!(!single.extend(&full) && !ids(&[(0, 1001, 1)]).extend(&single));
        assert!(!ids(&[(0, 1000, 1), (1, 200_000, 65536)]).extend(&full));
        assert!(single.are_single() && !full.are_single() && full.are_mapped());
        assert_eq!(ranges("         0          0 4294967295\n"), [ALL]);
        assert_eq!(shown(&full.users), "0 to 0, 1 to 65536");
    }
}

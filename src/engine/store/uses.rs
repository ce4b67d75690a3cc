//! When results and cache mounts were used last, and by which line of which Dockerfile. Written once a build, at its end.

use std::collections::BTreeMap;

use super::{Index, StoreError};

/// A place in a Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Shown path of the Dockerfile.
    pub dockerfile: String,
    /// Line, from 1.
    pub line: u32,
    /// The instruction on one line.
    pub instruction: String,
}

/// The last use of something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Use {
    /// Microseconds since 1970.
    pub used: u64,
    /// By so many builds.
    pub count: u64,
    /// Where.
    pub place: Place,
}

/// A cache mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheMount {
    /// Its id, as Dockerfiles name it.
    pub id: String,
    /// Microseconds since 1970.
    pub used: u64,
    /// By so many builds.
    pub count: u64,
    /// The steps that mounted it, with the time of the last one's use (microseconds since 1970).
    pub users: Vec<(Place, u64)>,
}

/// What one build used.
#[derive(Debug, Clone, Default)]
pub struct Used {
    /// Results by name.
    pub results: Vec<(String, Place)>,
    /// Cache mounts that steps of this build mounted: name, id, step.
    pub mounts: Vec<(String, String, Place)>,
}

impl Index {
    /// Notes what a build used. `now` in microseconds since 1970.
    pub fn put_uses(&self, now: u64, used: &Used) -> Result<(), StoreError> {
        let now = now as i64;
        self.transact(|db| {
            let mut result = db.prepare(
                "insert into uses values (?1, ?2, 1, ?3, ?4, ?5) on conflict (result) do update set
                 used = ?2, count = count + 1, dockerfile = ?3, line = ?4, instruction = ?5",
            )?;
            for (id, place) in &used.results {
                result.execute((id, now, &place.dockerfile, place.line, &place.instruction))?;
            }
            let mut mount = db.prepare(
                "insert into cache_mounts values (?1, ?2, ?3, 1)
                 on conflict (name) do update set used = ?3, count = count + 1",
            )?;
            let mut user = db.prepare("insert or replace into mount_users values (?1, ?2, ?3, ?4, ?5)")?;
            for (name, id, place) in &used.mounts {
                mount.execute((name, id, now))?;
                user.execute((name, &place.dockerfile, place.line, &place.instruction, now))?;
            }
            Ok(())
        })
    }

    /// The uses of all results, by their names.
    pub fn uses(&self) -> Result<BTreeMap<String, Use>, StoreError> {
        self.with(|db| {
            let mut query = db.prepare("select result, used, count, dockerfile, line, instruction from uses")?;
            let rows = query.query_map([], |row| {
                let place = Place { dockerfile: row.get(3)?, line: row.get(4)?, instruction: row.get(5)? };
                let (used, count) = (row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64);
                Ok((row.get(0)?, Use { used, count, place }))
            })?;
            rows.collect()
        })
    }

    /// All cache mounts that builds have used, by the names of their folders.
    pub fn cache_mounts(&self) -> Result<BTreeMap<String, CacheMount>, StoreError> {
        self.with(|db| {
            let mut query = db.prepare("select name, id, used, count from cache_mounts")?;
            let mount = |row: &rusqlite::Row<'_>| {
                let (used, count) = (row.get::<_, i64>(2)? as u64, row.get::<_, i64>(3)? as u64);
                Ok((row.get(0)?, CacheMount { id: row.get(1)?, used, count, users: Vec::new() }))
            };
            let mut mounts: BTreeMap<String, CacheMount> = query.query_map([], mount)?.collect::<rusqlite::Result<_>>()?;
            let mut query =
                db.prepare("select name, dockerfile, line, instruction, used from mount_users order by used desc, line")?;
            let user = |row: &rusqlite::Row<'_>| {
                let place = Place { dockerfile: row.get(1)?, line: row.get(2)?, instruction: row.get(3)? };
                Ok((row.get::<_, String>(0)?, place, row.get::<_, i64>(4)? as u64))
            };
            for row in query.query_map([], user)? {
                let (name, place, used) = row?;
                if let Some(mount) = mounts.get_mut(&name) {
                    mount.users.push((place, used));
                }
            }
            Ok(mounts)
        })
    }
}

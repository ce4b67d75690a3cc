//! WORKDIR: `mkdir -p` with an owner.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::failure::During;
use super::{Layers, metadata, owner};
use crate::engine::event::LayerStat;
use crate::engine::oci::LayerId;
use crate::engine::protocol::Failure;
use crate::ground::fs::{Missing, RealPath};

/// Answers `Request::MakeDirectory`. Links are followed inside the root; what exists is left as it is.
pub fn make_directory(
    layers: &Layers,
    id: &LayerId,
    parents: &[LayerId],
    path: &str,
    user: Option<&str>,
    timestamp: Option<u64>,
) -> Result<LayerStat, Failure> {
    if let Some(stat) = layers.stat(id)? {
        return Ok(stat);
    }
    let work = layers.work_dir(parents)?;
    let root = layers.writable(parents, &work)?;
    let image = (!parents.is_empty()).then_some(&root);
    let (uid, gid) = user.map_or(Ok((0, 0)), |user| owner::owner(image, user))?;
    let mut made: Vec<RealPath> = Vec::new();
    let mut dress = |dir: BorrowedFd<'_>, path: &RealPath| -> io::Result<()> {
        made.push(path.clone());
        metadata::chown(dir, b".", uid, gid)?;
        metadata::chmod(dir, b".", 0o755)
    };
    root.resolve(path.as_bytes(), Missing::Make(&mut dress)).during("create", path)?;
    if let Some(seconds) = timestamp.and_then(|seconds| i64::try_from(seconds).ok()) {
        for path in made.iter().rev() {
            let dir = root.open_dir(path).during("open", path.absolute())?;
            metadata::set_times(dir.as_fd(), b".", (seconds, 0)).during("set the time of", path.absolute())?;
        }
    }
    drop(root);
    layers.commit(&work, id)
}

//! What a run needs in its root without the layer getting it: mount points that the image lacks go into a layer of their own
//! on top of the image's, below the upper. So nothing has to be removed afterwards, and no clean-up can be led astray by links.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::volumes::Volume;
use crate::engine::protocol::{EntryKind, Failure, ProcessSpec};
use crate::engine::snapshot::failure::{During, user};
use crate::engine::snapshot::layers::WorkDir;
use crate::engine::snapshot::metadata;
use crate::ground::fs::error::describe;
use crate::ground::fs::{Missing, RealPath, RootDir};

/// Files that are bound over the image's own, and the layer with missing mount points, if there are any.
pub struct Provided {
    /// Source on the machine, real path in the root.
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// A layer directory.
    pub stubs: Option<PathBuf>,
}

/// Looks at what `view` has and prepares the rest in `work`.
pub fn provide(
    view: &RootDir,
    work: &WorkDir,
    process: &ProcessSpec,
    resolvers: Vec<u8>,
    volumes: &[Volume],
) -> Result<Provided, Failure> {
    let stubs = work.path().join("stubs");
    let mut needed = false;
    for name in ["proc", "dev", "sys"] {
        match metadata::lstat(view.fd(), name.as_bytes()).during("look at", name)?.as_ref().map(metadata::kind) {
            Some(Some(EntryKind::Directory)) => {}
            // These three stay in the layer, as they do where runc makes them.
            None => make_dir(&work.upper().join(name), 0o755)?,
            Some(_) => {
                return Err(user(format!("the image's `/{name}` is not a directory, so nothing can run on it")));
            }
        }
    }
    let mut binds = Vec::new();
    for (name, text) in [("resolv.conf", resolvers), ("hosts", hosts(process))] {
        let path = Path::new("/etc").join(name);
        // An image in which the name leads nowhere sensible (a loop, a file for a directory) goes without.
        let Ok(real) = view.resolve(path.as_os_str().as_encoded_bytes(), Missing::Keep) else { continue };
        match there(view, &real) {
            Some(EntryKind::File) => {}
            None => {
                needed = true;
                stub(view, &stubs, &real)?;
            }
            Some(_) => continue,
        }
        let source = work.path().join(name);
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o644).open(&source);
        file.as_mut()
            .map_err(|e| std::io::Error::from(e.kind()))
            .and_then(|f| f.write_all(&text))
            .during("write", &source)?;
        binds.push((source, real.absolute()));
    }
    for volume in volumes {
        needed |= mount_point(view, &stubs, volume)?;
    }
    Ok(Provided { binds, stubs: needed.then_some(stubs) })
}

/// Makes a mount point where the image has none. True when it did.
fn mount_point(view: &RootDir, stubs: &Path, volume: &Volume) -> Result<bool, Failure> {
    let shown = volume.target.escape_debug();
    let real = view.resolve(volume.target.as_bytes(), Missing::Keep);
    let real = real.map_err(|e| user(format!("`{shown}` cannot be the target of a mount: {}", describe(&e))))?;
    match (there(view, &real), volume.is_directory) {
        (Some(EntryKind::Directory), true) | (Some(EntryKind::File), false) => Ok(false),
        (Some(_), true) => Err(user(format!("a folder cannot be mounted over `{shown}`, which is none"))),
        (Some(_), false) => Err(user(format!("a file cannot be mounted over `{shown}`, which is none"))),
        (None, false) => stub(view, stubs, &real).map(|()| true),
        (None, true) => {
            stub(view, stubs, &real.join(b"x"))?;
            let inside = stubs.join(real.relative()).join("x");
            fs::remove_file(&inside).during("remove", &inside)?;
            Ok(true)
        }
    }
}

fn there(view: &RootDir, real: &RealPath) -> Option<EntryKind> {
    let dir = view.open_dir(&real.parent()).ok()?;
    metadata::kind(&metadata::lstat(dir.as_fd(), real.name()?).ok()??)
}

/// An empty file at `real`, in directories that look like those of the image: as the upper lower layer they are what shows.
fn stub(view: &RootDir, stubs: &Path, real: &RealPath) -> Result<(), Failure> {
    let mut here = RealPath::default();
    let parent = real.parent();
    for name in parent.names() {
        here = here.join(name);
        let path = stubs.join(here.relative());
        make_dir(&path, 0o755)?;
        let Ok(dir) = view.open_dir(&here) else { continue };
        let stat = rustix::fs::fstat(&dir).during("look at", here.absolute())?;
        let own = File::open(&path).during("open", &path)?;
        metadata::chown(own.as_fd(), b".", stat.st_uid, stat.st_gid).during("change the owner of", &path)?;
        metadata::chmod(own.as_fd(), b".", stat.st_mode).during("change the mode of", &path)?;
        let xattrs = metadata::xattrs(&metadata::proc_path(dir.as_fd(), b".")).during("look at", here.absolute())?;
        metadata::set_xattrs(&path, &xattrs).during("set the attributes of", &path)?;
    }
    let path = stubs.join(real.relative());
    File::options().write(true).create(true).truncate(false).mode(0o644).open(&path).during("create", &path)?;
    let mut here = parent;
    while here.name().is_some() {
        if let Ok(stat) = view.open_dir(&here).and_then(|dir| Ok(rustix::fs::fstat(&dir)?)) {
            let own = File::open(stubs.join(here.relative())).during("open", here.absolute())?;
            let time = (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0));
            metadata::set_times(own.as_fd(), b".", time).during("set the time of", here.absolute())?;
        }
        here = here.parent();
    }
    Ok(())
}

fn make_dir(path: &Path, mode: u32) -> Result<(), Failure> {
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).during("create", path)
}

fn hosts(process: &ProcessSpec) -> Vec<u8> {
    let own = format!("127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n", process.hostname);
    process.hosts.iter().fold(own, |text, (name, address)| format!("{text}{address}\t{name}\n")).into_bytes()
}

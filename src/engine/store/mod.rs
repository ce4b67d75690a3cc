//! What is kept on disk: blobs, the index, images. The hard rule: blobs and records appear complete, after they are synced;
//! the index never names what is not there.

pub mod build;
pub mod content;
pub mod image;
pub mod index;
pub mod lease;
pub mod ledger;
pub mod uses;

use std::path::{Path, PathBuf};

pub use build::BuildRow;
pub use content::ContentStore;
pub use image::ImageRecord;
pub use index::Index;
pub use lease::{Lease, Leased};

use crate::ground::fs::{PathError, PathResultExt};
use crate::ground::hint::Hint;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The index refused.
    #[error("the index of the store `{store}` failed: {source}")]
    Index {
        /// Shown path.
        store: String,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// It belongs to somebody else.
    #[error("the store `{store}` belongs to the user {owner}, and this program runs as {own}")]
    Owner {
        /// Shown path.
        store: String,
        /// User id of its folder.
        owner: u32,
        /// Ours.
        own: u32,
    },
    /// A later version made it.
    #[error("the store `{store}` has format {found}, this program knows {known}")]
    Format {
        /// Shown path.
        store: String,
        /// Found.
        found: String,
        /// Known.
        known: u32,
    },
    /// What was read is not what its digest or size says.
    #[error("{what} does not match its description: {why}")]
    Mismatch {
        /// The blob.
        what: String,
        /// Expected and found.
        why: String,
    },
}

impl Hint for StoreError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Path(error) => error.hint(),
            Self::Index { source, store } => match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => {
                    Some("free space and run the same command again, finished steps are kept".into())
                }
                Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => {
                    Some("check its owner and mode, or choose another place with --store".into())
                }
                Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                    let index = Path::new(store).join("index.db");
                    let index = index.display().to_string().escape_debug().to_string();
                    Some(format!(
                        "it is damaged: move `{index}` away; the next build begins with an empty cache, and `rbuild-tui prune` \
                         takes what the old one left"
                    ))
                }
                _ => Some("choose another place with --store".into()),
            },
            Self::Owner { .. } => Some("use it as that user, or choose another place with --store".into()),
            Self::Format { .. } => Some("use the newer program, or choose another place with --store".into()),
            Self::Mismatch { .. } => {
                Some("it is damaged: get it again, or take it away with `rbuild-tui check --repair` and build again".into())
            }
        }
    }
}

/// Where everything lies.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a build: its event log and the output of its steps.
    pub fn build(&self, id: &str) -> PathBuf {
        self.root.join("builds").join(id)
    }

    /// The stat index of a context.
    pub fn stat_index(&self, context: &Path) -> PathBuf {
        let name = crate::ground::digest::Digest::of(context.as_os_str().as_encoded_bytes()).hex();
        self.root.join("context").join(&name[..32])
    }

    /// What rewrites of the files of a project replaced.
    pub fn backups(&self, project: &str) -> PathBuf {
        self.root.join("backups").join(project)
    }

    /// The folders of cache mounts.
    pub fn caches(&self) -> PathBuf {
        self.root.join("caches")
    }

    /// Files of servers and repositories.
    pub fn fetched(&self) -> PathBuf {
        self.root.join("fetched")
    }

    /// Where builds under way say what they use.
    pub fn leases(&self) -> PathBuf {
        self.root.join("leases")
    }

    /// The lock of a step.
    pub fn lock(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(name)
    }

    /// The directory of a layer.
    pub fn layer(&self, id: &crate::engine::oci::LayerId) -> PathBuf {
        self.root.join("layers").join(id.as_str())
    }
}

/// The store: a folder that several processes may use at once.
pub struct Store {
    /// Paths.
    pub layout: Layout,
    /// Blobs.
    pub content: ContentStore,
    /// Everything that is not a blob.
    pub index: Index,
    /// It is on disk; false for the empty view of a store that nobody has made yet.
    pub is_made: bool,
}

impl Store {
    /// Opens or makes a store. Errors: not writable, or of another format.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        check_owner(root)?;
        let first = !root.exists();
        for name in ["", "blobs/sha256", "layers", "tmp", "context", "builds", "locks", "leases", "fetched"] {
            let path = root.join(name);
            std::fs::create_dir_all(&path).at("create", &path)?;
        }
        if first {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o700)).at("set the mode of", root)?;
        }
        let root = root.canonicalize().at("open", root)?;
        let index = Index::open(&root)?;
        sweep_locks(&root.join("locks"));
        Ok(Self { content: ContentStore::new(&root), layout: Layout { root }, index, is_made: true })
    }
}

impl Store {
    /// Opens a store to look at it, also where nothing can be written or where it belongs to somebody else. Whoever writes to
    /// it all the same gets an error of its index. Where there is none yet, none is made: it is an empty view. Errors: as of
    /// [`Store::open`], when it cannot be read either.
    pub fn open_to_read(root: &Path) -> Result<Self, StoreError> {
        if !is_there(root) {
            let root = std::path::absolute(root).at("open", root)?;
            let index = Index::nowhere(&root)?;
            return Ok(Self { content: ContentStore::new(&root), layout: Layout { root }, index, is_made: false });
        }
        Self::open(root).or_else(|error| {
            let unwritable = match &error {
                StoreError::Path(error) => matches!(error.source.raw_os_error(), Some(1 | 13 | 30)),
                StoreError::Index { source, .. } => matches!(
                    source.sqlite_error_code(),
                    Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen)
                ),
                StoreError::Owner { .. } => true,
                StoreError::Format { .. } | StoreError::Mismatch { .. } => false,
            };
            if !unwritable || !root.join("index.db").exists() {
                return Err(error);
            }
            let root = root.canonicalize().at("open", root)?;
            let index = Index::read_only(&root)?;
            Ok(Self { content: ContentStore::new(&root), layout: Layout { root }, index, is_made: true })
        })
    }
}

/// Whether there is a store, or what is no folder in its place: what [`Store::open`] would not make.
pub fn is_there(root: &Path) -> bool {
    // What cannot be looked at is left to who opens it.
    let is_there = |path: &Path| match path.symlink_metadata() {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    // A folder of something else is no store; one that has lost its index still is.
    if root.is_dir() { ["index.db", "layers"].iter().any(|name| is_there(&root.join(name))) } else { is_there(root) }
}

/// A store is one user's: what another one writes in it the first could neither read nor remove. Nothing is changed before
/// this is known.
fn check_owner(root: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::geteuid().as_raw();
    match std::fs::metadata(root) {
        Ok(found) if found.uid() != own => {
            Err(StoreError::Owner { store: root.display().to_string().escape_debug().to_string(), owner: found.uid(), own })
        }
        _ => Ok(()),
    }
}

impl Store {
    /// Taken by whatever puts blobs or layers in before something names them.
    pub fn lease(&self) -> Result<Lease, StoreError> {
        Ok(Lease::take(&self.layout.leases())?)
    }
}

/// Removes the locks of builders that were killed. Whoever opens such a file meanwhile finds that it has no name any more,
/// and makes a new one. What cannot be removed is in nobody's way.
fn sweep_locks(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if let Ok(file) = std::fs::File::open(&path)
            && file.try_lock().is_ok()
        {
            let _ = std::fs::remove_file(&path);
        }
    }
}

//! What a process is run with: its settings, what is mounted into its root, and its network.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::settings::{Limits, Ulimit};
use crate::engine::oci::LayerId;

/// A process on a root file system: a subset of what the OCI runtime specification says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`, complete and in order.
    pub env: Vec<String>,
    /// Absolute; made if it is missing (as runtimes do).
    pub cwd: String,
    /// `user[:group]`, names or numbers, looked up in the image; empty means root.
    pub user: String,
    /// Host name inside.
    pub hostname: String,
    /// The network.
    pub network: Network,
    /// `--mount`, sorted by target.
    #[serde(default)]
    pub mounts: Vec<MountSpec>,
    /// Further lines of /etc/hosts: name and address.
    #[serde(default)]
    pub hosts: Vec<(String, String)>,
    /// Resource limits.
    #[serde(default)]
    pub ulimits: Vec<Ulimit>,
    /// Limits of the control group.
    #[serde(default)]
    pub limits: Limits,
    /// `--security=insecure`: all rights of the worker, nothing hidden.
    #[serde(default)]
    pub insecure: bool,
}

/// Something mounted into a step's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Absolute; made if it is missing, without a trace in the layer.
    pub target: String,
    /// Writes are refused.
    pub read_only: bool,
    /// What is there.
    pub content: MountContent,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MountContent {
    /// A path of a chain; what is written is lost.
    Layers {
        /// Lowest first.
        layers: Vec<LayerId>,
        /// In it; links are followed inside.
        path: String,
    },
    /// A folder of the store.
    Cache {
        /// Its name: hex digits.
        name: String,
        /// Who else may use it meanwhile.
        sharing: CacheSharing,
        /// What a new one holds: a path of a chain.
        seed: Option<(Vec<LayerId>, String)>,
        /// What of it is shown; links are followed inside. Empty: all of it.
        path: String,
        /// Owner of a new one.
        uid: u32,
        /// Group of a new one.
        gid: u32,
        /// Mode of a new one.
        mode: u32,
    },
    /// Memory.
    Tmpfs {
        /// Bytes.
        size: Option<u64>,
    },
    /// A socket whose connections are passed on to another one, as long as the process runs.
    Socket {
        /// The other one, on the machine.
        to: PathBuf,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Mode.
        mode: u32,
    },
    /// A file in memory.
    File {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Mode.
        mode: u32,
    },
}

/// Who may use a cache folder at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheSharing {
    /// All at once.
    Shared,
    /// Each its own: the next one gets another folder.
    Private,
    /// One after the other.
    Locked,
}

/// What network a process sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The machine's.
    Host,
    /// A name space with nothing but loopback.
    None,
    /// A name space of its own, whose way out is a program in user space.
    Isolated,
}

//! The process that owns the mount namespace (rootless: the user namespace too), and its protocol. It alone mounts, unpacks,
//! commits, diffs, removes and executes. It dies on end-of-file of its socket and takes everything with it.

pub mod protocol;

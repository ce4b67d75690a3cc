//! Runs one process on a mounted root: namespaces, mounts, users, network, terminal. Each RUN is a further re-executed,
//! single-threaded process. The only `unsafe` of the house lives here.

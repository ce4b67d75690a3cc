//! placeholder until the worker branch lands
use super::protocol::{Reply, Request};
use std::os::fd::OwnedFd;
pub struct Worker;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct WorkerError;
impl Worker {
    pub fn call(&self, _: Request, _: Vec<OwnedFd>) -> Result<Reply, WorkerError> {
        Err(WorkerError)
    }
}

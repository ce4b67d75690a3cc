//! Frames on a stream socket: length, number, count of descriptors, then JSON. Descriptors travel with the first byte.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Descriptors that a frame may carry.
const MAX_FDS: usize = 64;
/// A frame's length is limited so that a broken peer cannot ask for all memory.
const MAX_FRAME: u32 = 1 << 30;
const HEADER: usize = 12;

/// What is received: the frame's number, the message, its descriptors.
pub type Frame<T> = (u64, T, Vec<OwnedFd>);

/// Sends a message. Only one thread may send on a socket at a time.
pub fn send<T: Serialize>(socket: impl AsFd, id: u64, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|n| *n <= MAX_FRAME).ok_or(io::ErrorKind::InvalidInput)?;
    let mut frame = Vec::with_capacity(HEADER + body.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&id.to_le_bytes());
    frame.extend_from_slice(&body);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut sent = 0;
    while sent < frame.len() {
        match rustix::net::sendmsg(&socket, &[IoSlice::new(&frame[sent..])], &mut control, SendFlags::NOSIGNAL) {
            Ok(length) => {
                sent += length;
                control.clear();
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Receives a message; `None` at the end.
pub fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<Frame<T>>> {
    let mut header = [0; HEADER];
    let mut fds = Vec::new();
    if !fill(&socket, &mut header, &mut fds)? {
        return Ok(None);
    }
    let [a, b, c, d, id @ ..] = header;
    let length = u32::from_le_bytes([a, b, c, d]);
    if length > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length as usize];
    if !body.is_empty() && !fill(&socket, &mut body, &mut fds)? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((u64::from_le_bytes(id), serde_json::from_slice(&body)?, fds)))
}

/// Reads exactly `buffer`; false if the stream ends before its first byte.
fn fill(socket: &impl AsFd, buffer: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut buffer[filled..])];
        match rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) if message.bytes == 0 && filled == 0 => return Ok(false),
            Ok(message) if message.bytes == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(message) => filled += message.bytes,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
    }
    Ok(true)
}

//! A terminal for the process of a shell. It is made inside, on the `devpts` of its own namespace, so that it has a name
//! there and none of the machine's terminals is within reach; the outer end goes to whoever shows it.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Gid, Uid};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{InputModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

use crate::engine::protocol::{Opened, TerminalSize, frame};

/// Opens a terminal as the controlling one of this session, sends its outer end over `out`, and returns three descriptors of
/// the inner one. Call as root, in the new root, after `setsid`.
pub fn open(out: &OwnedFd, size: TerminalSize, uid: u32) -> io::Result<Vec<OwnedFd>> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let outer = openpt(flags)?;
    unlockpt(&outer)?;
    // By the descriptor, not by a path.
    let inner = ioctl_tiocgptpeer(&outer, flags)?;
    tcsetwinsize(&inner, Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 })?;
    let mut modes = tcgetattr(&inner)?;
    // Erasing takes away a whole character.
    modes.input_modes |= InputModes::IUTF8;
    tcsetattr(&inner, OptionalActions::Now, &modes)?;
    // A step's user may open its terminal by name, as `screen` and `su` do.
    rustix::fs::fchown(&inner, Some(Uid::from_raw(uid)), None::<Gid>)?;
    rustix::process::ioctl_tiocsctty(&inner)?;
    frame::send(out, 0, &Opened, &[std::os::fd::AsFd::as_fd(&outer)])?;
    Ok(vec![inner.try_clone()?, inner.try_clone()?, inner])
}

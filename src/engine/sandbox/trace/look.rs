//! Looks at one system call: reads the path out of the program's memory, finds out what it names, and notes it.

use std::borrow::Cow;
use std::os::fd::OwnedFd;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::calls::{ARCH, Call, Follow, Path, meaning};
use super::interpreter::interpreter;
use super::proc::{DELETED, Door, Threads, Through, has_ended, link, through};
use super::settle::is_at_or_below;
use super::sys::{self, Notification};
use super::touched::{Known, Touched, Use};
use super::walk::{Place, Walked, walk, without_links};
use crate::engine::reads::Incomplete;

/// The kernel takes no longer path.
const PATH_MAX: usize = 4096;
/// So much of a path is read first: few are longer.
const FIRST: usize = 256;
const PAGE: u64 = 4096;
const AT_FDCWD: i32 = -100;
/// Bytes of a `struct mmsghdr`, and how many of them the kernel takes at once.
const MESSAGE: u64 = 64;
const MAX_MESSAGES: u64 = 1024;
/// Interpreters of interpreters that are followed; the kernel stops at five, too.
const MAX_INTERPRETERS: usize = 5;

/// A path that a call names.
struct Named {
    /// The directory from which it is written, as the kernel writes it; empty for an absolute one.
    base: Vec<u8>,
    /// The whole path, as the program wrote it.
    path: Vec<u8>,
    /// Real path of what is `/` for the program; empty when that is the step's root.
    top: Vec<u8>,
    /// Whether a link at its end is followed.
    follow: bool,
}

impl Named {
    /// Whether it may lead up from where it is written.
    fn leads_up(&self) -> bool {
        self.path.get(self.base.len()..).is_some_and(|rest| rest.split(|b| *b == b'/').any(|name| name == b".."))
    }

    /// By this it is known whether it was seen: for another root the same path may mean something else.
    fn key(&self) -> Cow<'_, [u8]> {
        match self.top.as_slice() {
            b"" => Cow::Borrowed(&self.path),
            top => Cow::Owned([top, b"\0", &self.path].concat()),
        }
    }
}

/// One who looks.
pub struct Looker<'a> {
    /// Where calls come from.
    pub listener: &'a OwnedFd,
    /// The step's root.
    pub root: &'a OwnedFd,
    /// What was seen.
    pub touched: &'a mut Touched,
    /// Some process has another root than the step: each call is asked for its own.
    pub other_roots: &'a mut bool,
    /// Folders in `/proc` of threads that called.
    pub threads: &'a mut Threads,
}

impl Looker<'_> {
    /// Notes what a call will do. Whatever goes wrong is noted, too: the call goes on in any case.
    pub fn look(&mut self, call: &Notification) {
        if call.arch != ARCH {
            self.touched.incomplete.insert(Incomplete::ForeignArchitecture);
            return;
        }
        self.touched.calls(call.pid, has_ended);
        let number = u32::try_from(call.number).unwrap_or(u32::MAX);
        let Some(meaning) = meaning(number) else { return };
        match meaning {
            Call::Open(path, flags) => self.open(call, path, call.args[flags]),
            Call::OpenHow(path, how) => {
                // `struct open_how`: flags, mode, resolve.
                const IN_ROOT: u64 = 0x10;
                let mut bytes = [0; 24];
                let read = sys::read_memory(call.pid, call.args[how], &mut bytes);
                let word = |at: usize| bytes[at..at + 8].iter().rev().fold(0u64, |sum, b| sum << 8 | u64::from(*b));
                match read {
                    Ok(24) if word(16) & IN_ROOT == 0 => self.open(call, path, word(0)),
                    // What `/` means there only the program knows.
                    Ok(24) => self.unreadable(call),
                    _ => {}
                }
            }
            Call::Create(path) => self.open(call, path, CREAT | TRUNC | 1),
            Call::Look(path) => self.note(call, path, Use::Look),
            Call::RemoveFolder(path) => self.note(call, path, Use::List),
            Call::Unlink(path, flags) => {
                let folder = flags.is_some_and(|flags| call.args[flags] & REMOVE_FOLDER != 0);
                if let Some(named) = self.named(call, path, false) {
                    self.resolve(call, &named, if folder { Use::List } else { Use::Look });
                    self.touched.forget_file(&named.key());
                }
            }
            Call::Move(from, to, flags) => {
                let exchange = flags.is_some_and(|flags| call.args[flags] & EXCHANGE != 0);
                self.note(call, from, Use::Move);
                // A directory is replaced only if nothing is in it.
                self.note(call, to, if exchange { Use::Move } else { Use::List });
                self.touched.forget_seen(call.pid);
            }
            Call::Link(path) => {
                if let Some(named) = self.named(call, path, false) {
                    self.resolve(call, &named, Use::Look);
                    // Where nothing is looked at, a way into the image would not be seen.
                    if matches!(walk(self.root, &named.top, &named.path, false).place, Place::Outside(_)) {
                        self.unreadable(call);
                    }
                }
                self.touched.forget_seen(call.pid);
            }
            Call::Execute(path) => self.note(call, path, Use::Execute),
            Call::List => self.list(call),
            Call::Root(path) => {
                self.note(call, path, Use::Look);
                *self.other_roots = true;
                self.touched.forget_seen(call.pid);
            }
            Call::Connect(at) => self.address(call, call.args[at], call.args[at + 1]),
            Call::Message(at) => self.message(call, call.args[at]),
            Call::Messages(at) => {
                let count = call.args[at + 1].min(MAX_MESSAGES);
                (0..count).for_each(|nth| self.message(call, call.args[at].wrapping_add(nth * MESSAGE)));
            }
            Call::Listen => {
                self.touched.incomplete.insert(Incomplete::SecondListener);
            }
            Call::Ring => {}
        }
    }

    fn open(&mut self, call: &Notification, path: Path, flags: u64) {
        let writes = flags & 3 != 0;
        let as_is = flags & NOFOLLOW != 0 || flags & (CREAT | EXCL) == CREAT | EXCL;
        let path = if as_is { Path { follow: Follow::No, ..path } } else { path };
        // A file that is emptied gives nothing of what it held; one that is written to without that keeps the rest of it.
        let how = if flags & PATH_ONLY != 0 || (writes && flags & TRUNC != 0) { Use::Look } else { Use::Read };
        self.note(call, path, how);
    }

    /// A descriptor's directory.
    fn list(&mut self, call: &Notification) {
        let directory = match self.threads.link(call.pid, Door::Descriptor(call.args[0] as i32)) {
            Ok(Some(directory)) => directory,
            Ok(None) => return,
            Err(_) => return self.unreadable(call),
        };
        let (path, base, top) = (directory.clone(), directory, Vec::new());
        self.resolve(call, &Named { base, path, top, follow: false }, Use::List);
    }

    fn note(&mut self, call: &Notification, path: Path, how: Use) {
        // A link can be made of what a descriptor is open on.
        let of_descriptor = how == Use::Execute || matches!(path.follow, Follow::When(_));
        if let Some(named) = self.named(call, path, of_descriptor) {
            self.resolve(call, &named, how);
        }
    }

    /// The path that a call names. None: there is none, or the call is gone.
    fn named(&mut self, call: &Notification, path: Path, of_descriptor: bool) -> Option<Named> {
        let mut first = [0; FIRST];
        let given = self.string(call, call.args[path.path], &mut first)?;
        let top = if *self.other_roots { self.threads.link(call.pid, Door::Root) } else { Ok(Some(Vec::new())) };
        let Ok(top) = top else {
            self.unreadable(call);
            return None;
        };
        let top = top.map(|top| if top == b"/" { Vec::new() } else { top })?;
        let descriptor = |at: usize| Door::Descriptor(call.args[at] as i32);
        let base = match (given.first(), path.directory) {
            (None, Some(at)) if call.args[at] as i32 == AT_FDCWD => self.threads.link(call.pid, Door::Directory),
            // Of the descriptor itself: it was looked at when it was opened; but executing it is news, or linking it.
            (None, Some(at)) if of_descriptor => self.threads.link(call.pid, descriptor(at)),
            (None, _) => return None,
            (Some(b'/'), _) => Ok(Some(top.clone())),
            (_, Some(at)) if call.args[at] as i32 != AT_FDCWD => self.threads.link(call.pid, descriptor(at)),
            _ => self.threads.link(call.pid, Door::Directory),
        };
        let base = match base {
            Ok(base) => base?,
            Err(_) => {
                self.unreadable(call);
                return None;
            }
        };
        let follow = match path.follow {
            Follow::Yes => true,
            Follow::No => false,
            Follow::Unless(at) => call.args[at] & 0x100 == 0,
            Follow::When(at) => call.args[at] & 0x400 != 0,
        };
        let path = if given.is_empty() { base.clone() } else { [base.as_slice(), b"/", &given].concat() };
        Some(Named { base, path, top, follow })
    }

    /// Notes what a path names.
    fn resolve(&mut self, call: &Notification, named: &Named, how: Use) {
        let Named { base, path, top, follow } = named;
        let known = self.touched.known(how, *follow, &named.key());
        // Where nothing is to be noted, it does not matter whose path it is.
        if known == Known::Whole || !sys::still_waits(self.listener, call.id) {
            return;
        }
        self.touched.saw(how, *follow, &named.key());
        // Programs look at a file before they open it: the second time nothing need be found out.
        if let (Known::PlainFile, Use::Look | Use::Read, Some(real)) = (known, how, without_links(path)) {
            return self.touched.found(real, how);
        }
        let mut gone = base.ends_with(DELETED) && matches!(walk(self.root, top, base, true).place, Place::Missing(_));
        let mut path = Cow::Borrowed(path);
        // Through `/proc` a path may lead back: once, or it is somebody's game.
        for _ in 0..2 {
            let walked = walk(self.root, top, &path, *follow);
            let plain = walked.plain && matches!(path, Cow::Borrowed(_));
            match self.on_the_way(walked, base) {
                Place::There { real, fd } => {
                    let kind = rustix::fs::fstat(&fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
                    if plain && kind == Ok(FileType::RegularFile) {
                        self.touched.names_a_plain_file(&named.key());
                    }
                    return self.there(call, top, real, (&fd, kind), how);
                }
                // The kernel marks the place of a descriptor whose name is gone.
                // But from there `..` leads to where it was.
                Place::Missing(_) if gone && named.leads_up() => return self.unreadable(call),
                Place::Missing(_) if gone => return,
                Place::Missing(real) => return self.touched.lacked(real),
                Place::Unknown => return self.unreadable(call),
                Place::Outside(names) => match through(call, &names) {
                    Through::Nothing => return self.touched.forget(&named.key()),
                    Through::Unknown => return self.unreadable(call),
                    Through::Other => {
                        self.touched.incomplete.insert(Incomplete::OtherProcess);
                        return;
                    }
                    Through::Path(next) => {
                        // Each process means its own descriptors and directory.
                        self.touched.forget(&named.key());
                        gone = next.windows(DELETED.len()).any(|part| part == DELETED);
                        path = Cow::Owned(next);
                    }
                },
            }
        }
        self.touched.incomplete.insert(Incomplete::OtherProcess);
    }

    /// Notes what led to a place. A directory at or above the one that it is written from was looked at before.
    fn on_the_way(&mut self, Walked { place, links, left, .. }: Walked, base: &[u8]) -> Place {
        links.into_iter().for_each(|(link, target)| self.touched.followed(link, target));
        let known = |folder: &Vec<u8>| is_at_or_below(base.strip_prefix(b"/").unwrap_or(base), folder);
        left.into_iter().filter(|folder| !known(folder)).for_each(|folder| self.touched.found(folder, Use::Look));
        place
    }

    fn there(
        &mut self,
        call: &Notification,
        top: &[u8],
        real: Vec<u8>,
        (fd, kind): (&OwnedFd, Result<FileType, Errno>),
        how: Use,
    ) {
        match (kind, how) {
            (_, Use::Look | Use::List) | (Ok(FileType::Directory), Use::Move) => self.touched.found(real, how),
            (Ok(FileType::RegularFile), Use::Move) => self.touched.found(real, Use::Read),
            (Ok(FileType::RegularFile), Use::Execute) => {
                self.interpreters(call, top, fd);
                self.touched.found(real, how);
            }
            (Ok(FileType::RegularFile), _) => self.touched.found(real, how),
            // Opening a directory gives nothing but the look; what is listed of it comes separately. Pipes and sockets have
            // no content of their own.
            (Ok(_), _) => self.touched.found(real, Use::Look),
            (Err(_), _) => self.unreadable(call),
        }
    }

    /// The programs that the kernel opens by itself to execute this one.
    fn interpreters(&mut self, call: &Notification, top: &[u8], program: &OwnedFd) {
        let mut next = interpreter(program);
        for _ in 0..MAX_INTERPRETERS {
            let Some(path) = next.take() else { return };
            let base = if path.starts_with(b"/") { Some(top.to_vec()) } else { link(&format!("/proc/{}/cwd", call.pid)) };
            let Some(base) = base else { return self.unreadable(call) };
            let walked = walk(self.root, top, &[base.as_slice(), b"/", &path].concat(), true);
            match self.on_the_way(walked, &base) {
                Place::There { real, fd } => {
                    next = interpreter(&fd);
                    self.touched.found(real, Use::Execute);
                }
                Place::Missing(real) => self.touched.lacked(real),
                Place::Outside(_) => {}
                Place::Unknown => self.unreadable(call),
            }
        }
    }

    /// A connection, or something sent, to another machine. Those within the step and to sockets in its files are its own affair.
    fn address(&mut self, call: &Notification, at: u64, length: u64) {
        let mut address = [0; 28];
        let length = usize::try_from(length).unwrap_or(0).min(address.len());
        let Ok(read) = sys::read_memory(call.pid, at, &mut address[..length]) else { return };
        let far = match (u16::from_ne_bytes([address[0], address[1]]), read) {
            (2, 8..) => address[4] != 127,
            (10, 24..) => address[8..24] != std::net::Ipv6Addr::LOCALHOST.octets(),
            _ => false,
        };
        self.touched.connected |= far;
    }

    /// `struct msghdr` begins with the address and its length; there is none for a socket that is connected already.
    fn message(&mut self, call: &Notification, at: u64) {
        let mut head = [0; 12];
        if self.touched.connected || !matches!(sys::read_memory(call.pid, at, &mut head), Ok(12)) {
            return;
        }
        let [a, b, c, d, e, f, g, h, length @ ..] = head;
        let address = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        if address != 0 {
            self.address(call, address, u32::from_ne_bytes(length).into());
        }
    }

    /// Something could not be read. If the call does not wait any more, its process was killed, and it will not happen.
    fn unreadable(&mut self, call: &Notification) {
        if sys::still_waits(self.listener, call.id) {
            self.touched.incomplete.insert(Incomplete::Unreadable);
        }
    }

    /// A string of the program's memory. None: there is none, or none that ends; then the call fails, whatever is there.
    fn string<'f>(&mut self, call: &Notification, address: u64, first: &'f mut [u8; FIRST]) -> Option<Cow<'f, [u8]>> {
        // With AT_EMPTY_PATH that is as good as an empty one; elsewhere the call fails.
        if address == 0 {
            return Some(Cow::Borrowed(&[]));
        }
        let read = self.piece(call, address, first)?;
        if let Some(end) = first[..read].iter().position(|byte| *byte == 0) {
            return Some(Cow::Borrowed(&first[..end]));
        }
        let mut out = first[..read].to_vec();
        while out.len() < PATH_MAX {
            let filled = out.len();
            out.resize(PATH_MAX, 0);
            let read = self.piece(call, address.checked_add(filled as u64)?, &mut out[filled..])?;
            out.truncate(filled + read);
            if let Some(end) = out[filled..].iter().position(|byte| *byte == 0) {
                out.truncate(filled + end);
                return Some(Cow::Owned(out));
            }
        }
        None
    }

    /// Reads memory of the program up to the end of its page, for the next one may not be there: how much was read.
    fn piece(&mut self, call: &Notification, address: u64, into: &mut [u8]) -> Option<usize> {
        let room = usize::try_from(PAGE - address % PAGE).unwrap_or(PATH_MAX).min(into.len());
        match sys::read_memory(call.pid, address, &mut into[..room]) {
            Ok(0) => None,
            Ok(read) => Some(read),
            // No such address: the call itself fails with EFAULT.
            Err(error) if error.raw_os_error() == Some(14) => None,
            Err(_) => {
                self.unreadable(call);
                None
            }
        }
    }
}

const REMOVE_FOLDER: u64 = 0x200;
const EXCHANGE: u64 = 2;
const CREAT: u64 = 0o100;
const EXCL: u64 = 0o200;
const TRUNC: u64 = 0o1000;
const PATH_ONLY: u64 = 0o10_000_000;
#[cfg(target_arch = "x86_64")]
const NOFOLLOW: u64 = 0o400_000;
#[cfg(target_arch = "aarch64")]
const NOFOLLOW: u64 = 0o100_000;

//! The system calls that are looked at, by architecture: all that open, look up, list or execute by a path, and those whose
//! outcome tells whether a path is there. What only writes shows in the layer.

/// Where a call's path is, and whether a link at its end is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The argument with the directory's descriptor; none for the working directory.
    pub directory: Option<usize>,
    /// The argument with the path.
    pub path: usize,
    /// Whether a link at the end is followed.
    pub follow: Follow,
}

/// Whether a link at the end of a path is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Always.
    Yes,
    /// Never.
    No,
    /// Unless this argument has AT_SYMLINK_NOFOLLOW.
    Unless(usize),
    /// When this argument has AT_SYMLINK_FOLLOW.
    When(usize),
}

/// What a call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Opens; the flags are an argument.
    Open(Path, usize),
    /// Opens; the flags are in memory.
    OpenHow(Path, usize),
    /// Opens and empties.
    Create(Path),
    /// Looks at a path.
    Look(Path),
    /// Removes a directory: whether that can be done depends on its being empty.
    RemoveFolder(Path),
    /// Removes a directory when this argument has AT_REMOVEDIR, anything else when not.
    Unlink(Path, Option<usize>),
    /// Moves or links: looks at both, and paths may lead elsewhere afterwards. The two change places when this argument has
    /// RENAME_EXCHANGE.
    Move(Path, Path, Option<usize>),
    /// Makes a link: paths may lead elsewhere afterwards.
    Link(Path),
    /// Executes.
    Execute(Path),
    /// Lists the directory of a descriptor.
    List,
    /// Changes what `/` means for a process.
    Root(Path),
    /// Connects a socket to an address in memory, or sends to one; its length is the next argument.
    Connect(usize),
    /// Sends messages, each of which may have an address: `struct msghdr` in memory.
    Message(usize),
    /// Sends several: an array of `struct mmsghdr`, whose length is the next argument.
    Messages(usize),
    /// Installs a filter with a listener of its own.
    Listen,
    /// Asks for io_uring.
    Ring,
}

/// A condition beside the number: the call is looked at only if it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// Always.
    Always,
    /// These bits of an argument are set.
    With(usize, u32),
    /// An argument is not null.
    NotNull(usize),
    /// It does not go through the descriptor by which the listener itself is handed over.
    NotOnHandover,
}

/// A row: number, condition, meaning.
pub type Row = (u32, Only, Call);

const NEW_LISTENER: u32 = 8;

const fn at(path: usize, follow: Follow) -> Path {
    Path { directory: Some(path - 1), path, follow }
}

#[cfg(target_arch = "x86_64")]
const fn plain(path: usize, follow: Follow) -> Path {
    Path { directory: None, path, follow }
}

/// Of this machine's own programs.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
pub const CALLS: &[Row] = &[
    (257, Only::Always, Call::Open(at(1, Follow::Yes), 2)),                           // openat
    (262, Only::Always, Call::Look(at(1, Follow::Unless(3)))),                        // newfstatat
    (332, Only::Always, Call::Look(at(1, Follow::Unless(2)))),                        // statx
    (4, Only::Always, Call::Look(plain(0, Follow::Yes))),                             // stat
    (6, Only::Always, Call::Look(plain(0, Follow::No))),                              // lstat
    (21, Only::Always, Call::Look(plain(0, Follow::Yes))),                            // access
    (269, Only::Always, Call::Look(at(1, Follow::Yes))),                              // faccessat
    (439, Only::Always, Call::Look(at(1, Follow::Unless(3)))),                        // faccessat2
    (217, Only::Always, Call::List),                                                  // getdents64
    (89, Only::Always, Call::Look(plain(0, Follow::No))),                             // readlink
    (267, Only::Always, Call::Look(at(1, Follow::No))),                               // readlinkat
    (2, Only::Always, Call::Open(plain(0, Follow::Yes), 1)),                          // open
    (437, Only::Always, Call::OpenHow(at(1, Follow::Yes), 2)),                        // openat2
    (59, Only::Always, Call::Execute(plain(0, Follow::Yes))),                         // execve
    (322, Only::Always, Call::Execute(at(1, Follow::Unless(4)))),                     // execveat
    (85, Only::Always, Call::Create(plain(0, Follow::Yes))),                          // creat
    (78, Only::Always, Call::List),                                                   // getdents
    (80, Only::Always, Call::Look(plain(0, Follow::Yes))),                            // chdir
    (191, Only::Always, Call::Look(plain(0, Follow::Yes))),                           // getxattr
    (192, Only::Always, Call::Look(plain(0, Follow::No))),                            // lgetxattr
    (194, Only::Always, Call::Look(plain(0, Follow::Yes))),                           // listxattr
    (195, Only::Always, Call::Look(plain(0, Follow::No))),                            // llistxattr
    (464, Only::Always, Call::Look(at(1, Follow::Unless(2)))),                        // getxattrat
    (465, Only::Always, Call::Look(at(1, Follow::Unless(2)))),                        // listxattrat
    (76, Only::Always, Call::Look(plain(0, Follow::Yes))),                            // truncate
    (82, Only::Always, Call::Move(plain(0, Follow::No), plain(1, Follow::No), None)), // rename
    (264, Only::Always, Call::Move(at(1, Follow::No), at(3, Follow::No), None)),      // renameat
    (316, Only::Always, Call::Move(at(1, Follow::No), at(3, Follow::No), Some(4))),   // renameat2
    (86, Only::Always, Call::Move(plain(0, Follow::No), plain(1, Follow::No), None)), // link
    (265, Only::Always, Call::Move(at(1, Follow::When(4)), at(3, Follow::No), None)), // linkat
    (88, Only::Always, Call::Link(plain(1, Follow::No))),                             // symlink
    (266, Only::Always, Call::Link(at(2, Follow::No))),                               // symlinkat
    (87, Only::Always, Call::Unlink(plain(0, Follow::No), None)),                     // unlink
    (263, Only::Always, Call::Unlink(at(1, Follow::No), Some(2))),                    // unlinkat
    (84, Only::Always, Call::RemoveFolder(plain(0, Follow::No))),                     // rmdir
    (83, Only::Always, Call::Look(plain(0, Follow::No))),                             // mkdir
    (258, Only::Always, Call::Look(at(1, Follow::No))),                               // mkdirat
    (133, Only::Always, Call::Look(plain(0, Follow::No))),                            // mknod
    (259, Only::Always, Call::Look(at(1, Follow::No))),                               // mknodat
    (188, Only::Always, Call::Look(plain(0, Follow::Yes))),                           // setxattr
    (189, Only::Always, Call::Look(plain(0, Follow::No))),                            // lsetxattr
    (197, Only::Always, Call::Look(plain(0, Follow::Yes))),                           // removexattr
    (198, Only::Always, Call::Look(plain(0, Follow::No))),                            // lremovexattr
    (463, Only::Always, Call::Look(at(1, Follow::Unless(2)))),                        // setxattrat
    (466, Only::Always, Call::Look(at(1, Follow::Unless(2)))),                        // removexattrat
    (132, Only::Always, Call::Look(plain(0, Follow::Yes))),                           // utime
    (235, Only::Always, Call::Look(plain(0, Follow::Yes))),                           // utimes
    (261, Only::NotNull(1), Call::Look(at(1, Follow::Yes))),                          // futimesat
    (137, Only::Always, Call::Look(plain(0, Follow::Yes))),                           // statfs
    (254, Only::Always, Call::Look(plain(1, Follow::Yes))),                           // inotify_add_watch
    (90, Only::Always, Call::Look(plain(0, Follow::Yes))),                            // chmod
    (268, Only::Always, Call::Look(at(1, Follow::Yes))),                              // fchmodat
    (452, Only::Always, Call::Look(at(1, Follow::Unless(3)))),                        // fchmodat2
    (92, Only::Always, Call::Look(plain(0, Follow::Yes))),                            // chown
    (94, Only::Always, Call::Look(plain(0, Follow::No))),                             // lchown
    (260, Only::Always, Call::Look(at(1, Follow::Unless(4)))),                        // fchownat
    (280, Only::NotNull(1), Call::Look(at(1, Follow::Unless(3)))),                    // utimensat
    (303, Only::Always, Call::Look(at(1, Follow::When(4)))),                          // name_to_handle_at
    (161, Only::Always, Call::Root(plain(0, Follow::Yes))),                           // chroot
    (42, Only::Always, Call::Connect(1)),                                             // connect
    (44, Only::NotNull(4), Call::Connect(4)),                                         // sendto
    (46, Only::NotOnHandover, Call::Message(1)),                                     // sendmsg
    (307, Only::Always, Call::Messages(1)),                                           // sendmmsg
    (317, Only::With(1, NEW_LISTENER), Call::Listen),                                 // seccomp
    (425, Only::Always, Call::Ring),                                                  // io_uring_setup
];

/// The same calls of 32-bit programs: one of them is enough to know that such a program runs.
#[cfg(target_arch = "x86_64")]
pub const CALLS_32: &[u32] = &[
    5, 8, 9, 10, 11, 12, 14, 15, 16, 18, 30, 33, 38, 39, 40, 61, 83, 84, 85, 92, 99, 102, 106, 107, 141, 182, 193, 195, 196,
    198, 212, 220, 226, 227, 229, 230, 232, 233, 235, 236, 268, 271, 292, 295, 296, 297, 298, 299, 300, 301, 302, 303, 304,
    305, 306, 307, 320, 341, 345, 353, 358, 362, 369, 370, 383, 412, 425, 437, 439, 452, 463, 464, 465, 466,
];

/// Of this machine's own programs.
#[cfg(target_arch = "aarch64")]
#[rustfmt::skip]
pub const CALLS: &[Row] = &[
    (56, Only::Always, Call::Open(at(1, Follow::Yes), 2)),                            // openat
    (79, Only::Always, Call::Look(at(1, Follow::Unless(3)))),                         // newfstatat
    (291, Only::Always, Call::Look(at(1, Follow::Unless(2)))),                        // statx
    (48, Only::Always, Call::Look(at(1, Follow::Yes))),                               // faccessat
    (439, Only::Always, Call::Look(at(1, Follow::Unless(3)))),                        // faccessat2
    (61, Only::Always, Call::List),                                                   // getdents64
    (78, Only::Always, Call::Look(at(1, Follow::No))),                                // readlinkat
    (437, Only::Always, Call::OpenHow(at(1, Follow::Yes), 2)),                        // openat2
    (221, Only::Always, Call::Execute(Path { directory: None, path: 0, follow: Follow::Yes })), // execve
    (281, Only::Always, Call::Execute(at(1, Follow::Unless(4)))),                     // execveat
    (49, Only::Always, Call::Look(Path { directory: None, path: 0, follow: Follow::Yes })), // chdir
    (8, Only::Always, Call::Look(Path { directory: None, path: 0, follow: Follow::Yes })), // getxattr
    (9, Only::Always, Call::Look(Path { directory: None, path: 0, follow: Follow::No })), // lgetxattr
    (11, Only::Always, Call::Look(Path { directory: None, path: 0, follow: Follow::Yes })), // listxattr
    (12, Only::Always, Call::Look(Path { directory: None, path: 0, follow: Follow::No })), // llistxattr
    (464, Only::Always, Call::Look(at(1, Follow::Unless(2)))),                        // getxattrat
    (465, Only::Always, Call::Look(at(1, Follow::Unless(2)))),                        // listxattrat
    (45, Only::Always, Call::Look(Path { directory: None, path: 0, follow: Follow::Yes })), // truncate
    (38, Only::Always, Call::Move(at(1, Follow::No), at(3, Follow::No), None)),       // renameat
    (276, Only::Always, Call::Move(at(1, Follow::No), at(3, Follow::No), Some(4))),   // renameat2
    (37, Only::Always, Call::Move(at(1, Follow::When(4)), at(3, Follow::No), None)),  // linkat
    (36, Only::Always, Call::Link(at(2, Follow::No))),                                // symlinkat
    (35, Only::Always, Call::Unlink(at(1, Follow::No), Some(2))),                     // unlinkat
    (33, Only::Always, Call::Look(at(1, Follow::No))),                                // mknodat
    (5, Only::Always, Call::Look(Path { directory: None, path: 0, follow: Follow::Yes })),// setxattr
    (6, Only::Always, Call::Look(Path { directory: None, path: 0, follow: Follow::No })),// lsetxattr
    (14, Only::Always, Call::Look(Path { directory: None, path: 0, follow: Follow::Yes })),// removexattr
    (15, Only::Always, Call::Look(Path { directory: None, path: 0, follow: Follow::No })),// lremovexattr
    (463, Only::Always, Call::Look(at(1, Follow::Unless(2)))),                        // setxattrat
    (466, Only::Always, Call::Look(at(1, Follow::Unless(2)))),                        // removexattrat
    (43, Only::Always, Call::Look(Path { directory: None, path: 0, follow: Follow::Yes })),// statfs
    (27, Only::Always, Call::Look(Path { directory: None, path: 1, follow: Follow::Yes })),// inotify_add_watch
    (34, Only::Always, Call::Look(at(1, Follow::No))),                                // mkdirat
    (53, Only::Always, Call::Look(at(1, Follow::Yes))),                               // fchmodat
    (452, Only::Always, Call::Look(at(1, Follow::Unless(3)))),                        // fchmodat2
    (54, Only::Always, Call::Look(at(1, Follow::Unless(4)))),                         // fchownat
    (88, Only::NotNull(1), Call::Look(at(1, Follow::Unless(3)))),                     // utimensat
    (264, Only::Always, Call::Look(at(1, Follow::When(4)))),                          // name_to_handle_at
    (51, Only::Always, Call::Root(Path { directory: None, path: 0, follow: Follow::Yes })), // chroot
    (203, Only::Always, Call::Connect(1)),                                            // connect
    (206, Only::NotNull(4), Call::Connect(4)),                                        // sendto
    (211, Only::NotOnHandover, Call::Message(1)),                                    // sendmsg
    (269, Only::Always, Call::Messages(1)),                                           // sendmmsg
    (277, Only::With(1, NEW_LISTENER), Call::Listen),                                 // seccomp
    (425, Only::Always, Call::Ring),                                                  // io_uring_setup
];

/// What the kernel calls this machine's own calls.
#[cfg(target_arch = "x86_64")]
pub const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub const ARCH: u32 = 0xc000_00b7;

/// What a number means.
pub fn meaning(number: u32) -> Option<Call> {
    CALLS.iter().find(|(known, _, _)| *known == number).map(|(_, _, call)| *call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_once() {
        let numbers: std::collections::BTreeSet<u32> = CALLS.iter().map(|(number, _, _)| *number).collect();
        assert_eq!(numbers.len(), CALLS.len());
        #[cfg(target_arch = "x86_64")]
        assert!(CALLS_32.is_sorted_by(|a, b| a < b) && CALLS_32.len() * 2 + 2 < 256, "its block is skipped by one jump");
    }
}

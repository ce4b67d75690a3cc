//! Where we differ from the lab's BuildKit on purpose, line by line, each with its reason. Everything else must agree.

/// Of the seeded changes: case, line, why.
pub const SEEDED: &[(&str, u64, &str)] = &[
    (
        "file content, same size and times",
        3,
        "BuildKit does not send a file of equal size and mtime (moby/buildkit#1368); we hash it",
    ),
    ("file content, same size and times", 4, "follows from line 3"),
    (
        "mode of a folder",
        3,
        "the mode counts (reference, section 2; BuildKit misses too when the context is new to it), but its transfer does not tell a folder's new mode to the hash",
    ),
    ("mode of a folder", 4, "follows from line 3"),
    ("xattr", 3, "the xattr counts (see the next case), but BuildKit does not send a file of equal size and mtime"),
    ("xattr", 4, "follows from line 3"),
];

/// Of the matrix: verdict, Dockerfile, beginning of the instruction, why.
pub const MATRIX: &[(&str, &str, &str, &str)] = &[];

/// Verdicts that nobody can play here, and why.
pub const NOT_PLAYED: &[(&str, &str)] = &[
    ("M17", "needs a server: compared in sources_of_servers"),
    ("M18", "needs a server: compared in sources_of_servers"),
    (
        "M25",
        "needs a BuildKit that forgets everything in between, and the lab's one is shared: caused in tests/it/verdicts.rs",
    ),
];

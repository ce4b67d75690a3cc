//! What is answered differently on purpose, and what waits for work that is under way; one line each.

/// Cases that are answered differently on purpose, with the reason.
const DEVIATIONS: &[(&str, &str)] = &[
    (
        "buildah-conformance/xattrs-file-in-context",
        "BuildKit's layers keep `security.capability` alone of all extended attributes, ours keep the others too",
    ),
    (
        "buildkit-integration/testShmSize/0",
        "memory is mounted with `nodev` too: no list of devices stands behind a step that may make device files",
    ),
    (
        "buildkit-integration/testErrorsSourceMap/1",
        "`# syntax=` is not fetched, whatever it names: there is one frontend, and it is built in",
    ),
];

/// Why a case is answered differently.
pub fn deviation(name: &str) -> Option<&'static str> {
    DEVIATIONS.iter().find(|(deviating, _)| *deviating == name).map(|(_, reason)| *reason)
}

/// Cases that are no builds of an image, or need what is not recorded.
const NOT_PLAYABLE: &[(&str, &str)] = &[
    ("testTargetsList/", "asks the frontend for its targets, builds nothing"),
    ("testOutlineArgs/", "asks the frontend for its arguments, builds nothing"),
    ("testFrontendInputs/", "the inputs of the frontend are made by the test's own code"),
    ("testGatewayProvenance", "the inputs of the frontend are made by the test's own code"),
    ("testNamedInputContext/", "the inputs of the frontend are made by the test's own code"),
    ("testDeviceRunEnv/", "needs devices that the daemon was started with"),
    ("testWildcardRenameCache/1", "the rename of the file is not recorded"),
    ("buildah-conformance/mount-cache-by-ownership", "reads what other cases left in a cache of the same daemon"),
    ("Dockerfilecachereadwithoutz", "reads what another case left in a cache of the same daemon"),
];

/// Why a case cannot be played.
pub fn unplayable(name: &str) -> Option<&'static str> {
    NOT_PLAYABLE.iter().find(|(part, _)| name.contains(part)).map(|(_, why)| *why)
}

/// Files that are other ones in every build.
const BY_CHANCE: &[(&str, &str)] = &[
    ("buildkit-integration/testCacheImportExport/", "/unique"),
    ("buildkit-integration/testImageManifestCacheImportExport/", "/unique"),
    ("buildkit-integration/testDuplicateLayersProvenance/", "/a.txt"),
    ("buildkit-integration/testDuplicateLayersProvenance/", "/b.txt"),
    ("kaniko-integration/Dockerfile_test_cache", "/date"),
];

/// Whether the content of a path says nothing.
pub fn is_by_chance(name: &str, path: &str) -> bool {
    BY_CHANCE.iter().any(|(case, known)| name.starts_with(case) && path == *known)
}

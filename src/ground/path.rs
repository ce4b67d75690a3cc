//! Paths as text, with `/` between names and none at the end.

/// A path and the folders above it, without the root.
pub fn upwards(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rfind('/').map(|at| &path[..at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_before_its_folders() {
        assert_eq!(upwards("a/b/c").collect::<Vec<_>>(), ["a/b/c", "a/b", "a"]);
    }
}

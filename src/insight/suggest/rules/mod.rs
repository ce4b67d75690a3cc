//! The rules, one a file, and what they share.

pub mod broad_copy_before_install;
mod harmless;
mod manifests;
mod place;

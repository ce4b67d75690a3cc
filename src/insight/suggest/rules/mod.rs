//! The rules, one a file, and what they share.

pub mod broad_copy_before_install;
pub mod copy_what_is_read;
mod harmless;
mod manifests;
mod place;

//! The rules, one a file, and what they share.

pub mod apt_update_alone;
pub mod argument_above_steps;
pub mod best_order;
pub mod broad_copy_before_install;
pub mod build_tools_in_image;
pub mod cache_mount;
mod commands;
pub mod copied_twice;
pub mod copy_split_by_rate;
pub mod copy_what_is_read;
pub mod copy_without_link;
mod draft;
mod harmless;
pub mod ignore_lines;
mod managed;
mod manifests;
mod place;
pub mod secret_in_arg_or_env;
pub mod step_below_copy;
pub mod unpinned_base;
pub mod unused_stage;

use super::Rule;

/// All rules, in the order in which equal savings are listed.
pub static ALL: &[&dyn Rule] = &[
    &broad_copy_before_install::BroadCopyBeforeInstall,
    &step_below_copy::StepBelowCopy,
    &argument_above_steps::ArgumentAboveSteps,
    &ignore_lines::IgnoreLines,
    &cache_mount::CacheMount,
    &copy_split_by_rate::CopySplitByRate,
    &copy_without_link::CopyWithoutLink,
    &apt_update_alone::AptUpdateAlone,
    &copied_twice::CopiedTwice,
    &secret_in_arg_or_env::SecretInArgOrEnv,
    &unpinned_base::UnpinnedBase,
    &build_tools_in_image::BuildToolsInImage,
    &unused_stage::UnusedStage,
];

#[cfg(test)]
mod tests;

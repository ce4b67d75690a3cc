//! The rules, one file each.

mod consistent_instruction_casing;
mod copy_ignored_file;
mod duplicate_stage_name;
mod expose_invalid_format;
mod expose_proto_casing;
mod from_as_casing;
mod from_platform_flag_const_disallowed;
mod invalid_base_image_platform;
mod invalid_default_arg_in_from;
mod invalid_definition_description;
mod json_args_recommended;
mod legacy_key_value_format;
mod maintainer_deprecated;
mod multiple_instructions_disallowed;
mod no_empty_continuation;
mod redundant_target_platform;
mod reserved_stage_name;
mod secrets_used_in_arg_or_env;
mod stage_name_casing;
mod undefined_arg_in_from;
mod undefined_var;
mod workdir_relative_path;

pub use secrets_used_in_arg_or_env::is_secret;

use super::Check;

/// All rules in BuildKit's order.
pub const ALL: &[&dyn Check] = &[
    &stage_name_casing::StageNameCasing,
    &from_as_casing::FromAsCasing,
    &no_empty_continuation::NoEmptyContinuation,
    &consistent_instruction_casing::ConsistentInstructionCasing,
    &duplicate_stage_name::DuplicateStageName,
    &reserved_stage_name::ReservedStageName,
    &json_args_recommended::JSONArgsRecommended,
    &maintainer_deprecated::MaintainerDeprecated,
    &undefined_arg_in_from::UndefinedArgInFrom,
    &workdir_relative_path::WorkdirRelativePath,
    &undefined_var::UndefinedVar,
    &multiple_instructions_disallowed::MultipleInstructionsDisallowed,
    &legacy_key_value_format::LegacyKeyValueFormat,
    &invalid_base_image_platform::InvalidBaseImagePlatform,
    &redundant_target_platform::RedundantTargetPlatform,
    &secrets_used_in_arg_or_env::SecretsUsedInArgOrEnv,
    &invalid_default_arg_in_from::InvalidDefaultArgInFrom,
    &from_platform_flag_const_disallowed::FromPlatformFlagConstDisallowed,
    &copy_ignored_file::CopyIgnoredFile,
    &invalid_definition_description::InvalidDefinitionDescription,
    &expose_proto_casing::ExposeProtoCasing,
    &expose_invalid_format::ExposeInvalidFormat,
];

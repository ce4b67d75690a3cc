//! Whole files through the lowering, on bases that are made up.

use std::collections::BTreeMap;

use rbuild_tui::engine::graph::ResolvedBase;
use rbuild_tui::engine::graph::lower::{BaseError, Bases, LowerRequest, lower};
use rbuild_tui::engine::oci::{ImageConfig, Platform, Reference};
use rbuild_tui::engine::protocol::settings::RunSettings;
use rbuild_tui::ground::digest::Digest;
use rbuild_tui::language::dockerfile::{Dockerfile, parse};

use crate::{Verdict, expect_equal, run};

/// Every image exists, if its name is one.
struct AnyImage;

impl Bases for AnyImage {
    fn resolve(&mut self, name: &str, _: &Platform, _: bool) -> Result<ResolvedBase, BaseError> {
        Reference::parse(name).map_err(|error| BaseError { message: error.to_string(), hint: None, environment: false })?;
        let config = ImageConfig::scratch(&Platform::host());
        Ok(ResolvedBase { image: name.to_owned(), manifest: Digest::of(name), config, layers: Vec::new() })
    }
}

/// Errors of the lowering, with their lines.
pub fn lowered(file: &Dockerfile, target: Option<&str>) -> Vec<(u32, String)> {
    let build_args = BTreeMap::new();
    let request = LowerRequest {
        dockerfile: file,
        target,
        build_args: &build_args,
        platform: Platform::host(),
        directories: &[],
        main: &rbuild_tui::engine::graph::MainContext::Folder,
        fetched: &BTreeMap::new(),
        images: &[],
        epoch: None,
        no_cache: false,
        no_cache_filter: &[],
        labels: &BTreeMap::new(),
        run: &RunSettings::default(),
        network: None,
        allow: &[],
    };
    let errors = lower(&request, &mut AnyImage).err().unwrap_or_default();
    errors.iter().map(|error| (file.lines.line(error.span.start), error.message.clone())).collect()
}

/// The verdict on a file that should convert or not.
pub fn verdict(file: &Dockerfile, target: Option<&str>, expected: &str) -> Verdict {
    let mut found: Vec<(u32, String)> = Vec::new();
    if file.has_errors() {
        found.extend(crate::errors(file).into_iter().map(|error| (0, error)));
    } else {
        found = lowered(file, target);
    }
    match expected {
        "ok" if !found.is_empty() && found.iter().all(|(_, error)| error.contains("not acted on yet")) => {
            Verdict::Skipped("our builder does not act on it yet, and says so")
        }
        "ok" => expect_equal(found, Vec::new()),
        "error" => expect_equal(!found.is_empty(), true),
        _ => Verdict::Passed,
    }
}

#[test]
fn buildkit_llb_units() {
    run("buildkit-llb-units", |_, case| {
        let Some(source) = case["dockerfile"].as_str() else { return crate::names::ports(case) };
        let expected = if case["expect"]["ok"].as_bool() == Some(true) { "ok" } else { "error" };
        verdict(&parse(source), case["target"].as_str(), expected)
    });
}

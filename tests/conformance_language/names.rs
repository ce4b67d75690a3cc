//! Names of images and of git repositories, and ports.

use rbuild_tui::engine::oci::Reference;
use rbuild_tui::language::dockerfile::git_reference::GitReference;
use rbuild_tui::language::dockerfile::ports::PortSpec;
use rbuild_tui::language::dockerfile::reference::{
    ImageName, NameError, is_domain, is_identifier, is_name, split_docker_domain,
};
use serde_json::Value;

use crate::{Verdict, expect_equal, run};

fn text<'c>(case: &'c Value, key: &str) -> &'c str {
    case[key].as_str().unwrap_or("")
}

fn go_name(error: NameError) -> &'static str {
    match error {
        NameError::Format | NameError::Identifier => "ErrReferenceInvalidFormat",
        NameError::Uppercase => "ErrNameContainsUppercase",
        NameError::Empty => "ErrNameEmpty",
        NameError::TooLong => "ErrNameTooLong",
        NameError::DigestUnsupported => "ErrDigestUnsupported",
        NameError::DigestLength => "ErrDigestInvalidLength",
    }
}

/// `TestReferenceParse`: strict, nothing filled in.
fn strict(case: &Value) -> Verdict {
    match (ImageName::parse(text(case, "input")), case.get("err")) {
        (Ok(name), None) => {
            let optional = |key: &str| case[key].as_str().map(str::to_owned);
            expect_equal(
                (name.name(), name.domain.clone(), name.tag, name.digest),
                (text(case, "repository").to_owned(), text(case, "domain").to_owned(), optional("tag"), optional("digest")),
            )
        }
        (Err(error), Some(expected)) => match expected.as_str() {
            Some(name) => expect_equal(go_name(error), name),
            None => Verdict::Passed,
        },
        (found, expected) => Verdict::Failed(format!("{found:?}, expected {expected:?}")),
    }
}

fn with_parts(case: &Value) -> Verdict {
    let Ok(mut name) = ImageName::parse(text(case, "case_name")) else { return Verdict::Failed("the name".to_owned()) };
    name.tag = case["tag"].as_str().map(str::to_owned);
    name.digest = case["digest"].as_str().map(str::to_owned);
    expect_equal(name.to_string().as_str(), text(case, "combined"))
}

fn repository_info(case: &Value) -> Verdict {
    let names = ["RemoteName", "FamiliarName", "FullName", "AmbiguousName"].map(|key| text(case, key));
    for name in &names[1..] {
        if name.is_empty() {
            continue;
        }
        match ImageName::parse_normalized(name) {
            Ok(found) => {
                let parts = [&found.path, &found.familiar_name(), &found.name(), &found.domain].map(String::clone);
                let expected = [names[0], names[1], names[2], text(case, "Domain")].map(str::to_owned);
                if parts != expected {
                    return expect_equal(parts, expected);
                }
            }
            Err(error) => return Verdict::Failed(format!("{name}: {error}")),
        }
    }
    Verdict::Passed
}

/// A name, an identity or a digest.
fn any_reference(case: &Value) -> Verdict {
    let input = text(case, "Reference");
    let full = if is_identifier(input) {
        format!("sha256:{input}")
    } else if input.strip_prefix("sha256:").is_some_and(is_identifier) {
        input.to_owned()
    } else {
        ImageName::parse_normalized(input).map(|name| name.to_string()).unwrap_or_default()
    };
    expect_equal(full.as_str(), text(case, "Equivalent"))
}

fn subs(case: &Value) -> Option<Vec<String>> {
    case.get("subs").map(crate::strings)
}

#[test]
fn image_references() {
    run("image-references", |_, case| {
        let input = text(case, "input");
        let matches = case["match"].as_bool().unwrap_or(false);
        let normalized = ImageName::parse_normalized(input);
        match text(case, "test") {
            "TestReferenceParse" => strict(case),
            "TestWithTag" | "TestWithDigest" => with_parts(case),
            "TestWithNameFailure" => expect_equal(is_name(input), false),
            "TestDomainAndPath" => {
                let found = ImageName::parse(input).map(|name| (name.domain, name.path)).ok();
                expect_equal(found, Some((text(case, "domain").to_owned(), text(case, "path").to_owned())))
            }
            "TestNormalizedSplitHostname" => {
                expect_equal(split_docker_domain(input), (text(case, "domain").to_owned(), text(case, "path").to_owned()))
            }
            "TestParseNamed" => {
                // Only names that are already complete.
                let found = normalized.ok().filter(|name| name.to_string() == input).map(|name| (name.domain, name.path));
                let expected = (text(case, "domain").to_owned(), text(case, "path").to_owned());
                expect_equal(found, case.get("err").is_none().then_some(expected))
            }
            "TestSerialization" => {
                let found = ImageName::parse(input).map(|name| (name.name(), name.tag)).ok();
                expect_equal(found, Some((text(case, "case_name").to_owned(), case["tag"].as_str().map(str::to_owned))))
            }
            "TestValidateReferenceName" | "TestValidateRemoteName" => {
                expect_equal(normalized.is_ok(), text(case, "list").starts_with("valid"))
            }
            "TestParseRepositoryInfo" => repository_info(case),
            "TestParseAnyReference" => any_reference(case),
            "TestParseDockerRef" => {
                expect_equal(Reference::parse(input).map(|name| name.to_string()).ok().as_deref(), case["expected"].as_str())
            }
            "TestDomainRegexp" => expect_equal(is_domain(input), matches),
            "TestFullNameRegexp" if !is_name(input) => {
                // The expression is not anchored in the test: upper case may stand before the name.
                expect_equal(false, matches)
            }
            "TestFullNameRegexp" => match subs(case) {
                Some(expected) => {
                    let (domain, path) = input.split_once('/').filter(|(first, _)| is_domain(first)).unwrap_or(("", input));
                    expect_equal(vec![domain.to_owned(), path.to_owned()], expected)
                }
                None => expect_equal(true, matches),
            },
            "TestReferenceRegexp" => {
                let parsed = ImageName::parse(input);
                let accepted = matches!(
                    parsed,
                    Ok(_) | Err(NameError::DigestLength | NameError::DigestUnsupported | NameError::TooLong)
                );
                if accepted != matches {
                    return expect_equal(accepted, matches);
                }
                let parts = parsed.ok().map(|n| vec![n.name(), n.tag.unwrap_or_default(), n.digest.unwrap_or_default()]);
                if subs(case).is_some() { expect_equal(parts, subs(case)) } else { Verdict::Passed }
            }
            "TestIdentifierRegexp" => expect_equal(is_identifier(input), matches),
            "TestMatch" => Verdict::Skipped("patterns over references are of no use here"),
            _ => Verdict::Failed("an unknown test".to_owned()),
        }
    });
}

#[test]
fn buildkit_gitref() {
    run("buildkit-gitref", |_, case| {
        let input = text(case, "ref");
        let parsed = GitReference::parse(input);
        if text(case, "name").contains("TestFragmentFormat") {
            let with_folder = text(case, "name").contains("WithSubdir");
            let formatted = match &parsed {
                Ok(Some(found)) => (found.with_fragment(with_folder), true),
                _ => (input.to_owned(), false),
            };
            return expect_equal(formatted, (text(case, "expected").to_owned(), case["ok"].as_bool().unwrap_or(false)));
        }
        let found = match (parsed, case.get("err")) {
            (Err(_), Some(_)) => return Verdict::Passed,
            (Ok(found), None) => found,
            (found, expected) => return Verdict::Failed(format!("{found:?}, expected {expected:?}")),
        };
        let flag = |key: &str| case["expected"][key].as_bool();
        let field = |key: &str| case["expected"][key].as_str().map(str::to_owned);
        let expected = case["expected"].is_object().then(|| GitReference {
            remote: field("Remote").unwrap_or_default(),
            short_name: field("ShortName").unwrap_or_default(),
            reference: field("Ref"),
            checksum: field("Checksum"),
            folder: field("SubDir").map(|folder| folder.trim_start_matches('/').to_owned()),
            keep_git_dir: flag("KeepGitDir"),
            submodules: flag("Submodules"),
            commit_times: field("MTime").map(|time| time == "commit"),
            fetch_by_commit: flag("FetchByCommit"),
            like_a_local_path: flag("IndistinguishableFromLocal").unwrap_or(false),
            unencrypted: flag("UnencryptedTCP").unwrap_or(false),
        });
        expect_equal(found, expected)
    });
}

/// The ports of one case of `buildkit-llb-units`.
pub fn ports(case: &Value) -> Verdict {
    let one = case["spec"].as_str().map(|spec| vec![spec.to_owned()]);
    let specs = one.unwrap_or_else(|| crate::strings(&case["specs"]));
    let found: Result<Vec<String>, _> = specs
        .iter()
        .map(|spec| PortSpec::parse(spec))
        .collect::<Result<Vec<_>, _>>()
        .map(|list| list.iter().flat_map(PortSpec::ports).collect());
    let fails = case["expError"].as_str().is_some_and(|text| !text.is_empty()) || case["expect"].get("error").is_some();
    let expected = case.get("expected").unwrap_or(&case["expect"]["ports"]);
    match found {
        Ok(found) if !fails => expect_equal(found, crate::strings(expected)),
        found => expect_equal(found.is_err(), fails),
    }
}

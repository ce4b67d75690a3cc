//! Logins, tokens, and where they do not go.

use super::server::Action;
use super::*;
use rbuild_tui::engine::registry::CredentialSources;

const CANARY: &str = "RB-S3CR3T-41";

/// `u:RB-S3CR3T-41` in base64.
const CANARY_BASE64: &str = "dTpSQi1TM0NSM1QtNDE=";

fn with_login(hosts: &[&str]) -> Bench {
    let mut bench = Bench::new();
    let file = bench.dir.path().join("config.json");
    let entries: Vec<String> = hosts.iter().map(|host| format!("\"{host}\":{{\"auth\":\"{CANARY_BASE64}\"}}")).collect();
    std::fs::write(&file, format!("{{\"auths\":{{{}}}}}", entries.join(","))).unwrap();
    bench.settings.credentials = CredentialSources { files: vec![file], ..CredentialSources::default() };
    bench
}

fn leaked(registry: &Registry) -> bool {
    registry.requests().iter().any(|head| head.contains(CANARY) || head.contains(CANARY_BASE64))
}

#[test]
fn a_password_opens_and_a_missing_one_is_named() {
    let (registry, image) = (Registry::new(), Image::new("a"));
    image.serve(&registry, "1");
    registry.lock("Basic realm=\"x\"", &format!("Basic {CANARY_BASE64}"));
    with_login(&[&registry.address]).pull(&registry.name("x:1")).unwrap();
    let error = Bench::new().pull(&registry.name("x:1")).unwrap_err();
    let hint = rbuild_tui::ground::hint::Hint::hint(&error).unwrap();
    assert!(matches!(error, RegistryError::Denied { known: false, .. }) && hint.contains("docker login"), "{error}");
}

#[test]
fn a_token_is_fetched_and_used() {
    let (registry, image) = (Registry::new(), Image::new("a"));
    image.serve(&registry, "1");
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s\"", registry.address);
    registry.lock(&challenge, "Bearer t0ken");
    registry.fault("/token", 9, Action::Answer(200, String::new(), b"{\"token\":\"t0ken\",\"expires_in\":60}".to_vec()));
    with_login(&[&registry.address]).pull(&registry.name("x:1")).unwrap();
    let token = registry.requests().into_iter().find(|head| head.starts_with("GET /token")).unwrap();
    assert!(token.contains("scope=repository%3Ax%3Apull") && token.contains(CANARY_BASE64), "{token}");
    let others = registry.requests().into_iter().filter(|head| !head.starts_with("GET /token"));
    assert!(others.into_iter().all(|head| !head.contains(CANARY_BASE64)), "the password goes to the realm alone");
    assert_eq!(registry.count("/token"), 1, "one token does for the whole image");
}

#[test]
fn r09_realms_that_are_not_asked() {
    for realm in [
        "http://OTHER/token",
        "http://u:p@OWN/token",
        "http://169.254.169.254/latest",
        "http://[::ffff:169.254.169.254]/latest",
        "file:///etc/passwd",
        "gopher://OWN/",
        "http://OWN/away",
        "",
    ] {
        let (registry, other, image) = (Registry::new(), Registry::new(), Image::new("a"));
        image.serve(&registry, "1");
        // The same machine by another name is another host.
        let elsewhere = other.address.replace("127.0.0.1", "localhost");
        let realm = realm.replace("OTHER", &elsewhere).replace("OWN", &registry.address);
        registry.lock(&format!("Bearer realm=\"{realm}\",service=\"s\""), "Bearer never");
        let to = format!("Location: http://{}/token", other.address);
        registry.fault("/away", 9, Action::Answer(302, to, Vec::new()));
        let bench = with_login(&[&registry.address]);
        let error = bench.refused(&registry.name("x:1"));
        assert!(!error.contains(CANARY) && !error.contains(CANARY_BASE64), "{error}");
        assert!(other.requests().is_empty(), "{realm}: {:?}", other.requests());
        assert!(!leaked(&registry) || realm.ends_with("/away"), "{realm}");
    }
}

#[test]
fn r10_a_blob_elsewhere_is_fetched_without_the_login() {
    let (registry, store, image) = (Registry::new(), Registry::new(), Image::new("a"));
    image.serve(&registry, "1");
    image.serve(&store, "1");
    registry.lock("Basic realm=\"x\"", &format!("Basic {CANARY_BASE64}"));
    let digest = image.layer_digest();
    let to = format!("Location: http://{}/v2/x/blobs/{digest}", store.address);
    registry.fault(&digest, 1, Action::Answer(307, to, Vec::new()));
    with_login(&[&registry.address]).pull(&registry.name("x:1")).unwrap();
    assert_eq!(store.count(&digest), 1);
    assert!(leaked(&registry) && !leaked(&store));

    let around = Action::Answer(307, format!("Location: /v2/x/blobs/{digest}"), Vec::new());
    registry.fault(&digest, 99, around);
    let error = with_login(&[&registry.address]).refused(&registry.name("x:1"));
    assert!(error.contains("redirects in a row"), "{error}");
}

#[test]
fn k15_logins_of_other_registries_stay_at_home() {
    let (registry, image) = (Registry::new(), Image::new("a"));
    image.serve(&registry, "1");
    registry.lock("Basic realm=\"x\"", "Basic never");
    let bench = with_login(&["a.example", "b.example", "127.0.0.1:1"]);
    let error = bench.refused(&registry.name("x:1"));
    assert!(!leaked(&registry) && !error.contains(CANARY), "{error}");
    assert!(registry.requests().iter().all(|head| !head.to_lowercase().contains("authorization:")));
}

#[test]
fn k09_a_login_is_in_no_message_of_a_failed_pull() {
    let (registry, image) = (Registry::new(), Image::new("a"));
    image.serve(&registry, "1");
    registry.lock("Basic realm=\"x\"", "Basic another");
    let bench = with_login(&[&registry.address]);
    let error = bench.pull(&registry.name("x:1")).unwrap_err();
    let all = format!("{error} {error:?} {:?}", bench.settings);
    assert!(matches!(error, RegistryError::Denied { known: true, .. }), "{error}");
    assert!(!all.contains(CANARY) && !all.contains(CANARY_BASE64), "{all}");
    assert_eq!(registry.count("manifests/1"), 2, "no storm of tries with a wrong password");
}

/// A registry whose token server takes an identity token, and says that it has expired.
fn with_identity(registry: &Registry, answer: &Action) -> Bench {
    let mut bench = Bench::new();
    bench.settings.http.patience = Patience::default();
    let file = bench.dir.path().join("config.json");
    let text = format!("{{\"auths\":{{\"{}\":{{\"identitytoken\":\"{CANARY}\"}}}}}}", registry.address);
    std::fs::write(&file, text).unwrap();
    bench.settings.credentials = CredentialSources { files: vec![file], ..CredentialSources::default() };
    Image::new("a").serve(registry, "1");
    registry.lock(&format!("Bearer realm=\"http://{}/token\",service=\"s\"", registry.address), "Bearer fresh");
    registry.fault("/token", 99, answer.clone());
    bench
}

#[test]
fn an_expired_identity_token_is_one_message_and_no_storm() {
    for (status, said) in [
        (401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"token has expired"}]}"#),
        (403, r#"{"errors":[{"code":"DENIED","message":"token has expired"}]}"#),
        (400, r#"{"error":"invalid_grant","error_description":"token has expired"}"#),
    ] {
        let registry = Registry::new();
        let bench = with_identity(&registry, &Action::Answer(status, String::new(), said.into()));
        let start = std::time::Instant::now();
        let error = bench.pull(&registry.name("x:1")).unwrap_err();
        assert!(error.to_string().ends_with("token has expired"), "{error}");
        let hint = rbuild_tui::ground::hint::Hint::hint(&error).unwrap_or_default();
        assert!(matches!(error, RegistryError::Denied { known: true, .. }), "{status}: {error:?}");
        assert!(
            error.to_string().contains("for the stored login") && hint.contains("docker login"),
            "{status}: {error} {hint}"
        );
        assert!(!format!("{error} {error:?} {hint}").contains(CANARY), "{error:?}");
        assert_eq!(registry.count("/token"), 1, "{status}: {:?}", registry.requests());
        assert!(registry.requests().len() <= 2, "{status}: {:?}", registry.requests());
        assert!(start.elapsed() < Duration::from_secs(2), "{status}: {:?}", start.elapsed());
    }
}

#[test]
fn a_token_that_a_registry_does_not_take_is_renewed_once() {
    // The token server answers, and what it gives has expired already: a second one is asked for, not a hundredth.
    let registry = Registry::new();
    let stale = Action::Answer(200, String::new(), br#"{"token":"stale","expires_in":1}"#.to_vec());
    let bench = with_identity(&registry, &stale);
    let start = std::time::Instant::now();
    let error = bench.pull(&registry.name("x:1")).unwrap_err();
    assert!(matches!(error, RegistryError::Denied { known: true, .. }), "{error:?}");
    assert!(registry.count("/token") <= 2, "{:?}", registry.requests());
    assert!(registry.count("manifests/1") <= 3, "{:?}", registry.requests());
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_pull_is_renewed() {
    let (registry, image) = (Registry::new(), Image::new("a"));
    let answer = Action::Answer(200, String::new(), br#"{"token":"fresh","expires_in":60}"#.to_vec());
    let bench = with_identity(&registry, &answer);
    image.serve(&registry, "1");
    let expired = "WWW-Authenticate: Bearer realm=\"http://OWN/token\",service=\"s\"".replace("OWN", &registry.address);
    registry.fault(&image.layer_digest(), 2, Action::Answer(401, expired, Vec::new()));
    bench.pull(&registry.name("x:1")).unwrap();
    assert_eq!(registry.count("/token"), 2, "{:?}", registry.requests());
}

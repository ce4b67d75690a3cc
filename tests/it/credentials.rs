//! Credentials in addresses, and secrets that steps print: rows K16 and K03 of the reliability plan.

use std::fs;

use super::program::{Program, busybox, can_build};
use super::registry::server::{Action, Registry};

const SECRET: &str = "RB-S3CR3T-k16";

fn holders(folder: &std::path::Path, out: &mut Vec<String>) {
    holders_of(SECRET, folder, out);
}

fn holders_of(text: &str, folder: &std::path::Path, out: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            holders_of(text, &path, out);
        } else if fs::read(&path).unwrap_or_default().windows(text.len()).any(|w| w == text.as_bytes()) {
            out.push(path.display().to_string());
        }
    }
}

#[test]
fn k16_credentials_of_addresses_are_shown_nowhere() {
    if !can_build("k16_credentials_of_addresses_are_shown_nowhere") {
        return;
    }
    let server = Registry::new();
    server.fault("/x", 1000, Action::Answer(200, String::new(), b"content".to_vec()));
    let url = format!("http://user:{SECRET}@{}/x", server.address);
    let program = Program::new(&format!("FROM scratch\nARG U\nADD {url} /x\nADD $U /y\nADD ${{U}}?2 /z\n"));
    let image = program.path("image");
    let out = format!("type=oci,tar=false,dest={}", image.display());
    let given = format!("U={url}");
    let mut said = Vec::new();
    for progress in ["--progress=json", "--plain"] {
        let _ = fs::remove_dir_all(&image);
        let ended = program.run(&["build", progress, "-t", "k16:1", "-o", &out, "--build-arg", &given]);
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        said.push(ended);
    }
    for args in [
        &["why"][..],
        &["why", "--json"],
        &["history", "ls"],
        &["history", "ls", "--json"],
        &["image", "ls", "--json"],
        &["du"],
    ] {
        said.push(program.run(args));
    }
    for ended in &said {
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(SECRET), "{ended:?}");
    }
    let mut found = Vec::new();
    holders(&program.store, &mut found);
    holders(&image, &mut found);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn k16_credentials_in_the_name_of_a_base_are_not_repeated() {
    let program = Program::new("");
    for (dockerfile, value) in [
        ("ARG T\nFROM 127.0.0.1:1/${T}\n", format!("user:{SECRET}@h/x")),
        ("ARG T\nFROM ${T}\n", format!("user:{SECRET}@127.0.0.1:1/x")),
        ("ARG T\nFROM ${T}\n", format!("https://user:{SECRET}@127.0.0.1:1/x")),
    ] {
        program.write("Dockerfile", dockerfile);
        for progress in ["--progress=json", "--plain", "--json"] {
            let ended = program.run(&["build", progress, "--build-arg", &format!("T={value}")]);
            assert!(matches!(ended.code, Some(1 | 3)), "{ended:?}");
            assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(SECRET), "{value}: {ended:?}");
        }
    }
    let mut found = Vec::new();
    if program.store.exists() {
        holders(&program.store, &mut found);
    }
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn k03_forms_of_a_secret_that_a_step_prints_are_shown_and_in_no_image() {
    let Some(layout) = busybox("k03_forms_of_a_secret_that_a_step_prints_are_shown_and_in_no_image") else { return };
    let forms = "cat /s; echo; head -c 6 /s; sleep 0.2; tail -c +7 /s; echo; base64 /s; rev /s; echo; \
                 od -An -tx1 /s | tr -d ' \\n'; echo; cat /s >&2; echo >&2";
    let program = Program::new(&format!("FROM base\nRUN --mount=type=secret,id=f,target=/s {forms}\nRUN echo next\n"));
    fs::write(program.path("f"), SECRET).unwrap();
    let secret = format!("id=f,src={}", program.path("f").display());
    let image = program.path("image");
    let out = format!("type=oci,tar=false,dest={},compression=uncompressed", image.display());
    let base = format!("base=oci-layout://{}", layout.display());
    let ended = program.run(&["build", "--plain", "--secret", &secret, "-t", "k03", "-o", &out, "--build-context", &base]);
    let (encoded, hex) = ("UkItUzNDUjNULWsxNg==", "52422d5333435233542d6b3136");
    let reversed: String = SECRET.chars().rev().collect();
    // As the README says, a step's output is kept as it is: whole, over two writes, and in other forms.
    ended.says(0, &[SECRET, SECRET, encoded, &reversed, hex]);
    assert_eq!(ended.stdout.matches(SECRET).count(), 3, "{}", ended.stdout);
    let outputs = |path: &str| path.contains("/builds/") && path.ends_with(".log");
    for form in [SECRET, &reversed, encoded, hex] {
        let (mut in_store, mut in_image) = (Vec::new(), Vec::new());
        holders_of(form, &program.store, &mut in_store);
        holders_of(form, &image, &mut in_image);
        assert!(in_image.is_empty(), "{form}: {in_image:?}");
        assert!(!in_store.is_empty() && in_store.iter().all(|path| outputs(path)), "{form}: {in_store:?}");
    }
}

#[test]
fn k03_what_a_step_prints_is_shown_as_it_is() {
    let Some(layout) = busybox("k03_what_a_step_prints_is_shown_as_it_is") else { return };
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(readme.contains("a secret that a step prints is not masked"), "the README says so");
    let program = Program::new("FROM base\nRUN --mount=type=secret,id=f cat /run/secrets/f; echo\n");
    fs::write(program.path("f"), SECRET).unwrap();
    let secret = format!("id=f,src={}", program.path("f").display());
    let image = program.path("image");
    let out = format!("type=oci,tar=false,dest={}", image.display());
    let base = format!("base=oci-layout://{}", layout.display());
    let ended = program.run(&["build", "--plain", "--secret", &secret, "-o", &out, "--build-context", &base]);
    ended.says(0, &[&format!("| {SECRET}")]);
    let mut found = Vec::new();
    holders(&image, &mut found);
    assert!(found.is_empty(), "the image does not have it: {found:?}");
}

//! Secrets are found nowhere but in the step that mounts them. Ids are those of the reliability plan, section K.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::program::{Ended, Program, busybox, can_build, line};

/// A value that is nowhere else, with characters that an address would escape.
fn canary() -> String {
    let mut bytes = [0; 12];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    format!("RB-S3CR3T/{}+x", hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The forms in which a value could have been written.
fn forms(canary: &str) -> Vec<(&'static str, Vec<u8>)> {
    // Without the last group: what follows the value would change it.
    let base64 = |prefix: &str| {
        let text = STANDARD.encode(format!("{prefix}{canary}"));
        text.as_bytes()[4..text.len() - 4].to_vec()
    };
    vec![
        ("plain", canary.into()),
        ("base64", base64("")),
        ("base64, one byte on", base64("x")),
        ("base64, two bytes on", base64("xx")),
        ("hex", hex(canary.as_bytes()).into_bytes()),
        ("hex in capitals", hex(canary.as_bytes()).to_uppercase().into_bytes()),
        ("escaped", canary.replace('/', "%2F").replace('+', "%2B").into_bytes()),
        ("reversed", canary.chars().rev().collect::<String>().into_bytes()),
    ]
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Forms that some bytes hold, also behind gzip and zstd.
fn found(bytes: &[u8], canaries: &[&str]) -> Vec<&'static str> {
    let mut plain = Vec::new();
    let _ = flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain);
    if let Ok(mut reader) = zstd::Decoder::new(bytes) {
        let _ = reader.read_to_end(&mut plain);
    }
    let all: Vec<_> = canaries.iter().flat_map(|canary| forms(canary)).collect();
    all.into_iter().filter(|(_, part)| holds(bytes, part) || holds(&plain, part)).map(|(name, _)| name).collect()
}

/// Every file below a folder that holds a canary, but for one.
fn leaks(folder: &Path, own: &Path, canaries: &[&str], out: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            leaks(&path, own, canaries, out);
        } else if kind.is_file() && path != own {
            let Ok(bytes) = fs::read(&path) else { continue };
            let names = found(&bytes, canaries);
            if !names.is_empty() {
                out.push(format!("{}: {names:?}", path.display()));
            }
        }
    }
}

const STEPS: &str = "FROM busybox:local
RUN --mount=type=secret,id=f cat /run/secrets/f > /dev/null
RUN --mount=type=secret,id=f --mount=type=secret,id=e,target=/e cat /run/secrets/f /e | tr a-z A-Z | wc -c > /count
RUN --mount=type=secret,id=f sh -c 'test -n \"$1\" && sleep 1' sh \"$(cat /run/secrets/f)\"
RUN --mount=type=cache,target=/c --mount=type=secret,id=f wc -c < /run/secrets/f > /c/size
";

/// While a build goes on: the canaries are in no argument of our own processes, and in no environment but that of the first,
/// which is the user's.
fn watch(mut build: Child, canaries: &[&str]) -> (Ended, BTreeSet<String>, usize) {
    let own = fs::canonicalize(env!("CARGO_BIN_EXE_rbuild-tui")).unwrap();
    let (mut bad, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let deadline = Instant::now() + Duration::from_secs(120);
    while build.try_wait().unwrap().is_none() && Instant::now() < deadline {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let is_own = fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == own);
            for (file, concerns) in [("cmdline", is_own), ("environ", pid != build.id() && pid != std::process::id())] {
                let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
                if concerns && !found(&bytes, canaries).is_empty() {
                    bad.insert(format!("{file} of {}", String::from_utf8_lossy(&bytes[..bytes.len().min(60)])));
                }
            }
            if is_own {
                seen.insert(pid);
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    (Ended::of(build.wait_with_output().unwrap()), bad, seen.len())
}

#[test]
fn k01_k10_a_secret_is_found_nowhere() {
    let name = "k01_k10_a_secret_is_found_nowhere";
    let Some(layout) = busybox(name) else { return };
    let program = Program::new(STEPS);
    assert_eq!(program.run(&["image", "load", layout.to_str().unwrap()]).code, Some(0));
    let (in_file, in_variable) = (canary(), canary());
    let canaries = [in_file.as_str(), in_variable.as_str()];
    let file = program.path("the-secret");
    fs::write(&file, &in_file).unwrap();
    let (tmp, out) = (program.path("tmp"), program.path("out"));
    fs::create_dir(&tmp).unwrap();
    fs::create_dir(&out).unwrap();
    let secret = format!("id=f,src={}", file.display());
    let image = format!("type=oci,dest={}", out.join("image.tar").display());
    let meta = out.join("meta.json");
    let mut command = program.command(&["build", "--progress=json", "-t", "canary:1", "-o", &image, "--secret", &secret]);
    command.args(["--secret", "id=e,env=CANARY", "--metadata-file"]).arg(&meta);
    command
        .env("CANARY", &in_variable)
        .env("TMPDIR", &tmp)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let (ended, bad, seen) = watch(command.spawn().unwrap(), &canaries);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(seen > 1, "{seen} processes of our own were seen");
    assert!(bad.is_empty(), "{bad:?}");
    let mut said = vec![ended.stdout, ended.stderr];
    let questions: [&[&str]; 8] = [
        &["history", "ls"],
        &["history", "ls", "--json"],
        &["why"],
        &["why", "--json"],
        &["du"],
        &["du", "--json"],
        &["check"],
        &["lint"],
    ];
    said.extend(questions.iter().map(|args| program.run(args)).flat_map(|ended| [ended.stdout, ended.stderr]));
    for text in &said {
        assert!(found(text.as_bytes(), &canaries).is_empty(), "{text}");
    }
    let mut where_found = Vec::new();
    leaks(file.parent().unwrap(), &file, &canaries, &mut where_found);
    assert!(where_found.is_empty(), "{where_found:#?}");
    // The search finds what is there.
    fs::write(out.join("planted"), STANDARD.encode(format!("x{in_file}")).as_bytes()).unwrap();
    leaks(&out, &file, &canaries, &mut where_found);
    assert_eq!(where_found.len(), 1, "{where_found:?}");
}

#[test]
fn k02_the_value_of_a_secret_is_not_in_the_key() {
    let Some(layout) = busybox("k02_the_value_of_a_secret_is_not_in_the_key") else { return };
    let program = Program::new("FROM busybox:local\nRUN --mount=type=secret,id=f wc -c /run/secrets/f\n");
    assert_eq!(program.run(&["image", "load", layout.to_str().unwrap()]).code, Some(0));
    let file = program.path("f");
    let spec = format!("id=f,src={}", file.display());
    fs::write(&file, "one").unwrap();
    assert_eq!(line(&program.build(&["--secret", &spec]), 2)["result"], "ran");
    fs::write(&file, "another").unwrap();
    assert_eq!(line(&program.build(&["--secret", &spec]), 2)["result"], "hit");
}

#[test]
fn k04_a_secret_lies_in_memory_with_its_mode_and_leaves_nothing() {
    let Some(layout) = busybox("k04_a_secret_lies_in_memory_with_its_mode_and_leaves_nothing") else { return };
    let program = Program::new(
        "FROM busybox:local
RUN --mount=type=secret,id=f --mount=type=secret,id=f,target=/t,uid=7,gid=8,mode=0440 \\
  test \"$(stat -c '%a %u %g' /run/secrets/f)\" = '400 0 0' && test \"$(stat -c '%a %u %g' /t)\" = '440 7 8' && \\
  grep ' /run/secrets/f tmpfs ' /proc/mounts && grep ' /t tmpfs ' /proc/mounts && ! (echo x > /t)
RUN test ! -e /t && test ! -e /run/secrets
",
    );
    assert_eq!(program.run(&["image", "load", layout.to_str().unwrap()]).code, Some(0));
    let file = program.path("f");
    fs::write(&file, "value").unwrap();
    program.build(&["--secret", &format!("id=f,src={}", file.display())]);
}

#[test]
fn k05_a_secret_that_is_missing() {
    let Some(layout) = busybox("k05_a_secret_that_is_missing") else { return };
    let program = Program::new("FROM busybox:local\nRUN --mount=type=secret,id=f,required true\n");
    assert_eq!(program.run(&["image", "load", layout.to_str().unwrap()]).code, Some(0));
    program
        .run(&["build"])
        .says(1, &["Dockerfile:2 RUN", "the secret `f` is required, but was not given", "--secret id=f,src=FILE"]);
    program.write("Dockerfile", "FROM busybox:local\nRUN --mount=type=secret,id=f test ! -e /run/secrets/f\n");
    assert_eq!(program.run(&["build"]).code, Some(0));
    program.run(&["build", "--secret", "id=f,env=NOT_SET"]).says(2, &["the variable `NOT_SET` is not set"]);
    program.run(&["build", "--secret", "id=f,src=nowhere"]).says(2, &["cannot read `nowhere`", "ENOENT"]);
}

#[test]
fn k06_files_that_are_no_secrets() {
    let program = Program::new("FROM scratch\n");
    let path = |name: &str| program.path(name);
    let ends = |name: &str| {
        let started = Instant::now();
        let spec = format!("id=f,src={}", path(name).display());
        let ended = program.run(&["build", "--secret", &spec]);
        assert!(started.elapsed() < Duration::from_secs(20), "{name} held the build");
        ended
    };
    rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    ends("fifo").says(2, &["cannot read", "fifo", "is not a regular file"]);
    fs::create_dir(path("dir")).unwrap();
    ends("dir").says(2, &["cannot read", "dir", "is a directory"]);
    fs::write(path("large"), vec![b'x'; 600 << 10]).unwrap();
    ends("large").says(2, &["is larger than 500 KiB"]);
    program.run(&["build", "--secret", "id=f,src=/dev/zero"]).says(2, &["is not a regular file"]);
    fs::write(path("closed"), "x").unwrap();
    fs::set_permissions(path("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    if !rustix::process::geteuid().is_root() {
        ends("closed").says(2, &["cannot read", "closed", "EACCES"]);
    }
}

#[test]
fn k06_any_bytes_are_a_secret() {
    let Some(layout) = busybox("k06_any_bytes_are_a_secret") else { return };
    let program = Program::new("FROM busybox:local\nRUN --mount=type=secret,id=f test \"$(wc -c < /run/secrets/f)\" = 0\n");
    assert_eq!(program.run(&["image", "load", layout.to_str().unwrap()]).code, Some(0));
    let (file, link) = (program.path("f"), program.path("link"));
    fs::write(&file, "").unwrap();
    std::os::unix::fs::symlink("f", &link).unwrap();
    let spec = format!("id=f,src={}", link.display());
    program.build(&["--secret", &spec]);
    fs::write(&file, b"a\0b\n\xff").unwrap();
    program.write("Dockerfile", "FROM busybox:local\nRUN --mount=type=secret,id=f test \"$(wc -c < /run/secrets/f)\" = 5\n");
    program.build(&["--secret", &spec]);
}

#[test]
fn k07_values_on_the_command_line() {
    let Some(layout) = busybox("k07_values_on_the_command_line") else { return };
    let program = Program::new("FROM busybox:local\nARG TOKEN\nENV API_KEY=x\n");
    assert_eq!(program.run(&["image", "load", layout.to_str().unwrap()]).code, Some(0));
    let lint = program.run(&["lint"]);
    assert_eq!(format!("{}{}", lint.stdout, lint.stderr).matches("SecretsUsedInArgOrEnv").count(), 2, "{}", lint.stdout);
    program.write("Dockerfile", "FROM busybox:local\nRUN test -n \"$HTTP_PROXY\"\n");
    let (one, two) = (canary(), canary());
    let build = |value: &str| program.build(&["-t", "k07:1", "--build-arg", &format!("HTTP_PROXY=http://u:{value}@h:1")]);
    assert_eq!(line(&build(&one), 2)["result"], "ran");
    assert_eq!(line(&build(&two), 2)["result"], "hit", "the proxy is not in the key");
    let mut where_found = Vec::new();
    leaks(&program.store, Path::new(""), &[&one, &two], &mut where_found);
    assert!(where_found.is_empty(), "{where_found:#?}");
}

#[test]
fn k11_nobody_else_reads_the_store() {
    if !can_build("k11_nobody_else_reads_the_store") {
        return;
    }
    for umask in ["000", "077"] {
        let program = Program::new("FROM scratch\nCOPY a /a\n");
        program.write("a", "1\n");
        fs::set_permissions(program.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        let mut shell = Command::new("/bin/sh");
        let script = format!("umask {umask}; exec \"$0\" build -t k11:1 .");
        shell.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_rbuild-tui")).current_dir(&program.context);
        shell.env("RBUILD_TUI_STORE", &program.store);
        let ended = Ended::of(shell.output().unwrap());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let mode = fs::metadata(&program.store).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "umask {umask}: {mode:o}");
        if rustix::process::geteuid().is_root() {
            let mut find = Command::new("/usr/bin/find");
            find.arg(&program.store).args(["-mindepth", "1"]).uid(65534).gid(65534).current_dir("/");
            let seen = Ended::of(find.output().unwrap());
            assert!(seen.stdout.is_empty(), "umask {umask}: {}", seen.stdout);
            assert!(seen.stderr.contains("ermission denied"), "{}", seen.stderr);
        }
    }
}

#[test]
fn k14_what_a_cache_mount_holds_is_not_exported() {
    let Some(layout) = busybox("k14_what_a_cache_mount_holds_is_not_exported") else { return };
    let program = Program::new(
        "FROM busybox:local\nRUN --mount=type=cache,target=/c --mount=type=secret,id=f cp /run/secrets/f /c/kept\nRUN ls /\n",
    );
    assert_eq!(program.run(&["image", "load", layout.to_str().unwrap()]).code, Some(0));
    let value = canary();
    let (file, out) = (program.path("f"), program.path("out"));
    fs::write(&file, &value).unwrap();
    fs::create_dir(&out).unwrap();
    for (format, name) in [("oci", "oci.tar"), ("docker", "docker.tar")] {
        let to = format!("type={format},dest={}", out.join(name).display());
        program.build(&["--secret", &format!("id=f,src={}", file.display()), "-o", &to]);
    }
    let oci = format!("type=oci,tar=false,dest={}", out.join("layout").display());
    program.build(&["--secret", &format!("id=f,src={}", file.display()), "-o", &oci]);
    let mut where_found = Vec::new();
    leaks(&out, Path::new(""), &[&value], &mut where_found);
    assert!(where_found.is_empty(), "{where_found:#?}");
}

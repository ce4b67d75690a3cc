//! What only one step sees: secrets in variables, and agents with ssh keys.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::program::{Program, busybox, can_build, line};

const CANARY: &str = "RB-S3CR3T-4711";

/// No file of the store has it.
fn is_nowhere(program: &Program, text: &str) {
    let mut todo = vec![program.store.clone()];
    while let Some(path) = todo.pop() {
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(text.len()).any(|w| w == text.as_bytes()), "{}", path.display());
        }
    }
}

#[test]
fn k01_a_secret_in_a_variable_is_seen_by_its_step_alone() {
    let Some(busybox) = busybox("k01_a_secret_in_a_variable_is_seen_by_its_step_alone") else { return };
    let context = format!("base=oci-layout://{}", busybox.display());
    let program = Program::new(
        "FROM base\nRUN --network=none --mount=type=secret,id=t,env=TOKEN test \"$TOKEN\" = \"$(printf RB-S3CR%s 3T-4711)\" && test ! -e /run/secrets\nRUN --network=none --mount=type=secret,id=t,env=TOKEN,target=/s test \"$TOKEN\" = \"$(cat /s)\"\nRUN --network=none test -z \"$TOKEN\"\n",
    );
    let mut command =
        program.command(&["build", "-t", "x", "--build-context", &context, "--secret", "id=t,env=FROM_HERE", "."]);
    let done = command.env("FROM_HERE", CANARY).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    is_nowhere(&program, CANARY);
    // K02: another value is no miss.
    fs::write(program.path("s"), "other").unwrap();
    let file = format!("type=file,id=t,src={}", program.path("s").display());
    let document = program.build(&["--build-context", &context, "--secret", &file, "."]);
    assert_eq!(line(&document, 2)["result"], "hit");
    // K05: missing ones.
    program.write("Dockerfile", "FROM base\nRUN --network=none --mount=type=secret,id=t,env=T test -z \"$T\"\n");
    program.build(&["--build-context", &context, "."]);
    program.write("Dockerfile", "FROM base\nRUN --network=none --mount=type=secret,id=t,env=T,required true\n");
    program.run(&["build", "--build-context", &context, "."]).says(1, &["Dockerfile:2", "the secret `t` is required"]);
    program.write("Dockerfile", "FROM base\nRUN --mount=type=secret,id=t,env=A=B true\n");
    program.run(&["build", "--build-context", &context, "."]).says(1, &["Dockerfile:2", "is no name of a variable"]);
}

/// An agent that answers with what it was asked, turned around.
fn agent(program: &Program) -> std::path::PathBuf {
    let path = program.path("agent");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 5];
            stream.read_exact(&mut asked).unwrap();
            asked.reverse();
            stream.write_all(&asked).unwrap();
        }
    });
    path
}

#[test]
fn k08_an_agent_is_reached_by_its_step_alone() {
    let Some(busybox) = busybox("k08_an_agent_is_reached_by_its_step_alone") else { return };
    let debian = busybox.with_file_name("debian-mini.oci");
    let context = format!("base=oci-layout://{}", debian.display());
    let program = Program::new(
        "FROM base\nRUN --network=none --mount=type=ssh,uid=7,gid=8,mode=640 test \"$SSH_AUTH_SOCK\" = /run/buildkit/ssh_agent.0 && test -S $SSH_AUTH_SOCK && stat -c %u:%g:%a $SSH_AUTH_SOCK > /how && if command -v perl; then perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Peer => $ENV{SSH_AUTH_SOCK}) or die; $s->autoflush(1); print $s \"hello\"; read($s, $x, 5); print $x' > /said; fi\nRUN --network=none test -z \"$SSH_AUTH_SOCK\" && test ! -e /run/buildkit\nRUN --network=none --mount=type=ssh,id=other,target=/a/s test ! -e /a/s\n",
    );
    let path = agent(&program);
    let (out, given) = (program.path("out"), format!("default={}", path.display()));
    program.build(&["--build-context", &context, "--ssh", &given, "-o", out.to_str().unwrap(), "."]);
    assert_eq!(fs::read_to_string(out.join("how")).unwrap(), "7:8:640\n");
    match fs::read_to_string(out.join("said")) {
        Ok(said) => assert!(said.ends_with("olleh"), "{said}"),
        Err(_) => println!("skipped: what an agent answers: the image has no perl"),
    }
    assert!(!out.join("run/buildkit").exists() && !out.join("a").exists());
    is_nowhere(&program, path.to_str().unwrap());
    assert_eq!(fs::read_dir(program.store.join("tmp")).unwrap().count(), 0);
    program.write("Dockerfile", "FROM base\nRUN --mount=type=ssh,required true\n");
    program
        .run(&["build", "--build-context", &context, "."])
        .says(1, &["Dockerfile:2", "the ssh agent `default` is required"]);
    program.run(&["build", "--ssh", "default", "."]).says(2, &["SSH_AUTH_SOCK is not set"]);
    program.run(&["build", "--ssh", "a=/nonexistent", "."]).says(2, &["/nonexistent"]);
}

#[test]
fn k08_keys_given_as_files_are_held_by_an_agent_that_ends_with_the_build() {
    let Some(busybox) = busybox("k08_keys_given_as_files_are_held_by_an_agent_that_ends_with_the_build") else { return };
    let context = format!("base=oci-layout://{}", busybox.display());
    let program = Program::new("FROM base\nRUN --network=none --mount=type=ssh,id=k,required test -S \"$SSH_AUTH_SOCK\"\n");
    let key = program.path("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    if !made.is_ok_and(|status| status.success()) {
        return println!("skipped: keys as files: there is no ssh-keygen");
    }
    program.build(&["--build-context", &context, "--ssh", &format!("k={}", key.display()), "."]);
    assert_eq!(fs::read_dir(program.store.join("tmp")).unwrap().count(), 0);
    fs::write(program.path("broken"), "no key").unwrap();
    let given = format!("k={}", program.path("broken").display());
    let ended = program.run(&["build", "--no-cache", "--build-context", &context, "--ssh", &given, "."]);
    ended.says(1, &["the ssh key", "cannot be used"]);
}

#[test]
fn a_text_that_should_not_have_been_copied_is_gone_after_prune() {
    let test = "a_text_that_should_not_have_been_copied_is_gone_after_prune";
    if !can_build(test) {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY . /\n");
    program.write(".env", &format!("TOKEN={CANARY}\n"));
    program.build(&[]);
    fs::remove_file(program.context.join(".env")).unwrap();
    program.build(&[]);
    program.run(&["prune", "--all", "--force"]).says(0, &["freed"]);
    is_nowhere(&program, CANARY);
}

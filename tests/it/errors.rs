//! Bad input: one message each, the right exit code, the store intact.

use super::program::{Program, busybox, can_build};

#[test]
fn all_errors_of_a_dockerfile_at_once_with_place_and_caret() {
    let program = Program::new("FROM scratch\nCOPPY a b\nCOPY only\nEXPOSE banana\nENV\n");
    let ended = program.run(&["build"]);
    ended.says(1, &["Dockerfile:2:1: unknown instruction `COPPY`", "2 | COPPY a b", "^^^^^", "did you mean `COPY`?"]);
    ended.says(1, &["Dockerfile:2:1", "Dockerfile:3:6", "Dockerfile:5:"]);
}

#[test]
fn a_missing_source_names_what_may_have_been_meant() {
    if !can_build("a_missing_source_names_what_may_have_been_meant") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY apptxt /\n");
    program.write("app.txt", "1\n");
    program
        .run(&["build"])
        .says(1, &["Dockerfile:2 COPY apptxt /: `apptxt` does not exist in the build context", "did you mean `app.txt`?"]);
}

#[test]
fn a_source_that_is_ignored_names_the_rule() {
    if !can_build("a_source_that_is_ignored_names_the_rule") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY hidden /\n");
    program.write("hidden", "1\n");
    program.write(".dockerignore", "# nothing\nhid*\n");
    program
        .run(&["build"])
        .says(1, &["`hidden` does not exist in the build context", "line 2 of .dockerignore excludes it"]);
}

#[test]
fn a_source_outside_the_context_is_not_read() {
    if !can_build("a_source_outside_the_context_is_not_read") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY ../secret /\n");
    std::fs::write(program.path("secret"), "1\n").unwrap();
    program.run(&["build"]).says(1, &["Dockerfile:2 COPY ../secret /", "does not exist in the build context"]);
    // A link out of the context leads nowhere else.
    std::os::unix::fs::symlink("/etc/passwd", program.context.join("link")).unwrap();
    program.write("Dockerfile", "FROM scratch\nCOPY link/ /\n");
    assert_eq!(program.run(&["build"]).code, Some(1));
}

#[test]
fn an_archive_that_leads_out_of_the_destination_is_refused_by_name() {
    if !can_build("an_archive_that_leads_out_of_the_destination_is_refused_by_name") {
        return;
    }
    let program = Program::new("FROM scratch\nADD a.tar /to/\n");
    let mut builder = tar::Builder::new(std::fs::File::create(program.context.join("a.tar")).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Symlink);
    builder.append_link(&mut header, "up", "..").unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    builder.append_data(&mut header, "up/x", &b""[..]).unwrap();
    builder.finish().unwrap();
    program.run(&["build"]).says(1, &["Dockerfile:2 ADD a.tar /to/", "`up/x`, where a link leads out of the destination"]);
}

#[test]
fn an_owner_that_the_image_does_not_know_is_the_users_fault() {
    if !can_build("an_owner_that_the_image_does_not_know_is_the_users_fault") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY --chown=nobody a /\n");
    program.write("a", "1\n");
    program
        .run(&["build"])
        .says(1, &["`nobody` cannot be looked up: on scratch there is no `/etc/passwd`", "give the id as a number"]);
}

#[test]
fn a_link_that_a_wildcard_matches_is_copied_as_what_it_points_to() {
    if !can_build("a_link_that_a_wildcard_matches_is_copied_as_what_it_points_to") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY l*k /o/\n");
    std::fs::create_dir(program.context.join("real")).unwrap();
    program.write("real/f", "1\n");
    std::os::unix::fs::symlink("real", program.context.join("lnk")).unwrap();
    assert_eq!(program.run(&["build"]).code, Some(0));
}

#[test]
fn an_unknown_stage_is_named_with_those_that_exist() {
    let program = Program::new("FROM scratch AS one\nCOPY a /\n");
    program.run(&["build", "--target", "on"]).says(1, &["the target stage `on` does not exist", "`one`"]);
}

#[test]
fn an_unknown_base_image_says_how_to_provide_one() {
    let program = Program::new("FROM 127.0.0.1:1/nowhere:1\n");
    let ended = program.run(&["build"]);
    ended
        .says(3, &["Dockerfile:1:6: the base image `127.0.0.1:1/nowhere:1` cannot be pulled", "rbuild-tui image load PATH"]);
}

#[test]
fn flags_that_are_not_acted_on_are_named() {
    let program = Program::new("FROM scratch\nADD --checksum=sha256:00 a /\n");
    program.run(&["build"]).says(1, &["Dockerfile:2:5", "--checksum"]);
}

#[test]
fn wrong_usage_is_exit_2() {
    let program = Program::new("FROM scratch\n");
    program.run(&["build", "--nonsense"]).says(2, &["--nonsense"]);
    program.run(&["nonsense", "more"]).says(2, &[]);
    program.run(&["build", "--network", "moon"]).says(2, &["moon"]);
}

#[test]
fn a_context_that_is_not_there_is_one_message() {
    let program = Program::new("FROM scratch\n");
    program.run(&["build", "nowhere"]).says(1, &["cannot open the build context `nowhere`", "no such file or directory"]);
    program.run(&["build", "-f", "Otherfile"]).says(1, &["there is no Dockerfile at", "name it with -f"]);
}

#[test]
fn the_store_is_intact_after_an_error() {
    if !can_build("the_store_is_intact_after_an_error") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY a /a\nCOPY b /b\n");
    program.write("a", "1\n");
    assert_eq!(program.run(&["build"]).code, Some(1));
    program.write("b", "1\n");
    let document = program.build(&[]);
    assert_eq!(super::program::line(&document, 2)["result"], "hit", "finished steps are kept");
}

#[test]
fn a_failed_run_shows_its_last_twenty_lines() {
    let name = "a_failed_run_shows_its_last_twenty_lines";
    let Some(layout) = busybox(name) else { return };
    let program = Program::new(
        "FROM busybox:local\nRUN for i in $(seq 30); do echo line-$i; done; printf '\\033[31mred\\033[0m\\n'; exit 7\n",
    );
    assert_eq!(program.run(&["image", "load", layout.to_str().unwrap()]).code, Some(0));
    let ended = program.run(&["build"]);
    ended.says(1, &["Dockerfile:2 RUN", "exited with code 7", "line-12", "line-30"]);
    let message = ended.stderr.split("error: ").last().unwrap();
    assert!(!message.contains("line-11\n"), "{message}");
    assert!(!ended.stderr.contains('\u{1b}') && !ended.stdout.contains('\u{1b}'));
}

#[test]
fn a_failed_step_says_what_it_used() {
    let Some(layout) = busybox("a_failed_step_says_what_it_used") else { return };
    let program = Program::new("FROM base\nRUN i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; exit 7\n");
    let base = format!("base=oci-layout://{}", layout.display());
    let ended = program.run(&["build", "--plain", "--build-context", &base]);
    ended.says(1, &["exit 7: failed after ", "s of CPU, ", "B of memory"]);
    let ended = program.run(&["build", "--json", "--build-context", &base]);
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let usage = &super::program::line(&document, 2)["usage"];
    assert!(usage["cpu_seconds"].as_f64().unwrap() > 0.01, "{usage}");
    assert!(usage["peak_memory_bytes"].as_u64().unwrap() > 100_000, "{usage}");
    assert!(usage["written_bytes"].is_u64() && usage["read_bytes"].is_u64(), "{usage}");
    let ended = program.run(&["build", "--progress=json", "--build-context", &base]);
    let events: Vec<serde_json::Value> = ended.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let failed = |event: &&serde_json::Value| event["event"]["outcome"]["outcome"] == "failed";
    let event = &events.iter().find(failed).unwrap_or_else(|| panic!("{}", ended.stdout))["event"];
    assert!(event["usage"]["cpu_micros"].as_u64().unwrap() > 10_000, "{event}");
    program.run(&["why", "2"]).says(0, &["failed", "used: ", "of CPU, ", "of memory at most", "written"]);
    let why: serde_json::Value = serde_json::from_str(&program.run(&["why", "2", "--json"]).stdout).unwrap();
    assert!(why["steps"][0]["usage"]["cpu_seconds"].as_f64().unwrap() > 0.01, "{why}");
    // A step whose process never began has none.
    program.write("Dockerfile", "FROM base\nCOPY nothing /\n");
    let ended = program.run(&["build", "--json", "--build-context", &base]);
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(super::program::line(&document, 2)["usage"].is_null(), "{document}");
}

#[test]
fn escape_sequences_in_names_reach_no_terminal() {
    if !can_build("escape_sequences_in_names_reach_no_terminal") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY d /d\n");
    program.write("d/a", "1\n");
    program.build(&[]);
    let name = "d/\u{1b}]0;owned\u{7}\u{1b}[31m\u{202e}\n";
    program.write(name, "1\n");
    for args in
        [&["build"][..], &["why"], &["why", "--json"], &["history", "ls"], &["build", "--progress=json"], &["suggest"]]
    {
        let ended = program.run(args);
        for text in [&ended.stdout, &ended.stderr] {
            assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{args:?}: {text:?}");
        }
    }
    program.write("Dockerfile", "FROM scratch\nCOPY \u{1b}]x /d\n");
    let ended = program.run(&["build"]);
    assert_eq!(ended.code, Some(1));
    assert!(!ended.stderr.contains('\u{1b}') && !ended.stdout.contains('\u{1b}'), "{:?}", ended.stderr);
}

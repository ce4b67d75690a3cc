//! Stores that are damaged, or that cannot be written: what is said, and what still works.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::program::{Ended, Program, busybox, can_build, line};

fn built(test: &str) -> Option<Program> {
    if !can_build(test) {
        return None;
    }
    let program = Program::new("FROM scratch\nCOPY a /a\n");
    program.write("a", "1\n");
    program.build(&["-t", "x:1"]);
    Some(program)
}

#[test]
fn a_damaged_index_names_the_way_out_and_the_way_works() {
    let Some(program) = built("a_damaged_index_names_the_way_out_and_the_way_works") else { return };
    let index = program.store.join("index.db");
    for name in ["index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(program.store.join(name));
    }
    for damage in [&b"this is no database, and it never was one"[..], &[0xff; 8192]] {
        fs::write(&index, damage).unwrap();
        for args in [&["build"][..], &["why"], &["history", "ls"], &["du"], &["check"]] {
            let ended = program.run(args);
            ended.says(3, &["error: ", "the index of the store", "help: it is damaged: move `", "/index.db` away"]);
            assert_eq!(ended.stderr.matches("error: ").count(), 1, "{args:?}: {}", ended.stderr);
        }
    }
    fs::rename(&index, program.path("damaged")).unwrap();
    assert_eq!(line(&program.build(&[]), 2)["result"], "ran");
    let layers = || fs::read_dir(program.store.join("layers")).unwrap().count();
    let before = layers();
    program.run(&["prune", "--force"]).says(0, &[]);
    assert!(layers() < before, "what the old one left is taken: {before}, {}", layers());
    program.run(&["check"]).says(0, &[]);
}

#[test]
fn a_damaged_form_of_the_layers_names_the_way_out_and_the_way_works() {
    let Some(program) = built("a_damaged_form_of_the_layers_names_the_way_out_and_the_way_works") else { return };
    let form = program.store.join("form");
    let good = fs::read(&form).unwrap();
    program.write("a", "2\n");
    for damage in [&b""[..], b"{", b"\xff\x00", b"{\"overlay\":7}"] {
        fs::write(&form, damage).unwrap();
        program
            .run(&["build"])
            .says(3, &["error: ", "/form`, which says what the store's layers look like, is damaged", "help: "]);
    }
    // A folder in its place, or leases that are a file.
    fs::remove_file(&form).unwrap();
    fs::create_dir(&form).unwrap();
    program.run(&["build"]).says(3, &["/form`", "help: "]);
    fs::remove_dir(&form).unwrap();
    if rustix::process::geteuid().is_root() {
        program.build(&[]);
        assert_eq!(fs::read(&form).unwrap(), good, "it is written anew");
    }
    fs::write(&form, good).unwrap();
    for name in ["leases", "locks", "builds"] {
        let folder = program.store.join(name);
        fs::rename(&folder, program.path(name)).unwrap();
        fs::write(&folder, "").unwrap();
        program.run(&["build"]).says(3, &[&format!("/{name}`"), "help: something that is no folder is in its place"]);
        fs::remove_file(&folder).unwrap();
        fs::rename(program.path(name), &folder).unwrap();
    }
    program.build(&[]);
}

/// Runs the program on a read-only mount of its store, in a mount namespace of its own.
fn read_only(program: &Program, args: &[&str]) -> Ended {
    let own = program.command(args);
    let mut command = Command::new("unshare");
    let bind = "mount --bind \"$RBUILD_TUI_STORE\" \"$RBUILD_TUI_STORE\" && \
                mount -o remount,bind,ro \"$RBUILD_TUI_STORE\" && exec \"$@\"";
    command.args(["-m", "sh", "-c", bind, "sh"]).arg(own.get_program()).args(own.get_args()).env_clear();
    own.get_envs().for_each(|(name, value)| {
        command.env(name, value.unwrap_or_default());
    });
    Ended::of(command.current_dir(&program.context).output().unwrap())
}

fn names(folder: &Path, out: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        out.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            names(&entry.path(), out);
        }
    }
}

#[test]
fn a_store_that_cannot_be_written_can_be_looked_at() {
    let test = "a_store_that_cannot_be_written_can_be_looked_at";
    let Some(program) = built(test) else { return };
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: {test}: needs root");
    }
    let all = || {
        let mut found = Vec::new();
        names(&program.store, &mut found);
        found.sort();
        found
    };
    let before = all();
    let why: Value = serde_json::from_str(&read_only(&program, &["why", "--json"]).stdout).unwrap();
    assert_eq!(why["steps"][1]["result"], "ran", "{why}");
    read_only(&program, &["why"]).says(0, &["line 2: COPY a /a"]);
    read_only(&program, &["history", "ls"]).says(0, &["Dockerfile"]);
    read_only(&program, &["image", "ls"]).says(0, &["x:1"]);
    read_only(&program, &["build"]).says(3, &["error: ", "help: "]);
    assert_eq!(all(), before);
    // The same while another program has it open, and after one was killed with changes that are not in the file itself.
    let db = rusqlite::Connection::open(program.store.join("index.db")).unwrap();
    db.execute_batch("create table held (x); insert into held values (1);").unwrap();
    read_only(&program, &["why"]).says(0, &["line 2: COPY a /a"]);
    for (name, kept) in [("index.db-wal", true), ("index.db-shm", false)] {
        let path = program.store.join(name);
        let copy = program.path(name);
        if kept {
            fs::copy(&path, &copy).unwrap();
        }
    }
    drop(db);
    fs::rename(program.path("index.db-wal"), program.store.join("index.db-wal")).unwrap();
    let ended = read_only(&program, &["why"]);
    ended.says(3, &["error: the index of the store", "help: "]);
    program.run(&["why"]).says(0, &["line 2: COPY a /a"]);
    read_only(&program, &["why"]).says(0, &["line 2: COPY a /a"]);
}

#[test]
fn somebody_elses_store_can_be_looked_at_by_root_and_is_not_built_with() {
    let test = "somebody_elses_store_can_be_looked_at_by_root_and_is_not_built_with";
    let Some(program) = built(test) else { return };
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: {test}: needs root");
    }
    std::os::unix::fs::chown(&program.store, Some(4711), Some(4711)).unwrap();
    program.run(&["build"]).says(3, &["belongs to the user 4711"]);
    program.run(&["why"]).says(0, &["line 2: COPY a /a"]);
    // A path that a database's address could take for options.
    let mut odd = Program::new("FROM scratch\nCOPY a /a\n");
    odd.write("a", "1\n");
    odd.store = odd.path("st?mode=rw#%41 ore");
    odd.build(&[]);
    read_only(&odd, &["why"]).says(0, &["line 2: COPY a /a"]);
    assert_eq!(fs::metadata(&odd.store).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn commands_that_only_look_make_no_store() {
    let mut program = Program::new("FROM scratch\nCOPY a /a\n");
    program.write("a", "1\n");
    program.store = program.path("nothing");
    let nothing = "nothing was built here yet: there is no store at `";
    program.run(&["plan"]).says(0, &[nothing, "nothing`", "COPY a /a", "1 step will run", "nothing was written"]);
    let plan: Value = serde_json::from_str(&program.run(&["plan", "--json"]).stdout).unwrap();
    assert_eq!(line(&plan, 2)["result"], "ran", "{plan}");
    for args in [&["du"][..], &["check"], &["prune"], &["prune", "--force"]] {
        program.run(args).says(0, &[nothing]);
        let json = program.run(&[args, &["--json"]].concat());
        assert!(serde_json::from_str::<Value>(&json.stdout).is_ok(), "{args:?}: {json:?}");
    }
    program.run(&["history", "ls"]).says(0, &["no builds yet"]);
    for args in
        [&["why"][..], &["why", "--reads"], &["why", "--builders"], &["why", "--key", "2"], &["timeline"], &["layers"]]
    {
        program.run(args).says(1, &["error: Dockerfile was not built here yet", "help: run `rbuild-tui build` first"]);
    }
    program.run(&["du", "x"]).says(1, &["there is no cache mount `x`"]);
    for args in [&["context"][..], &["image", "ls"], &["whatif", "--touch", "a"], &["suggest"], &["lint"]] {
        program.run(args).says(0, &[]);
    }
    assert!(!program.store.exists());
    // An empty folder is no store either, and stays as it is.
    fs::create_dir(&program.store).unwrap();
    program.run(&["plan"]).says(0, &[nothing]);
    assert_eq!(fs::read_dir(&program.store).unwrap().count(), 0);
    // Nor is a folder of something else.
    fs::write(program.store.join("mine"), "1\n").unwrap();
    for args in [&["plan"][..], &["du"], &["check"], &["prune", "--force"]] {
        program.run(args).says(0, &[nothing]);
    }
    assert_eq!(fs::read_dir(&program.store).unwrap().count(), 1);
}

#[test]
fn a_plan_on_a_base_from_a_file_brings_nothing_into_the_store() {
    let test = "a_plan_on_a_base_from_a_file_brings_nothing_into_the_store";
    let Some(layout) = busybox(test) else { return };
    let program = Program::new("FROM base\nRUN true\n");
    let base = format!("--build-context=base=oci-layout://{}", layout.display());
    program.run(&["plan", &base]).says(0, &["nothing was built here yet", "RUN true", "nothing was written"]);
    assert!(!program.store.exists());
    program.build(&[&base]);
    program.run(&["plan", &base]).says(0, &["everything comes from the cache"]);
    // Where the store has lost its blobs, a plan does not bring them back.
    fs::remove_dir_all(program.store.join("blobs")).unwrap();
    program.run(&["plan", &base]).says(0, &[]);
    assert_eq!(fs::read_dir(program.store.join("blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn a_home_that_is_no_absolute_path_is_none() {
    let program = Program::new("FROM scratch\n");
    for home in ["", ".", "home", "../x"] {
        let mut command = program.command(&["history", "ls"]);
        let ended = Ended::of(command.env_remove("RBUILD_TUI_STORE").env("HOME", home).output().unwrap());
        ended.says(3, &["there is no folder for the store", "--store", "HOME to an absolute path"]);
    }
    assert_eq!(fs::read_dir(&program.context).unwrap().count(), 1, "nothing is made in the folder one happens to be in");
}

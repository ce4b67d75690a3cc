//! Every verdict of the taxonomy, caused for real: a table of what was done and the sentence that came of it. Prints the table;
//! `cargo test --test it verdicts -- --nocapture` shows it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::program::{Program, can_build};
use super::registry::server::{Action, Registry};

/// A store with the demo's base image, and a folder for each case.
struct Table {
    program: Program,
    rows: Vec<(String, String, String)>,
    wrong: Vec<String>,
    next: u32,
}

/// One project in the table's store.
struct Case<'t> {
    table: &'t mut Table,
    folder: PathBuf,
    flags: Vec<String>,
}

const COPY: &str = "FROM rbuild-demo:host\nRUN echo @N@\nCOPY d /d\nRUN ls /\n";

impl Table {
    fn case(&mut self, dockerfile: &str) -> Case<'_> {
        self.next += 1;
        let folder = self.program.path(&format!("case{}", self.next));
        fs::create_dir_all(folder.join("d")).unwrap();
        let word = format!("n{}", self.next);
        fs::write(folder.join("Dockerfile"), dockerfile.replace("@N@", &word)).unwrap();
        for (name, text) in [("d/a", "a\n"), ("d/b", "b\n")] {
            fs::write(folder.join(name), format!("{text}{word}\n")).unwrap();
        }
        Case { table: self, folder, flags: Vec::new() }
    }

    /// Notes a sentence; none is a failure.
    fn note(&mut self, code: &str, how: &str, sentence: Option<String>, seen: &Value) {
        match sentence {
            Some(sentence) => self.rows.push((code.into(), how.into(), sentence)),
            None => self.wrong.push(format!("{code}: {how}: not said; {seen}")),
        }
    }

    fn index(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.program.store.join("index.db")).unwrap()
    }
}

impl Case<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn edit(&self, from: &str, to: &str) {
        let path = self.path("Dockerfile");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    fn flag(&mut self, flag: &str) {
        self.flags.push(flag.to_owned());
    }

    fn build(&self) -> Value {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let folder = self.folder.to_str().unwrap();
        let ended = self.table.program.run(&[&["build", "--json"], flags.as_slice(), &[folder]].concat());
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Builds, changes, builds again: the step of this line has a reason with this code.
    fn miss(mut self, code: &str, how: &str, line: u64, change: impl FnOnce(&mut Self)) {
        self.build();
        change(&mut self);
        self.says(code, how, line);
    }

    /// Builds now: the step of this line has a reason with this code, with an action beside it.
    fn says(self, code: &str, how: &str, line: u64) {
        let document = self.build();
        let reasons = step(&document, line)["reasons"].as_array().cloned().unwrap_or_default();
        let found = reasons.iter().find(|reason| reason["code"] == code);
        if let Some(reason) = found {
            assert!(!reason["action"].as_str().unwrap().is_empty(), "{reason}");
        }
        let sentence = found.map(|reason| reason["text"].as_str().unwrap().to_owned());
        self.table.note(code, how, sentence, step(&document, line));
    }

    /// Builds now: the step of this line is a hit of this kind.
    fn hits(self, kind: &str, how: &str, line: u64) {
        let document = self.build();
        let found = (step(&document, line)["how"] == kind).then(|| self.why(line));
        self.table.note(&format!("hit: {kind}"), how, found, step(&document, line));
    }

    /// Builds now: there is a doubt with this code.
    fn doubts(self, code: &str, how: &str, line: u64) {
        let document = self.build();
        let doubts = step(&document, line)["doubts"].as_array().cloned().unwrap_or_default();
        let found = doubts.iter().find(|doubt| doubt["code"] == code);
        let sentence = found.map(|doubt| doubt["text"].as_str().unwrap().to_owned());
        self.table.note(code, how, sentence, step(&document, line));
    }

    /// The verdict as `why` says it.
    fn why(&self, line: u64) -> String {
        let folder = self.folder.to_str().unwrap();
        let ended = self.table.program.run(&["why", &line.to_string(), "-C", folder]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout.lines().nth(1).unwrap_or_default().trim().to_owned()
    }
}

fn step(document: &Value, line: u64) -> &Value {
    let steps = document["steps"].as_array().unwrap();
    steps.iter().rfind(|step| step["line"] == line).unwrap_or(&Value::Null)
}

fn files(table: &mut Table) {
    table.case(COPY).says("M1", "first build", 3);
    table.case(COPY).miss("M2", "a file of d got another content", 3, |c| fs::write(c.path("d/a"), "other\n").unwrap());
    table.case(COPY).miss("M3", "a file was added", 3, |c| fs::write(c.path("d/new"), "new\n").unwrap());
    table.case(COPY).miss("M4", "a file was removed", 3, |c| fs::remove_file(c.path("d/b")).unwrap());
    table.case(COPY).miss("M5", "a file was renamed", 3, |c| fs::rename(c.path("d/b"), c.path("d/z")).unwrap());
    table.case(COPY).miss("M6", "a file was made executable", 3, |c| {
        fs::set_permissions(c.path("d/a"), fs::Permissions::from_mode(0o755)).unwrap();
    });
    let case = table.case(COPY);
    if rustix::fs::setxattr(case.path("d/b"), "user.probe", b"1", rustix::fs::XattrFlags::empty()).is_ok() {
        case.miss("M7", "an extended attribute was set", 3, |c| {
            rustix::fs::setxattr(c.path("d/a"), "user.a", b"1", rustix::fs::XattrFlags::empty()).unwrap();
        });
    } else {
        println!("skipped: M7: this file system has no extended attributes");
    }
    let case = table.case(COPY);
    symlink("a", case.path("d/l")).unwrap();
    case.miss("M8", "a link leads elsewhere", 3, |c| {
        fs::remove_file(c.path("d/l")).unwrap();
        symlink("b", c.path("d/l")).unwrap();
    });
    let stages = "FROM rbuild-demo:host AS s\nRUN echo @N@ > /f && chown 1:1 /f\nFROM scratch\nCOPY --from=s /f /f\n";
    table.case(stages).miss("M9", "the stage gives the file another owner", 4, |c| c.edit("chown 1:1", "chown 2:2"));
    let all = "FROM rbuild-demo:host\nRUN echo @N@\nCOPY . /all\n";
    table.case(all).miss("M10", "a rule of .dockerignore leaves a file out", 3, |c| {
        fs::write(c.path(".dockerignore"), "d/b\n").unwrap();
    });
    table.case(all).miss("M11", "a commit was made; .git is in the context", 3, |c| {
        fs::create_dir(c.path(".git")).unwrap();
        fs::write(c.path(".git/HEAD"), "1\n").unwrap();
    });
}

fn settings(table: &mut Table) {
    let run = "FROM rbuild-demo:host\nRUN echo @N@\nRUN echo one\n";
    table.case(run).miss("M12", "the command was edited", 3, |c| c.edit("echo one", "echo two"));
    table.case(run).miss("M12", "only a blank was added", 3, |c| c.edit("echo one", "echo  one"));
    for (from, to) in
        [("USER 1", "USER 2"), ("WORKDIR /a", "WORKDIR /b"), ("SHELL [\"/bin/sh\", \"-c\"]", "SHELL [\"/bin/sh\", \"-ec\"]")]
    {
        let text = format!("FROM rbuild-demo:host\nRUN echo @N@\n{from}\nRUN echo one\n");
        let word = from.split(' ').next().unwrap().to_owned();
        table.case(&text).miss("M13", &format!("{word} above was edited"), 4, |c| c.edit(from, to));
    }
    let env = "FROM rbuild-demo:host\nRUN echo @N@\nENV A=1\nENV B=1\nRUN echo $A\n";
    table.case(env).miss("M14", "an ENV got another value", 5, |c| c.edit("A=1", "A=2"));
    table.case(env).miss("M14", "two ENV lines were swapped", 5, |c| c.edit("ENV A=1\nENV B=1", "ENV B=1\nENV A=1"));
    let arg = "FROM rbuild-demo:host\nRUN echo @N@\nARG V=1\nRUN echo $V\nRUN echo no\n";
    table.case(arg).miss("M15", "--build-arg V=2, read by the command", 4, |c| c.flag("--build-arg=V=2"));
    table.case(arg).miss("M15", "--build-arg V=2, not read by the command", 5, |c| c.flag("--build-arg=V=2"));
    table.case(run).miss("M19", "RUN --network=none", 3, |c| c.edit("RUN echo one", "RUN --network=none echo one"));
    table.case(run).miss("M19", "--add-host", 3, |c| c.flag("--add-host=db:10.0.0.1"));
    table.case(run).miss("M19", "--ulimit", 3, |c| c.flag("--ulimit=nofile=640"));
    table.case(run).miss("M20", "a cache mount was added", 3, |c| {
        c.edit("RUN echo one", "RUN --mount=type=cache,target=/c echo one");
    });
    table.case(COPY).miss("M21", "COPY --chown", 3, |c| c.edit("COPY d", "COPY --chown=3 d"));
    table.case(COPY).miss("M21", "another destination", 3, |c| c.edit("d /d", "d /e"));
    let mut case = table.case("FROM rbuild-demo:host\nRUN echo @N@\nWORKDIR /w\n");
    case.flag("--build-arg=SOURCE_DATE_EPOCH=1000000000");
    case.miss("M22", "another SOURCE_DATE_EPOCH", 3, |c| c.flags = vec!["--build-arg=SOURCE_DATE_EPOCH=1000000001".into()]);
    table.case(run).miss("M23", "--no-cache", 3, |c| c.flag("--no-cache"));
}

fn elsewhere(table: &mut Table) {
    let base = table.case("FROM scratch\nCOPY d /base\n");
    let make = |case: &Case<'_>| {
        let folder = case.folder.to_str().unwrap();
        assert_eq!(case.table.program.run(&["build", "-t", "verdicts:base", folder]).code, Some(0));
    };
    make(&base);
    let folder = base.folder.clone();
    let case = table.case("FROM verdicts:base\nCOPY d /d\n");
    case.build();
    fs::write(folder.join("d/a"), "moved\n").unwrap();
    let own = case.folder.clone();
    make(&Case { table: case.table, folder, flags: Vec::new() });
    Case { table, folder: own, flags: Vec::new() }.says("M16", "the tag of the base was built anew", 1);

    let server = Registry::new();
    let url = format!("http://{}/x.txt", server.address);
    for body in ["one", "two"] {
        server.fault("GET /x.txt", 1, Action::Answer(200, String::new(), body.as_bytes().to_vec()));
    }
    table.case(&format!("FROM scratch\nADD {url} /x-@N@\n")).miss("M17", "the server gives another body", 2, |_| {});
    if super::git::has_git("M18") {
        let repository = super::git::Repository::new(&table.program);
        let server = repository.serve();
        let url = format!("http://{}/r.git", server.address);
        let case = table.case(&format!("FROM scratch\nADD {url}#main /r-@N@\n"));
        case.build();
        repository.commit(&[("a", "moved")]);
        drop(server);
        let server = repository.serve();
        case.edit(&url, &format!("http://{}/r.git", server.address));
        // Another port is another address, so the commit is what is looked for among the reasons.
        case.says("M18", "the branch moved", 2);
    }
}

/// A cache of another store: what it gives, and what it lacks. Its own store forgets all, as one of another machine.
fn imports(table: &mut Table) {
    let stages = "FROM rbuild-demo:host AS s\nRUN echo @N@ > /f\nFROM rbuild-demo:host\nRUN echo one\nCOPY --from=s /f /f\n";
    for (mode, line) in [("min", 2), ("max", 2)] {
        let mut case = table.case(stages);
        let cache = case.path("../cache").with_extension(mode);
        case.flag(&format!("--cache-to=type=local,dest={},mode={mode}", cache.display()));
        case.build();
        case.table.index().execute_batch("delete from links; delete from records; delete from results").unwrap();
        case.edit("RUN echo one", "RUN echo two");
        case.flags = vec![format!("--cache-from=type=local,src={}", cache.display())];
        match mode {
            "min" => case.says("M25", "the cache was exported with mode=min, and the stage is needed", line),
            _ => case.hits("imported", "the cache was exported with mode=max", line),
        }
    }
}

fn store(table: &mut Table) {
    let run = "FROM rbuild-demo:host\nRUN echo @N@\nRUN echo one\n";
    table.case(run).miss("M26", "the record is of another version of the key format", 3, |c| {
        let forget = "delete from links; delete from records; delete from results;
            update builds set record = replace(record, '\"format\":1,', '\"format\":0,')";
        c.table.index().execute_batch(forget).unwrap();
    });
    table.case(run).miss("M24", "prune took the result away", 3, |c| {
        assert_eq!(c.table.program.run(&["prune", "--force", "--filter", "type=step"]).code, Some(0));
    });
}

fn cascades(table: &mut Table) {
    table.case(COPY).miss("C1", "the step above ran again", 4, |c| fs::write(c.path("d/a"), "other\n").unwrap());
    let stages = "FROM rbuild-demo:host AS s\nRUN echo @N@ > /f\nFROM rbuild-demo:host\nCOPY --from=s /f /f\nRUN cat /f\n";
    table
        .case(stages)
        .miss("C2", "the stage it copies from gives something else", 4, |c| c.edit("> /f", "> /f; echo x >> /f"));
    let case = table.case(stages);
    case.build();
    case.edit("RUN echo", "RUN : again; echo");
    let document = case.build();
    let cutoff = step(&document, 4)["cutoff"].clone();
    assert_eq!(cutoff["source"], 2, "{document}");
    let folder = case.folder.to_str().unwrap();
    let said = case.table.program.run(&["why", "4", "-C", folder]).stdout;
    let sentence = said.lines().find_map(|line| line.trim().strip_prefix("C3: ").map(str::to_owned));
    case.table.note("C3", "the stage ran again and gave the same", sentence, &document);
}

fn hits(table: &mut Table) {
    let run = "FROM rbuild-demo:host\nRUN echo @N@\n";
    let case = table.case(run);
    case.build();
    case.hits("definition", "nothing changed", 2);
    let case = table.case(run);
    case.hits("manifest", "the base was used before", 1);
    let case = table.case(COPY);
    case.build();
    fs::write(case.path("d/a"), fs::read(case.path("d/a")).unwrap()).unwrap();
    case.hits("content", "a file was saved without a change", 3);
    let twins = "FROM rbuild-demo:host AS a\nRUN echo @N@ > /f\nFROM rbuild-demo:host AS b\nRUN echo @N@ > /f\nFROM scratch\nCOPY --from=a /f /a\nCOPY --from=b /f /b\n";
    let case = table.case(twins);
    let document = case.build();
    let merged = [2, 4].into_iter().find(|line| step(&document, *line)["how"] == "merged");
    let sentence = merged.map(|line| case.why(line));
    case.table.note("hit: merged", "two stages have the same step", sentence, &document);
    // The same layers under another configuration.
    let base = table.case("FROM scratch\nCOPY d /chain-@N@\nLABEL a=1\n");
    let folder = base.folder.clone();
    let tag = |program: &Program, folder: &Path| {
        let ended = program.run(&["build", "-t", "verdicts:chain", folder.to_str().unwrap()]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    };
    tag(&table.program, &folder);
    let case = table.case("FROM verdicts:chain\nCOPY d /d\n");
    case.build();
    let text = fs::read_to_string(folder.join("Dockerfile")).unwrap();
    fs::write(folder.join("Dockerfile"), text.replace("a=1", "a=2")).unwrap();
    tag(&case.table.program, &folder);
    case.hits("chain-id", "the base has another label and the same layers", 1);
    let traced = "FROM rbuild-demo:host\nCOPY . /w\nRUN cat /w/d/a > /out-@N@\n";
    let mut case = table.case(traced);
    case.flag("--trace=always");
    case.build();
    fs::write(case.path("d/b"), "not read\n").unwrap();
    case.flag("--cache=traced");
    case.hits("traced", "--cache=traced, and a file changed that it had not read", 3);
}

fn doubts(table: &mut Table) {
    let mut case = table.case("FROM rbuild-demo:host\nRUN --mount=type=secret,id=s echo @N@\n");
    let secret = case.path("d/secret");
    fs::write(&secret, "one").unwrap();
    case.flag(&format!("--secret=id=s,src={}", secret.display()));
    case.build();
    fs::write(&secret, "two").unwrap();
    case.doubts("F1", "the secret has another value", 2);
    let older = "update results set created = created - 864000000000";
    let case = table.case("FROM rbuild-demo:host\nRUN curl -s http://localhost:1/x || echo @N@\n");
    case.build();
    case.table.index().execute_batch(older).unwrap();
    case.doubts("F2", "the result is ten days old and the command read the network", 2);
    let case = table.case(COPY);
    let file = case.path("d/a");
    let still = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let set = |text: &str| {
        fs::write(&file, text).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(still).unwrap();
    };
    set("one\n");
    case.build();
    set("two\n");
    case.doubts("F3", "other bytes, the same size and time", 3);
    let cache = "FROM rbuild-demo:host\nRUN --mount=type=cache,target=/c,id=verdicts echo @N@\n";
    let case = table.case(cache);
    case.build();
    let first = case.folder.clone();
    case.table.case(cache).build();
    let case = Case { table, folder: first, flags: Vec::new() };
    case.doubts("F4", "another step has used the cache mount since", 2);
    let case = table.case("FROM rbuild-demo:host\nRUN echo @N@\n");
    case.build();
    case.table.index().execute_batch("update images set created = created - 864000").unwrap();
    case.doubts("F5", "the tag was stored ten days ago and not asked for since", 1);
}

#[test]
fn verdicts_of_the_taxonomy_are_caused_and_said() {
    if !can_build("verdicts_of_the_taxonomy_are_caused_and_said") {
        return;
    }
    let program = Program::new("");
    let demo = program.run(&["demo", "--json", "--dir", program.path("demo").to_str().unwrap()]);
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    let mut table = Table { program, rows: Vec::new(), wrong: Vec::new(), next: 0 };
    files(&mut table);
    settings(&mut table);
    elsewhere(&mut table);
    cascades(&mut table);
    hits(&mut table);
    doubts(&mut table);
    store(&mut table);
    imports(&mut table);
    table.rows.sort();
    for (code, how, sentence) in &table.rows {
        println!("{code:<16} | {how:<62} | {sentence}");
    }
    assert!(table.wrong.is_empty(), "{}", table.wrong.join("\n"));
    let codes: std::collections::BTreeSet<&str> = table.rows.iter().map(|(code, ..)| code.as_str()).collect();
    let misses = (1..=26).map(|number| format!("M{number}"));
    // What this machine cannot play was said above.
    let misses: Vec<String> = misses.filter(|code| !matches!(code.as_str(), "M7" | "M18")).collect();
    for code in misses.iter().map(String::as_str).chain(["C1", "C2", "C3", "F1", "F2", "F3", "F4", "F5"]) {
        assert!(codes.contains(code), "{code} was not played");
    }
}

//! Issue 2, must show 5: `kill -9` at any moment, and two builds at once.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lab::{Ours, Random, Running, at_line, image, write};

const DOCKERFILE: &str = "FROM busybox:local\nARG ROUND=none\nRUN echo @M@ > /ran && sleep 3\nCOPY . /src\nRUN ls /src | wc -l > /count\nCMD [\"cat\", \"/count\"]\n";
const EPOCH: &str = "--build-arg=SOURCE_DATE_EPOCH=1700000000";

fn project(context: &Path, mark: &str) {
    write(context, "Dockerfile", &DOCKERFILE.replace("@M@", mark));
    for number in 0..500 {
        write(context, &format!("d{}/f{number}", number % 7), &format!("{number}\n").repeat(number % 90 + 1));
    }
}

/// Processes other than the test itself that carry the mark in arguments or environment.
fn marked(mark: &str) -> Vec<String> {
    let mut out = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().into_string().unwrap_or_default();
        if pid.parse::<u32>().is_err() || pid == std::process::id().to_string() {
            continue;
        }
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let (arguments, environment) = (read("cmdline"), read("environ"));
        let holds = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(mark);
        if holds(&arguments) || holds(&environment) {
            out.push(format!("{pid} {}", String::from_utf8_lossy(&arguments).replace('\0', " ")));
        }
    }
    out
}

fn mounts() -> BTreeSet<String> {
    // The number of a mount and its parent's may differ; what is mounted where may not.
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    text.lines().map(|line| line.split(' ').skip(3).collect::<Vec<_>>().join(" ")).collect()
}

/// Temporary files of the store and beside the destination.
fn leftovers(ours: &Ours, out: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![ours.store.clone(), out.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let in_tmp = folder.ends_with("store/tmp") || folder.ends_with("store/locks");
            if in_tmp || name.ends_with(".tmp") || name.starts_with("ingest-") || name.starts_with(".") {
                found.push(path.display().to_string());
            } else if path.is_dir() && !folder.ends_with("store/layers") && !path.is_symlink() {
                todo.push(path);
            }
        }
    }
    found
}

fn export(out: &Path) -> String {
    format!("type=oci,dest={},rewrite-timestamp=true", out.join("image.tar").display())
}

#[test]
fn kill_nine() {
    let test = Running::start("kill_nine");
    let layout = match image("busybox") {
        Ok(layout) => layout,
        Err(why) => return test.skip(why),
    };
    let rounds: u64 = std::env::var("RBUILD_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let mut random = Random::from_environment();
    println!("kill_nine: RBUILD_PEERS_SEED={} RBUILD_KILL_ROUNDS={rounds}", random.0);
    let mark = format!("peers-kill-{:x}", random.next());
    let (control, ours) = (Ours::with_image(&layout, &["busybox:local"]), Ours::with_image(&layout, &["busybox:local"]));
    let context = ours.folder("context");
    project(&context, &mark);
    let (control_out, out) = (control.folder("out"), ours.folder("out"));
    let began = Instant::now();
    let wanted = control.build(&context, &[EPOCH, "-o", &export(&control_out)])["digest"].clone();
    let whole = began.elapsed().as_millis() as u64;
    let before = mounts();
    let mut killed = 0;
    for round in 0..rounds {
        let argument = format!("--build-arg=ROUND={round}");
        let mut command = ours.command(&["build", "--progress=json", EPOCH, &argument, "-o", &export(&out)]);
        command.arg(&context).env("RB_CASE", &mark).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        // Half of them at any moment, half while layers are packed and the image is written.
        if round % 2 == 0 {
            std::thread::spawn(|| said.lines().count());
            std::thread::sleep(Duration::from_millis(random.below(whole)));
        } else {
            let mut lines = said.lines().map_while(Result::ok);
            lines.find(|line| line.contains("\"assembling image\""));
            std::thread::spawn(|| lines.count());
            std::thread::sleep(Duration::from_micros(random.below(120_000)));
        }
        let alive = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        killed += u32::from(alive);
        // The next round begins at once: nothing is cleaned up in between.
    }
    let began = Instant::now();
    let done = ours.build(&context, &[EPOCH, "-o", &export(&out)]);
    println!("kill_nine: {killed} of {rounds} were killed alive, the last build took {:?}", began.elapsed());
    assert_eq!(done["digest"], wanted, "the image differs from that of a store that was never killed");
    let patience = Instant::now();
    while !marked(&mark).is_empty() && patience.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(marked(&mark), Vec::<String>::new(), "processes are left");
    assert_eq!(mounts(), before, "mounts are left");
    assert_eq!(leftovers(&ours, &out), Vec::<String>::new(), "temporary files are left");
    test.pass(format!("{killed} of {rounds} kills met a running build, same digest afterwards, nothing left"));
}

/// Starts a build that says its events; what it says is read by a thread.
struct Talking {
    child: Child,
    lines: std::sync::mpsc::Receiver<Value>,
    said: Vec<Value>,
}

impl Talking {
    fn start(ours: &Ours, context: &Path) -> Self {
        let mut command = ours.command(&["build", "--progress=json"]);
        let mut child = command.arg(context).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Self { child, lines, said: Vec::new() }
    }

    /// Waits until it says an event of this kind.
    fn wait_for(&mut self, kind: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.said.push(line.clone());
            let found = find_kind(&line, kind).cloned();
            if let Some(event) = found.filter(|event| matches(event)) {
                return event;
            }
        }
        panic!("no {kind} was said: {:?}", self.said);
    }

    /// The document at its end.
    fn end(mut self) -> Value {
        assert!(self.child.wait().unwrap().success(), "{:?}", self.said);
        self.said.extend(self.lines.iter());
        self.said.last().unwrap().clone()
    }
}

fn find_kind<'a>(value: &'a Value, kind: &str) -> Option<&'a Value> {
    if value["kind"] == kind {
        return Some(value);
    }
    value.as_object()?.values().find_map(|inner| find_kind(inner, kind))
}

/// A started pair: the second waits for the first one's step in line 2.
fn pair(ours: &Ours, context: &Path) -> (Talking, Talking) {
    let text = "FROM busybox:local\nRUN sleep 2; date > /when\nRUN cat /when > /copy\n";
    write(context, "Dockerfile", text);
    let mut first = Talking::start(ours, context);
    first.wait_for("vertex_started", |_| true);
    let mut second = Talking::start(ours, context);
    let waiting = second.wait_for("vertex_waiting", |_| true);
    assert_eq!(waiting["pid"], first.child.id(), "it names another process");
    (first, second)
}

#[test]
fn two_builds() {
    let test = Running::start("two_builds");
    let layout = match image("busybox") {
        Ok(layout) => layout,
        Err(why) => return test.skip(why),
    };
    let ours = Ours::with_image(&layout, &["busybox:local"]);
    let context = ours.folder("context");
    let (first, second) = pair(&ours, &context);
    let (first, second) = (first.end(), second.end());
    for line in [2, 3] {
        let results = [&at_line(&first, line)["result"], &at_line(&second, line)["result"]];
        let ran = results.iter().filter(|result| **result == "ran").count();
        assert_eq!(ran, 1, "line {line}: {results:?}");
    }
    assert_eq!(at_line(&second, 2)["how"], "merged");
    test.pass("each step ran once, the second build named the pid it waited for");
}

#[test]
fn two_builds_holder_killed() {
    let test = Running::start("two_builds_holder_killed");
    let layout = match image("busybox") {
        Ok(layout) => layout,
        Err(why) => return test.skip(why),
    };
    let ours = Ours::with_image(&layout, &["busybox:local"]);
    let context = ours.folder("context");
    let (mut first, second) = pair(&ours, &context);
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let document = second.end();
    for line in [2, 3] {
        assert_eq!(at_line(&document, line)["result"], "ran", "{document}");
    }
    test.pass("the second build took the step over from the killed one");
}

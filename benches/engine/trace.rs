//! What the watching of RUNs costs: the same step with `--trace=never` and `--trace=always`, one after the other. The least
//! of each counts: what is slower was disturbed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

const TIMES: usize = 5;
const FILES: usize = 20_000;

/// A step to measure.
struct Case {
    name: &'static str,
    /// Its last RUN is what is measured.
    dockerfile: String,
    folder: PathBuf,
    flags: Vec<String>,
}

/// Measures all cases that this machine can run, and prints them beside each other.
pub fn print(work: &Path, wanted: &dyn Fn(&str) -> bool) {
    let work = work.join("trace");
    std::fs::create_dir_all(&work).unwrap();
    let store = work.join("store");
    let base = super::ours::Ours::new(&store).base();
    let mut cases = Vec::new();
    if wanted("files") {
        cases.extend(files(&work, &base));
    }
    if wanted("compile") {
        cases.extend(compile(&work, &base));
    }
    if wanted("npm") {
        cases.extend(npm(&work));
    }
    if cases.is_empty() {
        return;
    }
    println!("| step | not watched | watched | more | calls looked at | time in them | files read |");
    println!("|---|---|---|---|---|---|---|");
    for case in &cases {
        std::fs::write(case.folder.join("Dockerfile"), &case.dockerfile).unwrap();
        measure(case, &store);
    }
}

fn measure(case: &Case, store: &Path) {
    let (mut off, mut on) = (f64::MAX, f64::MAX);
    let mut reads = Value::Null;
    for _ in 0..TIMES {
        off = off.min(run(case, store, "never")["seconds"].as_f64().unwrap());
        let step = run(case, store, "always");
        on = on.min(step["seconds"].as_f64().unwrap());
        reads = step["reads"].clone();
    }
    let (name, more) = (case.name, (on / off - 1.0) * 100.0);
    let (calls, files) = (&reads["calls"], &reads["files"]);
    let millis = reads["seconds"].as_f64().unwrap_or(0.0) * 1000.0;
    let whole = if reads["complete"] == true { "" } else { " (incomplete)" };
    println!("| {name} | {off:.3} s | {on:.3} s | {more:+.0} % | {calls} | {millis:.0} ms | {files}{whole} |");
}

/// Runs the last step of a case anew, and gives what is said of it.
fn run(case: &Case, store: &Path, trace: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rbuild-tui"));
    command.args(["build", "--json", "--no-cache-filter", "measured", "--trace", trace, "--store"]).arg(store);
    let output = command.args(&case.flags).arg(&case.folder).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{}", case.name);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["steps"].as_array().unwrap().iter().rev().find(|step| step["result"] == "ran").unwrap().clone()
}

/// Many small files: the worst that can be asked for.
fn files(work: &Path, base: &str) -> Vec<Case> {
    let folder = work.join("files");
    super::context::write(&folder, FILES, FILES * 100, 7, "");
    let case = |name, command: &str| {
        let folder = work.join(name);
        std::fs::create_dir(&folder).unwrap();
        Case {
            name,
            dockerfile: format!(
                "FROM {base} AS ready\nCOPY --from=files . /src/\nRUN tar cf /all.tar -C /src .\nFROM ready AS measured\nRUN --mount=type=tmpfs,target=/out {command}\n"
            ),
            folder,
            flags: vec![format!("--build-context=files={}", work.join("files").display())],
        }
    };
    vec![
        case("tar c of 20,000 files", "tar cf - -C /src . | cat > /dev/null"),
        case("tar x of 20,000 files", "tar xf /all.tar -C /out"),
        case("find and cat of 20,000 files", "find /src -type f -exec cat {} + > /dev/null"),
    ]
}

/// A compile with this machine's own compiler, whose files are copied onto the base.
fn compile(work: &Path, base: &str) -> Option<Case> {
    let gcc = Command::new("gcc").args(["-print-prog-name=cc1"]).output().ok().filter(|output| output.status.success());
    if gcc.is_none() {
        println!("skipped: a C compile: no gcc here");
        return None;
    }
    let folder = work.join("a C compile");
    std::fs::create_dir(&folder).unwrap();
    for file in 0..30 {
        let body: String = (0..60)
            .map(|n| {
                format!(
                    "int f{file}_{n}(int a) {{ char b[64]; return snprintf(b, 64, \"%d\", a * {n}) + (int)strlen(b); }}\n"
                )
            })
            .collect();
        let head =
            "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n#include <sys/stat.h>\n";
        std::fs::write(folder.join(format!("f{file}.c")), format!("{head}{body}")).unwrap();
    }
    std::fs::write(folder.join("main.c"), "int main(void) { return 0; }\n").unwrap();
    let command = "cd /src && mkdir /o && for f in *.c; do gcc -O2 -c $f -o /o/$f.o || exit 1; done && gcc -o /o/all /o/*.o";
    Some(Case {
        name: "a C compile (31 files, gcc -O2)",
        dockerfile: format!(
            "FROM {base} AS tools\nCOPY --from=machine . /usr/\nFROM tools AS ready\nCOPY *.c /src/\nFROM ready AS measured\nRUN {command}\n"
        ),
        folder,
        flags: vec![format!("--build-context=machine={}", machine(work).display())],
    })
}

/// The part of this machine's `/usr` that a C compiler needs.
fn machine(work: &Path) -> PathBuf {
    let to = work.join("machine");
    let script = r#"
        set -e; mkdir -p "$1"; cd /usr
        cc1=$(gcc -print-prog-name=cc1); lib=$(gcc -print-multiarch)
        list="bin/gcc bin/as bin/ld $(dirname "${cc1#/usr/}") include"
        for f in lib/$lib/*crt*.o lib/$lib/libc.* lib/$lib/libc_nonshared.a lib/$lib/libgcc_s* lib/$lib/libm.* lib/$lib/libmvec*; do
            [ -e "$f" ] && list="$list $f"; done
        for p in /usr/bin/gcc /usr/bin/as /usr/bin/ld "$cc1" "$(gcc -print-prog-name=collect2)"; do
            for l in $(ldd "$p" | grep -o '/[^ ]*'); do r=$(readlink -f "$l")
                for n in "$l" "$r"; do n=${n#/usr}; n=${n#/}; [ -e "/usr/$n" ] && list="$list $n"; done; done; done
        tar chf - $(printf '%s\n' $list | sort -u) | tar xf - -C "$1"
    "#;
    let done = Command::new("sh").args(["-c", script, "sh"]).arg(&to).status().unwrap();
    assert!(done.success(), "the compiler cannot be copied");
    to
}

/// `npm ci` out of a filled cache, without network.
fn npm(work: &Path) -> Option<Case> {
    let image =
        std::env::var_os("RBUILD_LAB").map(|lab| Path::new(&lab).join("images/node.oci")).filter(|path| path.is_dir());
    let Some(image) = image else {
        println!("skipped: npm ci: RBUILD_LAB names no folder with images/node.oci");
        return None;
    };
    let folder = work.join("npm ci");
    std::fs::create_dir(&folder).unwrap();
    let manifest = r#"{"name": "measured", "version": "1.0.0", "dependencies": {"express": "4.21.2"}}"#;
    std::fs::write(folder.join("package.json"), manifest).unwrap();
    let cache = work.join("npm-cache");
    let mut fill = Command::new("npm");
    // With addresses in the lock file, whatever this machine's npm is told: by them its cache is searched.
    fill.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
        "--omit-lockfile-registry-resolved=false",
        "--cache",
    ]);
    fill.arg(&cache).current_dir(&folder);
    if !fill.stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("skipped: npm ci: npm is not here or does not reach its registry");
        return None;
    }
    std::fs::remove_dir_all(folder.join("node_modules")).unwrap();
    let command = "npm ci --offline --no-audit --no-fund --cache /npm-cache";
    let dockerfile = format!(
        "FROM node AS ready\nCOPY --from=cache . /npm-cache/\nWORKDIR /app\nCOPY package*.json ./\nFROM ready AS measured\nRUN {command}\n"
    );
    let flags = [("node", format!("oci-layout://{}", image.display())), ("cache", cache.display().to_string())];
    let flags = flags.iter().map(|(name, value)| format!("--build-context={name}={value}")).collect();
    Some(Case { name: "npm ci of express (72 packages, offline)", dockerfile, folder, flags })
}

//! Caches that go from one store to another: `--cache-to` and `--cache-from`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::program::{Ended, Program, busybox, can_build, codes, line};
use super::registry::server::Registry;

/// Lines 2, 4 and 5 are steps; line 2 is in no layer of the image.
const STAGES: &str = "FROM scratch AS src\nCOPY a b /in/\nFROM scratch\nCOPY c /c\nCOPY --from=src /in/a /a\n";

/// A project, the store that exports and the store that imports.
struct Two {
    program: Program,
    cache: PathBuf,
    fresh: u32,
}

impl Two {
    fn new(dockerfile: &str) -> Self {
        let program = Program::new(dockerfile);
        ["a", "b", "c"].iter().for_each(|name| program.write(name, &format!("{name}\n")));
        let cache = program.path("cache");
        Self { program, cache, fresh: 0 }
    }

    fn export(&self, mode: &str, args: &[&str]) -> Value {
        let to = format!("type=local,dest={},mode={mode}", self.cache.display());
        self.program.build(&[&["--cache-to", &to, "-t", "x"], args].concat())
    }

    /// From now on there is a store that has nothing.
    fn fresh_store(&mut self) {
        self.fresh += 1;
        self.program.store = self.program.path(&format!("fresh{}", self.fresh));
    }

    fn from(&self) -> String {
        format!("type=local,src={}", self.cache.display())
    }

    /// A build that brings the cache in.
    fn import(&self, args: &[&str]) -> Value {
        self.program.build(&[&["--cache-from", &self.from(), "-t", "x"], args].concat())
    }

    /// The same with its words.
    fn said(&self) -> String {
        let ended = self.program.run(&["build", "--plain", "--cache-from", &self.from(), "-t", "x"]);
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    fn layers(&self) -> Vec<String> {
        // A plan makes no store where there is none.
        let names = fs::read_dir(self.program.store.join("layers")).into_iter().flatten().flatten();
        let mut names: Vec<String> = names.map(|name| name.file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.ends_with(".stat"));
        names.sort();
        names
    }

    fn check(&self) -> Ended {
        self.program.run(&["check"])
    }

    /// The blobs of the cache, by what they hold: layers first.
    fn layer_blobs(&self) -> Vec<PathBuf> {
        let index: Value = read(&self.cache.join("index.json"));
        let blob = |descriptor: &Value| {
            self.cache.join("blobs/sha256").join(descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap())
        };
        let manifest: Value = read(&blob(&index["manifests"][0]));
        manifest["layers"].as_array().unwrap().iter().map(blob).collect()
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn results(document: &Value, lines: &[u64]) -> Vec<String> {
    let of = |at: &u64| {
        let step = line(document, *at);
        match step["result"].as_str().unwrap() {
            "hit" => step["how"].as_str().unwrap_or("not needed").to_owned(),
            other => other.to_owned(),
        }
    };
    lines.iter().map(of).collect()
}

#[test]
fn max_gives_every_step_and_the_same_image_to_a_fresh_store() {
    if !can_build("max_gives_every_step_and_the_same_image_to_a_fresh_store") {
        return;
    }
    let mut two = Two::new(STAGES);
    let first = two.export("max", &[]);
    two.fresh_store();
    let plan: Value =
        serde_json::from_str(&two.program.run(&["plan", "--json", "--cache-from", &two.from()]).stdout).unwrap();
    assert_eq!(results(&plan, &[2, 4, 5]), ["imported"; 3], "{plan}");
    assert!(two.layers().is_empty(), "a plan writes nothing");
    let second = two.import(&[]);
    assert_eq!(results(&second, &[2, 4, 5]), ["imported"; 3], "{second}");
    assert_eq!(line(&second, 5)["from"].as_str(), two.cache.to_str());
    assert_eq!(first["image"], second["image"]);
    assert_eq!(two.layers().len(), 2, "the stage is in no layer of the image, and nothing needed it: {:?}", two.layers());
    two.check().says(0, &["all is well"]);
    // What was brought in is the store's own now.
    let third = two.program.build(&["-t", "x"]);
    assert_eq!(results(&third, &[4, 5]), ["content", "definition"], "{third}");
    assert_eq!(first["image"], third["image"]);
    let why = two.program.run(&["why", "5"]).stdout;
    assert!(why.contains("served from the cache"), "{why}");
    two.program.run(&["prune", "--force", "--all", "--filter", "type=step"]).says(0, &[]);
    two.check().says(0, &["all is well"]);
}

#[test]
fn min_lacks_the_stage_and_says_so_when_it_is_needed() {
    if !can_build("min_lacks_the_stage_and_says_so_when_it_is_needed") {
        return;
    }
    let mut two = Two::new(STAGES);
    two.export("min", &[]);
    two.fresh_store();
    // Nothing needs the stage as long as the steps below it are served.
    let same = two.import(&[]);
    assert_eq!(results(&same, &[2, 4, 5]), ["not needed", "imported", "imported"], "{same}");
    two.fresh_store();
    two.program.write("c", "another\n");
    let plan = two.program.run(&["plan", "--cache-from", &two.from()]).stdout;
    assert!(plan.contains("M25: the cache at `") && plan.contains("mode=min"), "{plan}");
    let second = two.import(&[]);
    assert_eq!(results(&second, &[2, 4, 5]), ["ran"; 3], "{second}");
    assert_eq!(codes(line(&second, 2)), ["M25"]);
    let reason = &line(&second, 2)["reasons"][0];
    assert_eq!((reason["path"].as_str(), reason["new"].as_str()), (two.cache.to_str(), Some("mode=min")));
    assert!(reason["action"].as_str().unwrap().contains("mode=max"), "{reason}");
    let why = two.program.run(&["why", "2"]).stdout;
    assert!(why.contains("M25: the cache at `") && why.contains("keeps only the steps whose layers are in the final image"));
    // It is on record now, under the key that came with the cache.
    assert_eq!(results(&two.program.build(&[]), &[2, 4, 5]), ["content", "content", "definition"]);
    two.check().says(0, &["all is well"]);
}

/// `FROM` of a real image, owners, removals, links, a merged copy, a stage on a stage.
#[test]
fn layers_of_every_kind_come_over_as_they_are() {
    let Some(layout) = busybox("layers_of_every_kind_come_over_as_they_are") else { return };
    let base = format!("base=oci-layout://{}", layout.display());
    let text = "FROM base AS one\nRUN mkdir -p /d/e && echo 1 > /d/f && chown -R 7:8 /d && chmod 4711 /d/f && ln /d/f /d/g\n\
                FROM one AS two\nRUN rm -r /d/e /d/g && ln -s f /d/l && mkfifo /d/p\nWORKDIR /w\n\
                FROM base AS tool\nRUN echo tool > /tool\n\
                FROM two\nCOPY --link a /linked/\nCOPY --from=tool /tool /t\nRUN cat /linked/a /t /d/f > /all\n";
    let mut two = Two::new(text);
    let steps = [2, 4, 5, 7, 9, 10, 11];
    let first = two.export("max", &["--build-context", &base]);
    two.fresh_store();
    let second = two.import(&["--build-context", &base]);
    let how = results(&second, &steps);
    assert!(how.iter().all(|how| how == "imported"), "{how:?} {second}");
    assert_eq!(first["image"], second["image"]);
    two.check().says(0, &["all is well"]);
    // A change at the end stands on what came over.
    two.program.write("Dockerfile", &text.replace("> /all", "> /all; test -p /d/p; test -L /d/l; test ! -e /d/g"));
    two.fresh_store();
    let third = two.import(&["--build-context", &base]);
    assert_eq!(results(&third, &steps)[6], "ran");
    assert!(results(&third, &steps)[..6].iter().all(|how| how == "imported"), "{third}");
    two.check().says(0, &["all is well"]);
    // With the least cache the image's own steps come over, the tool's stage does not.
    let mut two = Two::new(text);
    let first = two.export("min", &["--build-context", &base]);
    two.fresh_store();
    let second = two.import(&["--build-context", &base]);
    let want = ["imported", "imported", "imported", "not needed", "imported", "imported", "imported"];
    assert_eq!(results(&second, &steps), want, "{second}");
    assert_eq!(first["image"], second["image"]);
}

/// Puts other tars in the place of all layers, with digests that are right: nothing but their making is wrong.
fn repack(two: &Two) {
    let mut index: Value = read(&two.cache.join("index.json"));
    let blobs = two.cache.join("blobs/sha256");
    let path = |descriptor: &Value| blobs.join(descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap());
    let put = |bytes: &[u8], descriptor: &mut Value| {
        let digest = rbuild_tui::ground::digest::Digest::of(bytes);
        descriptor["digest"] = digest.to_string().into();
        descriptor["size"] = bytes.len().into();
        fs::write(path(descriptor), bytes).unwrap();
    };
    let mut manifest: Value = read(&path(&index["manifests"][0]));
    let mut config: Value = read(&path(&manifest["config"]));
    for at in 0..manifest["layers"].as_array().unwrap().len() {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        header.set_username("somebody").unwrap();
        tar.append_data(&mut header, format!("file{at}"), &b"x"[..]).unwrap();
        let layer = &mut manifest["layers"][at];
        put(&tar.into_inner().unwrap(), layer);
        layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into();
        config["layers"][at] = layer["digest"].clone();
    }
    put(config.to_string().as_bytes(), &mut manifest["config"]);
    put(manifest.to_string().as_bytes(), &mut index["manifests"][0]);
    fs::write(two.cache.join("index.json"), index.to_string()).unwrap();
}

/// Whatever is done to the folder: the build succeeds, says which folder, and the store is sound.
#[test]
fn a_damaged_folder_is_a_warning_and_the_build_goes_on() {
    if !can_build("a_damaged_folder_is_a_warning_and_the_build_goes_on") {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let canary = outside.path().join("canary");
    fs::write(&canary, "canary").unwrap();
    let all = |two: &Two, change: &dyn Fn(&Path)| two.layer_blobs().iter().for_each(|blob| change(blob));
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let index = |two: &Two, text: &str| fs::write(two.cache.join("index.json"), text).unwrap();
    let documents = |two: &Two, from: &str, to: &str| {
        // A whole cache whose documents say something else, with the right digests.
        let digest = |bytes: &[u8]| rbuild_tui::ground::digest::Digest::of(bytes);
        let path = |digest: &str| two.cache.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap());
        let mut index: Value = read(&two.cache.join("index.json"));
        let mut manifest: Value = read(&path(index["manifests"][0]["digest"].as_str().unwrap()));
        let config = fs::read_to_string(path(manifest["config"]["digest"].as_str().unwrap())).unwrap();
        assert!(config.contains(from), "{config}");
        let put = |bytes: &[u8], descriptor: &mut Value| {
            let digest = digest(bytes).to_string();
            fs::write(path(&digest), bytes).unwrap();
            descriptor["digest"] = digest.into();
            descriptor["size"] = bytes.len().into();
        };
        put(config.replace(from, to).as_bytes(), &mut manifest["config"]);
        put(manifest.to_string().as_bytes(), &mut index["manifests"][0]);
        fs::write(two.cache.join("index.json"), index.to_string()).unwrap();
    };
    type Damage<'a> = &'a dyn Fn(&Two);
    let cases: [(&str, Damage<'_>, &str); 16] = [
        ("bits of the layers", &|two| all(two, &flip), "is damaged"),
        ("layers are cut off", &|two| all(two, &|blob| fs::write(blob, "x").unwrap()), "has 1 bytes instead of"),
        ("layers are gone", &|two| all(two, &|blob| fs::remove_file(blob).unwrap()), "(ENOENT)"),
        (
            "layers are links out of the folder",
            &|two| {
                all(two, &|blob| {
                    let size = fs::metadata(blob).unwrap().len() as usize;
                    fs::write(&canary, "c".repeat(size)).unwrap();
                    fs::remove_file(blob).unwrap();
                    std::os::unix::fs::symlink(&canary, blob).unwrap();
                });
            },
            "(ELOOP)",
        ),
        (
            "layers are pipes",
            &|two| {
                all(two, &|blob| {
                    fs::remove_file(blob).unwrap();
                    let mode = rustix::fs::Mode::from_raw_mode(0o600);
                    rustix::fs::mknodat(rustix::fs::CWD, blob, rustix::fs::FileType::Fifo, mode, 0).unwrap();
                });
            },
            "is no regular file",
        ),
        ("no index", &|two| fs::remove_file(two.cache.join("index.json")).unwrap(), "has no `index.json`"),
        ("an index that is none", &|two| index(two, "{"), "`index.json` is malformed"),
        ("an empty index", &|two| index(two, r#"{"schemaVersion":2,"manifests":[]}"#), "holds nothing under the tag"),
        ("no folder", &|two| fs::remove_dir_all(&two.cache).unwrap(), "cannot be opened"),
        (
            "words of its own",
            &|two| documents(two, r#""mode":"max""#, r#""mode":"x\nforged line""#),
            r"unknown variant `x\nforged line`",
        ),
        ("a later version", &|two| documents(two, r#""version":1"#, r#""version":2"#), "is of version 2"),
        ("other keys", &|two| documents(two, r#""keyFormat":1"#, r#""keyFormat":9"#), "has keys of version 9"),
        ("a layer beyond the last", &|two| documents(two, r#""layers":[1"#, r#""layers":[77"#), "a layer that is not there"),
        (
            "results that stand on another base",
            &|two| {
                let base = format!(r#""result":{{"base":["sha256:{}"],"layers""#, "0".repeat(64));
                documents(two, r#""result":{"layers""#, &base);
            },
            "stands on another base than its keys say",
        ),
        ("layers of another packer", &repack, "has a layer that another builder packed"),
        (
            "keys that are paths",
            &|two| documents(two, r#""roots":["scratch"]"#, r#""roots":["../../index.db"]"#),
            "a key that is none",
        ),
    ];
    for (what, damage, words) in cases {
        let mut two = Two::new(STAGES);
        let first = two.export("max", &[]);
        damage(&two);
        two.fresh_store();
        let said = two.said();
        let named = format!("warning: the cache at `{}`", two.cache.display());
        assert!(said.contains(&named) && said.contains(words), "{what}: {said}");
        let second = two.program.build(&["-t", "x"]);
        assert_eq!(results(&second, &[4, 5]), ["content", "definition"], "{what}: it was built, and is on record: {said}");
        assert!(first["image"].is_string());
        two.check().says(0, &["all is well"]);
    }
}

#[test]
fn only_what_is_damaged_is_built_and_said_to_be() {
    if !can_build("only_what_is_damaged_is_built_and_said_to_be") {
        return;
    }
    let mut two = Two::new(STAGES);
    two.export("max", &[]);
    // The layer of line 5 is the one that only the whole chain has.
    let blobs = two.layer_blobs();
    let last = blobs.last().unwrap();
    let mut bytes = fs::read(last).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(last, bytes).unwrap();
    two.fresh_store();
    let second = two.import(&[]);
    assert_eq!(results(&second, &[2, 4, 5]), ["imported", "imported", "ran"], "{second}");
    assert_eq!(codes(line(&second, 5)), ["M25"]);
    assert!(line(&second, 5)["reasons"][0]["text"].as_str().unwrap().contains("cannot give it: is damaged"), "{second}");
    two.check().says(0, &["all is well"]);
}

/// The same step gave other content on two machines: here by a secret, which is in no key.
#[test]
fn what_one_cache_says_of_a_step_is_no_answer_of_another() {
    let Some(layout) = busybox("what_one_cache_says_of_a_step_is_no_answer_of_another") else { return };
    let base = format!("base=oci-layout://{}", layout.display());
    let text = "FROM base AS src\nRUN --mount=type=secret,id=s cp /run/secrets/s /tag\n\
                FROM base\nCOPY --from=src /tag /tag\nRUN cp /tag /again\n";
    let mut two = Two::new(text);
    let (one, other, out) = (two.program.path("one"), two.program.path("other"), two.program.path("out"));
    let secret = |two: &Two, text: &str| {
        fs::write(two.program.path("secret"), text).unwrap();
        format!("id=s,src={}", two.program.path("secret").display())
    };
    for (folder, text) in [(&one, "one"), (&other, "other")] {
        two.fresh_store();
        let to = format!("type=local,dest={},mode=max", folder.display());
        two.program.build(&["--build-context", &base, "--secret", &secret(&two, text), "--cache-to", &to]);
    }
    two.fresh_store();
    let from = [&one, &other].map(|folder| format!("type=local,src={}", folder.display()));
    let secret = secret(&two, "one");
    let to = format!("type=local,dest={}", out.display());
    let from =
        ["--build-context", &base, "--secret", &secret, "--cache-from", &from[0], "--cache-from", &from[1], "-o", &to];
    let tags = || ["tag", "again"].map(|name| fs::read_to_string(out.join(name)).unwrap());
    // The newest one of the same step is the other one.
    let built = two.program.build(&from);
    assert_eq!((line(&built, 5)["from"].as_str(), tags()), (other.to_str(), ["other", "other"].map(str::to_owned)));
    // Another step that gives what the first machine had: only its cache knows what is made of that, and not the store, which
    // has what the other one gave.
    let changed = text.replace("/tag\nFROM", "/tag; true\nFROM");
    two.program.write("Dockerfile", &changed);
    let built = two.program.build(&from);
    assert_eq!(results(&built, &[2, 4, 5]), ["ran", "imported", "imported"], "{built}");
    assert_eq!((line(&built, 5)["from"].as_str(), tags()), (one.to_str(), ["one", "one"].map(str::to_owned)));
    // And each goes on from there in the store.
    for (dockerfile, want) in [(text, "other"), (&changed, "one")] {
        two.program.write("Dockerfile", dockerfile);
        two.program.build(&["--build-context", &base, "--secret", &secret, "-o", &to]);
        assert_eq!(tags(), [want, want].map(str::to_owned));
    }
    two.check().says(0, &["all is well"]);
}

/// A traced hit is of its own space, also where a cache gives what is made of it.
#[test]
fn a_cache_makes_no_exact_hit_of_a_traced_one() {
    let Some(layout) = busybox("a_cache_makes_no_exact_hit_of_a_traced_one") else { return };
    let base = format!("--build-context=base=oci-layout://{}", layout.display());
    let stage = "FROM base AS one\nCOPY a /a\nCOPY b /b\nRUN cat /b > /o\n";
    let text = format!("{stage}FROM base\nCOPY --from=one /o /o\nRUN cp /o /again\n");
    let mut two = Two::new(&text);
    two.export("max", &[&base]);
    two.fresh_store();
    two.program.write("Dockerfile", stage);
    two.program.build(&[&base, "--trace=always"]);
    two.program.write("Dockerfile", &text);
    two.program.write("a", "another\n");
    let traced = two.import(&[&base, "--cache=traced"]);
    assert_eq!(results(&traced, &[2, 4, 6, 7]), ["ran", "traced", "imported", "imported"], "{traced}");
    let exact = two.program.build(&[&base]);
    assert_eq!(results(&exact, &[2, 4, 6, 7]), ["content", "ran", "content", "definition"], "{exact}");
}

#[test]
fn an_export_writes_damaged_blobs_again() {
    if !can_build("an_export_writes_damaged_blobs_again") {
        return;
    }
    let mut two = Two::new(STAGES);
    two.export("max", &[]);
    for blob in two.layer_blobs() {
        let size = fs::metadata(&blob).unwrap().len() as usize;
        fs::write(&blob, "x".repeat(size)).unwrap();
    }
    two.export("max", &[]);
    two.fresh_store();
    assert_eq!(results(&two.import(&[]), &[2, 4, 5]), ["imported"; 3]);
}

#[test]
fn exports_beside_each_other_lose_no_tag() {
    if !can_build("exports_beside_each_other_lose_no_tag") {
        return;
    }
    let two = Two::new(STAGES);
    two.export("max", &[]);
    let export = |tag: u32| {
        let to = format!("type=local,dest={},tag=t{tag}", two.cache.display());
        two.program.build(&["--cache-to", &to]);
    };
    std::thread::scope(|scope| {
        (0..8).for_each(|tag| {
            drop(scope.spawn({
                let export = &export;
                move || export(tag)
            }))
        })
    });
    let index: Value = read(&two.cache.join("index.json"));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 9, "{index}");
}

#[test]
fn a_folder_of_something_else_is_neither_read_nor_written_over() {
    if !can_build("a_folder_of_something_else_is_neither_read_nor_written_over") {
        return;
    }
    let two = Two::new(STAGES);
    let image = format!("type=oci,tar=false,dest={}", two.cache.display());
    two.program.build(&["-t", "x", "-o", &image]);
    let before = fs::read(two.cache.join("index.json")).unwrap();
    assert!(two.said().contains("holds something else than a cache of this program"));
    let to = format!("type=local,dest={}", two.cache.display());
    two.program
        .run(&["build", "--cache-to", &to])
        .says(3, &["cannot write the cache", "holds something else under the tag"]);
    assert_eq!(fs::read(two.cache.join("index.json")).unwrap(), before);
    let ended = two.program.run(&["build", "--cache-to", &format!("{to},ignore-error=true")]);
    ended.says(0, &["warning: the cache was not written"]);
    // Beside it, under a tag of its own, there is room; what others wrote stays to the letter.
    let mut theirs: Value = read(&two.cache.join("index.json"));
    theirs["manifests"][0]["artifactType"] = "text/x".into();
    theirs["annotations"] = serde_json::json!({"a": "b"});
    fs::write(two.cache.join("index.json"), theirs.to_string()).unwrap();
    two.program.build(&["--cache-to", &format!("{to},tag=mine")]);
    let index: Value = read(&two.cache.join("index.json"));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    assert_eq!((&index["manifests"][0], &index["annotations"]), (&theirs["manifests"][0], &theirs["annotations"]));
    let from = format!("{},tag=mine", two.from());
    let said = two.program.run(&["build", "--plain", "--cache-from", &from]).stdout;
    assert!(said.contains("2 with their results (mode=min)"), "{said}");
}

#[test]
fn a_cache_that_was_brought_in_goes_on_from_there() {
    if !can_build("a_cache_that_was_brought_in_goes_on_from_there") {
        return;
    }
    let mut two = Two::new(STAGES);
    let first = two.export("max", &[]);
    two.fresh_store();
    // As pipelines do it: in, build, out.
    let to = format!("type=local,dest={},mode=max", two.cache.display());
    let second = two.import(&["--cache-to", &to]);
    assert_eq!(results(&second, &[2, 4, 5]), ["imported"; 3], "{second}");
    let index = rusqlite::Connection::open(two.program.store.join("index.db")).unwrap();
    let links = || -> i64 { index.query_row("select count(*) from links", [], |row| row.get(0)).unwrap() };
    let before = links();
    index.execute_batch("delete from records; delete from results").unwrap();
    let third = two.import(&["--cache-to", &to]);
    assert_eq!(results(&third, &[2, 4, 5]), ["imported"; 3], "{third}");
    assert_eq!(links(), before, "the same steps have the same names after every round");
    assert_eq!((&first["image"], &first["image"]), (&second["image"], &third["image"]));
    // And --no-cache asks no cache.
    two.fresh_store();
    assert_eq!(results(&two.import(&["--no-cache"]), &[2, 4, 5]), ["ran"; 3]);
}

#[test]
fn a_registry_keeps_a_cache_as_a_folder_does() {
    if !can_build("a_registry_keeps_a_cache_as_a_folder_does") {
        return;
    }
    let registry = Registry::new();
    let name = registry.name("team/cache:main");
    let place = format!("type=registry,ref={name}");
    let mut two = Two::new(STAGES);
    let first = two.program.build(&["-t", "x", "--cache-to", &format!("{place},mode=max")]);
    two.fresh_store();
    let plan = two.program.run(&["plan", "--cache-from", &place]);
    assert!(plan.code == Some(0), "{}", plan.stderr);
    let second = two.program.build(&["-t", "x", "--cache-from", &place]);
    assert_eq!(results(&second, &[2, 4, 5]), ["imported"; 3], "{second}");
    assert_eq!((line(&second, 5)["from"].as_str(), &first["image"]), (Some(name.as_str()), &second["image"]));
    two.check().says(0, &["all is well"]);
    // Two layers of three, and the configuration.
    let fetched = registry.requests().iter().filter(|head| head.starts_with("GET ") && head.contains("/blobs/")).count();
    assert_eq!(fetched, 3, "{:?}", registry.requests());
    // What is not there, or not what it says, is a warning; a name alone is one of a registry.
    two.fresh_store();
    let missing = registry.name("team/cache:other");
    let ended = two.program.run(&["build", "--cache-from", &missing]);
    ended.says(0, &[&format!("warning: the cache at `{missing}` cannot be had"), "goes on without it"]);
    for head in registry.requests().iter().filter(|head| head.starts_with("GET ") && head.contains("/blobs/")).skip(1) {
        let digest = head.split("/blobs/").nth(1).unwrap().split(' ').next().unwrap();
        registry.replace(digest, b"something else");
    }
    two.fresh_store();
    let ended = two.program.run(&["build", "--plain", "--cache-from", &place]);
    ended.says(0, &[&format!("warning: the cache at `{name}` cannot be had"), "what cannot be taken from it is built"]);
    two.check().says(0, &["all is well"]);
    // An image is no cache.
    let image = registry.name("team/app:1");
    two.program.build(&["-t", &image, "--push"]);
    two.program.run(&["build", "--cache-from", &image]).says(0, &["holds something else than a cache of this program"]);
}

//! Every rule on the examples of its page, and where it must stay silent.

use std::collections::BTreeMap;

use super::super::{ContextView, Rewritten, Rule, SuggestReport, find_page};
use super::ALL;
use crate::language::dockerfile::parse;

#[derive(Default)]
struct Files {
    files: BTreeMap<String, String>,
    ignore: String,
    /// Changes per hundred commits, and bytes.
    history: BTreeMap<String, (f64, u64)>,
}

impl Files {
    fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self { files: files.collect(), ..Self::default() }
    }
}

impl ContextView for Files {
    fn ignore_text(&self) -> String {
        self.ignore.clone()
    }
    fn changes_per_hundred(&self, path: &str) -> Option<f64> {
        self.history.get(path).map(|(rate, _)| *rate)
    }
    fn size(&self, path: &str) -> u64 {
        self.history.get(path).map_or(0, |(_, bytes)| *bytes)
    }
    fn exists(&self, path: &str) -> bool {
        self.files.keys().any(|file| file == path || file.starts_with(&format!("{path}/")))
    }
    fn read(&self, path: &str) -> Option<String> {
        self.files.get(path).cloned()
    }
    fn list(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }
}

fn usual() -> Files {
    let mut files = Files::of(&[
        ("package.json", "{}"),
        ("package-lock.json", "{}"),
        ("build.js", "1"),
        (".git/HEAD", "1"),
        ("go.mod", "module x\n"),
        ("app.py", "1"),
        ("models/large", "1"),
    ]);
    let history = [("app.py", 40.0, 1000), ("models", 0.5, 0), ("models/large", 0.5, 5_000_000)];
    files.history = history.map(|(path, rate, bytes)| (path.to_owned(), (rate, bytes))).into();
    files
}

fn rule(name: &str) -> &'static dyn Rule {
    ALL.iter().find(|rule| rule.name() == name).copied().unwrap()
}

fn check(name: &str, source: &str, files: &Files) -> SuggestReport {
    let dockerfile = parse(source);
    assert!(!dockerfile.has_errors(), "{source}");
    rule(name).check(&dockerfile, files)
}

#[track_caller]
fn silent(name: &str, source: &str, files: &Files) {
    let report = check(name, source, files);
    assert!(report.offered.is_empty(), "{source}\n{}\n{:?}", report.offered[0].after, report.offered[0].evidence);
}

/// The text that the first offer of a rule leads to.
#[track_caller]
fn after(name: &str, source: &str, files: &Files) -> String {
    let report = check(name, source, files);
    assert!(!report.offered.is_empty(), "{source}\n{:?}", report.refused);
    report.offered[0].after.clone()
}

#[test]
fn every_page_is_true() {
    for rule in ALL {
        let page = rule.page();
        let bad = rule.check(&parse(page.bad), &usual());
        let offer = bad.offered.first().unwrap_or_else(|| panic!("{}: {:?}", page.name, bad.refused));
        assert!(!offer.evidence.is_empty() && !offer.risks.is_empty() && !offer.title.is_empty(), "{}", page.name);
        assert_eq!(offer.rule, page.name);
        if offer.file == Rewritten::Dockerfile && !offer.is_advice() {
            assert_eq!(offer.after, page.good, "{}", page.name);
        }
        let mut files = usual();
        files.files.retain(|path, _| path != ".git/HEAD");
        assert_eq!(rule.check(&parse(page.good), &files).offered, [], "{}", page.name);
        assert_eq!(find_page(&page.name.to_uppercase()), Some(page));
        assert!(page.why.len() > 100, "{}", page.name);
    }
}

#[test]
fn a_slow_step_goes_above_what_it_does_not_need() {
    let name = "step-below-copy";
    let files = usual();
    let several = "FROM a\nWORKDIR /app\nCOPY package.json .\n# all\nCOPY . .\nENV X=1\nRUN apk add git\nRUN npm i -g n && curl -fsSL https://x/y | sh\nRUN make\n";
    assert_eq!(
        after(name, several, &files),
        "FROM a\nWORKDIR /app\nENV X=1\nRUN apk add git\nRUN npm i -g n && curl -fsSL https://x/y | sh\nCOPY package.json .\n# all\nCOPY . .\nRUN make\n"
    );
    let moves = "FROM a\nWORKDIR /app\nCOPY src src\nWORKDIR /tools\nRUN curl -fsSLO https://x/y\n";
    assert_eq!(
        after(name, moves, &files),
        "FROM a\nWORKDIR /app\nWORKDIR /tools\nRUN curl -fsSLO https://x/y\nCOPY src /app/src\n"
    );
    let own =
        "FROM a\nWORKDIR /app\nCOPY . .\nRUN apt-get install -y x && chmod 755 /usr/bin/x && rm -rf /var/lib/apt/lists/*\n";
    assert!(after(name, own, &files).ends_with("lists/*\nCOPY . .\n"));
    let zip = "FROM a\nWORKDIR /app\nCOPY . .\nENV Z=x.zip\nRUN curl -OL https://h/$Z && unzip -o $Z -d /usr/local bin/x && rm -f $Z\n";
    assert!(after(name, zip, &files).ends_with("rm -f $Z\nCOPY . .\n"));
    let program = "FROM a\nCOPY entrypoint.sh /usr/local/bin/\nRUN apk add git\n";
    assert_eq!(after(name, program, &files), "FROM a\nRUN apk add git\nCOPY entrypoint.sh /usr/local/bin/\n");
    for source in [
        "FROM a\nCOPY retry.sh /usr/local/bin/\nRUN retry.sh apk add git\n",
        "FROM a\nCOPY bin /usr/local/bin/\nRUN apk add git\n",
        "FROM a\nWORKDIR /w\nCOPY . .\nRUN curl -O https://h/x && sh setup.sh\n",
        "FROM a\nCOPY --chown=1 . /w\nWORKDIR /w\nRUN apk add git\n",
        // Configuration and programs that it may read.
        "FROM a\nCOPY sources.list /etc/apt/\nRUN apt-get update\n",
        "FROM a\nCOPY rootfs /\nRUN apk add git\n",
        "FROM a\nCOPY tool /usr/local/bin/\nRUN apk add git\n",
        "FROM a\nCOPY . .\nRUN apk add git\n",
        // It names what was copied.
        "FROM a\nCOPY keys /keys\nRUN apk add --keys-dir /keys git\n",
        "FROM a\nWORKDIR /w\nCOPY . .\nRUN apt-get install -y ./x.deb\n",
        // A step in between needs the sources.
        "FROM a\nWORKDIR /w\nCOPY . .\nRUN make\nRUN apk add git\n",
        // Not of the context.
        "FROM b AS x\nFROM a\nWORKDIR /w\nCOPY --from=x /k /k\nRUN apk add git\n",
        // The variable has another value below.
        "FROM a\nARG D=1\nWORKDIR /w\nCOPY . /$D\nARG D=2\nRUN apk add git\n",
        // Two copies into each other would change places.
        "FROM a\nWORKDIR /w\nCOPY x /w/x\nADD https://x/y /w/x/y\nRUN apk add git\n",
        "FROM a\nWORKDIR /w\nRUN apk add git\nCOPY . .\n",
        "FROM a\nWORKDIR /w\nCOPY . .\nRUN --mount=type=bind,target=/x apk add git\n",
    ] {
        silent(name, source, &files);
    }
}

#[test]
fn an_argument_goes_down_to_its_first_use_with_what_passes_it_on() {
    let name = "argument-above-steps";
    let files = Files::default();
    let chain = "FROM a\nARG COMMIT\nARG DATE\nENV REV=${COMMIT}\nLABEL rev=$COMMIT\nRUN apk add git\nRUN make $REV\nRUN echo $DATE\n";
    assert_eq!(
        after(name, chain, &files),
        "FROM a\nRUN apk add git\nARG COMMIT\nARG DATE\nENV REV=${COMMIT}\nLABEL rev=$COMMIT\nRUN make $REV\nRUN echo $DATE\n"
    );
    assert_eq!(check(name, chain, &files).offered.len(), 1);
    let same_name = "FROM a\nARG GIT_SHA\nENV GIT_SHA=$GIT_SHA\nRUN apk add git\nRUN make\n";
    assert_eq!(after(name, same_name, &files), "FROM a\nRUN apk add git\nARG GIT_SHA\nENV GIT_SHA=$GIT_SHA\nRUN make\n");
    let unused = "FROM a\nARG COMMIT\nRUN apk add git\nLABEL x=$COMMIT\nCMD [\"x\"]\n";
    assert_eq!(after(name, unused, &files), "FROM a\nRUN apk add git\nARG COMMIT\nLABEL x=$COMMIT\nCMD [\"x\"]\n");
    let labels = "FROM a\nARG D\nARG R\nLABEL d=$D \\\n r=$R\nRUN make\nCOPY x /x\n";
    assert_eq!(after(name, labels, &files), "FROM a\nRUN make\nARG D\nARG R\nLABEL d=$D \\\n r=$R\nCOPY x /x\n");
    for source in [
        "FROM a\nARG V=1\nRUN make V=$V\n",
        "FROM a\nARG HTTP_PROXY\nRUN apk add git\n",
        "FROM a\nENV DEBIAN_FRONTEND=noninteractive\nRUN apt-get update\n",
        "FROM a\nENV PATH=/x:$PATH\nRUN make\n",
        "FROM a\nARG TARGETARCH\nRUN make\nRUN echo $TARGETARCH\n",
        // Named by the command in whatever form.
        "FROM a\nARG TOKEN_FILE\nRUN python -c 'import os; os.environ[\"TOKEN_FILE\"]'\nRUN x\n",
        // In no key of BuildKit.
        "FROM a\nLABEL x=1\nRUN apk add git\n",
        "FROM a\nARG V=1\nARG V=2\nRUN apk add git\nRUN echo $V\n",
        "FROM a\nARG V=1\nCOPY x /x\nRUN echo $V\n",
        // Whatever is a program of its own may read it.
        "FROM a\nARG DESTDIR=/x\nRUN make install\n",
        "FROM a\nENV FLOWS=flows.json\nRUN apk add git\n",
        "FROM a\nARG V=1\nRUN mkdir -p /x\nRUN echo $V\n",
    ] {
        silent(name, source, &files);
    }
}

#[test]
fn updates_mounts_links_and_the_rest_stay_silent_where_they_should() {
    let files = usual();
    assert_eq!(
        after(
            "apt-update-alone",
            "FROM a\nRUN apt-get -qq update\nRUN x && apt-get install -y a\nRUN apt-get install b\n",
            &files
        ),
        "FROM a\nRUN apt-get -qq update && x && apt-get install -y a\nRUN apt-get -qq update && apt-get install b\n"
    );
    for source in [
        "FROM a\nRUN apt-get update\n",
        "FROM a\nRUN apt-get update && apt-get install -y x\n",
        "FROM a\nRUN apt-get update\nRUN apt-get update && apt-get install x\n",
    ] {
        silent("apt-update-alone", source, &files);
    }
    assert_eq!(
        after("cache-mount", "FROM golang AS b\nRUN go mod download\nRUN go build\nFROM a\nCOPY --from=b /x /x\n", &files),
        "FROM golang AS b\nRUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build go mod download\nRUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build go build\nFROM a\nCOPY --from=b /x /x\n"
    );
    for source in [
        "FROM a\nRUN pip install --no-cache-dir x\n",
        "FROM a\nUSER me\nRUN npm ci\n",
        "FROM golang\nRUN go build\nCMD go run .\n",
        "FROM a\nRUN --mount=type=cache,target=/root/.npm npm ci\n",
        "FROM a\nRUN npm run build\n",
        "FROM a\nRUN npm ci && npm cache clean --force\n",
    ] {
        silent("cache-mount", source, &files);
    }
    for source in [
        "FROM a\nCOPY --chown=me x /srv/y/\n",
        "FROM a\nCOPY --chmod=755 x /srv/y/\n",
        "FROM a\nCOPY x /bin/y\n",
        "FROM a\nCOPY x /srv/y/\nRUN make\n",
        "FROM scratch\nCOPY x /srv/y/\n",
    ] {
        silent("copy-without-link", source, &files);
    }
    for source in [
        "FROM a\nWORKDIR /w\nCOPY package.json ./\nRUN npm ci\nCOPY . .\n",
        "FROM a\nWORKDIR /w\nCOPY package.json /other/\nCOPY . .\n",
        "FROM a\nWORKDIR /w\nCOPY --chown=1 package.json ./\nCOPY . .\n",
        "FROM a\nWORKDIR /w\nCOPY conf/x.json ./\nCOPY . .\n",
    ] {
        silent("copied-twice", source, &files);
    }
    for source in ["FROM a\nRUN git log\nCOPY . /w\n", "FROM a\nCOPY src /w\n", "FROM a\nCOPY . /w\nRUN make\n"] {
        silent("ignore-lines", source, &files);
    }
    let mut ignoring = usual();
    ignoring.ignore = "*\n!src\n".into();
    silent("ignore-lines", "FROM a\nCOPY . /w\n", &ignoring);
    for source in
        ["FROM a\nCOPY app.py /srv/\n", "FROM a\nCOPY app.py build.js /srv/\n", "FROM a\nCOPY app.py model* /srv/\n"]
    {
        silent("copy-split-by-rate", source, &files);
    }
    let split = "FROM a\nCOPY app.py models /srv/\n";
    for (path, rate, bytes) in [("models/large", 0.5, 10), ("models", 30.0, 0), ("app.py", 0.4, 1000)] {
        let mut other = usual();
        other.history.insert(path.into(), (rate, bytes));
        silent("copy-split-by-rate", split, &other);
    }
    let mut twice = usual();
    twice.files.insert("models/app.py".into(), String::new());
    silent("copy-split-by-rate", split, &twice);
    for source in [
        "FROM a:1\n",
        "FROM scratch\n",
        "FROM a@sha256:0000000000000000000000000000000000000000000000000000000000000000\n",
        "ARG B\nFROM $B\n",
        "FROM a:1 AS x\nFROM x\n",
    ] {
        silent("unpinned-base", source, &files);
    }
    for source in [
        "FROM a AS test\nFROM b\n",
        "FROM a\nFROM b\nCOPY --from=0 /x /x\n",
        "FROM a\nFROM b\nRUN --mount=from=0,target=/x true\n",
    ] {
        silent("unused-stage", source, &files);
    }
    for source in ["FROM a\nARG KEY_FILE\n", "FROM a\nENV AUTHOR=me\n", "FROM a\nENV APP_KEY=\"/run/secrets/app\"\n"] {
        silent("secret-in-arg-or-env", source, &files);
    }
    for source in [
        "FROM golang AS b\nRUN go build\nFROM a\nCOPY --from=b /x /x\nCMD [\"x\"]\n",
        "FROM alpine\nRUN apk add --virtual .b gcc && make && apk del .b\nCMD [\"x\"]\n",
        "FROM golang\nRUN go build\n",
    ] {
        silent("build-tools-in-image", source, &files);
    }
}

/// Installs of the other package managers: what is copied first, and what is refused.
#[test]
fn manifests_of_every_package_manager() {
    let broad = "broad-copy-before-install";
    let app = |run: &str| format!("FROM a\nWORKDIR /app\nCOPY . .\nRUN {run}\nRUN build it\n");
    let moved =
        |run: &str, names: &str| format!("FROM a\nWORKDIR /app\nCOPY {names} ./\nRUN {run}\nCOPY . .\nRUN build it\n");
    let source = ("src/main", "1");
    for (run, files, names) in [
        (
            "pnpm install --frozen-lockfile",
            vec![("package.json", "{}"), ("pnpm-lock.yaml", "")],
            "package.json pnpm-lock.yaml",
        ),
        ("pnpm fetch", vec![("package.json", "{}"), ("pnpm-lock.yaml", "")], "pnpm-lock.yaml"),
        (
            "poetry install --no-root",
            vec![("pyproject.toml", "[tool.poetry]"), ("poetry.lock", "")],
            "pyproject.toml poetry.lock",
        ),
        (
            "uv sync --frozen --no-install-project",
            vec![("pyproject.toml", "[build-system]"), ("uv.lock", "")],
            "pyproject.toml uv.lock",
        ),
        ("uv pip install -r r.txt", vec![("r.txt", "flask")], "r.txt"),
        ("mix deps.get --only prod", vec![("mix.exs", "deps"), ("mix.lock", "")], "mix.exs mix.lock"),
        ("go mod download", vec![("go.mod", "module x\nreplace a => b v1.2.3"), ("go.sum", "")], "go.mod go.sum"),
        ("bundle install --jobs 4", vec![("Gemfile", "gem 'rails'"), ("Gemfile.lock", "")], "Gemfile Gemfile.lock"),
        (
            "composer install --no-dev",
            vec![("composer.json", "{\"require\": {}}"), ("composer.lock", "{}")],
            "composer.json composer.lock",
        ),
        ("mvn -B dependency:go-offline", vec![("pom.xml", "<project/>")], "pom.xml"),
        (
            "gradle dependencies",
            vec![("build.gradle", "plugins {}"), ("settings.gradle", "x")],
            "build.gradle settings.gradle",
        ),
        ("dotnet restore web.csproj", vec![("web.csproj", "<Project/>")], "web.csproj"),
    ] {
        let files: Vec<(&str, &str)> = files.into_iter().chain([source]).collect();
        assert_eq!(after(broad, &app(run), &Files::of(&files)), moved(run, names), "{run}");
    }
    for (run, files, part) in [
        ("pnpm i", vec![("package.json", "{}"), ("pnpm-workspace.yaml", "")], "pnpm-workspace.yaml"),
        ("poetry install", vec![("pyproject.toml", "")], "--no-root"),
        ("uv sync", vec![("pyproject.toml", "[build-system]")], "--no-install-project"),
        ("go mod download", vec![("go.mod", "replace a => ../a")], "local folder"),
        ("cargo fetch", vec![("Cargo.toml", "")], "cache mount"),
        ("bundle install", vec![("Gemfile", "gemspec")], "reads other files"),
        ("composer install", vec![("composer.json", "{\"scripts\": {\"post-install-cmd\": \"x\"}}")], "--no-scripts"),
        ("mvn dependency:resolve", vec![("pom.xml", "<modules>")], "modules"),
        ("gradle dependencies", vec![("build.gradle", ""), ("settings.gradle", "include 'a'")], "includes other projects"),
        ("dotnet restore web.csproj", vec![("web.csproj", "<ProjectReference Include=\"x\"/>")], "refers to other files"),
    ] {
        let files: Vec<(&str, &str)> = files.into_iter().chain([source]).collect();
        let report = check(broad, &app(run), &Files::of(&files));
        assert!(report.offered.is_empty(), "{run}");
        assert!(report.refused.iter().any(|refusal| refusal.reason.contains(part)), "{run}: {:?}", report.refused);
    }
    for run in [
        "mvn package",
        "go build",
        "cargo build",
        "gradle build",
        "dotnet build",
        "uv run x",
        "poetry run x",
        "bundle exec x",
    ] {
        silent(broad, &app(run), &Files::of(&[("pom.xml", ""), ("go.mod", ""), ("Cargo.toml", ""), ("pyproject.toml", "")]));
    }
}

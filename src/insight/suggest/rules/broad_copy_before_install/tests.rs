use std::collections::BTreeMap;

use super::super::super::{ContextView, Rule, SuggestReport};
use super::BroadCopyBeforeInstall;
use crate::language::dockerfile::parse;

struct Files(BTreeMap<&'static str, &'static str>);

impl ContextView for Files {
    fn exists(&self, path: &str) -> bool {
        self.0.keys().any(|file| *file == path || file.starts_with(&format!("{path}/")))
    }
    fn read(&self, path: &str) -> Option<String> {
        self.0.get(path).map(|text| (*text).to_owned())
    }
    fn list(&self) -> Vec<String> {
        self.0.keys().map(|file| (*file).to_owned()).collect()
    }
}

fn check(source: &str, files: &[(&'static str, &'static str)]) -> SuggestReport {
    let report = BroadCopyBeforeInstall.check(&parse(source), &Files(files.iter().copied().collect()));
    for suggestion in &report.offered {
        assert!(!parse(&suggestion.after).has_errors(), "{}", suggestion.after);
    }
    report
}

const NODE: [(&str, &str); 3] = [
    ("package.json", r#"{"dependencies": {"a": "^1.0.0"}, "scripts": {"build": "x"}}"#),
    ("package-lock.json", "{}"),
    ("index.js", ""),
];

#[track_caller]
fn fires(source: &str, files: &[(&'static str, &'static str)], title: &str, after: &str) {
    let report = check(source, files);
    assert_eq!(report.offered.len(), 1, "{report:?}");
    assert_eq!(report.offered[0].title, title);
    assert_eq!(report.offered[0].after, after);
}

#[track_caller]
fn refuses(source: &str, files: &[(&'static str, &'static str)], part: &str) {
    let report = check(source, files);
    assert!(report.offered.is_empty(), "{}", report.offered[0].after);
    assert_eq!(report.refused.len(), 1, "{report:?}");
    assert!(report.refused[0].reason.contains(part), "{}", report.refused[0].reason);
}

#[test]
fn npm_ci_below_everything() {
    fires(
        "FROM node\nWORKDIR /app\n# the app\nCOPY --chown=node . .\nRUN npm ci\nCMD [\"node\", \"index.js\"]\n",
        &NODE,
        "copy package.json and package-lock.json before npm ci",
        "FROM node\nWORKDIR /app\nCOPY --chown=node package.json package-lock.json ./\nRUN npm ci\n# the app\nCOPY --chown=node . .\nCMD [\"node\", \"index.js\"]\n",
    );
}

#[test]
fn crlf_indirect_and_other_folder() {
    fires(
        "FROM node\r\nCOPY app/ /srv/\r\nRUN apt-get update && apt-get install -y git\r\nRUN make config\r\nRUN cd /srv && npm install",
        &[("app/package.json", "{}"), ("app/package-lock.json", "{}"), ("app/index.js", ""), ("README.md", "")],
        "copy app/package.json and app/package-lock.json before npm install",
        "FROM node\r\nRUN apt-get update && apt-get install -y git\r\nCOPY app/package.json app/package-lock.json /srv/\r\nRUN cd /srv && npm install\r\nCOPY app/ /srv/\r\nRUN make config",
    );
}

#[test]
fn pip_with_included_files_and_unknown_working_folder() {
    fires(
        "FROM python\nADD . ./\nRUN pip install --no-cache-dir -r requirements/prod.txt\n",
        &[
            ("requirements/prod.txt", "-r base.txt\nflask==1\n"),
            ("requirements/base.txt", "# x\nrequests>=2 # y\n"),
            ("app.py", ""),
        ],
        "copy requirements/prod.txt and requirements/base.txt before pip install --no-cache-dir -r requirements/prod.txt",
        "FROM python\nCOPY requirements/prod.txt requirements/base.txt requirements/\nRUN pip install --no-cache-dir -r requirements/prod.txt\nADD . ./\n",
    );
}

#[test]
fn vendor_install_and_yarn() {
    fires(
        "FROM demo\nWORKDIR /app\nCOPY . .\nRUN vendor-install\nRUN build\n",
        &[("vendor.lock", ""), ("vendor/a.tar", ""), ("src/main", "")],
        "copy vendor.lock and vendor/ before vendor-install",
        "FROM demo\nWORKDIR /app\nCOPY vendor.lock ./\nCOPY vendor/ vendor/\nRUN vendor-install\nCOPY . .\nRUN build\n",
    );
    fires(
        "FROM node\nWORKDIR /app\nCOPY . /app/\nENV NODE_ENV=production\nRUN yarn --frozen-lockfile && yarn cache clean\n",
        &[("package.json", "{}"), ("yarn.lock", ""), ("index.js", "")],
        "copy package.json and yarn.lock before yarn --frozen-lockfile",
        "FROM node\nWORKDIR /app\nENV NODE_ENV=production\nCOPY package.json yarn.lock ./\nRUN yarn --frozen-lockfile && yarn cache clean\nCOPY . /app/\n",
    );
}

#[test]
fn a_workdir_in_between_makes_the_destination_absolute() {
    fires(
        "FROM node\nWORKDIR /app\nCOPY . .\nWORKDIR /app/web\nRUN npm ci\n",
        &[("web/package.json", "{}"), ("web/package-lock.json", "{}"), ("x", "")],
        "copy web/package.json and web/package-lock.json before npm ci",
        "FROM node\nWORKDIR /app\nWORKDIR /app/web\nCOPY web/package.json web/package-lock.json ./\nRUN npm ci\nCOPY . /app/\n",
    );
}

#[test]
fn what_is_copied_already_is_not_copied_again() {
    fires(
        "FROM node\nWORKDIR /app\nCOPY package*.json ./\nCOPY . .\nRUN npm ci\n",
        &NODE,
        "copy the sources after npm ci",
        "FROM node\nWORKDIR /app\nCOPY package*.json ./\nRUN npm ci\nCOPY . .\n",
    );
}

#[test]
fn heredoc_and_exec_forms_are_read() {
    let report = check("FROM node\nWORKDIR /a\nCOPY . .\nRUN <<EOF\nset -e\nnpm ci\nEOF\n", &NODE);
    assert_eq!(report.offered.len(), 1, "{report:?}");
    let report = check("FROM node\nWORKDIR /a\nCOPY [\".\", \".\"]\nRUN [\"npm\", \"ci\"]\n", &NODE);
    assert_eq!(report.offered.len(), 1, "{report:?}");
}

#[test]
fn refused_when_the_install_needs_sources() {
    let file = "FROM node\nWORKDIR /app\nCOPY . .\nRUN npm ci\n";
    let with = |package: &'static str| [("package.json", package), ("package-lock.json", "{}"), ("index.js", "")];
    refuses(file, &with(r#"{"scripts": {"postinstall": "node index.js"}}"#), "`postinstall` script");
    refuses(file, &with(r#"{"dependencies": {"a": "file:./a"}}"#), "local path `file:./a`");
    refuses(file, &with(r#"{"workspaces": ["packages/*"]}"#), "workspaces");
    refuses(file, &with("{"), "no JSON");
    refuses(file, &[("package.json", "{}"), ("index.js", "")], "neither");
    refuses(file, &[("index.js", "")], "not in the build context");
    refuses(file, &[NODE[0], NODE[1], ("node_modules/a/index.js", "")], "node_modules");
    let python = "FROM python\nCOPY . /app\nWORKDIR /app\nRUN pip install -r requirements.txt\n";
    refuses(python, &[("requirements.txt", "-e .\n"), ("a.py", "")], "editable");
    refuses(python, &[("requirements.txt", "./libs/a\n"), ("a.py", "")], "local path");
    refuses("FROM python\nCOPY . .\nRUN pip install -r r.txt .\n", &[("r.txt", "a\n"), ("a.py", "")], "local path `.`");
}

#[test]
fn refused_when_the_order_matters() {
    refuses("FROM node\nWORKDIR /app\nCOPY . .\nRUN npm ci; npm run build\n", &NODE, "npm run build");
    refuses(
        "FROM node\nWORKDIR /app\nCOPY package*.json ./\nRUN npm ci\nCOPY . .\nRUN npm ci --omit=dev\n",
        &NODE,
        "already",
    );
    refuses("FROM node\nWORKDIR /app\nCOPY . .\nCOPY --from=x /a ./b\nRUN npm ci\n", &NODE, "order matters");
    refuses("FROM node\nWORKDIR /app\nCOPY . .\nRUN make\nUSER node\nRUN npm ci\n", &NODE, "needs the sources");
    refuses("FROM node\nWORKDIR /app\nCOPY . .\nRUN ln -s /opt/node /usr/bin/node\nRUN npm ci\n", &NODE, "not certain");
    refuses(
        "FROM node\nWORKDIR /app\nCOPY . .\nRUN <<EOF\n#!/usr/bin/env python3\nprint()\nEOF\nRUN npm ci\n",
        &NODE,
        "not read",
    );
    refuses("FROM node\nWORKDIR /app\nCOPY . .\nRUN if true; then npm ci; fi\n", &NODE, "branch");
}

#[test]
fn silent_when_there_is_nothing_to_do() {
    for source in [
        "FROM node\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\nRUN npm run build\n",
        "FROM node\nCOPY --from=a . .\nRUN npm ci\n",
        "FROM node\nWORKDIR /app\nCOPY . .\nRUN npm run build\n",
        "FROM node\nWORKDIR /app\nCOPY . /other\nRUN npm ci\n",
        "FROM node\nCOPY . .\nFROM node\nRUN npm ci\n",
        "FROM node\nCOPY web/package.json ./\nCOPY src/ ./\nRUN npm ci\n",
    ] {
        let report = check(source, &NODE);
        assert_eq!(report, SuggestReport::default(), "{source}");
    }
}

/// Seen in jellyseerr: the second install removes what only the build needed, so it cannot go above the first.
#[test]
fn two_installs_of_a_kind_keep_their_order() {
    let files = [("package.json", "{}"), ("yarn.lock", ""), ("index.js", "")];
    let source = "FROM node\nWORKDIR /app\nCOPY . .\nRUN yarn && yarn build\nRUN yarn install --production\n";
    let report = check(source, &files);
    let after = "FROM node\nWORKDIR /app\nCOPY package.json yarn.lock ./\nRUN yarn\nCOPY . .\nRUN yarn build\nRUN yarn install --production\n";
    assert_eq!(report.offered.iter().map(|offer| offer.after.as_str()).collect::<Vec<_>>(), [after]);
    assert!(report.refused.iter().any(|refusal| refusal.line == 5 && refusal.reason.contains("comes first")), "{report:?}");
}

/// Seen in h2ogpt: the step that brings pip stays above the install.
#[test]
fn an_installer_out_of_a_pipe_stays_above() {
    fires(
        "FROM ubuntu\nCOPY . .\nRUN curl -sS https://x/get-pip.py | python3\nRUN pip install -r requirements.txt\n",
        &[("requirements.txt", "flask\n"), ("a.py", "")],
        "copy requirements.txt before pip install -r requirements.txt",
        "FROM ubuntu\nRUN curl -sS https://x/get-pip.py | python3\nCOPY requirements.txt ./\nRUN pip install -r requirements.txt\nCOPY . .\n",
    );
}

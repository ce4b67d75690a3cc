//! One build played on both engines, and their answers side by side.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::lab::{Docker, Ours};

/// What both sides are given.
#[derive(Clone, Default)]
pub struct Options {
    pub target: Option<String>,
    pub args: Vec<(String, String)>,
    pub no_cache: bool,
    /// Written alike on both sides.
    pub more: Vec<String>,
}

impl Options {
    pub fn flags(&self) -> Vec<String> {
        let mut out = Vec::new();
        if let Some(target) = &self.target {
            out.push(format!("--target={target}"));
        }
        for (name, value) in &self.args {
            out.push(format!("--build-arg={name}={value}"));
        }
        if self.no_cache {
            out.push("--no-cache".into());
        }
        out.extend(self.more.iter().cloned());
        out
    }
}

/// A step as BuildKit saw it.
#[derive(Debug, Clone)]
pub struct Vertex {
    pub stage: String,
    pub number: usize,
    /// Of so many.
    pub total: usize,
    pub name: String,
    /// None: nobody looked at it.
    pub cached: Option<bool>,
}

pub fn ours(ours: &Ours, context: &Path, options: &Options) -> Value {
    let flags = options.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let plan = ours.plan(context, &flags);
    let built = ours.build(context, &flags);
    keeps_the_plan(&plan, &built);
    built
}

/// Every step did what the plan before the build said; what the plan left open is undecided by nature: it depends on a step
/// that ran.
pub fn keeps_the_plan(plan: &Value, built: &Value) {
    let steps = |document: &Value| document["steps"].as_array().unwrap().clone();
    assert_eq!(steps(plan).len(), steps(built).len());
    for (planned, step) in steps(plan).iter().zip(&steps(built)) {
        assert_eq!(planned["instruction"], step["instruction"]);
        let ran = |s: &Value| s["result"] == "ran" || s["how"] == "merged";
        let decider = || steps(built).iter().any(|s| s["line"] == planned["depends_on"] && ran(s));
        match planned["result"].as_str().unwrap() {
            // A step that is undecided itself may be what another one waits for: only the first of them waits for one that runs.
            // What a server has is not asked by a plan.
            "unknown" if planned["depends_on"].is_null() => {
                assert!(planned["depends"].as_str().unwrap().contains("asks nobody"), "{planned}");
            }
            "unknown" => {
                let open = steps(plan).iter().any(|s| s["line"] == planned["depends_on"] && s["result"] == "unknown");
                assert!(open || decider(), "the plan left {planned} open for no reason\n{built}");
            }
            // Of two identical steps one runs, whichever comes first.
            _ if planned["how"] == "merged" || step["how"] == "merged" || super::lab::is_from(step) => {}
            word => assert_eq!(word, step["result"], "planned {planned}\nbuilt {step}"),
        }
    }
}

/// The vertices `[stage n/m] INSTRUCTION` of a build by the lab. A build that fails is a panic with its last words.
pub fn buildkit(docker: &Docker, context: &Path, options: &Options) -> Vec<Vertex> {
    let flags = options.flags();
    let mut args = vec!["buildx", "build", "--network=host", "--progress=rawjson", "--output=type=cacheonly"];
    args.extend(flags.iter().map(String::as_str));
    args.push(context.to_str().unwrap());
    let done = docker.command(&args).output().unwrap();
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{args:?}: {}", &text[text.len().saturating_sub(2000)..]);
    let mut found: BTreeMap<String, Vertex> = BTreeMap::new();
    for line in text.lines() {
        let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
        for vertex in value["vertexes"].as_array().into_iter().flatten() {
            let Some(parsed) = parse_name(vertex["name"].as_str().unwrap_or("")) else { continue };
            let digest = vertex["digest"].as_str().unwrap().to_owned();
            let entry = found.entry(digest).or_insert(parsed);
            if vertex["cached"] == true {
                entry.cached = Some(true);
            } else if vertex["completed"].is_string() && entry.cached.is_none() {
                entry.cached = Some(false);
            }
        }
    }
    found.into_values().collect()
}

/// `[b 2/5] RUN x` -> (b, 2, RUN x); a build of one stage names none.
fn parse_name(name: &str) -> Option<Vertex> {
    let (label, rest) = name.strip_prefix('[')?.split_once("] ")?;
    let (stage, count) = label.rsplit_once(' ').unwrap_or(("", label));
    let (number, total) = count.split_once('/')?;
    let (number, total) = (number.parse().ok()?, total.parse().ok()?);
    // From ten steps on the numbers are padded: `[b  2/12]`.
    Some(Vertex { stage: stage.trim_end().to_owned(), number, total, name: rest.to_owned(), cached: None })
}

/// One line of the comparison.
pub struct Row {
    pub line: u64,
    pub instruction: String,
    pub ours: String,
    /// `hit`, `ran`, or `-`: it has no such step of its own (merged, not needed).
    pub buildkit: &'static str,
}

impl Row {
    pub fn agrees(&self) -> bool {
        self.buildkit == "-" || self.ours == self.buildkit
    }
}

fn is_merge(step: &Value) -> bool {
    step["instruction"].as_str().unwrap().starts_with("LINK ")
}

/// Our steps beside the vertices: the k-th of a stage is the k-th of the other side. FROM of an image has a number there.
pub fn compare(document: &Value, vertices: &[Vertex]) -> Vec<Row> {
    let steps: Vec<&Value> = super::lab::work(document);
    let mut rows = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for step in &steps {
        let stage = step["stage"].as_str().unwrap();
        let of_stage = steps.iter().filter(|s| s["stage"] == stage && !is_merge(s)).count();
        let at = counts.entry(stage).or_default();
        // The merge of COPY --link has the number of its copy.
        *at += usize::from(!is_merge(step));
        let instruction = step["instruction"].as_str().unwrap();
        let word = instruction.split(' ').next().unwrap().to_uppercase();
        let same = |v: &&Vertex| {
            (v.stage.is_empty() || v.stage == stage || v.stage == format!("stage-{stage}"))
                && v.number + of_stage == *at + v.total
                && v.name.to_uppercase().starts_with(&word)
        };
        let buildkit = match vertices.iter().find(same).and_then(|v| v.cached) {
            Some(true) => "hit",
            Some(false) => "ran",
            None => "-",
        };
        rows.push(Row {
            line: step["line"].as_u64().unwrap(),
            instruction: instruction.chars().take(44).collect(),
            ours: step["result"].as_str().unwrap().to_owned(),
            buildkit,
        });
    }
    rows
}

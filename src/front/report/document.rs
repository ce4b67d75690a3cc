//! The document at the end of `build --json`, and each step of it for `why --json`. Schema 1: fields are added, never
//! renamed or removed.

use std::io::{self, Write};

use serde::Serialize;

use super::reads::ReadsDocument;
use super::used::UsageDocument;
use crate::engine::event::{Role, Stamped, VertexId};
use crate::engine::verdict::{Doubt, MissReason};
use crate::front::text::escape::is_deceptive;
use crate::insight::model::cascade::root_of;
use crate::insight::model::{BuildState, Cascade, Cutoff, Difference, Mark, Step};

/// One build.
#[derive(Debug, Serialize)]
pub struct Document {
    /// Version of this shape: 1.
    pub schema: u32,
    /// The image's id.
    pub image: Option<String>,
    /// Manifest digest of the first export.
    pub digest: Option<String>,
    /// In all.
    pub seconds: f64,
    /// Why it failed.
    pub error: Option<String>,
    /// It was cancelled.
    pub cancelled: bool,
    /// In Dockerfile order.
    pub steps: Vec<StepDocument>,
}

/// One step.
#[derive(Debug, Serialize)]
pub struct StepDocument {
    /// From 1.
    pub line: u32,
    /// Name of its stage, or its number.
    pub stage: String,
    /// As written, on one line.
    pub instruction: String,
    /// `hit`, `ran`, `failed`, `skipped`, `unknown`, `config`.
    pub result: &'static str,
    /// For a hit: `definition`, `content`, `merged`, `manifest`, `chain-id`, `traced`, `imported`.
    pub how: Option<&'static str>,
    /// For a hit of a cache that was brought in: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// For a miss.
    pub reasons: Vec<ReasonDocument>,
    /// Line of the step where the cascade began.
    pub cause: Option<u32>,
    /// It took; for a hit what the recorded run took.
    pub seconds: f64,
    /// Of regular files in its layer.
    pub bytes: Option<u64>,
    /// For a RUN whose process has ended, well or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageDocument>,
    /// For a RUN that was watched when it ran, now or when its result was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<ReadsDocument>,
    /// For `config`: what it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// For `config`: lines of the steps whose key it enters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enters: Option<Vec<u32>>,
    /// What the result depends on beside its key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<DoubtDocument>,
    /// What is inside of its changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<DifferenceDocument>,
    /// For a hit that ended a cascade (C3): line of the step that ran again, lines of the steps spared, their seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cutoff: Option<CutoffDocument>,
    /// For a root cause: seconds of it and its followers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_seconds: Option<f64>,
}

/// Where equal content ended a cascade.
#[derive(Debug, Serialize)]
pub struct CutoffDocument {
    /// Line of the step that ran again.
    pub source: u32,
    /// Lines of the steps that were spared.
    pub spared: Vec<u32>,
    /// What they took when they ran.
    pub seconds: f64,
}

/// What a result depends on beside its key.
#[derive(Debug, Serialize)]
pub struct DoubtDocument {
    /// `F1` to `F5`.
    pub code: &'static str,
    /// The sentence.
    pub text: String,
    /// What to do.
    pub action: &'static str,
}

/// What is inside of a change.
#[derive(Debug, Serialize)]
pub struct DifferenceDocument {
    /// The file, or the base image.
    pub what: String,
    /// A unified diff, or facts.
    pub lines: Vec<String>,
    /// Why there are none.
    pub note: Option<String>,
}

/// One reason of a miss.
#[derive(Debug, Serialize)]
pub struct ReasonDocument {
    /// `M2`, `C1` ...
    pub code: &'static str,
    /// The file.
    pub path: Option<String>,
    /// What differs: `content`, `mode`, or the name of a setting or variable.
    pub attribute: Option<String>,
    /// Before.
    pub old: Option<String>,
    /// Now.
    pub new: Option<String>,
    /// The sentence.
    pub text: String,
    /// What to do about it.
    pub action: &'static str,
}

/// The document of a build as far as it went.
pub fn document(state: &BuildState) -> Document {
    let finish = state.finish.as_ref();
    Document {
        schema: 1,
        image: finish.and_then(|f| f.image).map(|d| d.to_string()),
        digest: state.exports.first().map(|e| e.digest.to_string()),
        seconds: seconds(finish.map_or(state.now, |f| f.micros)),
        error: finish.and_then(|f| f.error.clone()),
        cancelled: finish.is_some_and(|f| f.cancelled),
        steps: steps(state),
    }
}

/// All steps, in Dockerfile order.
pub fn steps(state: &BuildState) -> Vec<StepDocument> {
    let cascade = Cascade::of(state);
    let mut steps: Vec<&Step> = state.steps.iter().collect();
    steps.sort_by_key(|step| step.line);
    steps.into_iter().map(|step| step_document(state, &cascade, step)).collect()
}

fn step_document(state: &BuildState, cascade: &Cascade, step: &Step) -> StepDocument {
    let (effect, enters) = match &step.role {
        Role::Config { effect, enters } => (Some(effect.clone()), Some(enters.clone())),
        Role::Start => (Some("opens a stage".to_owned()), Some(Vec::new())),
        Role::Base | Role::Step => (None, None),
    };
    StepDocument {
        line: step.line,
        stage: stage_name(step),
        instruction: step.name.clone(),
        result: result(state.mark(step)),
        how: step.hit().map(|how| how.code()),
        from: step.hit_from().map(str::to_owned),
        reasons: step.reasons().iter().map(reason_document).collect(),
        cause: root_of(state, step).and_then(|v| state.step(v)).map(|s| s.line),
        seconds: seconds(step.micros),
        bytes: step.layer.map(|l| l.bytes),
        usage: step.usage.map(UsageDocument::from),
        reads: step.reads.as_ref().map(ReadsDocument::from),
        effect,
        enters,
        doubts: step.doubts.iter().map(doubt_document).collect(),
        differences: step.differences.iter().map(difference_document).collect(),
        cutoff: cascade.cutoff(step.vertex).map(|cutoff| cutoff_document(state, cutoff)),
        cost_seconds: cascade.root(step.vertex).map(|root| seconds(root.micros)),
    }
}

/// Writes the document as one line. Errors: of the writer.
pub fn write(out: &mut dyn Write, state: &BuildState) -> io::Result<()> {
    json(out, &document(state))
}

/// Writes one event as a line of `--progress=json`. Errors: of the writer.
pub fn write_event(out: &mut dyn Write, event: &Stamped) -> io::Result<()> {
    json(out, event)
}

/// Any value as one line of JSON. C1 controls and deceptive characters, which can only stand inside strings, become
/// `\uXXXX` like the controls that JSON itself escapes. Errors: of the writer.
pub(super) fn json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    let mut safe = String::new();
    for c in serde_json::to_string(value)?.chars() {
        if c.is_control() || is_deceptive(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| safe.push_str(&format!("\\u{unit:04x}")));
        } else {
            safe.push(c);
        }
    }
    writeln!(out, "{safe}")
}

/// The name of a step's stage, or its number.
pub fn stage_name(step: &Step) -> String {
    step.stage.name.clone().unwrap_or_else(|| step.stage.index.to_string())
}

fn result(mark: Mark) -> &'static str {
    match mark {
        Mark::Cached => "hit",
        Mark::New | Mark::Changed | Mark::Reran => "ran",
        Mark::Failed => "failed",
        Mark::Skipped | Mark::Cancelled => "skipped",
        Mark::Running | Mark::Waiting => "unknown",
        Mark::Config => "config",
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}

fn reason_document(reason: &MissReason) -> ReasonDocument {
    let (path, attribute, old, new) = match reason.clone() {
        MissReason::FileChanged { path, attribute, old, new, .. } => {
            (Some(path), Some(attribute.code().to_owned()), old, new)
        }
        MissReason::DownloadChanged { address } => (Some(address), Some("content".to_owned()), None, None),
        MissReason::CommandChanged { old, new, .. } => (None, Some("command".to_owned()), Some(old), Some(new)),
        MissReason::FieldChanged { field, old, new } => (None, Some(field), old, new),
        MissReason::VariableChanged { name, old, new, .. } => (None, Some(name), old, new),
        MissReason::BaseChanged { image, old, new } => (Some(image), Some("base image".to_owned()), old, Some(new)),
        MissReason::ParentChanged { old, new } => (None, Some("parent".to_owned()), old, new),
        MissReason::NotImported { cache, mode, damage } => {
            (Some(cache), Some("result".to_owned()), None, damage.or(Some(format!("mode={mode}"))))
        }
        _ => (None, None, None, None),
    };
    ReasonDocument { code: reason.code(), path, attribute, old, new, text: reason.to_string(), action: reason.action() }
}

fn doubt_document(doubt: &Doubt) -> DoubtDocument {
    DoubtDocument { code: doubt.code(), text: doubt.to_string(), action: doubt.action() }
}

fn difference_document(of: &Difference) -> DifferenceDocument {
    DifferenceDocument { what: of.what.clone(), lines: of.lines.clone(), note: of.note.clone() }
}

fn cutoff_document(state: &BuildState, cutoff: &Cutoff) -> CutoffDocument {
    let line = |id: &VertexId| state.step(*id).map(|step| step.line);
    CutoffDocument {
        source: line(&cutoff.source).unwrap_or(0),
        spared: cutoff.spared.iter().filter_map(line).collect(),
        seconds: seconds(cutoff.micros),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::model::fixture;

    #[test]
    fn the_document_has_the_promised_shape() {
        let value = serde_json::to_value(document(&BuildState::fold(&fixture::second_build()))).unwrap();
        assert_eq!(value["schema"], 1);
        assert_eq!(value["cancelled"], false);
        let steps = value["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 11);
        assert_eq!(steps[2]["result"], "ran");
        assert_eq!(steps[2]["reasons"][0]["code"], "M2");
        assert_eq!(steps[2]["reasons"][0]["path"], "src/routes/cart.ts");
        assert_eq!(steps[2]["cost_seconds"], 60.6);
        assert_eq!(steps[3]["cause"], 3);
        assert_eq!(steps[3]["seconds"], 41.2);
        assert_eq!(steps[3]["stage"], "build");
        assert_eq!(steps[4]["result"], "config");
        assert_eq!(steps[4]["enters"][0], 8);
        assert_eq!(steps[8]["how"], "content");
        assert!(steps[8]["cause"].is_null());
        assert!(value["image"].as_str().unwrap().starts_with("sha256:"));
    }

    #[test]
    fn deceptive_characters_are_escaped_and_read_back() {
        let mut out = Vec::new();
        let name = "a\u{202e}b\u{9b}c\u{e0001}\n";
        json(&mut out, &name).unwrap();
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), name);
        assert!(out.is_ascii());
    }

    #[test]
    fn a_build_that_only_began_is_unknown() {
        let log = fixture::second_build();
        let document = document(&BuildState::fold(&log[..8]));
        assert!(document.steps.iter().all(|s| matches!(s.result, "unknown" | "config")));
    }
}

//! Judges one build by what is recorded, and by what BuildKit made of it.

use serde_json::{Value, json};

use super::case::{Case, Expected};
use super::compare::differences;
use super::known::is_by_chance;
use super::lab::Built;
use super::ours::Answer;

/// What a comparison gives.
pub enum Outcome {
    Equal,
    Refused(String),
    /// Nobody can say.
    Unjudged(&'static str),
    Wrong(String),
}

/// The judgement on step `at` of a group.
pub fn judge(case: &Case, at: usize, ours: &[Answer], lab: &[Built]) -> Outcome {
    let lab_says = if matches!(lab[at], Built::Image(_)) { Expected::Ok } else { Expected::Error };
    // BuildKit is the judge of what docker's classic builder did; a recorded verdict of BuildKit's own tests stands.
    let expected = match case.expected {
        Expected::Unknown => lab_says,
        _ if case.classic => lab_says,
        recorded => recorded,
    };
    let mut wrong = Vec::new();
    match (&ours[at].built, expected) {
        (Built::Error(why), Expected::Ok) => return Outcome::Wrong(format!("should be built: {why}")),
        (Built::Image(_), Expected::Error) => {
            let why = if let Built::Error(why) = &lab[at] { why.as_str() } else { "(recorded)" };
            if why.contains("unknown flag: --parents") && case.expected != Expected::Error {
                return Outcome::Unjudged("built, but the lab's BuildKit is too old for COPY --parents");
            }
            return Outcome::Wrong(format!("should be refused; BuildKit: {why}"));
        }
        (Built::Error(_), _) => {}
        (Built::Image(own), _) => {
            if let Built::Image(other) = &lab[at] {
                let chance =
                    |line: &String| line.split_once(": ours file").is_some_and(|(path, _)| is_by_chance(&case.name, path));
                wrong.extend(differences(own, other).into_iter().filter(|line| !chance(line)));
            }
        }
    }
    for assert in &case.asserts {
        if holds(assert, at, ours, lab) == Some(false) {
            wrong.push(format!("recorded: {assert}"));
        }
    }
    match (wrong.is_empty(), &ours[at].built) {
        (true, Built::Image(_)) => Outcome::Equal,
        (true, Built::Error(words)) => {
            let line = words.lines().find(|line| line.starts_with("error: ")).or(words.lines().last()).unwrap_or("");
            Outcome::Refused(line.chars().take(200).collect())
        }
        (false, _) => Outcome::Wrong(wrong.join("\n      ")),
    }
}

/// Where the source and the lab's BuildKit answer differently, and which of them counts.
pub fn disagreement(case: &Case, lab: &Built) -> Option<&'static str> {
    match (case.expected, lab) {
        (Expected::Ok, Built::Error(_)) if !case.classic => {
            Some("as recorded; the lab's BuildKit refuses it, so no tree is compared")
        }
        (Expected::Error, Built::Image(_)) if !case.classic => Some("as recorded; the lab's BuildKit builds it"),
        (Expected::Ok, Built::Error(_)) => Some("as the lab's BuildKit, which refuses what docker's classic builder built"),
        (Expected::Error, Built::Image(_)) => {
            Some("as the lab's BuildKit, which builds what docker's classic builder refused")
        }
        _ => None,
    }
}

/// Whether a recorded statement holds; none when it is about something that is not looked at here.
fn holds(assert: &Value, at: usize, ours: &[Answer], lab: &[Built]) -> Option<bool> {
    let (left, right) = match assert["args"].as_array() {
        Some(args) => (args.first()?, args.get(1).unwrap_or(&Value::Null)),
        None => (&assert["left"], &assert["right"]),
    };
    if let (Some(a), Some(b)) = (step(left), step(right)) {
        return same_image(a, b, ours, lab);
    }
    if left["expr"] == "output" {
        return said(assert["check"].as_str()?, right.as_str()?.trim(), &ours[at]);
    }
    let value = |side: &Value| match side["expr"].as_str() {
        Some(expression) => known(expression, &ours[at]),
        None => Some(side.clone()),
    };
    let (left, right) = (value(left)?, value(right)?);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (a, b) = (text(&left), text(&right));
    match assert["check"].as_str()? {
        "equal" => Some(left == right || a == b),
        "notequal" => Some(left != right),
        "contains" => Some(a.contains(&b)),
        "notcontains" => Some(!a.contains(&b)),
        "true" => Some(left == json!(true)),
        "false" => Some(left == json!(false)),
        _ => None,
    }
}

/// Whether something was said, unless it is in the classic builder's own words.
fn said(check: &str, text: &str, answer: &Answer) -> Option<bool> {
    let classic = ["Step ", "Using cache", "[Warning]", "were not consumed"];
    if text.is_empty() || classic.iter().any(|words| text.contains(words)) {
        return None;
    }
    if matches!(answer.built, Built::Error(_)) {
        return None;
    }
    match check {
        "contains" => Some(answer.output.contains(text)),
        "notcontains" => Some(!answer.output.contains(text)),
        _ => None,
    }
}

fn step(side: &Value) -> Option<usize> {
    side["expr"].as_str()?.strip_prefix("image#")?.parse().ok()
}

/// Two builds that are cached as a whole have one image. What BuildKit says counts, as it is the judge of hits.
fn same_image(a: usize, b: usize, ours: &[Answer], lab: &[Built]) -> Option<bool> {
    let same = |a: &Built, b: &Built| match (a, b) {
        (Built::Image(a), Built::Image(b)) => Some(a.id == b.id),
        _ => None,
    };
    Some(same(&ours.get(a)?.built, &ours.get(b)?.built)? == same(lab.get(a)?, lab.get(b)?)?)
}

/// The value of an expression of a test, as far as it is about the image or about what was said.
fn known(expression: &str, answer: &Answer) -> Option<Value> {
    let Built::Image(image) = &answer.built else { return None };
    if let Some(path) = expression.strip_prefix("file(").and_then(|rest| rest.strip_suffix(')')) {
        let node = image.tree.get(path);
        return Some(node.and_then(|node| node.text.clone()).map_or(Value::Null, Value::String));
    }
    if let Some(path) = expression.strip_prefix("stat(").and_then(|rest| rest.strip_suffix(").IsDir()")) {
        return Some(json!(image.tree.get(path).is_some_and(|node| node.what.starts_with("dir"))));
    }
    if let Some(rest) = expression.strip_prefix("has:inspectjson:") {
        let (field, key) = rest.strip_suffix("']")?.split_once("['")?;
        let value = image.config.pointer(&pointer(field))?;
        return Some(json!(value.get(key.replace("\\\\", "\\")).is_some()));
    }
    if let Some(rest) = expression.strip_prefix("inspectjson:Config.Labels['") {
        return Some(image.config["config"]["Labels"][rest.strip_suffix("']")?].clone());
    }
    if let Some(field) = expression.strip_prefix("inspectjson:Config.") {
        let value = image.config.pointer(&pointer(&format!("Config.{field}")))?;
        return Some(json!(value.to_string()));
    }
    let field = expression.strip_prefix("inspect:Config.")?;
    match image.config.pointer(&pointer(&format!("Config.{field}")))? {
        Value::Array(list) => {
            let words: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            Some(json!(format!("[{}]", words.join(" "))))
        }
        other => Some(other.clone()),
    }
}

fn pointer(field: &str) -> String {
    format!("/{}", field.replacen("Config", "config", 1).replace('.', "/"))
}

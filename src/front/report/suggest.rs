//! `suggest`, plain and JSON.

use std::io::{self, Write};

use similar::TextDiff;

use super::document;
use crate::front::text;
use crate::insight::suggest::{BestOrder, Proof, Rewritten, SuggestReport, Suggestion, Trigger};

/// So many paths that two builds of the original do not share are listed.
const SHOWN_PATHS: usize = 10;

/// How far a suggestion is proven, as a sentence.
pub fn proof(suggestion: &Suggestion) -> String {
    match (&suggestion.verified, suggestion.proof) {
        (Some(found), _) if found.proven => {
            let left_out = match found.unreproducible.len() {
                0 => String::new(),
                n => format!(", {n} that the original does not reproduce left out"),
            };
            format!("proven: both images were built and are equal ({} paths compared{left_out})", found.compared)
        }
        (Some(found), _) => {
            format!("not proven: {}", text::line(found.why.as_deref().unwrap_or("the comparison did not come to an end")))
        }
        (None, Proof::NotProven) => {
            "not proven: derived from a rule, neither traced nor built (`suggest --verify` builds both)".to_owned()
        }
        (None, Proof::Traced) => {
            "not proven: derived from what the step read, but not built yet (`suggest --verify` builds both)".to_owned()
        }
    }
}

/// What the saving really was, where it was measured.
pub fn measured(suggestion: &Suggestion) -> Option<String> {
    let measured = suggestion.verified.as_ref()?.measured.as_ref()?;
    let (now, after) = (text::seconds(measured.now_micros), text::seconds(measured.after_micros));
    let saved = text::seconds(measured.now_micros.saturating_sub(measured.after_micros));
    Some(format!(
        "measured: {saved} saved after a change of {}: {now} before, {after} after",
        text::line(&measured.touched.join(", "))
    ))
}

/// The change as a unified diff with three lines of context.
pub fn unified_diff(suggestion: &Suggestion) -> String {
    let (name, suggested) = match suggestion.file {
        Rewritten::Dockerfile => ("Dockerfile", "Dockerfile (suggested)"),
        Rewritten::IgnoreFile => (".dockerignore", ".dockerignore (suggested)"),
    };
    let compared = TextDiff::from_lines(&suggestion.before, &suggestion.after);
    compared.unified_diff().context_radius(3).header(name, suggested).to_string()
}

/// The saving in one sentence.
pub fn saving(suggestion: &Suggestion) -> String {
    let Some(saving) = &suggestion.saving else {
        return match (&suggestion.gain, &suggestion.trigger) {
            (Some(gain), Trigger::None) => format!("gains: {}", text::line(gain)),
            (Some(gain), _) => format!("gains: {}; time saved unknown: no build on record yet", text::line(gain)),
            (None, _) => "saving unknown: no build on record yet".to_owned(),
        };
    };
    let saved = text::seconds(saving.now_micros.saturating_sub(saving.after_micros));
    let (now, after) = (text::seconds(saving.now_micros), text::seconds(saving.after_micros));
    let touched = match saving.touched.as_slice() {
        [] => match &suggestion.trigger {
            Trigger::Argument { name } => format!("the argument {}", text::line(name)),
            Trigger::Base { image } => format!("the base image {}", text::line(image)),
            _ => "a source file".to_owned(),
        },
        [one] => text::line(one),
        [one, rest @ ..] => format!("{} and {} more", text::line(one), rest.len()),
    };
    let gain = suggestion.gain.as_ref().map(|gain| format!("; also: {}", text::line(gain))).unwrap_or_default();
    format!("saves {saved} when {touched} changes: {now} now, {after} after{gain}")
}

/// What the history would have cost, where it was replayed.
pub fn replayed(suggestion: &Suggestion) -> Option<String> {
    let found = suggestion.replayed.as_ref()?;
    let (now, after) = (text::seconds(found.now_micros), text::seconds(found.after_micros));
    let untimed = match found.untimed {
        (0, 0) => String::new(),
        (now, after) => format!("; runs without a time on record: {now} now, {after} after"),
    };
    Some(format!("replayed over {} builds of the history: {now} now, {after} after{untimed}", found.builds))
}

/// What a commit costs on the average, where orders were compared, and whether a better one is possible.
pub fn expected(suggestion: &Suggestion) -> Option<String> {
    let found = suggestion.expected.as_ref()?;
    let (now, after) = (text::seconds(found.now_micros), text::seconds(found.after_micros));
    let best = match found.order {
        BestOrder::Optimal { orders: Some(1) } => "no other order is possible".to_owned(),
        BestOrder::Optimal { orders: Some(orders @ ..1_000_000) } => format!("the least of {orders} possible orders"),
        BestOrder::Optimal { orders: Some(_) } => "the least of more than a million possible orders".to_owned(),
        BestOrder::Optimal { orders: None } => "no order costs less".to_owned(),
        BestOrder::Within { micros } => format!("no order can cost {} less than that", text::seconds(micros)),
    };
    let commits = if found.commits == 1 { "commit" } else { "commits" };
    Some(format!("expected, over {} {commits} of the history: {now} a commit now, {after} after; {best}", found.commits))
}

/// Everything found. Errors: of the writer.
pub fn plain(out: &mut dyn Write, report: &SuggestReport) -> io::Result<()> {
    if report.offered.is_empty() {
        writeln!(out, "no suggestion for this Dockerfile")?;
    }
    for (at, suggestion) in report.offered.iter().enumerate() {
        let (line, title) = (suggestion.line, text::line(&suggestion.title));
        let rules: Vec<String> =
            std::iter::once(&suggestion.rule).chain(&suggestion.joined).map(|r| text::line(r)).collect();
        writeln!(out, "{}. line {line}: {title} ({})", at + 1, rules.join(", "))?;
        writeln!(out, "   {}", saving(suggestion))?;
        for sentence in expected(suggestion).into_iter().chain(replayed(suggestion)) {
            writeln!(out, "   {sentence}")?;
        }
        writeln!(out, "   {}", proof(suggestion))?;
        if let Some(words) = measured(suggestion) {
            writeln!(out, "   {words}")?;
        }
        if let Some(found) = &suggestion.verified {
            for path in &found.differing {
                writeln!(out, "   differs: {}", text::line(path))?;
            }
            for path in found.unreproducible.iter().take(SHOWN_PATHS) {
                writeln!(out, "   not the same in two builds of the original: /{}", text::line(path))?;
            }
            if found.unreproducible.len() > SHOWN_PATHS {
                writeln!(out, "   and {} more such paths", found.unreproducible.len() - SHOWN_PATHS)?;
            }
        }
        for sentence in &suggestion.evidence {
            writeln!(out, "   seen: {}", text::line(sentence))?;
        }
        for sentence in &suggestion.risks {
            writeln!(out, "   risk: {}", text::line(sentence))?;
        }
        writeln!(out)?;
        if suggestion.is_advice() {
            continue;
        }
        write!(out, "{}", text::block(&unified_diff(suggestion)))?;
        writeln!(out)?;
    }
    for refusal in &report.refused {
        let (rule, reason) = (text::line(&refusal.rule), text::line(&refusal.reason));
        writeln!(out, "not offered: line {}, {rule}: {reason}", refusal.line)?;
    }
    Ok(())
}

/// `{"schema":1,"offered":[…],"refused":[…]}`; each offer has its `diff`. Errors: of the writer.
pub fn json(out: &mut dyn Write, report: &SuggestReport) -> io::Result<()> {
    let mut offered = Vec::new();
    for suggestion in &report.offered {
        let mut value = serde_json::to_value(suggestion)?;
        if let Some(object) = value.as_object_mut() {
            object.insert("diff".to_owned(), unified_diff(suggestion).into());
        }
        offered.push(value);
    }
    document::json(out, &serde_json::json!({"schema": 1, "offered": offered, "refused": report.refused}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::report::fixture;
    use crate::insight::suggest::Expected;

    #[test]
    fn the_plain_report_has_diff_and_honesty() {
        let mut out = Vec::new();
        plain(&mut out, &fixture::suggestions()).unwrap();
        let text = String::from_utf8(out).unwrap();
        for part in
            ["+COPY package.json package-lock.json ./", "not proven", "saves 41.2s", "risk: ", "not offered: line 11"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn an_order_says_what_a_commit_costs_and_whether_it_is_the_best() {
        let mut found = fixture::suggestions().offered.remove(0);
        assert_eq!(expected(&found), None);
        for (order, words) in [
            (BestOrder::Optimal { orders: Some(12) }, "the least of 12 possible orders"),
            (BestOrder::Optimal { orders: Some(1) }, "no other order is possible"),
            (BestOrder::Optimal { orders: Some(u64::MAX) }, "the least of more than a million possible orders"),
            (BestOrder::Optimal { orders: None }, "no order costs less"),
            (BestOrder::Within { micros: 400_000 }, "no order can cost 0.4s less than that"),
        ] {
            found.expected = Some(Expected { commits: 57, now_micros: 5_100_000, after_micros: 1_900_000, order });
            let said = expected(&found).unwrap();
            assert_eq!(said, format!("expected, over 57 commits of the history: 5.1s a commit now, 1.9s after; {words}"));
        }
        let mut out = Vec::new();
        plain(&mut out, &SuggestReport { offered: vec![found], refused: Vec::new() }).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("after; no order can cost"));
    }

    #[test]
    fn the_json_report_parses() {
        let mut out = Vec::new();
        json(&mut out, &fixture::suggestions()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["offered"][0]["proof"], "not_proven");
        assert!(value["offered"][0]["diff"].as_str().unwrap().contains("@@"));
    }
}

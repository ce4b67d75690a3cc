//! The suggestion for the fixture of the model, for tests of reports and interface.

use crate::insight::model::fixture::DOCKERFILE;
use crate::insight::suggest::{Proof, Refusal, Rewritten, Saving, SuggestReport, Suggestion, Trigger};

/// The suggestion for the fixture, and one refusal.
pub fn suggestions() -> SuggestReport {
    let after = DOCKERFILE
        .replace("COPY . .\nRUN npm install", "COPY package.json package-lock.json ./\nRUN npm install")
        .replace("--force\n", "--force\nCOPY . .\n");
    SuggestReport {
        offered: vec![Suggestion {
            rule: "broad-copy-before-install".into(),
            title: "copy package.json and package-lock.json before npm install".into(),
            line: 3,
            evidence: vec![
                "`COPY . .` on line 3 brings every file of the context into the key of `npm install`.".into(),
                "`npm install` reads package.json and package-lock.json, which exist in the context.".into(),
            ],
            risks: vec!["A lifecycle script that reads source files would not find them.".into()],
            proof: Proof::NotProven,
            verified: None,
            saving: Some(Saving {
                touched: vec!["src/routes/cart.ts".into()],
                now_micros: 60_600_000,
                after_micros: 19_400_000,
                spared_lines: vec![4],
            }),
            trigger: Trigger::Sources,
            gain: None,
            replayed: None,
            joined: Vec::new(),
            expected: None,
            file: Rewritten::Dockerfile,
            before: DOCKERFILE.into(),
            after,
        }],
        refused: vec![Refusal {
            rule: "broad-copy-before-install".into(),
            line: 11,
            reason: "apt-get install reads nothing from the context".into(),
        }],
    }
}

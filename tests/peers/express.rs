//! Issue 2, must show 2: a real npm install, its miss, the suggestion, and the saving that was promised.

use serde_json::Value;

use super::lab::{Ours, Running, at_line, codes, image, program, ran, write};

const DOCKERFILE: &str = "FROM node:local\nWORKDIR /app\nCOPY . .\nRUN npm install\nCMD [\"node\", \"server.js\"]\n";
const MANIFEST: &str =
    r#"{"name": "peers-express", "version": "1.0.0", "private": true, "dependencies": {"express": "4.21.2"}}"#;
const SERVER: &str = "const app = require('express')();\napp.get('/', (q, r) => r.send('hello'));\napp.listen(3000);\n";

#[test]
fn express() {
    let test = Running::start("express");
    let layout = match image("node") {
        Ok(layout) => layout,
        Err(why) => return test.skip(why),
    };
    let online = program("npm").is_ok_and(|npm| {
        let view = std::process::Command::new(npm).args(["view", "express@4.21.2", "version"]).output();
        view.is_ok_and(|done| done.status.success())
    });
    if !online {
        return test.skip("npm does not reach its registry");
    }
    let ours = Ours::with_image(&layout, &["node:local"]);
    let context = ours.folder("express");
    write(&context, "Dockerfile", DOCKERFILE);
    write(&context, "package.json", MANIFEST);
    write(&context, "server.js", SERVER);
    write(&context, ".dockerignore", "node_modules\nDockerfile\nDockerfile.*\n");
    let cold = ours.build(&context, &[]);
    assert_eq!(ran(&cold), 3);
    let warm = ours.build(&context, &[]);
    assert_eq!(ran(&warm), 0, "{warm}");

    write(&context, "server.js", &SERVER.replace("hello", "touched"));
    let touched = ours.build(&context, &[]);
    let (copy, install) = (at_line(&touched, 3), at_line(&touched, 4));
    assert_eq!((&copy["reasons"][0]["code"], &copy["reasons"][0]["path"]), (&"M2".into(), &"server.js".into()));
    assert_eq!(copy["reasons"].as_array().unwrap().len(), 1, "{copy}");
    assert_eq!(
        (install["result"].as_str(), install["cause"].as_u64(), codes(install)),
        (Some("ran"), Some(3), vec!["C1".into()])
    );
    let install_seconds = install["seconds"].as_f64().unwrap();
    assert!(copy["cost_seconds"].as_f64().unwrap() >= install_seconds, "{copy}");

    let folder = context.to_str().unwrap();
    let advice: Value = serde_json::from_str(&ours.ok(&["suggest", "--json", folder])).unwrap();
    let micros = |name: &str| advice["offered"][0]["saving"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {advice}"));
    let predicted = (micros("now_micros") - micros("after_micros")) / 1e6;
    ours.ok(&["suggest", "--apply", folder]);
    let rewritten = std::fs::read_to_string(context.join("Dockerfile")).unwrap();
    let first = ours.build(&context, &[]);
    let line = |document: &Value| {
        let steps = document["steps"].as_array().unwrap();
        steps.iter().find(|s| s["instruction"] == "RUN npm install").unwrap().clone()
    };
    assert_eq!(line(&first)["result"], "ran");
    write(&context, "server.js", &SERVER.replace("hello", "again"));
    let good = ours.build(&context, &[]);
    assert_eq!(line(&good)["result"], "hit", "{rewritten}\n{good}");
    let measured = touched["seconds"].as_f64().unwrap() - good["seconds"].as_f64().unwrap();
    let off = (measured - predicted).abs() / predicted;
    println!(
        "express: touched {} s, after {} s, predicted {predicted:.2} s, measured {measured:.2} s",
        touched["seconds"], good["seconds"]
    );
    assert!(off <= 0.25, "predicted {predicted} s, measured {measured} s");
    test.pass(format!("predicted {predicted:.2} s, measured {measured:.2} s ({:.0} % off)", off * 100.0));
}

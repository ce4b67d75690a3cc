//! Builds that another builder made, taken in from what it told.

use super::program::{Program, codes, line};

fn progress(copied: bool) -> String {
    let step = |digest: &str, name: &str, cached: bool, from: u32, to: u32| {
        let at = |seconds: u32| format!("2026-11-28T19:44:{seconds:02}Z");
        format!(
            "{{\"vertexes\":[{{\"digest\":\"sha256:{digest}\",\"name\":\"{name}\",\"cached\":{cached},\"started\":\"{}\",\"completed\":\"{}\"}}]}}\n",
            at(from),
            at(to)
        )
    };
    let mut out = "#0 building with \"default\" instance\n".to_owned();
    out.push_str(&step("b", "[build 1/3] FROM docker.io/library/base:1", true, 1, 1));
    out.push_str(&step("c", "[build 2/3] COPY . /src", copied, 1, 2));
    out.push_str(&step("d", "[build 3/3] RUN make", copied, 2, 12));
    out.push_str("{\"logs\":[{\"vertex\":\"sha256:d\",\"stream\":1,\"data\":\"bWFkZQo=\"}]}\n");
    out
}

#[test]
fn an_imported_build_is_explained_by_what_changed_since_the_one_before() {
    let program = Program::new("FROM base:1 AS build\nCOPY . /src\nRUN make\nCMD [\"x\"]\n");
    program.write("a", "1\n");
    std::fs::write(program.path("raw.json"), progress(false)).unwrap();
    let import = |args: &[&str]| program.run(&[&["import", "../raw.json"], args].concat());
    import(&[]).says(0, &["line 3: RUN make", "first import", "base images that this store has not got", "base:1"]);
    program.write("a", "2\n");
    let second = import(&["--json"]);
    let document: serde_json::Value = serde_json::from_str(&second.stdout).unwrap();
    assert_eq!(line(&document, 2)["reasons"][0]["path"], "a");
    assert_eq!((codes(line(&document, 3)), line(&document, 3)["cause"].as_u64()), (vec!["C1"], Some(2)));
    assert_eq!(line(&document, 2)["cost_seconds"], 11.0);
    std::fs::write(program.path("raw.json"), progress(true)).unwrap();
    let third: serde_json::Value = serde_json::from_str(&import(&["--json"]).stdout).unwrap();
    assert_eq!((line(&third, 3)["result"].as_str(), line(&third, 3)["how"].as_str()), (Some("hit"), Some("told")));
    program.run(&["history", "ls"]).says(0, &["CONTEXT", "context", "Dockerfile"]);
    std::fs::write(program.path("raw.json"), "nothing\n").unwrap();
    import(&[]).says(1, &["is no build that can be imported", "rawjson"]);
    program.write("Dockerfile", "FROM other\nRUN else\n");
    std::fs::write(program.path("raw.json"), progress(true).replace("build ", "b ")).unwrap();
    import(&[]).says(1, &["no step of that build stands in Dockerfile"]);
}

//! What a plan says of steps that others make, too, against what the build then does.

use serde_json::Value;

use super::program::{Program, busybox, line};

struct Bench {
    program: Program,
    base: String,
}

impl Bench {
    fn new(test: &str, dockerfile: &str, files: &[(&str, &str)]) -> Option<Self> {
        let layout = busybox(test)?;
        let program = Program::new(dockerfile);
        for (path, text) in files {
            program.write(path, text);
        }
        Some(Self { program, base: format!("--build-context=base=oci-layout://{}", layout.display()) })
    }

    fn build(&self, args: &[&str]) -> Value {
        self.program.build(&[&[self.base.as_str()], args].concat())
    }

    /// What a plan says, and what the build then does.
    fn both(&self, args: &[&str]) -> (Value, Value) {
        let ended = self.program.run(&[&["plan", "--json", self.base.as_str()], args].concat());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        (serde_json::from_str(&ended.stdout).unwrap(), self.build(args))
    }
}

/// How a step was or will be served, else what became of it.
fn how(document: &Value, at: u64) -> &str {
    let step = line(document, at);
    step["how"].as_str().unwrap_or_else(|| step["result"].as_str().unwrap())
}

#[test]
fn a_source_of_another_owner_is_no_other_file_under_chown() {
    let dockerfile = "FROM base AS gen\nARG OWNER=1\nCOPY s /f\nRUN chown $OWNER /f\n\
                      FROM base\nCOPY other /other\nCOPY --chown=7:7 --from=gen /f /f\nRUN cat /f > /g\n";
    let test = "a_source_of_another_owner_is_no_other_file_under_chown";
    let Some(bench) = Bench::new(test, dockerfile, &[("s", "1\n"), ("other", "1\n")]) else { return };
    bench.build(&["--trace=never"]);
    bench.build(&["--build-arg=OWNER=2"]);
    bench.program.write("other", "2\n");
    let (plan, built) = bench.both(&["--cache=traced"]);
    assert_eq!([6, 7, 8].map(|at| how(&built, at)), ["ran", "ran", "traced"], "{built}");
    assert_eq!([6, 7, 8].map(|at| how(&plan, at)), ["ran", "ran", "unknown"], "{plan}");
}

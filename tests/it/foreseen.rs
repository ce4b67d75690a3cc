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
fn what_may_be_merged_with_a_step_that_runs_is_open_and_so_is_what_stands_on_it() {
    let dockerfile = "FROM base AS gen\nCOPY s /s\nRUN cp /s /o\nFROM base AS two\nCOPY o /o\nRUN echo child\n\
                      FROM base AS one\nCOPY --from=gen /o /o\nRUN echo child\n\
                      FROM scratch\nCOPY --from=two / /two/\nCOPY --from=one / /one/\n";
    let test = "what_may_be_merged_with_a_step_that_runs_is_open_and_so_is_what_stands_on_it";
    let Some(bench) = Bench::new(test, dockerfile, &[("s", "1\n"), ("o", "1\n")]) else { return };
    bench.build(&[]);
    bench.program.write("s", "2\n");
    bench.program.write("o", "2\n");
    bench.program.write("Dockerfile", &dockerfile.replace("child", "other"));
    let (plan, built) = bench.both(&[]);
    assert_eq!([5, 6, 8, 9].map(|at| how(&built, at)), ["ran", "ran", "merged", "merged"], "{built}");
    assert_eq!([5, 6, 8, 9].map(|at| how(&plan, at)), ["ran", "ran", "unknown", "unknown"], "{plan}");
}

#[test]
fn what_stands_on_an_open_step_under_no_cache_runs_surely() {
    let dockerfile = "FROM base AS gen\nCOPY s /s\nRUN cp /s /o\nFROM base AS one\nCOPY --from=gen /o /o\n\
                      FROM base AS two\nCOPY --from=gen /o /o\nFROM two AS three\nRUN echo child\n\
                      FROM scratch\nCOPY --from=one / /one/\nCOPY --from=three / /three/\n";
    let test = "what_stands_on_an_open_step_under_no_cache_runs_surely";
    let Some(bench) = Bench::new(test, dockerfile, &[("s", "1\n")]) else { return };
    bench.build(&[]);
    bench.program.write("s", "2\n");
    let (plan, built) = bench.both(&["--no-cache-filter=two"]);
    assert_eq!([how(&plan, 7), how(&plan, 9)], ["unknown", "ran"], "{plan}");
    assert_eq!(how(&built, 9), "ran", "{built}");
}

#[test]
fn traced_records_count_behind_an_open_step() {
    let dockerfile = "FROM base AS gen\nCOPY s /s\nARG N=1\nRUN cp /s /x\n\
                      FROM base\nCOPY --from=gen /x /x\nRUN echo hi > /y\nCOPY z /z\n";
    let test = "traced_records_count_behind_an_open_step";
    let Some(bench) = Bench::new(test, dockerfile, &[("s", "1\n"), ("z", "1\n")]) else { return };
    bench.build(&["--trace=always"]);
    bench.program.write("s", "2\n");
    bench.program.write("z", "2\n");
    let traced = bench.build(&["--trace=always", "--cache=traced"]);
    assert_eq!([6, 7, 8].map(|at| how(&traced, at)), ["ran", "traced", "ran"], "{traced}");
    // The first stage gives once more what it gave: nobody knows before.
    let (plan, built) = bench.both(&["--cache=traced", "--build-arg=N=2"]);
    assert_eq!([6, 7, 8].map(|at| how(&built, at)), ["content", "traced", "content"], "{built}");
    assert_eq!([6, 7, 8].map(|at| how(&plan, at)), ["unknown"; 3], "{plan}");
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

#[test]
fn what_stands_on_identical_traced_hits_runs_once() {
    let stage = "COPY other /other\nCOPY f /f\nRUN cat /f > /g; sleep 0.1\nRUN sleep 0.1; cat /other\n";
    let dockerfile = format!(
        "FROM base AS one\n{stage}FROM base AS two\n{stage}FROM scratch\nCOPY --from=one / /one/\nCOPY --from=two / /two/\n"
    );
    let test = "what_stands_on_identical_traced_hits_runs_once";
    let Some(bench) = Bench::new(test, &dockerfile, &[("f", "1\n"), ("other", "1\n")]) else { return };
    bench.build(&[]);
    for round in 0..4 {
        bench.program.write("other", &format!("other {round}\n"));
        let (plan, built) = bench.both(&["--cache=traced"]);
        for document in [&plan, &built] {
            assert_eq!([4, 9].map(|at| how(document, at)), ["traced"; 2], "{document}");
            let mut twins = [5, 10].map(|at| how(document, at));
            twins.sort_unstable();
            assert_eq!(twins, ["merged", "ran"], "round {round}: {document}");
        }
    }
}

#[test]
fn a_run_of_this_very_build_may_stand_in_for_another() {
    let dockerfile = "FROM base\nCOPY f /f\nRUN cat /f\nCOPY other /other\nRUN cat /f\nCOPY z /z\n";
    let test = "a_run_of_this_very_build_may_stand_in_for_another";
    let Some(bench) = Bench::new(test, dockerfile, &[("f", "1\n"), ("other", "1\n"), ("z", "1\n")]) else { return };
    let (plan, built) = bench.both(&["--cache=traced"]);
    assert_eq!([3, 5, 6].map(|at| how(&built, at)), ["ran", "traced", "ran"], "{built}");
    assert_eq!([3, 5, 6].map(|at| how(&plan, at)), ["ran", "unknown", "ran"], "{plan}");
    assert_eq!(line(&plan, 5)["depends_on"], 3, "{plan}");
}

//! Files at the limits of size and depth: the time stays linear.

use super::*;

/// What this thread has used of a processor: a busy machine does not count.
fn processor_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn checks_and_outline_of_very_many_stages_and_names_take_linear_time() {
    let begun = processor_time();
    let chain: String = (0..5_000).map(|n| format!("FROM s{n} AS s{}\nENV a{n}=$c{n}\n", n + 1)).collect();
    let names: String = (0..10_000).map(|n| format!("ARG b{n}\nENV c{n}=$d{n}\n")).collect();
    for source in [format!("FROM scratch AS s0\n{chain}"), format!("FROM scratch\n{names}")] {
        let file = parse(&source);
        let request = checks::LintRequest {
            dockerfile: &file,
            ignore: None,
            target: checks::Target::All,
            build_args: &Default::default(),
            platform: "linux/amd64",
            base: &|_| None,
        };
        assert!(checks::lint(&request).warnings.len() >= 5_000);
        file.outline();
    }
    let took = processor_time() - begun;
    assert!(took.as_secs() < 10, "{took:?}");
}

#[test]
fn deep_and_long_texts_take_linear_time() {
    let begun = processor_time();
    for source in [
        format!("FROM a\nRUN {}", "[".repeat(200_000)),
        format!("FROM a\n{}", "ONBUILD ".repeat(8_000)),
        format!("FROM a\n{}", (0..20_000).map(|n| format!("RUN <<E{n}\n")).collect::<String>()),
        format!("FROM a\nRUN a {}", "\\\n".repeat(300_000)),
        format!("FROM a\nENV {}", "a=${b:-".repeat(9_000)),
        format!("FROM a\nCOPY {} /\n", "--exclude=x ".repeat(5_000)),
        "FROM".repeat(15_000),
    ] {
        let file = parse(&source);
        assert_eq!(file.print(), source);
    }
    let took = processor_time() - begun;
    assert!(took.as_secs() < 20, "{took:?}");
}

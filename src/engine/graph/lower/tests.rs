use super::*;
use crate::engine::graph::op::Operation;
use crate::engine::oci::ImageConfig;
use crate::ground::digest::Digest;
use crate::language::dockerfile::parse;

/// Knows one image, `base`, with a variable and perhaps triggers.
struct One {
    triggers: Vec<String>,
}

impl Bases for One {
    fn resolve(&mut self, name: &str, _: &Platform, _: bool) -> Result<ResolvedBase, BaseError> {
        if name != "base" {
            let message = format!("the base image `{name}` is not there");
            return Err(BaseError { message, hint: None, environment: false });
        }
        let mut config = ImageConfig::scratch(&Platform::host());
        config.config.env.push("FROM_BASE=1".into());
        config.config.on_build = self.triggers.clone();
        Ok(ResolvedBase { image: name.into(), manifest: Digest::of("m"), config, layers: Vec::new() })
    }
}

fn try_lower(text: &str, target: Option<&str>, args: &[(&str, &str)], triggers: &[&str]) -> Result<BuildGraph, Vec<String>> {
    let dockerfile = parse(text);
    assert!(!dockerfile.has_errors(), "{:?}", dockerfile.diagnostics);
    let build_args = args.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let request = LowerRequest {
        dockerfile: &dockerfile,
        target,
        build_args: &build_args,
        platform: Platform::host(),
        directories: &[],
        main: &MainContext::Folder,
        fetched: &BTreeMap::new(),
        images: &["base".to_owned()],
        epoch: None,
        no_cache: false,
        no_cache_filter: &["Fresh".to_owned()],
        labels: &BTreeMap::from([("given".to_owned(), "1".to_owned())]),
        run: &RunSettings {
            hosts: vec![("h".to_owned(), "1.2.3.4".to_owned())],
            shm_size: Some(1 << 20),
            ulimits: Vec::new(),
        },
        network: None,
        allow: &[],
    };
    let mut bases = One { triggers: triggers.iter().map(|t| (*t).to_owned()).collect() };
    match lower(&request, &mut bases) {
        Ok(lowered) => Ok(lowered.graph),
        Err(errors) => Err(errors.into_iter().map(|e| e.message).collect()),
    }
}

fn graph(text: &str) -> BuildGraph {
    try_lower(text, None, &[], &[]).unwrap()
}

/// Variables of the RUN on a line.
fn env(graph: &BuildGraph, line: u32) -> Vec<String> {
    let run = graph.vertices.iter().find(|v| v.line == line).unwrap();
    match run.operation.as_ref().unwrap() {
        Operation::Run { env, .. } => env.iter().map(|v| format!("{}={}", v.name, v.value)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_arg_enters_later_runs_of_its_stage_and_of_stages_on_top() {
    let text = "ARG G=1\nFROM base AS a\nARG G\nARG V=2\nRUN x\nFROM a\nRUN y\nFROM base AS z\nRUN w\n";
    let built = try_lower(text, Some("1"), &[("V", "9")], &[]).unwrap();
    assert_eq!(env(&built, 5).last().unwrap(), "V=9");
    assert!(env(&built, 5).contains(&"G=1".to_owned()));
    assert!(env(&built, 7).contains(&"V=9".to_owned()));
    assert!(built.vertices.iter().all(|v| v.line < 8), "the stage that the target does not need is not looked at");
}

#[test]
fn a_global_arg_does_not_reach_a_stage_that_does_not_declare_it() {
    let built = graph("ARG G=1\nFROM base\nRUN x\n");
    assert!(!env(&built, 3).iter().any(|v| v.starts_with("G=")));
}

#[test]
fn a_variable_set_again_moves_to_the_end() {
    let built = graph("FROM base\nENV A=1 B=2\nENV A=3\nRUN x\n");
    let env = env(&built, 4);
    assert_eq!(env[env.len() - 2..], ["B=2".to_owned(), "A=3".to_owned()]);
}

#[test]
fn workdir_and_destination_are_absolute_and_keep_their_slash() {
    let built = graph("FROM base\nWORKDIR /a\nWORKDIR b/../c\nCOPY x y/\nCOPY z .\n");
    let destinations: Vec<String> = built
        .vertices
        .iter()
        .filter_map(|v| match v.operation.as_ref()? {
            Operation::Copy { destination, .. } => Some(destination.clone()),
            Operation::MakeDirectory { path, .. } => Some(path.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(destinations, ["/a", "/a/c", "/a/c/y/", "/a/c/"]);
}

#[test]
fn triggers_run_at_the_from_and_are_spent() {
    let built = try_lower("FROM base\nRUN own\n", None, &[], &["ENV T=1", "RUN trigger"]).unwrap();
    let lines: Vec<(u32, &str)> = built.vertices.iter().map(|v| (v.line, v.name.as_str())).collect();
    assert_eq!(lines[lines.len() - 3..], [(1, "ENV T=1"), (1, "RUN trigger"), (2, "RUN own")]);
    assert!(env(&built, 2).contains(&"T=1".to_owned()));
    assert!(built.config.unwrap().config.on_build.is_empty());
}

#[test]
fn a_stage_copies_from_earlier_ones_only() {
    let built = graph("FROM base AS early\nRUN x\nFROM base\nCOPY --from=early /x /y\nCOPY --from=0 /x /z\n");
    let early = built.vertices.iter().find(|v| v.line == 2).map(|v| v.id);
    for line in [4, 5] {
        assert_eq!(built.vertices.iter().find(|v| v.line == line).unwrap().edges[0].vertex(), early, "line {line}");
    }
    let text = "FROM base AS a\nCOPY --from=b /x /y\nFROM base AS b\nCOPY --from=a /x /y\n";
    assert!(try_lower(text, None, &[], &[]).is_err());
}

#[test]
fn sources_that_cannot_be_fetched_are_named() {
    for (line, part) in [
        ("ADD --checksum=sha256:00 a b", "--checksum needs a URL"),
        ("ADD --checksum=sha256:00 https://example.org/x b", "64 hex digits"),
        ("ADD --checksum=sha256:00 https://example.org/x https://example.org/y b/", "several"),
        ("ADD https://example.org/x.git#-y /y", "no name of a branch"),
        ("COPY https://example.org/x /y", "COPY takes no URL"),
        ("RUN --mount=type=secret,id=i,env= y", "no name of a variable"),
    ] {
        let errors = try_lower(&format!("FROM base\n{line}\n"), None, &[], &[]).unwrap_err();
        assert!(errors.iter().any(|e| e.contains(part)), "{line}: {errors:?}");
    }
}

#[test]
fn a_step_with_an_agent_knows_where_it_is() {
    let run = |text: &str| match &graph(&format!("FROM base\n{text}\n")).vertices.last().unwrap().operation {
        Some(Operation::Run { env, mounts, .. }) => {
            let socket = env.iter().find(|variable| variable.name == "SSH_AUTH_SOCK").map(|variable| variable.value.clone());
            (socket, mounts.iter().filter(|mount| mount.kind.word() == "ssh").map(|mount| mount.target.clone()).collect())
        }
        other => panic!("{other:?}"),
    };
    let (socket, targets): (_, Vec<String>) = run("RUN --mount=type=ssh --mount=type=ssh,id=b x");
    assert_eq!(socket.as_deref(), Some("/run/buildkit/ssh_agent.0"));
    assert_eq!(targets, ["/run/buildkit/ssh_agent.0", "/run/buildkit/ssh_agent.1"]);
    let (socket, _): (_, Vec<String>) = run("ENV SSH_AUTH_SOCK=/own\nRUN --mount=type=ssh,target=/s x");
    assert_eq!(socket.as_deref(), Some("/own"));
}

#[test]
fn s22_an_insecure_step_has_to_be_allowed() {
    let errors = try_lower("FROM base\nRUN x\nRUN --security=insecure x\n", None, &[], &[]).unwrap_err();
    assert!(errors[0].contains("--allow security.insecure"), "{errors:?}");
}

#[test]
fn a_stop_signal_that_is_none_is_an_error() {
    for known in ["SIGTERM", "quit", "9", "SIGRTMIN+3", "RTMAX-14"] {
        assert!(try_lower(&format!("FROM base\nSTOPSIGNAL {known}\n"), None, &[], &[]).is_ok(), "{known}");
    }
    for unknown in ["FOO", "0", "SIGRTMIN+16", "SIG"] {
        let errors = try_lower(&format!("FROM base\nSTOPSIGNAL {unknown}\n"), None, &[], &[]).unwrap_err();
        assert!(errors[0].contains("is no signal"), "{errors:?}");
    }
}

#[test]
fn parents_and_excludes_are_patterns_below_the_source() {
    let built = graph("FROM base\nCOPY --parents --exclude=*.md --exclude=x a/./b/c d/*.txt /to/\n");
    let copy = built.vertices.iter().find(|v| v.line == 2).unwrap();
    let selectors: Vec<_> = copy.edges[0].selectors.iter().collect();
    let shown = |at: usize| (selectors[at].path.as_str(), selectors[at].include.concat(), selectors[at].required.clone());
    assert_eq!(shown(0), ("a", "b/c".into(), Some("a/b/c".into())));
    assert_eq!(shown(1), ("", "d/*.txt".into(), None));
    assert_eq!(selectors[1].exclude, ["*.md", "x"]);
    let errors = try_lower("FROM base\nCOPY --exclude=[ a /b\n", None, &[], &[]).unwrap_err();
    assert!(errors[0].contains("`[` is no pattern"), "{errors:?}");
}

#[test]
fn a_heredoc_that_names_its_interpreter_is_mounted_as_a_program() {
    let built = graph("FROM base\nRUN <<-EOF\n#!/bin/awk -f\n\tBEGIN {}\nEOF\nRUN cat <<-A > /x\n\ta\nA\n");
    let run = |line: u32| match &built.vertices.iter().find(|v| v.line == line).unwrap().operation {
        Some(Operation::Run { args, mounts, .. }) => (args.clone(), mounts.clone()),
        other => panic!("{other:?}"),
    };
    let (args, mounts) = run(2);
    assert_eq!(args, ["/bin/sh", "-c", "/dev/pipes/EOF"]);
    let text = "#!/bin/awk -f\nBEGIN {}\n".to_owned();
    let kind = crate::engine::graph::op::MountKind::Script { text };
    let script = mounts.iter().find(|mount| mount.target == "/dev/pipes/EOF").unwrap();
    assert_eq!((&script.kind, script.read_only), (&kind, true));
    assert_eq!(run(6).0[2], "cat <<-A > /x\n\ta\nA", "the shell cuts the tabs");
}

#[test]
fn settings_of_the_command_line_reach_every_run() {
    let built = graph("FROM base AS fresh\nRUN x\nFROM fresh\nRUN y\nLABEL given=2 own=1\n");
    let run = |line: u32| built.vertices.iter().find(|v| v.line == line).unwrap();
    assert_eq!((run(2).ignore_cache, run(4).ignore_cache), (true, false));
    assert_eq!(run(4).hosts, [("h".to_owned(), "1.2.3.4".to_owned())]);
    let Some(Operation::Run { hosts, mounts, .. }) = &run(4).operation else { panic!() };
    assert_eq!((hosts.as_slice(), mounts[0].target.as_str()), (["h".to_owned()].as_slice(), "/dev/shm"));
    let labels = built.config.unwrap().config.labels;
    assert_eq!((labels["given"].as_str(), labels["own"].as_str()), ("1", "1"));
}

#[test]
fn configuration_steps_say_whose_key_they_enter() {
    let built = graph("FROM base\nENV A=1\nLABEL l=1\nRUN x\nUSER u\nWORKDIR /w\nCMD z\n");
    let enters = |line: u32| match &built.vertices.iter().find(|v| v.line == line).unwrap().role {
        Role::Config { enters, .. } => enters.clone(),
        _ => panic!("line {line} is a step"),
    };
    assert_eq!((enters(2), enters(3), enters(5), enters(7)), (vec![4], vec![], vec![6], vec![]));
}

fn history(graph: &BuildGraph) -> Vec<&str> {
    graph.history.iter().map(|step| step.created_by.as_str()).collect()
}

#[test]
fn the_history_of_a_run_shows_every_argument_once_with_the_value_it_has() {
    let text = "FROM base\nARG a\nARG b=1\nARG b=2\nENV c=env\nARG c=arg\nENV b=over\nRUN x\n";
    let built = try_lower(text, None, &[("a", "")], &[]).unwrap();
    assert_eq!(*history(&built).last().unwrap(), "RUN |3 a= b=over c=arg /bin/sh -c x # buildkit");
    let built = graph("FROM base\nARG a\nRUN x\n");
    assert_eq!(*history(&built).last().unwrap(), "RUN |1 a= /bin/sh -c x # buildkit");
}

#[test]
fn words_are_kept_as_they_are_written() {
    let built = graph(
        "FROM base\nENV p=\"99 100\"\nEXPOSE 80 80/tcp $p 443\nWORKDIR /a/../b/\nWORKDIR c/\nONBUILD   run  echo   hi\n",
    );
    let shown = history(&built);
    assert_eq!(shown[1..], ["EXPOSE [99/tcp 100/tcp 443/tcp 80/tcp 80/tcp]", "WORKDIR /a/../b/", "WORKDIR /b/c"]);
    let config = built.config.unwrap().config;
    assert_eq!((config.working_dir.as_str(), config.on_build), ("/b/c", vec!["run  echo   hi".to_owned()]));
    assert_eq!(graph("FROM base\nWORKDIR /tmp/\n").config.unwrap().config.working_dir, "/tmp/");
}

#[test]
fn an_empty_from_is_none_and_many_sources_need_no_slash() {
    let built = graph("FROM base\nRUN --mount=type=bind,from=,source=a,target=/x y\nCOPY --from= a b /to\n");
    let contexts = |line: u32| {
        let vertex = built.vertices.iter().find(|v| v.line == line).unwrap();
        vertex.edges.iter().all(|edge| edge.source == SourceRef::Context(String::new()))
    };
    assert!(contexts(2) && contexts(3));
}

#[test]
fn from_finds_a_stage_by_its_name_in_lower_case_only() {
    graph("FROM base AS Big\nFROM big\nCOPY --from=BIG /a /b\n");
    let errors = try_lower("FROM base AS Big\nFROM Big\n", None, &[], &[]).unwrap_err();
    assert!(errors[0].contains("`Big`"), "{errors:?}");
}

#[test]
fn a_proxy_is_given_in_both_cases_and_is_in_no_key() {
    let built = try_lower("FROM base\nRUN x\n", None, &[("http_proxy", "p")], &[]).unwrap();
    let run = built.vertices.iter().find(|v| v.line == 2).unwrap();
    assert_eq!(run.hidden_env, ["HTTP_PROXY=p", "http_proxy=p"]);
    assert!(!env(&built, 2).iter().any(|variable| variable.contains("proxy")));
}

#[test]
fn the_dockerfile_may_give_the_epoch() {
    let epoch = |text: &str, args: &[(&str, &str)]| try_lower(text, None, args, &[]).map(|graph| graph.epoch);
    let given = "ARG SOURCE_DATE_EPOCH=1700000000\nFROM base\nWORKDIR /x\n";
    assert_eq!(epoch(given, &[]), Ok(Some(1_700_000_000)));
    assert_eq!(epoch(given, &[("SOURCE_DATE_EPOCH", "context")]), Ok(None), "the command line wins");
    assert_eq!(epoch("FROM base\nARG SOURCE_DATE_EPOCH=5\n", &[]), Ok(None), "only above FROM");
    let errors = epoch("ARG SOURCE_DATE_EPOCH=never\nFROM base\n", &[]).unwrap_err();
    assert!(errors[0].contains("SOURCE_DATE_EPOCH `never`"), "{errors:?}");
}

#[test]
fn a_named_context_takes_the_place_of_a_stage() {
    let built = graph("FROM scratch AS base\nCOPY a /a\nFROM base\nCOPY --from=base /b /b\n");
    assert!(!built.vertices.iter().any(|v| v.line == 2), "nothing of the stage is built");
    assert!(built.vertices.iter().any(|v| v.line == 1 && v.base.is_some()));
    assert_eq!(built.bases.len(), 1);
}

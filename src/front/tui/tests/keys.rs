//! What keys do.

use super::*;
use crate::front::tui::app::{Overlay, Question};
use crate::front::tui::{Exit, ViewName};

#[test]
fn escape_never_quits_and_q_does() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.key(KeyCode::Esc);
    }
    assert!(bench.left.is_empty());
    bench.keys("q");
    assert_eq!(bench.left, [Effect::Leave(Exit::Quit)]);
    assert_eq!(Exit::Quit.code(), 0);
}

#[test]
fn views_by_number_tab_and_letter() {
    let mut bench = Bench::new();
    bench.keys("6");
    assert_eq!(bench.app.view, ViewName::Fix);
    bench.key(KeyCode::Tab);
    assert_eq!(bench.app.view, ViewName::Build);
    bench.key(KeyCode::BackTab);
    assert_eq!(bench.app.view, ViewName::Fix);
    bench.key(KeyCode::BackTab);
    assert_eq!(bench.app.view, ViewName::Layers);
    bench.keys("w");
    assert_eq!(bench.app.view, ViewName::Explain);
    bench.key(KeyCode::Esc);
    assert_eq!(bench.app.view, ViewName::Build);
    bench.key(KeyCode::Enter);
    assert_eq!(bench.app.view, ViewName::Explain);
}

#[test]
fn the_selection_is_one_for_all_views() {
    let mut bench = Bench::new();
    assert_eq!(bench.app.model.selected, Some(3), "the root cause is selected after a build");
    bench.keys("jj2k");
    assert_eq!(bench.app.model.selected, Some(4));
    bench.keys("]");
    assert_eq!(bench.app.model.selected, Some(8));
    bench.keys("[[");
    assert_eq!(bench.app.model.selected, Some(3));
    bench.keys("G");
    assert_eq!(bench.app.model.selected, Some(14));
    bench.keys("g");
    assert_eq!(bench.app.model.selected, Some(1));
}

#[test]
fn applying_asks_first_and_the_default_is_cancel() {
    let mut bench = Bench::new();
    bench.keys("sa");
    assert_eq!(bench.app.overlay, Some(Overlay::Dialog(Question::Apply, false)));
    bench.key(KeyCode::Enter);
    assert!(bench.app.overlay.is_none());
    assert!(bench.app.model.message.is_none(), "nothing was written");
    bench.keys("a");
    bench.key(KeyCode::Tab);
    bench.key(KeyCode::Enter);
    assert!(bench.screen(80, 24).contains("Dockerfile.bak is the file before"));
}

#[test]
fn a_is_no_key_outside_the_fixes() {
    let mut bench = Bench::new();
    bench.keys("a");
    assert!(bench.app.overlay.is_none());
}

#[test]
fn ctrl_c_cancels_first_then_leaves() {
    let mut bench = Bench::new();
    bench.build(&fixture::second_build()[..20]);
    bench.left.clear();
    bench.ctrl('c');
    assert_eq!(bench.left, [Effect::CancelBuild]);
    assert!(bench.screen(80, 24).contains("again to leave"));
    bench.ctrl('c');
    assert_eq!(bench.left[1], Effect::Leave(Exit::Interrupted));
    assert_eq!(Exit::Interrupted.code(), 130);
}

#[test]
fn quitting_during_a_build_asks_and_waits_for_its_end() {
    let mut bench = Bench::new();
    bench.build(&fixture::second_build()[..20]);
    bench.left.clear();
    bench.keys("q");
    assert_eq!(bench.app.overlay, Some(Overlay::Dialog(Question::Quit, false)));
    bench.key(KeyCode::Left);
    bench.key(KeyCode::Enter);
    assert_eq!(bench.left, [Effect::CancelBuild]);
    bench.send(Msg::BuildClosed);
    assert_eq!(bench.left[1], Effect::Leave(Exit::Quit));
}

#[test]
fn a_second_build_is_refused_while_one_runs() {
    let mut bench = Bench::new();
    bench.keys("bb");
    assert_eq!(bench.left, [Effect::StartBuild]);
    bench.send(Msg::BuildRefused("the store is not writable".to_owned()));
    assert!(bench.screen(80, 24).contains("the store is not writable"));
    assert!(!bench.app.is_live());
}

#[test]
fn a_signal_leaves_at_once() {
    let mut bench = Bench::new();
    bench.keys("b");
    bench.send(Msg::Terminate);
    assert_eq!(bench.left[1..], [Effect::CancelBuild, Effect::Leave(Exit::Terminated)]);
}

#[test]
fn the_filter_narrows_the_list() {
    let mut bench = Bench::new();
    bench.keys("/npmq");
    assert!(bench.screen(80, 24).contains("/npmq"));
    bench.key(KeyCode::Backspace);
    bench.key(KeyCode::Enter);
    let screen = bench.screen(80, 24);
    assert!(screen.contains("2 of 11 steps") && !screen.contains("WORKDIR"), "{screen}");
    bench.key(KeyCode::Esc);
    assert!(bench.screen(80, 24).contains("11 steps"));
}

#[test]
fn the_log_scrolls_and_follows_again_at_its_end() {
    let mut bench = Bench::new();
    bench.screen(80, 24);
    bench.keys("jl");
    assert!(bench.app.full_log);
    bench.keys("gG");
    assert_eq!(bench.app.log.top, None);
    bench.key(KeyCode::Esc);
    assert!(!bench.app.full_log);
}

#[test]
fn an_answer_to_an_old_question_is_dropped() {
    let mut bench = Bench::new();
    bench.send(Msg::Suggested(0, Err("old".to_owned())));
    assert!(bench.app.model.report().is_some());
    bench.send(Msg::Output {
        build: "other".into(),
        vertex: crate::engine::event::VertexId(3),
        offset: 0,
        bytes: Ok(vec![1]),
    });
}

#[test]
fn the_footer_shows_only_keys_that_work() {
    let mut bench = Bench::new();
    bench.keys("s");
    let screen = bench.screen(80, 24);
    let footer = screen.lines().last().unwrap().to_owned();
    assert!(footer.contains("a apply") && !footer.contains("filter"), "{footer}");
}

#[test]
fn a_build_that_stops_talking_is_over() {
    let mut bench = Bench::new();
    bench.build(&fixture::second_build()[..20]);
    bench.send(Msg::BuildClosed);
    assert!(!bench.app.is_live());
    let screen = bench.screen(80, 24);
    assert!(screen.contains("did not come to its end") && !screen.contains("running"), "{screen}");
}

#[test]
fn a_shell_opens_at_the_selected_step_and_not_while_a_build_runs() {
    use crate::engine::Side;
    let mut bench = Bench::new();
    bench.keys("!2j$");
    assert_eq!(bench.left, [Effect::Shell(3, Side::After), Effect::Shell(4, Side::Before)]);
    bench.send(Msg::ShellLeft(Ok("the shell was left; it changed nothing".to_owned())));
    assert!(bench.screen(80, 24).contains("The shell was left; it changed nothing."));
    bench.left.clear();
    bench.keys("s!");
    assert!(bench.left.is_empty(), "there is no step to stand at among the fixes");
    bench.keys("1b!");
    assert_eq!(bench.left, [Effect::StartBuild]);
    assert!(bench.screen(80, 24).contains("wait for the build"));
}

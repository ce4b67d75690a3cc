//! The rules of layers, each on the smallest layers that show it. Expected are the merged tree and what each layer did.

use super::super::fixture::Tape;
use super::*;

/// `path` or `path=layer of its bytes`, directories with `/`.
fn merged(stack: &Stack) -> Vec<String> {
    let show = |(path, node): (&TreePath, &Node)| {
        let name = String::from_utf8_lossy(path.bytes()).into_owned();
        match stack.is_directory(node.place) {
            true => format!("{name}/"),
            false => format!("{name}={}", node.place.layer),
        }
    };
    stack.merged().map(show).collect()
}

/// `A path`, `C path`, `R path`, `N path`.
fn did(stack: &Stack, layer: usize) -> Vec<String> {
    let show = |change: &Change| {
        let mark = format!("{:?}", change.mark).chars().next().unwrap_or('?');
        format!("{mark} {}", String::from_utf8_lossy(change.path.bytes()))
    };
    stack.changes(layer).iter().map(show).collect()
}

fn two(below: Tape, above: Tape) -> Stack {
    Stack::of(vec![below.listing(), above.listing()])
}

#[test]
fn files_are_added_changed_and_removed() {
    let stack = two(
        Tape::default().dir("a/").file("a/x", "1").file("a/y", "2"),
        Tape::default().dir("a/").file("a/x", "3").gone("a/y").file("a/z", "4"),
    );
    assert_eq!(merged(&stack), ["a/", "a/x=1", "a/z=1"]);
    assert_eq!(did(&stack, 1), ["N a", "C a/x", "R a/y", "A a/z"]);
    let marks: Vec<Mark> = stack.versions(&TreePath::new(b"a/y")).iter().map(|v| v.change.mark).collect();
    assert_eq!(marks, [Mark::Added, Mark::Removed]);
}

#[test]
fn a_removed_directory_takes_everything_below_with_it() {
    let stack = two(Tape::default().file("d/e/f", "1").file("d-e", "2").file("df", "3"), Tape::default().gone("d"));
    assert_eq!(merged(&stack), ["d-e=0", "df=0"]);
    assert_eq!(did(&stack, 1), ["R d", "R d/e", "R d/e/f"]);
}

#[test]
fn an_opaque_directory_hides_what_is_below_but_not_what_the_layer_wrote() {
    let below = || Tape::default().file("d/a", "1").file("d/s/b", "2").file("d/s/c", "3");
    for above in [
        Tape::default().dir("d/").opaque("d").file("d/s/c", "4").file("d/new", "5"),
        // The order within a layer means nothing.
        Tape::default().file("d/s/c", "4").file("d/new", "5").dir("d/").opaque("d"),
    ] {
        let stack = two(below(), above);
        assert_eq!(merged(&stack), ["d/", "d/new=1", "d/s/", "d/s/c=1"]);
        assert!(did(&stack, 1).starts_with(&["N d".into(), "R d/a".into(), "A d/new".into()]), "{:?}", did(&stack, 1));
        assert!(did(&stack, 1).contains(&"C d/s/c".to_owned()));
    }
}

#[test]
fn a_removal_never_touches_what_its_own_layer_wrote() {
    let stack = two(
        Tape::default().file("f", "1").file("d/x", "1"),
        Tape::default().file("f", "2").gone("f").gone("d").file("d/y", "2"),
    );
    assert_eq!(merged(&stack), ["d/", "d/y=1", "f=1"]);
    assert_eq!(did(&stack, 1), ["C d", "R d/x", "A d/y", "C f"]);
}

#[test]
fn a_file_over_a_directory_and_a_directory_over_a_file() {
    let stack =
        two(Tape::default().file("d/a", "1").file("f", "2"), Tape::default().file("d", "3").dir("f/").file("f/b", "4"));
    assert_eq!(merged(&stack), ["d=1", "f/", "f/b=1"]);
    assert_eq!(did(&stack, 1), ["C d", "R d/a", "C f", "A f/b"]);
    assert_eq!(
        merged(&two(Tape::default().file("f", "1"), Tape::default().file("f/b", "2"))),
        ["f/", "f/b=1"],
        "none names it"
    );
}

#[test]
fn hard_links_share_bytes_of_any_layer() {
    let stack = two(Tape::default().file("a", "12345"), Tape::default().link("b", "a").link("c", "nowhere"));
    assert_eq!(merged(&stack), ["a=0", "b=1"]);
    assert_eq!(stack.unplaced, 1);
    let node = stack.at(&TreePath::new(b"b")).unwrap();
    assert_eq!(stack.size(node), 5);
    assert_eq!(stack.body(node), Some(Place { layer: 0, entry: Some(0) }));
}

#[test]
fn directories_behind_links_are_where_the_links_point() {
    let stack = two(
        Tape::default()
            .file("usr/lib/a", "1")
            .symlink("lib", "usr/lib")
            .symlink("x/up", "../usr")
            .symlink("abs", "/usr/lib"),
        Tape::default().file("lib/b", "2").file("x/up/c", "3").file("abs/d", "4").gone("lib/a"),
    );
    let wanted = ["abs=0", "lib=0", "usr/", "usr/c=1", "usr/lib/", "usr/lib/b=1", "usr/lib/d=1", "x/", "x/up=0"];
    assert_eq!(merged(&stack), wanted);
}

#[test]
fn links_in_a_circle_have_no_place() {
    let stack = Stack::of(vec![Tape::default().symlink("a", "b").symlink("b", "a").file("a/x", "1").listing()]);
    assert_eq!((merged(&stack).len(), stack.unplaced), (2, 1));
}

#[test]
fn a_directory_that_is_only_named_again_is_not_changed() {
    let stack = two(Tape::default().dir("d/"), Tape::default().dir("d/"));
    assert_eq!(did(&stack, 1), ["N d"]);
}

#[test]
fn a_later_entry_of_one_layer_replaces_an_earlier_one() {
    let stack = Stack::of(vec![Tape::default().file("a", "1").file("a", "23").listing()]);
    assert_eq!(merged(&stack), ["a=0"]);
    assert_eq!(stack.size(stack.at(&TreePath::new(b"a")).unwrap()), 2);
    assert_eq!(did(&stack, 0), ["A a"]);
}

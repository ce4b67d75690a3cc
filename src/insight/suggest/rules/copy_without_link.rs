//! COPYs at the end of an image that do not depend on what is below them could be linked: when the base moves, their layers stay.

use super::super::{ContextView, Page, Rule, SuggestReport, Suggestion, Trigger};
use super::draft::{numbers, rewrite};
use super::place::{join, unquoted, working_folder};
use crate::language::dockerfile::{Arguments, Dockerfile, Edit, Instruction, Keyword, Stage, add_flag, find_stage_by_name};

static PAGE: Page = Page {
    name: "copy-without-link",
    description: "Link the last copies of an image, so that they outlive a new base",
    why: "A COPY stands on everything above it: when the base image moves, it is made again. `COPY --link` makes a layer that stands on nothing and is laid over whatever is below, so that it stays the same, in the cache and in the registry. Only copies below the last RUN of the image are meant: a RUN below would run again anyway. It has no effect together with --chmod, and needs owners as numbers.",
    bad: "FROM debian:12\nRUN apt-get update && apt-get install -y ca-certificates\nCOPY --from=build /out/app /usr/bin/app\n",
    good: "FROM debian:12\nRUN apt-get update && apt-get install -y ca-certificates\nCOPY --link --from=build /out/app /usr/bin/app\n",
};

/// The rule.
pub struct CopyWithoutLink;

impl Rule for CopyWithoutLink {
    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn check(&self, dockerfile: &Dockerfile, _: &dyn ContextView) -> SuggestReport {
        let offered = suggest(dockerfile).into_iter().collect();
        SuggestReport { offered, refused: Vec::new() }
    }
}

fn suggest(dockerfile: &Dockerfile) -> Option<Suggestion> {
    let stages = dockerfile.stages();
    let stage = stages.last()?;
    let base = stage.base();
    if base == "scratch" || base.contains('$') || find_stage_by_name(&stages, base, stage.index).is_some() {
        return None;
    }
    let begin = stage.instructions.iter().rposition(|i| i.keyword == Keyword::Run).map_or(0, |at| at + 1);
    let places: Vec<usize> = (begin..stage.instructions.len()).filter(|at| may_be_linked(&stages, stage, *at)).collect();
    let copies: Vec<&Instruction> = places.iter().map(|at| stage.instructions[*at]).collect();
    let first = copies.first()?;
    let edits: Vec<Edit> = places.iter().filter_map(|at| add_flag(dockerfile, stage.first + 1 + at, "--link")).collect();
    let mut found = rewrite(dockerfile, &PAGE, first.line, &edits, 0)?;
    let lines: Vec<u32> = copies.iter().map(|copy| copy.line).collect();
    found.title = format!("link the copies of line {}", numbers(&lines));
    found.evidence.push(format!(
        "Line {} only {} files, and no RUN of the image follows: with --link {} of `{base}`.",
        numbers(&lines),
        if lines.len() == 1 { "copies" } else { "copy" },
        if lines.len() == 1 { "its layer does not depend on a move" } else { "their layers do not depend on a move" }
    ));
    found.risks.push("A link in the base on the way to the destination is not followed, but replaced by a folder.".into());
    found.trigger = Trigger::Base { image: base.to_owned() };
    Some(found)
}

fn may_be_linked(stages: &[Stage<'_>], stage: &Stage<'_>, at: usize) -> bool {
    let copy = stage.instructions[at];
    let Arguments::Copy { destination, .. } = &copy.arguments else { return false };
    let written = unquoted(&destination.text);
    let place = join(&working_folder(stages, stage, at), written);
    let numeric = |owner: &str| owner.chars().all(|c| c.is_ascii_digit() || c == ':');
    let owned = copy.flag("chown").is_none_or(|flag| flag.value.as_deref().is_some_and(numeric));
    let free = ["link", "chmod", "parents"].iter().all(|name| copy.flag(name).is_none());
    // Links that distributions have: a link on the way would be replaced by a folder.
    let links = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "var/run", "var/lock", "var/mail"];
    let through = links.iter().any(|link| place == *link || place.starts_with(&format!("{link}/")));
    let deep = !place.is_empty() && !through;
    owned && free && deep && !place.starts_with(['$', '\u{0}']) && !written.contains('$')
}

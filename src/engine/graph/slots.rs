//! Who a step was in the last build. A slot is not computed from place or text: steps are aligned with those of the build
//! before (exact text first, then kind and destination, then order), so that it survives inserted, moved and reworded lines.

use serde::{Deserialize, Serialize};

use super::op::Operation;
use super::vertex::Vertex;

/// What is remembered of a step to find it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// The slot.
    pub slot: String,
    /// Stage: its name, or its number as text.
    pub stage: String,
    /// `COPY` ...
    pub keyword: String,
    /// The instruction on one line.
    pub name: String,
    /// Where a COPY or WORKDIR goes; the image of a FROM.
    pub destination: Option<String>,
}

/// What of a vertex takes part in the alignment.
pub fn describe(vertex: &Vertex) -> SlotRecord {
    let destination = match &vertex.operation {
        Some(Operation::Copy { destination, .. }) => Some(destination.clone()),
        Some(Operation::MakeDirectory { path, .. }) => Some(path.clone()),
        Some(Operation::Base { image, .. }) => Some(image.clone()),
        _ => None,
    };
    SlotRecord {
        slot: vertex.slot.clone(),
        stage: vertex.stage.name.clone().unwrap_or_else(|| vertex.stage.index.to_string()),
        keyword: vertex.keyword.as_str().to_owned(),
        name: vertex.name.clone(),
        destination,
    }
}

/// Gives each vertex the slot of the step that it was, or a new one.
pub fn align(vertices: &mut [Vertex], previous: &[SlotRecord]) {
    let current: Vec<SlotRecord> = vertices.iter().map(describe).collect();
    let mut taken = vec![false; previous.len()];
    let mut given: Vec<Option<usize>> = vec![None; current.len()];
    let same_stage = |a: &SlotRecord, b: &SlotRecord| a.stage == b.stage;
    type Rule = fn(&SlotRecord, &SlotRecord) -> bool;
    let rules: [(bool, Rule); 5] = [
        (true, |a, b| a.name == b.name),
        (false, |a, b| a.name == b.name),
        (true, |a, b| kind(a) == kind(b) && a.destination.is_some() && a.destination == b.destination),
        (true, |a, b| kind(a) == kind(b) && alike(&a.name, &b.name)),
        (true, |a, b| kind(a) == kind(b)),
    ];
    for (in_stage, rule) in rules {
        for (at, now) in current.iter().enumerate().filter(|(at, _)| given[*at].is_none()).collect::<Vec<_>>() {
            let fits =
                |(i, then): &(usize, &SlotRecord)| !taken[*i] && (!in_stage || same_stage(now, then)) && rule(now, then);
            if let Some((i, _)) = previous.iter().enumerate().find(fits) {
                taken[i] = true;
                given[at] = Some(i);
            }
        }
    }
    for (vertex, found) in vertices.iter_mut().zip(given) {
        vertex.slot = match found {
            Some(i) => previous[i].slot.clone(),
            None => crate::ground::random_hex(8),
        };
    }
}

/// A COPY that becomes an ADD is still the same step.
fn kind(record: &SlotRecord) -> &str {
    if record.keyword == "ADD" { "COPY" } else { &record.keyword }
}

/// Whether a step may be taken for another one of earlier: the same kind, and the same destination or much of the same text.
pub fn is_reworded(now: &SlotRecord, then: &SlotRecord) -> bool {
    kind(now) == kind(then)
        && ((now.destination.is_some() && now.destination == then.destination) || alike(&now.name, &then.name))
}

/// Whether two commands share at least half of their words: a reworded line, not another one.
fn alike(a: &str, b: &str) -> bool {
    let words: Vec<&str> = a.split_whitespace().collect();
    let other: Vec<&str> = b.split_whitespace().collect();
    let shared = words.iter().filter(|word| other.contains(word)).count();
    shared * 2 >= words.len().max(other.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{Role, StageName, VertexId};
    use crate::language::dockerfile::Keyword;

    fn vertices(lines: &[(&str, Keyword)]) -> Vec<Vertex> {
        let vertex = |(at, (name, keyword)): (usize, &(&str, Keyword))| Vertex {
            id: VertexId(at as u32),
            slot: String::new(),
            name: (*name).to_owned(),
            keyword: *keyword,
            line: at as u32 + 1,
            stage: StageName { index: 0, name: None },
            role: Role::Step,
            operation: None,
            parent: None,
            edges: Vec::new(),
            base: None,
            ignore_cache: false,
            hidden_env: Vec::new(),
            hosts: Vec::new(),
            surroundings: Default::default(),
        };
        lines.iter().enumerate().map(vertex).collect()
    }

    #[test]
    fn a_slot_survives_inserted_moved_and_reworded_lines() {
        let mut before =
            vertices(&[("RUN make all", Keyword::Run), ("RUN test", Keyword::Run), ("COPY a /a", Keyword::Copy)]);
        align(&mut before, &[]);
        let records: Vec<SlotRecord> = before.iter().map(describe).collect();
        let slot = |name: &str| before.iter().find(|v| v.name == name).unwrap().slot.clone();
        let mut after = vertices(&[
            ("RUN new thing", Keyword::Run),
            ("COPY a /a", Keyword::Copy),
            ("RUN test", Keyword::Run),
            ("RUN make all -j2", Keyword::Run),
        ]);
        align(&mut after, &records);
        assert_eq!(after[1].slot, slot("COPY a /a"), "moved");
        assert_eq!(after[2].slot, slot("RUN test"), "moved");
        assert_eq!(after[3].slot, slot("RUN make all"), "reworded");
        assert!(before.iter().all(|v| v.slot != after[0].slot), "new");
    }
}

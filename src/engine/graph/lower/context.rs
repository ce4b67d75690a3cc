//! Contexts that are no folder.

use super::{Lowering, StageState};
use crate::engine::context::Selector;
use crate::engine::event::{Role, StageName};
use crate::engine::graph::fetch::{Archive, Fetch, MainContext};
use crate::engine::graph::op::{Operation, VariableOrigin};
use crate::engine::graph::vertex::{Counts, Edge, HistoryStep, SourceRef};
use crate::engine::oci::{ImageConfig, Platform};
use crate::language::dockerfile::{Instruction, Keyword};

impl Lowering<'_> {
    /// Where files come from that no `--from` names.
    pub(super) fn main_context(&mut self, state: &StageState, at: &Instruction) -> SourceRef {
        match self.request.main.clone() {
            MainContext::Folder => SourceRef::Context(String::new()),
            MainContext::Empty => SourceRef::Vertex(None),
            MainContext::Fetched(fetch) => self.fetched_context(state, at, &fetch),
        }
    }

    /// The context of this name, if there is one that is no image.
    pub(super) fn named_context(&mut self, state: &StageState, at: &Instruction, name: &str) -> Option<SourceRef> {
        if self.request.directories.iter().any(|known| known == name) {
            return Some(SourceRef::Context(name.to_owned()));
        }
        let fetch = self.request.fetched.get(name)?.clone();
        Some(self.fetched_context(state, at, &fetch))
    }

    /// A repository is read as it lies there; an archive is unpacked once, as a step that has no parent: so its owners count.
    ///
    /// Source: BuildKit `dockerui.DetectHTTPContext`, `llb.Copy(httpContext, "context", "/", AttemptUnpack)`.
    fn fetched_context(&mut self, state: &StageState, at: &Instruction, fetch: &Fetch) -> SourceRef {
        let name = match fetch {
            Fetch::Git(_) => return SourceRef::Fetched(fetch.clone()),
            Fetch::Web(file) => file.name.clone(),
            Fetch::Archive(_) => Archive::NAME.to_owned(),
        };
        if let Some((_, known)) = self.unpacked.iter().find(|(known, _)| known == fetch) {
            return SourceRef::Vertex(Some(*known));
        }
        let operation = copies_all("ADD", &name, Some(true), &state.platform);
        let selector = Selector { path: name, follow_links: true, ..Selector::default() };
        let edge = Edge { source: SourceRef::Fetched(fetch.clone()), counts: Counts::Content, selectors: vec![selector] };
        let id = self.push(state, at, Role::Base, Some(operation));
        let vertex = &mut self.graph.vertices[id.0 as usize];
        vertex.name = format!("ADD {} /", fetch.shown());
        vertex.keyword = Keyword::Add;
        (vertex.parent, vertex.edges) = (None, vec![edge]);
        self.unpacked.push((fetch.clone(), id));
        SourceRef::Vertex(Some(id))
    }

    /// FROM a context that is no image: its files are the lowest layer.
    pub(super) fn start_context(
        &mut self,
        from: &Instruction,
        name: &str,
        platform: &Platform,
        stage: &StageName,
    ) -> Option<StageState> {
        let mut state = StageState::on(ImageConfig::scratch(platform), VariableOrigin::Base, platform.clone());
        state.name = stage.clone();
        let id = match self.named_context(&state, from, name)? {
            SourceRef::Vertex(id) => id?,
            source => {
                let operation = copies_all("COPY", "", None, platform);
                let selectors = vec![Selector { follow_links: true, ..Selector::default() }];
                let id = self.push(&state, from, Role::Base, Some(operation));
                let vertex = &mut self.graph.vertices[id.0 as usize];
                (vertex.parent, vertex.edges) = (None, vec![Edge { source, counts: Counts::Content, selectors }]);
                id
            }
        };
        state.head = Some(id);
        state.history.push(HistoryStep { created_by: format!("FROM {name}"), vertex: Some(id) });
        Some(state)
    }
}

fn copies_all(instruction: &str, source: &str, unpack: Option<bool>, platform: &Platform) -> Operation {
    Operation::Copy {
        instruction: instruction.to_owned(),
        sources: vec![source.to_owned()],
        destination: "/".into(),
        chown: None,
        chmod: None,
        inline: Vec::new(),
        exclude: Vec::new(),
        parents: Vec::new(),
        unpack,
        platform: platform.text(),
    }
}

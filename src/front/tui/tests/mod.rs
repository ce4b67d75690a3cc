//! The interface without a terminal: messages in, a buffer out.

mod hostile;
mod keys;
mod layers;
mod screens;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::views::layers::{LayersFound, PreviewText, Reading};
use super::{App, Effect, Msg, TuiOptions, views};
use crate::engine::event::{BuildEvent, Role, Stamped};
use crate::engine::handle::BuildHandle;
use crate::engine::image::inspect::{Preview, Stack};
use crate::front::tui::host::Host;
use crate::insight::model::fixture;
use crate::insight::suggest::{SuggestReport, Suggestion};

/// A project without a world: the fixture's builds.
struct FakeHost;

impl Host for FakeHost {
    fn name(&self) -> String {
        "shop-api".to_owned()
    }

    fn dockerfile(&self) -> Result<String, String> {
        Ok(fixture::DOCKERFILE.to_owned())
    }

    fn outline(&self) -> Vec<Stamped> {
        let registered = |e: &Stamped| matches!(e.event, BuildEvent::VertexRegistered { .. });
        fixture::first_build().into_iter().filter(registered).collect()
    }

    fn last_build(&self) -> Option<Vec<Stamped>> {
        Some(fixture::second_build())
    }

    fn start_build(&self) -> Result<BuildHandle, String> {
        Err("no engine in this test".to_owned())
    }

    fn output(&self, _: &str, _: crate::engine::event::VertexId, offset: u64, len: u64) -> Result<Vec<u8>, String> {
        let range = offset as usize..(offset + len) as usize;
        fixture::OUTPUT.get(range).map(<[u8]>::to_vec).ok_or_else(|| "out of range".to_owned())
    }

    fn suggest(&self) -> Result<SuggestReport, String> {
        Ok(crate::front::report::fixture::suggestions())
    }

    fn plan(&self) -> Result<Vec<Stamped>, String> {
        // Everything is as it was built last.
        Ok(self.outline())
    }

    fn wait_for_change(&self) -> bool {
        false
    }

    fn layers(&self, line: u32) -> Result<(crate::engine::Layered, Stack), String> {
        match line {
            14 => Err("the last build has no step at line 14".to_owned()),
            _ => Ok(layers::three("shop-api")),
        }
    }

    fn preview(&self, of: &LayersFound, layer: u32, entry: u32) -> Result<Preview, String> {
        let entry = of.stack.listings()[layer as usize].entries[entry as usize].clone();
        Ok(Preview { bytes: b"{\"name\": \"shop-api\"}\n".to_vec(), size: entry.size })
    }

    fn shell(&self, _: u32, _: crate::engine::Side) -> Result<String, String> {
        Err("no engine in this test".to_owned())
    }

    fn apply(&self, _: &Suggestion) -> Result<String, String> {
        Ok("Dockerfile.bak".to_owned())
    }
}

/// An interface with the effects it asked for and that no host can perform.
struct Bench {
    app: App,
    host: Box<dyn Host>,
    left: Vec<Effect>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Box::new(FakeHost), &TuiOptions::default())
    }

    fn with(host: Box<dyn Host>, options: &TuiOptions) -> Self {
        let (app, effects) = App::new(options);
        let mut bench = Self { app, host, left: Vec::new() };
        bench.perform(effects);
        bench
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let msg = match effect {
                Effect::LoadProject => {
                    Msg::Project { name: self.host.name(), outline: self.host.outline(), last: self.host.last_build() }
                }
                Effect::LoadOutput { build, vertex, offset, len } => {
                    let bytes = self.host.output(&build, vertex, offset, len);
                    Msg::Output { build, vertex, offset, bytes }
                }
                Effect::Suggest(question) => Msg::Suggested(question, self.host.suggest()),
                Effect::Plan(question) => Msg::Planned(question, self.host.plan()),
                Effect::Layers(question, line) => {
                    let found = self.host.layers(line);
                    let found = found.map(|(of, stack)| Reading(std::sync::Arc::new(LayersFound::new(of, stack))));
                    Msg::Layers(question, found)
                }
                Effect::Preview { question, of, path, layer, entry } => {
                    let preview = self.host.preview(&of.0, layer, entry);
                    Msg::Previewed(question, preview.map(|preview| PreviewText::of(&path, &preview)))
                }
                Effect::Apply(suggestion) => Msg::Applied(self.host.apply(&suggestion)),
                effect => {
                    self.left.push(effect);
                    continue;
                }
            };
            self.send(msg);
        }
    }

    fn send(&mut self, msg: Msg) {
        let effects = self.app.update(msg);
        self.perform(effects);
    }

    fn key(&mut self, code: KeyCode) {
        self.send(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }

    fn keys(&mut self, letters: &str) {
        letters.chars().for_each(|letter| self.key(KeyCode::Char(letter)));
    }

    fn ctrl(&mut self, letter: char) {
        self.send(Msg::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)));
    }

    /// Starts a build and gives it events.
    fn build(&mut self, events: &[Stamped]) {
        self.keys("b");
        events.iter().cloned().for_each(|event| self.send(Msg::Build(event)));
    }

    fn buffer(&mut self, width: u16, height: u16) -> Buffer {
        self.send(Msg::Resize(width, height));
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| views::render(&self.app, frame.area(), frame.buffer_mut())).unwrap();
        terminal.backend().buffer().clone()
    }

    fn screen(&mut self, width: u16, height: u16) -> String {
        let buffer = self.buffer(width, height);
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        let screen: String = (0..height).map(|y| row(y).trim_end().to_owned() + "\n").collect();
        println!("{screen}");
        screen
    }
}

fn is_config(event: &BuildEvent) -> bool {
    matches!(event, BuildEvent::VertexRegistered { role: Role::Config { .. }, .. })
}

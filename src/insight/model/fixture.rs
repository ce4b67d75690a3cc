//! A realistic pair of builds for tests: an express application in two stages, built first from nothing, then after one
//! source file was touched.

use crate::engine::event::*;
use crate::engine::verdict::{FileAttribute, HitReason, MissReason};
use crate::ground::digest::Digest;

/// The Dockerfile of the fixture.
pub const DOCKERFILE: &str = "FROM node:22-bookworm-slim AS build\nWORKDIR /app\nCOPY . .\nRUN npm install --no-audit && npm cache clean --force\nENV NODE_ENV=production\n\n# compile\nRUN npm run build\n\nFROM node:22-bookworm-slim\nRUN apt-get update && apt-get install -y tini\nCOPY --from=build /app/dist /app/dist\nUSER node\nCMD [\"tini\", \"node\", \"/app/dist/server.js\"]\n";

/// The output of every step in the fixture.
pub const OUTPUT: &[u8] =
    b"npm warn deprecated inflight@1.0.6: This module is not supported\n\x1b[32madded 812 packages\x1b[0m, and audited 813 packages in 40s\nfound 0 vulnerabilities\n";

/// Stamps events with growing numbers and times.
#[derive(Default)]
pub struct Log {
    /// What was said.
    pub events: Vec<Stamped>,
    /// Time of the last event.
    pub at: u64,
}

impl Log {
    /// Adds an event `micros` after the last.
    pub fn add(&mut self, micros: u64, event: BuildEvent) {
        self.at += micros;
        self.events.push(Stamped { seq: self.events.len() as u64, at: self.at, event });
    }

    /// Registers a step; its vertex is its position.
    pub fn step(&mut self, vertex: u32, line: u32, stage: (u32, Option<&str>), name: &str, role: Role) {
        let inputs = if vertex == 0 { vec![] } else { vec![VertexId(vertex - 1)] };
        self.add(
            10,
            BuildEvent::VertexRegistered {
                vertex: VertexId(vertex),
                slot: format!("slot-{vertex}"),
                name: name.to_owned(),
                line,
                stage: StageName { index: stage.0, name: stage.1.map(str::to_owned) },
                inputs,
                role,
                usual: (line == 4).then_some(38_900_000),
                edited: false,
            },
        );
    }

    /// Ends a step.
    pub fn finish(&mut self, vertex: u32, outcome: Outcome, bytes: u64, micros: u64) {
        let layer = (bytes > 0).then_some(LayerStat { bytes, entries: 10, removed: 0 });
        let wait = if outcome == Outcome::Ran { micros } else { 10 };
        self.add(wait, BuildEvent::VertexFinished { vertex: VertexId(vertex), outcome, layer, usage: None, micros });
    }

    fn hit(&mut self, vertex: u32, how: HitReason, bytes: u64, micros: u64) {
        self.add(50, BuildEvent::CacheProbed { vertex: VertexId(vertex), verdict: Verdict::Hit { how, from: None } });
        self.finish(vertex, Outcome::Cached, bytes, micros);
    }

    /// A step that misses, runs, writes output and ends.
    pub fn miss(&mut self, vertex: u32, cause: u32, reasons: Vec<MissReason>, bytes: u64, micros: u64) {
        let id = VertexId(vertex);
        self.add(50, BuildEvent::CacheProbed { vertex: id, verdict: Verdict::Miss { reasons, cause: VertexId(cause) } });
        self.add(20, BuildEvent::VertexStarted { vertex: id });
        self.add(20, BuildEvent::Output { vertex: id, stream: Stream::Stdout, offset: 0, len: OUTPUT.len() as u64 });
        self.finish(vertex, Outcome::Ran, bytes, micros);
    }
}

fn register(log: &mut Log) {
    let build = (0, Some("build"));
    let config = |effect: &str, enters: Vec<u32>| Role::Config { effect: effect.to_owned(), enters };
    log.add(
        0,
        BuildEvent::BuildStarted {
            build: "b2".into(),
            dockerfile: "Dockerfile".into(),
            context: ".".into(),
            target: None,
            unix: 1_790_000_000,
        },
    );
    log.step(0, 1, build, "FROM node:22-bookworm-slim AS build", Role::Base);
    log.step(1, 2, build, "WORKDIR /app", Role::Step);
    log.step(2, 3, build, "COPY . .", Role::Step);
    log.step(3, 4, build, "RUN npm install --no-audit && npm cache clean --force", Role::Step);
    log.step(4, 5, build, "ENV NODE_ENV=production", config("sets NODE_ENV", vec![8]));
    log.step(5, 8, build, "RUN npm run build", Role::Step);
    log.step(6, 10, (1, None), "FROM node:22-bookworm-slim", Role::Base);
    log.step(7, 11, (1, None), "RUN apt-get update && apt-get install -y tini", Role::Step);
    log.step(8, 12, (1, None), "COPY --from=build /app/dist /app/dist", Role::Step);
    log.step(9, 13, (1, None), "USER node", config("sets the user to node", vec![]));
    log.step(10, 14, (1, None), "CMD [\"tini\", \"node\", \"/app/dist/server.js\"]", config("sets the command", vec![]));
    log.add(5, BuildEvent::GraphSealed);
}

/// A plan after `src/routes/cart.ts` was touched: COPY and what stands on it will run, the copy out of that stage is open.
pub fn plan() -> Vec<Stamped> {
    let mut log = Log::default();
    register(&mut log);
    let file = MissReason::FileChanged {
        path: "src/routes/cart.ts".into(),
        attribute: FileAttribute::Content,
        old: None,
        new: None,
        by_ignore_rule: false,
    };
    let follows = |line| MissReason::ParentRan { line, alone: true };
    for (vertex, reason) in [(2, file), (3, follows(3)), (5, follows(4))] {
        let verdict = Verdict::Miss { reasons: vec![reason], cause: VertexId(2) };
        log.add(1, BuildEvent::CacheProbed { vertex: VertexId(vertex), verdict });
    }
    let verdict = Verdict::Unknown { on: Dependence::Output { vertex: VertexId(5) } };
    log.add(1, BuildEvent::CacheProbed { vertex: VertexId(8), verdict });
    log.events
}

fn end(log: &mut Log) {
    for vertex in [4, 9, 10] {
        log.finish(vertex, Outcome::Config, 0, 0);
    }
    let digest = Digest::of(b"image");
    log.add(
        100,
        BuildEvent::ExportFinished { format: "store".into(), destination: "shop-api".into(), digest, bytes: 512_000_000 },
    );
    let micros = log.at;
    log.add(0, BuildEvent::BuildFinished { error: None, cancelled: false, environment: false, image: Some(digest), micros });
}

/// Everything misses for the first time.
pub fn first_build() -> Vec<Stamped> {
    let mut log = Log::default();
    register(&mut log);
    let sizes = [74_000_000, 0, 12_000_000, 276_000_000, 0, 9_000_000, 74_000_000, 21_000_000, 9_000_000];
    let times = [900_000, 10_000, 800_000, 41_200_000, 0, 18_600_000, 10_000, 12_000_000, 300_000];
    for vertex in [0, 1, 2, 3, 5, 6, 7, 8] {
        log.miss(vertex, vertex, vec![MissReason::FirstTime], sizes[vertex as usize], times[vertex as usize]);
    }
    end(&mut log);
    log.events
}

/// `src/routes/cart.ts` was touched: COPY changed, npm install and the compilation follow, the rest hits.
pub fn second_build() -> Vec<Stamped> {
    let mut log = Log::default();
    register(&mut log);
    log.hit(0, HitReason::Manifest, 74_000_000, 0);
    log.hit(1, HitReason::Definition, 0, 0);
    let file = MissReason::FileChanged {
        path: "src/routes/cart.ts".into(),
        attribute: FileAttribute::Content,
        old: Some("41ab07".into()),
        new: Some("d92ec1".into()),
        by_ignore_rule: false,
    };
    log.miss(2, 2, vec![file], 12_000_000, 800_000);
    log.miss(3, 2, vec![MissReason::ParentRan { line: 3, alone: true }], 276_000_000, 41_200_000);
    log.miss(5, 2, vec![MissReason::ParentRan { line: 4, alone: true }], 9_000_000, 18_600_000);
    log.hit(6, HitReason::Manifest, 74_000_000, 0);
    log.hit(7, HitReason::Definition, 21_000_000, 12_000_000);
    log.add(
        50,
        BuildEvent::CacheProbed { vertex: VertexId(8), verdict: Verdict::Hit { how: HitReason::Content, from: None } },
    );
    log.finish(8, Outcome::Cached, 9_000_000, 0);
    end(&mut log);
    log.events
}

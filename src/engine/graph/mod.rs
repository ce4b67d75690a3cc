//! The build as vertices and edges: lowered from the syntax tree and the resolved bases. Pure. The hard rule: a flag that is
//! not acted on is an error that names it, never ignored.

pub mod base;
pub mod lower;
pub mod op;
pub mod slots;
pub mod vertex;

pub use base::{BaseLayer, ResolvedBase};
pub use lower::{LowerRequest, Lowered, lower};
pub use op::{Operation, Variable, VariableOrigin};
pub use vertex::{BuildGraph, Counts, Edge, HistoryStep, SourceRef, Surroundings, Vertex};

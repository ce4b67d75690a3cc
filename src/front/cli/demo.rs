//! `demo`.

use super::Context;
use super::args::DemoArgs;
use crate::engine::EngineError;

pub fn run(_: &Context, _: &DemoArgs) -> Result<u8, EngineError> {
    Err(EngineError::user("the demo is not there yet", None))
}

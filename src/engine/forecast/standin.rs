//! Base images for what only looks ahead: where the store has none, an empty one stands in, so that nothing has to be fetched
//! before somebody may ask what a change would cost.

use crate::engine::door::bases::Resolver;
use crate::engine::graph::ResolvedBase;
use crate::engine::graph::lower::{BaseError, Bases};
use crate::engine::oci::{ImageConfig, Platform, Reference};
use crate::ground::digest::Digest;

/// The store's images, and stand-ins for those that it misses.
pub(super) struct StandIns<'a> {
    pub store: Resolver<'a>,
    /// The images that a stand-in was taken for: nothing is known of their environment and their triggers.
    pub missing: Vec<String>,
}

impl Bases for StandIns<'_> {
    fn resolve(&mut self, name: &str, platform: &Platform, strict: bool) -> Result<ResolvedBase, BaseError> {
        let found = self.store.resolve(name, platform, strict);
        if found.is_ok() || Reference::parse(name).is_err() {
            return found;
        }
        self.missing.push(name.to_owned());
        Ok(ResolvedBase {
            image: name.to_owned(),
            manifest: Digest::of(name),
            config: ImageConfig::scratch(platform),
            layers: Vec::new(),
        })
    }
}

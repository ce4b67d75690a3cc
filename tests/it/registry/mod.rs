//! Pull and push against a registry that misbehaves. Tests carry the ids of the rows of the reliability reference, section 4.5.

mod builds;
mod configs;
mod login;
mod pull;
mod push;
pub mod server;
mod tls;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rbuild_tui::engine::http::{HttpSettings, Patience};
use rbuild_tui::engine::oci::{Platform, Reference};
use rbuild_tui::engine::registry::{RegistryClient, RegistryError, RegistrySettings};
use rbuild_tui::engine::store::{ImageRecord, Store};
use rbuild_tui::ground::digest::Digest;
use server::Registry;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// An image of one layer.
struct Image {
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: String,
}

fn tar(name: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let text = format!("{name}\n").repeat(200);
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn descriptor(kind: &str, bytes: &[u8]) -> String {
    format!(r#"{{"mediaType":"{kind}","digest":"{}","size":{}}}"#, Digest::of(bytes), bytes.len())
}

impl Image {
    fn new(name: &str) -> Self {
        Self::packed(GZIP, gzip(&tar(name), 6), &tar(name), &Platform::host())
    }

    fn packed(kind: &str, layer: Vec<u8>, tar: &[u8], platform: &Platform) -> Self {
        let (os, architecture, diff) = (&platform.os, &platform.architecture, Digest::of(tar));
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"{os}","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{diff}"]}}}}"#
        );
        let config = config.into_bytes();
        let (layers, described) =
            (descriptor(kind, &layer), descriptor("application/vnd.oci.image.config.v1+json", &config));
        let manifest = format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{described},"layers":[{layers}]}}"#);
        Self { layer, config, manifest }
    }

    /// Puts it into a registry under a tag. Returns the manifest's digest.
    fn serve(&self, registry: &Registry, tag: &str) -> String {
        registry.blob(&self.layer);
        registry.blob(&self.config);
        registry.manifest(tag, MANIFEST, &self.manifest)
    }

    fn layer_digest(&self) -> String {
        Digest::of(&self.layer).to_string()
    }
}

/// A store and a client that is quick to give up.
struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    settings: RegistrySettings,
    cancelled: Arc<AtomicBool>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let ms = Duration::from_millis;
        let patience = Patience { tries: 3, first: ms(1), longest: ms(1500), total: ms(3000) };
        let http = HttpSettings { idle: ms(700), patience, ..HttpSettings::default() };
        let settings = RegistrySettings { http, ..RegistrySettings::default() };
        Self { dir, store, settings, cancelled: Arc::default() }
    }

    fn client(&self) -> RegistryClient {
        let cancelled = Arc::clone(&self.cancelled);
        RegistryClient::new(Arc::new(self.settings.clone()), Arc::new(move || cancelled.load(Ordering::SeqCst)))
    }

    fn pull(&self, name: &str) -> Result<ImageRecord, RegistryError> {
        let reference = Reference::parse(name).unwrap();
        let pulled = self.client().pull(&self.store, &reference, &Platform::host(), &|_, _, _| {});
        pulled.map(|pulled| pulled.record)
    }

    /// The message of a pull that fails; it shows nothing that acts on a terminal.
    fn refused(&self, name: &str) -> String {
        let error = self.pull(name).expect_err("the pull succeeded").to_string();
        assert!(!error.chars().any(char::is_control), "{error:?}");
        error
    }

    fn blobs(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("store/blobs/sha256")).unwrap().count()
    }
}

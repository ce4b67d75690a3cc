//! An image as one flat tree and its configuration, read from an OCI layout by code that shares nothing with the engine.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use rbuild_tui::ground::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An image.
#[derive(Serialize, Deserialize, Default)]
pub struct Image {
    /// Digest of the configuration.
    pub id: String,
    pub config: Value,
    pub tree: BTreeMap<String, Node>,
}

/// What is at a path.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Node {
    /// Type, mode, owner, and what it holds.
    pub what: String,
    pub time: i64,
    /// Paths with the same number are one file.
    pub file: usize,
    /// The content, when it is short.
    pub text: Option<String>,
}

impl Image {
    /// Reads the only image of a layout.
    pub fn read(layout: &Path) -> Result<Self, String> {
        let document = |path: &Path| -> Result<Value, String> {
            let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
            serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", path.display()))
        };
        let blob = |digest: &Value| layout.join("blobs").join(digest.as_str().unwrap_or("").replace(':', "/"));
        let mut manifest = document(&layout.join("index.json"))?;
        while manifest["manifests"].is_array() {
            manifest = document(&blob(&manifest["manifests"][0]["digest"]))?;
        }
        let digest = &manifest["config"]["digest"];
        let id = digest.as_str().unwrap_or("").to_owned();
        let mut image = Self { id, config: document(&blob(digest))?, tree: BTreeMap::new() };
        let mut files = 0;
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            image.apply(&blob(&layer["digest"]), &mut files).map_err(|e| format!("{}: {e}", layer["digest"]))?;
        }
        Ok(image)
    }

    fn apply(&mut self, blob: &Path, files: &mut usize) -> std::io::Result<()> {
        let bytes = std::fs::read(blob)?;
        let zipped = bytes.starts_with(&[0x1f, 0x8b]);
        let tar: Box<dyn Read> =
            if zipped { Box::new(flate2::read::MultiGzDecoder::new(&bytes[..])) } else { Box::new(&bytes[..]) };
        let mut fresh = std::collections::BTreeSet::new();
        for member in tar::Archive::new(tar).entries()? {
            let mut member = member?;
            let path = clean(&member.path_bytes());
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            if name == ".wh..wh..opq" {
                let below = format!("{folder}/");
                self.tree.retain(|known, _| !known.starts_with(&below) || fresh.contains(known));
                continue;
            }
            if let Some(name) = name.strip_prefix(".wh.") {
                self.remove(&format!("{folder}/{name}"));
                continue;
            }
            let node = self.node(&mut member, files)?;
            if !node.what.starts_with("dir") {
                self.remove(&path);
            }
            fresh.insert(path.clone());
            self.tree.insert(path, node);
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) {
        let below = format!("{path}/");
        self.tree.retain(|known, _| known != path && !known.starts_with(&below));
    }

    fn node<R: Read>(&self, member: &mut tar::Entry<'_, R>, files: &mut usize) -> std::io::Result<Node> {
        let link = member.link_name_bytes().map(|bytes| bytes.to_vec());
        if member.header().entry_type() == tar::EntryType::Link {
            let target = clean(&link.unwrap_or_default());
            let node = self.tree.get(&target).cloned();
            return node.ok_or_else(|| std::io::Error::other(format!("a hard link to `{target}`, which is not there")));
        }
        let mut attributes = Vec::new();
        for extension in member.pax_extensions()?.into_iter().flatten() {
            let extension = extension?;
            if let Some(name) = extension.key().unwrap_or("").strip_prefix("SCHILY.xattr.") {
                attributes.push(format!(" {name}={}", extension.value_bytes().escape_ascii()));
            }
        }
        attributes.sort();
        let mut content = Vec::new();
        member.read_to_end(&mut content)?;
        let header = member.header();
        let number = |found: std::io::Result<Option<u32>>| found.ok().flatten().unwrap_or(0);
        let kind = match header.entry_type() {
            tar::EntryType::Directory => "dir".to_owned(),
            tar::EntryType::Symlink => format!("link to {}", link.unwrap_or_default().escape_ascii()),
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                format!("file {} {}", content.len(), Digest::of(&content))
            }
            other => {
                format!("{other:?} {}:{}", number(header.device_major()), number(header.device_minor()))
            }
        };
        let (mode, user, group) = (header.mode()? & 0o7777, header.uid()?, header.gid()?);
        *files += 1;
        Ok(Node {
            what: format!("{kind} {mode:o} {user}:{group}{}", attributes.concat()),
            time: header.mtime()? as i64,
            file: *files,
            text: (content.len() < 1 << 16).then(|| String::from_utf8_lossy(&content).into_owned()),
        })
    }

    /// The paths that are one file, for every file with several.
    pub fn hard_links(&self) -> BTreeMap<String, String> {
        let mut groups: BTreeMap<usize, Vec<&String>> = BTreeMap::new();
        for (path, node) in &self.tree {
            groups.entry(node.file).or_default().push(path);
        }
        let several = groups.into_values().filter(|paths| paths.len() > 1);
        several.flat_map(|paths| paths.iter().map(|p| ((*p).clone(), paths[0].clone())).collect::<Vec<_>>()).collect()
    }
}

fn clean(path: &[u8]) -> String {
    let text = match std::str::from_utf8(path) {
        Ok(text) => text.to_owned(),
        Err(_) => path.escape_ascii().to_string(),
    };
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    format!("/{}", parts.join("/"))
}

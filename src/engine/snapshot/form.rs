//! What the layers of a store look like. Overlayfs marks directories with `trusted.` attributes, which only root can set, or
//! with `user.` ones; and files belong to the machine's ids or to those of a user namespace. A store has one form for ever.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::failure::{During, environment};
use super::ids::Ids;
use crate::engine::protocol::Failure;

const FILE: &str = "form";

/// Recorded in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Form {
    /// `trusted` or `user`: the class of overlayfs' attributes.
    overlay: String,
    /// Who the owners of files are.
    ids: Ids,
}

/// The mark of a directory that hides what is below, as this worker's overlays write it.
pub fn opaque() -> &'static str {
    if Ids::current().are_mapped() { "user.overlay.opaque" } else { "trusted.overlay.opaque" }
}

/// Compares the store's form with this worker's, and records it in a new store. Errors: made by root and used by a user, or
/// the reverse; or by a user who has lost ids that own files.
pub fn check(store: &Path) -> Result<(), Failure> {
    let ids = Ids::current().clone();
    let own = Form { overlay: if ids.are_mapped() { "user" } else { "trusted" }.into(), ids };
    let path = store.join(FILE);
    let known = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| damaged(&path, &error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => before_forms(store, &own)?,
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Err(damaged(&path, &"it is a folder")),
        Err(error) => return Err(error).during("read", &path),
    };
    if known.overlay != own.overlay {
        let (by, used) = if known.overlay == "user" { ("without root", "with root") } else { ("with root", "without") };
        let shown = store.display().to_string().escape_debug().to_string();
        let message = format!("the layers of the store `{shown}` were made {by}, so it cannot be used {used}");
        return Err(environment(message, "choose another store with --store"));
    }
    if !own.ids.extend(&known.ids) {
        let shown = store.display().to_string().escape_debug().to_string();
        let had = super::ids::shown(&known.ids.users);
        let has = super::ids::shown(&own.ids.users);
        let message = format!("the files of the store `{shown}` belong to the ids {had}, but this build has {has}");
        return Err(environment(
            message,
            "give the user its ranges in /etc/subuid and /etc/subgid back, or choose another store with --store",
        ));
    }
    if known != own || !path.exists() {
        write(&path, &own)?;
    }
    Ok(())
}

/// Whose layers these are is not known any more, and nobody may guess it. What root made can be told from what users made.
fn damaged(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let shown = path.display().to_string().escape_debug().to_string();
    let message = format!("`{shown}`, which says what the store's layers look like, is damaged: {error}");
    let hint = match Ids::current().are_mapped() {
        false => {
            "if only root has built with this store, remove that file, and it is written anew; else choose another store with --store"
        }
        true => "choose another store with --store, and remove this one with everything in it",
    };
    environment(message, hint)
}

/// A store without a record: a new one, or one of a time when only root could build.
fn before_forms(store: &Path, own: &Form) -> Result<Form, Failure> {
    let layers = store.join("layers");
    let empty = !layers.exists() || fs::read_dir(&layers).during("list", &layers)?.next().is_none();
    Ok(if empty { own.clone() } else { Form { overlay: "trusted".into(), ids: own.ids.clone() } })
}

fn write(path: &Path, form: &Form) -> Result<(), Failure> {
    use std::io::Write;
    let text = serde_json::to_vec(form).map_err(io::Error::from).during("write", path)?;
    let mut file = crate::ground::fs::AtomicFile::create(path)?;
    file.write_all(&text).during("write", path)?;
    Ok(file.commit()?)
}

//! Compiled components on disk, so that a start takes milliseconds.
//!
//! The name of a file has the component's digest and the engine's compatibility hash. Windlass loads
//! only files that it wrote: the folder must belong to this user, nobody else may write to it, and a
//! configuration cannot name a precompiled file. A fault here costs time, not the start: Windlass
//! compiles the component instead.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::component_digest::ComponentDigest;

/// `$XDG_CACHE_HOME/windlass`, else `~/.cache/windlass`.
#[must_use]
pub(crate) fn user_folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = match folder("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(folder("HOME")?).join(".cache"),
    };
    base.is_absolute().then(|| base.join("windlass"))
}

/// A folder of compiled components, or none.
#[derive(Debug, Clone, Default)]
pub(crate) struct ComponentCache {
    folder: Option<PathBuf>,
}

impl ComponentCache {
    #[must_use]
    pub(crate) fn off() -> Self {
        Self::default()
    }

    /// The cache in this folder, which is created if it does not exist. If other users can write to the
    /// folder, Windlass does not use it and logs a warning.
    #[must_use]
    pub(crate) fn in_folder(folder: &Path) -> Self {
        match prepare(folder) {
            Ok(()) => Self {
                folder: Some(folder.to_owned()),
            },
            Err(error) => {
                tracing::warn!(
                    folder = %folder.display(),
                    "compiled components are not cached, so each start compiles them: {error}"
                );
                Self::off()
            }
        }
    }

    /// The compiled component, if it is there and whole.
    pub(super) fn load(&self, engine: &Engine, digest: ComponentDigest) -> Option<Component> {
        let file = self.file(engine, digest)?;
        // Links are not followed: the mode of our folder says nothing about the file behind a link.
        let metadata = fs::symlink_metadata(&file).ok()?;
        if !metadata.is_file() || !is_ours_alone(&metadata) {
            return None;
        }
        #[expect(
            unsafe_code,
            reason = "the file was written by this program for this engine: its folder and itself belong to this user and nobody else may write them"
        )]
        let loaded = unsafe { Component::deserialize_file(engine, &file) };
        loaded
            .inspect_err(|error| {
                tracing::debug!(file = %file.display(), "a compiled component is not usable: {error:#}");
                drop(fs::remove_file(&file));
            })
            .ok()
    }

    pub(super) fn store(&self, engine: &Engine, digest: ComponentDigest, component: &Component) {
        let Some(file) = self.file(engine, digest) else {
            return;
        };
        if let Err(error) = write(&file, component) {
            tracing::warn!(file = %file.display(), "a compiled component could not be cached, so the next start compiles it again: {error}");
        }
    }

    fn file(&self, engine: &Engine, digest: ComponentDigest) -> Option<PathBuf> {
        // Its keys are fixed, unlike those of a `RandomState`: every process of one build finds the same file.
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let name = format!("{digest}-{:016x}.cwasm", hasher.finish());
        Some(self.folder.as_ref()?.join(name))
    }
}

/// Write beside the file and rename, so that no reader ever sees half of it.
fn write(file: &Path, component: &Component) -> Result<(), Box<dyn std::error::Error>> {
    let code = component
        .serialize()
        .map_err(|error| format!("{error:#}"))?;
    // Named after the process: another one may write the same component now.
    let beside = file.with_extension(format!("{}.new", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut new| new.write_all(&code))
        .and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    Ok(written?)
}

#[derive(Debug, thiserror::Error)]
enum FolderError {
    #[error("the folder cannot be created or read: {0}")]
    Io(#[from] std::io::Error),
    #[error("it is not a folder")]
    NotAFolder,
    #[error(
        "other users can write to the folder; it must belong to this user, with mode 0700 or 0755"
    )]
    Shared,
}

fn prepare(folder: &Path) -> Result<(), FolderError> {
    if !folder.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let metadata = fs::metadata(folder)?;
    if !metadata.is_dir() {
        return Err(FolderError::NotAFolder);
    }
    if !is_ours_alone(&metadata) {
        return Err(FolderError::Shared);
    }
    Ok(())
}

fn is_ours_alone(metadata: &fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_that_others_may_write_into_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(ComponentCache::in_folder(&open).folder.is_none());
        let made = folder.path().join("a/b");
        assert!(ComponentCache::in_folder(&made).folder.is_some());
        assert_eq!(fs::metadata(&made).unwrap().mode() & 0o777, 0o700);
    }
}

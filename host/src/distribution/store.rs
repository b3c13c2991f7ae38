//! Fetched blobs on disk, by their SHA-256, so that a restart needs no registry.
//!
//! A file is checked when it is read, so neither a damaged disk nor another user can put other code in its place: at
//! worst it is fetched again. Files are written beside their place and renamed, and several gateways may share the
//! folder. A fault here costs a fetch, not the start.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::model::sha256::Sha256;

/// The largest file that is read. Bytes: the most that `[plugins] max_size` allows, and more than a manifest has.
const MOST: u64 = 256 << 20;

/// The end of the name of a file that is being written.
const UNFINISHED: &str = "new";

/// The end of the name of a file with signatures.
const SIGNATURES: &str = "signatures";

/// After that, whoever wrote it has crashed.
const ABANDONED: Duration = Duration::from_hours(1);

/// A folder of blobs.
#[derive(Debug)]
pub(super) struct BlobStore {
    folder: PathBuf,
    /// The most that all files may have. Bytes.
    limit: u64,
}

impl BlobStore {
    /// The folder, which is made if it is not there. None, with a warning in the log: it cannot be used.
    pub(super) fn open(folder: PathBuf, limit: u64) -> Option<Self> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        match made {
            Ok(()) => Some(Self { folder, limit }),
            Err(error) => {
                let folder = folder.display();
                tracing::warn!(%folder, "fetched plugins are not kept, so each start fetches them again: {error}; name a folder that this user can write in `[plugins] cache`");
                None
            }
        }
    }

    /// A blob that is there and whole.
    pub(super) fn load(&self, digest: Sha256) -> Option<Vec<u8>> {
        let path = self.path(digest);
        let bytes = read(&path).ok()?;
        if Sha256::of(&bytes) != digest {
            let file = path.display();
            tracing::warn!(%file, "a plugin in the cache is damaged; it is fetched again");
            drop(fs::remove_file(&path));
            return None;
        }
        // It was used now. Where that cannot be noted, it goes earlier.
        let used = OpenOptions::new().write(true).open(&path);
        drop(used.and_then(|file| file.set_modified(SystemTime::now())));
        Some(bytes)
    }

    /// The signatures of a manifest that are there. They are not checked.
    pub(super) fn load_signatures(&self, manifest: Sha256) -> Option<Vec<u8>> {
        read(&self.signatures(manifest)).ok()
    }

    /// Keeps the signatures of a manifest, which the caller has checked.
    pub(super) fn save_signatures(&self, manifest: Sha256, bytes: &[u8]) {
        let path = self.signatures(manifest);
        if let Err(error) = write(&path, bytes) {
            let file = path.display();
            tracing::warn!(%file, "the signatures of a plugin could not be kept, so the next start fetches them again: {error}");
        }
    }

    fn signatures(&self, manifest: Sha256) -> PathBuf {
        self.folder.join(format!("sha256-{manifest}.{SIGNATURES}"))
    }

    /// Keeps a blob.
    pub(super) fn save(&self, digest: Sha256, bytes: &[u8]) {
        let path = self.path(digest);
        if let Err(error) = write(&path, bytes) {
            let file = path.display();
            tracing::warn!(%file, "a fetched plugin could not be kept, so the next start fetches it again: {error}");
        }
        if let Err(error) = self.trim(&path) {
            let folder = self.folder.display();
            tracing::warn!(%folder, "old plugins could not be removed from the cache: {error}");
        }
    }

    fn path(&self, digest: Sha256) -> PathBuf {
        self.folder.join(format!("sha256-{digest}"))
    }

    /// Removes the files that were used least recently, until the rest fits. `newest` stays.
    fn trim(&self, newest: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(known) = entry.metadata() else {
                continue;
            };
            let path = entry.path();
            let used = known.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let is_unfinished = path.extension().is_some_and(|end| end == UNFINISHED);
            if is_unfinished {
                let age = SystemTime::now().duration_since(used).unwrap_or_default();
                if age > ABANDONED {
                    drop(fs::remove_file(&path));
                }
            } else if known.is_file() && is_blob(&path) {
                files.push((used, known.len(), path));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if total <= self.limit {
                break;
            }
            if path != newest {
                fs::remove_file(&path)?;
                total -= length;
            }
        }
        Ok(())
    }
}

/// Other files in the folder are not ours.
fn is_blob(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let hex = name.and_then(|name| name.strip_prefix("sha256-"));
    let hex = hex.map(|hex| {
        hex.strip_suffix(SIGNATURES)
            .map_or(hex, |hex| hex.trim_end_matches('.'))
    });
    hex.is_some_and(|hex| Sha256::from_hex(hex).is_some())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len().min(MOST);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Write beside the file and rename, so that no reader ever sees half of it.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    // Named after the process and the write: another one may write the same blob now.
    let beside = path.with_extension(format!("{}-{number}.{UNFINISHED}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut new| new.write_all(bytes))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(length: usize, byte: u8) -> (Sha256, Vec<u8>) {
        let bytes = vec![byte; length];
        (Sha256::of(&bytes), bytes)
    }

    #[test]
    fn a_blob_is_kept_and_a_damaged_one_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path().join("a/b"), 1 << 20).unwrap();
        let (digest, bytes) = blob(10, 1);
        assert_eq!(store.load(digest), None);
        store.save(digest, &bytes);
        assert_eq!(store.load(digest), Some(bytes.clone()));
        fs::write(store.path(digest), "other").unwrap();
        assert_eq!(store.load(digest), None);
        assert!(!store.path(digest).exists(), "it is in the way no more");
        store.save(digest, &bytes);
        assert_eq!(store.load(digest), Some(bytes));
    }

    #[test]
    fn the_least_recently_used_goes_first_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path().to_owned(), 100).unwrap();
        fs::write(folder.path().join("README"), "x".repeat(1000)).unwrap();
        let long_ago = SystemTime::now() - Duration::from_hours(5);
        let abandoned = folder.path().join("sha256-1.1-1.new");
        let dated = File::create(&abandoned).unwrap();
        dated.set_modified(long_ago).unwrap();
        let blobs: Vec<_> = (0..3).map(|byte| blob(40, byte)).collect();
        for ((digest, bytes), hours) in blobs.iter().zip([2, 3, 1]) {
            store.save(*digest, bytes);
            let file = OpenOptions::new().write(true).open(store.path(*digest));
            let used = SystemTime::now() - Duration::from_hours(hours);
            // The third does not fit: by then the second is the oldest.
            drop(file.and_then(|file| file.set_modified(used)));
        }
        let there: Vec<bool> = blobs
            .iter()
            .map(|(digest, _)| store.path(*digest).exists())
            .collect();
        assert_eq!(there, [true, false, true]);
        assert!(folder.path().join("README").exists());
        assert!(!abandoned.exists());
        let (digest, bytes) = blob(1000, 9);
        store.save(digest, &bytes);
        assert!(store.load(digest).is_some(), "the newest stays");
    }
}

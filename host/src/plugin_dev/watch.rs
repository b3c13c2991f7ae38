//! Watches a plugin's folder, and builds the plugin when a source has changed.
//!
//! Editors save in several steps, so a change counts once the folder is quiet for a moment. A file that is written with
//! the same content is no change: build tools write files, too. Folders that tools fill (`build`, `target`,
//! `node_modules` and the like) are not looked into.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::UnboundedSender;
use windlass_plugin_kits::{BuildError, Built, Mode, Plugin, build};

/// Folders that tools fill. Those that begin with a dot are not looked into either.
const NOT_SOURCES: [&str; 7] = [
    "build",
    "target",
    "node_modules",
    "dist",
    "__pycache__",
    "venv",
    "pkg",
];

/// Files that tools write.
const WRITTEN: [&str; 3] = ["Cargo.lock", "package-lock.json", "go.sum"];

/// Files that a new build does not need.
const SETTINGS: [&str; 2] = ["dev.toml", "cases.toml"];

/// How long the folder must be quiet.
const QUIET: Duration = Duration::from_millis(30);

/// The most folders that are watched.
const MAX_FOLDERS: usize = 1_000;

/// The largest file that is read for a change; of larger ones the length and the time count. Bytes.
const MAX_READ: u64 = 1024 * 1024;

/// Why the command cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevError {
    #[error("the changes of `{}` cannot be watched; raise the system's limit (`sysctl fs.inotify.max_user_watches`), or end other programs that watch files", .0.display())]
    Watch(PathBuf, #[source] notify::Error),
    #[error("`{}` has more than {MAX_FOLDERS} folders; move what is no source out of it, or into `build`", .0.display())]
    TooManyFolders(PathBuf),
    #[error("the system gives no thread, port or pipe")]
    System(#[from] io::Error),
}

/// Something to do after the author saved.
#[derive(Debug)]
pub(crate) enum DevChange {
    /// A new component.
    Built { built: Built, saved: Instant },
    /// Only the settings changed.
    Settings { saved: Instant },
    /// The plugin does not build.
    Failed { error: BuildError },
}

/// The watch on a folder.
pub(crate) struct SourceWatch {
    plugin: Plugin,
    watcher: RecommendedWatcher,
    events: Receiver<notify::Result<notify::Event>>,
    /// The digests of the files, by their paths.
    seen: BTreeMap<PathBuf, u64>,
}

impl SourceWatch {
    /// Begins to watch.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub(crate) fn begin(plugin: Plugin) -> Result<Self, DevError> {
        let (report, events) = channel();
        let folder = plugin.folder().to_owned();
        let watcher =
            notify::recommended_watcher(report).map_err(|error| DevError::Watch(folder, error))?;
        let mut watch = Self {
            plugin,
            watcher,
            events,
            seen: BTreeMap::new(),
        };
        watch.seen = watch.look()?;
        Ok(watch)
    }

    /// Builds now, and after each change, on a thread of its own. It ends when nobody takes its changes.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub(crate) fn run(mut self, changes: UnboundedSender<DevChange>) -> io::Result<()> {
        let run = move || {
            let mut sources = true;
            let mut saved = Instant::now();
            loop {
                let change = if sources {
                    self.build(saved)
                } else {
                    DevChange::Settings { saved }
                };
                if changes.send(change).is_err() {
                    return;
                }
                match self.wait() {
                    Ok((when, of_sources)) => (saved, sources) = (when, of_sources),
                    Err(error) => {
                        tracing::error!(
                            "changes are not seen any more: {error}; start the command again"
                        );
                        return;
                    }
                }
            }
        };
        std::thread::Builder::new()
            .name("dev-build".into())
            .spawn(run)?;
        Ok(())
    }

    fn build(&self, saved: Instant) -> DevChange {
        match build(&self.plugin, Mode::Dev) {
            Ok(built) => DevChange::Built { built, saved },
            Err(error) => DevChange::Failed { error },
        }
    }

    /// Waits for a change of a file's content. Gives when it was saved, and whether a source changed.
    fn wait(&mut self) -> Result<(Instant, bool), DevError> {
        // Something may have been saved during the build.
        let mut saved = Instant::now();
        loop {
            let now = self.look()?;
            let changed = changed(&self.seen, &now);
            self.seen = now;
            if !changed.is_empty() {
                return Ok((saved, changed.iter().any(|path| !is_settings(path))));
            }
            let gone = || DevError::System(io::Error::other("the watch ended"));
            let first = self.events.recv().map_err(|_| gone())?;
            first.map_err(|error| DevError::Watch(self.plugin.folder().to_owned(), error))?;
            saved = Instant::now();
            loop {
                match self.events.recv_timeout(QUIET) {
                    Ok(_) => {}
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return Err(gone()),
                }
            }
        }
    }

    /// The digests of all sources. Folders that are new are watched from now on.
    fn look(&mut self) -> Result<BTreeMap<PathBuf, u64>, DevError> {
        let root = self.plugin.folder().to_owned();
        let mut files = BTreeMap::new();
        let mut folders = vec![root.clone()];
        let mut count = 0;
        while let Some(folder) = folders.pop() {
            count += 1;
            if count > MAX_FOLDERS {
                return Err(DevError::TooManyFolders(root));
            }
            // Watched before it is read, so that no change falls between. Watching it again has no effect.
            let watched = self.watcher.watch(&folder, RecursiveMode::NonRecursive);
            // A folder that is gone meanwhile is no fault.
            if let Err(error) = watched
                && folder.exists()
            {
                return Err(DevError::Watch(folder, error));
            }
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if !is_source(&path, is_folder) {
                    continue;
                }
                if is_folder {
                    folders.push(path);
                } else if let Some(digest) = digest(&path) {
                    files.insert(path, digest);
                }
            }
        }
        Ok(files)
    }
}

fn is_source(path: &Path, is_folder: bool) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_left_over = name.ends_with('~') || matches!(extension, Some("swp" | "tmp"));
    let is_written = match is_folder {
        true => NOT_SOURCES.contains(&name),
        false => WRITTEN.contains(&name) || is_left_over,
    };
    !name.starts_with('.') && !name.starts_with('#') && !is_written
}

fn is_settings(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| SETTINGS.contains(&name))
}

/// The digest of a file; none if it is gone.
fn digest(path: &Path) -> Option<u64> {
    let metadata = fs::metadata(path).ok()?;
    let mut hasher = DefaultHasher::new();
    if metadata.len() > MAX_READ {
        hasher.write_u64(metadata.len());
        metadata.modified().ok()?.hash(&mut hasher);
    } else {
        hasher.write(&fs::read(path).ok()?);
    }
    Some(hasher.finish())
}

/// The files that are new, gone, or have another content.
fn changed(before: &BTreeMap<PathBuf, u64>, now: &BTreeMap<PathBuf, u64>) -> Vec<PathBuf> {
    let is_other = |(path, digest): &(&PathBuf, &u64)| before.get(*path) != Some(*digest);
    let new = now.iter().filter(is_other).map(|(path, _)| path);
    let gone = before.keys().filter(|path| !now.contains_key(*path));
    new.chain(gone).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin() -> (tempfile::TempDir, SourceWatch) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("plugin.toml"),
            "name = \"team\"\nlanguage = \"rust\"\n",
        )
        .unwrap();
        fs::create_dir_all(folder.path().join("src")).unwrap();
        fs::create_dir_all(folder.path().join("target/debug")).unwrap();
        fs::write(folder.path().join("src/lib.rs"), "// one").unwrap();
        let plugin = Plugin::open(folder.path()).unwrap();
        let watch = SourceWatch::begin(plugin).unwrap();
        (folder, watch)
    }

    #[test]
    fn a_new_content_is_a_change_and_the_same_one_is_none() {
        let (folder, mut watch) = plugin();
        let source = folder.path().join("src/lib.rs");
        // The same content, files of tools, and left-overs of editors come first: none of them ends the wait.
        fs::write(&source, "// one").unwrap();
        fs::write(folder.path().join("target/debug/a.o"), "x").unwrap();
        fs::write(folder.path().join("Cargo.lock"), "x").unwrap();
        fs::write(folder.path().join("src/lib.rs~"), "x").unwrap();
        fs::write(&source, "// two").unwrap();
        let (_, of_sources) = watch.wait().unwrap();
        assert!(of_sources);
        assert_eq!(watch.seen.len(), 2);
    }

    #[test]
    fn settings_need_no_build() {
        let (folder, mut watch) = plugin();
        fs::write(folder.path().join("cases.toml"), "settings = {}").unwrap();
        assert!(!watch.wait().unwrap().1);
    }

    #[test]
    fn a_file_in_a_new_folder_is_seen() {
        let (folder, mut watch) = plugin();
        fs::create_dir(folder.path().join("src/more")).unwrap();
        fs::write(folder.path().join("src/more/a.rs"), "// a").unwrap();
        assert!(watch.wait().unwrap().1);
        fs::write(folder.path().join("src/more/a.rs"), "// b").unwrap();
        assert!(watch.wait().unwrap().1);
    }
}

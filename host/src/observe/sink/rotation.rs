//! Rotation of a log file by its size and age.
//!
//! The sink's thread asks before each write. The file becomes `<name>.1`, the one before `<name>.2`, and so on;
//! those beyond the limit are removed. If that fails, the file stays in use, and the next try is a minute later.
//! Several processes may write to one file: if another one has rotated it, this one only opens the new file.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::outlet::{Outlet, Target, cure};

/// The pause after a rotation that failed.
const RETRY_AFTER: Duration = Duration::from_mins(1);

/// When a file is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RotationRule {
    /// Bytes.
    pub(crate) size: Option<u64>,
    pub(crate) age: Option<Duration>,
    /// How many rotated files are kept.
    pub(crate) keep: u32,
}

/// The rotation of one file.
#[derive(Debug)]
pub(crate) struct Rotation {
    path: PathBuf,
    rule: RotationRule,
    retry_at: Option<Instant>,
}

impl Rotation {
    #[must_use]
    pub(crate) fn new(path: PathBuf, rule: RotationRule) -> Self {
        Self {
            path,
            rule,
            retry_at: None,
        }
    }

    /// Rotates the file if it is due. Gives the new file, if there is one.
    pub(super) fn rotate_if_due(&mut self, outlet: &Outlet, more: usize) -> Option<Outlet> {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return None;
        }
        match self.rotate(outlet, more) {
            Ok(next) => {
                self.retry_at = None;
                next
            }
            Err(error) => {
                self.retry_at = Some(Instant::now() + RETRY_AFTER);
                tracing::error!(
                    "the access log could not be rotated, and grows on: {error}; {}",
                    cure(&error)
                );
                None
            }
        }
    }

    fn rotate(&self, outlet: &Outlet, more: usize) -> io::Result<Option<Outlet>> {
        let Some(file) = outlet.regular_file()? else {
            return Ok(None);
        };
        let length = file.length.saturating_add(more as u64);
        let is_large = file.length > 0 && self.rule.size.is_some_and(|size| length > size);
        let age = SystemTime::now().duration_since(file.created);
        let age = age.unwrap_or_default();
        let is_old = file.length > 0 && self.rule.age.is_some_and(|longest| age >= longest);
        if !is_large && !is_old {
            return Ok(None);
        }
        if outlet.is_at(&self.path) {
            self.rename()?;
        }
        Outlet::open(&Target::File(self.path.clone())).map(Some)
    }

    /// Gives each file the next number. The last one is replaced.
    fn rename(&self) -> io::Result<()> {
        for number in (1..self.rule.keep).rev() {
            move_file(
                &numbered(&self.path, number),
                &numbered(&self.path, number + 1),
            )?;
        }
        move_file(&self.path, &numbered(&self.path, 1))
    }
}

/// Moves a file, if it exists.
fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// `access.json.3`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(path: &Path, size: Option<u64>, age: Option<Duration>) -> Rotation {
        let keep = 2;
        Rotation::new(path.to_owned(), RotationRule { size, age, keep })
    }

    fn written(path: &Path, line: &str) -> Outlet {
        let mut outlet = Outlet::open(&Target::File(path.to_owned())).unwrap();
        outlet.write(line.as_bytes(), &mut || false).unwrap();
        outlet
    }

    #[test]
    fn a_file_that_would_be_too_large_is_rotated_and_the_oldest_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut rotation = rotation(&path, Some(6), None);
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            let outlet = Outlet::open(&Target::File(path.clone())).unwrap();
            let next = rotation.rotate_if_due(&outlet, line.len());
            assert_eq!(next.is_some(), line != "one\n");
            drop(written(&path, line));
        }
        let text = |number: u32| fs::read_to_string(numbered(&path, number)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "four\n");
        assert_eq!((text(1), text(2)), ("three\n".into(), "two\n".into()));
        assert!(!numbered(&path, 3).exists());
    }

    #[test]
    fn a_file_is_rotated_by_its_age_and_an_empty_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut rotation = rotation(&path, None, Some(Duration::ZERO));
        let empty = Outlet::open(&Target::File(path.clone())).unwrap();
        assert!(rotation.rotate_if_due(&empty, 10).is_none());
        let full = written(&path, "one\n");
        assert!(rotation.rotate_if_due(&full, 10).is_some());
        assert!(numbered(&path, 1).exists());
    }

    #[test]
    fn a_file_that_another_process_has_rotated_is_only_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut rotation = rotation(&path, Some(1), None);
        let old = written(&path, "old\n");
        fs::rename(&path, numbered(&path, 1)).unwrap();
        drop(written(&path, "new\n"));
        assert!(rotation.rotate_if_due(&old, 1).is_some());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert!(!numbered(&path, 2).exists());
    }

    #[test]
    fn a_rotation_that_fails_keeps_the_file_and_is_not_tried_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut rotation = rotation(&path, Some(1), None);
        let outlet = written(&path, "one\n");
        // A folder with files cannot be replaced by a file.
        fs::create_dir_all(numbered(&path, 1).join("x")).unwrap();
        fs::create_dir_all(numbered(&path, 2).join("x")).unwrap();
        assert!(rotation.rotate_if_due(&outlet, 1).is_none());
        assert!(rotation.retry_at.is_some() && path.exists());
    }
}

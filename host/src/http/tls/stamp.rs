//! The state of a file, by which a change is noticed without reading it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The state of a file. A file that is written, replaced, or behind another link now has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp(Option<FileFacts>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileFacts {
    device: u64,
    inode: u64,
    length: u64,
    /// When the content changed: seconds, and nanoseconds.
    modified: (i64, i64),
    /// When the content, the owner or the permissions changed.
    changed: (i64, i64),
}

impl FileStamp {
    /// The state now. All files that cannot be reached have the same.
    pub(super) fn of(path: &Path) -> Self {
        // Follows links: tools that renew certificates like to swap them.
        let facts = std::fs::metadata(path).ok().map(|found| FileFacts {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        });
        Self(facts)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_change_of_any_kind_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (file, other, link) = (at("a"), at("b"), at("link"));
        let missing = FileStamp::of(&file);
        std::fs::write(&file, "one").unwrap();
        std::fs::write(&other, "one").unwrap();
        symlink(&file, &link).unwrap();
        let made = FileStamp::of(&file);
        assert_ne!(made, missing);
        assert_eq!(FileStamp::of(&link), made, "nothing changed");
        std::fs::remove_file(&link).unwrap();
        symlink(&other, &link).unwrap();
        assert_ne!(FileStamp::of(&link), made, "the link leads elsewhere");
        std::fs::rename(&other, &file).unwrap();
        assert_ne!(FileStamp::of(&file), made, "the file was replaced");
        let replaced = FileStamp::of(&file);
        std::fs::write(&file, "more").unwrap();
        assert_ne!(FileStamp::of(&file), replaced, "the file was written");
    }
}

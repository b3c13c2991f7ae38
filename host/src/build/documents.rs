//! Reads the documents of filters from their files.
//!
//! Each configuration reads them anew. A document is a regular file, by any path that the operator
//! names; symbolic links are followed, since configuration folders often contain them. A pipe, a device
//! or a folder is an error, so that no start hangs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::config::{self, Problems};
use crate::wasm::documents::{Document, Documents};

/// Why a file cannot be a document.
#[derive(Debug, thiserror::Error)]
enum DocumentError {
    /// The system does not give it.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// A symbolic link to nothing.
    #[error("is a symbolic link to `{}`, which is not there", .0.display())]
    Dangling(PathBuf),
    /// Not a regular file.
    #[error("is {0}, not a file")]
    NoFile(&'static str),
    /// Larger than the filter's limit.
    #[error("{}, more than `limits.document` allows ({})", sized(*.found), config::size(*.limit))]
    TooLarge {
        /// Its length, if the system knows it. Bytes.
        found: Option<u64>,
        /// The limit. Bytes.
        limit: u64,
    },
}

fn sized(bytes: Option<u64>) -> String {
    bytes.map_or_else(
        || "has too many bytes".to_owned(),
        |bytes| format!("has {}", config::counted(bytes, "byte")),
    )
}

/// The cure for a file that cannot be read.
pub(super) fn unreadable_help(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "let the account that the gateway runs as read it",
        _ => "paths are relative to the folder of the configuration file",
    }
}

impl DocumentError {
    /// How to mend it.
    fn help(&self) -> String {
        match self {
            Self::Unreadable(error) => unreadable_help(error).to_owned(),
            Self::Dangling(_) => "make the link anew, or name the file itself".to_owned(),
            Self::NoFile(_) => "name a regular file, or a link to one".to_owned(),
            Self::TooLarge { found, limit } => {
                let enough = found.unwrap_or(limit.saturating_mul(2));
                let enough = enough.div_ceil(1 << 20);
                if enough > config::MAX_DOCUMENT >> 20 {
                    let most = config::size(config::MAX_DOCUMENT);
                    return format!("split it: no document may have more than {most}");
                }
                format!("set `limits = {{ document = \"{enough}MiB\" }}`, or name a smaller file")
            }
        }
    }
}

/// All documents of a filter. None where one of them cannot be had; each of those is reported.
pub(super) fn read(filter: &config::FilterConfig, problems: &mut Problems) -> Option<Documents> {
    let mut documents = Some(Vec::new());
    for document in &filter.documents {
        match read_one(&document.path, filter.limits.document) {
            Ok(read) => {
                if let Some(documents) = &mut documents {
                    documents.push((document.name.clone(), read));
                }
            }
            Err(error) => {
                documents = None;
                let (name, path) = (&document.name, document.path.display());
                problems
                    .error_of(filter, format!("its document `{name}`, `{path}`, {error}"))
                    .at(document.span)
                    .help(error.help());
            }
        }
    }
    documents.map(Documents::from_iter)
}

fn read_one(path: &Path, limit: u64) -> Result<Document, DocumentError> {
    let mut file = open(path)?;
    let known = file.metadata()?;
    let kind = known.file_type();
    if !kind.is_file() {
        return Err(DocumentError::NoFile(kind_of(kind)));
    }
    if known.len() > limit {
        return Err(DocumentError::TooLarge {
            found: Some(known.len()),
            limit,
        });
    }
    // The system does not know the length of every file, and it may grow meanwhile.
    let mut bytes = Vec::with_capacity(usize::try_from(known.len()).unwrap_or_default());
    file.by_ref()
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(DocumentError::TooLarge { found: None, limit });
    }
    Ok(Document::new(bytes))
}

/// Open a file. Does not wait for the writer of a pipe, and makes no terminal the gateway's own.
fn open(path: &Path) -> Result<File, DocumentError> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
    options.open(path).map_err(|error| {
        let metadata = fs::metadata(path).ok();
        match (error.kind(), fs::read_link(path), metadata) {
            (io::ErrorKind::NotFound, Ok(target), _) => DocumentError::Dangling(target),
            // A socket cannot be opened.
            (_, _, Some(known)) if known.file_type().is_socket() => {
                DocumentError::NoFile(kind_of(known.file_type()))
            }
            (_, _, _) => error.into(),
        }
    })
}

fn kind_of(kind: fs::FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Warn of documents that nobody reads, and of one file under two names.
pub(super) fn warn(filter: &config::FilterConfig, reads_documents: bool, problems: &mut Problems) {
    if let Some(first) = filter.documents.first().filter(|_| !reads_documents) {
        problems
            .warning_of(filter, "its plugin reads no documents")
            .at(first.span)
            .help(
                "remove `documents`, or see in the plugin's README where the file is to be named",
            );
    }
    for (index, document) in filter.documents.iter().enumerate() {
        let mut before = filter.documents.iter().take(index);
        if let Some(other) = before.find(|other| other.path == document.path) {
            let (one, two) = (&other.name, &document.name);
            problems
                .warning_of(
                    filter,
                    format!("its documents `{one}` and `{two}` are the same file"),
                )
                .at(document.span)
                .help("if one of them is a slip, name the other file");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// The error of a file, and its cure.
    fn error_text(path: &Path, limit: u64) -> (String, String) {
        let error = read_one(path, limit).map(|_| ()).unwrap_err();
        (error.to_string(), error.help())
    }

    #[test]
    fn a_file_is_read_up_to_the_limit_and_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "0123456789").unwrap();
        assert_eq!(read_one(&file, 10).unwrap().bytes, b"0123456789");
        let link = folder.path().join("link");
        symlink("a", &link).unwrap();
        assert_eq!(read_one(&link, 10).unwrap().bytes, b"0123456789");
        let (error, help) = error_text(&link, 9);
        assert_eq!(
            error,
            "has 10 bytes, more than `limits.document` allows (9B)"
        );
        assert_eq!(
            help,
            "set `limits = { document = \"1MiB\" }`, or name a smaller file"
        );
        fs::write(&file, "").unwrap();
        assert_eq!(read_one(&file, 10).unwrap().bytes, b"");
    }

    #[test]
    fn a_file_whose_length_is_not_known_is_bounded_too() {
        // `/proc` says that its files are empty.
        let path = Path::new("/proc/self/maps");
        assert_eq!(fs::metadata(path).unwrap().len(), 0);
        let (error, _) = error_text(path, 16);
        assert_eq!(
            error,
            "has too many bytes, more than `limits.document` allows (16B)"
        );
    }

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (error, help) = error_text(folder.path(), 10);
        assert_eq!(error, "is a folder, not a file");
        assert_eq!(help, "name a regular file, or a link to one");
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(error_text(&pipe, 10).0, "is a pipe, not a file");
        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        assert_eq!(error_text(&socket, 10).0, "is a socket, not a file");
        assert_eq!(
            error_text(Path::new("/dev/zero"), 10).0,
            "is a device, not a file"
        );
    }

    #[test]
    fn what_is_not_there_is_told_from_a_link_to_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (error, help) = error_text(&folder.path().join("none"), 10);
        assert!(error.starts_with("cannot be read: No such file"), "{error}");
        assert!(help.contains("relative to the folder"), "{help}");
        let link = folder.path().join("link");
        symlink("gone.yaml", &link).unwrap();
        let (error, _) = error_text(&link, 10);
        assert_eq!(
            error,
            "is a symbolic link to `gone.yaml`, which is not there"
        );
        let denied = DocumentError::from(io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(
            denied.help(),
            "let the account that the gateway runs as read it"
        );
        let round = folder.path().join("round");
        symlink("round", &round).unwrap();
        let (error, _) = error_text(&round, 10);
        assert!(error.starts_with("cannot be read: "), "{error}");
    }

    #[test]
    fn no_limit_is_proposed_that_cannot_be_set() {
        let too_large = |found| DocumentError::TooLarge {
            found: Some(found),
            limit: 10,
        };
        let most = config::MAX_DOCUMENT;
        assert!(too_large(most).help().contains("\"64MiB\""));
        assert_eq!(
            too_large(most + 1).help(),
            "split it: no document may have more than 64MiB"
        );
    }
}

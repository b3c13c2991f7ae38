//! The storage of one gateway: an SQLite file.
//!
//! It promises
//! - that a commit is on the disk when it returns (write-ahead log, `synchronous = FULL`);
//! - that a file that is damaged, or comes from another program or a newer Windlass, stops the
//!   start and is not changed;
//! - that only one gateway has it at a time: it locks a file beside it, and the system releases
//!   that lock when the process ends, however it ends. The database itself is not locked: it can
//!   be read and backed up (`sqlite3 FILE .backup`) while the gateway runs;
//! - that a draining gateway lets a successor have it ([`drain_usage`]): from then on it only adds
//!   to the successor's counts, each time in one transaction, and nothing is lost or counted
//!   twice.
//!
//! It has two connections, each behind a lock: one writes and one reads, so that a long list
//! blocks no commit. It deliberately stores no key's text, only digests.

mod add_usage;
mod commit;
mod drain_usage;
mod records;
mod rows;
mod schema;
mod statement;
mod usage;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{Access, FlockOperation, access};

use crate::shared_store::StorageError;

/// How long a write waits for another program's (the end of a backup, an operator's shell).
const BUSY: Duration = Duration::from_secs(5);

/// How long a start waits for the lock.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(25);
/// The characters of a path that are encoded in SQLite's URIs.
const IN_URI: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

/// The storage in a file.
#[derive(Debug)]
pub struct SqliteStorage {
    path: PathBuf,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    /// Held until the storage is released.
    lock: Mutex<Option<File>>,
}

impl SqliteStorage {
    /// Opens the file, or creates it (readable by its owner only).
    ///
    /// # Errors
    ///
    /// It cannot be opened, belongs to another gateway, is damaged, or was written by another
    /// program.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let lock = lock(path)?;
        check_header(path)?;
        // SQLite would create it with the mode that the umask leaves, and others might read it.
        let make = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path);
        make.map_err(|cause| cannot_open(path, &cause))?;
        // Each connection is behind a mutex here, so SQLite needs none.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |path: &Path| -> rusqlite::Result<Connection> {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY)?;
            // A damaged file stays unchanged: closing writes nothing.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
            connection.set_prepared_statement_cache_capacity(64);
            Ok(connection)
        };
        let mut writer = open(path).map_err(|error| failed(path, error))?;
        schema::migrate(&mut writer, path)?;
        let reader = open(path).map_err(|error| failed(path, error))?;
        let settings = [
            // With a write-ahead log, a lower level would let a power failure undo a commit.
            (&writer, "synchronous", "FULL"),
            (&reader, "query_only", "ON"),
            // A negative number means KiB, not pages.
            (&reader, "cache_size", "-8192"),
        ];
        for (connection, name, value) in settings {
            let set = connection.pragma_update(None, name, value);
            set.map_err(|error| failed(path, error))?;
        }
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            lock: Mutex::new(Some(lock)),
        })
    }

    fn read<T>(
        &self,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        run(&self.reader.lock()).map_err(|error| failed(&self.path, error))
    }

    /// Runs a transaction, which is on the disk when this returns.
    fn write<T>(
        &self,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        let mut writer = self.writer.lock();
        let done =
            // Immediate: a transaction that begins by reading can be refused the lock later, and
            // `busy_timeout` does not help.
            rusqlite::Transaction::new(&mut writer, rusqlite::TransactionBehavior::Immediate)
                .and_then(|transaction| {
                    let value = run(&transaction)?;
                    transaction.commit()?;
                    Ok(value)
                });
        done.map_err(|error| failed(&self.path, error))
    }
}

impl Drop for SqliteStorage {
    fn drop(&mut self) {
        if self.lock.get_mut().is_none() {
            // A successor writes by now.
            return;
        }
        // Empties the log beside the file for a time when nothing runs. A failure loses nothing.
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        if let Err(error) = self.writer.get_mut().query_row(checkpoint, [], |_| Ok(())) {
            tracing::debug!("the storage's write-ahead log stays beside its file: {error}");
        }
    }
}

/// Whether a file is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileUse {
    /// No process uses it.
    Free,
    /// A running gateway uses it.
    ByAnother,
}

/// Checks whether [`SqliteStorage::open`] could open this file, without touching it.
///
/// # Errors
///
/// The reason why it could not.
pub(crate) fn check(path: &Path) -> Result<FileUse, StorageError> {
    let kind = |kind| cannot_open(path, &std::io::Error::from(kind));
    let folder = folder_of(path);
    // The file behind a symbolic link is created in the folder of its target.
    let linked = std::fs::read_link(path).map(|target| folder.join(target));
    if !folder.is_dir() || linked.is_ok_and(|target| !folder_of(&target).is_dir()) {
        return Err(kind(ErrorKind::NotFound));
    }
    if path.is_dir() {
        return Err(refused(path, "it is a folder; name a file in it"));
    }
    let (read, write) = (Access::READ_OK, Access::WRITE_OK);
    let is_there = path
        .try_exists()
        .map_err(|cause| cannot_open(path, &cause))?;
    // SQLite and the lock need files beside it, which are created in the folder.
    let may = access(folder, write | Access::EXEC_OK).is_ok()
        && (!is_there || access(path, read | write).is_ok());
    if !may {
        return Err(kind(ErrorKind::PermissionDenied));
    }
    let in_use = match File::open(lock_path(path)) {
        Ok(file) => rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err(),
        Err(_) => false,
    };
    if in_use {
        return Ok(FileUse::ByAnother);
    }
    if is_there {
        check_header(path)?;
        check_owner(path)?;
    }
    Ok(FileUse::Free)
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or(Path::new("."))
}

/// A file without marks that has tables belongs to another program. No process has it open, so it
/// can be read as it is, without the files that SQLite creates beside it.
fn check_owner(path: &Path) -> Result<(), StorageError> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) {
        return Ok(());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let encoded = percent_encode(path.as_os_str().as_encoded_bytes(), IN_URI);
    let uri = format!("file:{encoded}?immutable=1");
    let connection = Connection::open_with_flags(uri, flags);
    let connection = connection.map_err(|error| failed(path, error))?;
    schema::check_owner(&connection, path)
}

/// The path of the lock file.
fn lock_path(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-lock");
    beside.into()
}

/// Locks the file beside the database.
fn lock(path: &Path) -> Result<File, StorageError> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(lock_path(path))
        .map_err(|cause| cannot_open(path, &cause))?;
    let end = Instant::now() + PATIENCE;
    // A gateway that was asked to end a moment ago releases the lock when its drain begins.
    while rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() >= end {
            return Err(refused(
                path,
                "another gateway has it; several gateways share a Redis (`[store] url`), not a file",
            ));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(file)
}

/// Checks the file's first bytes before SQLite opens it, because a foreign file must not be
/// touched. Offsets: SQLite file format, section 1.3.
fn check_header(path: &Path) -> Result<(), StorageError> {
    let mut head = [0_u8; 100];
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_open(path, &error)),
    };
    let length = file.metadata().map_err(|cause| cannot_open(path, &cause))?;
    if length.len() == 0 {
        return Ok(());
    }
    let is_sqlite = file.read_exact(&mut head).is_ok() && head.starts_with(b"SQLite format 3\0");
    if !is_sqlite {
        return Err(corrupt(
            path,
            "is not an SQLite database, or its beginning is damaged; it was not changed; restore it from a backup, or name another file in `[store] path`",
        ));
    }
    let number = |at: usize| {
        let bytes = head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_be_bytes)
    };
    schema::check(path, number(68), number(60))
}

fn display_path(path: &Path) -> String {
    format!("the store `{}`", path.display())
}

fn refused(path: &Path, cause: impl Into<String>) -> StorageError {
    StorageError::Failed {
        name: display_path(path),
        cause: cause.into(),
    }
}

fn cannot_open(path: &Path, cause: &std::io::Error) -> StorageError {
    match cause.kind() {
        ErrorKind::NotFound => refused(path, "its folder does not exist; create it first"),
        ErrorKind::PermissionDenied => refused(
            path,
            "the user of Windlass may not read and write it, or its folder",
        ),
        _ => refused(path, format!("it could not be opened: {cause}")),
    }
}

fn corrupt(path: &Path, what: impl Into<String>) -> StorageError {
    StorageError::Corrupt {
        name: display_path(path),
        what: what.into(),
    }
}

/// The error of SQLite, with a cure if there is one.
fn failed(path: &Path, error: rusqlite::Error) -> StorageError {
    let unreachable = |cause: &str| StorageError::Unreachable {
        name: display_path(path),
        cause: cause.to_owned(),
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => corrupt(
            path,
            format!(
                "is damaged ({error}); it was not changed; restore it from a backup, or move it away to begin with an empty one"
            ),
        ),
        Some(ErrorCode::DiskFull) => unreachable("its disk is full"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            unreachable("another program has locked it")
        }
        Some(_) | None => match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => corrupt(
                path,
                format!("has data that no Windlass wrote ({error}); it was not changed"),
            ),
            other => refused(path, other.to_string()),
        },
    }
}

#[cfg(test)]
mod tests;

//! The tables, and the migration of older files.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{corrupt, failed};
use crate::shared_store::StorageError;

/// Marks the file as Windlass's: `WLDS` (SQLite's `application_id`).
const APPLICATION: u32 = 0x574c_4453;

/// The versions of the tables, each as a change of the one before. They never change: a new
/// version is a new entry, and a test migrates a file of every version.
pub(super) const VERSIONS: &[&str] = &[
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
];

fn newest() -> u32 {
    u32::try_from(VERSIONS.len()).unwrap_or(u32::MAX)
}

/// Checks that this program may open a file with these marks.
pub(super) fn check(path: &Path, application: u32, version: u32) -> Result<(), StorageError> {
    if application != APPLICATION && (application != 0 || version != 0) {
        return Err(corrupt(
            path,
            "is a database of another program; it was not changed; name another file in `[store] path`",
        ));
    }
    if version > newest() {
        return Err(corrupt(
            path,
            format!(
                "has tables of version {version}, and this Windlass supports versions up to {}; it was not changed; run the newer Windlass that wrote it, or restore an older backup",
                newest()
            ),
        ));
    }
    Ok(())
}

/// The plans of versions 1 and 2 whose quota has an `offset`.
fn with_offset(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let text = "SELECT name FROM plans WHERE json_extract(record, '$.quota.offset') > 0";
    let mut plans = connection.prepare(text)?;
    let names = plans.query_map([], |row| row.get(0))?;
    names.collect()
}

/// Checks that a file without marks has no tables: with tables it belongs to another program.
pub(super) fn check_owner(connection: &Connection, path: &Path) -> Result<(), StorageError> {
    let storage_error = |error| failed(path, error);
    let application: u32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(storage_error)?;
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: u32 = connection
        .query_row(tables, [], |row| row.get(0))
        .map_err(storage_error)?;
    if application == 0 && tables > 0 {
        return Err(corrupt(
            path,
            "is a database of another program; it was not changed; name another file in `[store] path`",
        ));
    }
    Ok(())
}

/// Creates the tables, or migrates older ones, in one transaction.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StorageError> {
    let storage_error = |error| failed(path, error);
    let mark = |connection: &Connection, name: &str| {
        connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0))
    };
    let application = mark(connection, "application_id").map_err(storage_error)?;
    let version = mark(connection, "user_version").map_err(storage_error)?;
    check(path, application, version)?;
    check_owner(connection, path)?;
    let mode = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
    mode.map_err(storage_error)?;
    if version == newest() {
        return Ok(());
    }
    if matches!(version, 1 | 2) {
        for plan in with_offset(connection).map_err(storage_error)? {
            crate::control::storage::warn_of_offset(&plan);
        }
    }
    let steps = VERSIONS.iter().skip(version as usize);
    let run = |connection: &mut Connection| -> rusqlite::Result<()> {
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        for step in steps {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", newest())?;
        transaction.commit()?;
        // Writes the marks into the file itself, where `check_header` reads them.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    };
    run(connection).map_err(storage_error)
}

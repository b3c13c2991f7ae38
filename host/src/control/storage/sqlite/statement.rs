//! Runs statements, each of which is prepared once for a connection.

use rusqlite::{Connection, OptionalExtension as _, Params, Row};

/// Runs a statement that writes. Returns the number of rows that it changed.
pub(super) fn execute(
    connection: &Connection,
    text: &str,
    values: impl Params,
) -> rusqlite::Result<usize> {
    connection.prepare_cached(text)?.execute(values)
}

/// The row of a query; None if there is none.
pub(super) fn row<T>(
    connection: &Connection,
    text: &str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    let mut statement = connection.prepare_cached(text)?;
    statement.query_row(values, read).optional()
}

/// All rows of a query.
pub(super) fn rows<T>(
    connection: &Connection,
    text: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(text)?;
    statement.query_map(values, read)?.collect()
}

//! Imports many keys from a file.
//!
//! All rows are checked before anything is written. An invalid row is a warning, and the others
//! are imported; or, if the caller wants that, none is. Keys are committed in chunks, since one
//! commit of a million would block every other writer. The lock that keeps plans unchanged is also
//! taken for each chunk anew, so a plan may be gone by then: that is a warning as well.

use serde::Serialize;
use utoipa::ToSchema;

use super::csv::{self, CsvRow, CsvWarning};
use super::secret::new_id;
use super::{ControlService, ServiceError, retry};
use crate::control::storage::Write;
use crate::control::storage::record::KeyRecord;

/// The most rows of one file.
pub(crate) const MAX_ROWS: usize = 1_000_000;

/// The most warnings that are reported; further ones are counted.
pub(crate) const MAX_WARNINGS: usize = 1000;

/// Keys of one commit.
const CHUNK_SIZE: usize = 1000;

/// The report of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Imported)]
pub(crate) struct ImportReport {
    /// The ids of the created keys, in the order of the rows.
    pub(crate) ids: Vec<String>,
    /// Rows that were left out: the first 1,000.
    pub(crate) warnings: Vec<CsvWarning>,
    /// How many rows were left out.
    #[schema(minimum = 0)]
    pub(crate) left_out: usize,
}

/// Why nothing, or only a part, was imported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// The file is in another format.
    #[error("line {}, column {}: {}", .0.line, .0.column, .0.message)]
    Unreadable(CsvWarning),
    /// Some rows are invalid, and the caller wants all or nothing.
    #[error("{} rows are invalid, and nothing was imported", .0.left_out)]
    Warnings(ImportReport),
    /// The service failed. The first `done` keys stay imported.
    #[error("{error}; {done} keys were imported before")]
    Service {
        error: ServiceError,
        /// How many keys were imported and still exist.
        done: usize,
    },
}

impl From<ServiceError> for ImportError {
    fn from(error: ServiceError) -> Self {
        Self::Service { error, done: 0 }
    }
}

impl ControlService {
    /// Imports keys from a file in Amazon's format. With `all_or_nothing` one invalid row refuses
    /// the whole file. Calls `progress` with the number of rows done and of all rows.
    ///
    /// # Errors
    ///
    /// The file is in another format, a row is invalid with `all_or_nothing`, or the storage is
    /// out of reach.
    pub(crate) fn import(
        &self,
        file: &[u8],
        all_or_nothing: bool,
        now_ms: u64,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<ImportReport, ImportError> {
        let (rows, mut wrong) =
            csv::read(file, now_ms, MAX_ROWS).map_err(ImportError::Unreadable)?;
        let rows = self.with_plans_that_exist(rows, &mut wrong)?;
        let total = rows.len();
        progress(0, total);
        let size = self.storage.max_writes().clamp(1, CHUNK_SIZE);
        let mut ids = Vec::with_capacity(total);
        if all_or_nothing {
            let rows = self.without_existing_keys(rows, &mut wrong)?;
            if !wrong.is_empty() {
                return Err(ImportError::Warnings(report(Vec::new(), wrong)));
            }
            self.import_all(&rows, size, now_ms, &mut ids, progress)?;
        } else {
            for rows in rows.chunks(size) {
                let made = self.import_chunk(rows.to_vec(), now_ms, &mut ids, &mut wrong);
                if let Err(error) = made {
                    self.apply_commit();
                    let done = ids.len();
                    return Err(ImportError::Service { error, done });
                }
                progress(ids.len(), total);
            }
        }
        self.apply_commit();
        Ok(report(ids, wrong))
    }

    /// Removes the rows whose plans do not exist, or exclude each other.
    fn with_plans_that_exist(
        &self,
        rows: Vec<CsvRow>,
        wrong: &mut Vec<CsvWarning>,
    ) -> Result<Vec<CsvRow>, ServiceError> {
        let mut sets = PlanSets::new(self);
        let mut good = Vec::with_capacity(rows.len());
        for row in rows {
            match sets.fault(&row)? {
                None => good.push(row),
                Some(warning) => wrong.push(warning),
            }
        }
        Ok(good)
    }

    /// Removes the rows whose text another key has.
    fn without_existing_keys(
        &self,
        rows: Vec<CsvRow>,
        wrong: &mut Vec<CsvWarning>,
    ) -> Result<Vec<CsvRow>, ServiceError> {
        let mut fresh = Vec::with_capacity(rows.len());
        for row in rows {
            let digest = row.secret.digest;
            let owner = match self.refuse_configured_digest(&digest) {
                Err(ServiceError::KeyExists(owner)) => Some(owner),
                Err(error) => return Err(error),
                Ok(()) => self
                    .storage
                    .key_by_digest(&digest)?
                    .map(|key| key.record.id),
            };
            match owner {
                None => fresh.push(row),
                Some(owner) => {
                    let why = format!("key `{owner}` has this value already; the row is left out");
                    wrong.push(CsvWarning::new(row.line, row.key_column, why));
                }
            }
        }
        Ok(fresh)
    }

    /// Imports one chunk. Rows are looked up one by one only if the storage refuses the chunk.
    fn import_chunk(
        &self,
        rows: Vec<CsvRow>,
        now_ms: u64,
        ids: &mut Vec<String>,
        wrong: &mut Vec<CsvWarning>,
    ) -> Result<(), ServiceError> {
        let _plans = self.plans.read();
        let mut rows = self.with_plans_that_exist(rows, wrong)?;
        let fixed = rows.iter();
        let fixed = fixed.filter(|row| self.refuse_configured_digest(&row.secret.digest).is_ok());
        if fixed.count() < rows.len() {
            rows = self.without_existing_keys(rows, wrong)?;
        }
        retry("key", "of the import", || {
            if rows.is_empty() {
                return Ok(Some(()));
            }
            match self.commit_rows(&rows, now_ms) {
                Ok((_, made)) => {
                    ids.extend(made);
                    Ok(Some(()))
                }
                Err(ServiceError::KeyExists(_) | ServiceError::TooManyConflicts(..)) => {
                    rows = self.without_existing_keys(std::mem::take(&mut rows), wrong)?;
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        })
    }

    /// Imports all rows: in one commit if the storage accepts that, else in chunks that are undone
    /// if one fails.
    fn import_all(
        &self,
        rows: &[CsvRow],
        chunk_size: usize,
        now_ms: u64,
        ids: &mut Vec<String>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(), ImportError> {
        let most = self.storage.max_writes();
        let chunk_size = if rows.len() <= most { most } else { chunk_size };
        let mut done: Vec<(u64, Vec<String>)> = Vec::new();
        for part in rows.chunks(chunk_size.max(1)) {
            match self.commit_chunk(part, now_ms) {
                Ok((revision, made)) => {
                    ids.extend(made.iter().cloned());
                    progress(ids.len(), rows.len());
                    done.push((revision, made));
                }
                Err(error) => {
                    let done = self.undo(&done);
                    self.apply_commit();
                    return Err(match error {
                        ImportError::Service { error, .. } => ImportError::Service { error, done },
                        other => other,
                    });
                }
            }
        }
        Ok(())
    }

    /// Commits these rows, if their plans still exist.
    fn commit_chunk(
        &self,
        rows: &[CsvRow],
        now_ms: u64,
    ) -> Result<(u64, Vec<String>), ImportError> {
        let _plans = self.plans.read();
        let mut sets = PlanSets::new(self);
        for row in rows {
            if let Some(warning) = sets.fault(row)? {
                return Err(ImportError::Warnings(report(Vec::new(), vec![warning])));
            }
        }
        Ok(self.commit_rows(rows, now_ms)?)
    }

    /// Deletes what was imported. Returns how many keys could not be deleted.
    fn undo(&self, done: &[(u64, Vec<String>)]) -> usize {
        let mut left = 0;
        for (revision, ids) in done {
            let delete = |id: &String| Write::DeleteKey {
                id: id.clone(),
                expect: *revision,
            };
            let writes: Vec<Write> = ids.iter().map(delete).collect();
            if let Err(error) = self.storage.commit(&writes) {
                tracing::error!(
                    "keys of a failed import could not be deleted again: {error}; delete them through the admin API"
                );
                left += ids.len();
            }
        }
        left
    }

    fn commit_rows(
        &self,
        rows: &[CsvRow],
        now_ms: u64,
    ) -> Result<(u64, Vec<String>), ServiceError> {
        let mut ids = Vec::with_capacity(rows.len());
        let mut writes = Vec::with_capacity(rows.len());
        for row in rows {
            let id = new_id()?;
            writes.push(Write::PutKey {
                record: record(id.clone(), row, now_ms),
                expect: 0,
            });
            ids.push(id);
        }
        Ok((self.storage.commit(&writes)?, ids))
    }
}

/// Checks sets of plans once: many rows share few sets.
struct PlanSets<'a> {
    service: &'a ControlService,
    checked: Vec<(Vec<String>, Option<String>)>,
}

impl<'a> PlanSets<'a> {
    fn new(service: &'a ControlService) -> Self {
        let checked = Vec::new();
        Self { service, checked }
    }

    /// Why a key cannot have the row's plans: one does not exist, or two are for one API.
    fn fault(&mut self, row: &CsvRow) -> Result<Option<CsvWarning>, ServiceError> {
        let found = self.checked.iter().find(|(plans, _)| *plans == row.plans);
        let message = match found {
            Some((_, message)) => message.clone(),
            None => {
                let message = match self.service.check_plans(&row.plans) {
                    Ok(()) => None,
                    Err(error @ (ServiceError::UnknownPlan(_) | ServiceError::Overlap { .. })) => {
                        Some(error.to_string())
                    }
                    Err(error) => return Err(error),
                };
                if self.checked.len() < CHUNK_SIZE {
                    self.checked.push((row.plans.clone(), message.clone()));
                }
                message
            }
        };
        Ok(message.map(|message| CsvWarning::new(row.line, row.plans_column, message)))
    }
}

/// An imported key belongs to a consumer with the key's name.
fn record(id: String, row: &CsvRow, now_ms: u64) -> KeyRecord {
    let description = Some(&row.description).filter(|text| !text.is_empty());
    let metadata = description.map(|text| ("description".to_owned(), text.clone()));
    KeyRecord {
        id,
        name: row.name.clone(),
        consumer: row.name.clone(),
        plans: row.plans.clone(),
        metadata: metadata.into_iter().collect(),
        enabled: row.enabled,
        created_ms: now_ms,
        updated_ms: now_ms,
        secrets: vec![row.secret.clone()],
        ..KeyRecord::default()
    }
}

fn report(ids: Vec<String>, mut warnings: Vec<CsvWarning>) -> ImportReport {
    warnings.sort_by_key(|warning| (warning.line, warning.column));
    let left_out = warnings.len();
    warnings.truncate(MAX_WARNINGS);
    ImportReport {
        ids,
        warnings,
        left_out,
    }
}

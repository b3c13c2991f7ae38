//! Exports all keys, a chunk at a time, without their texts or digests.

use super::{ControlService, KeyView, Page, ServiceError};
use crate::control::storage::KeyQuery;

/// Keys of one chunk.
const CHUNK_SIZE: usize = 250;

impl ControlService {
    /// The next keys of the storage that the query selects, in the order of their ids. A key that is created or changed between two chunks is shown as it is then.
    ///
    /// # Errors
    ///
    /// The storage is out of reach.
    pub(crate) fn export(&self, mut query: KeyQuery) -> Result<Page<KeyView>, ServiceError> {
        query.limit = CHUNK_SIZE;
        let chunk = self.storage.keys(&query)?;
        let last = chunk.last().map(|key| key.record.id.clone());
        let next = last.filter(|_| chunk.len() == CHUNK_SIZE);
        let items = chunk.into_iter().map(|key| self.view_stored(key)).collect();
        Ok(Page { items, next })
    }
}

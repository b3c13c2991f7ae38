//! Exports all keys, a chunk at a time, without their texts or digests.

use super::{ControlService, KeyFilter, KeyView, Page, ServiceError};
use crate::control::storage::KeyQuery;

/// Keys of one chunk.
const CHUNK_SIZE: usize = 250;

impl ControlService {
    /// The keys of the storage that the filter selects, in the order of their ids, after this id.
    /// A key that is created or changed between two chunks is shown as it is then.
    ///
    /// # Errors
    ///
    /// The storage is out of reach.
    pub(crate) fn export(
        &self,
        filter: &KeyFilter,
        after: Option<String>,
    ) -> Result<Page<KeyView>, ServiceError> {
        let chunk = self.storage.keys(&KeyQuery {
            after,
            limit: CHUNK_SIZE,
            consumer: filter.consumer.clone(),
            plan: filter.plan.clone(),
            prefix: filter.prefix.clone(),
            begins_with: filter.begins_with.clone(),
        })?;
        let last = chunk.last().map(|key| key.record.id.clone());
        let next = last.filter(|_| chunk.len() == CHUNK_SIZE);
        let items = chunk.into_iter().map(|key| self.view_stored(key)).collect();
        Ok(Page { items, next })
    }
}

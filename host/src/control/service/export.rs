//! All keys, a piece at a time, without their texts or digests.

use super::super::storage::KeyQuery;
use super::{ControlService, KeyFilter, KeyView, Page, ServiceError};

/// Keys in one piece.
const CHUNK_SIZE: usize = 250;

impl ControlService {
    /// Keys of the store that the filter holds, in the order of their ids, from after this id on.
    /// A key that is made or changed between two pieces is shown as it is then.
    ///
    /// # Errors
    /// The store is out of reach.
    pub(crate) fn export(
        &self,
        filter: &KeyFilter,
        after: Option<String>,
    ) -> Result<Page<KeyView>, ServiceError> {
        let piece = self.storage.keys(&KeyQuery {
            after,
            limit: CHUNK_SIZE,
            consumer: filter.consumer.clone(),
            plan: filter.plan.clone(),
            prefix: filter.prefix.clone(),
            begins_with: filter.begins_with.clone(),
        })?;
        let last = piece.last().map(|key| key.record.id.clone());
        let next = last.filter(|_| piece.len() == CHUNK_SIZE);
        let items = piece.into_iter().map(|key| self.view_stored(key)).collect();
        Ok(Page { items, next })
    }
}

//! All keys, a piece at a time, without their texts or digests.

use super::super::ledger::KeyQuery;
use super::{KeyFilter, KeyView, Page, Registrar, RegistrarError};

/// Keys in one piece.
const PIECE: usize = 250;

impl Registrar {
    /// Keys of the store that the filter holds, in the order of their ids, from after this id on.
    /// A key that is made or changed between two pieces is shown as it is then.
    ///
    /// # Errors
    /// The store is out of reach.
    pub(crate) fn export(
        &self,
        filter: &KeyFilter,
        after: Option<String>,
    ) -> Result<Page<KeyView>, RegistrarError> {
        let piece = self.ledger.keys(&KeyQuery {
            after,
            limit: PIECE,
            consumer: filter.consumer.clone(),
            plan: filter.plan.clone(),
            prefix: filter.prefix.clone(),
            begins_with: filter.begins_with.clone(),
        })?;
        let last = piece.last().map(|key| key.record.id.clone());
        let next = last.filter(|_| piece.len() == PIECE);
        let items = piece.into_iter().map(|key| self.view_stored(key)).collect();
        Ok(Page { items, next })
    }
}

//! All keys, one after another, without their texts or digests.

use super::super::ledger::KeyQuery;
use super::{KeyFilter, KeyView, Registrar, RegistrarError};

/// Keys read at once.
const PIECE: usize = 1000;

impl Registrar {
    /// Show every key of the store that the filter holds, in the order of their ids, until
    /// `visit` says that it has enough.
    ///
    /// # Errors
    /// The store is out of reach; what was shown before is right.
    pub fn export(
        &self,
        filter: &KeyFilter,
        visit: &mut dyn FnMut(KeyView) -> bool,
    ) -> Result<(), RegistrarError> {
        let mut query = KeyQuery {
            after: None,
            limit: PIECE,
            consumer: filter.consumer.clone(),
            plan: filter.plan.clone(),
            prefix: filter.prefix.clone(),
        };
        loop {
            let piece = self.ledger.keys(&query)?;
            query.after = piece.last().map(|key| key.record.id.clone());
            let last = piece.len() < PIECE;
            for key in piece {
                if !visit(self.view_stored(key)) {
                    return Ok(());
                }
            }
            if last {
                return Ok(());
            }
        }
    }
}

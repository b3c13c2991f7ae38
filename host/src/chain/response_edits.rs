//! Stop 8 without a call: edits of the response that filters announced before there was one.

use smallvec::SmallVec;

use super::{Passage, decide, put_error};
use crate::error::RequestError;
use crate::exchange::EditsTooLarge;
use crate::http::body::Body;
use crate::model::filter::OnError;
use crate::wasm::{CallFailure, WorkerFilter};

impl Passage {
    /// Make the edits of a chain that has no response phase.
    pub(super) fn apply_all_edits(&self, entered: SmallVec<[u16; 8]>, body: Body) -> Body {
        let announced = self
            .exchange
            .with(|exchange| !exchange.response_edits.edits.is_empty());
        if !announced && !self.chain.has_response_edits {
            return body;
        }
        let mut body = body;
        for position in entered.into_iter().rev() {
            if let Some(worker_filter) = self.worker_filter(position)
                && let Err(error) = self.apply_edits(position, worker_filter)
            {
                body = self
                    .exchange
                    .with(|exchange| put_error(exchange, &error, self.words()));
            }
        }
        body
    }

    /// Make the edits that a filter announced: those of every response, then those of this one.
    ///
    /// # Errors
    ///
    /// The head would be too large, which is a failure of the filter.
    pub(super) fn apply_edits(
        &self,
        position: u16,
        worker_filter: &WorkerFilter,
    ) -> Result<(), RequestError> {
        let filter = worker_filter.filter();
        let of_all = &filter.facts().advice.response_edits;
        let edited = self.exchange.with(|exchange| {
            let own = exchange.response_edits.take(position);
            let Some(response) = exchange.response.as_mut() else {
                return Ok(());
            };
            // The filter is skipped, so its edits are undone. That is rare, so it may cost a copy.
            let before = (filter.on_error() == OnError::Skip).then(|| response.headers.clone());
            let mut edits = of_all.iter().cloned().chain(own);
            let made = edits.try_for_each(|edit| edit.apply(&mut response.headers));
            if let (Err(_), Some(before)) = (&made, before) {
                response.headers = before;
            }
            made
        });
        let Err(EditsTooLarge) = edited else {
            return Ok(());
        };
        let failure = CallFailure::NoRoom(EditsTooLarge.to_string());
        self.exchange.with(|exchange| {
            filter.report_failure(worker_filter.worker(), Some(&exchange.id), &failure);
        });
        decide(filter, failure)
    }
}

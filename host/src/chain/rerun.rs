//! Request phases that may have to wait: for a share of a budget that several gateways use together,
//! for a newer key set, or for the response of another server.
//!
//! The request waits, the worker serves others, and the phase runs again when the answer is there.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Passage;
use crate::wasm::{CallContext, CallFailure, DecisionSignal, Filter, HeadVerdict};

/// How often a phase runs again, if another share is missing each time.
const MAX_RERUNS: u32 = 4;

/// The longest wait for newer keys. A fetch ends before; without its result the token is refused.
const KEY_WAIT: Duration = Duration::from_mins(2);

impl Passage {
    /// How long a request may wait for a filter's request phase; none if the phase never waits.
    pub(super) fn max_wait(&self, filter: &Filter) -> Option<Duration> {
        let services = &self.chain.services;
        let keys = filter.verifies_tokens().then_some(KEY_WAIT);
        let waits = [
            services.limits.max_wait(),
            keys,
            filter.callout_wait(services),
        ];
        waits.into_iter().flatten().max()
    }

    async fn run_phase(&self, caller: CallContext<'_>) -> Result<HeadVerdict, CallFailure> {
        match self.run_request(caller) {
            Ok(verdict) => verdict,
            Err(not_now) => Box::pin(self.run_request_when_ready(caller, not_now)).await,
        }
    }

    /// Run a filter's request phase, after a wait for its share if that is needed.
    pub(super) async fn run_when_decidable(
        &self,
        caller: CallContext<'_>,
        most: Duration,
    ) -> Result<HeadVerdict, CallFailure> {
        let verdict = self.rerun_until_decided(caller, most).await;
        self.exchange.with(|exchange| exchange.callouts = None);
        verdict
    }

    async fn rerun_until_decided(
        &self,
        caller: CallContext<'_>,
        most: Duration,
    ) -> Result<HeadVerdict, CallFailure> {
        let filter = caller.worker_filter.filter();
        let services = &self.chain.services;
        let mut wait = PatientWait {
            longest: most,
            end: None,
        };
        let expected = || {
            self.exchange
                .with(|exchange| filter.expected_share(services, exchange))
        };
        wait.wait_for_all(expected).await;
        let patient = CallContext {
            may_rerun: true,
            ..caller
        };
        let mut tries = 0;
        while tries < MAX_RERUNS && !wait.is_over() {
            tries += 1;
            match self.run_phase(patient).await {
                Err(CallFailure::Share(share)) => {
                    let wanted = || {
                        self.exchange
                            .with(|exchange| share.awaited_answer(services, exchange))
                    };
                    wait.wait_for_all(wanted).await;
                }
                Err(CallFailure::NewerKeys(keys)) => {
                    // Once: if the key is still unknown after that, the guest learns it at once.
                    let mut keys = Some(keys);
                    wait.wait_for_all(|| keys.take()).await;
                }
                Err(CallFailure::Callout(answer)) => {
                    // The phase makes a bounded number of calls, with one wait for each.
                    tries -= 1;
                    let mut answer = Some(answer);
                    wait.wait_for_all(|| answer.take()).await;
                }
                verdict => return verdict,
            }
        }
        self.run_phase(caller).await
    }
}

/// The wait of one request, with one limit for all its reasons.
struct PatientWait {
    longest: Duration,
    /// Set at the first wait.
    end: Option<Instant>,
}

impl PatientWait {
    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Wait for answers until none is missing, or until the limit.
    async fn wait_for_all(&mut self, mut next: impl FnMut() -> Option<DecisionSignal>) {
        while !self.is_over()
            && let Some(answer) = next()
        {
            let end = *self
                .end
                .get_or_insert_with(|| Instant::now() + self.longest);
            // Without an answer the policy decides; a dropped answer counts as none.
            if timeout_at(end, answer).await.is_err() {
                return;
            }
        }
    }
}

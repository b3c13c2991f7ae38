//! Counts of tokens that a verifier, or an authorization server, had accepted, and a filter then
//! rejected.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::word::Word as _;
use crate::verifier::TokenError;
use crate::verifier::proof::{NO_ROOM, ProofError};

/// Defects of a token that only the filter can find.
const FAULTS: [TokenError; 3] = [
    TokenError::RequiredClaim,
    TokenError::NotBound,
    TokenError::Unproven,
];

/// Reasons that are no defect of the token or of its proof.
const OTHERS: [&str; 2] = ["insufficient_scope", NO_ROOM];

/// The counts, by the reason in the access log. A request is counted at its end and only if it was
/// refused, so that the others share no cache line.
#[derive(Debug, Default)]
pub(crate) struct FilterRejects([AtomicU64; FAULTS.len() + ProofError::WORDS.len() + OTHERS.len()]);

impl FilterRejects {
    fn reasons() -> impl Iterator<Item = &'static str> {
        let faults = FAULTS.into_iter().map(TokenError::word);
        faults.chain(ProofError::words()).chain(OTHERS)
    }

    pub(crate) fn count(&self, why: &str) {
        let mut counts = Self::reasons().zip(&self.0);
        if let Some((_, count)) = counts.find(|(word, _)| *word == why) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts so far, by reason.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let values = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        Self::reasons().zip(values)
    }
}

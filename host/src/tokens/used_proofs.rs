//! The proofs (DPoP, RFC 9449) that were used and could still be shown again.
//!
//! Promises: a proof counts once, whichever worker sees it, until it is too old to be accepted at all; memory is bounded, and
//! when it is full a proof is turned away rather than an earlier one forgotten. Only proofs whose signature and token hold
//! come here, so a stranger cannot fill it.
//!
//! Deliberately not here: what other gateways saw. A proof names the URL, so it can be shown once to each gateway that serves
//! this URL, within its `max_age`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ahash::RandomState;
use parking_lot::Mutex;

/// How many locks share the work.
const SHARDS: usize = 16;

/// The most proofs of one shard: 131,072 in all, some 5 MiB.
const MAX_PROOFS: usize = 8192;

/// The least time between two looks for what can be forgotten in a full shard. Seconds.
const BETWEEN_SWEEPS: f64 = 1.0;

/// How a proof was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofUse {
    /// For the first time.
    First,
    /// It was used before.
    Again,
    /// There is no room to remember it: try again later.
    NoRoom,
}

/// The proofs that were used.
#[derive(Debug)]
pub struct UsedProofs {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    /// When each is too old to be accepted. Seconds since 1970.
    ends: HashMap<[u8; 16], f64, RandomState>,
    swept: f64,
}

impl Default for UsedProofs {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl UsedProofs {
    /// Use a proof at this time. `ends`: when it is too old to be accepted (both in seconds since 1970).
    pub fn use_once(&self, id: [u8; 16], ends: f64, now: f64) -> ProofUse {
        // The id is a digest: each of its bits is as good as another.
        let shard = usize::from(id.last().copied().unwrap_or(0)) % SHARDS;
        match self.shards.get(shard) {
            Some(shard) => shard.lock().use_once(id, ends, now),
            None => ProofUse::NoRoom,
        }
    }
}

impl Shard {
    fn use_once(&mut self, id: [u8; 16], ends: f64, now: f64) -> ProofUse {
        if self.ends.len() >= MAX_PROOFS && (now - self.swept).abs() >= BETWEEN_SWEEPS {
            self.ends.retain(|_, ends| *ends > now);
            self.swept = now;
        }
        let is_full = self.ends.len() >= MAX_PROOFS;
        match self.ends.entry(id) {
            Entry::Occupied(_) => ProofUse::Again,
            Entry::Vacant(_) if is_full => ProofUse::NoRoom,
            Entry::Vacant(place) => {
                place.insert(ends);
                ProofUse::First
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> [u8; 16] {
        // All in one shard.
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        id
    }

    #[test]
    fn a_proof_counts_once() {
        let used = UsedProofs::default();
        assert_eq!(used.use_once(id(1), 60.0, 0.0), ProofUse::First);
        assert_eq!(used.use_once(id(2), 60.0, 0.0), ProofUse::First);
        assert_eq!(used.use_once(id(1), 60.0, 59.0), ProofUse::Again);
    }

    #[test]
    fn when_it_is_full_no_proof_is_forgotten_before_its_end() {
        let used = UsedProofs::default();
        for number in 0..MAX_PROOFS {
            let ends = if number == 0 { 30.0 } else { 60.0 };
            assert_eq!(used.use_once(id(number), ends, 0.0), ProofUse::First);
        }
        assert_eq!(used.use_once(id(MAX_PROOFS), 60.0, 10.0), ProofUse::NoRoom);
        assert_eq!(used.use_once(id(1), 60.0, 10.0), ProofUse::Again);
        assert_eq!(used.use_once(id(MAX_PROOFS), 90.0, 30.0), ProofUse::First);
        assert_eq!(used.use_once(id(1), 60.0, 30.0), ProofUse::Again);
    }
}

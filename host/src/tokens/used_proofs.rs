//! The proofs (DPoP, RFC 9449) that were used and could still be replayed.
//!
//! It promises that a proof counts once, whichever worker sees it, until it is too old to be
//! accepted at all; and that memory is bounded: when it is full, a new proof is rejected rather
//! than an earlier one forgotten. Only proofs with a valid signature and token come here, so a
//! stranger cannot fill it. One client cannot fill it either: a client may have at most as many
//! proofs here as there is room left, so that one client has half of the room at most, two have a
//! third each, and a new client finds some.
//!
//! It deliberately does not know what other gateways saw. A proof names the URL, so it can be used
//! once at each gateway that serves this URL, within its `max_age`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use ahash::RandomState;
use parking_lot::Mutex;

/// How many locks share the work.
const SHARDS: usize = 16;

/// Shortest time between two sweeps of a full shard. Seconds.
const BETWEEN_SWEEPS: f64 = 1.0;

/// A shard with fewer proofs is not swept.
const SWEEP_MINIMUM: usize = 256;

/// The result of using a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProofUse {
    /// It is used for the first time.
    First,
    /// It was used before.
    Again,
    /// There is no room for it: try again later.
    NoRoom,
}

/// The proofs that were used.
#[derive(Debug)]
pub(crate) struct UsedProofs {
    shards: [Mutex<ProofShard>; SHARDS],
    /// Hashes clients with a secret seed, so that nobody outside can choose collisions.
    clients: RandomState,
    /// The limit of one shard.
    max_proofs: usize,
}

#[derive(Debug, Default)]
struct ProofShard {
    proofs: HashMap<[u8; 16], Proof, RandomState>,
    /// The number of proofs of each client. Counted only when half of the room is taken: before
    /// that, no client can exceed its share.
    shares: Option<HashMap<u32, usize, RandomState>>,
    /// At this number of proofs the shard is swept.
    sweep_threshold: usize,
    swept: f64,
}

#[derive(Debug)]
struct Proof {
    /// When it is too old to be accepted. Whole seconds since 1970.
    ends: u32,
    client: u32,
}

/// Without any room, for configurations without a verifier.
impl Default for UsedProofs {
    fn default() -> Self {
        Self::new(0)
    }
}

impl UsedProofs {
    /// No proofs yet, and room for this many.
    #[must_use]
    pub(crate) fn new(most: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            clients: RandomState::new(),
            max_proofs: most.div_ceil(SHARDS),
        }
    }

    /// Uses a proof at this time. `thumbprint` is that of the client's key; `ends` is when the
    /// proof becomes too old (both times in seconds since 1970).
    pub(crate) fn use_once(&self, id: [u8; 16], thumbprint: &str, ends: f64, now: f64) -> ProofUse {
        // The id is a digest, so any of its bits serve.
        let shard = usize::from(id.last().copied().unwrap_or(0)) % SHARDS;
        let client = self.clients.hash_one(thumbprint) & u64::from(u32::MAX);
        let proof = Proof {
            ends: whole(ends),
            // Two clients with the same hash share one limit.
            client: u32::try_from(client).unwrap_or_default(),
        };
        match self.shards.get(shard) {
            Some(shard) => shard.lock().use_once(id, proof, now, self.max_proofs),
            None => ProofUse::NoRoom,
        }
    }
}

impl ProofShard {
    fn use_once(&mut self, id: [u8; 16], proof: Proof, now: f64, most: usize) -> ProofUse {
        if self.proofs.len() >= self.sweep_threshold.max(SWEEP_MINIMUM) {
            self.delete_expired(now);
        }
        let mut has_room = self.has_room(proof.client, most);
        if !has_room && (now - self.swept).abs() >= BETWEEN_SWEEPS {
            self.delete_expired(now);
            has_room = self.has_room(proof.client, most);
        }
        match self.proofs.entry(id) {
            Entry::Occupied(_) => ProofUse::Again,
            Entry::Vacant(_) if !has_room => ProofUse::NoRoom,
            Entry::Vacant(entry) => {
                if let Some(shares) = &mut self.shares {
                    *shares.entry(proof.client).or_default() += 1;
                }
                entry.insert(proof);
                ProofUse::First
            }
        }
    }

    fn has_room(&mut self, client: u32, most: usize) -> bool {
        let taken = self.proofs.len();
        let free = most.saturating_sub(taken);
        if taken < free {
            self.shares = None;
            return true;
        }
        let shares = self.shares.get_or_insert_with(|| {
            let mut shares = HashMap::default();
            for proof in self.proofs.values() {
                *shares.entry(proof.client).or_default() += 1;
            }
            shares
        });
        shares.get(&client).copied().unwrap_or(0) < free
    }

    /// Drops proofs that are too old. The next sweep is at twice the number, so that the cost per
    /// proof does not grow with it.
    fn delete_expired(&mut self, now: f64) {
        self.proofs.retain(|_, proof| f64::from(proof.ends) > now);
        self.shares = None;
        self.swept = now;
        self.sweep_threshold = self.proofs.len() * 2;
        if self.proofs.capacity() > self.sweep_threshold.max(SWEEP_MINIMUM) * 4 {
            self.proofs
                .shrink_to(self.sweep_threshold.max(SWEEP_MINIMUM));
        }
    }
}

/// The next whole second.
fn whole(seconds: f64) -> u32 {
    let whole = Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(Duration::MAX);
    u32::try_from(whole.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit of one shard.
    const MOST: usize = 8192;

    fn id(number: usize) -> [u8; 16] {
        // All in one shard.
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        id
    }

    fn used() -> UsedProofs {
        UsedProofs::new(MOST * SHARDS)
    }

    #[test]
    fn a_proof_counts_once() {
        let used = used();
        assert_eq!(used.use_once(id(1), "a", 60.0, 0.0), ProofUse::First);
        assert_eq!(used.use_once(id(2), "a", 60.0, 0.0), ProofUse::First);
        assert_eq!(used.use_once(id(1), "a", 60.0, 59.0), ProofUse::Again);
    }

    #[test]
    fn a_proof_is_remembered_until_its_very_end() {
        let used = used();
        for number in 0..SWEEP_MINIMUM {
            used.use_once(id(number), "a", 59.2, 0.0);
        }
        // Triggers a sweep.
        used.use_once(id(SWEEP_MINIMUM), "a", 90.0, 59.1);
        assert_eq!(used.use_once(id(1), "a", 59.2, 59.1), ProofUse::Again);
    }

    #[test]
    fn a_full_table_forgets_no_proof_before_its_end() {
        let used = used();
        let client = |number: usize| format!("client {number}");
        for number in 0..MOST {
            let ends = if number == 0 { 30.0 } else { 60.0 };
            let met = used.use_once(id(number), &client(number), ends, 0.0);
            assert_eq!(met, ProofUse::First);
        }
        let more = |ends, now| used.use_once(id(MOST), "another", ends, now);
        let again = |now| used.use_once(id(1), &client(1), 60.0, now);
        assert_eq!(more(60.0, 10.0), ProofUse::NoRoom);
        assert_eq!(again(10.0), ProofUse::Again);
        assert_eq!(more(90.0, 30.0), ProofUse::First);
        assert_eq!(again(30.0), ProofUse::Again);
    }

    #[test]
    fn a_client_cannot_take_the_room_of_the_others() {
        let used = used();
        let mut number = 0;
        let mut next = |client: &str, now: f64| {
            number += 1;
            used.use_once(id(number), client, now + 60.0, now)
        };
        let greedy = (0..2 * MOST).filter(|_| next("greedy", 0.0) == ProofUse::First);
        assert_eq!(greedy.count(), MOST / 2);
        for client in ["a", "b", "a", "c"] {
            assert_eq!(next(client, 0.5), ProofUse::First, "{client}");
        }
        assert_eq!(next("greedy", 0.5), ProofUse::NoRoom);
        let second = (0..2 * MOST).filter(|_| next("second", 0.5) == ProofUse::First);
        assert!(second.count() <= MOST / 4);
        assert_eq!(next("a", 0.5), ProofUse::First);
        // The first ones have expired.
        assert_eq!(next("greedy", 60.1), ProofUse::First);
    }

    #[test]
    fn expired_proofs_take_no_room_and_no_memory() {
        let used = used();
        for cycle in 0..100_u32 {
            let now = f64::from(cycle) * 100.0;
            for number in 0..300 {
                let number = usize::try_from(cycle).unwrap() * 300 + number;
                let met = used.use_once(id(number), "a", now + 90.0, now);
                assert_eq!(met, ProofUse::First);
            }
        }
        let shard = used.shards[0].lock();
        assert!(shard.proofs.len() <= 2 * 300, "{}", shard.proofs.len());
    }
}

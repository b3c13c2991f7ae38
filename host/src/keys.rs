//! API keys: found by what the client presented, known only by digest.
//!
//! Promises: the text of a key is neither kept nor printable; a look-up takes no lock, waits for
//! nothing, counts nothing that workers share and copies no text; digests are compared in constant
//! time.
//!
//! Two indexes stand behind a look-up ([`Keys`]): the keys of the configuration, and those of the
//! [ledger](crate::store::ledger), which the [keeper](crate::store::keeper) holds fresh. Deliberately absent:
//! changing keys; that is the ledger's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use smallvec::SmallVec;

mod configured;
mod digest;
mod index;
mod issue;
mod masked;
mod rejects;

pub(crate) use configured::{ConfiguredKey, DuplicateKey, index_configured};
pub(crate) use digest::DigestError;
pub use digest::KeyDigest;
pub(crate) use index::KeyIndex;
#[cfg(test)]
pub(crate) use issue::has_valid_checksum;
pub(crate) use issue::{PREFIX, RandomnessError, generate};
pub(crate) use masked::{SHORTEST_KEY, masked};
pub(crate) use rejects::RejectCounters;

/// The longest value that is looked up. Bytes; what is longer is unknown without being hashed.
pub(crate) const MAX_PRESENTED: usize = 512;

/// The end of what never ends. Milliseconds since 1970.
const NEVER: u64 = u64::MAX;

/// What a verdict needs to know of a key that is presented as one of its secrets. A million of these
/// are to fit in memory, and one is to be read in one go: two cache lines, and what many keys have in
/// common is kept once.
#[repr(align(64))]
pub struct ApiKey {
    digest: KeyDigest,
    /// The earlier of the key's end and the secret's.
    expires_ms: u64,
    profile: Arc<Profile>,
    /// Seconds since 1970; 0 where it never was.
    last_used: AtomicU32,
    /// What of it the ledger knows.
    last_reported: AtomicU32,
    /// The id, then the consumer.
    text: SmallVec<[u8; 40]>,
    /// Where the id ends.
    id_length: u8,
    enabled: bool,
}

/// One text that a key is presented as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeySecret {
    pub(crate) digest: KeyDigest,
    /// From when on it is refused. Milliseconds since 1970; `u64::MAX` for never.
    pub(crate) expires_ms: u64,
}

/// What many keys have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Profile {
    /// The names of its usage plans: one at most for each API.
    pub(crate) plans: Box<[Arc<str>]>,
    /// What the operator attached: names and values.
    pub(crate) attributes: Box<[(Box<str>, Box<str>)]>,
}

/// A key, for an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    /// Its public name, fit for logs. Bytes: at most 255.
    pub(crate) id: String,
    /// Who it was issued to.
    pub(crate) consumer: String,
    /// What it is presented as, the newest first.
    pub(crate) secrets: Vec<KeySecret>,
    /// Its plans and attributes.
    pub(crate) profile: Profile,
    /// Whether the operator lets it be used.
    pub(crate) enabled: bool,
    /// The moment from which it is refused. Milliseconds since 1970.
    pub(crate) expires_ms: Option<u64>,
    /// When it was last used. Milliseconds since 1970.
    pub(crate) last_used_ms: Option<u64>,
}

impl ApiKey {
    /// One for each secret; none where the id is too long.
    fn of<'a>(
        entry: &'a KeyEntry,
        profile: &'a Arc<Profile>,
    ) -> impl Iterator<Item = Self> + use<'a> {
        entry.secrets.iter().filter_map(|secret| {
            let mut text = SmallVec::with_capacity(entry.id.len() + entry.consumer.len());
            text.extend_from_slice(entry.id.as_bytes());
            text.extend_from_slice(entry.consumer.as_bytes());
            let last_used = entry.last_used_ms.unwrap_or(0) / 1000;
            let last_used = u32::try_from(last_used).unwrap_or(u32::MAX);
            Some(Self {
                digest: secret.digest,
                expires_ms: entry.expires_ms.unwrap_or(NEVER).min(secret.expires_ms),
                profile: Arc::clone(profile),
                last_used: AtomicU32::new(last_used),
                last_reported: AtomicU32::new(last_used),
                text,
                id_length: u8::try_from(entry.id.len()).ok()?,
                enabled: entry.enabled,
            })
        })
    }

    /// What it was made of.
    fn entry(&self) -> KeyEntry {
        let ends = (self.expires_ms != NEVER).then_some(self.expires_ms);
        let used = self.last_used.load(Ordering::Relaxed);
        KeyEntry {
            id: self.id().to_owned(),
            consumer: self.consumer().to_owned(),
            secrets: vec![KeySecret {
                digest: self.digest,
                expires_ms: NEVER,
            }],
            profile: Profile::clone(&self.profile),
            enabled: self.enabled,
            expires_ms: ends,
            last_used_ms: (used != 0).then(|| u64::from(used) * 1000),
        }
    }

    fn texts(&self) -> (&str, &str) {
        let (id, consumer) = self
            .text
            .split_at_checked(usize::from(self.id_length))
            .unwrap_or_default();
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        (text(id), text(consumer))
    }

    /// Its public name, fit for logs.
    #[must_use]
    pub fn id(&self) -> &str {
        self.texts().0
    }

    /// Who it was issued to.
    #[must_use]
    pub fn consumer(&self) -> &str {
        self.texts().1
    }

    /// The names of its usage plans: one at most for each API.
    #[must_use]
    pub fn plans(&self) -> &[Arc<str>] {
        &self.profile.plans
    }

    /// What the operator attached to it.
    #[must_use]
    pub(crate) fn attributes(&self) -> &[(Box<str>, Box<str>)] {
        &self.profile.attributes
    }

    /// Whether it is accepted at this moment. Disabled is told before expired; the end of a rotation
    /// is an end like another.
    fn admit(&self, now_ms: u64) -> Result<(), KeyReject> {
        if !self.enabled {
            Err(KeyReject::Disabled)
        } else if now_ms >= self.expires_ms {
            Err(KeyReject::Expired)
        } else {
            Ok(())
        }
    }

    /// Note that it is used now. Written once a second at most, so that workers seldom meet.
    fn touch(&self, now_ms: u64) {
        let now = u32::try_from(now_ms / 1000).unwrap_or(u32::MAX);
        if self.last_used.load(Ordering::Relaxed) < now {
            self.last_used.store(now, Ordering::Relaxed);
        }
    }
}

impl Clone for ApiKey {
    fn clone(&self) -> Self {
        let copy = |seconds: &AtomicU32| AtomicU32::new(seconds.load(Ordering::Relaxed));
        Self {
            digest: self.digest,
            expires_ms: self.expires_ms,
            profile: Arc::clone(&self.profile),
            last_used: copy(&self.last_used),
            last_reported: copy(&self.last_reported),
            text: self.text.clone(),
            id_length: self.id_length,
            enabled: self.enabled,
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, consumer) = self.texts();
        f.debug_struct("ApiKey")
            .field("id", &id)
            .field("consumer", &consumer)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

/// Why a presented key is not accepted. For logs: to the client they are all one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyReject {
    #[error("unknown key")]
    Unknown,
    /// Switched off by the operator.
    #[error("key is disabled")]
    Disabled,
    /// Past its end.
    #[error("key has expired")]
    Expired,
    /// The gateway lost touch with where keys are changed: whatever it knows may be revoked.
    #[error("keys cannot be told: their store is out of reach")]
    Unavailable,
}

/// A presented key that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupRejection {
    pub(crate) reason: KeyReject,
    /// The id of the key that was presented, where there is such a key.
    pub(crate) key: Option<Box<str>>,
}

impl From<KeyReject> for LookupRejection {
    fn from(why: KeyReject) -> Self {
        Self {
            reason: why,
            key: None,
        }
    }
}

/// A moment, for look-ups. Milliseconds; both clocks may be as coarse as the kernel's tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LookupTime {
    /// Since 1970-01-01T00:00:00Z.
    pub wall_ms: u64,
    /// On the clock of [`Freshness`].
    pub monotonic_ms: u64,
}

/// Until when the keys of the ledger may be believed. Written by the keeper, read at each look-up:
/// also where the keeper itself hangs, keys are refused in time.
#[derive(Debug)]
pub(crate) struct Freshness {
    until_ms: AtomicU64,
}

impl Freshness {
    /// Not at all, until it is [set](Self::set): nothing was read yet.
    #[must_use]
    pub(crate) fn none() -> Self {
        Self {
            until_ms: AtomicU64::new(0),
        }
    }

    /// Until this moment of the monotonic clock. Milliseconds.
    pub(crate) fn set(&self, until_ms: u64) {
        self.until_ms.store(until_ms, Ordering::Relaxed);
    }

    /// Whether they may be believed at this moment.
    #[must_use]
    pub(crate) fn is_fresh(&self, monotonic_ms: u64) -> bool {
        monotonic_ms < self.until_ms.load(Ordering::Relaxed)
    }
}

/// Where presented keys are looked up.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Those of the configuration.
    pub configured: Arc<KeyIndex>,
    /// Those of the ledger, where there is one.
    pub live: Option<LiveKeys>,
}

/// The keys of the ledger.
#[derive(Debug, Clone)]
pub struct LiveKeys {
    pub(crate) index: Arc<KeyIndex>,
    /// Until when they may be believed. None: for ever, the ledger is this gateway's own.
    pub(crate) freshness: Option<Arc<Freshness>>,
}

impl Keys {
    /// Hand the key that the client presented to `take`, if it is accepted at this moment. What is
    /// empty or longer than [`MAX_PRESENTED`] is unknown without being hashed.
    ///
    /// # Errors
    /// Why it is not accepted, and which key it is.
    pub fn find<T>(
        &self,
        presented: &[u8],
        now: LookupTime,
        take: impl FnOnce(&ApiKey) -> T,
    ) -> Result<T, LookupRejection> {
        if presented.is_empty() || presented.len() > MAX_PRESENTED {
            return Err(KeyReject::Unknown.into());
        }
        let digest = KeyDigest::of(presented);
        let mut take = Some(take);
        let mut accept = |key: &ApiKey| {
            key.touch(now.wall_ms);
            take.take().map(|take| take(key))
        };
        let found = match self.configured.find(&digest, now.wall_ms, &mut accept) {
            Err(unknown) if unknown.reason == KeyReject::Unknown => match &self.live {
                None => Err(unknown),
                Some(live) if live.is_stale(now.monotonic_ms) => Err(KeyReject::Unavailable.into()),
                Some(live) => live.index.find(&digest, now.wall_ms, &mut accept),
            },
            found => found,
        };
        found.and_then(|taken| taken.ok_or_else(|| KeyReject::Unknown.into()))
    }
}

impl LiveKeys {
    fn is_stale(&self, monotonic_ms: u64) -> bool {
        let freshness = self.freshness.as_ref();
        freshness.is_some_and(|freshness| !freshness.is_fresh(monotonic_ms))
    }
}

#[cfg(test)]
mod tests;

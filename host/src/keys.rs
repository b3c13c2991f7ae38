//! API keys: finds a key by the text that a client presents, and stores only its digest.
//!
//! It promises that the text of a key is neither stored nor printable; that a look-up takes no
//! lock, waits for nothing, writes nothing that workers share and copies no text; and that digests
//! are compared in constant time.
//!
//! A look-up ([`Keys`]) searches two indexes: the keys of the configuration, and those of the
//! [storage](crate::control::storage), which the [sync](crate::control::sync) keeps fresh. It
//! deliberately does not change keys: the control plane does.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use smallvec::SmallVec;
use windlass_config_derive::Word;

use crate::runtime::clock::Timestamp;

mod configured;
mod digest;
mod index;
mod issue;
mod masked;
mod rejects;

pub(crate) use configured::{DuplicateKey, index_configured};
pub(crate) use digest::DigestError;
pub use digest::KeyDigest;
pub(crate) use index::KeyIndex;
#[cfg(test)]
pub(crate) use issue::has_valid_checksum;
pub(crate) use issue::{PREFIX, RandomnessError, generate, push_random};
pub(crate) use masked::{SHORTEST_KEY, masked};
pub(crate) use rejects::RejectCounters;

/// The longest value that is looked up. Bytes; a longer one is unknown without being hashed.
pub(crate) const MAX_PRESENTED: usize = 512;

/// The end of a key that never expires. Milliseconds since 1970.
const NEVER: u64 = u64::MAX;

/// A key under one of its secrets, with the facts that a verdict needs. A million of these have to
/// fit in memory, and one has to be read at once: it takes two cache lines, and keys share the
/// facts that they have in common.
#[repr(align(64))]
pub struct ApiKey {
    digest: KeyDigest,
    /// The earlier end of key and secret.
    expires_ms: u64,
    profile: Arc<Profile>,
    /// Seconds since 1970; 0 if it was never used.
    last_used: AtomicU32,
    /// The last use that the storage has.
    last_reported: AtomicU32,
    /// The id, then the consumer.
    text: SmallVec<[u8; 40]>,
    /// Where the id ends in `text`.
    id_length: u8,
    enabled: bool,
}

/// One secret of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeySecret {
    pub(crate) digest: KeyDigest,
    /// When it expires. Milliseconds since 1970; `u64::MAX` for never.
    pub(crate) expires_ms: u64,
}

impl KeySecret {
    /// A secret that does not expire before its key.
    pub(crate) fn lasting(digest: KeyDigest) -> Self {
        Self {
            digest,
            expires_ms: NEVER,
        }
    }
}

/// The facts that many keys have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Profile {
    /// The names of its usage plans: at most one for each API.
    pub(crate) plans: Box<[Arc<str>]>,
    /// The operator's metadata: names and values.
    pub(crate) attributes: Box<[(Box<str>, Box<str>)]>,
}

/// A key, for an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    /// Its public id, which logs may show. Bytes: at most 255.
    pub(crate) id: String,
    /// The consumer that it was issued to.
    pub(crate) consumer: String,
    /// Its secrets, the newest first.
    pub(crate) secrets: Vec<KeySecret>,
    pub(crate) profile: Profile,
    /// Whether the operator has enabled it.
    pub(crate) enabled: bool,
    /// When it expires. Milliseconds since 1970.
    pub(crate) expires_ms: Option<u64>,
    /// When it was last used. Milliseconds since 1970.
    pub(crate) last_used_ms: Option<u64>,
}

impl ApiKey {
    /// One for each secret; none if the id is too long.
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

    /// The entry that it was made of.
    fn entry(&self) -> KeyEntry {
        let ends = (self.expires_ms != NEVER).then_some(self.expires_ms);
        let used = self.last_used.load(Ordering::Relaxed);
        KeyEntry {
            id: self.id().to_owned(),
            consumer: self.consumer().to_owned(),
            secrets: vec![KeySecret::lasting(self.digest)],
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

    /// Its public id, which logs may show.
    #[must_use]
    pub fn id(&self) -> &str {
        self.texts().0
    }

    /// The consumer that it was issued to.
    #[must_use]
    pub fn consumer(&self) -> &str {
        self.texts().1
    }

    /// The names of its usage plans: at most one for each API.
    #[must_use]
    pub fn plans(&self) -> &[Arc<str>] {
        &self.profile.plans
    }

    /// The operator's metadata.
    #[must_use]
    pub(crate) fn attributes(&self) -> &[(Box<str>, Box<str>)] {
        &self.profile.attributes
    }

    /// Whether it is accepted at this time. "Disabled" comes before "expired"; the end of a
    /// rotated secret counts as an end of the key.
    fn admit(&self, now_ms: u64) -> Result<(), KeyReject> {
        if !self.enabled {
            Err(KeyReject::Disabled)
        } else if now_ms >= self.expires_ms {
            Err(KeyReject::Expired)
        } else {
            Ok(())
        }
    }

    /// Records a use now. Writes at most once a second, so that workers seldom collide.
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

/// Why a presented key is rejected. For logs: a client gets one answer for all reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word, thiserror::Error)]
pub(crate) enum KeyReject {
    #[error("unknown key")]
    Unknown,
    /// The operator has disabled it.
    #[error("key is disabled")]
    Disabled,
    /// It has expired.
    #[error("key has expired")]
    Expired,
    /// The gateway has lost contact with the storage, so any key may be revoked.
    #[error("keys cannot be checked: their storage is out of reach")]
    Unavailable,
}

/// A rejection of a presented key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupRejection {
    pub(crate) reason: KeyReject,
    /// The id of the presented key, if it exists.
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

/// Until when the keys of the storage may be used. The sync writes it and each look-up reads it,
/// so that keys are refused in time although the sync itself hangs. Not fresh until it is
/// [set](Self::set), because nothing was loaded yet.
#[derive(Debug, Default)]
pub(crate) struct Freshness {
    until_ms: AtomicU64,
}

impl Freshness {
    /// Keeps the keys fresh until this time of the monotonic clock. Milliseconds.
    pub(crate) fn set(&self, until_ms: u64) {
        self.until_ms.store(until_ms, Ordering::Relaxed);
    }

    /// Whether the keys may be used at this time.
    #[must_use]
    pub(crate) fn is_fresh(&self, monotonic_ms: u64) -> bool {
        monotonic_ms < self.until_ms.load(Ordering::Relaxed)
    }
}

/// The indexes of presented keys.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The keys of the configuration.
    pub configured: Arc<KeyIndex>,
    /// The keys of the storage, if there is one.
    pub live: Option<LiveKeys>,
}

/// The keys of the storage.
#[derive(Debug, Clone)]
pub struct LiveKeys {
    pub(crate) index: Arc<KeyIndex>,
    /// Until when they may be used. None: for ever, because only this gateway changes the storage.
    pub(crate) freshness: Option<Arc<Freshness>>,
}

impl Keys {
    /// Passes the presented key to `take`, if it is accepted at this time. A text that is empty or
    /// longer than [`MAX_PRESENTED`] is unknown without being hashed.
    ///
    /// # Errors
    ///
    /// Why the key is rejected, and which key it is.
    pub fn find<T>(
        &self,
        presented: &[u8],
        now: Timestamp,
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
                Some(live) if live.is_stale(now.monotonic_ms()) => {
                    Err(KeyReject::Unavailable.into())
                }
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

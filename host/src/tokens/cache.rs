//! The cache of one verifier's tokens, so that a token is verified once and not for every request.
//!
//! It promises that an accepted token is found only while it is valid and its key is listed; that
//! a refusal is cached only if it needed a signature check, and only while the keys are the same;
//! that both parts are bounded; and that the token's text is not stored. Each verifier has its own
//! cache, which ends with its configuration.

use std::sync::{Arc, LazyLock};

use ahash::RandomState;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::fill;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::verifier::{TokenError, VerifiedToken};

/// The most refusals.
const MAX_REFUSED: u64 = 8192;

/// Rough size of a token besides its claims. Bytes.
const TOKEN_OVERHEAD: usize = 512;

/// The digest of a token, valid in this process only.
pub(super) type TokenDigest = [u8; 16];

/// The key of digests. AES-GCM over the token as data that is only authenticated (GMAC) takes a
/// quarter of the time of SHA-256.
///
/// One nonce serves for all, which a cipher must never do: with it the tag is a constant and a
/// polynomial of the token at a secret point (GHASH; NIST SP 800-38D, section 6.4). For an
/// attacker who knows neither key nor tags, two tokens collide with a chance of at most their
/// length in blocks over 2^128, and no tag leaves the process. None: the system gave no random
/// bytes.
static DIGEST_KEY: LazyLock<Option<LessSafeKey>> = LazyLock::new(|| {
    let mut key = [0; 32];
    fill(&mut key).ok()?;
    let key = UnboundKey::new(&AES_256_GCM, &key).ok()?;
    Some(LessSafeKey::new(key))
});

/// The cached tokens of one verifier.
#[derive(Debug)]
pub(crate) struct TokenCache {
    accepted: Cache<TokenDigest, CachedToken, RandomState>,
    refused: Cache<TokenDigest, CachedRefusal, RandomState>,
}

#[derive(Debug, Clone)]
struct CachedToken {
    token: Arc<VerifiedToken>,
    /// Its rough size. Bytes.
    weight: u32,
}

#[derive(Debug, Clone, Copy)]
struct CachedRefusal {
    error: TokenError,
    /// The revision of the keys that refused it.
    revision: u64,
}

impl TokenCache {
    /// An empty cache for this many bytes of accepted tokens; with 0 it stores nothing.
    #[must_use]
    pub(crate) fn new(bytes: u64) -> Self {
        let refused = if bytes == 0 { 0 } else { MAX_REFUSED };
        Self {
            accepted: Cache::builder()
                .max_capacity(bytes)
                .weigher(|_, accepted: &CachedToken| accepted.weight)
                // The default policy (TinyLFU) may reject an entry that was just inserted.
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(RandomState::new()),
            refused: Cache::builder()
                .max_capacity(refused)
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(RandomState::new()),
        }
    }

    /// The digest of a token. None: it cannot be computed.
    pub(super) fn digest(token: &str) -> Option<TokenDigest> {
        let key = DIGEST_KEY.as_ref()?;
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(token), &mut []);
        tag.ok()?.as_ref().try_into().ok()
    }

    /// The cached answer for a token at this time (seconds since 1970), by keys of this revision.
    pub(super) fn find(
        &self,
        digest: &TokenDigest,
        now: f64,
        revision: u64,
    ) -> Option<Result<Arc<VerifiedToken>, TokenError>> {
        if let Some(CachedToken { token, .. }) = self.accepted.get(digest) {
            if !token.key.is_withdrawn() && now < token.ends {
                return Some(Ok(token));
            }
            // The next verification finds out whether it has expired or its key is gone.
            self.accepted.invalidate(digest);
            return None;
        }
        let refused = self.refused.get(digest)?;
        (refused.revision == revision).then_some(Err(refused.error))
    }

    /// A token that was accepted before, whether it is still valid or not: its claims stay the
    /// same.
    pub(super) fn find_accepted(&self, digest: &TokenDigest) -> Option<Arc<VerifiedToken>> {
        // If the token is not cached, this is the cheaper way to find out.
        let is_kept = self.accepted.contains_key(digest);
        let kept = is_kept.then(|| self.accepted.get(digest)).flatten();
        kept.map(|accepted| accepted.token)
    }

    /// Caches an answer, if that is worthwhile.
    pub(super) fn keep(
        &self,
        digest: TokenDigest,
        length: usize,
        found: &Result<Arc<VerifiedToken>, TokenError>,
        revision: u64,
    ) {
        match found {
            Ok(token) => {
                // Parsed claims take a few times the size of their text.
                let weight = u32::try_from(length * 4 + TOKEN_OVERHEAD).unwrap_or(u32::MAX);
                let token = Arc::clone(token);
                self.accepted.insert(digest, CachedToken { token, weight });
            }
            Err(error) if is_cacheable(*error) => {
                let error = *error;
                self.refused
                    .insert(digest, CachedRefusal { error, revision });
            }
            Err(_) => {}
        }
    }

    /// Rough numbers of cached accepted tokens and refusals.
    #[must_use]
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.accepted.entry_count(), self.refused.entry_count())
    }

    #[cfg(test)]
    pub(super) fn settle(&self) -> u64 {
        self.accepted.run_pending_tasks();
        self.refused.run_pending_tasks();
        self.accepted.weighted_size()
    }
}

/// Whether a refusal needed a signature check, and holds while the keys are the same.
fn is_cacheable(error: TokenError) -> bool {
    match error {
        TokenError::Signature
        | TokenError::ClaimType
        | TokenError::NoEnd
        | TokenError::Expired
        | TokenError::TooOld
        | TokenError::Issuer
        | TokenError::Audience
        | TokenError::RequiredClaim
        | TokenError::CertificateBound => true,
        // The first ones cost less than a look-up; the last two depend on the time.
        TokenError::TooLarge
        | TokenError::Malformed
        | TokenError::CriticalExtension
        | TokenError::Algorithm
        | TokenError::Type
        | TokenError::UnknownKey
        | TokenError::NoSingleKey
        | TokenError::KeyMismatch
        | TokenError::NotYetValid
        | TokenError::IssuedAhead
        // These two depend on more than the token.
        | TokenError::NotBound
        | TokenError::Unproven => false,
    }
}

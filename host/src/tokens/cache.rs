//! Tokens of one verifier that were verified before, so that a token is checked once and not for every request.
//!
//! Promises: an accepted token is found no longer than it is good and its key is listed; a refusal is kept only where
//! it took a signature to find out, and only while the keys are the same; both parts have a bound; the token's text is
//! not kept. One verifier's tokens are never another's: each has a cache of its own, gone with its configuration.

use std::sync::{Arc, LazyLock};

use ahash::RandomState;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::fill;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::verifier::{TokenError, VerifiedToken};

/// The most refusals that are kept.
const MAX_REFUSED: u64 = 8192;

/// About the size of a token beside its claims. Bytes.
const TOKEN_OVERHEAD: usize = 512;

/// The digest that stands for a token, in this process only.
pub(super) type TokenDigest = [u8; 16];

/// The key of digests: AES-GCM over the token, as data that is only authenticated (GMAC), takes a quarter of the time of SHA-256.
///
/// One nonce serves for all, which a cipher must never do: with it the tag is a constant and a polynomial of the token at a
/// secret point (GHASH; NIST SP 800-38D, section 6.4). Two tokens collide with a chance of at most their length in blocks over
/// 2^128 for whoever knows neither key nor tags, and no tag leaves the process. None: the system gave no random bytes.
static DIGEST_KEY: LazyLock<Option<LessSafeKey>> = LazyLock::new(|| {
    let mut key = [0; 32];
    fill(&mut key).ok()?;
    let key = UnboundKey::new(&AES_256_GCM, &key).ok()?;
    Some(LessSafeKey::new(key))
});

/// The tokens of one verifier.
#[derive(Debug)]
pub(crate) struct TokenCache {
    accepted: Cache<TokenDigest, CachedToken, RandomState>,
    refused: Cache<TokenDigest, CachedRefusal, RandomState>,
}

#[derive(Debug, Clone)]
struct CachedToken {
    token: Arc<VerifiedToken>,
    /// About what it takes. Bytes.
    weight: u32,
}

#[derive(Debug, Clone, Copy)]
struct CachedRefusal {
    error: TokenError,
    /// Of the keys that it was refused by.
    revision: u64,
}

impl TokenCache {
    /// An empty one, for so many bytes of accepted tokens; with 0 nothing is kept.
    #[must_use]
    pub(crate) fn new(bytes: u64) -> Self {
        let refused = if bytes == 0 { 0 } else { MAX_REFUSED };
        Self {
            accepted: Cache::builder()
                .max_capacity(bytes)
                .weigher(|_, accepted: &CachedToken| accepted.weight)
                // The default (TinyLFU) may turn away what was just put.
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(RandomState::new()),
            refused: Cache::builder()
                .max_capacity(refused)
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(RandomState::new()),
        }
    }

    /// The digest of a token. None: it cannot be made.
    pub(super) fn digest(token: &str) -> Option<TokenDigest> {
        let key = DIGEST_KEY.as_ref()?;
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(token), &mut []);
        tag.ok()?.as_ref().try_into().ok()
    }

    /// The answer that is kept for a token at this time (seconds since 1970), by keys of this revision.
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
            // Whoever verifies it again finds out which of the two it is.
            self.accepted.invalidate(digest);
            return None;
        }
        let refused = self.refused.get(digest)?;
        (refused.revision == revision).then_some(Err(refused.error))
    }

    /// A token that was accepted before, in force or not: what it says stays the same.
    pub(super) fn find_accepted(&self, digest: &TokenDigest) -> Option<Arc<VerifiedToken>> {
        // Where it is not kept, this is the cheaper way to find out.
        let is_kept = self.accepted.contains_key(digest);
        let kept = is_kept.then(|| self.accepted.get(digest)).flatten();
        kept.map(|accepted| accepted.token)
    }

    /// Keep what was found of a token, where it is worth that.
    pub(super) fn keep(
        &self,
        digest: TokenDigest,
        length: usize,
        found: &Result<Arc<VerifiedToken>, TokenError>,
        revision: u64,
    ) {
        match found {
            Ok(token) => {
                // Claims as they are kept take a few times their text.
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

    /// How many accepted tokens and refusals are kept, about.
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

/// Whether a refusal took a signature to find out, and stays true while the keys are the same.
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
        // The first ones cost less than to look for them; time changes the last two.
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
        // These two are no matter of the token alone.
        | TokenError::NotBound
        | TokenError::Unproven => false,
    }
}

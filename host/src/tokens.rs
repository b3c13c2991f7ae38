//! The verifiers of a configuration (`[verifier.<name>]`): their keys, which they keep fresh, and
//! their rules.
//!
//! Above it the `jwt` interface asks whether a token is accepted; below it [`crate::verifier`]
//! decides that, purely. This room has the parts that need a clock, a thread or a connection.
//!
//! It promises
//! - that a question never waits: where only a newer key set can tell, the answer is a signal to
//!   wait for elsewhere;
//! - that keys are fetched before a configuration is in use, and again before they expire, on a
//!   thread of their own;
//! - that unknown key ids cause at most one fetch in each `cooldown`, however many requests bring
//!   one, and all of these wait for the same fetch;
//! - that keys that could not be fetched again are used up to `max_stale` after the last good
//!   answer and no longer; a key that a good answer no longer lists is gone at once.
//!
//! It deliberately does not decide what a client is answered.

mod cache;
pub(crate) mod fetch;
mod filter_rejects;
mod freshness;
pub(crate) mod source;
#[cfg(test)]
mod tests;
mod used_proofs;
mod waiters;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use crate::model::word::Word as _;
use crate::runtime::clock::Timestamp;
use crate::verifier::token::MAX_TOKEN;
use crate::verifier::{self, KeySet, TokenError, TokenRules, VerifiedToken};

pub(crate) use cache::TokenCache;
use cache::TokenDigest;
pub(crate) use filter_rejects::FilterRejects;
pub(crate) use source::{KeySource, KeySources};
pub(crate) use used_proofs::{ProofUse, UsedProofs};
pub(crate) use waiters::FetchSignal;

/// The source of a verifier's keys.
#[derive(Debug)]
pub(crate) enum VerifierKeys {
    /// Keys that the configuration has, in a file or a secret.
    Fixed(KeySet),
    Fetched(Arc<KeySource>),
}

/// A verifier of a configuration.
#[derive(Debug)]
pub(crate) struct TokenVerifier {
    pub(crate) name: Arc<str>,
    pub(crate) keys: VerifierKeys,
    /// Its requirements for tokens.
    pub(crate) rules: TokenRules,
    /// Tokens that it verified before.
    pub(crate) cache: TokenCache,
    /// Counts of tokens that it rejected.
    pub(crate) rejects: TokenRejects,
}

/// Counts of rejected tokens, by reason. Accepted ones are not counted, so that they share no
/// cache line.
#[derive(Debug, Default)]
pub(crate) struct TokenRejects([AtomicU64; TokenError::WORDS.len()]);

impl TokenRejects {
    fn count(&self, error: TokenError) {
        if let Some(count) = self.0.get(error as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts so far, by reason.
    pub(crate) fn values(&self) -> impl Iterator<Item = (TokenError, &AtomicU64)> {
        TokenError::all().zip(&self.0)
    }
}

/// The answer about a token at one time.
#[derive(Debug)]
pub(crate) enum TokenAnswer {
    Accepted(Arc<VerifiedToken>),
    /// The token is rejected.
    Refused(TokenError),
    /// Newer keys may accept it: ask again after this signal.
    Pending(FetchSignal),
    /// The verifier has no keys that may be used.
    NoKeys,
}

impl TokenVerifier {
    /// Decides about a token. If `patient`, an unknown key id causes a fetch; a caller that asks
    /// again after the fetch is not patient.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn ask(&self, token: &str, now: Timestamp, patient: bool) -> TokenAnswer {
        self.ask_with(digest(token).as_ref(), token, now, patient)
    }

    fn ask_with(
        &self,
        digest: Option<&TokenDigest>,
        token: &str,
        now: Timestamp,
        patient: bool,
    ) -> TokenAnswer {
        let answer = match digest {
            None => TokenAnswer::Refused(TokenError::TooLarge),
            Some(digest) => self.ask_by_digest(digest, token, now, patient),
        };
        if let TokenAnswer::Refused(error) = &answer {
            self.rejects.count(*error);
        }
        answer
    }

    fn ask_by_digest(
        &self,
        digest: &TokenDigest,
        token: &str,
        now: Timestamp,
        patient: bool,
    ) -> TokenAnswer {
        let revision = match &self.keys {
            VerifierKeys::Fixed(_) => 0,
            VerifierKeys::Fetched(source) => match source.revision(now) {
                Some(revision) => revision,
                None => return TokenAnswer::NoKeys,
            },
        };
        let found = match self.cache.find(digest, now.unix_seconds(), revision) {
            Some(found) => found,
            None => {
                // The keys may be newer than the revision. That does no harm: nobody finds a
                // refusal stored under the older one.
                let found = match self.verify(token, now) {
                    Some(found) => found.map(Arc::new),
                    None => return TokenAnswer::NoKeys,
                };
                self.cache.keep(*digest, token.len(), &found, revision);
                found
            }
        };
        match found {
            Ok(token) => TokenAnswer::Accepted(token),
            Err(TokenError::UnknownKey) if patient => match self.ask_for_newer(now) {
                Some(waiting) => TokenAnswer::Pending(waiting),
                None => TokenAnswer::Refused(TokenError::UnknownKey),
            },
            Err(error) => TokenAnswer::Refused(error),
        }
    }

    /// Verifies a token. None: there are no keys that may be used.
    fn verify(&self, token: &str, now: Timestamp) -> Option<Result<VerifiedToken, TokenError>> {
        let verify = |keys| verifier::verify(token, keys, &self.rules, now.unix_seconds());
        Some(match &self.keys {
            VerifierKeys::Fixed(keys) => verify(keys),
            VerifierKeys::Fetched(source) => verify(&source.current_keys(now)?.keys),
        })
    }

    fn ask_for_newer(&self, now: Timestamp) -> Option<FetchSignal> {
        match &self.keys {
            VerifierKeys::Fixed(_) => None,
            VerifierKeys::Fetched(source) => source.ask_for_newer(now),
        }
    }
}

/// The digest of a token. None: the token is too long to be cached, or the digest cannot be
/// computed.
fn digest(token: &str) -> Option<TokenDigest> {
    let is_short = token.len() <= MAX_TOKEN;
    is_short.then(|| TokenCache::digest(token)).flatten()
}

/// A verifier, and its answer about a token.
#[derive(Debug)]
pub(crate) struct VerifierAnswer<'a> {
    /// The verifier that decided.
    pub(crate) verifier: &'a Arc<TokenVerifier>,
    pub(crate) answer: TokenAnswer,
}

/// The configuration has no verifier of this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no `[verifier.{0}]`")]
pub(crate) struct NoVerifier(pub(crate) String);

/// The verifiers of a configuration.
#[derive(Debug, Default)]
pub(crate) struct TokenVerifiers {
    /// In the order of the configuration.
    pub(crate) list: Vec<Arc<TokenVerifier>>,
    /// The proofs that were used; they outlive configurations.
    pub(crate) used_proofs: Arc<UsedProofs>,
    /// Counts of tokens that were rejected although a verifier, or a server, had accepted them.
    pub(crate) filter_rejects: FilterRejects,
}

impl TokenVerifiers {
    #[must_use]
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<TokenVerifier>> {
        self.list.iter().find(|verifier| &*verifier.name == name)
    }

    /// Asks the verifier that a token is for: the first that lists the issuer that the token
    /// names, or else the first that accepts any issuer.
    ///
    /// # Errors
    ///
    /// The configuration has no verifier of this name.
    pub(crate) fn ask<'a>(
        &self,
        names: &'a [impl AsRef<str>],
        token: &str,
        now: Timestamp,
        patient: bool,
    ) -> Result<VerifierAnswer<'_>, NoVerifier> {
        let found = names.iter().map(AsRef::as_ref);
        let found = found.map(|name: &'a str| {
            let unknown = || NoVerifier(name.to_owned());
            self.find(name).ok_or_else(unknown)
        });
        let among: SmallVec<[&Arc<TokenVerifier>; 4]> = found.collect::<Result<_, _>>()?;
        let (verifier, rest) = among.split_first().ok_or(NoVerifier(String::new()))?;
        // The most expensive part of a look-up, so it is computed only once.
        let digest = digest(token);
        let verifier = match rest {
            [] => verifier,
            [..] => match Self::choose(&among, token, digest.as_ref()) {
                Some(verifier) => verifier,
                None => {
                    verifier.rejects.count(TokenError::Issuer);
                    let answer = TokenAnswer::Refused(TokenError::Issuer);
                    return Ok(VerifierAnswer { verifier, answer });
                }
            },
        };
        Ok(VerifierAnswer {
            verifier,
            answer: verifier.ask_with(digest.as_ref(), token, now, patient),
        })
    }

    /// Chooses the verifier, which is the same whether the token is cached or not: the cache only
    /// saves reading the issuer again.
    fn choose<'a>(
        among: &[&'a Arc<TokenVerifier>],
        token: &str,
        digest: Option<&TokenDigest>,
    ) -> Option<&'a Arc<TokenVerifier>> {
        let seen =
            digest.and_then(|digest| among.iter().find_map(|one| one.cache.find_accepted(digest)));
        let read;
        let issuer = match (&seen, digest) {
            (Some(seen), _) => seen.claims.text("iss"),
            (None, Some(_)) => {
                read = verifier::named_issuer(token);
                read.as_deref()
            }
            (None, None) => None,
        };
        let lists = |one: &&&Arc<TokenVerifier>| {
            let mut issuers = one.rules.issuers.iter();
            issuer.is_some_and(|issuer| issuers.any(|listed| listed == issuer))
        };
        let found = among.iter().find(lists);
        let any = || among.iter().find(|one| one.rules.issuers.is_empty());
        found.or_else(any).copied()
    }
}

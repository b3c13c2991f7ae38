//! Secrets that are easily guessed, or stand for two things.

use super::Lint;
use crate::config::{Span, counted};
use crate::keys::KeyDigest;

/// A shorter secret can be guessed. Bytes: random hex digits of this length have 64 bits.
const MIN_SECRET_BYTES: usize = 16;

impl<'a> Lint<'a> {
    /// Look at those that let somebody in, and at keys of nothing.
    pub(super) fn secret_values(&mut self) {
        let config = self.config;
        let mut seen: Vec<(KeyDigest, &str)> = Vec::new();
        for token in config.admin.iter().flat_map(|admin| &admin.tokens) {
            let Some((_, digest, _)) = self.secret(token.secret) else {
                continue;
            };
            let user = format!("the admin token `{}`", token.name);
            self.short_secret(token.secret, &user, token.span);
            if let Some((_, other)) = seen.iter().find(|(known, _)| *known == digest) {
                let message = format!(
                    "the admin tokens `{other}` and `{}` have the same value: the audit log names the first for both",
                    token.name
                );
                self.problems
                    .warning(token.span, message)
                    .help("give each its own value");
            }
            seen.push((digest, &token.name));
        }
        for upstream in &config.upstreams {
            if let Some(sticky) = &upstream.balance.sticky {
                let user = format!("the signature of upstream `{}`'s `sticky`", upstream.name);
                self.short_secret(sticky.secret, &user, sticky.span);
            }
        }
        self.shared_secrets();
        let empty = KeyDigest::of(b"");
        for key in &config.keys {
            if KeyDigest::from_bytes(key.digest) == empty {
                let message = format!("key `{}`: `digest` is that of no text at all", key.id);
                self.problems
                    .warning(key.span, message)
                    .help("make a key by `windlass key new`, which prints its digest");
            }
        }
    }

    /// A secret that lets an operator in and serves something else as well.
    fn shared_secrets(&mut self) {
        let config = self.config;
        let upstreams = config.upstreams.iter();
        let sticky = upstreams.filter_map(|upstream| upstream.balance.sticky.as_ref());
        let sticky = sticky.map(|sticky| sticky.secret);
        let filters = config.filters.iter();
        let allowed = filters.filter_map(|filter| filter.allow.as_ref());
        let allowed = allowed.flat_map(|allow| allow.secrets.iter().copied());
        let others: Vec<usize> = sticky.chain(allowed).collect();
        for token in config.admin.iter().flat_map(|admin| &admin.tokens) {
            if others.contains(&token.secret)
                && let Some(secret) = config.secrets.get(token.secret)
            {
                let message = format!(
                    "secret `{}` is the admin token `{}`, and serves something else too",
                    secret.name, token.name
                );
                self.problems
                    .warning(token.span, message)
                    .help("give each its own secret: who learns the one must not get the other");
            }
        }
    }

    /// The name, the digest and the length of a secret.
    fn secret(&self, index: usize) -> Option<(&'a str, KeyDigest, usize)> {
        let (config, secrets) = (self.config, self.secrets);
        let secret = config.secrets.get(index)?;
        let value = secrets.find(&secret.name)?;
        Some((&secret.name, value.key_digest(), value.length()))
    }

    /// Warn of a secret that can be guessed, and of its user.
    fn short_secret(&mut self, index: usize, user: &str, span: Span) {
        let Some((name, _, length)) = self.secret(index) else {
            return;
        };
        if length < MIN_SECRET_BYTES {
            let length = counted(length as u64, "byte");
            let message =
                format!("secret `{name}` has {length}, and is guessed soon: {user} stands on it");
            self.problems
                .warning(span, message)
                .help("take a random one of 32 bytes: `openssl rand -hex 32`");
        }
    }
}

//! Secrets that are easily guessed, or stand for two things.

use super::LintContext;
use crate::config::{self, Problems, Span};
use crate::keys::KeyDigest;

/// A shorter secret can be guessed. Bytes: random hex digits of this length have 64 bits.
const MIN_SECRET_BYTES: usize = 16;

/// Look at those that let somebody in, and at keys of nothing.
pub(super) fn lint(known: &LintContext<'_>, problems: &mut Problems) {
    let tokens = known.config.admin.iter().flat_map(|admin| &admin.tokens);
    let mut seen: Vec<(KeyDigest, &str)> = Vec::new();
    for token in tokens {
        let Some((name, digest, length)) = read(known, token.secret) else {
            continue;
        };
        if length < MIN_SECRET_BYTES {
            let what = format!("the admin token `{}`", token.name);
            short(&what, name, length, token.span, problems);
        }
        if let Some((_, other)) = seen.iter().find(|(known, _)| *known == digest) {
            let message = format!(
                "the admin tokens `{other}` and `{}` have the same value: the audit log names the first for both",
                token.name
            );
            problems
                .warning(token.span, message)
                .help("give each its own value");
        }
        seen.push((digest, &token.name));
    }
    for upstream in &known.config.upstreams {
        if let Some(sticky) = &upstream.balance.sticky
            && let Some((name, _, length)) = read(known, sticky.secret)
            && length < MIN_SECRET_BYTES
        {
            let what = format!("the signature of upstream `{}`'s `sticky`", upstream.name);
            short(&what, name, length, sticky.span, problems);
        }
    }
    shared(known, problems);
    let empty = KeyDigest::of(b"");
    for key in &known.config.keys {
        if KeyDigest::from_bytes(key.digest) == empty {
            let message = format!("key `{}`: `digest` is that of no text at all", key.id);
            problems
                .warning(key.span, message)
                .help("make a key by `windlass key new`, which prints its digest");
        }
    }
}

/// A secret that lets an operator in and serves something else as well.
fn shared(known: &LintContext<'_>, problems: &mut Problems) {
    let config = known.config;
    let upstreams = config.upstreams.iter();
    let sticky = upstreams.filter_map(|upstream| upstream.balance.sticky.as_ref());
    let sticky = sticky.map(|sticky| sticky.secret);
    let filters = config
        .filters
        .iter()
        .filter_map(|filter| filter.allow.as_ref());
    let filters = filters.flat_map(|allow| allow.secrets.iter().copied());
    let others: Vec<usize> = sticky.chain(filters).collect();
    for token in config.admin.iter().flat_map(|admin| &admin.tokens) {
        if others.contains(&token.secret)
            && let Some(secret) = config.secrets.get(token.secret)
        {
            let message = format!(
                "secret `{}` is the admin token `{}`, and serves something else too",
                secret.name, token.name
            );
            problems
                .warning(token.span, message)
                .help("give each its own secret: who learns the one must not get the other");
        }
    }
}

fn read<'a>(known: &LintContext<'a>, place: usize) -> Option<(&'a str, KeyDigest, usize)> {
    let secret: &config::Secret = known.config.secrets.get(place)?;
    let value = known.secrets.find(&secret.name)?;
    Some((&secret.name, value.key_digest(), value.length()))
}

fn short(what: &str, name: &str, length: usize, span: Span, problems: &mut Problems) {
    let bytes = if length == 1 { "byte" } else { "bytes" };
    let message =
        format!("secret `{name}` has {length} {bytes}, and is guessed soon: {what} stands on it");
    problems
        .warning(span, message)
        .help("take a random one of 32 bytes: `openssl rand -hex 32`");
}

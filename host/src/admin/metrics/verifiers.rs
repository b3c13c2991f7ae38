//! Metrics of the keys and the cached tokens of verifiers.

use super::float;
use crate::observe::metrics::{MetricFamily, MetricKind};
use crate::proxy::gateway::Gateway;
use crate::runtime::clock::Timestamp;
use crate::tokens::VerifierKeys;
use crate::verifier::TokenError;

pub(super) fn families(gateway: &Gateway) -> Vec<MetricFamily> {
    let mut keys = MetricFamily::new(
        MetricKind::Gauge,
        "verifier_keys",
        "Keys in the last answer of a verifier's key server",
    );
    let mut fetches = MetricFamily::new(
        MetricKind::Counter,
        "verifier_key_fetches",
        "Fetches of a verifier's keys by result",
    );
    let mut usable = MetricFamily::new(
        MetricKind::Gauge,
        "verifier_keys_usable",
        "Whether a verifier's keys may be used, because the last good answer is at most `max_stale` old",
    );
    let mut since = MetricFamily::new(
        MetricKind::Gauge,
        "verifier_since_answer_seconds",
        "Time since the last good answer of a verifier's key server",
    );
    let mut kept = MetricFamily::new(
        MetricKind::Gauge,
        "verifier_cached_tokens",
        "Cached results of a verifier's tokens, roughly",
    );
    let mut rejects = MetricFamily::new(
        MetricKind::Counter,
        "verifier_rejects",
        "Tokens rejected, by reason; without a verifier for rejections after verification",
    );
    for (why, count) in gateway.services.verifiers.filter_rejects.values() {
        rejects.push(&[("verifier", ""), ("why", why)], float(count));
    }
    let now = Timestamp::coarse();
    for verifier in gateway.services.verifiers.all() {
        let name = ("verifier", &*verifier.name);
        // No verifier gives these reasons.
        let later = [TokenError::NotBound, TokenError::Unproven];
        let errors = TokenError::ALL.into_iter();
        for error in errors.filter(|error| !later.contains(error)) {
            let count = verifier.rejects.value(error);
            rejects.push(&[name, ("why", error.reason())], float(count));
        }
        let (accepted, refused) = verifier.cache.counts();
        kept.push(&[name, ("answer", "accepted")], float(accepted));
        kept.push(&[name, ("answer", "refused")], float(refused));
        let VerifierKeys::Fetched(source) = &verifier.keys else {
            continue;
        };
        let state = source.state(now);
        keys.push(
            &[name],
            float(u64::try_from(state.keys).unwrap_or(u64::MAX)),
        );
        fetches.push(&[name, ("result", "good")], float(state.good));
        fetches.push(&[name, ("result", "failed")], float(state.failed));
        usable.push(&[name], f64::from(u8::from(state.usable)));
        if let Some(time) = state.since_answer {
            since.push(&[name], time.as_secs_f64());
        }
    }
    vec![keys, fetches, usable, since, kept, rejects]
}

//! Metrics of the keys and the cached tokens of verifiers.

use crate::model::word::Word as _;
use crate::observe::metrics::{MetricFamily, families};
use crate::proxy::gateway::Gateway;
use crate::runtime::clock::Timestamp;
use crate::tokens::VerifierKeys;
use crate::verifier::TokenError;

families! {
    /// The families of verifiers.
    struct VerifierFamilies {
        verifier_keys = Gauge, "Keys in the last answer of a verifier's key server";
        verifier_key_fetches = Counter, "Fetches of a verifier's keys by result";
        verifier_keys_usable = Gauge, "Whether a verifier's keys may be used, because the last good answer is at most `max_stale` old";
        verifier_since_answer_seconds = Gauge, "Time since the last good answer of a verifier's key server";
        verifier_cached_tokens = Gauge, "Cached results of a verifier's tokens, roughly";
        verifier_rejects = Counter, "Tokens rejected, by reason; without a verifier for rejections after verification";
    }
}

pub(super) fn families(gateway: &Gateway) -> Vec<MetricFamily> {
    let mut families = VerifierFamilies::default();
    for (why, count) in gateway.services.verifiers.filter_rejects.values() {
        let labels = [("verifier", ""), ("why", why)];
        families.verifier_rejects.push(&labels, count);
    }
    let now = Timestamp::coarse();
    for verifier in &gateway.services.verifiers.list {
        let name = ("verifier", &*verifier.name);
        // No verifier gives these reasons.
        let later = [TokenError::NotBound, TokenError::Unproven];
        let rejects = verifier.rejects.values();
        for (error, count) in rejects.filter(|(error, _)| !later.contains(error)) {
            let labels = [name, ("why", error.word())];
            families.verifier_rejects.push(&labels, count);
        }
        let (accepted, refused) = verifier.cache.counts();
        for (answer, count) in [("accepted", accepted), ("refused", refused)] {
            let labels = [name, ("answer", answer)];
            families.verifier_cached_tokens.push(&labels, count);
        }
        let VerifierKeys::Fetched(source) = &verifier.keys else {
            continue;
        };
        let state = source.state(now);
        families.verifier_keys.push(&[name], state.keys);
        for (result, count) in [("good", state.good), ("failed", state.failed)] {
            let labels = [name, ("result", result)];
            families.verifier_key_fetches.push(&labels, count);
        }
        families.verifier_keys_usable.push(&[name], state.usable);
        if let Some(time) = state.since_answer {
            let since = &mut families.verifier_since_answer_seconds;
            since.push(&[name], time.as_secs_f64());
        }
    }
    families.into()
}

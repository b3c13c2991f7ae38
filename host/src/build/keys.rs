//! The secrets, keys and plans of a configuration.

use std::sync::Arc;

use super::{ProcessResources, callouts, named_grants, verifiers};
use crate::config::{self, Config, Problems};
use crate::filter_store::secrets::Secrets;
use crate::keys::{
    DuplicateKey, KeyDigest, KeyEntry, KeyIndex, KeySecret, Keys, Profile, index_configured,
};
use crate::limits::{EnrolledPlans, MethodRate, PlanBook, UsagePlan, enroll_plans};
use crate::model::plan::QuotaLimit;
use crate::runtime::clock::unix_ms;
use crate::wasm::Services;

/// Build them. None where something is wrong.
pub(crate) fn services(
    config: &Config,
    foundation: &ProcessResources,
    problems: &mut Problems,
) -> Option<Services> {
    named_grants::check(config, problems);
    let secrets = secrets(config, problems);
    with_secrets(config, foundation, secrets, problems)
}

/// The same with these secrets.
pub(super) fn with_secrets(
    config: &Config,
    foundation: &ProcessResources,
    secrets: Option<Secrets>,
    problems: &mut Problems,
) -> Option<Services> {
    let keys = keys(config, problems);
    let plans = plans(config, foundation, problems);
    let verifiers = verifiers::build(config, foundation, secrets.as_ref(), problems);
    let callouts = callouts::build(config, foundation, problems);
    Some(Services {
        keys: Keys {
            configured: Arc::new(keys?),
            live: foundation.live_keys(),
        },
        rejects: Arc::clone(&foundation.rejects),
        worker: 0,
        plans: PlanBook::new(plans?, foundation.live_plans()),
        limits: foundation.limits.clone(),
        rates: Arc::clone(&foundation.rates),
        secrets: Arc::new(secrets?),
        verifiers: Arc::new(verifiers),
        callouts: Arc::new(callouts),
        // Made once the filters are.
        apis: Arc::default(),
    })
}

/// Read the secrets. What cannot be read is an error at its table.
pub(super) fn secrets(config: &Config, problems: &mut Problems) -> Option<Secrets> {
    let sources = config.secrets.iter();
    let sources = sources.map(|secret| (secret.name.clone(), secret.from.clone()));
    match Secrets::read(sources) {
        Ok(secrets) => Some(secrets),
        Err(errors) => {
            for (name, error) in errors {
                if let Some(secret) = config.secrets.iter().find(|secret| secret.name == name) {
                    problems.error_of(secret, &error).help(error.help());
                }
            }
            None
        }
    }
}

fn keys(config: &Config, problems: &mut Problems) -> Option<KeyIndex> {
    let keys = config.keys.iter().map(|key| {
        let plans = key.plans.iter();
        let plans = plans.filter_map(|index| config.plans.get(*index));
        let attributes = key.attributes.iter();
        KeyEntry {
            id: key.id.to_string(),
            consumer: key.consumer.to_string(),
            secrets: vec![KeySecret::lasting(KeyDigest::from_bytes(key.digest))],
            profile: Profile {
                plans: plans.map(|plan| plan.name.clone()).collect(),
                attributes: attributes
                    .map(|(name, value)| (Box::from(&**name), Box::from(&**value)))
                    .collect(),
            },
            enabled: key.enabled,
            expires_ms: key.expires.map(unix_ms),
            last_used_ms: None,
        }
    });
    match index_configured(keys) {
        Ok(keys) => Some(keys),
        Err(duplicates) => {
            for duplicate in duplicates {
                problems.error(key_span(config, &duplicate), duplicate.to_string());
            }
            None
        }
    }
}

/// The later of the two.
fn key_span(config: &Config, duplicate: &DuplicateKey) -> config::Span {
    let index = match duplicate {
        DuplicateKey::Id { indexes, .. } => indexes.1,
        DuplicateKey::Digest { index, .. } => *index,
    };
    let key = config.keys.get(index);
    key.map_or_else(config::Span::default, |key| key.span)
}

fn plans(
    config: &Config,
    foundation: &ProcessResources,
    problems: &mut Problems,
) -> Option<EnrolledPlans> {
    let mut plans = Vec::with_capacity(config.plans.len());
    for plan in &config.plans {
        let defined = defined(config, plan);
        if let Err(error) = foundation.prepare(&defined) {
            problems.error_of(plan, error);
            return None;
        }
        plans.push(defined);
    }
    hidden(config, foundation, problems);
    match enroll_plans(&*foundation.limits, plans) {
        Ok(plans) => Some(plans),
        Err(errors) => {
            for error in errors {
                let plan = config.plans.iter().find(|plan| *plan.name == *error.plan());
                let span = plan.map_or_else(config::Span::default, |plan| plan.span);
                problems.error(span, error.to_string());
            }
            None
        }
    }
}

/// Warn of plans of the store that nobody meets.
fn hidden(config: &Config, foundation: &ProcessResources, problems: &mut Problems) {
    let Some(sync) = &foundation.sync else {
        return;
    };
    let (stored, store) = (sync.plans.snapshot(), sync.storage.name());
    for plan in &config.plans {
        if stored.contains_key(&plan.name) {
            let name = &plan.name;
            let text = format!(
                "plan `{name}` of the configuration hides plan `{name}` of the store, {store}: keys on it get the one of the configuration"
            );
            problems.warning(plan.span, text).help(
                "give one of them another name, or take this one out to have that of the store",
            );
        }
    }
}

/// The plan as the store of counters takes it.
fn defined(config: &Config, plan: &config::Plan) -> UsagePlan {
    let apis = plan.apis.iter();
    let apis = apis.filter_map(|index| config.apis.get(*index));
    UsagePlan {
        name: plan.name.clone(),
        rate: plan.rate,
        quota: plan.quota.map(|quota| QuotaLimit {
            limit: quota.limit,
            period: quota.period,
        }),
        methods: plan.methods.iter().map(method).collect(),
        apis: apis.map(|api| api.name.clone()).collect(),
    }
}

fn method(method: &config::PlanMethod) -> MethodRate {
    MethodRate {
        method: method.method.as_str().into(),
        path: method.path.as_str().into(),
        rate: method.rate,
    }
}

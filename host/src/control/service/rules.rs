//! The rules for names, texts and values. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{InvalidFields, ServiceError};
use crate::control::storage::record::{KeyRecord, PlanRecord};
use crate::keys::masked;
use crate::limits::UsagePlan;
use crate::model::json::MOST;
use crate::model::name::is_name;
use crate::model::plan::{RateLimit, SharedApi, shared_api};

/// The longest name and consumer. Characters.
pub(crate) const MAX_NAME: usize = 128;
/// The longest description of a plan, and the longest value of metadata. Characters.
pub(crate) const MAX_VALUE: usize = 256;
/// The most entries of metadata.
pub(crate) const MAX_METADATA: usize = 32;
/// The most plans of one key, and the most APIs of one plan.
pub(crate) const MAX_PLANS: usize = 16;
/// The most methods with a rate of their own in one plan.
pub(crate) const MAX_METHODS: usize = 64;
/// The highest rate. Requests a second.
const FASTEST: f64 = 1e9;
/// The longest path of a method. Characters.
const MAX_PATH: usize = 1024;

/// Whether it can be the text of an imported key: 20 to 128 printable ASCII characters without
/// space, comma and quotes.
///
/// # Errors
///
/// The reason. Never repeats the text.
pub(crate) fn check_imported(text: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'"' | b'\'');
    if !text.bytes().all(allowed) {
        Err("may only have printable ASCII characters without space, comma and quotes")
    } else if !(20..=128).contains(&text.len()) {
        Err("must have 20 to 128 characters")
    } else {
        Ok(())
    }
}

/// Checks that the text is a single line of at most `longest` characters.
///
/// # Errors
///
/// The reason.
pub(crate) fn check_single_line(text: &str, longest: usize) -> Result<(), String> {
    let breaks =
        |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    if text.chars().any(breaks) {
        Err("must be a single line without control characters".to_owned())
    } else if text.chars().count() > longest {
        Err(format!("has more than {longest} characters"))
    } else {
        Ok(())
    }
}

/// Checks a key, except that its plans exist.
///
/// # Errors
///
/// Every invalid field.
pub(crate) fn check_key(record: &KeyRecord) -> Result<(), ServiceError> {
    let mut faults = InvalidFields::default();
    faults.check("name", check_single_line(&record.name, MAX_NAME));
    faults.check("consumer", check_single_line(&record.consumer, MAX_NAME));
    if record.consumer.is_empty() {
        faults.add("consumer", "is empty; name the owner of the key");
    }
    faults.check("plans", check_names(&record.plans));
    check_metadata(&record.metadata, &mut faults);
    faults.finish()
}

fn check_metadata(entries: &BTreeMap<String, String>, faults: &mut InvalidFields) {
    if entries.len() > MAX_METADATA {
        let message = format!("has more than {MAX_METADATA} entries");
        faults.add("metadata", message);
    }
    for (name, value) in entries {
        if name == "id" {
            let message = "is reserved: the attribute `api-key.id` is the key's own id";
            faults.add("metadata.id", message);
        } else if !is_name(name) {
            let message = "has a name that is not 1 to 64 letters, digits, `_` and `-`";
            faults.add("metadata", message);
        }
        let field = format!("metadata.{}", masked(name));
        faults.check(field, check_single_line(value, MAX_VALUE));
    }
}

/// Checks a list of distinct names.
fn check_names(names: &[String]) -> Result<(), String> {
    if names.len() > MAX_PLANS {
        return Err(format!("has more than {MAX_PLANS} entries"));
    }
    if !names.iter().all(|name| is_name(name)) {
        return Err("has a name that is not 1 to 64 letters, digits, `_` and `-`".to_owned());
    }
    let distinct: BTreeSet<&String> = names.iter().collect();
    if distinct.len() < names.len() {
        return Err("has a name twice".to_owned());
    }
    Ok(())
}

/// Checks a plan.
///
/// # Errors
///
/// Every invalid field, or the error of the limits about the whole plan.
pub(crate) fn check_plan(record: &PlanRecord) -> Result<(), ServiceError> {
    let mut faults = InvalidFields::default();
    if !is_name(&record.name) {
        faults.add("name", "must be 1 to 64 letters, digits, `_` and `-`");
    }
    let description = check_single_line(&record.description, MAX_VALUE);
    faults.check("description", description);
    faults.check("apis", check_names(&record.apis));
    if let Some(rate) = &record.rate {
        check_rate("rate", rate, &mut faults);
    }
    if record.quota.is_some_and(|quota| quota.limit > MOST) {
        faults.add("quota", format!("must be at most {MOST}"));
    }
    check_methods(record, &mut faults);
    faults.finish()?;
    let mut seen = BTreeSet::new();
    for method in &record.methods {
        if !seen.insert((&method.method, &method.path)) {
            let (method, path) = (&method.method, &method.path);
            let message = format!("`methods` has {method} {path} twice");
            return Err(ServiceError::Inconsistent(message));
        }
    }
    UsagePlan::from(record).check()?;
    Ok(())
}

fn check_rate(field: &str, rate: &RateLimit, faults: &mut InvalidFields) {
    let RateLimit { per_second, burst } = *rate;
    if !(per_second > 0.0 && per_second <= FASTEST) {
        let message = format!("must be above 0 and at most {FASTEST} a second");
        faults.add(format!("{field}.per_second"), message);
    }
    if !(1..=MOST).contains(&burst) {
        let message = format!("must be 1 to {MOST}");
        faults.add(format!("{field}.burst"), message);
    }
}

fn check_methods(record: &PlanRecord, faults: &mut InvalidFields) {
    if record.methods.len() > MAX_METHODS {
        let message = format!("has more than {MAX_METHODS} entries");
        faults.add("methods", message);
    }
    for (index, method) in record.methods.iter().enumerate() {
        let field = format!("methods[{index}]");
        let word = &method.method;
        if !(1..=32).contains(&word.len()) || !word.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let message = "must be a method in capitals, or `ANY`";
            faults.add(format!("{field}.method"), message);
        }
        let path = &method.path;
        if &**path != "$default" && !path.starts_with('/') {
            let message = "must be the path of a route, which begins with `/`, or `$default`";
            faults.add(format!("{field}.path"), message);
        }
        faults.check(format!("{field}.path"), check_single_line(path, MAX_PATH));
        check_rate(&field, &method.rate, faults);
    }
}

/// Checks that no two of these plans are for one API.
///
/// # Errors
///
/// The first two that are.
pub(crate) fn check_distinct_apis(plans: &[&PlanRecord]) -> Result<(), ServiceError> {
    for (index, first) in plans.iter().enumerate() {
        for second in plans.iter().skip(index + 1) {
            let api = match shared_api(&first.apis, &second.apis) {
                None => continue,
                Some(SharedApi::All) => None,
                Some(SharedApi::Named(api)) => Some(api.clone()),
            };
            return Err(ServiceError::Overlap {
                first: first.name.clone(),
                second: second.name.clone(),
                api,
            });
        }
    }
    Ok(())
}

//! What names, texts and values may look like. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::super::keys::masked;
use super::super::ledger::record::{KeyRecord, PlanRecord};
use super::super::limits::Plan;
use super::error::{Fault, RegistrarError};

/// The longest name and consumer. Characters.
pub(crate) const LONGEST_NAME: usize = 128;
/// The longest description of a plan, and the longest value of metadata. Characters.
pub(crate) const LONGEST_VALUE: usize = 256;
/// The most entries of metadata.
pub(crate) const MOST_METADATA: usize = 32;
/// The most plans of one key, and the most APIs of one plan.
pub(crate) const MOST_PLANS: usize = 16;
/// The most methods with a rate of their own in one plan.
pub(crate) const MOST_METHODS: usize = 64;
/// The largest whole number: the largest quota of a configuration, and one that every reader of JSON
/// keeps exactly, also written as `5.0`.
const MOST: u64 = 1_000_000_000_000;
/// The highest rate. Requests a second.
const FASTEST: f64 = 1e9;
/// The longest path of a method. Characters.
const LONGEST_PATH: usize = 1024;

/// Whether it is an id or a name: letters, digits, `_` and `-`, at most 64.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether it can be the text of an imported key: 20 to 128 printable ASCII characters without
/// space, comma and quotes.
///
/// # Errors
/// Why not. Never repeats the text.
pub(crate) fn imported(text: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'"' | b'\'');
    if !text.bytes().all(allowed) {
        Err("holds something else than printable ASCII characters without space, comma and quotes")
    } else if !(20..=128).contains(&text.len()) {
        Err("must have 20 to 128 characters")
    } else {
        Ok(())
    }
}

/// Whether it is one line of at most so many characters.
///
/// # Errors
/// Why not.
pub(crate) fn line(text: &str, longest: usize) -> Result<(), String> {
    let breaks =
        |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    if text.chars().any(breaks) {
        Err("must be one line without control characters".to_owned())
    } else if text.chars().count() > longest {
        Err(format!("has more than {longest} characters"))
    } else {
        Ok(())
    }
}

/// Whether a key makes sense, but for its plans being there.
///
/// # Errors
/// Every part that does not.
pub(crate) fn key(record: &KeyRecord) -> Result<(), RegistrarError> {
    let mut faults = Vec::new();
    let mut check = |field: &str, result: Result<(), String>| {
        if let Err(message) = result {
            faults.push(Fault::new(field, message));
        }
    };
    check("name", line(&record.name, LONGEST_NAME));
    check("consumer", line(&record.consumer, LONGEST_NAME));
    if record.consumer.is_empty() {
        check("consumer", Err("is empty; say whose key it is".to_owned()));
    }
    check("plans", names(&record.plans));
    metadata(&record.metadata, &mut faults);
    done(faults)
}

fn metadata(entries: &BTreeMap<String, String>, faults: &mut Vec<Fault>) {
    if entries.len() > MOST_METADATA {
        let message = format!("has more than {MOST_METADATA} entries");
        faults.push(Fault::new("metadata", message));
    }
    for (name, value) in entries {
        if name == "id" {
            let message = "is taken: the attribute `api-key.id` is the key's own id";
            faults.push(Fault::new("metadata.id", message));
        } else if !is_name(name) {
            let message = "has a name that is not 1 to 64 letters, digits, `_` and `-`";
            faults.push(Fault::new("metadata", message));
        }
        if let Err(message) = line(value, LONGEST_VALUE) {
            faults.push(Fault::new(format!("metadata.{}", masked(name)), message));
        }
    }
}

/// A list of distinct names.
fn names(names: &[String]) -> Result<(), String> {
    if names.len() > MOST_PLANS {
        return Err(format!("has more than {MOST_PLANS} entries"));
    }
    if !names.iter().all(|name| is_name(name)) {
        return Err("holds a name that is not 1 to 64 letters, digits, `_` and `-`".to_owned());
    }
    let distinct: BTreeSet<&String> = names.iter().collect();
    if distinct.len() < names.len() {
        return Err("names something twice".to_owned());
    }
    Ok(())
}

/// Whether a plan makes sense.
///
/// # Errors
/// Every part that does not, or what the limits say of the whole.
pub(crate) fn plan(record: &PlanRecord) -> Result<(), RegistrarError> {
    let mut faults = Vec::new();
    if !is_name(&record.name) {
        faults.push(Fault::new(
            "name",
            "must be 1 to 64 letters, digits, `_` and `-`",
        ));
    }
    if let Err(message) = line(&record.description, LONGEST_VALUE) {
        faults.push(Fault::new("description", message));
    }
    if let Err(message) = names(&record.apis) {
        faults.push(Fault::new("apis", message));
    }
    if let Some(rate) = &record.rate {
        tokens("rate", rate.per_second, rate.burst, &mut faults);
    }
    if let Some(quota) = &record.quota
        && quota.limit > MOST
    {
        faults.push(Fault::new("quota", format!("must be at most {MOST}")));
    }
    methods(record, &mut faults);
    done(faults)?;
    let mut seen = BTreeSet::new();
    for method in &record.methods {
        if !seen.insert((&method.method, &method.path)) {
            let (method, path) = (&method.method, &method.path);
            let message = format!("`methods` has {method} {path} twice");
            return Err(RegistrarError::Senseless(message));
        }
    }
    Plan::from(record).check()?;
    Ok(())
}

fn tokens(field: &str, per_second: f64, burst: u64, faults: &mut Vec<Fault>) {
    if !(per_second > 0.0 && per_second <= FASTEST) {
        let message = format!("must be above 0 and at most {FASTEST} a second");
        faults.push(Fault::new(format!("{field}.per_second"), message));
    }
    if !(1..=MOST).contains(&burst) {
        let message = format!("must be 1 to {MOST}");
        faults.push(Fault::new(format!("{field}.burst"), message));
    }
}

fn methods(record: &PlanRecord, faults: &mut Vec<Fault>) {
    if record.methods.len() > MOST_METHODS {
        let message = format!("has more than {MOST_METHODS} entries");
        faults.push(Fault::new("methods", message));
    }
    for (place, method) in record.methods.iter().enumerate() {
        let field = format!("methods[{place}]");
        let word = &method.method;
        if !(1..=32).contains(&word.len()) || !word.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let message = "must be a method in capitals, or `ANY`";
            faults.push(Fault::new(format!("{field}.method"), message));
        }
        let path = &method.path;
        if path != "$default" && !path.starts_with('/') {
            let message = "must be the path of a route, which begins with `/`, or `$default`";
            faults.push(Fault::new(format!("{field}.path"), message));
        }
        if let Err(message) = line(path, LONGEST_PATH) {
            faults.push(Fault::new(format!("{field}.path"), message));
        }
        tokens(&field, method.per_second, method.burst, faults);
    }
}

fn done(faults: Vec<Fault>) -> Result<(), RegistrarError> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(RegistrarError::Invalid(faults))
    }
}

/// A plan's name and what it is sold for.
pub(crate) type Sold<'a> = (&'a str, Vec<&'a str>);

/// Whether no two of these plans are sold for one API.
///
/// # Errors
/// The first two that are.
pub(crate) fn apart(plans: &[Sold<'_>]) -> Result<(), RegistrarError> {
    for (place, (first, one)) in plans.iter().enumerate() {
        for (second, two) in plans.iter().skip(place + 1) {
            let api = match (one.is_empty(), two.is_empty()) {
                (true, true) => Some(None),
                (true, false) => two.first().map(|api| Some(*api)),
                (false, true) => one.first().map(|api| Some(*api)),
                (false, false) => one
                    .iter()
                    .find(|api| two.contains(api))
                    .map(|api| Some(*api)),
            };
            if let Some(api) = api {
                return Err(RegistrarError::Overlap {
                    first: (*first).to_owned(),
                    second: (*second).to_owned(),
                    api: api.map(str::to_owned),
                });
            }
        }
    }
    Ok(())
}

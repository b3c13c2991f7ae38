//! `[[key]]`: API keys, whose values no report may show.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value as Json, json};
use toml::de::{DeTable, DeValue};
use windlass_config_derive::FromTable;

use crate::config::field::{FromValue, Kind, NAME, Parsed, Reference, Unique, placed, text_values};
use crate::config::names::Group;
use crate::config::read::{Slot, Table};
use crate::config::source::Span;
use crate::config::value::name::is_name;
use crate::config::value::{digest, instant};
use crate::model::plan::{SharedApi, shared_api};

const ONLY_DIGESTS: &str =
    "never write a key into the file: `windlass key new` makes a key and prints its `digest`";

/// An API key, stored as its digest. `windlass key new` makes a key and prints this entry.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "[[key]]", private, title = title, check = digest_once)]
#[hint("key value secret" => ONLY_DIGESTS)]
#[hint("name" => "a key has an `id`, and a `consumer` whom it was issued to")]
pub struct Key {
    /// Its unique public name: the attribute `api-key.id`.
    #[key(required = "acme-1", kind = ID)]
    pub id: Arc<str>,
    /// The consumer that it was issued to: the attribute `consumer.id`.
    #[key(required = "acme")]
    pub consumer: Arc<str>,
    /// The SHA-256 digest of the key, as `sha256:` and 64 hex digits; never the key itself.
    #[key(required = "sha256:<64 hex digits>")]
    pub digest: [u8; 32],
    /// The indexes of its usage plans: one for each API at most.
    #[key(flatten = KeyPlans)]
    pub plans: Vec<usize>,
    /// Whether the key is accepted.
    #[key(default = true)]
    pub enabled: bool,
    /// When the key expires.
    #[key(absent = "never")]
    pub expires: Option<SystemTime>,
    /// Other attributes of the key. Filters read them through the `keys` interface.
    #[key(absent = "none")]
    pub attributes: BTreeMap<String, String>,
    /// The entry in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

#[derive(FromTable)]
#[table(into = Vec<usize>, make = plans)]
pub(super) struct KeyPlans {
    /// Its usage plan, if it has only one.
    #[key(absent = "no plan", kind = Reference(Group::Plan))]
    plan: Option<usize>,
    /// Its usage plans, at most one for each API.
    #[key(absent = "that of `plan`", each = placed(Reference(Group::Plan)))]
    plans: Vec<(usize, Span)>,
}

const ID: Unique<Parsed<String>> = Unique {
    of: NAME,
    sort: "key",
    private_cure: None,
};

text_values! {
    [u8; 32]: Parsed::new("`sha256:` and 64 hex digits", digest::parse)
        .matching("^sha256:[0-9A-Fa-f]{64}$")
        .private();
}

/// A date-time with an offset from UTC.
pub(crate) struct Instant;

impl FromValue for SystemTime {
    type Kind = Instant;
    const KIND: Instant = Instant;
}

impl Kind for Instant {
    type Value = SystemTime;

    fn words(&self) -> String {
        "a date-time such as `2027-01-01T00:00:00Z`".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "format": "date-time" })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<SystemTime> {
        let DeValue::Datetime(value) = slot.value else {
            let quoted = slot.as_text().is_some();
            let problem = slot.wants(&self.words());
            if quoted {
                problem.help("TOML writes date-times without quotes");
            }
            return None;
        };
        match instant::point(value) {
            Ok(point) => Some(point),
            Err(refused) => {
                slot.refuse(Some(&value.to_string()), &self.words(), refused);
                None
            }
        }
    }
}

/// The name of a key in reports.
fn title(values: &DeTable<'_>) -> String {
    let id = values.get("id").and_then(|id| id.get_ref().as_str());
    match id.filter(|id| is_name(id)) {
        Some(id) => format!("key `{id}`"),
        None => "key".to_owned(),
    }
}

/// Reports a digest that an earlier key has.
fn digest_once(table: &mut Table<'_>, key: &Key) {
    let span = table.span_of("digest");
    let digest = key.digest.escape_ascii().to_string();
    if let Some(line) = table.earlier("digest", &digest, span) {
        let message = format!("`digest` is that of the key in line {line}");
        table
            .error(span, &message)
            .help("`windlass key new` makes another key");
    }
}

/// The indexes of its plans; reports both keys, and two plans for one API.
fn plans(table: &mut Table<'_>, keys: KeyPlans) -> Vec<usize> {
    let KeyPlans { plan, plans } = keys;
    if table.has("plan") && table.has("plans") {
        let span = table.span_of("plan").max(table.span_of("plans"));
        table
            .error(span, "has both `plan` and `plans`, wanted one of them")
            .help("write all of them in `plans`");
    }
    for (at, (later, span)) in plans.iter().enumerate() {
        let mut earlier = plans.iter().take(at);
        let Some(shared) = earlier.find_map(|(one, _)| shared(table, *one, *later)) else {
            continue;
        };
        table
            .error(*span, &shared)
            .help("a key has at most one plan for each API: list in `apis` of each plan the APIs that it covers");
    }
    let plans = plans.into_iter().map(|(plan, _)| plan);
    plan.into_iter().chain(plans).collect()
}

/// The error about two plans that cover one API. None if they share no API, or if one could not be
/// read.
fn shared(table: &mut Table<'_>, one: usize, other: usize) -> Option<String> {
    let reader = &mut *table.reader;
    let (of_one, of_other) = (reader.plan_apis.get(&one)?, reader.plan_apis.get(&other)?);
    let names = &reader.names;
    let what = match shared_api(of_one, of_other)? {
        SharedApi::All => "every API".to_owned(),
        SharedApi::Named(api) => format!("API `{}`", names.at(Group::Api, *api)),
    };
    let (one, other) = (names.at(Group::Plan, one), names.at(Group::Plan, other));
    Some(format!(
        "`plans` holds `{one}` and `{other}`, which both cover {what}"
    ))
}

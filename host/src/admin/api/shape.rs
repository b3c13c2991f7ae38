//! The shapes of the API's JSON, as Rust types and as JSON Schema.
//!
//! Every limit here is one of the service's rules; a test compares the two.

pub(crate) mod archive;
mod key;
mod log;
mod plan;
mod starts_on;
mod upstream;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;
use utoipa::openapi::schema::{
    AdditionalProperties, Array, ArrayBuilder, Object, ObjectBuilder, Schema, SchemaType, Type,
};
use zeroize::Zeroizing;

use crate::control::service;
use crate::control::storage::QuotaExtension;
use crate::model::date;
use crate::model::json::whole_number;
use crate::model::name::NAME_PATTERN;
use crate::model::period::{FirstDay, PeriodKind};

pub(crate) use key::{KeyCreate, KeyCreated, KeyPage, KeyResource, KeyRotate, KeyUpdate};
pub(crate) use log::{LogResource, LogUpdate};
pub(crate) use plan::{PlanCreate, PlanPage, PlanResource, PlanUpdate};
pub(crate) use upstream::{EndpointCreate, UpstreamList, UpstreamResource};

/// A single line: no control characters and no line separators.
pub(crate) const LINE: &str = r"^[^\u0000-\u001F\u007F-\u009F\u2028\u2029]*$";

/// How much is to remain of a quota.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Extend)]
pub(crate) struct QuotaExtend {
    /// Requests that remain from now on, in the current period.
    #[serde(deserialize_with = "whole_number")]
    #[schema(minimum = 0, maximum = 1_000_000_000_000_u64)]
    pub(crate) remaining: u64,
}

/// An extended quota.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExtendedQuota {
    /// The plan.
    pub(crate) plan: String,
    /// The key.
    pub(crate) key: String,
    /// Requests that remain from now on.
    pub(crate) remaining: u64,
    /// How many requests beyond the plan's limit may be made in this period; negative if fewer may
    /// be.
    pub(crate) extra: i64,
    /// The kind of period.
    pub(crate) period: PeriodKind,
    /// Its first day; null of a day.
    #[schema(schema_with = starts_on::schema)]
    pub(crate) starts_on: Option<FirstDay>,
    /// When it ends, and the extension with it.
    #[schema(format = DateTime)]
    pub(crate) ends: String,
}

impl ExtendedQuota {
    pub(crate) fn new(made: QuotaExtension, remaining: u64) -> Self {
        Self {
            plan: made.plan,
            key: made.key,
            remaining,
            extra: made.extra,
            period: made.period.kind(),
            starts_on: made.period.first_day(),
            ends: date::moment(made.period.end_ms(made.number)),
        }
    }
}

/// The usage of keys on a plan, by day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
pub(crate) struct UsageResource {
    /// The plan.
    pub(crate) plan: String,
    /// The first day.
    #[schema(format = Date)]
    pub(crate) from: String,
    /// The last day.
    #[schema(format = Date)]
    pub(crate) to: String,
    /// For each key id, one pair for each day: the requests used, and the quota that remained at
    /// the end of the day (null if the plan has none).
    #[schema(schema_with = usage_items)]
    pub(crate) items: serde_json::Map<String, serde_json::Value>,
    /// Where to continue; null at the end.
    pub(crate) next_cursor: Option<String>,
}

/// The state of the gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// The running version.
    pub(crate) version: String,
    /// The configuration in use, counted from 1.
    pub(crate) generation: u64,
    /// Whether the process is draining.
    pub(crate) draining: bool,
    /// The storage of keys and plans; null without `[store]`.
    pub(crate) store: Option<StoreStatus>,
}

/// The state of the store.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoreStatus {
    /// The kind of storage and its address.
    pub(crate) name: String,
    /// Whether this gateway has every change older than `max_staleness`.
    pub(crate) fresh: bool,
    /// Time since the last answer of the storage. Milliseconds.
    pub(crate) since_contact_ms: u64,
    /// Keys that this gateway has loaded.
    pub(crate) keys: usize,
    /// The last commit that this gateway has applied.
    pub(crate) revision: u64,
}

fn one(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(kind))
}

/// The schema of texts by name.
fn texts(names: &str, longest: usize, most: usize, description: &str) -> Object {
    let name = one(Type::String).pattern(Some(names));
    let value = one(Type::String)
        .max_length(Some(longest))
        .pattern(Some(LINE));
    one(Type::Object)
        .description(Some(description))
        .property_names(Some(Schema::Object(name.build())))
        .additional_properties(Some(AdditionalProperties::RefOr(value.build().into())))
        .max_properties(Some(most))
        .build()
}

/// The schema of `metadata`.
pub(crate) fn metadata() -> Object {
    let description =
        "Facts that are attached to the key: the attributes `api-key.<name>` that filters see.";
    texts(
        "^(?!id$)[A-Za-z0-9_-]{1,64}$",
        service::MAX_VALUE,
        service::MAX_METADATA,
        description,
    )
}

/// The schema of a list of names without duplicates.
pub(crate) fn names() -> Array {
    let name = one(Type::String).pattern(Some(NAME_PATTERN));
    ArrayBuilder::new()
        .items(name)
        .max_items(Some(service::MAX_PLANS))
        .unique_items(true)
        .build()
}

/// The schema of an endpoint's labels.
pub(crate) fn labels() -> Object {
    texts(NAME_PATTERN, 256, 32, "Names and values.")
}

fn usage_items() -> Object {
    let number = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
        .minimum(Some(0_u64));
    let pair = ArrayBuilder::new()
        .items(number)
        .min_items(Some(2))
        .max_items(Some(2));
    let days = ArrayBuilder::new().items(pair);
    one(Type::Object)
        .additional_properties(Some(AdditionalProperties::RefOr(days.build().into())))
        .build()
}

/// Writes a key's text.
#[expect(clippy::ref_option, reason = "serde calls it so")]
pub(crate) fn secret_out<S: Serializer>(
    secret: &Option<Zeroizing<String>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    secret
        .as_ref()
        .map(|secret| secret.as_str())
        .serialize(serializer)
}

/// Reads a key's text.
pub(crate) fn secret_in<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Zeroizing<String>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(Zeroizing::new))
}

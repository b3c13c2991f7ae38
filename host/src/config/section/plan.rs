//! `[plan.<name>]`: how much each key of a plan may ask for.

use std::sync::Arc;

use windlass_config_derive::FromTable;

use super::rate::{MethodRateKeys, PlanRateKeys};
use crate::config::field::{Parsed, Reference};
use crate::config::names::Group;
use crate::config::read::Table;
use crate::config::source::Span;
use crate::config::value::{message, path};
use crate::model::period::{FirstDay, Period, PeriodKind};
use crate::model::plan::RateLimit;

/// A usage plan: how much each of its keys may use. At least one of `rate`, `quota` and `methods`.
#[derive(Debug, Clone, PartialEq, FromTable)]
#[table(heading = "[plan.<name>]", keys = some_bound, check = check)]
#[hint("api" => "it is called `apis`, a list")]
#[hint("throttle" => "it is called `rate`, with `burst` beside it")]
pub struct Plan {
    #[key(with = Table::name)]
    pub(crate) name: Arc<str>,
    /// Its token bucket.
    #[key(flatten = PlanRateKeys)]
    pub rate: Option<RateLimit>,
    /// How many requests a key may make in a period.
    #[key(absent = "no quota")]
    pub quota: Option<Quota>,
    /// Rates of single methods. A request needs room in the bucket of its method and in that of the
    /// plan.
    #[key(
        absent = "none",
        entries,
        least = 1,
        few = "leave it out where single methods have no rate of their own"
    )]
    pub methods: Vec<PlanMethod>,
    /// The APIs that the plan covers. Its counters count the requests to all of them together.
    #[key(absent = "all APIs, and routes without one", each = Reference(Group::Api), least = 1)]
    pub apis: Vec<usize>,
    /// The table's name in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

/// How many requests each key of the plan may make in a period, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromTable)]
#[table(heading = "quota = { .. }")]
#[hint("offset" => "there is none; the day on which a period starts is `starts_on`: `\"monday\"`, or 15 of a month")]
pub struct Quota {
    /// The number of requests in a period.
    #[key(required = 1000, within = 1..=1_000_000_000_000)]
    pub limit: u64,
    /// The period, in UTC.
    #[key(flatten = PeriodKeys)]
    pub period: Period,
}

#[derive(FromTable)]
#[table(into = Period, build = period)]
struct PeriodKeys {
    /// The period: a day from midnight, a week or a month from its first day, in UTC.
    #[key(required = "day")]
    period: PeriodKind,
    /// The first day of a week or a month: a weekday, or a day of the month.
    #[key(
        absent = "`\"sunday\"` for a week, `1` for a month",
        synonyms = "start first_day"
    )]
    starts_on: Option<FirstDay>,
}

/// The rate of one method of a path, for each key of the plan.
#[derive(Debug, Clone, PartialEq, FromTable)]
#[table(heading = "methods = [{ .. }]", check = method_once)]
pub struct PlanMethod {
    /// The method. `ANY` stands for every method that has no rate of its own.
    #[key(required = "GET", kind = METHOD)]
    pub method: String,
    /// The path, as the route writes it.
    #[key(required = "/orders/{id}", kind = PATH)]
    pub path: String,
    /// Its token bucket.
    #[key(flatten = MethodRateKeys)]
    pub rate: RateLimit,
    /// The entry in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

const METHOD: Parsed<String> = Parsed::new("a method such as `\"GET\"`, or `\"ANY\"`", |text| {
    let method = message::method(text)?;
    Ok(method.map_or_else(|| "ANY".to_owned(), |method| method.to_string()))
})
.matching("^[A-Z0-9!#$%&'*+.^_`|~-]+$");

const PATH: Parsed<String> = Parsed::new(
    "the path of a route, such as `\"/orders/{id}\"`",
    path::pattern,
)
.matching("^(/|\\$default$)");

/// Reports a plan that bounds nothing.
fn some_bound(table: &mut Table<'_>) {
    let keys = ["rate", "quota", "methods", "burst"];
    if !keys.into_iter().any(|key| table.has(key)) && !table.is_incomplete() {
        table.error(table.span(), "has neither `rate` nor `quota` nor `methods`, wanted at least one")
            .help("add `rate = 5` (requests a second) or `quota = { limit = 1000, period = \"day\" }`");
    }
}

fn check(table: &mut Table<'_>, plan: &Plan) {
    if let Some(whole) = plan.rate.filter(|_| table.is_sound("rate")) {
        above(table, &plan.methods, whole);
    }
    let reader = &mut *table.reader;
    if let Some(index) = reader.names.index(Group::Plan, &plan.name) {
        reader.plan_apis.insert(index, plan.apis.clone());
    }
}

/// Warns of methods whose own rate is never reached.
fn above(table: &mut Table<'_>, methods: &[PlanMethod], whole: RateLimit) {
    for method in methods {
        if method.rate.per_second > whole.per_second && method.rate.burst >= whole.burst {
            let (own, rate) = (method.rate.per_second, whole.per_second);
            let message = format!(
                "`methods` gives `{} {}` a rate of {own}, and the plan's own of {rate} ends it before",
                method.method, method.path
            );
            table
                .warning(method.span, &message)
                .help("lower it, or raise the plan's `rate`: a request must have room in both");
        }
    }
}

/// The period from its first day on; reports a day that it cannot start on.
fn period(table: &mut Table<'_>, keys: PeriodKeys) -> Option<Period> {
    let PeriodKeys {
        period: kind,
        starts_on,
    } = keys;
    let period = Period::new(kind, starts_on);
    if period.is_none() {
        let (message, cure) = match kind {
            PeriodKind::Day => (
                "`starts_on` has no meaning for a day, which starts at midnight",
                "remove it, or set `period` to \"week\" or \"month\"",
            ),
            PeriodKind::Week => (
                "`starts_on` of a week is a day of the month, wanted a weekday",
                "write a weekday such as \"monday\", or set `period` to \"month\"",
            ),
            PeriodKind::Month => (
                "`starts_on` of a month is a weekday, wanted a day of the month",
                "write a day from 1 to 28, or set `period` to \"week\"",
            ),
        };
        table.error_at("starts_on", message).help(cure);
    }
    period
}

/// Reports a method that an earlier entry has.
fn method_once(table: &mut Table<'_>, entry: &PlanMethod) {
    let (method, path) = (&entry.method, &entry.path);
    let sort = format!("{} method", table.owner);
    if let Some(line) = table.earlier(&sort, &format!("{method} {path}"), entry.span) {
        let message = format!("`methods` holds `{method} {path}`, which line {line} has already");
        table.error(entry.span, &message);
    }
}

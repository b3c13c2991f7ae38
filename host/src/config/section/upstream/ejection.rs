//! `ejection` of an upstream: which endpoints are taken out by the results of requests.

use std::time::Duration;

use windlass_config_derive::FromTable;

use super::StatusRanges;
use crate::config::read::Table;
use crate::config::value::unit;

/// Ejects an endpoint for a while because of the results of requests. Faults are: no connection, no
/// connection in time, a connection that ends before the response's head, no response in time, and
/// one of `statuses`.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "ejection = { .. }", short = "faults", check = check)]
#[hint("false" => "for no ejection write `{ faults = 0 }`")]
#[hint("true" => "it is on where it is left out")]
#[hint("enabled" => "for no ejection write `faults = 0`")]
pub struct Ejection {
    /// After this many faults in a row. 0 never ejects.
    #[key(default = 5, within = 0..=10_000, synonyms = "errors failures max_fails consecutive_errors consecutive_5xx")]
    pub(crate) faults: u32,
    /// If a smaller share of an interval's results is good, in percent. 0 never ejects.
    #[key(default = 0, within = 0..=100)]
    pub(crate) min_success: u32,
    /// With fewer results in an interval, Windlass does not look at `min_success`.
    #[key(default = 50, within = 1..=1_000_000)]
    pub(crate) min_requests: u32,
    /// The interval over which Windlass measures the share of good results.
    #[key(default = "10s", within = "100ms"..="1h")]
    pub(crate) interval: Duration,
    /// Statuses that count as faults. They apply to all routes: list only those that a broken
    /// endpoint sends.
    #[key(absent = "none")]
    pub statuses: StatusRanges,
    /// How long the first ejection lasts. Each further one lasts twice as long, until the endpoint
    /// has been healthy for as long as it was out.
    #[key(default = "10s", synonyms = "duration fail_timeout base_ejection_time")]
    pub(crate) backoff: Duration,
    /// The longest ejection, at least `backoff`.
    #[key(default = "5m", synonyms = "max_ejection_time")]
    pub(crate) max_backoff: Duration,
    /// The most endpoints that are ejected at a time, in percent, rounded down: with less than 100,
    /// a single endpoint never is.
    #[key(default = 50, within = 0..=100, synonyms = "max_ejection_percent")]
    pub(crate) max_share: u32,
}

fn check(table: &mut Table<'_>, ejection: &Ejection) {
    let (backoff, max_backoff) = (ejection.backoff, ejection.max_backoff);
    if backoff > max_backoff
        && let Some(span) = table.span_if_sound(&["backoff", "max_backoff"])
    {
        let (first, most) = (unit::duration(backoff), unit::duration(max_backoff));
        let message = format!("`ejection.backoff` ({first}) is more than `max_backoff` ({most})");
        let help = format!("raise `max_backoff` to `\"{first}\"`, or lower `backoff`");
        table.error(span, &message).help(help);
    }
    never(
        table,
        ejection.faults,
        ejection.min_success,
        ejection.max_share,
    );
    by_clients(table, &ejection.statuses);
}

/// Warns of what changes nothing as no endpoint is ever taken out, or none by its share of results.
fn never(table: &mut Table<'_>, faults: u32, min_success: u32, max_share: u32) {
    let keys = ["faults", "min_success", "max_share"];
    if keys.into_iter().any(|key| !table.is_sound(key)) {
        return;
    }
    if faults == 0 && min_success == 0 {
        let keys = ["statuses", "backoff", "max_backoff", "max_share"];
        table.idle(&keys, "with `faults = 0` and without `min_success`");
    } else if max_share == 0 {
        let message = "`ejection.max_share` is 0: no endpoint is ever taken out";
        table.warning_at("max_share", message).help(
            "write a share such as 50, or, if none is to be taken out, `ejection = { faults = 0 }`",
        );
    }
    if min_success == 0 {
        let keys = ["min_requests", "interval"];
        table.idle(&keys, "without `min_success`");
    }
}

/// Warns of statuses that say nothing against the endpoint: clients can bring them about.
fn by_clients(table: &mut Table<'_>, statuses: &StatusRanges) {
    // 408 and 429 are also said by an endpoint that has too much to do.
    let mut others = (200..500).filter(|status| ![408, 429].contains(status));
    if let Some(status) = others.find(|status| statuses.holds(*status)) {
        let message = format!(
            "`ejection.statuses` holds {status}, which is no fault of the endpoint: clients could get endpoints ejected by their requests"
        );
        table
            .warning_at("statuses", &message)
            .help("write statuses of a broken endpoint, such as `\"500,502-504\"`");
    }
}

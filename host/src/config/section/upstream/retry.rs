//! `retries` and `limits` of an upstream.

use std::time::Duration;

use windlass_config_derive::{FromTable, Word};

use super::StatusRanges;
use crate::config::read::Table;
use crate::config::value::unit;

/// When Windlass retries a request: at once on another endpoint or, if there is none, after 12 to
/// 250 ms on the same endpoint over another connection. It does so only if nothing of the request
/// was sent, or if its method is idempotent (RFC 9110 section 9.2.2) and its whole body was kept.
#[derive(Debug, Clone, PartialEq, FromTable)]
#[table(heading = "retries = { .. }", short = "attempts", check = check)]
#[hint("max max_retries count" => "it is called `attempts`, the first one included")]
#[hint("false" => "for no retries write `{ attempts = 1 }`")]
#[hint("true" => "they are on where this is left out")]
#[hint("enabled" => "for no retries write `attempts = 1`")]
#[hint("backoff delay" => "it is no setting: another endpoint is asked at once, the same one after 12 to 250 ms")]
#[hint("methods" => "Windlass retries only idempotent requests (RFC 9110 section 9.2.2)")]
pub(crate) struct Retries {
    /// The most attempts, including the first. Each goes to an endpoint that was not tried yet, if
    /// there is one. With 1 there are no retries. If an unused connection was closed meanwhile, or
    /// the endpoint refused the request unread, Windlass tries the same endpoint on another
    /// connection and does not count that.
    #[key(default = 2, within = 1..=10)]
    pub(crate) attempts: u32,
    /// The faults to retry after: no connection, a connection that ends before the first byte of
    /// the response, no response in time.
    #[key(default = r#"["connect", "reset"]"#)]
    pub(crate) on: Vec<RetryOn>,
    /// The statuses to retry after. The client gets the response of the last attempt, whatever it
    /// is.
    #[key(absent = "none", synonyms = "codes")]
    pub(crate) statuses: StatusRanges,
    /// From the end of the request to the head of the response, for an attempt that another can
    /// follow. It does not apply to the last attempt, to a request that cannot be sent again, or if
    /// no endpoint or budget is left for a retry. The only endpoint of an upstream is tried again.
    #[key(
        absent = "`first_byte_timeout`, which is that of all attempts together",
        synonyms = "timeout"
    )]
    pub(crate) try_timeout: Option<Duration>,
    /// The largest request body that Windlass keeps for a retry.
    #[key(default = "64KiB", within = "0B"..="64MiB")]
    pub(crate) max_body: usize,
    /// Retries for each hundred requests, for each worker. Attempts that sent nothing are free.
    #[key(default = 20, within = 0..=1000)]
    pub(crate) budget: u32,
    /// Retries per second besides `budget`, for all workers together.
    #[key(default = 10, within = 0..=1_000_000)]
    pub(crate) budget_rate: u32,
}

/// Why a request is tried once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
#[hint("5xx" => "statuses have a key of their own: `statuses = \"500-599\"`")]
#[hint("status gateway-error" => "statuses have a key of their own: `statuses = \"502-504\"`")]
#[hint("502" => "statuses have a key of their own: `statuses = \"502\"`")]
#[hint("503" => "statuses have a key of their own: `statuses = \"503\"`")]
#[hint("504" => "statuses have a key of their own: `statuses = \"504\"`")]
#[hint("connect-failure" => "did you mean `\"connect\"`?")]
#[hint("error" => "write `[\"connect\", \"reset\"]`")]
pub(crate) enum RetryOn {
    /// No connection: nothing was sent.
    Connect,
    /// The connection ended before the response's first byte.
    Reset,
    /// No response in time.
    Timeout,
}

fn check(table: &mut Table<'_>, retries: &Retries) {
    if let Some(status) = (200..400).find(|status| retries.statuses.holds(*status)) {
        let message = format!(
            "`retries.statuses` holds {status}, which is no failure: Windlass would retry good responses"
        );
        table
            .warning_at("statuses", &message)
            .help("write statuses of an endpoint that cannot answer, such as `\"502-504\"`");
    }
    if retries.attempts == 1 {
        table.idle(&["on", "statuses", "try_timeout"], "with `attempts = 1`");
    }
}

/// Warns of attempts that are given more time than all of them have together.
pub(super) fn in_time(
    table: &mut Table<'_>,
    retries: &Retries,
    first_byte: Duration,
    total: Option<Duration>,
) {
    let on_timeout = retries.on.contains(&RetryOn::Timeout);
    let Some(longest) = retries.try_timeout else {
        let is_there = table.has_part("retries", "try_timeout");
        if on_timeout && !is_there && retries.attempts > 1 && !table.is_incomplete() {
            let message =
                "`retries.on` holds `timeout`, which changes nothing without `try_timeout`";
            table.warning(table.span_of_part("retries", "on"), message).help(
                "`first_byte_timeout` is for all attempts together: give one of them less, such as `try_timeout = \"5s\"`",
            );
        }
        return;
    };
    let bounds = [
        ("first_byte_timeout", Some(first_byte)),
        ("total_timeout", total),
    ];
    let known = bounds.into_iter().filter(|(key, _)| table.is_sound(key));
    let least = known.filter_map(|(key, time)| Some((time?, key))).min();
    if let Some((bound, key)) = least.filter(|(bound, _)| longest >= *bound)
        && retries.attempts > 1
    {
        let (longest, bound) = (unit::duration(longest), unit::duration(bound));
        let message = format!(
            "`retries.try_timeout` ({longest}) changes nothing: all attempts together have no more than `{key}` ({bound})"
        );
        let help =
            format!("make it shorter than `\"{bound}\"`, so that time is left for another attempt");
        table
            .warning(table.span_of_part("retries", "try_timeout"), &message)
            .help(help);
    }
}

/// How many requests and connections each endpoint gets, from all workers together. If no endpoint
/// has room, requests wait in a queue. If the queue is full, or the wait too long, they get 503
/// with `Retry-After`.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "limits = { .. }", short = "max_active", keys = idle_queue)]
#[hint("false" => "for no limits leave it out")]
pub(crate) struct EndpointLimits {
    /// The most active requests on one endpoint.
    #[key(absent = "no limit", within = 1..=1_000_000, synonyms = "max_requests max_concurrent")]
    pub(crate) max_active: Option<u32>,
    /// The most connections to one endpoint, including unused ones.
    #[key(absent = "no limit", within = 1..=1_000_000)]
    pub(crate) max_connections: Option<u32>,
    /// The most requests of one upstream in the queue. 0 turns the queue off.
    #[key(default = 128, within = 0..=100_000, synonyms = "max_pending max_queue")]
    pub(crate) queue: usize,
    /// How long a request may wait in the queue.
    #[key(default = "1s", within = "1ms"..="5m", synonyms = "timeout")]
    pub(crate) queue_timeout: Duration,
}

fn idle_queue(table: &mut Table<'_>) {
    if !table.has("max_active") && !table.has("max_connections") {
        let why = "without `max_active` or `max_connections`";
        table.idle(&["queue", "queue_timeout"], why);
    }
}

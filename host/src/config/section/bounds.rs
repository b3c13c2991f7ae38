//! `limits`, `recycle` and `breaker` of a filter.

use std::num::NonZeroU32;
use std::time::Duration;

use windlass_config_derive::FromTable;

use crate::config::MAX_DOCUMENT;
use crate::config::read::Table;
use crate::config::value::unit::{self, SIZE};

/// How much a filter may use. A call that needs more fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromTable)]
#[table(heading = "limits = { .. }", check = room)]
pub struct FilterLimits {
    /// The CPU time of one call. A call for a gathered body may use as much again for each 64 KiB
    /// of it. If a call may use more than 10 ms, the worker serves other requests meanwhile.
    #[key(absent = "`\"10ms\"`; `\"1s\"` for `builtin:sdk-metadata`", within = "1ms"..="1m")]
    pub cpu: Option<Duration>,
    /// The CPU time to start an instance and give it its settings.
    #[key(default = "1s", within = "1ms"..="1m")]
    pub start_cpu: Duration,
    /// How long a request waits for an instance while all are busy or starting; then 503
    /// `filter_busy`.
    #[key(default = "10s", within = "1ms"..="1m")]
    pub wait: Duration,
    /// The linear memory of one instance, at most `max_memory` of `[wasm]`.
    #[key(default = "64MiB", within = "64KiB"..="4GiB")]
    pub memory: u64,
    /// The largest body that `whole` or `more` may gather. A larger one gets 413 or 502.
    #[key(default = "1MiB", within = "0B"..="1GiB")]
    pub body: u64,
    /// The largest file in `documents`.
    #[key(default = "4MiB", within = "1B"..=MAX_DOCUMENT)]
    pub document: u64,
}

/// When Windlass replaces an instance with a new one: as soon as one of these limits is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromTable)]
#[table(heading = "recycle = { .. }")]
pub struct Recycle {
    /// After this many calls, at random up to a fifth more or fewer.
    #[key(default = 10_000, within = 1..=1_000_000_000)]
    pub calls: NonZeroU32,
    /// After this time.
    #[key(default = "10m", within = "1s"..="720h")]
    pub age: Duration,
    /// When its memory has grown by this much since it got its settings.
    #[key(default = "32MiB", within = "64KiB"..="4GiB")]
    pub growth: u64,
}

/// When Windlass stops calling a filter that keeps failing for a while. `on_error` says what
/// happens to requests meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromTable)]
#[table(heading = "breaker = { .. }", check = first_within_longest)]
pub struct Breaker {
    /// After this many failures in a row or within `window`.
    #[key(default = 5, within = 1..=1_000_000)]
    pub failures: NonZeroU32,
    /// The time in which failures are counted.
    #[key(default = "10s")]
    pub window: Duration,
    /// How long the first pause lasts. Each further failure doubles it.
    #[key(default = "1s")]
    pub backoff: Duration,
    /// The longest pause, at least `backoff`.
    #[key(default = "1m")]
    pub max_backoff: Duration,
}

/// A filter's memory is a part of that of all, and its body is a part of its memory.
fn room(table: &mut Table<'_>, limits: &FilterLimits) {
    let most = table.reader.max_memory;
    if limits.memory > most && table.is_sound("memory") {
        let (asked, most) = (SIZE.print(limits.memory), SIZE.print(most));
        let message =
            format!("`limits.memory` is {asked}, more than `max_memory` of `[wasm]` ({most})");
        table.error_at("memory", &message).help(format!(
            "set `limits = {{ memory = \"{most}\" }}`, or raise `max_memory`"
        ));
    }
    if limits.body >= limits.memory
        && let Some(span) = table.span_if_sound(&["body", "memory"])
    {
        let (body, memory) = (SIZE.print(limits.body), SIZE.print(limits.memory));
        let message = format!(
            "`limits.body` ({body}) is not below `memory` ({memory}), in which a gathered body must have room: the filter fails before"
        );
        table
            .warning(span, &message)
            .help("lower `body`, or raise `memory` to several times as much");
    }
}

fn first_within_longest(table: &mut Table<'_>, breaker: &Breaker) {
    if breaker.backoff > breaker.max_backoff
        && let Some(span) = table.span_if_sound(&["backoff", "max_backoff"])
    {
        let first = unit::duration(breaker.backoff);
        let most = unit::duration(breaker.max_backoff);
        let message = format!("`breaker.backoff` ({first}) is more than `max_backoff` ({most})");
        table.error(span, &message);
    }
}

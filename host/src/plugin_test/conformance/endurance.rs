//! Many calls of one instance, and the CPU time of one.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::{Kit, Verdict};
use crate::plugin_test::TestError;
use crate::plugin_test::filter_host::FilterUnderTest;
use crate::plugin_test::lines;

/// The calls of one round of the check of memory.
const CALLS: u64 = 25_000;

/// The rounds, one of which must be without much growth. A collector that has little to do begins late.
const ROUNDS: usize = 3;

/// The calls after which the memory is first read: caches and collectors have settled.
const WARM_UP: u64 = 2_500;

/// How much the memory may grow in a round. Bytes.
const MAX_GROWTH: u64 = 1 << 20;

/// The exchanges whose CPU time is measured.
const MEASURED: usize = 101;

pub(super) fn memory(kit: &Kit<'_>) -> Result<Verdict, TestError> {
    let host = kit.host()?;
    let under = kit.filter(&host)?;
    if let Some(verdict) = call_until(kit, &under, WARM_UP)? {
        return Ok(verdict);
    }
    let mut growth = Vec::new();
    while growth.len() < ROUNDS {
        let before = under.worker_filter.instance_memory();
        let end = WARM_UP + CALLS * (growth.len() as u64 + 1);
        if let Some(verdict) = call_until(kit, &under, end)? {
            return Ok(verdict);
        }
        lines::take();
        let (Some(first), Some(last)) = (before, under.worker_filter.instance_memory()) else {
            let expected = "the same instance after all calls";
            return Ok(Verdict::failed(expected, "it was replaced", Vec::new()));
        };
        let grown = last.saturating_sub(first);
        if grown <= MAX_GROWTH {
            return Ok(Verdict::passed(format!(
                "{end} calls; memory {} KiB, grown by {} KiB in the last {CALLS}",
                last / 1024,
                grown / 1024
            )));
        }
        growth.push(grown / 1024);
    }
    let growth: Vec<_> = growth.iter().map(|grown| format!("{grown} KiB")).collect();
    Ok(Verdict::failed(
        format!(
            "a growth of at most {} KiB in {CALLS} calls",
            MAX_GROWTH / 1024
        ),
        format!(
            "its memory grew by {} in {CALLS} calls each: it keeps something of each exchange, or never collects",
            growth.join(", ")
        ),
        Vec::new(),
    ))
}

/// Makes calls until there were so many. A verdict, if they cannot be made.
fn call_until(
    kit: &Kit<'_>,
    under: &FilterUnderTest,
    end: u64,
) -> Result<Option<Verdict>, TestError> {
    let stimulus = kit.stimulus("memory");
    loop {
        let before = calls(under);
        if before >= end {
            return Ok(None);
        }
        let result = kit.pass(under, &stimulus, None)?;
        if let Some((_, text)) = &result.failure {
            let expected = format!("{end} calls without a failure");
            let seen = format!("call {}: {text}", calls(under));
            return Ok(Some(Verdict::failed(expected, seen, result.lines)));
        }
        if calls(under) == before {
            return Ok(Some(Verdict::Skipped(
                "its exchanges make no calls: it exports no phase".to_owned(),
            )));
        }
    }
}

pub(super) fn deadline(kit: &Kit<'_>) -> Result<Verdict, TestError> {
    let host = kit.host()?;
    let under = kit.filter(&host)?;
    let stimulus = kit.stimulus("deadline");
    let mut times = Vec::new();
    for _ in 0..MEASURED {
        let (calls, start) = (calls(&under), thread_cpu());
        let result = kit.pass(&under, &stimulus, None)?;
        let used = thread_cpu().saturating_sub(start);
        let made = self::calls(&under).saturating_sub(calls);
        if let Some((_, text)) = result.failure {
            let expected = "calls without a failure";
            return Ok(Verdict::failed(expected, text, result.lines));
        }
        if let Ok(made @ 1..) = u32::try_from(made) {
            times.push(used / made);
        }
    }
    times.sort_unstable();
    let Some(median) = times.get(times.len() / 2).copied() else {
        return Ok(Verdict::Skipped(
            "its exchanges make no calls: it exports no phase".to_owned(),
        ));
    };
    let limit = under.filter.call_cpu();
    if median > limit / 2 {
        return Ok(Verdict::failed(
            format!("calls of less than half of `limits.cpu`, {limit:?}"),
            format!(
                "a call uses {median:?} of CPU time, so that it fails on a busy machine: do less in a call, or raise `limits = {{ cpu = \"..\" }}` and say so in the plugin's README"
            ),
            lines::take(),
        ));
    }
    Ok(Verdict::passed(format!(
        "{} us of CPU a call, of {} ms",
        median.as_micros(),
        limit.as_millis()
    )))
}

fn calls(under: &FilterUnderTest) -> u64 {
    under.filter.figure(|figures| &figures.calls)
}

/// The CPU time that this thread has used.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

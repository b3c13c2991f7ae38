//! Calls that end before their verdict.

use super::{Kit, Verdict};
use crate::plugin_test::TestError;
use crate::plugin_test::exchange_result::Ending;
use crate::plugin_test::filter_host::FilterUnderTest;
use crate::plugin_test::pass::{FaultyPhase, PhaseFault};
use crate::wasm::CallFault;

/// The most calls of the host after which a call is ended.
const MAX_HOST_CALLS: u32 = 24;

/// How often the base's exchange must end in the same way: once for each fault.
const REPEATS: usize = 60;

const PHASES: [(FaultyPhase, &str); 5] = [
    (FaultyPhase::Request, "on-request"),
    (FaultyPhase::RequestBody, "on-request-body"),
    (FaultyPhase::Response, "on-response"),
    (FaultyPhase::ResponseBody, "on-response-body"),
    (FaultyPhase::Log, "on-log"),
];

pub(super) fn traps(kit: &Kit<'_>) -> Result<Verdict, TestError> {
    let ending = match kit.ending(REPEATS)? {
        Ok(ending) => ending,
        Err(verdict) => return Ok(verdict),
    };
    let host = kit.host()?;
    let under = kit.filter(&host)?;
    let mut ended = 0;
    for (phase, name) in PHASES {
        for (fault, place) in faults() {
            let fault = PhaseFault { phase, fault };
            match end_call(kit, &under, fault, &ending)? {
                FaultEffect::None => break,
                FaultEffect::Contained => ended += 1,
                FaultEffect::Spread(seen, lines) => {
                    return Ok(Verdict::failed(
                        format!(
                            "after a call of `{name}` that ended {place}, the next exchange with {ending}"
                        ),
                        format!(
                            "{seen}: the filter keeps a state (in the cache, or a counter) that only its later calls would have cleared"
                        ),
                        lines,
                    ));
                }
            }
        }
    }
    Ok(Verdict::passed(format!("{ended} calls ended early")))
}

/// A call that ends at once, then after each call of the host.
fn faults() -> impl Iterator<Item = (CallFault, String)> {
    let after = (0..MAX_HOST_CALLS).map(|calls| {
        let place = format!("at call {} of the host", calls + 1);
        (CallFault::AfterHostCalls(calls), place)
    });
    std::iter::once((CallFault::AtOnce, "at its first instruction".to_owned())).chain(after)
}

/// The effect of a fault.
enum FaultEffect {
    /// The phase was not called, or ended before.
    None,
    /// The exchange failed, and the next did not.
    Contained,
    /// The next exchange ended in another way.
    Spread(Ending, Vec<crate::plugin_test::lines::LogEvent>),
}

fn end_call(
    kit: &Kit<'_>,
    under: &FilterUnderTest,
    fault: PhaseFault,
    ending: &Ending,
) -> Result<FaultEffect, TestError> {
    let broken = kit.pass(under, &kit.stimulus("traps"), Some(fault))?;
    if broken.failure.is_none() {
        return Ok(FaultEffect::None);
    }
    let next = kit.pass(under, &kit.base, None)?;
    let seen = next.ending();
    Ok(match seen == *ending {
        true => FaultEffect::Contained,
        false => FaultEffect::Spread(seen, next.lines),
    })
}

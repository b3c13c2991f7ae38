//! The conformance kit: checks that every filter passes, whatever it does.
//!
//! Each check starts from the exchange of a case, so that a filter that refuses everything without its
//! key passes too. A refusal is never a fault here; a failed call is, except where the check made it
//! fail.

mod endurance;
mod faults;
mod inputs;
mod leaks;
mod loading;

use std::time::Instant;

use super::exchange_result::{Ending, ExchangeResult};
use super::filter_host::{FilterHost, FilterUnderTest, Rejected, keep_instance};
use super::lines::{self, LogEvent};
use super::pass::{PhaseFault, pass};
use super::report::{TestGroup, TestOutcome, TestReport, TestResult};
use super::stimulus::Stimulus;
use super::{TestBench, TestError, cases, compare::Mismatch, is_named};
use crate::config::{PluginCase, Settings};
use crate::runtime::clock::{stop_wall_clock, unix_ms};

/// A check of the kit.
pub(super) struct Check {
    pub(super) name: &'static str,
    /// Why it matters, and what the check does.
    pub(super) why: &'static str,
    run: fn(&Kit<'_>) -> Result<Verdict, TestError>,
}

/// All checks, in the order in which they run.
pub(super) const CHECKS: [Check; 10] = [
    Check {
        name: "describe",
        why: "Tools and operators rely on the description: two instances give the same, and the schema of the settings is JSON.",
        run: loading::describe,
    },
    Check {
        name: "bad-settings",
        why: "A wrong setting must be an error with its line. An empty table, an unknown key, and each setting left out or of another type are rejected with a diagnostic or accepted; `configure` never traps.",
        run: loading::bad_settings,
    },
    Check {
        name: "heads",
        why: "Clients choose the head. One without fields, and one as large as a listener accepts, make no call fail; nor does such a response.",
        run: inputs::heads,
    },
    Check {
        name: "bodies",
        why: "Clients and endpoints choose the bodies. Empty ones, tiny pieces, and bodies up to twice `limits.body` make no call fail.",
        run: inputs::bodies,
    },
    Check {
        name: "cut-bodies",
        why: "Clients and endpoints go away. A request or response that breaks off makes no call fail, and the next exchange ends as before.",
        run: inputs::cut_bodies,
    },
    Check {
        name: "two-consumers",
        why: "An instance serves one client after another. Nothing of one exchange (fields, query, body, attributes, address) is in the request, response, attributes or log lines of the next.",
        run: leaks::two_consumers,
    },
    Check {
        name: "traps",
        why: "A call can end at any point. The kit ends calls in each phase, at once and after each call of the host; every time, the next exchange ends as before.",
        run: faults::traps,
    },
    Check {
        name: "reload",
        why: "During a reload two configurations serve at the same time. An exchange that began in the old one, and those in the new one, end as before.",
        run: loading::reload,
    },
    Check {
        name: "deadline",
        why: "Under load, calls take longer. An ordinary call uses less than half of `limits.cpu`.",
        run: endurance::deadline,
    },
    Check {
        name: "memory",
        why: "An instance serves thousands of calls. 25,000 calls of one instance succeed, and its memory grows by at most 1 MiB in them. If it grows by more, two more rounds of as many calls follow, since a collector may begin late; one round must be within the bound.",
        run: endurance::memory,
    },
];

/// The result of a check.
pub(super) enum Verdict {
    /// Passed, with what was measured.
    Passed(String),
    /// It says nothing about this filter.
    Skipped(String),
    Failed {
        expected: String,
        seen: String,
        lines: Vec<LogEvent>,
    },
}

impl Verdict {
    fn passed(note: impl Into<String>) -> Self {
        Self::Passed(note.into())
    }

    fn failed(expected: impl Into<String>, seen: impl Into<String>, lines: Vec<LogEvent>) -> Self {
        Self::Failed {
            expected: expected.into(),
            seen: seen.into(),
            lines,
        }
    }
}

/// The start of the checks.
pub(super) struct Kit<'a> {
    bench: &'a TestBench<'a>,
    /// The case whose exchange is repeated, if one fits.
    case: Option<&'a PluginCase>,
    base: Stimulus,
}

impl<'a> Kit<'a> {
    /// A kit that starts from this case, or from a plain `GET`.
    pub(super) fn new(bench: &'a TestBench<'a>, case: Option<&'a PluginCase>) -> Self {
        Self {
            bench,
            case,
            base: case.map(Stimulus::of).unwrap_or_default(),
        }
    }

    /// The base's exchange, marked with the check's name.
    fn stimulus(&self, check: &'static str) -> Stimulus {
        let mut stimulus = self.base.clone();
        stimulus
            .headers
            .insert("x-conformance", http::HeaderValue::from_static(check));
        stimulus
    }

    fn settings(&self) -> &Settings {
        match self.case {
            Some(case) => cases::settings(self.bench, case),
            None => &self.bench.plan.cases.settings,
        }
    }

    fn host(&self) -> Result<FilterHost, TestError> {
        FilterHost::new(self.bench, self.settings())
    }

    /// The filter in a host of its own. Its instance is replaced only if it fails.
    fn filter(&self, host: &FilterHost) -> Result<FilterUnderTest, TestError> {
        match host.load(keep_instance)? {
            Ok(under) => {
                lines::take();
                Ok(under)
            }
            Err(rejected) => Err(TestError::Input(self.unusable(&rejected))),
        }
    }

    fn unusable(&self, rejected: &Rejected) -> String {
        let why = match rejected {
            Rejected::Failed(text) => text.clone(),
            Rejected::Settings(complaints) => {
                let complaints = complaints.iter();
                let texts = complaints.map(|(at, message)| format!("`{at}`: {message}"));
                format!(
                    "it rejects its settings: {}",
                    texts.collect::<Vec<_>>().join("; ")
                )
            }
        };
        let cure = match self.case {
            Some(_) => "",
            None => {
                "; the conformance kit starts from the first case that passes and whose request reaches the endpoint: write one in `cases.toml`"
            }
        };
        format!("the filter does not start: {why}{cure}")
    }

    fn pass(
        &self,
        under: &FilterUnderTest,
        stimulus: &Stimulus,
        fault: Option<PhaseFault>,
    ) -> Result<ExchangeResult, TestError> {
        if let (Some(server), Some(case)) = (&self.bench.callouts, self.case) {
            server.expect(&case.calls);
        }
        self.bench
            .runtime
            .block_on(pass(under, stimulus, fault))
            .map_err(TestError::Input)
    }

    /// How the base's exchange ends, if it does so each time; else the check cannot compare.
    fn ending(&self, times: usize) -> Result<Result<Ending, Verdict>, TestError> {
        let host = self.host()?;
        let under = self.filter(&host)?;
        let first = self.pass(&under, &self.base, None)?;
        let ending = first.ending();
        if let Some((kind, text)) = &first.failure {
            let seen = format!("{kind}: {text}");
            return Ok(Err(Verdict::failed(
                "an exchange without a failure",
                seen,
                first.lines,
            )));
        }
        for count in 2..=times {
            let seen = self.pass(&under, &self.base, None)?.ending();
            if seen != ending {
                return Ok(Err(Verdict::Skipped(format!(
                    "exchange {count} of the same kind ends with {seen}, the first with {ending}; name a case that can be repeated in `conformance.base`"
                ))));
            }
        }
        Ok(Ok(ending))
    }
}

/// A failure that the filter is to blame for. A client chose the size of a head in which an edit has no
/// room.
fn fault_of(result: &ExchangeResult) -> Option<String> {
    let (kind, text) = result.failure.as_ref()?;
    (kind != "no_room").then(|| text.clone())
}

/// Run the checks.
///
/// # Errors
///
/// The filter does not start.
pub(super) fn run(kit: &Kit<'_>, report: &mut TestReport) -> Result<(), TestError> {
    let plan = kit.bench.plan;
    for check in &CHECKS {
        if !is_named(plan.filter, check.name) {
            continue;
        }
        let start = Instant::now();
        stop_wall_clock(kit.case.and_then(|case| case.time).map(unix_ms));
        let verdict = match plan.cases.conformance.skip.get(check.name) {
            Some(reason) => Ok(Verdict::Skipped(reason.clone())),
            None => (check.run)(kit),
        };
        stop_wall_clock(None);
        report.add(TestResult {
            group: TestGroup::Conformance,
            name: check.name.to_owned(),
            place: None,
            took: start.elapsed(),
            outcome: outcome(check, verdict?),
        });
    }
    report.base = kit.case.map(|case| case.name.to_string());
    Ok(())
}

fn outcome(check: &Check, verdict: Verdict) -> TestOutcome {
    match verdict {
        Verdict::Passed(note) => TestOutcome::Passed(note),
        Verdict::Skipped(reason) => TestOutcome::Skipped(reason),
        Verdict::Failed {
            expected,
            seen,
            lines,
        } => TestOutcome::Failed {
            mismatches: vec![Mismatch::new(check.why, expected, seen)],
            lines: lines.iter().map(ToString::to_string).collect(),
        },
    }
}

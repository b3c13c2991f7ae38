//! Runs one case.

use super::compare::{self, Mismatch};
use super::filter_host::{FilterHost, Rejected};
use super::pass;
use super::stimulus::Stimulus;
use super::{TestBench, TestError, lines};
use crate::config::{PluginCase, Settings};
use crate::runtime::clock::{stop_wall_clock, unix_ms};

/// The outcome of a case.
#[derive(Debug, Default)]
pub(super) struct CaseRun {
    pub(super) mismatches: Vec<Mismatch>,
    /// The log lines of the filter.
    pub(super) lines: Vec<String>,
    /// Whether there was an exchange, and whether its request reached the endpoint.
    exchange: Option<bool>,
}

impl CaseRun {
    /// Whether the conformance kit can start from it; `any` also from a request that was refused.
    pub(super) fn is_base(&self, any: bool) -> bool {
        let reached = self.exchange.is_some_and(|reached| reached || any);
        self.mismatches.is_empty() && reached
    }
}

/// The settings of a case.
pub(super) fn settings<'a>(bench: &'a TestBench<'_>, case: &'a PluginCase) -> &'a Settings {
    let own = case.settings.as_ref();
    own.unwrap_or(&bench.plan.cases.settings)
}

/// Run a case.
///
/// # Errors
///
/// The component cannot be used.
pub(super) fn run(bench: &TestBench<'_>, case: &PluginCase) -> Result<CaseRun, TestError> {
    stop_wall_clock(case.time.map(unix_ms));
    let ran = run_at_its_time(bench, case);
    stop_wall_clock(None);
    ran
}

fn run_at_its_time(bench: &TestBench<'_>, case: &PluginCase) -> Result<CaseRun, TestError> {
    lines::take();
    if let Some(server) = &bench.callouts {
        server.expect(&case.calls);
    }
    let host = FilterHost::new(bench, settings(bench, case))?;
    let mut run = CaseRun::default();
    let under = match host.load(|_| {})? {
        Ok(under) => under,
        Err(rejected) => {
            run.lines = lines::take().iter().map(ToString::to_string).collect();
            compare_rejected(case, rejected, &mut run.mismatches);
            return Ok(run);
        }
    };
    let at_start = lines::take();
    compare::diagnostics(&case.expect.diagnostics, &[], &mut run.mismatches);
    let warnings = &under.filter.facts().advice.warnings;
    compare::warnings(&case.expect.warnings, warnings, &mut run.mismatches);
    let stimulus = Stimulus::of(case);
    match bench.runtime.block_on(pass::pass(&under, &stimulus, None)) {
        Ok(mut result) => {
            result.lines.splice(0..0, at_start);
            compare::result(&case.expect, &result, &mut run.mismatches);
            run.exchange = Some(result.request.is_some());
            run.lines = result.lines.iter().map(ToString::to_string).collect();
        }
        Err(problem) => run.mismatches.push(Mismatch::of_case(problem)),
    }
    if let Some(server) = &bench.callouts {
        compare::calls(&server.left(), &mut run.mismatches);
    }
    Ok(run)
}

fn compare_rejected(case: &PluginCase, rejected: Rejected, mismatches: &mut Vec<Mismatch>) {
    match rejected {
        Rejected::Settings(complaints) => {
            compare::diagnostics(&case.expect.diagnostics, &complaints, mismatches);
        }
        Rejected::Failed(text) => {
            let expected = case.expect.failure.as_ref();
            let is_expected = expected.is_some_and(|expected| {
                let text_fits = |part: &String| text.contains(part.as_str());
                expected.kind.is_none() && expected.text.as_ref().is_some_and(text_fits)
            });
            if !is_expected {
                mismatches.push(Mismatch::new("start", "a filter that starts", text));
            }
        }
    }
}

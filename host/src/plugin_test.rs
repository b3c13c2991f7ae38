//! `windlass plugin test`: runs the cases of a plugin, and the conformance kit, in this process.
//!
//! The filter runs in the real host: the same engine, chain, host interfaces and limits as in the
//! gateway. Only the client and the endpoint are not there: a case's table stands in for them
//! ([`stimulus`]), and no socket is opened, except on loopback for the answers of callouts
//! ([`callouts`]). Each case and each check of the kit has a host of its own ([`filter_host`]), so that
//! nothing of one is left for the next.
//!
//! `cli` calls [`run`] and prints the [`report`]. `config` reads the cases. Deliberately not here:
//! routes, upstreams, and the fields that the gateway adds for endpoints and clients.

mod callouts;
mod cases;
mod compare;
mod conformance;
mod exchange_result;
mod filter_host;
mod lines;
mod pass;
pub(crate) mod reference;
pub(crate) mod report;
mod stimulus;

use std::time::Instant;

use tokio::runtime::{Builder, Runtime};

use crate::config::{PluginCase, PluginCases, PluginSource};
use callouts::CalloutServer;
use cases::CaseRun;
use conformance::Kit;
use report::{TestGroup, TestOutcome, TestReport, TestResult};

/// The cases and checks to run.
#[derive(Debug)]
pub(crate) struct TestPlan<'a> {
    /// The component: a file, or one that comes with the gateway.
    pub(crate) plugin: &'a PluginSource,
    /// The filter's name in logs.
    pub(crate) name: &'a str,
    pub(crate) cases: &'a PluginCases,
    /// A text that the names of cases and checks contain.
    pub(crate) filter: Option<&'a str>,
    pub(crate) scope: TestScope,
}

/// Which parts are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TestScope {
    /// The cases, and the conformance kit.
    All,
    /// The cases alone.
    Cases,
    /// The conformance kit, and of the cases what it needs.
    Conformance,
}

/// Why nothing can be tested.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TestError {
    /// The system gives no thread or no socket.
    #[error("the test cannot start")]
    Start(#[from] std::io::Error),
    /// The component, a plan, a verifier or a document cannot be used.
    #[error("{0}")]
    Input(String),
    /// A check that does not exist.
    #[error("`conformance.skip` names `{name}`, which is no check; there are {known}")]
    NoCheck {
        /// The name.
        name: String,
        /// The checks.
        known: String,
    },
    /// A case that does not exist.
    #[error("`conformance.base` names the case `{0}`, which does not exist")]
    NoBase(String),
}

/// The data that all runs share.
struct TestBench<'a> {
    plan: &'a TestPlan<'a>,
    runtime: Runtime,
    /// Answers callouts, if there are any.
    callouts: Option<CalloutServer>,
}

/// Run the cases and the kit.
///
/// # Errors
///
/// Nothing can be tested.
pub(crate) fn run(plan: &TestPlan<'_>) -> Result<TestReport, TestError> {
    check_names(plan.cases)?;
    lines::start();
    let callouts = match plan.cases.callouts.is_empty() {
        true => None,
        false => Some(CalloutServer::start()?),
    };
    let bench = TestBench {
        plan,
        runtime: Builder::new_current_thread().enable_time().build()?,
        callouts,
    };
    let mut report = TestReport::default();
    let mut base = None;
    for case in &plan.cases.cases {
        let is_wanted = is_named(plan.filter, &case.name) && plan.scope != TestScope::Conformance;
        let may_be_base = plan.scope != TestScope::Cases && base_may_be(plan.cases, case);
        if !(is_wanted || may_be_base && base.is_none()) {
            continue;
        }
        let start = Instant::now();
        let ran = cases::run(&bench, case)?;
        let took = start.elapsed();
        if may_be_base && base.is_none() && ran.is_base(plan.cases.conformance.base.is_some()) {
            base = Some(case);
        }
        if is_wanted {
            report.add(result(plan, case, ran, took));
        }
    }
    if plan.scope != TestScope::Cases {
        let ran = conformance::run(&Kit::new(&bench, base), &mut report);
        match ran {
            // The cases say more about it.
            Err(TestError::Input(problem)) if report.failed() > 0 => {
                report.add(not_started(problem));
            }
            ran => ran?,
        }
    }
    Ok(report)
}

/// The result of a kit that has nothing to start from.
fn not_started(problem: String) -> TestResult {
    let wanted = "a filter that starts";
    TestResult {
        group: TestGroup::Conformance,
        name: "start".to_owned(),
        place: None,
        took: std::time::Duration::ZERO,
        outcome: TestOutcome::Failed {
            mismatches: vec![report::Mismatch::new("The kit needs it.", wanted, problem)],
            lines: Vec::new(),
        },
    }
}

fn result(
    plan: &TestPlan<'_>,
    case: &PluginCase,
    ran: CaseRun,
    took: std::time::Duration,
) -> TestResult {
    let line = plan.cases.source.position(case.span.start).line;
    TestResult {
        group: TestGroup::Cases,
        name: case.name.to_string(),
        place: Some((plan.cases.source.name.clone(), line)),
        took,
        outcome: match ran.mismatches.is_empty() {
            true => TestOutcome::Passed(String::new()),
            false => TestOutcome::Failed {
                mismatches: ran.mismatches,
                lines: ran.lines,
            },
        },
    }
}

fn is_named(filter: Option<&str>, name: &str) -> bool {
    filter.is_none_or(|text| name.contains(text))
}

fn base_may_be(cases: &PluginCases, case: &PluginCase) -> bool {
    let named = cases.conformance.base.as_ref();
    named.is_none_or(|name| *name == case.name)
}

fn check_names(cases: &PluginCases) -> Result<(), TestError> {
    let known = || conformance::CHECKS.iter().map(|check| check.name);
    for name in cases.conformance.skip.keys() {
        if !known().any(|check| check == name) {
            return Err(TestError::NoCheck {
                name: name.clone(),
                known: crate::config::backticked(known()),
            });
        }
    }
    match &cases.conformance.base {
        Some(base) if !cases.cases.iter().any(|case| case.name == *base) => {
            Err(TestError::NoBase(base.to_string()))
        }
        _ => Ok(()),
    }
}

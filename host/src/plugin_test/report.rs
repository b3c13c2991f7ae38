//! The results, for people, TAP and `JUnit`.

mod junit;
mod tap;
mod text;

use std::time::Duration;

pub(crate) use junit::junit;
pub(crate) use tap::tap;
pub(crate) use text::text;

pub(crate) use super::compare::Mismatch;

/// The results of a run, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct TestReport {
    pub(crate) results: Vec<TestResult>,
    /// The case that the conformance kit started from.
    pub(crate) base: Option<String>,
}

/// The result of a case or a check.
#[derive(Debug)]
pub(crate) struct TestResult {
    pub(crate) group: TestGroup,
    pub(crate) name: String,
    /// The file and line of a case.
    pub(crate) place: Option<(String, usize)>,
    pub(crate) took: Duration,
    pub(crate) outcome: TestOutcome,
}

/// Where a result comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TestGroup {
    /// `cases.toml`.
    Cases,
    /// The conformance kit.
    Conformance,
}

impl TestGroup {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Cases => "cases",
            Self::Conformance => "conformance",
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum TestOutcome {
    /// With what was measured.
    Passed(String),
    /// With the reason.
    Skipped(String),
    Failed {
        mismatches: Vec<Mismatch>,
        /// The log lines of the filter.
        lines: Vec<String>,
    },
}

impl TestReport {
    pub(super) fn add(&mut self, result: TestResult) {
        self.results.push(result);
    }

    /// How many failed.
    pub(crate) fn failed(&self) -> usize {
        let failed = |result: &&TestResult| matches!(result.outcome, TestOutcome::Failed { .. });
        self.results.iter().filter(failed).count()
    }

    /// How many were skipped.
    pub(crate) fn skipped(&self) -> usize {
        let skipped = |result: &&TestResult| matches!(result.outcome, TestOutcome::Skipped(_));
        self.results.iter().filter(skipped).count()
    }
}

/// The details of a failure, each line of which is a line of the report.
fn details(result: &TestResult) -> Vec<String> {
    let TestOutcome::Failed { mismatches, lines } = &result.outcome else {
        return Vec::new();
    };
    let mut details = Vec::new();
    if let Some((file, line)) = &result.place {
        details.push(format!("at {file}:{line}"));
    }
    for mismatch in mismatches {
        details.push(mismatch.key.clone());
        push(&mut details, "  expected  ", &mismatch.expected);
        push(&mut details, "  seen      ", &mismatch.seen);
    }
    if !lines.is_empty() {
        details.push("log of the filter:".to_owned());
        for line in lines {
            push(&mut details, "  ", line);
        }
    }
    details
}

/// Add a text of several lines with its title before the first.
fn push(details: &mut Vec<String>, title: &str, text: &str) {
    let indent = " ".repeat(title.len());
    for (number, line) in text.lines().enumerate() {
        let before = if number == 0 { title } else { &indent };
        details.push(format!("{before}{line}"));
    }
}

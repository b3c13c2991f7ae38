//! The report for people.

use std::fmt::Write as _;

use super::{TestGroup, TestOutcome, TestReport, details};
use crate::config::counted;

/// The report.
pub(crate) fn text(report: &TestReport) -> String {
    let mut text = String::new();
    let mut group = None;
    for result in &report.results {
        if group.replace(result.group) != Some(result.group) {
            text.push_str(&heading(report, result.group));
        }
        let (word, note) = match &result.outcome {
            TestOutcome::Passed(note) => ("ok", note.as_str()),
            TestOutcome::Skipped(reason) => ("skip", reason.as_str()),
            TestOutcome::Failed { .. } => ("FAIL", ""),
        };
        let note = match note {
            "" => String::new(),
            note => format!(": {note}"),
        };
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {word:<4} {}{note}", result.name);
        for line in details(result) {
            let _ = writeln!(text, "         {line}");
        }
    }
    let all = report.results.len();
    let (failed, skipped) = (report.failed(), report.skipped());
    let passed = all - failed - skipped;
    let _ = write!(text, "{passed} passed, {failed} failed");
    if skipped > 0 {
        let _ = write!(text, ", {skipped} skipped");
    }
    text.push('\n');
    text
}

fn heading(report: &TestReport, group: TestGroup) -> String {
    let count = report.results.iter();
    let count = count.filter(|result| result.group == group).count() as u64;
    match (group, &report.base) {
        (TestGroup::Cases, _) => format!("{}\n", counted(count, "case")),
        (TestGroup::Conformance, Some(base)) => {
            format!("conformance, from the case `{base}`\n")
        }
        (TestGroup::Conformance, None) => {
            "conformance, from a plain `GET /`: no case passed whose request reaches the endpoint\n"
                .to_owned()
        }
    }
}

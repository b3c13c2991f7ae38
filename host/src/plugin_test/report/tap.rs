//! The report as TAP 14 (testanything.org).

use std::fmt::Write as _;

use super::{TestOutcome, TestReport, details};

/// The report.
pub(crate) fn tap(report: &TestReport) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", report.results.len());
    for (index, result) in report.results.iter().enumerate() {
        let name = escaped(&format!("{}: {}", result.group.word(), result.name));
        let (word, directive) = match &result.outcome {
            TestOutcome::Passed(_) => ("ok", String::new()),
            TestOutcome::Skipped(reason) => ("ok", format!(" # SKIP {}", escaped(reason))),
            TestOutcome::Failed { .. } => ("not ok", String::new()),
        };
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{word} {} - {name}{directive}", index + 1);
        let details = details(result);
        if !details.is_empty() {
            text.push_str("  ---\n  message: |\n");
            for line in details {
                let _ = writeln!(text, "    {line}");
            }
            text.push_str("  ...\n");
        }
    }
    text
}

/// `#` and `\` have a meaning in a description.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('#', "\\#");
    text.replace(['\n', '\r'], " ")
}

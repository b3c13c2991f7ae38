//! The report as `JUnit` XML, as CI systems read it.

use std::fmt::Write as _;

use super::{TestGroup, TestOutcome, TestReport, TestResult, details};

/// The report. `name` is that of the plugin.
pub(crate) fn junit(report: &TestReport, name: &str) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for group in [TestGroup::Cases, TestGroup::Conformance] {
        let results = report.results.iter();
        let results: Vec<_> = results.filter(|result| result.group == group).collect();
        if !results.is_empty() {
            suite(&mut text, group, &results, name);
        }
    }
    text.push_str("</testsuites>\n");
    text
}

fn suite(text: &mut String, group: TestGroup, results: &[&TestResult], name: &str) {
    let count = |is: fn(&TestOutcome) -> bool| {
        let results = results.iter();
        results.filter(|result| is(&result.outcome)).count()
    };
    let failures = count(|outcome| matches!(outcome, TestOutcome::Failed { .. }));
    let skipped = count(|outcome| matches!(outcome, TestOutcome::Skipped(_)));
    let time: f64 = results.iter().map(|result| result.took.as_secs_f64()).sum();
    let suite = escaped(&format!("{name}.{}", group.word()));
    // Writing to a text cannot fail.
    let _ = writeln!(
        text,
        "  <testsuite name=\"{suite}\" tests=\"{}\" failures=\"{failures}\" skipped=\"{skipped}\" errors=\"0\" time=\"{time:.3}\">",
        results.len()
    );
    for result in results {
        let place = match &result.place {
            Some((file, line)) => format!(" file=\"{}\" line=\"{line}\"", escaped(file)),
            None => String::new(),
        };
        let _ = write!(
            text,
            "    <testcase classname=\"{suite}\" name=\"{}\"{place} time=\"{:.3}\"",
            escaped(&result.name),
            result.took.as_secs_f64()
        );
        match &result.outcome {
            TestOutcome::Passed(_) => text.push_str("/>\n"),
            TestOutcome::Skipped(reason) => {
                let reason = escaped(reason);
                let _ = writeln!(text, "><skipped message=\"{reason}\"/></testcase>");
            }
            TestOutcome::Failed { mismatches, .. } => {
                let first = mismatches.first();
                let message = first.map_or(String::new(), |first| {
                    format!(
                        "{}: expected {}, seen {}",
                        first.key, first.expected, first.seen
                    )
                });
                let _ = writeln!(
                    text,
                    "><failure message=\"{}\">{}</failure></testcase>",
                    escaped(&message),
                    escaped(&details(result).join("\n"))
                );
            }
        }
    }
    text.push_str("  </testsuite>\n");
}

/// Text for XML 1.0, which has no form for most control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {
                escaped.extend(control.escape_unicode());
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Mismatch, tap, text};
    use super::*;

    fn report() -> TestReport {
        let result = |name: &str, outcome| TestResult {
            group: TestGroup::Cases,
            name: name.to_owned(),
            place: Some(("cases.toml".to_owned(), 7)),
            took: Duration::from_millis(12),
            outcome,
        };
        let mismatch = Mismatch {
            key: "expect.response.status".to_owned(),
            expected: "200".to_owned(),
            seen: "a failure (trap), and the client got 500".to_owned(),
        };
        TestReport {
            results: vec![
                result("a <good> one", TestOutcome::Passed(String::new())),
                result(
                    "a #late one",
                    TestOutcome::Skipped("not \u{1b}now".to_owned()),
                ),
                result(
                    "a bad one",
                    TestOutcome::Failed {
                        mismatches: vec![mismatch],
                        lines: vec!["warn  one\n  two".to_owned()],
                    },
                ),
            ],
            base: None,
        }
    }

    #[test]
    fn names_and_texts_are_escaped_in_xml() {
        let xml = junit(&report(), "team");
        assert!(
            xml.contains("name=\"a &lt;good&gt; one\" file=\"cases.toml\" line=\"7\""),
            "{xml}"
        );
        assert!(
            xml.contains("<skipped message=\"not \\u{1b}now\"/>"),
            "{xml}"
        );
        assert!(
            xml.contains("tests=\"3\" failures=\"1\" skipped=\"1\""),
            "{xml}"
        );
    }

    #[test]
    fn tap_numbers_every_result_and_escapes_signs() {
        let tap = tap(&report());
        assert!(
            tap.starts_with("TAP version 14\n1..3\nok 1 - cases: a <good> one\n"),
            "{tap}"
        );
        assert!(
            tap.contains("ok 2 - cases: a \\#late one # SKIP not"),
            "{tap}"
        );
        assert!(
            tap.contains("not ok 3 - cases: a bad one\n  ---\n  message: |\n"),
            "{tap}"
        );
    }

    #[test]
    fn people_see_the_key_both_values_the_line_and_the_log() {
        let text = text(&report());
        for part in [
            "  FAIL a bad one\n         at cases.toml:7\n         expect.response.status\n",
            "           expected  200\n           seen      a failure (trap)",
            "         log of the filter:\n           warn  one\n             two\n",
            "1 passed, 1 failed, 1 skipped\n",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }
}

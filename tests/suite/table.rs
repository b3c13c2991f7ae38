//! Runs a table of cases to its end, and reports every case that failed.

/// Runs `check` on every case, and fails with the name and the reason of each failure.
///
/// # Panics
///
/// If a case failed, or if there are no cases.
#[track_caller]
pub(crate) fn run<Case>(
    cases: &[Case],
    name: impl Fn(&Case) -> &str,
    check: impl Fn(&Case) -> Result<(), String>,
) {
    assert!(!cases.is_empty(), "a table without cases tests nothing");
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let reason = check(case).err()?;
            Some(format!("- {}: {reason}", name(case)))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} cases are wrong:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
#[should_panic(expected = "1 of 2 cases are wrong:\n- odd: not even")]
fn a_wrong_case_is_named() {
    run(
        &[("even", 2), ("odd", 3)],
        |case| case.0,
        |case| (case.1 % 2 == 0).then_some(()).ok_or("not even".to_owned()),
    );
}

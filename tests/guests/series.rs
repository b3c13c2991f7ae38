//! A filter's metric series: whatever filters declare and add, `/metrics` stays valid for a strict
//! parser. Series that could not be told apart are an error at the start.

use std::collections::BTreeSet;

use windlass_tests::{Client, Gateway, Request};

use crate::stage::Stage;

const ROUTE: &str = "[[route]]\npath = \"/act\"\nrespond = { status = 200 }\nfilters = ";

fn actor(series: &str, steps: &str) -> String {
    format!(
        "allow = {{ interfaces = [\"metrics\"] }}\nsettings = {{ series = [{series}], request = [{steps}] }}"
    )
}

/// Scrape `OpenMetrics`, after a check of the older format.
fn metrics(gateway: &Gateway) -> String {
    is_strict(gateway.admin("/metrics").text());
    let request = Request::get("/metrics").header("accept", "application/openmetrics-text");
    let text = Client::connect(gateway.admin_address()).send(&request);
    let text = text.text().to_owned();
    assert!(text.ends_with("# EOF\n"), "no end");
    text
}

/// The rules of a strict parser (`OpenMetrics` 1.0): each family appears once with its lines
/// together, no sample repeats, and every number is valid.
fn is_strict(text: &str) {
    let mut families = BTreeSet::new();
    let mut samples = BTreeSet::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            rest.split(' ').next().unwrap().clone_into(&mut family);
            assert!(families.insert(family.clone()), "{family} is there twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&family), "{line} is not of {family}");
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(samples.insert(sample.to_owned()), "{sample} is there twice");
            assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
        }
    }
}

#[test]
fn filters_of_one_plugin_share_a_family() {
    let series = r#"["counter", "met_total", ["who"]], ["histogram", "took_seconds", []]"#;
    let steps = r#"{ add = [0, ["a"], "2"] }, { add = [1, [], "0.3"] }"#;
    let gateway = Stage::new()
        .actor("one", &actor(series, steps))
        .actor("two", &actor(series, steps))
        .lines(&format!("{ROUTE}[\"one\", \"two\"]"))
        .start();
    assert_eq!(gateway.get("/act").status, 200);
    let text = metrics(&gateway);
    is_strict(&text);
    for line in [
        "# TYPE windlass_filter_met counter",
        r#"windlass_filter_met_total{filter="one",who="a"} 2"#,
        r#"windlass_filter_met_total{filter="two",who="a"} 2"#,
        "# TYPE windlass_filter_took_seconds histogram",
        r#"windlass_filter_took_seconds_count{filter="two"} 1"#,
        r#"windlass_filter_took_seconds_bucket{filter="one",le="+Inf"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn whatever_a_filter_adds_the_text_stays_valid() {
    let series = r#"["counter", "met", ["who"]], ["gauge", "level", ["who"]], ["histogram", "took", ["who"]]"#;
    let values = [
        r#"a\"b"#,
        r"a\\b",
        r"a\nb",
        r"a\rb",
        r"a\u0085b",
        r"a\u2028b",
        r"\u0000",
        "",
        "é",
        "{}=,",
    ];
    let mut steps = Vec::new();
    for value in values {
        for place in 0..3 {
            for number in ["1", "-1", "1e308", "-1e308", "nan", "inf", "-inf"] {
                steps.push(format!(r#"{{ add = [{place}, ["{value}"], "{number}"] }}"#));
            }
        }
    }
    steps.push(
        r#"{ add = [9, ["a"], "1"] }, { add = [0, [], "1"] }, { add = [0, ["a", "b"], "1"] }"#
            .into(),
    );
    let gateway = Stage::new()
        .actor("one", &actor(series, &steps.join(", ")))
        .lines(&format!("{ROUTE}[\"one\"]"))
        .start();
    for _ in 0..3 {
        assert_eq!(gateway.get("/act").status, 200);
    }
    let text = metrics(&gateway);
    is_strict(&text);
    assert!(text.contains(r#"windlass_filter_met_total{filter="one",who="a\"b"}"#));
}

/// Assert that this configuration is refused with these reasons.
fn is_refused(one: &str, two: &str, why: &[&str]) {
    let refusal = Stage::new()
        .actor("one", &actor(one, ""))
        .actor("two", &actor(two, ""))
        .lines(&format!("{ROUTE}[\"one\", \"two\"]"))
        .builder()
        .run_refused();
    assert_eq!(refusal.code, Some(2), "{}", refusal.errors);
    for why in why {
        assert!(
            refusal.errors.contains(why),
            "{why} is not in\n{}",
            refusal.errors
        );
    }
}

#[test]
fn a_series_of_the_gateways_own_name_does_not_start() {
    for (kind, name) in [
        ("counter", "calls_total"),
        ("gauge", "suspended"),
        ("histogram", "seconds"),
    ] {
        let series = format!(r#"["{kind}", "{name}", []]"#);
        is_refused(&series, "", &[name, "the gateway's own", "filter `one`"]);
    }
}

#[test]
fn series_that_would_write_one_name_do_not_start() {
    let clash = |one: &str, two: &str| {
        is_refused(
            one,
            two,
            &["filter `two`", "filter `one`", "would both write"],
        );
    };
    clash(r#"["counter", "met", []]"#, r#"["gauge", "met", []]"#);
    clash(
        r#"["histogram", "took", []]"#,
        r#"["gauge", "took_count", []]"#,
    );
    clash(
        r#"["gauge", "took_bucket", []]"#,
        r#"["histogram", "took", []]"#,
    );
    clash(
        r#"["gauge", "met_created", []]"#,
        r#"["counter", "met_total", []]"#,
    );
}

#[test]
fn a_label_that_is_reserved_does_not_start() {
    for labels in [
        r#"["filter"]"#,
        r#"["le"]"#,
        r#"["who", "who"]"#,
        r#"["Who"]"#,
    ] {
        is_refused(&format!(r#"["counter", "met", {labels}]"#), "", &["label"]);
    }
}

//! `windlass check` warns about plans that nothing enforces, and about keys that no route accepts.

use windlass_tests::Gateway;

use crate::config::key;

const ENDPOINT: &str = "[upstream.u]\nendpoints = [{ address = \"127.0.0.1:9\" }]\n[[listener]]\naddress = \"127.0.0.1:0\"\n";
const FILTERS: &str =
    "[filter.keys]\nplugin = \"builtin:api-key\"\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n";

fn route(path: &str, more: &str) -> String {
    format!("[[route]]\npath = \"{path}\"\nupstream = \"u\"\n{more}\n")
}

/// The output of `check` for a valid configuration.
fn said(parts: &[&str]) -> String {
    let config = parts.concat() + FILTERS + ENDPOINT;
    let checked = Gateway::with_config(&config).check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    checked.errors
}

const BOTH: &str = "filters = [\"keys\", \"plan\"]";
const KEYS: &str = "filters = [\"keys\"]";
const GOLD: &str = "[plan.p]\nrate = 1\n";

#[test]
fn a_plan_that_nothing_enforces_is_a_warning() {
    let on_p = key("k", "acme", "k", "plan = \"p\"");
    let api = "[api.shop]\nbase_path = \"/shop\"\n[api.stock]\nbase_path = \"/stock\"\n";
    let of_shop = |more: &str| format!("{api}{}", route("/y", &format!("api = \"shop\"\n{more}")));
    let sold = "[plan.p]\napis = [\"shop\"]\nrate = 1\n";
    for (name, text, told) in [
        (
            "no route has the filter",
            [route("/x", KEYS), GOLD.to_owned(), on_p.clone()].concat(),
            "plan `p` is never enforced",
        ),
        (
            "the routes of its API do not have it",
            [
                of_shop(""),
                route("/x", BOTH),
                sold.to_owned(),
                on_p.clone(),
            ]
            .concat(),
            "for which the plan is not sold, its keys are refused",
        ),
        (
            "its API has no route",
            [
                api.to_owned(),
                route("/x", BOTH),
                sold.to_owned(),
                on_p.clone(),
            ]
            .concat(),
            "plan `p` is never enforced",
        ),
        (
            "one route of its API has it and another not",
            [
                of_shop(BOTH),
                route("/z", "api = \"shop\""),
                sold.to_owned(),
                on_p.clone(),
            ]
            .concat(),
            "is not enforced on route",
        ),
        (
            "a route takes its keys and does not have it",
            [
                route("/x", BOTH),
                route("/free", KEYS),
                GOLD.to_owned(),
                on_p.clone(),
            ]
            .concat(),
            "plan `p` is not enforced on route",
        ),
        (
            "no key is on it",
            [
                route("/x", BOTH),
                GOLD.to_owned(),
                "[plan.q]\nrate = 1\n".to_owned(),
                on_p.clone(),
            ]
            .concat(),
            "plan `q` holds nobody",
        ),
        (
            "a key is on none",
            [
                route("/x", BOTH),
                GOLD.to_owned(),
                on_p.clone(),
                key("bare", "acme", "bare", ""),
            ]
            .concat(),
            "key `bare` is on no plan",
        ),
        (
            "the filter charges another plan",
            [
                route("/x", "filters = [\"keys\", \"other\"]"),
                "[filter.other]\nplugin = \"builtin:usage-plan\"\nsettings = { plan = \"q\" }\n"
                    .to_owned(),
                GOLD.to_owned(),
                "[plan.q]\nrate = 1\n".to_owned(),
                on_p.clone(),
            ]
            .concat(),
            "plan `p` is never enforced",
        ),
    ] {
        let said = said(&[&text]);
        assert!(
            said.contains("warning") && said.contains(told),
            "{name}: {said}"
        );
    }
}

#[test]
fn a_plan_that_is_enforced_is_no_warning() {
    let on_p = key("k", "acme", "k", "plan = \"p\"");
    let named = "[filter.other]\nplugin = \"builtin:usage-plan\"\nsettings = { plan = \"p\" }\n";
    for (name, text) in [
        (
            "on every route",
            [route("/x", BOTH), GOLD.to_owned(), on_p.clone()].concat(),
        ),
        (
            "beside a route without keys",
            [
                route("/x", BOTH),
                route("/open", ""),
                GOLD.to_owned(),
                on_p.clone(),
            ]
            .concat(),
        ),
        (
            "named by a filter",
            [
                route("/x", "filters = [\"keys\", \"other\"]"),
                named.to_owned(),
                GOLD.to_owned(),
                on_p.clone(),
            ]
            .concat(),
        ),
        ("no plan and no key", route("/x", "")),
    ] {
        let said = said(&[&text]);
        assert!(!said.contains("plan `"), "{name}: {said}");
    }
}

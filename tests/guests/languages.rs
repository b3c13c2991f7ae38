//! The api-key filter in four languages: one table of cases, and then many calls on one instance.

use windlass_tests::{Gateway, Request, Upstream, key_digest};

use crate::stage::{Stage, figure};

/// The components in the repository, and the plugin of the gateway itself (`None`).
const LANGUAGES: [(&str, Option<&[u8]>); 4] = [
    ("builtin", None),
    ("c", Some(include_bytes!("c/filter.wasm"))),
    ("go", Some(include_bytes!("go/filter.wasm"))),
    ("javascript", Some(include_bytes!("javascript/filter.wasm"))),
];

const ALLOW: &str = r#"allow = { interfaces = ["keys"], attributes = ["consumer.*", "api-key.*", "auth.*", "plan.*"] }"#;

/// An instance is replaced after this many calls: more than any test makes.
const RECYCLE: &str = r#"recycle = { calls = 40000 }
    limits = { cpu = "1s", start_cpu = "10s", memory = "64MiB" }"#;

/// The filter in one language, with these settings.
fn filter(stage: Stage, name: &str, component: Option<&[u8]>, settings: &str) -> Stage {
    match component {
        None => stage.lines(&format!(
            "[filter.{name}]\nplugin = \"builtin:api-key\"\n{RECYCLE}\nsettings = {settings}"
        )),
        Some(component) => stage.filter(
            name,
            component,
            &format!("{RECYCLE}\n{ALLOW}\nsettings = {settings}"),
        ),
    }
}

fn with_keys(stage: Stage) -> Stage {
    let key = |id: &str, value: &str, more: &str| {
        format!(
            "[[key]]\nid = \"{id}\"\nconsumer = \"acme\"\ndigest = \"{}\"\n{more}",
            key_digest(value)
        )
    };
    stage
        .lines("[plan.gold]\nrate = 5.0")
        .lines(&key(
            "good",
            "good value/1",
            "plan = \"gold\"\nattributes = { tier = \"first\", id = \"not this\" }",
        ))
        .lines(&key("bare", "bare", ""))
        .lines(&key("off", "off", "enabled = false"))
        .lines(&key("old", "old", "expires = 2020-01-01T00:00:00Z"))
}

/// A filter that reports the attributes that the filter before it set.
const TELLS: &str = r#"settings = { request = [{ set-header = ["request", "x-told", "1"] }, { attribute = "consumer.id" },
    { attribute = "api-key.id" }, { attribute = "auth.method" }, { attribute = "plan.id" },
    { attribute = "api-key.tier" }], tell = true }"#;

fn start(upstream: &Upstream, component: Option<&[u8]>) -> Gateway {
    let stage = with_keys(Stage::new().upstream("main", upstream.address()));
    let stage = filter(stage, "by-header", component, "{}");
    let stage = filter(stage, "by-name", component, r#"{ header = "X-Key" }"#);
    filter(stage, "by-query", component, r#"{ query = "key" }"#)
        .actor("tells", TELLS)
        .route("/header", &["by-header", "tells"])
        .route("/name", &["by-name", "tells"])
        .route("/query", &["by-query", "tells"])
        .start()
}

/// A request, and its expected result.
struct Case {
    request: Request,
    status: u16,
    reason: &'static str,
    /// The report of the filter after it.
    told: &'static str,
    /// The target that the upstream gets.
    target: &'static str,
}

fn passes(request: Request, told: &'static str, target: &'static str) -> Case {
    Case {
        request,
        status: 200,
        reason: "",
        told,
        target,
    }
}

fn refused(request: Request, status: u16, reason: &'static str) -> Case {
    Case {
        request,
        status,
        reason,
        told: "",
        target: "",
    }
}

const GOOD: &str = r#"["ok","acme","good","api-key","gold","first"]"#;
const BARE: &str = r#"["ok","acme","bare","api-key",null,null]"#;

fn cases() -> Vec<Case> {
    let header = |value: &str| Request::get("/header?a=1").header("x-api-key", value);
    vec![
        passes(header("good value/1"), GOOD, "/header?a=1"),
        passes(header("bare"), BARE, "/header?a=1"),
        passes(
            header("bare").header("x-api-key", "no such key"),
            BARE,
            "/header?a=1",
        ),
        passes(Request::get("/name").header("x-key", "bare"), BARE, "/name"),
        passes(Request::get("/query?key=bare"), BARE, "/query"),
        passes(
            Request::get("/query?a=1&key=good%20value%2F1&b=2"),
            GOOD,
            "/query?a=1&b=2",
        ),
        passes(
            Request::get("/query?key=good+value/1&a=1"),
            GOOD,
            "/query?a=1",
        ),
        passes(
            Request::get("/query?key=bare&a=1&key=bare"),
            BARE,
            "/query?a=1",
        ),
        refused(Request::get("/header"), 401, "api_key_missing"),
        refused(header(""), 401, "api_key_missing"),
        refused(Request::get("/query"), 401, "api_key_missing"),
        refused(Request::get("/query?key="), 401, "api_key_missing"),
        refused(Request::get("/query?a=key"), 401, "api_key_missing"),
        refused(
            Request::get("/name").header("x-api-key", "bare"),
            401,
            "api_key_missing",
        ),
        refused(header("no such key"), 403, "api_key_rejected"),
        refused(header("off"), 403, "api_key_rejected"),
        refused(header("old"), 403, "api_key_rejected"),
        refused(
            header("no such key").header("x-api-key", "bare"),
            403,
            "api_key_rejected",
        ),
        refused(Request::get("/query?key=good"), 403, "api_key_rejected"),
    ]
}

fn judge(language: &str, component: Option<&[u8]>) {
    let upstream = Upstream::echo();
    let gateway = start(&upstream, component);
    for case in cases() {
        let what = format!("{language}: {:?}", case.request);
        let (seen, count) = (gateway.log().count(), upstream.count());
        let answer = gateway.send(&case.request);
        assert_eq!(answer.status, case.status, "{what}: {}", answer.text());
        if case.status == 200 {
            gateway.log().wait_from(seen, |line| {
                line.contains(&format!("request gave {}", case.told))
            });
            let sent = upstream.received().pop().unwrap();
            assert_eq!(sent.target, case.target, "{what}");
            for hidden in ["x-api-key", "x-key"] {
                assert_eq!(
                    sent.head.all(hidden).count(),
                    0,
                    "{what}: the key goes no further"
                );
            }
        } else {
            assert_eq!(answer.code(), case.reason, "{what}");
            assert_eq!(upstream.count(), count, "{what}");
            let challenged = answer.header("www-authenticate").is_some();
            assert_eq!(challenged, case.status == 401, "{what}");
        }
    }
    let metrics = gateway.metrics();
    for name in ["by-header", "by-name", "by-query"] {
        assert_eq!(figure(&metrics, "failures_total", name), 0.0, "{language}");
    }
}

/// Many calls on one instance: its memory does not grow after the first of them.
fn lasts(language: &str, component: Option<&[u8]>) {
    const CALLS: usize = 25_000;
    let upstream = Upstream::text("well").counting();
    let gateway = start(&upstream, component);
    let mut client = gateway.client();
    let good = Request::get("/header").header("x-api-key", "good value/1");
    let bad = Request::get("/header").header("x-api-key", "no such key");
    let mut round = |count: usize| {
        for n in 0..count {
            let (request, status) = if n % 4 == 3 {
                (&bad, 403)
            } else {
                (&good, 200)
            };
            assert_eq!(client.send(request).status, status, "{language}: call {n}");
        }
    };
    let made = figure(&gateway.metrics(), "instances_total", "by-header");
    round(2_000);
    let held = gateway.metrics()["windlass_wasm_memory_bytes"];
    round(CALLS - 2_000);
    let metrics = gateway.metrics();
    assert_eq!(
        figure(&metrics, "failures_total", "by-header"),
        0.0,
        "{language}"
    );
    assert_eq!(
        figure(&metrics, "instances_total", "by-header"),
        made,
        "{language}: one instance"
    );
    let grown = metrics["windlass_wasm_memory_bytes"] - held;
    assert!(
        grown <= f64::from(4 << 20),
        "{language}: grew by {grown} bytes"
    );
}

fn component(language: &str) -> Option<&'static [u8]> {
    LANGUAGES
        .iter()
        .find(|(name, _)| *name == language)
        .unwrap()
        .1
}

macro_rules! languages {
    ($($language:ident)+) => {$(
        mod $language {
            #[test]
            fn decides_as_the_others_do() {
                super::judge(stringify!($language), super::component(stringify!($language)));
            }

            #[test]
            fn serves_25_000_calls_on_one_instance() {
                super::lasts(stringify!($language), super::component(stringify!($language)));
            }
        }
    )+};
}

languages! { builtin c go javascript }

#[test]
fn check_lists_what_is_there_and_not_usable() {
    for (language, component) in LANGUAGES {
        let stage = filter(with_keys(Stage::new()), "keys", component, "{}");
        let checked = stage
            .lines("[[route]]\npath = \"/\"\nfilters = [\"keys\"]\nrespond = { status = 200 }")
            .builder()
            .check();
        assert_eq!(checked.code, Some(0), "{language}: {}", checked.errors);
        let stubbed = checked
            .output
            .lines()
            .find(|line| line.contains("present but not usable"));
        let expects = matches!(language, "go" | "javascript");
        assert_eq!(stubbed.is_some(), expects, "{language}: {}", checked.output);
        if let Some(stubbed) = stubbed {
            assert!(stubbed.contains("wasi:filesystem/types"), "{stubbed}");
        }
    }
}

#[test]
fn the_log_has_the_message_and_the_place_of_a_go_panic() {
    let component = component("go").unwrap();
    // Without the grant for attributes, the filter panics at its first edit.
    let keys = "allow = { interfaces = [\"keys\"] }\nsettings = {}";
    let gateway = with_keys(Stage::new())
        .filter("keys", component, keys)
        .lines("[[route]]\npath = \"/\"\nfilters = [\"keys\"]\nrespond = { status = 200 }")
        .start();
    let request = Request::get("/").header("x-api-key", "bare");
    assert_eq!(gateway.send(&request).code(), "filter_failed");
    gateway.log().wait_for_line(|line| {
        line.contains("panic: an edit was refused") && line.contains("filter.go:")
    });
}

#[test]
fn a_misspelt_setting_is_refused_in_every_language() {
    for (language, component) in LANGUAGES {
        let stage = filter(
            with_keys(Stage::new()),
            "keys",
            component,
            r#"{ heder = "x-key" }"#,
        );
        let checked = stage
            .lines("[[route]]\npath = \"/\"\nfilters = [\"keys\"]\nrespond = { status = 200 }")
            .builder()
            .check();
        assert_eq!(checked.code, Some(2), "{language}: {}", checked.output);
        assert!(
            checked.errors.contains("heder"),
            "{language}: {}",
            checked.errors
        );
    }
}

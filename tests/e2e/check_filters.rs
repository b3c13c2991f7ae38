//! `windlass check` on filters that are valid alone, but not together with the rest of the file.

use windlass_tests::{Finished, Gateway};

const REST: &str = r#"
[verifier.v]
secret = "s"
audiences = ["orders"]
[secret.s]
env = "CHECK_FILTERS_SECRET"
[upstream.u]
endpoints = [{ address = "127.0.0.1:9" }]
"#;

fn check(config: &str) -> Finished {
    Gateway::with_config(format!("{config}{REST}"))
        .env(
            "CHECK_FILTERS_SECRET",
            "a secret of forty characters, or a few more",
        )
        .check()
}

fn route(path: &str, filters: &str) -> String {
    format!(
        "[[route]]\nname = \"{path}\"\npath = \"/{path}\"\nfilters = [{filters}]\nupstream = \"u\"\n"
    )
}

fn jwt(name: &str, more: &str) -> String {
    format!(
        "[filter.{name}]\nplugin = \"builtin:jwt\"\nsettings = {{ verifiers = [\"v\"]{more} }}\n"
    )
}

fn authorizer(name: &str, more: &str) -> String {
    format!(
        "[filter.{name}]\nplugin = \"builtin:authorizer\"\nsettings = {{ callout = \"auth\"{more} }}\n[callout.auth]\nurl = \"http://127.0.0.1:9/\"\n"
    )
}

/// If one filter hides a credential, the next one cannot read it and refuses every request.
#[test]
fn a_filter_that_reads_what_one_before_it_removed_is_told() {
    for (later, plugin, swaps) in [
        ("z", authorizer("z", ", answers = \"simple\""), true),
        ("z", authorizer("z", ", kind = \"forward\""), true),
        ("k", jwt("k", ", scopes = [\"a\"]"), false),
    ] {
        let both = format!("\"j\", \"{later}\"");
        let swapped = format!("\"{later}\", \"j\"");
        let rest = |hide: &str| format!("{}{plugin}", jwt("j", hide));
        let told = check(&(route("a", &both) + &route("b", &both) + &rest("")));
        assert_eq!(told.code, Some(0), "{}", told.errors);
        for text in [
            &*format!(
                "windlass.toml:4:17: warning: filter `{later}` reads `authorization`, and filter `j` before it has removed that on routes `a`, `b`"
            ),
            "set `hide = false` in the settings of `j`",
        ] {
            assert!(told.errors.contains(text), "{text}: {}", told.errors);
        }
        assert_eq!(told.errors.matches("has removed that").count(), 1);
        let cure = format!("or put `{later}` before `j`");
        assert_eq!(told.errors.contains(&cure), swaps, "{}", told.errors);
        // Each suggested fix works.
        let mut cured = vec![route("a", &both) + &rest(", hide = false")];
        if swaps {
            cured.push(route("a", &swapped) + &rest(""));
        }
        for config in cured {
            let checked = check(&config);
            let is_told = checked.errors.contains("has removed that");
            assert!(!is_told && checked.code == Some(0), "{}", checked.errors);
        }
    }
}

/// Every request would be refused. `check` reports this once, at the attribute, with a fix that
/// works.
#[test]
fn an_attribute_that_a_filter_cannot_set_is_one_error() {
    let config = |attribute: &str| {
        let attributes = format!(", attributes = {{ \"{attribute}\" = \"sub\" }}");
        route("a", "\"j\"") + &jwt("j", &attributes)
    };
    for (attribute, message, cure) in [
        (
            "route.id",
            "filter `j` sets attribute `route.id`, which only the gateway sets",
            "name it otherwise",
        ),
        (
            "api-key.id",
            "filter `j` sets attribute `api-key.id`, which it is not granted",
            "name it as one of `consumer.*`, `auth.*`, or grant it: allow = {",
        ),
    ] {
        let checked = check(&config(attribute));
        assert_eq!(checked.code, Some(2), "{}", checked.errors);
        for text in [
            message,
            cure,
            "1 error in windlass.toml",
            "windlass.toml:8:",
        ] {
            assert!(checked.errors.contains(text), "{text}: {}", checked.errors);
        }
        assert!(!checked.errors.contains("warning"), "{}", checked.errors);
    }
    // The suggested line grants everything that is missing, even if more than the attribute is
    // denied.
    for allow in ["", "allow = {}\n"] {
        let config = |line: &str| {
            let config = config("api-key.id");
            config.replace("settings =", &format!("{line}settings ="))
        };
        let told = check(&config(allow)).errors;
        let line = told.lines().find_map(|line| line.split_once("grant it: "));
        let checked = check(&config(&format!("{}\n", line.unwrap().1)));
        assert_eq!((checked.code, &*checked.errors), (Some(0), ""), "{told}");
    }
}

/// One mistake that affects many routes is one warning.
#[test]
fn routes_by_which_a_client_can_send_a_field_are_told_together() {
    let stamp = r#"[filter.stamp]
plugin = "builtin:transform"
settings = { request = [{ op = "set", header = "x-user", value = "${attribute.consumer.id}" }] }
"#;
    let open: String = (0..9)
        .map(|number| route(&format!("open-{number}"), ""))
        .collect();
    let checked = check(
        &(route("a", "\"j\", \"stamp\"")
            + &open
            + &jwt("j", ", attributes = { \"consumer.id\" = \"sub\" }")
            + stamp),
    );
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    assert_eq!(
        checked.errors.matches("warning:").count(),
        1,
        "{}",
        checked.errors
    );
    for text in [
        "a client can send `x-user` to upstream `u` by routes `open-0`, `open-1`, `open-2`, `open-3`, `open-4`, `open-5`, `open-6`, `open-7` and 1 more; on route `a` filter `stamp` sets it",
        "put `stamp` into `filters` there too, or a filter that removes `x-user`",
    ] {
        assert!(checked.errors.contains(text), "{text}: {}", checked.errors);
    }
}

//! If Windlass refuses a filter's call, the log says so once, with the name and the missing grant.
//! A filter's log lines cannot be mistaken for the gateway's.

use windlass_tests::Upstream;

use crate::stage::Stage;

/// The number of lines that contain all of these texts.
fn lines(log: &[String], parts: &[&str]) -> usize {
    let holds = |line: &&String| parts.iter().all(|part| line.contains(part));
    log.iter().filter(holds).count()
}

/// Send two requests through an actor with these keys and steps. Returns the log.
fn log_of(keys: &str, steps: &str) -> Vec<String> {
    let upstream = Upstream::text("well");
    let gateway = Stage::of_one_actor(
        &upstream,
        &format!("{keys}\nsettings = {{ request = [{steps}] }}"),
    )
    .lines("[secret.known]\nenv = \"KNOWN\"")
    .env("KNOWN", "0123456789abcdef")
    .start();
    for _ in 0..2 {
        assert_eq!(gateway.get("/act").status, 200);
    }
    assert!(gateway.terminate().success());
    gateway.log().whole().lines().map(str::to_owned).collect()
}

#[test]
fn a_refused_edit_is_said_once_with_its_name_and_the_missing_grant() {
    let steps = r#"
        { set-attribute = ["mine.color", { text = "b" }] },
        { set-attributes = [["mine.size", { number = 1 }]] },
        { set-attribute = ["client.ip", { text = "b" }] },
        { set-header = ["request", "content-length", "7"] },
        { append-header = ["request", "transfer-encoding", "chunked"] },
        { remove-header = ["request", "host"] },
        { set-header = ["request", "not a name", "7"] },
        { set-header = ["request", "x-value", "a\nb"] },
        { set-header = ["response", "x-early", "7"] },
        { set-method = "CONNECT" }, { set-path = "no-slash" }, { set-status = 200 }"#;
    let log = log_of("", steps);
    for parts in [
        ["`mine.color`", r#"add `attributes = ["mine.color"]`"#],
        ["`mine.size`", "not granted"],
        ["`client.ip`", "fact of the gateway"],
        ["`content-length`", "belongs to the gateway"],
        ["`transfer-encoding`", "belongs to the gateway"],
        ["`host`", "set-authority"],
        ["`not a name`", "not a legal field name"],
        ["`x-value`", "a byte that no field may hold"],
        [
            "`x-early` of the response",
            "cannot be edited in this phase",
        ],
        ["`CONNECT`", "no filter can set it"],
        ["a path was refused", "begins with `/`"],
        ["the status was refused", "cannot be edited in this phase"],
    ] {
        let found = lines(&log, &["WARN", "filter `actor`", parts[0], parts[1]]);
        assert_eq!(found, 1, "{parts:?} in {log:#?}");
    }
}

#[test]
fn an_edit_that_is_granted_is_not_said() {
    let keys = r#"allow = { attributes = ["mine.*"] }"#;
    let steps = r#"{ set-attribute = ["mine.color", { text = "b" }] }"#;
    assert_eq!(lines(&log_of(keys, steps), &["mine.color"]), 0);
}

#[test]
fn a_secret_that_is_unknown_or_not_granted_is_said_once() {
    let keys = r#"allow = { interfaces = ["crypto"] }"#;
    let steps = r#"
        { hmac-verify = ["sha256", "unknown", "data", "00"] },
        { hmac-sign = ["sha256", "known", "data"] },
        { hmac-verify = ["sha256", "known", "data", "00"] }"#;
    let log = log_of(keys, steps);
    for (name, why) in [
        ("`unknown`", "there is no secret"),
        ("`known`", r#"add `secrets = ["known"]`"#),
    ] {
        assert_eq!(lines(&log, &["WARN", name, why]), 1, "{name} in {log:#?}");
    }
    let keys = r#"allow = { interfaces = ["crypto"], secrets = ["known"] }"#;
    assert_eq!(lines(&log_of(keys, steps), &["WARN", "`known`"]), 0);
}

#[test]
fn check_warns_of_a_filter_that_uses_secrets_and_is_granted_none() {
    let upstream = Upstream::text("well");
    let warning = "signs or verifies with a secret, and is granted none";
    for (secrets, warns) in [("", true), (", secrets = [\"known\"]", false)] {
        let keys = format!("allow = {{ interfaces = [\"crypto\"]{secrets} }}");
        let stage = Stage::of_one_actor(&upstream, &keys);
        let stage = stage.lines("[secret.known]\nenv = \"KNOWN\"");
        let checked = stage.env("KNOWN", "0123456789abcdef").builder().check();
        assert_eq!(checked.code, Some(0), "{}", checked.errors);
        assert_eq!(
            checked.errors.contains(warning),
            warns,
            "{}",
            checked.errors
        );
    }
}

#[test]
fn a_plan_that_is_unknown_is_said_once() {
    let keys = r#"allow = { interfaces = ["limits"] }"#;
    let log = log_of(keys, r#"{ take = ["gold", "key", 1] }"#);
    assert_eq!(
        lines(&log, &["WARN", "no usage plan `gold`"]),
        1,
        "{log:#?}"
    );
}

#[test]
fn values_and_lines_that_are_dropped_are_said_once() {
    let keys = r#"allow = { interfaces = ["metrics"] }"#;
    let log = log_of(
        keys,
        r#"{ count = ["gold", -1.0] }, { flood-log = [100, 1] }"#,
    );
    assert_eq!(lines(&log, &["`seen_total`", "was dropped"]), 1, "{log:#?}");
    assert_eq!(lines(&log, &["beyond the 64", "dropped"]), 1, "{log:#?}");
}

/// Without its quoted parts, a filter's line must contain no fields that look like the gateway's.
#[test]
fn a_filters_line_cannot_be_taken_for_the_gateways() {
    let steps = r#"
        { log-fields = ["info", "one", [["request", "forged"], ["filter", "other"]]] },
        { log-fields = ["info", "two", [["a\nERROR b", "c\" request=forged"]]] },
        { log = ["info", "three request=forged filter=other"] },
        { log = ["info", "four \" filter=other request=forged"] },
        { log = ["info", "{\"level\":\"ERROR\",\"timestamp\":\"now\",\"request_id\":\"five=forged\"}"] },
        { log = ["info", "six\u001b[31m\u009b31m\u202e\u2028ERROR"] },
        { print = "seven request=forged" }, { print = "eight\u001b[2J" }"#;
    let log = log_of("", steps);
    for word in [
        "one", "two", "three", "four", "five", "six", "seven", "eight",
    ] {
        assert_eq!(lines(&log, &["INFO", word]), 2, "{word} in {log:#?}");
    }
    for line in &log {
        let own = without_quoted(line);
        assert!(!own.contains("forged"), "{line}");
        assert!(!own.contains("filter=other"), "{line}");
        assert!(own.matches("request=").count() <= 1, "{line}");
        let is_printable = |character: char| {
            !character.is_control() && !matches!(character, '\u{2028}' | '\u{202e}')
        };
        assert!(line.chars().all(is_printable), "{line:?}");
    }
}

/// The text outside of quotes.
fn without_quoted(line: &str) -> String {
    let mut own = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for character in line.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            _ => own.push(character),
        }
    }
    assert!(!quoted, "a quote is open: {line}");
    own
}

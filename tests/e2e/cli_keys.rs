//! The commands that call the admin API of a running gateway.

use windlass_tests::{Finished, Gateway, Upstream, command};

use crate::operator::{READ, WRITE, start, status_with, windlass};

fn ops(gateway: &Gateway, arguments: &[&str]) -> Finished {
    windlass(gateway, arguments, WRITE, "")
}

fn json(done: &Finished) -> serde_json::Value {
    assert_eq!(done.code, Some(0), "{}", done.errors);
    serde_json::from_str(&done.output).unwrap_or_else(|_| panic!("no JSON: {}", done.output))
}

#[test]
fn a_key_goes_to_standard_output_alone_and_works() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let made = ops(
        &gateway,
        &[
            "keys",
            "create",
            "--consumer",
            "acme",
            "--metadata",
            "tier=gold",
        ],
    );
    assert_eq!(made.code, Some(0), "{}", made.errors);
    let key = made.output.strip_suffix('\n').unwrap();
    assert_eq!(key.lines().count(), 1);
    assert!(
        !made.errors.contains(key),
        "the key is on standard error too"
    );
    assert_eq!(status_with(&gateway, key), 200);
    let listed = json(&ops(&gateway, &["keys", "list", "--json"]));
    let id = listed["items"][0]["id"].as_str().unwrap();
    let table = ops(&gateway, &["keys", "list"]).output;
    assert!(table.contains(id) && table.contains("acme"), "{table}");
    let shown = ops(&gateway, &["keys", "show", id]).output;
    assert!(shown.contains("tier=gold"), "{shown}");
    assert_eq!(ops(&gateway, &["keys", "disable", id]).code, Some(0));
    assert_eq!(status_with(&gateway, key), 403);
    assert_eq!(ops(&gateway, &["keys", "enable", id]).code, Some(0));
    let rotated = ops(&gateway, &["keys", "rotate", id, "--overlap", "0s"]);
    assert_eq!(status_with(&gateway, rotated.output.trim_end()), 200);
    assert_eq!(status_with(&gateway, key), 403);
    let update = [
        "keys",
        "update",
        id,
        "--name",
        "other",
        "--no-metadata",
        "--json",
    ];
    let updated = json(&ops(&gateway, &update));
    assert_eq!(
        (&updated["name"], &updated["metadata"]),
        (&"other".into(), &serde_json::json!({}))
    );
    assert_eq!(ops(&gateway, &["keys", "delete", id]).code, Some(0));
    assert_eq!(ops(&gateway, &["keys", "show", id]).code, Some(3));
}

#[test]
fn a_key_that_was_issued_elsewhere_is_read_from_standard_input() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let value = "apikey1234abcdefghij0123456789";
    let create = ["keys", "create", "--consumer", "acme", "--value-stdin"];
    let made = windlass(&gateway, &create, WRITE, &format!("{value}\n"));
    assert_eq!((made.code, &*made.output), (Some(0), ""), "{}", made.errors);
    assert_eq!(status_with(&gateway, value), 200);
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let code = |arguments: &[&str], token: &str| {
        let done = windlass(&gateway, arguments, token, "");
        assert!(
            done.errors.starts_with("windlass: ") || done.code == Some(2),
            "{}",
            done.errors
        );
        done.code
    };
    assert_eq!(code(&["keys", "show", "nobody"], WRITE), Some(3));
    assert_eq!(code(&["keys", "list"], "wrong"), Some(4));
    assert_eq!(code(&["keys", "list"], ""), Some(4));
    assert_eq!(code(&["keys", "delete", "nobody"], READ), Some(4));
    assert_eq!(code(&["keys", "create", "--consumer", ""], WRITE), Some(2));
    assert_eq!(code(&["keys", "create"], WRITE), Some(2));
    assert_eq!(
        code(&["plans", "create", "p", "--burst", "1"], WRITE),
        Some(2)
    );
    assert_eq!(
        code(&["keys", "list", "--token-file", "nowhere"], WRITE),
        Some(2)
    );
    let nobody = windlass_tests::ClosedPort::new();
    let mut command = command(["keys", "list"]);
    command.env("WINDLASS_ADMIN_URL", format!("http://{}", nobody.address()));
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(text.contains("[admin]") && text.contains("--url"), "{text}");
}

#[test]
fn a_token_is_not_sent_in_the_clear_to_another_machine() {
    let mut command = command(["keys", "list", "--url", "http://192.0.2.1:9080"]);
    command.env("WINDLASS_ADMIN_TOKEN", "x");
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("https"));
}

#[test]
fn a_rate_has_a_burst_by_default_and_keeps_what_an_update_leaves_out() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let rate = |arguments: &[&str]| {
        let plan = json(&ops(&gateway, &[arguments, &["--json"]].concat()));
        let rate = &plan["rate"];
        (rate["per_second"].as_f64(), rate["burst"].as_u64())
    };
    let create = ["plans", "create", "gold", "--rate", "2.5"];
    let methods = ["--method", "GET /a=0.5", "--method", "GET /b=1/5"];
    assert_eq!(
        rate(&[&create[..], &methods].concat()),
        (Some(2.5), Some(3))
    );
    let shown = json(&ops(&gateway, &["plans", "show", "gold", "--json"]));
    let bursts = [0, 1].map(|place| shown["methods"][place]["burst"].as_u64());
    assert_eq!(bursts, [Some(1), Some(5)]);
    let update = |more: &[&str]| rate(&[&["plans", "update", "gold"], more].concat());
    assert_eq!(update(&["--rate", "7"]), (Some(7.0), Some(3)));
    assert_eq!(update(&["--burst", "9"]), (Some(7.0), Some(9)));
    assert_eq!(update(&["--no-rate"]), (None, None));
    let refused = ops(&gateway, &["plans", "update", "gold", "--burst", "9"]);
    assert!(
        refused.errors.contains("rate.per_second"),
        "{}",
        refused.errors
    );
    assert_eq!(update(&["--rate", "0.2"]), (Some(0.2), Some(1)));
}

#[test]
fn plans_are_made_shown_changed_and_deleted() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let create = [
        "plans",
        "create",
        "gold",
        "--rate",
        "5",
        "--burst",
        "10",
        "--quota",
        "1000",
        "--per",
        "month",
        "--method",
        "GET /orders/{id}=1/5",
        "--api",
        "orders",
        "--json",
    ];
    let made = json(&ops(&gateway, &create));
    assert_eq!(made["methods"][0]["path"], "/orders/{id}");
    let shown = ops(&gateway, &["plans", "show", "gold"]).output;
    for text in [
        "5.0/s, burst 10",
        "1000 a month",
        "GET /orders/{id}",
        "orders",
    ] {
        assert!(shown.contains(text), "{text} in {shown}");
    }
    let update = [
        "plans",
        "update",
        "gold",
        "--no-rate",
        "--all-apis",
        "--json",
    ];
    let updated = json(&ops(&gateway, &update));
    assert!(updated["rate"].is_null());
    assert_eq!(updated["quota"]["limit"], 1000);
    assert!(ops(&gateway, &["plans", "list"]).output.contains("gold"));
    assert_eq!(ops(&gateway, &["plans", "delete", "gold"]).code, Some(0));
    assert_eq!(ops(&gateway, &["plans", "show", "gold"]).code, Some(3));
}

#[test]
fn usage_is_shown_and_extended() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys", "plan"], &upstream);
    let plan = ["plans", "create", "gold", "--quota", "2", "--per", "day"];
    assert_eq!(ops(&gateway, &plan).code, Some(0));
    let made = ops(
        &gateway,
        &[
            "keys",
            "create",
            "--consumer",
            "acme",
            "--plan",
            "gold",
            "--json",
        ],
    );
    let made = json(&made);
    let (id, key) = (
        made["key"]["id"].as_str().unwrap(),
        made["secret"].as_str().unwrap(),
    );
    let statuses = [(); 3].map(|()| status_with(&gateway, key));
    assert_eq!(statuses, [200, 200, 429]);
    let shown = ops(&gateway, &["usage", "show", "--plan", "gold"]).output;
    assert!(shown.contains(id), "{shown}");
    let csv = ops(&gateway, &["usage", "show", "--plan", "gold", "--csv"]).output;
    assert!(csv.ends_with(",2,0\n"), "{csv}");
    let extend = [
        "usage",
        "extend",
        "--plan",
        "gold",
        "--key",
        id,
        "--remaining",
        "1",
    ];
    assert_eq!(ops(&gateway, &extend).code, Some(0));
    assert_eq!(
        (status_with(&gateway, key), status_with(&gateway, key)),
        (200, 429)
    );
}

#[test]
fn an_import_tells_each_row_that_was_left_out() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let file = "name,key\none,apikey1234abcdefghij0123456789\ntwo,short\n";
    let done = windlass(&gateway, &["keys", "import", "-"], WRITE, file);
    assert_eq!(done.code, Some(2), "{}", done.errors);
    assert!(done.errors.contains("imported 1 keys"), "{}", done.errors);
    assert!(done.errors.contains("line 3, column 2"), "{}", done.errors);
    let all = ["keys", "import", "-", "--fail-on-warnings"];
    let refused = windlass(&gateway, &all, WRITE, file);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.errors.contains("line 2, column 2"),
        "{}",
        refused.errors
    );
    let exported = ops(&gateway, &["keys", "export", "--csv"]).output;
    assert_eq!(exported.lines().count(), 2, "{exported}");
}

#[test]
fn an_import_that_leaves_rows_out_is_not_done() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let import = |file: &str| {
        let arguments = ["keys", "import", "-", "--json"];
        let done = windlass(&gateway, &arguments, WRITE, file);
        let report: serde_json::Value = serde_json::from_str(&done.output).unwrap();
        (done.code, report["left_out"].as_u64())
    };
    let good = "name,key\none,apikey1234abcdefghij0123456789\n";
    assert_eq!(import(good), (Some(0), Some(0)));
    assert_eq!(import(good), (Some(2), Some(1)));
}

#[test]
fn an_overlap_is_whole_seconds() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let (id, key) = crate::operator::create(&gateway, "{\"consumer\":\"acme\"}");
    let refused = ops(&gateway, &["keys", "rotate", &id, "--overlap", "500ms"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.errors.contains("whole seconds"),
        "{}",
        refused.errors
    );
    assert_eq!(status_with(&gateway, &key), 200);
    let done = ops(&gateway, &["keys", "rotate", &id, "--overlap", "0s"]);
    assert_eq!(done.code, Some(0), "{}", done.errors);
    assert_eq!(status_with(&gateway, &key), 403);
}

#[test]
fn a_closed_output_ends_a_command_quietly_unless_a_key_is_lost() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let (id, _) = crate::operator::create(&gateway, "{\"consumer\":\"acme\"}");
    let into_nothing = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(arguments);
        command
            .env(
                "WINDLASS_ADMIN_URL",
                format!("http://{}", gateway.admin_address()),
            )
            .env("WINDLASS_ADMIN_TOKEN", WRITE)
            .stdout(writer);
        Finished::of_command(&mut command, "")
    };
    for quiet in [
        &["keys", "export"][..],
        &["keys", "list"],
        &["keys", "list", "--json"],
        &["keys", "show", &id],
    ] {
        let done = into_nothing(quiet);
        assert_eq!((done.code, &*done.errors), (Some(141), ""), "{quiet:?}");
    }
    for lost in [
        &["keys", "create", "--consumer", "lost"][..],
        &["keys", "create", "--consumer", "lost", "--json"],
        &["keys", "rotate", &id, "--json"],
    ] {
        let done = into_nothing(lost);
        assert_eq!(done.code, Some(1), "{}", done.errors);
        assert!(
            done.errors.contains("could not be shown"),
            "{}",
            done.errors
        );
        assert!(done.errors.contains("keys rotate"), "{}", done.errors);
    }
    let made = into_nothing(&["key", "new", "--id", "a", "--consumer", "b"]);
    assert_eq!(made.code, Some(1));
    assert!(
        made.errors.contains("could not be shown"),
        "{}",
        made.errors
    );
}

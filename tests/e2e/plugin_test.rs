//! `windlass plugin test` runs the cases of a plugin in the real host, and says what differs.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use windlass_tests::{Finished, command};

const ACTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/actor.wasm"));

const TENANT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/require_tenant.wasm"));

/// A folder with a component and its cases.
struct Cases(TempDir);

impl Cases {
    fn new(component: &[u8], cases: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("filter.wasm"), component).unwrap();
        fs::write(folder.path().join("cases.toml"), cases).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        finished(
            command(["plugin", "test", "filter.wasm"])
                .args(arguments)
                .current_dir(self.0.path()),
        )
    }
}

fn finished(command: &mut std::process::Command) -> Finished {
    let output = command.output().unwrap();
    Finished {
        code: output.status.code(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Check that all cases pass.
fn pass(component: &[u8], cases: &str) {
    let done = Cases::new(component, cases).run(&["--cases-only"]);
    assert_eq!(done.code, Some(0), "{}{}", done.output, done.errors);
    assert!(done.output.contains(", 0 failed"), "{}", done.output);
}

/// Check that the only case fails with these parts in the report.
fn fail(component: &[u8], cases: &str, parts: &[&str]) {
    let done = Cases::new(component, cases).run(&["--cases-only"]);
    assert_eq!(done.code, Some(1), "{}{}", done.output, done.errors);
    for part in parts {
        assert!(
            done.output.contains(part),
            "no `{part}` in\n{}",
            done.output
        );
    }
}

#[test]
fn a_filter_with_settings_keeps_its_promises() {
    pass(
        TENANT,
        r#"
        settings = { header = "x-tenant", tenants = ["blue"] }
        [[case]]
        name    = "a listed tenant passes"
        request = { method = "POST", path = "/orders?full=1", headers = { x-tenant = "blue" }, body = ["hel", "lo"] }
        response = { status = 201, body = "done", headers = { etag = '"1"' } }
        expect.verdict  = "next"
        expect.request  = { method = "POST", path = "/orders?full=1", headers = { x-tenant = "blue" }, absent = ["x-other"], body = "hello" }
        expect.response = { status = 201, body = "done", headers = { etag = '"1"' }, cut = false }
        [[case]]
        name    = "another tenant is refused"
        request = { headers = { x-tenant = "red" } }
        expect.refusal  = { status = 403, code = "tenant_unknown", body = "" }
        expect.response = { status = 403, headers = { content-type = "application/problem+json" } }
        [[case]]
        name    = "a request without a tenant is refused"
        expect.refusal = { status = 400, code = "tenant_missing" }
        [[case]]
        name     = "an empty list is an error in the settings"
        settings = { header = "x-tenant", tenants = [] }
        expect.diagnostics = ["/tenants: name at least one"]
        "#,
    );
}

/// The filter reads and edits all that an exchange has, as in the gateway.
#[test]
fn a_case_gives_all_that_a_filter_can_read() {
    pass(
        ACTOR,
        r#"
        settings = { request = ["method", "path", "authority", "scheme", { path-param = "id" }, { query-param = "q" },
            { attribute = "consumer.id" }, { attribute = "client.ip" }, { attribute = "request.time-ms" },
            { header-all = ["request", "x-two"] }, { set-attribute = ["seen.by", { text = "actor" }] },
            { set-note = ["n", "noted"] }, { log = ["info", "a line"] }, "report"] }
        allow = { attributes = ["seen.*"] }
        [[case]]
        name       = "everything"
        time       = 2027-01-01T00:00:00Z
        route      = "/orders/{id}"
        attributes = { consumer.id = "acme" }
        request    = { method = "PUT", path = "/orders/a%20b?q=1", host = "shop.example", headers = { x-two = ["1", "2"] }, client = "203.0.113.9", tls = false }
        expect.verdict    = "refusal"
        expect.attributes = { consumer.id = "acme", seen = { by = "actor" }, request.time-ms = 1798761600000 }
        expect.absent_attributes = ["seen.nothing"]
        expect.notes      = { n = "noted" }
        expect.log        = ["a line"]
        expect.not_logged = ["another line"]
        expect.refusal    = { status = 200, body = '["PUT","/orders/a%20b?q=1","shop.example","http","a b","1","acme","203.0.113.9",1798761600000,["1","2"],"ok","ok",null]' }
        "#,
    );
}

#[test]
fn bodies_pass_in_the_pieces_of_the_case_and_trailers_after_them() {
    pass(
        ACTOR,
        r#"
        settings = { request = ["chunks"], request-body = [{ append-piece = "|" }], response = [{ whole = 100 }], response-body = [{ prepend-piece = ">" }] }
        [[case]]
        name     = "pieces"
        request  = { method = "POST", body = ["a", "b"], trailers = { x-sum = "1" }, headers = { trailer-note = "x" } }
        response = { body = ["YQ==", "/w=="], base64 = true }
        expect.request = { body = "a|b||", trailers = { x-sum = "1" } }
        [[case]]
        name     = "a response that breaks off"
        response = { body = ["a"], cut = true }
        expect.response = { status = 502 }
        "#,
    );
}

#[test]
fn secrets_keys_plans_and_documents_of_the_case_are_there() {
    let cases = Cases::new(
        ACTOR,
        r#"
        allow     = { interfaces = ["keys", "crypto", "limits"], secrets = ["hmac"], attributes = ["consumer.*", "api-key.*", "auth.*", "plan.*"] }
        documents = { list = "list.txt" }
        settings  = { request = [{ identify-field = "x-key" }, { digest = ["sha256", "a"] }, { hmac-verify = ["sha256", "hmac", "text", "wrong"] }, { read-document = ["list", 0, 10] }, "report"], configure = ["documents"] }
        [secret.hmac]
        value = "made up"
        [plan.small]
        rate  = 1
        burst = 1
        [[key]]
        key      = "test-key-1"
        id       = "k1"
        consumer = "acme"
        plan     = "small"
        [[case]]
        name    = "a key"
        request = { headers = { x-key = "test-key-1" } }
        expect.attributes = { consumer.id = "acme", api-key.id = "k1" }
        expect.verdict = "refusal"
        [[case]]
        name    = "no key"
        request = { headers = { x-key = "other" } }
        expect.absent_attributes = ["consumer.id"]
        "#,
    );
    fs::write(cases.path("list.txt"), "one").unwrap();
    let done = cases.run(&["--cases-only"]);
    assert_eq!(done.code, Some(0), "{}{}", done.output, done.errors);
}

/// The server that stands in for a callout checks the call and answers it.
#[test]
fn calls_to_other_servers_are_answered_and_compared() {
    let cases = |path: &str| {
        format!(
            r#"
        allow    = {{ interfaces = ["callout"], callouts = ["auth"], secrets = ["token"] }}
        settings = {{ request = [{{ ask = {{ target = "auth", path = "/check", credential = {{ bearer = "token" }} }} }}, "report"] }}
        [secret.token]
        value = "made-up"
        [callout.auth]
        [[case]]
        name = "asked"
        expect.refusal = {{ status = 200 }}
        [[case.call]]
        callout  = "auth"
        method   = "GET"
        path     = "{path}"
        headers  = {{ authorization = "Bearer made-up" }}
        response = {{ status = 200, body = "yes" }}
        "#
        )
    };
    pass(ACTOR, &cases("/check"));
    let parts = [
        "expected  GET /other to `auth`",
        "seen      GET /check to `auth`",
    ];
    fail(ACTOR, &cases("/other"), &parts);
}

#[test]
fn a_difference_names_the_case_its_line_both_values_and_the_log() {
    fail(
        ACTOR,
        "settings = { request = [{ log = [\"info\", \"hello\"] }, { set-header = [\"request\", \"x-a\", \"1\"] }] }\n[[case]]\nname = \"an edit\"\nexpect.request = { headers = { x-a = \"2\" }, absent = [\"host\"] }\nexpect.log = [\"goodbye\"]",
        &[
            "FAIL an edit",
            "at cases.toml:2",
            "expect.request.headers.x-a",
            "expected  \"2\"",
            "seen      \"1\"",
            "no `host`",
            "a line that contains \"goodbye\"",
            "info  hello",
            "0 passed, 1 failed",
        ],
    );
}

/// A trap fails a case that does not expect it, and the report has the backtrace.
#[test]
fn a_failure_is_expected_or_fails_the_case() {
    let settings = "settings = { request = [\"trap\"] }\n[[case]]\nname = \"a trap\"\n";
    fail(
        ACTOR,
        settings,
        &[
            "expect.failure",
            "no failure",
            "trap: ",
            "log of the filter:",
            "  0: ",
        ],
    );
    let expected = format!(
        "{settings}expect.failure = {{ kind = \"trap\" }}\nexpect.response = {{ status = 500 }}\nexpect.verdict = \"failure\""
    );
    pass(ACTOR, &expected);
    let other = format!("{settings}expect.failure = {{ kind = \"cpu\", text = \"nothing\" }}");
    fail(
        ACTOR,
        &other,
        &["expect.failure.kind", "expect.failure.text"],
    );
    let none = "[[case]]\nname = \"none\"\nexpect.failure = \"x\"";
    let done = Cases::new(ACTOR, none).run(&["--cases-only"]);
    assert_eq!(done.code, Some(2), "{}", done.output);
}

#[test]
fn a_request_that_does_not_reach_the_endpoint_differs_from_one_that_does() {
    fail(
        TENANT,
        "settings = { header = \"x-tenant\", tenants = [\"a\"] }\n[[case]]\nname = \"x\"\nexpect.request = {}\nexpect.verdict = \"next\"",
        &[
            "expect.request",
            "the filter's response 400 `tenant_missing`",
        ],
    );
    fail(
        TENANT,
        "[[case]]\nname = \"x\"\n",
        &["expect.diagnostics", "no error there"],
    );
}

/// The counters and the cache of one case are not there in the next.
#[test]
fn a_case_leaves_nothing_for_the_next() {
    pass(
        ACTOR,
        r#"
        allow    = { interfaces = ["cache"] }
        settings = { request = [{ cache-increment = ["n", 1, 60000] }, "report"] }
        [[case]]
        name = "one"
        expect.refusal = { body = "[1]" }
        [[case]]
        name = "two"
        expect.refusal = { body = "[1]" }
        "#,
    );
}

/// An error in the file looks as one of `windlass check`, and gives exit code 2.
#[test]
fn an_error_in_the_cases_has_its_line_a_caret_and_a_cure() {
    let bad = "[[case]]\nname = \"x\"\nexpect.respnse = { status = 200 }\nrequest = { body = \"%\", base64 = true, path = \"orders\" }\n";
    let done = Cases::new(ACTOR, bad).run(&[]);
    assert_eq!(done.code, Some(2), "{}", done.output);
    for part in [
        "cases.toml:3:8: case `x`: unknown key `expect.respnse`",
        "  |        ^^^^^^^",
        "help: did you mean `response`?",
        "`body` is not base64",
        "`request.path` wants a path such as",
        "3 errors in cases.toml",
    ] {
        assert!(
            done.errors.contains(part),
            "no `{part}` in\n{}",
            done.errors
        );
    }
}

#[test]
fn what_is_no_component_or_no_folder_of_a_plugin_is_exit_code_two() {
    let text = Cases::new(b"no wasm", "[[case]]\nname = \"x\"").run(&[]);
    assert_eq!(text.code, Some(2), "{}", text.output);
    assert!(
        text.errors.contains("is not WebAssembly"),
        "{}",
        text.errors
    );
    let folder = TempDir::new().unwrap();
    let none = finished(command(["plugin", "test"]).current_dir(folder.path()));
    assert_eq!(none.code, Some(2), "{}", none.output);
    assert!(none.errors.contains("no `plugin.toml`"), "{}", none.errors);
    let unmatched = Cases::new(ACTOR, "[[case]]\nname = \"x\"").run(&["--filter", "zebra"]);
    assert_eq!(unmatched.code, Some(2), "{}", unmatched.output);
}

/// TAP on standard output, and `JUnit` in a file.
#[test]
fn machines_read_the_results_too() {
    let cases = Cases::new(
        ACTOR,
        "[[case]]\nname = \"good\"\n[[case]]\nname = \"bad\"\nexpect.response = { status = 404 }",
    );
    let done = cases.run(&["--cases-only", "--tap", "--junit", "out.xml"]);
    assert_eq!(done.code, Some(1), "{}", done.errors);
    let tap = "TAP version 14\n1..2\nok 1 - cases: good\nnot ok 2 - cases: bad\n  ---\n";
    assert!(done.output.starts_with(tap), "{}", done.output);
    let xml = fs::read_to_string(cases.path("out.xml")).unwrap();
    for part in [
        "<testsuite name=\"filter.cases\" tests=\"2\" failures=\"1\" skipped=\"0\"",
        "<testcase classname=\"filter.cases\" name=\"good\" file=\"cases.toml\" line=\"1\"",
        "<failure message=\"expect.response.status: expected 404",
    ] {
        assert!(xml.contains(part), "no `{part}` in\n{xml}");
    }
}

/// In a plugin's folder, the component that is newer than the sources is tested as it is.
#[test]
fn a_plugins_folder_is_tested_without_arguments() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("plugin.toml"), "name = \"team\"\nlanguage = \"c\"").unwrap();
    fs::write(path("cases.toml"), "[[case]]\nname = \"x\"").unwrap();
    fs::create_dir(path("build")).unwrap();
    fs::write(path("build/team.wasm"), ACTOR).unwrap();
    let run = |folder: &Path| finished(command(["plugin", "test"]).current_dir(folder));
    let done = run(folder.path());
    assert_eq!(done.code, Some(0), "{}{}", done.output, done.errors);
    assert!(
        done.output
            .contains("ok   x\nconformance, from the case `x`\n"),
        "{}",
        done.output
    );
}

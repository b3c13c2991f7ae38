//! Authentication and TLS of the admin API.

use windlass_tests::{Finished, Gateway, Request, Upstream, command};

use crate::config::{all_to, start as plain};
use crate::operator::{self, READ, STORE, WRITE, call, get, request, send, start};

#[test]
fn without_tokens_the_api_is_closed_and_the_numbers_are_not() {
    let upstream = Upstream::text("ok");
    let gateway = plain(&[&all_to(upstream.address())]);
    for path in [
        "/v1/keys",
        "/v1/plans/gold",
        "/v1/status",
        "/v1/openapi.json",
    ] {
        let answer = gateway.admin(path);
        assert_eq!(
            (answer.status, &*answer.code()),
            (403, "no_tokens"),
            "{path}"
        );
        assert!(answer.text().contains("[admin]"), "{}", answer.text());
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(gateway.admin(path).status, 200, "{path}");
    }
}

#[test]
fn a_token_is_needed_and_its_role_is_held_to() {
    let gateway = start(&["keys"], &Upstream::text("ok"));
    let without = gateway.admin("/v1/keys");
    assert_eq!((without.status, &*without.code()), (401, "token_missing"));
    let scheme = without.header("www-authenticate").unwrap();
    assert!(scheme.starts_with("Bearer"), "{scheme}");
    let id = without.header("x-request-id").unwrap();
    assert_eq!(without.json()["request-id"], id);
    let with = |token: &str, request: Request| {
        let request = request.header("connection", "close");
        send(
            &gateway,
            &request.header("authorization", format!("Bearer {token}")),
        )
    };
    assert_eq!(
        with("wrong", Request::get("/v1/keys")).code(),
        "token_rejected"
    );
    assert_eq!(with(READ, Request::get("/v1/keys")).status, 200);
    let refused = with(READ, Request::new("DELETE", "/v1/keys/x"));
    assert_eq!((refused.status, &*refused.code()), (403, "read_only"));
    assert_eq!(
        with(WRITE, Request::new("DELETE", "/v1/keys/x")).status,
        404
    );
    // A path that does not exist is 404, with or without a token.
    assert_eq!(gateway.admin("/v2").code(), "no_such_path");
    let log = gateway
        .log()
        .wait_for_line(|line| line.contains("token_rejected"));
    assert!(log.contains("audit") && log.contains("127.0.0.1"), "{log}");
    assert!(!gateway.log().text().contains(READ), "a token is logged");
}

#[test]
fn who_guesses_tokens_is_told_to_wait_and_shuts_nobody_out() {
    let gateway = start(&["keys"], &Upstream::text("ok"));
    let guess = Request::get("/v1/keys")
        .header("authorization", "Bearer guess")
        .header("connection", "close");
    for _ in 0..10 {
        assert_eq!(send(&gateway, &guess).status, 401);
    }
    let refused = send(&gateway, &guess);
    assert_eq!(
        (refused.status, &*refused.code()),
        (429, "too_many_failures")
    );
    assert_eq!(get(&gateway, "/v1/keys").status, 200);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&seconds), "{seconds}");
    assert_eq!(gateway.admin("/livez").status, 200);
}

#[test]
fn a_reload_puts_a_new_token_in_force() {
    let upstream = Upstream::text("ok");
    let config = all_to(upstream.address()) + STORE;
    let gateway = Gateway::with_config(&config)
        .file("ops.token", WRITE)
        .file("view.token", READ)
        .start();
    assert_eq!(get(&gateway, "/v1/status").status, 200);
    std::fs::write(gateway.folder().join("ops.token"), "another-token-by-now\n").unwrap();
    gateway.reload(&config);
    assert_eq!(get(&gateway, "/v1/status").code(), "token_rejected");
    let with_new = Request::get("/v1/status")
        .header("authorization", "Bearer another-token-by-now")
        .header("connection", "close");
    assert_eq!(send(&gateway, &with_new).status, 200);
}

/// A gateway with TLS on the admin listener, and its files beside the configuration.
fn with_tls(upstream: &Upstream) -> (Gateway, String) {
    let config = all_to(upstream.address())
        + &STORE.replace(
            "[store]",
            "tls = { certificate = \"admin.pem\", key = \"admin.key\" }\n\n[store]",
        );
    let gateway = Gateway::with_config(&config)
        .file("ops.token", WRITE)
        .file("view.token", READ)
        .file("admin.pem", include_str!("tls/admin.pem"))
        .file("admin.key", include_str!("tls/admin.key"))
        .start();
    (gateway, config)
}

/// The outcome of `windlass keys list` with this certificate as the only trusted one.
fn list_trusting(gateway: &Gateway, certificate: &str) -> Finished {
    let file = gateway.folder().join("trusted.pem");
    std::fs::write(&file, certificate).unwrap();
    let trusted = ["--ca", file.to_str().unwrap()];
    list(&format!("https://{}", gateway.admin_address()), &trusted)
}

/// The outcome of `windlass keys list` at this URL.
fn list(url: &str, options: &[&str]) -> Finished {
    let mut command = command(["keys", "list", "--json"]);
    command
        .args(options)
        .env("WINDLASS_ADMIN_URL", url)
        .env("WINDLASS_ADMIN_TOKEN", WRITE);
    Finished::of_command(&mut command, "")
}

#[test]
fn a_command_that_meets_tls_in_the_place_of_clear_text_says_so() {
    let upstream = Upstream::text("ok");
    let (gateway, _) = with_tls(&upstream);
    let refused = list(&format!("http://{}", gateway.admin_address()), &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.output);
    assert!(
        refused.errors.contains("write `https://`"),
        "{}",
        refused.errors
    );
}

#[test]
fn over_tls_the_certificate_is_checked_and_the_token_works() {
    let upstream = Upstream::text("ok");
    let (gateway, _) = with_tls(&upstream);
    let good = list_trusting(&gateway, include_str!("tls/admin.pem"));
    assert_eq!(good.code, Some(0), "{}", good.errors);
    assert!(good.output.contains("\"items\":[]"), "{}", good.output);
    let bad = list_trusting(&gateway, include_str!("tls/other.pem"));
    assert_eq!(bad.code, Some(1), "an unknown certificate is taken");
}

#[test]
fn a_reload_puts_a_new_certificate_in_use_and_a_bad_one_keeps_the_old() {
    const OLD: &str = include_str!("tls/admin.pem");
    const NEW: &str = include_str!("tls/next.pem");
    let upstream = Upstream::text("ok");
    let (gateway, config) = with_tls(&upstream);
    let put = |name: &str, text: &str| std::fs::write(gateway.folder().join(name), text).unwrap();
    let told = |config: &str| {
        let lines = gateway.reload(config).join("\n");
        assert!(lines.contains("a new configuration is in use"), "{lines}");
        lines
    };
    put("admin.pem", NEW);
    put("admin.key", include_str!("tls/next.key"));
    let lines = told(&config);
    assert!(!lines.contains("certificate"), "{lines}");
    assert_eq!(list_trusting(&gateway, NEW).code, Some(0));
    assert_eq!(list_trusting(&gateway, OLD).code, Some(1));
    for key in ["nonsense", include_str!("tls/admin.key")] {
        put("admin.key", key);
        let lines = gateway.reload(&config).join("\n");
        let is_refused = lines.contains("the new configuration has errors");
        assert!(is_refused && lines.contains("`[admin] tls`: "), "{lines}");
        assert_eq!(list_trusting(&gateway, NEW).code, Some(0));
    }
    put("moved.pem", OLD);
    let lines = told(&config.replace("admin.pem", "moved.pem"));
    assert!(!lines.contains("takes a restart"), "{lines}");
    assert_eq!(list_trusting(&gateway, OLD).code, Some(0));
}

#[test]
fn errors_have_one_form() {
    let gateway = start(&["keys"], &Upstream::text("ok"));
    let code = |answer: windlass_tests::Response, status: u16| {
        let kind = answer.header("content-type").unwrap();
        assert_eq!(kind, "application/problem+json", "{}", answer.text());
        assert_eq!(answer.status, status, "{}", answer.text());
        answer.code()
    };
    let method = send(&gateway, &request("PUT", "/v1/keys"));
    let allow = method.header("allow").unwrap().to_owned();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    assert_eq!(code(method, 405), "method_not_allowed");
    let kind = request("POST", "/v1/keys").header("content-type", "text/plain");
    assert_eq!(
        code(send(&gateway, &kind.body("{}")), 415),
        "unsupported_media_type"
    );
    let large = format!("{{\"consumer\":\"{}\"}}", "a".repeat(70_000));
    assert_eq!(
        code(call(&gateway, "POST", "/v1/keys", &large), 413),
        "body_too_large"
    );
    let unknown = call(
        &gateway,
        "POST",
        "/v1/keys",
        "{\"consumer\":\"a\",\"consumr\":\"b\"}",
    );
    assert!(unknown.text().contains("consumr"), "{}", unknown.text());
    assert_eq!(code(unknown, 400), "invalid");
    for query in [
        "limit=0",
        "limit=x",
        "cursor=x",
        "colour=red",
        "limit=1&limit=2",
    ] {
        assert_eq!(
            code(get(&gateway, &format!("/v1/keys?{query}")), 400),
            "invalid",
            "{query}"
        );
    }
    assert_eq!(code(get(&gateway, "/v1/keys/nobody"), 404), "no_such_key");
    assert_eq!(code(get(&gateway, "/v1/plans/n%20o"), 404), "no_such_plan");
}

#[test]
fn without_a_store_the_api_says_so() {
    let upstream = Upstream::text("ok");
    let config =
        all_to(upstream.address()) + &STORE.replace("[store]\npath = \"windlass.db\"\n", "");
    let gateway = Gateway::with_config(config)
        .file("ops.token", WRITE)
        .file("view.token", READ)
        .start();
    let answer = get(&gateway, "/v1/keys");
    assert_eq!((answer.status, &*answer.code()), (503, "no_store"));
    assert!(get(&gateway, "/v1/status").json()["store"].is_null());
    let shown = operator::windlass(&gateway, &["keys", "list"], WRITE, "");
    assert_eq!(shown.code, Some(1));
    assert!(shown.errors.contains("[store]"), "{}", shown.errors);
}

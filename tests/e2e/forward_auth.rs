//! `builtin:authorizer` with `kind = "forward"`: an authorizer that decides by its status.

use std::net::SocketAddr;

use windlass_tests::{Gateway, Reply, Request, Then, Upstream};

use crate::config::{transform, upstream};
use crate::wire::{Authority, Endpoint, Speaks, server_tls};

fn config(settings: &str, server: SocketAddr, endpoint: SocketAddr) -> String {
    let route =
        |path: &str| format!("[[route]]\n{path}\nfilters = [\"auth\"]\nupstream = \"app\"\n");
    [
        route("path = \"/a\""),
        route("path = \"/c\"\napi = \"shop\""),
        route("path = \"$default\""),
        "[api.shop]\nbase_path = \"/shop\"\n".to_owned(),
        format!(
            "[filter.auth]\nplugin = \"builtin:authorizer\"\nsettings = {{ callout = \"auth\", kind = \"forward\", {settings} }}\n"
        ),
        format!("[callout.auth]\nurl = \"http://{server}/verify\"\n"),
        upstream("app", &[endpoint]),
    ]
    .concat()
}

fn start(settings: &str, server: &Upstream, endpoint: &Upstream) -> Gateway {
    Gateway::with_config(config(settings, server.address(), endpoint.address())).start()
}

fn with(target: &str, token: &str) -> Request {
    Request::get(target).header("authorization", token)
}

#[test]
fn the_authorizer_is_told_of_the_request_and_gets_the_fields_that_are_named() {
    let (server, endpoint) = (Upstream::fixed(Reply::status(204)), Upstream::echo());
    let gateway = start("send = [\"X-Token\", \"x-none\"]", &server, &endpoint);
    let request = Request::post("/a?x=1&y=%20", "the body")
        .header("x-token", "1")
        .header("x-token", "2")
        .header("authorization", "none")
        .header("x-forwarded-uri", "/forged")
        .header("x-original-url", "/forged");
    assert_eq!(gateway.send(&request).status, 200);
    let sent = server.only_request();
    assert_eq!((&*sent.method, &*sent.target), ("GET", "/verify"));
    let host = "gateway.test";
    let url = format!("http://{host}/a?x=1&y=%20");
    for (name, value) in [
        ("x-forwarded-method", Some("POST")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some(host)),
        ("x-forwarded-uri", Some("/a?x=1&y=%20")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-original-method", Some("POST")),
        ("x-original-uri", Some("/a?x=1&y=%20")),
        ("x-original-url", Some(&*url)),
        ("authorization", None),
        ("x-none", None),
    ] {
        assert_eq!(sent.header(name), value, "{name}");
    }
    assert_eq!(sent.head.all("x-token").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(sent.length, 0);
    assert_eq!(endpoint.only_request().body, b"the body");
}

#[test]
fn the_authorizer_decides_about_the_path_that_the_endpoint_gets() {
    let (server, endpoint) = (Upstream::fixed(Reply::status(200)), Upstream::echo());
    let gateway = start("", &server, &endpoint);
    let spelled = [
        ("/public/../a", "/a"),
        ("//a", "/a"),
        ("/%61", "/a"),
        ("/a", "/a"),
        ("/shop/c", "/shop/c"),
        ("/shop//c", "/shop/c"),
        ("//shop/c", "/shop/c"),
        ("/shop/./c", "/shop/c"),
        ("/shop/%63", "/shop/c"),
        ("/shop/x/../c?x=%61", "/shop/c?x=%61"),
    ];
    for (target, _) in spelled {
        assert_eq!(gateway.send(&Request::get(target)).status, 200, "{target}");
    }
    let asked = server.received();
    let asked: Vec<_> = asked
        .iter()
        .map(|one| one.header("x-forwarded-uri"))
        .collect();
    assert_eq!(asked, spelled.map(|(_, uri)| Some(uri)));
    let got = endpoint.received();
    let got: Vec<_> = got.iter().map(|one| &*one.target).collect();
    let below = |uri: &'static str| uri.strip_prefix("/shop").unwrap_or(uri);
    assert_eq!(got, spelled.map(|(_, uri)| below(uri)));
}

#[test]
fn fields_of_a_good_answer_go_upstream_and_never_the_client_s_own() {
    for (reply, user) in [
        (
            Reply::status(200)
                .header("x-user", "alice")
                .header("x-user", "admin"),
            &["alice", "admin"][..],
        ),
        (Reply::status(299), &[]),
    ] {
        let reply = reply
            .header("x-other", "no")
            .header("connection", "close, X-User-2")
            .header("x-user-2", "of the connection")
            .body("ignored");
        let (server, endpoint) = (Upstream::fixed(reply), Upstream::echo());
        let gateway = start("copy = [\"X-User\", \"x-user-2\"]", &server, &endpoint);
        let request = Request::get("/a")
            .header("X-USER", "mallory")
            .header("x_user", "mallory")
            .header("x-user-2", "mallory");
        assert_eq!(gateway.send(&request).status, 200);
        let received = endpoint.only_request();
        assert_eq!(received.head.all("x-user").collect::<Vec<_>>(), user);
        for name in ["x-user-2", "x-other", "x_user"] {
            assert_eq!(received.header(name), None, "{name}");
        }
        assert!(!received.json().to_string().contains("mallory"));
    }
}

#[test]
fn every_other_answer_is_the_client_s() {
    for status in [302, 400, 401, 403, 404, 429, 500, 503] {
        let reply = Reply::status(status)
            .header("content-type", "text/html")
            .header("location", "https://login.example/")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("www-authenticate", "Basic realm=\"x\"")
            .header("x-internal", "secret")
            .header("keep-alive", "timeout=5")
            .header("connection", "close, x-hop")
            .header("x-hop", "1")
            .body("<p>no</p>");
        let (server, endpoint) = (Upstream::fixed(reply), Upstream::echo());
        let names = "\"content-type\", \"location\", \"set-cookie\", \"www-authenticate\"";
        let also = format!("pass_back = [{names}, \"x-hop\"]");
        let gateway = start(&also, &server, &endpoint);
        let answer = gateway.send(&with("/a", "one"));
        assert_eq!((answer.status, answer.text()), (status, "<p>no</p>"));
        assert_eq!(answer.header("location"), Some("https://login.example/"));
        assert_eq!(answer.headers("set-cookie"), ["a=1", "b=2"]);
        assert_eq!(answer.header("content-type"), Some("text/html"));
        assert!(answer.header("www-authenticate").is_some());
        for name in ["x-internal", "keep-alive", "x-hop"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
        assert_eq!(endpoint.count(), 0);
    }
    // The default is these four fields. If the refusal has no body, Windlass writes one.
    let reply = Reply::status(403)
        .header("set-cookie", "a=1")
        .header("x-hop", "1");
    let (server, endpoint) = (Upstream::fixed(reply), Upstream::echo());
    let gateway = start("", &server, &endpoint);
    let answer = gateway.get("/a");
    assert_eq!(answer.code(), "forward_refused");
    assert_eq!(answer.header("set-cookie"), Some("a=1"));
    assert_eq!(answer.header("x-hop"), None);
}

#[test]
fn no_answer_or_one_that_is_too_large_opens_nothing() {
    for server in [
        Upstream::raw("what?\r\n\r\n", Then::Close),
        Upstream::raw(
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
            Then::Close,
        ),
        Upstream::bytes(300 * 1024),
    ] {
        let endpoint = Upstream::echo();
        let gateway = start("", &server, &endpoint);
        let answer = gateway.get("/a");
        assert_eq!((answer.status, &*answer.code()), (500, "authorizer_failed"));
        assert_eq!(endpoint.count(), 0);
    }
}

#[test]
fn a_good_answer_is_kept_only_if_asked_for_and_for_its_route_method_and_identity() {
    let reply = || Reply::status(200).header("x-user", "alice");
    let (server, endpoint) = (Upstream::fixed(reply()), Upstream::echo());
    let gateway = start("", &server, &endpoint);
    for calls in 1..=2 {
        assert_eq!(gateway.send(&with("/a", "one")).status, 200);
        assert_eq!(server.count(), calls);
    }
    let settings = "ttl = \"1h\", copy = [\"x-user\"], identity = [{ header = \"authorization\" }]";
    let (server, endpoint) = (Upstream::fixed(reply()), Upstream::echo());
    let gateway = start(settings, &server, &endpoint);
    let post = Request::post("/a", "").header("authorization", "one");
    for _ in 0..2 {
        assert_eq!(
            gateway
                .send(&with("/a", "one").header("x-user", "eve"))
                .status,
            200
        );
        assert_eq!(gateway.send(&with("/b", "one")).status, 200);
        assert_eq!(gateway.send(&with("/a", "two")).status, 200);
        assert_eq!(gateway.send(&post).status, 200);
    }
    assert_eq!(server.count(), 4);
    for received in endpoint.received() {
        assert_eq!(received.header("x-user"), Some("alice"));
    }
    assert_eq!(gateway.get("/a").code(), "identity_missing");
    // A refusal that sets a cookie is not cached for others.
    let refusal = Reply::status(401).header("set-cookie", "a=1").body("no");
    let (server, endpoint) = (Upstream::fixed(refusal), Upstream::echo());
    let gateway = start(settings, &server, &endpoint);
    for calls in 1..=2 {
        assert_eq!(gateway.send(&with("/a", "one")).status, 401);
        assert_eq!(server.count(), calls);
    }
}

#[test]
fn a_good_answer_does_not_outlive_the_trust_in_its_server() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let identity = authority.issue(&["127.0.0.1"]);
    let server = Endpoint::version(Speaks {
        tls: Some(server_tls(&identity, &["http/1.1"], None)),
        ..Speaks::default()
    });
    let endpoint = Upstream::echo();
    let settings = "ttl = \"1h\", identity = [{ header = \"authorization\" }]";
    let text = config(settings, server.address, endpoint.address());
    let text = text.replace("\nurl = \"http:", "\nca = \"ca.pem\"\nurl = \"https:");
    let gateway = Gateway::with_config(&text)
        .file("ca.pem", &authority.pem)
        .start();
    let status = || gateway.send(&with("/a", "one")).status;
    assert_eq!(status(), 200);
    // Replace the file by another authority.
    std::fs::write(gateway.folder().join("ca.pem"), &stranger.pem).unwrap();
    gateway.reload(&text);
    assert_eq!(status(), 500);
    assert_eq!(endpoint.count(), 1);
}

#[test]
fn a_status_that_http_does_not_have_is_a_failure_of_the_authorizer_also_with_on_error_skip() {
    for status in ["600", "999"] {
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
        let (server, endpoint) = (Upstream::raw(answer, Then::KeepAlive), Upstream::echo());
        let config = config("", server.address(), endpoint.address()).replacen(
            "plugin = \"builtin:authorizer\"",
            "plugin = \"builtin:authorizer\"\non_error = \"skip\"",
            1,
        );
        let refused = Gateway::with_config(config).start().get("/a");
        let told = (refused.status, refused.code());
        assert_eq!(told, (500, "authorizer_failed".to_owned()), "{status}");
        assert_eq!(endpoint.count(), 0);
    }
}

#[test]
fn the_longest_head_that_a_listener_takes_by_default_can_be_asked_about() {
    let (server, endpoint) = (Upstream::fixed(Reply::status(200)), Upstream::echo());
    let gateway = start("", &server, &endpoint);
    let target = format!("/a?x={}", "y".repeat(8 * 1024 - 5));
    let cookie = "c".repeat(23 * 1024);
    let request = Request::get(&*target).header("cookie", &*cookie);
    assert_eq!(gateway.send(&request).status, 200);
    let sent = server.only_request();
    assert_eq!(sent.header("x-original-uri"), Some(&*target));
    assert_eq!(sent.header("cookie"), Some(&*cookie));
}

#[test]
fn as_many_fields_as_a_listener_takes_are_sent_and_more_than_a_question_holds_are_431() {
    let (server, endpoint) = (Upstream::fixed(Reply::status(200)), Upstream::echo());
    let listener =
        "[[listener]]\naddress = \"127.0.0.1:0\"\nmax_headers = 1000\nmax_head = \"128KiB\"\n";
    let config = config("send = [\"x-team\"]", server.address(), endpoint.address());
    let gateway = Gateway::with_config(format!("{listener}{config}")).start();
    let teams = |count: usize| {
        let request = Request::get("/a");
        (0..count).fold(request, |request, team| {
            request.header("x-team", format!("{team}"))
        })
    };
    for count in [64, 65, 99, 990] {
        assert_eq!(gateway.send(&teams(count)).status, 200, "{count}");
        let sent = server.received();
        let fields = sent.last().unwrap().head.fields.iter();
        let teams = fields.filter(|(name, _)| name.eq_ignore_ascii_case("x-team"));
        assert_eq!(teams.count(), count);
    }
    let asked = server.count();
    let large = Request::get("/a").header("x-team", "t".repeat(65 * 1024));
    let answer = gateway.send(&large);
    assert_eq!((answer.status, &*answer.code()), (431, "forward_too_large"));
    assert_eq!(server.count(), asked);
    assert_eq!(gateway.send(&teams(1)).status, 200);
}

#[test]
fn refusals_at_the_same_time_are_each_for_one_client() {
    let refusal = Reply::status(302).header("set-cookie", "login=1");
    let (server, endpoint) = (Upstream::gated(refusal), Upstream::echo());
    // Two users behind one address.
    let settings = "ttl = \"1h\", identity = [{ attribute = \"client.ip\" }]";
    let gateway = start(settings, &server, &endpoint);
    let mut clients = [gateway.client(), gateway.client()];
    for client in &mut clients {
        client.send_raw(Request::get("/a").bytes());
    }
    server.wait_for_requests(2);
    server.release(2);
    for client in &mut clients {
        assert_eq!(client.read_response().status, 302);
    }
    assert_eq!(server.count(), 2);
}

#[test]
fn a_path_that_an_earlier_filter_cut_is_asked_about_as_it_goes_on() {
    let (server, endpoint) = (Upstream::fixed(Reply::status(200)), Upstream::echo());
    let cut = "{ request = [{ op = \"set\", path = \"/c\" }] }";
    let config = config("", server.address(), endpoint.address())
        .replace("filters = [\"auth\"]", "filters = [\"cut\", \"auth\"]");
    let gateway = Gateway::with_config(config + &transform("cut", cut)).start();
    assert_eq!(gateway.get("/v1/c").status, 200);
    let asked = server.only_request();
    assert_eq!(asked.header("x-forwarded-uri"), Some("/c"));
    assert_eq!(asked.header("x-original-uri"), Some("/c"));
    assert_eq!(endpoint.only_request().target, "/c");
}

//! Reloads under traffic: no request is lost, and each ends on the configuration that it began
//! with.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::Signal;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};
use windlass_tests::{Gateway, Reply, Request, Then, Upstream, key_digest, wait};

use crate::table;

#[path = "../hostile/forge.rs"]
#[allow(dead_code, reason = "shared with the tests of hostile guests")]
mod forge;
#[path = "../e2e/wire.rs"]
#[allow(dead_code, reason = "shared with the tests of HTTP/2")]
mod wire;

/// A case; it panics with the reason if it fails.
struct Case {
    name: &'static str,
    run: fn(),
}

fn run(cases: &[Case]) {
    table::run(
        cases,
        |case| case.name,
        |case| {
            let ran = catch_unwind(AssertUnwindSafe(case.run));
            ran.map_err(|cause| {
                let text = cause.downcast_ref::<String>().cloned();
                let text = text.or_else(|| cause.downcast_ref::<&str>().map(ToString::to_string));
                text.unwrap_or_else(|| "it panicked".to_owned())
            })
        },
    );
}

fn to(upstream: &Upstream, more: &str) -> String {
    format!(
        "[[route]]\npath = \"$default\"\nupstream = \"app\"\n{more}\n[upstream.app]\nendpoints = [{{ address = \"{}\" }}]\n",
        upstream.address()
    )
}

fn start(config: &str) -> Gateway {
    Gateway::with_config(config).start()
}

fn is_used(told: &[String]) {
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
}

/// Reload back and forth under load: no request fails, and both configurations take effect.
fn to_and_fro(one: &str, other: &str, request: fn() -> Request, seen: &[&str]) {
    let gateway = start(one);
    let load = gateway.load(request()).connections(4).start();
    load.wait_for_more(20);
    for config in [other, one, other] {
        is_used(&gateway.reload(config));
        load.wait_for_more(20);
    }
    let report = load.stop();
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.statuses.keys().collect::<Vec<_>>(), [&200]);
    let bodies: Vec<_> = report.bodies.keys().map(String::as_str).collect();
    assert_eq!(bodies, seen, "{:?}", report.bodies);
    gateway.metrics_when("old configurations to be released", |metrics| {
        metrics["windlass_generations"] == 1.0
    });
}

fn respond(body: &str) -> String {
    format!("[[route]]\npath = \"$default\"\nrespond = {{ body = \"{body}\" }}\n")
}

fn get() -> Request {
    Request::get("/orders/7")
}

/// An endpoint that responds with the value of this request field.
fn echoing(name: &'static str) -> Upstream {
    Upstream::with(move |request, stream| {
        let value = request.header(name).unwrap_or("none").to_owned();
        Reply::status(200).body(value).write(stream)
    })
    .counting()
}

fn setting(value: &str) -> String {
    format!(
        "\n[filter.mark]\nplugin = \"builtin:transform\"\nsettings = {{ request = [{{ op = \"set\", header = \"x-mark\", value = \"{value}\" }}] }}\n"
    )
}

#[test]
fn what_changes_takes_effect_and_no_request_is_lost() {
    run(&[
        Case {
            name: "a fixed response",
            run: || to_and_fro(&respond("a"), &respond("b"), get, &["a", "b"]),
        },
        Case {
            name: "the settings of a filter",
            run: || {
                let upstream = echoing("x-mark");
                let config = |value| to(&upstream, "filters = [\"mark\"]") + &setting(value);
                to_and_fro(&config("a"), &config("b"), get, &["a", "b"]);
            },
        },
        Case {
            name: "a filter that is put into a chain and taken out of it",
            run: || {
                let upstream = echoing("x-mark");
                let with = to(&upstream, "filters = [\"mark\"]") + &setting("a");
                to_and_fro(&with, &to(&upstream, ""), get, &["a", "none"]);
            },
        },
        Case {
            name: "the endpoint of an upstream",
            run: || {
                let (one, two) = (
                    Upstream::text("a").counting(),
                    Upstream::text("b").counting(),
                );
                to_and_fro(&to(&one, ""), &to(&two, ""), get, &["a", "b"]);
            },
        },
        Case {
            name: "the name of an upstream",
            run: || {
                let (one, two) = (
                    Upstream::text("a").counting(),
                    Upstream::text("b").counting(),
                );
                let renamed = to(&two, "").replace("app", "other");
                to_and_fro(&to(&one, ""), &renamed, get, &["a", "b"]);
            },
        },
        Case {
            name: "a more special route",
            run: || {
                let special = "[[route]]\npath = \"/orders/{id}\"\nrespond = { body = \"b\" }\n";
                to_and_fro(
                    &respond("a"),
                    &(special.to_owned() + &respond("a")),
                    get,
                    &["a", "b"],
                );
            },
        },
        Case {
            name: "the balancer's policy",
            run: || {
                let upstream = Upstream::text("a").counting();
                let other = to(&upstream, "") + "balance = \"least-connections\"\n";
                to_and_fro(&to(&upstream, ""), &other, get, &["a"]);
            },
        },
        Case {
            name: "whom to believe (`trusted_proxies`)",
            run: || {
                let upstream = echoing("x-forwarded-proto");
                let config = |block: &str| {
                    format!("[server]\ntrusted_proxies = [\"{block}\"]\n") + &to(&upstream, "")
                };
                let request = || get().header("x-forwarded-proto", "https");
                to_and_fro(
                    &config("127.0.0.1/32"),
                    &config("10.0.0.0/8"),
                    request,
                    &["http", "https"],
                );
            },
        },
    ]);
}

/// The status of a request with this key.
fn keyed(gateway: &Gateway, key: &str) -> u16 {
    let request = Request::get("/").header("x-api-key", key);
    gateway.send(&request).status
}

fn with_keys(keys: &[&str], plan: &str) -> String {
    let mut config = "[[route]]\npath = \"$default\"\nfilters = [\"keys\", \"plan\"]\nrespond = { body = \"ok\" }\n[filter.keys]\nplugin = \"builtin:api-key\"\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n".to_owned();
    for key in keys {
        let digest = key_digest(key);
        let _ = write!(
            config,
            "[[key]]\nid = \"{key}\"\nconsumer = \"{key}\"\ndigest = \"{digest}\"\nplans = [\"gold\"]\n"
        );
    }
    config + plan
}

fn quota(limit: u32) -> String {
    format!("[plan.gold]\nquota = {{ limit = {limit}, period = \"month\" }}\n")
}

#[test]
fn keys_plans_and_limits_follow_the_file_and_counts_go_on() {
    run(&[
        Case {
            name: "a key that is added is taken, and one that is removed is refused",
            run: || {
                let gateway = start(&with_keys(&["first"], &quota(100)));
                assert_eq!(
                    (keyed(&gateway, "first"), keyed(&gateway, "second")),
                    (200, 403)
                );
                is_used(&gateway.reload(with_keys(&["second"], &quota(100))));
                assert_eq!(
                    (keyed(&gateway, "first"), keyed(&gateway, "second")),
                    (403, 200)
                );
            },
        },
        Case {
            name: "what was used of a quota stays used",
            run: || {
                let gateway = start(&with_keys(&["a"], &quota(3)));
                assert_eq!([keyed(&gateway, "a"), keyed(&gateway, "a")], [200, 200]);
                is_used(&gateway.reload(with_keys(&["a"], &quota(3))));
                assert_eq!([keyed(&gateway, "a"), keyed(&gateway, "a")], [200, 429]);
            },
        },
        Case {
            name: "a quota that is raised lets pass, and one that is lowered stops",
            run: || {
                let gateway = start(&with_keys(&["a"], &quota(2)));
                assert_eq!([0; 3].map(|_| keyed(&gateway, "a")), [200, 200, 429]);
                is_used(&gateway.reload(with_keys(&["a"], &quota(3))));
                assert_eq!([0; 2].map(|_| keyed(&gateway, "a")), [200, 429]);
                is_used(&gateway.reload(with_keys(&["a"], &quota(1))));
                assert_eq!(keyed(&gateway, "a"), 429);
            },
        },
        Case {
            name: "a smaller `max_body` holds for the next request on the same connection",
            run: || {
                let upstream = Upstream::echo();
                let gateway = start(&to(&upstream, ""));
                let mut client = gateway.client();
                assert_eq!(client.post("/", vec![b'x'; 4096]).status, 200);
                is_used(&gateway.reload(to(&upstream, "max_body = \"1KiB\"")));
                assert_eq!(client.post("/", vec![b'x'; 4096]).status, 413);
            },
        },
        Case {
            name: "a listener's `max_uri` holds for connections that come after",
            run: || {
                let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
                let gateway = start(&format!("{listener}{}", respond("ok")));
                let long = format!("/{}", "a".repeat(600));
                assert_eq!(gateway.get(&long).status, 200);
                is_used(
                    &gateway.reload(format!("{listener}max_uri = \"256B\"\n{}", respond("ok"))),
                );
                assert_eq!(gateway.get(&long).status, 414);
            },
        },
        Case {
            name: "a shorter time-out does not touch the request that waits under the old one",
            run: || {
                let upstream = Upstream::gated(Reply::status(200).body("late"));
                let gateway = start(&to(&upstream, ""));
                let mut waiting = gateway.client();
                waiting.send_raw(get().bytes());
                upstream.wait_for_requests(1);
                is_used(&gateway.reload(to(&upstream, "") + "first_byte_timeout = \"100ms\"\n"));
                assert_eq!(gateway.get("/").status, 504);
                upstream.release(2);
                assert_eq!(waiting.read_response().text(), "late");
            },
        },
        Case {
            name: "numbers of `/metrics` go on",
            run: || {
                let gateway = start(&respond("a"));
                assert_eq!(gateway.get("/").status, 200);
                is_used(&gateway.reload(respond("b")));
                assert_eq!(gateway.get("/").status, 200);
                assert_eq!(gateway.metrics()["windlass_requests_total"], 2.0);
            },
        },
        Case {
            name: "connections to an endpoint that stays are kept",
            run: || {
                let upstream = Upstream::text("ok");
                let gateway = start(&format!("[server]\nworkers = 1\n{}", to(&upstream, "")));
                for number in 0..5 {
                    assert_eq!(gateway.get("/").text(), "ok");
                    let path =
                        format!("[[route]]\npath = \"/{number}\"\nrespond = {{ body = \"x\" }}\n");
                    let config = format!("[server]\nworkers = 1\n{path}{}", to(&upstream, ""));
                    is_used(&gateway.reload(config));
                }
                assert_eq!(upstream.connections(), 1);
            },
        },
    ]);
}

/// An endpoint that echoes over a WebSocket, for one connection.
fn web_socket() -> std::net::SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        wire::run(async {
            let socket = tokio::net::TcpListener::from_std(socket).unwrap();
            let (stream, _) = socket.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
        });
    });
    address
}

fn released(gateway: &Gateway) {
    gateway.metrics_when("the old configuration to be released", |metrics| {
        metrics["windlass_generations"] == 1.0
    });
}

#[test]
fn what_runs_ends_on_the_configuration_that_it_began_with() {
    run(&[
        Case {
            name: "a kept connection of HTTP/1.1 goes on, with the next configuration",
            run: || {
                let gateway = start(&respond("a"));
                let mut client = gateway.client();
                assert_eq!(client.get("/").text(), "a");
                is_used(&gateway.reload(respond("b")));
                assert_eq!(client.get("/").text(), "b");
                assert_eq!(gateway.metrics()["windlass_connections_total"], 1.0);
            },
        },
        Case {
            name: "streams of one HTTP/2 connection are answered by old and new",
            run: || {
                let upstream = Upstream::gated(Reply::status(200).body("old"));
                let gateway = start(&to(&upstream, ""));
                wire::run(async {
                    let mut client = wire::http2(gateway.address(), None).await;
                    let waiting = client.send_request(wire::get("/slow"));
                    let waiting = tokio::task::spawn_local(waiting);
                    while upstream.count() < 1 {
                        tokio::task::yield_now().await;
                    }
                    is_used(&gateway.reload(respond("new")));
                    let answer = client.send_request(wire::get("/")).await.unwrap();
                    assert_eq!(wire::read(answer).await.1, "new");
                    upstream.release(1);
                    let answer = waiting.await.unwrap().unwrap();
                    assert_eq!(wire::read(answer).await.1, "old");
                });
                released(&gateway);
            },
        },
        Case {
            name: "a WebSocket goes on, and its configuration is released with it",
            run: || {
                let address = web_socket();
                let config = format!(
                    "[[route]]\npath = \"$default\"\nupstream = \"app\"\n[upstream.app]\nendpoints = [{{ address = \"{address}\" }}]\n"
                );
                let gateway = start(&config);
                wire::run(async {
                    let pipe = wire::connect(gateway.address(), None).await.unwrap();
                    let (mut socket, _) = client_async("ws://localhost/", pipe).await.unwrap();
                    for number in 0..3 {
                        socket
                            .send(Message::text(number.to_string()))
                            .await
                            .unwrap();
                        let back = socket.next().await.unwrap().unwrap();
                        assert_eq!(back.into_text().unwrap(), number.to_string());
                        is_used(&gateway.reload(respond(&number.to_string())));
                    }
                    assert_eq!(gateway.metrics()["windlass_generations"], 2.0);
                    socket.close(None).await.unwrap();
                    while let Some(Ok(_)) = socket.next().await {}
                });
                released(&gateway);
            },
        },
        Case {
            name: "a response that streams while the endpoint leaves the file arrives whole",
            run: || {
                let upstream = Upstream::with(|_, stream| {
                    use std::io::Write as _;
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 600000\r\n\r\n")?;
                    for _ in 0..60 {
                        stream.write_all(&[b'x'; 10_000])?;
                        wait::moment(
                            std::time::Instant::now() + std::time::Duration::from_millis(5),
                        );
                    }
                    Ok(Then::KeepAlive)
                });
                let gateway = start(&to(&upstream, ""));
                let mut client = gateway.client();
                client.send_raw(get().bytes());
                upstream.wait_for_requests(1);
                is_used(&gateway.reload(respond("new")));
                assert_eq!(client.read_response().text().len(), 600_000);
                released(&gateway);
            },
        },
        Case {
            name: "an upload in pieces that a reload comes into arrives whole",
            run: || {
                let upstream = Upstream::echo();
                let gateway = start(&to(&upstream, ""));
                let mut client = gateway.client();
                client.send_raw("POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
                gateway.metrics_when("the upload to begin", |metrics| {
                    metrics["windlass_requests_active"] == 1.0
                });
                is_used(&gateway.reload(to(&upstream, "max_body = \"1B\"")));
                client.send_raw("3\r\ndef\r\n0\r\n\r\n");
                let answer = client.read_response();
                assert_eq!((answer.status, upstream.only_request().length), (200, 6));
            },
        },
        Case {
            name: "the request on a route that is removed is answered, and the next one is 404",
            run: || {
                let upstream = Upstream::gated(Reply::status(200).body("old"));
                let gateway = start(&to(&upstream, "").replace("$default", "/gone"));
                let mut client = gateway.client();
                client.send_raw(Request::get("/gone").bytes());
                upstream.wait_for_requests(1);
                is_used(&gateway.reload(respond("x").replace("$default", "/here")));
                assert_eq!(gateway.get("/gone").code(), "no_route");
                upstream.release(1);
                assert_eq!(client.read_response().text(), "old");
                assert_eq!(client.get("/here").text(), "x");
            },
        },
        Case {
            name: "a new certificate is for new connections, and old ones go on",
            run: || {
                let (old, new) = (wire::Authority::new(), wire::Authority::new());
                let config = format!(
                    "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"api.pem\", key = \"api.key\" }}\n{}",
                    respond("ok")
                );
                let identity = old.issue(&["localhost"]);
                let gateway = Gateway::with_config(&config)
                    .file("api.pem", identity.certificate)
                    .file("api.key", identity.key)
                    .start();
                wire::run(async {
                    let trusts_old = wire::client_tls(&old, &["h2"]);
                    let trusts_new = wire::client_tls(&new, &["h2"]);
                    let mut client = wire::http2(gateway.address(), Some(&trusts_old)).await;
                    let answer = client.send_request(wire::get("/")).await.unwrap();
                    assert_eq!(wire::read(answer).await.1, "ok");
                    assert!(
                        wire::connect(gateway.address(), Some(&trusts_new))
                            .await
                            .is_err()
                    );
                    let identity = new.issue(&["localhost"]);
                    std::fs::write(gateway.folder().join("api.pem"), identity.certificate).unwrap();
                    std::fs::write(gateway.folder().join("api.key"), identity.key).unwrap();
                    is_used(&gateway.reload(&config));
                    assert!(
                        wire::connect(gateway.address(), Some(&trusts_new))
                            .await
                            .is_ok()
                    );
                    // A client without a session of before.
                    let trusts_old = wire::client_tls(&old, &["h2"]);
                    assert!(
                        wire::connect(gateway.address(), Some(&trusts_old))
                            .await
                            .is_err()
                    );
                    let answer = client.send_request(wire::get("/")).await.unwrap();
                    assert_eq!(wire::read(answer).await.1, "ok");
                });
            },
        },
    ]);
}

/// Reload with a bad file: the old configuration stays in effect, and a log line gives the error.
fn refused(config: &str, words: &str) {
    refused_with(config, words, |_| {});
}

fn refused_with(config: &str, words: &str, prepare: impl FnOnce(&Path)) {
    let gateway = start(&respond("old"));
    prepare(gateway.folder());
    let told = gateway.reload(config);
    still_old(&gateway, &told, words);
}

fn still_old(gateway: &Gateway, told: &[String], words: &str) {
    assert!(
        told.last().unwrap().contains("the old one stays in use"),
        "{told:?}"
    );
    assert!(
        told.iter().any(|line| line.contains(words)),
        "no {words:?} in {told:?}"
    );
    assert_eq!(gateway.get("/").text(), "old");
    assert_eq!(gateway.metrics()["windlass_generation"], 1.0);
    is_used(&gateway.reload(respond("good again")));
    assert_eq!(gateway.get("/").text(), "good again");
}

/// Change the file, and ask for a reload.
fn refused_file(words: &str, change: impl FnOnce(&Path)) {
    let gateway = start(&respond("old"));
    let file = gateway.folder().join("windlass.toml");
    change(&file);
    let before = gateway.log().count();
    gateway.signal(Signal::HUP);
    gateway
        .log()
        .wait_from(before, |line| line.contains("the old one stays in use"));
    let told = gateway.log().all().split_off(before);
    if file.is_dir() {
        std::fs::remove_dir(&file).unwrap();
    }
    still_old(&gateway, &told, words);
}

fn plugin(settings: &str) -> String {
    respond("new").replace("respond", "filters = [\"bad\"]\nrespond")
        + &format!("[filter.bad]\n{settings}\n")
}

#[test]
fn what_is_refused_leaves_the_old_in_use_and_says_why() {
    run(&[
        Case {
            name: "no TOML",
            run: || refused("[[route]\n", "windlass.toml:1"),
        },
        Case {
            name: "a key that does not exist",
            run: || {
                refused(
                    &format!("[server]\nworker = 2\n{}", respond("new")),
                    "windlass.toml:2:1",
                );
            },
        },
        Case {
            name: "a value of the wrong kind",
            run: || {
                refused(
                    &format!("[server]\nworkers = \"two\"\n{}", respond("new")),
                    "windlass.toml:2:11",
                );
            },
        },
        Case {
            name: "an upstream that is not there",
            run: || {
                refused(
                    "[[route]]\npath = \"$default\"\nupstream = \"none\"\n",
                    "windlass.toml:3:12",
                );
            },
        },
        Case {
            name: "two routes of one path",
            run: || refused(&(respond("a") + &respond("b")), "windlass.toml:5"),
        },
        Case {
            name: "settings that the filter refuses",
            run: || {
                refused(
                    &plugin("plugin = \"builtin:transform\"\nsettings = { requests = 1 }"),
                    "requests",
                );
            },
        },
        Case {
            name: "a plugin file that is not there",
            run: || refused(&plugin("plugin = \"none.wasm\""), "none.wasm"),
        },
        Case {
            name: "a plugin file that is no component",
            run: || {
                refused_with(&plugin("plugin = \"bad.wasm\""), "bad.wasm", |folder| {
                    std::fs::write(folder.join("bad.wasm"), "no component").unwrap();
                });
            },
        },
        Case {
            name: "a plugin that traps when it is configured",
            run: || {
                refused_with(&plugin("plugin = \"bad.wasm\""), "bad", |folder| {
                    let start = "(func $start unreachable) (start $start)";
                    std::fs::write(folder.join("bad.wasm"), forge::filter("", start)).unwrap();
                });
            },
        },
        Case {
            name: "a plugin that never ends its configuration",
            run: || {
                refused_with(&plugin("plugin = \"bad.wasm\""), "bad", |folder| {
                    let start = "(func $start (loop $again (br $again))) (start $start)";
                    std::fs::write(folder.join("bad.wasm"), forge::filter("", start)).unwrap();
                });
            },
        },
        Case {
            name: "a listener at an address that another program has",
            run: || {
                let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let address = taken.local_addr().unwrap();
                refused(
                    &format!("[[listener]]\naddress = \"{address}\"\n{}", respond("new")),
                    &address.to_string(),
                );
            },
        },
        Case {
            name: "a certificate that is not there",
            run: || {
                let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"none.pem\", key = \"none.key\" }\n";
                refused(&format!("{listener}{}", respond("new")), "none.pem");
            },
        },
        Case {
            name: "a secret whose file is not there",
            run: || {
                refused(
                    &format!("{}[secret.token]\nfile = \"none.token\"\n", respond("new")),
                    "none.token",
                );
            },
        },
        Case {
            name: "a secret whose variable is not set",
            run: || {
                refused(
                    &format!(
                        "{}[secret.token]\nenv = \"WINDLASS_TEST_NONE\"\n",
                        respond("new")
                    ),
                    "WINDLASS_TEST_NONE",
                );
            },
        },
        Case {
            name: "a file that was removed",
            run: || refused_file("windlass.toml", |file| std::fs::remove_file(file).unwrap()),
        },
        Case {
            name: "a file that is empty, as it is being written",
            run: || refused_file("windlass.toml", |file| std::fs::write(file, "").unwrap()),
        },
        Case {
            name: "a file that is written in half",
            run: || {
                refused_file("windlass.toml", |file| {
                    let whole = std::fs::read_to_string(file).unwrap();
                    let half = whole.split_at(whole.find("respond = {").unwrap() + 11).0;
                    std::fs::write(file, half).unwrap();
                });
            },
        },
        Case {
            name: "a file that is not UTF-8",
            run: || {
                refused_file("windlass.toml", |file| {
                    std::fs::write(file, [0xff, 0xfe]).unwrap();
                });
            },
        },
        Case {
            name: "a folder in the place of the file",
            run: || {
                refused_file("windlass.toml", |file| {
                    std::fs::remove_file(file).unwrap();
                    std::fs::create_dir(file).unwrap();
                });
            },
        },
    ]);
}

#[test]
fn reloads_that_come_at_a_bad_time_harm_nothing() {
    run(&[
        Case {
            name: "forty signals at once under load: the last file is in use, and no request fails",
            run: || {
                let upstream = Upstream::text("ok");
                let gateway = start(&to(&upstream, ""));
                let load = gateway.load(get()).connections(4).start();
                let file = gateway.folder().join("windlass.toml");
                let whole = std::fs::read_to_string(&file).unwrap();
                for number in 0..40 {
                    let route = format!(
                        "[[route]]\npath = \"/last\"\nrespond = {{ body = \"{number}\" }}\n"
                    );
                    let next = gateway.folder().join("next.toml");
                    std::fs::write(&next, route + &whole).unwrap();
                    std::fs::rename(&next, &file).unwrap();
                    gateway.signal(Signal::HUP);
                }
                wait::until("the last file to be in use", || {
                    (gateway.get("/last").text() == "39").then_some(())
                });
                load.wait_for_more(20);
                let report = load.stop();
                assert_eq!(report.failures, Vec::<String>::new());
                assert_eq!(report.statuses.keys().collect::<Vec<_>>(), [&200]);
                released(&gateway);
                let metrics = gateway.metrics();
                assert_eq!(
                    metrics.with("windlass_reloads_total", &[("result", "refused")]),
                    0.0
                );
            },
        },
        Case {
            name: "a file that did not change",
            run: || {
                let gateway = start(&respond("same"));
                let load = gateway.load(get()).connections(2).start();
                for _ in 0..10 {
                    is_used(&gateway.reload(respond("same")));
                }
                load.wait_for_more(20);
                assert_eq!(load.stop().failures, Vec::<String>::new());
                released(&gateway);
            },
        },
        Case {
            name: "a drain: the file is not read again, and what runs is answered",
            run: || {
                let upstream = Upstream::gated(Reply::status(200).body("old"));
                let gateway = start(&to(&upstream, ""));
                let mut client = gateway.client();
                client.send_raw(get().bytes());
                upstream.wait_for_requests(1);
                gateway.signal(Signal::TERM);
                gateway
                    .log()
                    .wait_for_line(|line| line.contains("draining:"));
                gateway.signal(Signal::HUP);
                gateway
                    .log()
                    .wait_for_line(|line| line.contains("reload ignored"));
                upstream.release(1);
                assert_eq!(client.read_response().text(), "old");
                assert_eq!(gateway.wait_for_end().code(), Some(0));
            },
        },
    ]);
}

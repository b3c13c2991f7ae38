//! Endpoints that are added, removed, drained or reweighted while requests run.

use std::io::Write as _;
use std::net::SocketAddr;

use windlass_tests::{Gateway, Reply, Request, Then, Upstream, wait};

use crate::operator;

/// A gateway with the admin API that sends all requests to this endpoint.
fn start(endpoint: &Upstream) -> Gateway {
    operator::builder(&[], endpoint, "").start()
}

fn endpoint_path(address: SocketAddr) -> String {
    format!("/v1/upstreams/app/endpoints/{address}")
}

fn add(gateway: &Gateway, body: &str) -> windlass_tests::Response {
    operator::call(gateway, "POST", "/v1/upstreams/app/endpoints", body)
}

fn bodies(gateway: &Gateway, requests: usize) -> Vec<String> {
    let report = gateway.load(Request::get("/")).connections(4).run(requests);
    assert_eq!(
        (report.status(200), report.failures.len()),
        (requests, 0),
        "{report:?}"
    );
    report.bodies.into_keys().collect()
}

#[test]
fn endpoints_are_added_weighed_drained_and_removed_without_a_reload() {
    let (one, two) = (Upstream::text("one"), Upstream::text("two"));
    let gateway = start(&one);
    let made = add(
        &gateway,
        &format!("{{\"address\":\"{}\",\"weight\":3}}", two.address()),
    );
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.header("location"), Some("/v1/upstreams/app"));
    let report = gateway.load(Request::get("/")).connections(4).run(4000);
    let share = report.share("two");
    assert!((0.73..=0.77).contains(&share), "{share}");
    // A reload does not undo changes that the operator made through the admin API.
    let config = std::fs::read_to_string(gateway.folder().join("windlass.toml")).unwrap();
    gateway.reload(&config);
    assert_eq!(bodies(&gateway, 100), ["one", "two"]);
    let drained = operator::call(
        &gateway,
        "PATCH",
        &endpoint_path(one.address()),
        "{\"drain\":true}",
    );
    assert_eq!(drained.status, 200, "{}", drained.text());
    assert_eq!(drained.json()["endpoints"][0]["state"], "draining");
    assert_eq!(bodies(&gateway, 100), ["two"]);
    let changed = operator::call(
        &gateway,
        "PATCH",
        &endpoint_path(one.address()),
        "{\"drain\":false,\"weight\":3}",
    );
    assert_eq!(changed.json()["endpoints"][0]["weight"], 3);
    assert_eq!(bodies(&gateway, 100), ["one", "two"]);
    let removed = operator::send(
        &gateway,
        &operator::request("DELETE", &endpoint_path(one.address())),
    );
    assert_eq!(removed.status, 204);
    assert_eq!(bodies(&gateway, 100), ["two"]);
    let shown = operator::get(&gateway, "/v1/upstreams/app").json();
    assert_eq!(shown["changes"][one.address().to_string()]["removed"], true);
    let restored = operator::send(
        &gateway,
        &operator::request("DELETE", "/v1/upstreams/app/changes"),
    );
    assert_eq!(restored.status, 200, "{}", restored.text());
    assert_eq!(bodies(&gateway, 100), ["one"]);
    for action in ["create", "update", "delete", "restore"] {
        let action = format!("action=\"{action}\"");
        gateway
            .log()
            .wait_for_line(|line| line.contains("audit:") && line.contains(&action));
    }
}

/// A removed endpoint of the file comes back with the values that the operator sends, and the audit log says which of
/// them changed.
#[test]
fn an_endpoint_that_was_removed_comes_back_as_it_is_sent() {
    let (one, two) = (Upstream::text("one"), Upstream::text("two"));
    let gateway = start(&one);
    add(&gateway, &format!("{{\"address\":\"{}\"}}", two.address()));
    let path = endpoint_path(one.address());
    let removed = operator::send(&gateway, &operator::request("DELETE", &path));
    assert_eq!(removed.status, 204);
    let sent = format!(
        "{{\"address\":\"{}\",\"weight\":5,\"priority\":1}}",
        one.address()
    );
    let made = add(&gateway, &sent);
    assert_eq!(made.status, 201, "{}", made.text());
    let shown = made.json();
    let endpoints = shown["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 2, "{shown}");
    let address = one.address().to_string();
    let back = endpoints.iter().find(|one| one["address"] == *address);
    let back = back.unwrap();
    assert_eq!((&back["weight"], &back["priority"]), (&5.into(), &1.into()));
    // The second tier is used if the first one has no endpoint.
    assert_eq!(bodies(&gateway, 20), ["two"]);
    operator::call(&gateway, "PATCH", &path, "{\"weight\":7}");
    operator::call(&gateway, "PATCH", &path, "{}");
    for what in ["weight 5, priority 1", "weight 7"] {
        gateway
            .log()
            .wait_for_line(|line| line.contains("audit:") && line.contains(what));
    }
    let change = format!("/v1/upstreams/app/changes/{address}");
    let restored = operator::send(&gateway, &operator::request("DELETE", &change));
    assert_eq!(restored.status, 200, "{}", restored.text());
    assert_eq!(bodies(&gateway, 20), ["one", "two"]);
    let updates = gateway.log().all();
    let updates = updates
        .iter()
        .filter(|line| line.contains("action=\"update\""));
    assert_eq!(updates.count(), 1, "nothing was changed by the other");
}

/// The log reports the state of an upstream as a whole.
#[test]
fn an_upstream_without_endpoints_is_told_once() {
    let (one, two) = (Upstream::text("one"), Upstream::text("two"));
    let gateway = start(&one);
    let second = format!("{{\"address\":\"{}\",\"priority\":1}}", two.address());
    add(&gateway, &second);
    let wait = |text: &str| gateway.log().wait_for_line(|line| line.contains(text));
    let drain = |address: SocketAddr, drain: bool| {
        let body = format!("{{\"drain\":{drain}}}");
        operator::call(&gateway, "PATCH", &endpoint_path(address), &body);
    };
    drain(one.address(), true);
    wait(
        "an upstream uses another tier of its endpoints (`priority`, `prefer`): 1 healthy, 1 draining",
    );
    drain(two.address(), true);
    wait("an upstream has no available endpoint, and its requests are refused: 2 draining");
    for _ in 0..3 {
        assert_eq!(gateway.get("/").code(), "no_endpoint");
    }
    drain(one.address(), false);
    wait("enough endpoints of an upstream are available again: 1 healthy, 1 draining");
    let lines = gateway.log().all();
    let told = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(told("an upstream has no available endpoint"), 1);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_cure() {
    let one = Upstream::text("one");
    let gateway = start(&one);
    let exists = add(&gateway, &format!("{{\"address\":\"{}\"}}", one.address()));
    assert_eq!((exists.status, &*exists.code()), (409, "endpoint_exists"));
    let bad = add(&gateway, "{\"address\":\"http://10.0.0.1\"}");
    assert_eq!((bad.status, &*bad.code()), (400, "invalid"));
    assert!(
        bad.text().contains("such as `10.0.0.1:8080`"),
        "{}",
        bad.text()
    );
    let heavy = add(&gateway, "{\"address\":\"10.0.0.1:80\",\"weight\":1001}");
    assert!(heavy.text().contains("from 0 to 1000"), "{}", heavy.text());
    let unknown = add(&gateway, "{\"address\":\"10.0.0.1:80\",\"wieght\":1}");
    assert_eq!(unknown.status, 400);
    let nobody = operator::call(
        &gateway,
        "PATCH",
        &endpoint_path(([10, 0, 0, 9], 1).into()),
        "{\"weight\":1}",
    );
    assert_eq!((nobody.status, &*nobody.code()), (404, "no_such_endpoint"));
    let nowhere = operator::call(
        &gateway,
        "POST",
        "/v1/upstreams/other/endpoints",
        "{\"address\":\"10.0.0.1:80\"}",
    );
    assert_eq!(
        (nowhere.status, &*nowhere.code()),
        (404, "no_such_upstream")
    );
}

/// Requests that are active on a drained or removed endpoint finish there.
#[test]
fn a_drain_cuts_nothing() {
    let (one, two) = (
        Upstream::gated(Reply::status(200).body("late")),
        Upstream::text("two"),
    );
    let gateway = start(&one);
    let mut client = gateway.client();
    client.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    one.wait_for_requests(1);
    add(&gateway, &format!("{{\"address\":\"{}\"}}", two.address()));
    operator::call(
        &gateway,
        "PATCH",
        &endpoint_path(one.address()),
        "{\"drain\":true}",
    );
    assert_eq!(bodies(&gateway, 20), ["two"]);
    operator::send(
        &gateway,
        &operator::request("DELETE", &endpoint_path(one.address())),
    );
    // The endpoint is listed as long as it has active requests.
    let name = one.address().to_string();
    let shown = operator::get(&gateway, "/v1/upstreams/app").json();
    assert_eq!(shown["leaving"][0]["name"], *name, "{shown}");
    assert_eq!(shown["leaving"][0]["active"], 1);
    assert!(shown["leaving"][0]["cut_in"].as_u64().unwrap() > 200);
    let active = |gateway: &Gateway| {
        let active = gateway.metrics();
        active.by("windlass_endpoint_requests_active", "endpoint")
    };
    assert_eq!(active(&gateway).get(&name), Some(&1.0));
    one.release(1);
    let answer = client.read_response();
    assert_eq!((answer.status, answer.text()), (200, "late"));
    assert_eq!(active(&gateway).get(&name), None);
    let shown = operator::get(&gateway, "/v1/upstreams/app").json();
    assert_eq!(shown["leaving"], serde_json::json!([]));
}

#[test]
fn every_endpoint_is_drained_in_turn_under_load_without_a_failed_request() {
    let endpoints = ["one", "two", "three"].map(|text| Upstream::text(text).counting());
    let gateway = start(&endpoints[0]);
    for endpoint in &endpoints[1..] {
        add(
            &gateway,
            &format!("{{\"address\":\"{}\"}}", endpoint.address()),
        );
    }
    let load = gateway.load(Request::get("/")).connections(8).start();
    for endpoint in &endpoints {
        load.wait_for_more(200);
        let path = endpoint_path(endpoint.address());
        operator::call(&gateway, "PATCH", &path, "{\"drain\":true}");
        gateway.metrics_when("nothing to run on it", |metrics| {
            let name = endpoint.address().to_string();
            metrics.with("windlass_endpoint_requests_active", &[("endpoint", &*name)]) == 0.0
        });
        let before = endpoint.count();
        load.wait_for_more(200);
        assert_eq!(endpoint.count(), before, "it gets nothing new");
        operator::call(&gateway, "PATCH", &path, "{\"drain\":false}");
    }
    let report = load.stop();
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.statuses.len(), 1, "{:?}", report.statuses);
}

#[test]
fn a_reload_keeps_the_connections_to_endpoints_that_stay() {
    let (one, two) = (Upstream::text("one"), Upstream::text("two"));
    let gateway = start(&one);
    // A client connection stays on one worker.
    let mut client = gateway.client();
    let mut texts = |requests: usize| -> Vec<String> {
        (0..requests)
            .map(|_| client.get("/").text().to_owned())
            .collect()
    };
    texts(3);
    assert_eq!(one.connections(), 1);
    let config = std::fs::read_to_string(gateway.folder().join("windlass.toml")).unwrap();
    let address = format!("{{ address = \"{}\" }}", one.address());
    let both = format!("{address}, {{ address = \"{}\" }}", two.address());
    gateway.reload(config.replace(&address, &both));
    assert!(texts(4).contains(&"two".to_owned()));
    gateway.reload(&config);
    assert_eq!(texts(2), ["one", "one"]);
    assert_eq!(one.connections(), 1);
}

/// Long streams continue while their endpoint is drained and removed, and while the configuration is reloaded.
#[test]
fn streams_outlive_the_drain_of_every_endpoint() {
    let event = || {
        Upstream::with(|_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            for _ in 0..20 {
                stream.write_all(b"5\r\nevent\r\n")?;
                // This delay is what the endpoint simulates; no test waits by it.
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            stream.write_all(b"0\r\n\r\n")?;
            Ok(Then::KeepAlive)
        })
    };
    let (one, two) = (event(), event());
    let gateway = start(&one);
    add(&gateway, &format!("{{\"address\":\"{}\"}}", two.address()));
    let mut clients: Vec<_> = (0..4).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send_raw("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    wait::until("every stream to begin", || {
        (one.count() + two.count() == 4).then_some(())
    });
    let third = Upstream::text("third");
    add(
        &gateway,
        &format!("{{\"address\":\"{}\"}}", third.address()),
    );
    for endpoint in [&one, &two] {
        operator::call(
            &gateway,
            "PATCH",
            &endpoint_path(endpoint.address()),
            "{\"drain\":true}",
        );
    }
    assert_eq!(bodies(&gateway, 20), ["third"]);
    operator::send(
        &gateway,
        &operator::request("DELETE", &endpoint_path(two.address())),
    );
    let config = std::fs::read_to_string(gateway.folder().join("windlass.toml")).unwrap();
    gateway.reload(&config);
    for client in &mut clients {
        let answer = client.read_response();
        assert_eq!(
            (answer.status, answer.text().len()),
            (200, 100),
            "no stream is cut"
        );
    }
}

//! Retries if no other endpoint is left, and the results that eject an endpoint.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use windlass_tests::{ClosedPort, Reply, Request, Then, Upstream};

use crate::config::start;

fn config(endpoints: &[SocketAddr], lines: &str) -> String {
    let endpoints = endpoints
        .iter()
        .map(|address| format!("{{ address = \"{address}\" }}"));
    let endpoints: Vec<String> = endpoints.collect();
    format!(
        "[[route]]\npath = \"$default\"\nupstream = \"app\"\n[upstream.app]\nendpoints = [{}]\n\
         ejection = {{ faults = 0 }}\n{lines}\n",
        endpoints.join(", ")
    )
}

/// An endpoint that fails every other request: many servers may share its address.
fn every_other(
    fails: impl Fn(&mut std::net::TcpStream) -> io::Result<Then> + Send + Sync + 'static,
) -> Upstream {
    let served = AtomicUsize::new(0);
    Upstream::with(
        move |_, stream| match served.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => fails(stream),
            _ => Reply::status(200).body("good").write(stream),
        },
    )
}

#[test]
fn the_only_endpoint_is_tried_again_over_another_connection() {
    let resets = every_other(|_| Ok(Then::Reset));
    let closes = every_other(|_| Ok(Then::Close));
    let busy = every_other(|stream| Reply::status(503).body("busy").write(stream));
    let holds = every_other(|_| Ok(Then::Hold));
    for (endpoint, lines) in [
        (&resets, "retries = { budget_rate = 1000 }"),
        (&closes, "retries = { budget_rate = 1000 }"),
        (
            &busy,
            "retries = { statuses = \"503\", budget_rate = 1000 }",
        ),
        (
            &holds,
            "retries = { try_timeout = \"100ms\", budget_rate = 1000 }",
        ),
        // The retry uses the permit of the request and the permit of its connection.
        (
            &resets,
            "retries = { budget_rate = 1000 }\nlimits = { max_active = 1, max_connections = 1 }",
        ),
        (
            &busy,
            "retries = { statuses = \"503\" }\nlimits = { max_active = 1, max_connections = 1 }",
        ),
    ] {
        let gateway = start(&[&config(&[endpoint.address()], lines)]);
        for _ in 0..4 {
            let answer = gateway.get("/");
            assert_eq!((answer.status, answer.text()), (200, "good"), "{lines}");
        }
    }
    let received = busy.received();
    let pairs = received.chunks(2).filter(|pair| pair.len() == 2);
    assert!(
        pairs
            .into_iter()
            .all(|pair| pair[0].connection != pair[1].connection),
        "{received:?}"
    );
}

#[test]
fn what_may_not_be_repeated_is_not_tried_again_on_the_only_endpoint() {
    let endpoint = every_other(|_| Ok(Then::Reset));
    let gateway = start(&[&config(&[endpoint.address()], "retries = { attempts = 5 }")]);
    let statuses: Vec<u16> = (0..4)
        .map(|_| gateway.send(&Request::post("/", "x")).status)
        .collect();
    assert_eq!(statuses, [502, 200, 502, 200]);
}

/// Three attempts with two endpoints: after both, Windlass tries the first one again.
#[test]
fn with_more_attempts_than_endpoints_they_are_tried_again() {
    let served = std::sync::Arc::new(AtomicUsize::new(0));
    let failing_twice = || {
        let served = std::sync::Arc::clone(&served);
        Upstream::with(
            move |_, stream| match served.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => Ok(Then::Reset),
                _ => Reply::status(200).body("good").write(stream),
            },
        )
    };
    let (one, two) = (failing_twice(), failing_twice());
    let gateway = start(&[&config(
        &[one.address(), two.address()],
        "retries = { attempts = 3 }",
    )]);
    assert_eq!(gateway.get("/").text(), "good");
    assert_eq!(one.count() + two.count(), 3);
    assert!(one.count() > 0 && two.count() > 0);
}

/// One endpoint fails its checks, and the other was ejected. Windlass tries the ejected one rather
/// than fail the request.
#[test]
fn an_ejected_endpoint_is_tried_when_no_other_is_left() {
    let flaky = Upstream::with(|request, stream| match request.target.as_str() {
        "/reset" => Ok(Then::Reset),
        _ => Reply::status(200).body("well").write(stream),
    });
    let down = ClosedPort::new();
    let gateway = start(&[&format!(
        "[[route]]\npath = \"$default\"\nupstream = \"app\"\n[upstream.app]\n\
         endpoints = [{{ address = \"{}\" }}, {{ address = \"{}\" }}]\n\
         ejection = {{ faults = 1, max_share = 100, backoff = \"1h\", max_backoff = \"1h\" }}\n\
         health = {{ kind = \"tcp\", interval = \"100ms\", fall = 1, rise = 1 }}\n",
        flaky.address(),
        down.address()
    )]);
    gateway.metrics_when("one to be out", |metrics| {
        metrics["windlass_endpoint_available"] == 1.0
    });
    assert_eq!(gateway.get("/reset").status, 502);
    gateway.metrics_when("both to be out", |metrics| {
        metrics["windlass_endpoint_available"] == 0.0
    });
    for _ in 0..3 {
        assert_eq!(gateway.get("/").text(), "well");
    }
    let line = |line: &str| line.contains("so Windlass tries the ejected ones");
    gateway.log().wait_for_line(line);
}

/// A route lists the statuses that count, and an ejection applies to all routes.
#[test]
fn a_status_ejects_an_endpoint_only_where_it_is_listed() {
    let endpoints = [(); 2].map(|()| {
        Upstream::with(|request, stream| {
            let status = if request.target == "/busy" { 503 } else { 200 };
            Reply::status(status).write(stream)
        })
    });
    let config = |ejection: &str| {
        format!(
            "[[route]]\npath = \"$default\"\nupstream = \"app\"\n[upstream.app]\n\
             endpoints = [{{ address = \"{}\" }}, {{ address = \"{}\" }}]\n{ejection}\n",
            endpoints[0].address(),
            endpoints[1].address()
        )
    };
    let gateway = start(&[&config("ejection = { faults = 2 }")]);
    for _ in 0..20 {
        assert_eq!(gateway.get("/busy").status, 503);
    }
    assert_eq!(gateway.metrics()["windlass_endpoint_available"], 2.0);
    gateway.reload(config("ejection = { faults = 2, statuses = \"503\" }"));
    for _ in 0..20 {
        assert_eq!(gateway.get("/busy").status, 503);
    }
    gateway.metrics_when("one to be out", |metrics| {
        metrics["windlass_endpoint_available"] == 1.0
    });
}

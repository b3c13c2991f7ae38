//! Retries: which requests Windlass retries, and which it does not.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use windlass_tests::wait::until;
use windlass_tests::{ClosedPort, FullPort, Reply, Request, Then, Upstream};

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

/// An endpoint that reads a request and resets the connection.
fn resetting() -> Upstream {
    Upstream::raw("", Then::Reset)
}

#[test]
fn what_was_not_sent_goes_elsewhere_whatever_the_method() {
    let (closed, good) = (ClosedPort::new(), Upstream::echo());
    let gateway = start(&[&config(&[closed.address(), good.address()], "")]);
    for _ in 0..4 {
        let answer = gateway.send(&Request::post("/", "a body").chunked());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["body"]["length"], 6);
    }
    assert_eq!(good.count(), 4);
}

#[test]
fn a_reset_is_repeated_elsewhere_only_where_it_does_no_harm() {
    let (bad, good) = (resetting(), Upstream::echo());
    let gateway = start(&[&config(&[bad.address(), good.address()], "")]);
    let (mut puts, mut posts) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let put = Request::new("PUT", "/").body("0123456789").chunked();
        puts.push(gateway.send(&put));
        posts.push(gateway.send(&Request::post("/", "0123456789")));
    }
    assert!(puts.iter().all(|answer| answer.status == 200), "{puts:?}");
    assert!(
        puts.iter()
            .all(|answer| answer.json()["body"]["length"] == 10)
    );
    let failed = posts.iter().filter(|answer| answer.status == 502).count();
    assert!(failed > 0, "some of them met the bad one");
    // No POST was sent twice.
    let sent = bad.received().into_iter().chain(good.received());
    assert_eq!(sent.filter(|request| request.method == "POST").count(), 4);
}

#[test]
fn a_body_that_is_too_long_to_be_kept_is_sent_once() {
    let (bad, good) = (resetting(), Upstream::echo());
    let gateway = start(&[&config(
        &[bad.address(), good.address()],
        "retries = { max_body = \"1KiB\" }",
    )]);
    let body = vec![b'x'; 2000];
    let answers: Vec<u16> = (0..4)
        .map(|_| gateway.send(&Request::new("PUT", "/").body(&*body)).status)
        .collect();
    assert!(
        answers.contains(&502) && answers.contains(&200),
        "{answers:?}"
    );
    let good = good.received();
    assert!(good.iter().all(|request| request.length == 2000));
}

#[test]
fn three_attempts_meet_three_endpoints() {
    let bad = [resetting(), resetting()];
    let good = Upstream::text("good");
    let endpoints = [bad[0].address(), bad[1].address(), good.address()];
    let gateway = start(&[&config(
        &endpoints,
        "retries = { attempts = 3, budget = 1000, budget_rate = 1000 }",
    )]);
    let report = gateway.load(Request::get("/")).connections(4).run(200);
    assert_eq!(
        (report.status(200), report.failures.len()),
        (200, 0),
        "{report:?}"
    );
    gateway.reload(config(
        &endpoints,
        "retries = { attempts = 2, budget = 1000, budget_rate = 1000 }",
    ));
    let report = gateway.load(Request::get("/")).connections(4).run(200);
    assert!(report.status(502) > 0, "two are not enough: {report:?}");
}

#[test]
fn chosen_statuses_are_tried_elsewhere_and_the_last_is_given() {
    let bad = Upstream::fixed(Reply::status(503).header("x-from", "bad").body("busy"));
    let good = Upstream::text("good");
    let endpoints = [bad.address(), good.address()];
    let gateway = start(&[&config(
        &endpoints,
        "retries = { statuses = \"503\", budget_rate = 1000 }",
    )]);
    for _ in 0..6 {
        let answer = gateway.get("/");
        assert_eq!((answer.status, answer.text()), (200, "good"));
        assert_eq!(
            answer.header("x-from"),
            None,
            "nothing is left of the first"
        );
    }
    assert!(bad.count() > 0);
    // The endpoint may have processed a POST.
    let posts: Vec<u16> = (0..6)
        .map(|_| gateway.send(&Request::post("/", "x")).status)
        .collect();
    assert!(posts.contains(&503), "{posts:?}");
    let only = start(&[&config(
        &[bad.address()],
        "retries = { statuses = \"503\" }",
    )]);
    let answer = only.get("/");
    assert_eq!((answer.status, answer.text()), (503, "busy"));
}

#[test]
fn a_slow_attempt_is_given_up_for_another() {
    let slow = Upstream::raw("", Then::Hold);
    let good = Upstream::text("good");
    let gateway = start(&[&config(
        &[slow.address(), good.address()],
        "retries = { try_timeout = \"100ms\", budget_rate = 1000 }",
    )]);
    for _ in 0..4 {
        assert_eq!(gateway.get("/").text(), "good");
    }
    assert!(slow.count() > 0);
}

#[test]
fn a_connection_that_is_not_made_in_time_is_tried_elsewhere() {
    let (full, good) = (FullPort::new(), Upstream::text("good"));
    let gateway = start(&[&config(
        &[full.address(), good.address()],
        "connect_timeout = \"100ms\"",
    )]);
    for _ in 0..4 {
        assert_eq!(gateway.send(&Request::post("/", "x")).text(), "good");
    }
}

#[test]
fn a_budget_ends_a_storm() {
    let bad = [(); 4].map(|()| resetting());
    let gateway = start(&[
        "[server]\nworkers = 1\n",
        &config(
            &bad.each_ref().map(Upstream::address),
            "retries = { attempts = 4, budget = 10, budget_rate = 0 }",
        ),
    ]);
    let report = gateway.load(Request::get("/")).connections(4).run(500);
    assert_eq!(report.status(502), 500);
    let sent: usize = bad.iter().map(Upstream::count).sum();
    assert!((500..=550).contains(&sent), "{sent}");
    assert!(sent > 520, "{sent}: some of the budget was used");
}

#[test]
fn a_stale_connection_is_no_error_and_no_second_post() {
    // Responds once on each connection, and closes it a moment later, as an idle time-out does.
    let served = AtomicUsize::new(0);
    let closing = Upstream::with(move |_, stream| {
        served.fetch_add(1, Ordering::Relaxed);
        Reply::status(200).body("once").write(stream)?;
        Ok(Then::Close)
    });
    let gateway = start(&[&config(&[closing.address()], "retries = { attempts = 1 }")]);
    let report = gateway.load(Request::get("/")).connections(8).run(2000);
    assert_eq!(
        (report.status(200), report.failures.len()),
        (2000, 0),
        "{report:?}"
    );
    // Windlass keeps the body of such a request, and sends it again.
    let put = Request::new("PUT", "/").body("x");
    let report = gateway.load(put).connections(8).run(500);
    assert_eq!(
        (report.status(200), report.failures.len()),
        (500, 0),
        "{report:?}"
    );
    let before = closing.count();
    let posts = gateway
        .load(Request::post("/", "x"))
        .connections(8)
        .run(500);
    let answered = posts.status(200) + posts.status(502);
    assert_eq!(answered, 500, "{posts:?}");
    assert_eq!(
        closing.count() - before,
        posts.status(200),
        "no POST came twice"
    );
}

/// Two of three endpoints die under load, and every client still gets a response.
#[test]
fn dead_endpoints_cost_no_request() {
    let quick =
        || Upstream::slow(Duration::from_millis(1), Reply::status(200).body("ok")).counting();
    let (one, two, three) = (quick(), quick(), quick());
    let endpoints = [one.address(), two.address(), three.address()];
    let gateway = start(&[&config(
        &endpoints,
        "retries = { attempts = 3, budget = 100 }\nhealth = { kind = \"tcp\", interval = \"100ms\", fall = 1, rise = 1 }",
    )]);
    let load = gateway.load(Request::get("/")).connections(16).start();
    load.wait_for_more(500);
    let (one, two) = (one.kill(), two.kill());
    load.wait_for_more(1000);
    gateway.metrics_when("both to be out", |metrics| {
        metrics["windlass_endpoint_available"] == 1.0
    });
    let revived = [one, two].map(|place| {
        Upstream::at(place, |_, stream| {
            Reply::status(200).body("back").write(stream)
        })
        .counting()
    });
    gateway.metrics_when("both to be back", |metrics| {
        metrics["windlass_endpoint_available"] == 3.0
    });
    load.wait_for_more(1000);
    let report = load.stop();
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.statuses.len(), 1, "{:?}", report.statuses);
    assert!(revived.iter().all(|endpoint| endpoint.count() > 0));
}

/// An endpoint responds before the body has arrived. The next endpoint gets the whole body exactly
/// once, including the part that arrives later.
#[test]
fn a_body_that_still_comes_reaches_the_next_endpoint_whole() {
    let early = TcpListener::bind("127.0.0.1:0").unwrap();
    let bad = early.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in early.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
            // It goes on reading, as real endpoints do.
            std::thread::spawn(move || io::copy(&mut stream, &mut io::sink()));
        }
    });
    let good = Upstream::echo();
    let gateway = start(&[&config(
        &[bad, good.address()],
        "retries = { statuses = \"503\", budget_rate = 1000 }",
    )]);
    for _ in 0..4 {
        let mut client = gateway.client();
        client.send_raw(
            "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n",
        );
        let before = good.count();
        // The second endpoint has the head, and waits for the body.
        until("the request at the good one", || {
            let attempts = gateway
                .metrics()
                .by("windlass_endpoint_attempts_total", "endpoint");
            (attempts
                .get(&good.address().to_string())
                .copied()
                .unwrap_or(0.0)
                > f64::from(u32::try_from(before).unwrap()))
            .then_some(())
        });
        client.send_raw("4\r\nefgh\r\n0\r\n\r\n");
        let answer = client.read_response();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sum = windlass_tests::sha256(b"abcdefgh");
        assert_eq!(answer.json()["body"]["sha256"], sum, "{}", answer.text());
    }
}

/// Windlass gives up an attempt early only if the request can be retried.
#[test]
fn a_slow_post_has_the_whole_time() {
    let slow = Upstream::slow(Duration::from_millis(400), Reply::status(200).body("late"));
    let other = Upstream::slow(Duration::from_millis(400), Reply::status(200).body("late"));
    let gateway = start(&[&config(
        &[slow.address(), other.address()],
        "retries = { try_timeout = \"100ms\" }",
    )]);
    let answer = gateway.send(&Request::post("/", "x"));
    assert_eq!((answer.status, answer.text()), (200, "late"));
    let alone = start(&[&config(
        &[slow.address()],
        "retries = { try_timeout = \"100ms\" }",
    )]);
    assert_eq!(alone.get("/").text(), "late");
}

/// Windlass gives up an attempt early only if another one follows at once.
#[test]
fn what_nobody_takes_over_has_the_whole_time() {
    let late = || Upstream::slow(Duration::from_millis(400), Reply::status(200).body("late"));
    let (slow, other) = (late(), late());
    // The body is too long to be kept.
    let gateway = start(&[&config(
        &[slow.address(), other.address()],
        "retries = { try_timeout = \"100ms\", max_body = \"1KiB\" }",
    )]);
    let put = Request::new("PUT", "/").body(vec![b'x'; 2000]).chunked();
    let answer = gateway.send(&put);
    assert_eq!((answer.status, answer.text()), (200, "late"));
    // No other endpoint accepts requests now.
    let endpoints = format!(
        "[[route]]\npath = \"$default\"\nupstream = \"app\"\n[upstream.app]\n\
         endpoints = [{{ address = \"{}\" }}, {{ address = \"{}\", weight = 0 }}]\n\
         retries = {{ try_timeout = \"100ms\" }}\n",
        slow.address(),
        other.address()
    );
    assert_eq!(start(&[&endpoints]).get("/").text(), "late");
    // The retry budget is empty.
    let gateway = start(&[&config(
        &[slow.address(), other.address()],
        "retries = { try_timeout = \"100ms\", budget = 0, budget_rate = 0 }",
    )]);
    assert_eq!(gateway.get("/").text(), "late");
    // The only other endpoint was unreachable at its last attempt.
    let down = ClosedPort::new();
    let gateway = start(&[&config(
        &[slow.address(), down.address()],
        "retries = { try_timeout = \"100ms\", budget_rate = 1000 }",
    )]);
    // Of these two requests, each endpoint gets one first.
    let _ = (gateway.get("/"), gateway.get("/"));
    for _ in 0..3 {
        assert_eq!(gateway.get("/").text(), "late");
    }
}

/// This includes a request for which Windlass picked another endpoint, but had no budget to use it.
#[test]
fn the_log_names_the_endpoint_that_answered() {
    let named = |text: &'static str| {
        Upstream::slow(Duration::from_millis(400), Reply::status(200).body(text))
    };
    let (one, two) = (named("one"), named("two"));
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n",
        &config(
            &[one.address(), two.address()],
            "retries = { try_timeout = \"100ms\", budget = 0, budget_rate = 0 }",
        ),
    ]);
    let endpoint = match gateway.get("/").text() {
        "one" => one.address(),
        _ => two.address(),
    };
    gateway
        .output()
        .wait_for_line(|line| line.contains(&format!("\"endpoint\":\"{endpoint}\"")));
}

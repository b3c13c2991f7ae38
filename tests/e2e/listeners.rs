//! Listeners that a reload adds, removes and moves.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite;
use windlass_tests::wait::until;
use windlass_tests::{Client, Gateway, Reply, Request, Upstream};

use crate::config::{all_to, filtered, stamp, start};

/// A listener on this address.
fn listener(address: &str) -> String {
    format!("[[listener]]\naddress = \"{address}\"\n")
}

/// An address of this machine that nobody has.
fn free() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

fn reloaded(gateway: &Gateway, parts: &[&str]) -> Vec<String> {
    let told = gateway.reload(parts.concat());
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    told
}

#[test]
fn a_reload_adds_a_listener_and_the_others_keep_their_connections() {
    let upstream = Upstream::text("ok");
    let (first, route) = (listener("127.0.0.1:0"), all_to(upstream.address()));
    let gateway = start(&[&first, &route]);
    let mut old = gateway.client();
    assert_eq!(old.get("/").status, 200);
    let added = free();
    // It may stand before the other one: a listener is known by its address.
    let told = reloaded(&gateway, &[&listener(&added.to_string()), &first, &route]);
    let line = format!("address={added}");
    assert!(
        told.iter()
            .any(|text| text.contains("listening") && text.contains(&line)),
        "{told:?}"
    );
    assert_eq!(Client::connect(added).get("/").text(), "ok");
    assert_eq!(old.get("/").text(), "ok");
    assert_eq!(gateway.get("/").text(), "ok");
}

#[test]
fn a_reload_removes_a_listener_and_answers_its_requests() {
    let upstream = Upstream::gated(Reply::status(200).body("late"));
    let (first, second) = (listener("127.0.0.1:0"), free());
    let route = all_to(upstream.address());
    let gateway = start(&[&first, &listener(&second.to_string()), &route]);
    let [mut busy, mut idle] = [Client::connect(second), Client::connect(second)];
    upstream.release(1);
    assert_eq!(idle.get("/").text(), "late");
    busy.send_raw(Request::get("/").bytes());
    upstream.wait_for_requests(2);
    reloaded(&gateway, &[&first, &route]);
    until("a closed listener", || {
        TcpStream::connect(second).is_err().then_some(())
    });
    upstream.release(1);
    let answer = busy.read_response();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert!(busy.is_closed() && idle.is_closed());
    upstream.release(1);
    assert_eq!(gateway.get("/").text(), "late");
}

#[test]
fn requests_of_a_removed_listener_are_cut_after_drain_timeout() {
    let upstream = Upstream::gated(Reply::status(200).body("late"));
    let (first, second) = (listener("127.0.0.1:0"), free());
    let parts = [
        "[server]\ndrain_timeout = \"300ms\"\n",
        &first,
        &all_to(upstream.address()),
    ];
    let gateway = start(&[parts[0], parts[1], &listener(&second.to_string()), parts[2]]);
    let mut busy = Client::connect(second);
    busy.send_raw(Request::get("/").bytes());
    upstream.wait_for_requests(1);
    reloaded(&gateway, &parts);
    assert!(busy.is_closed());
    gateway.metrics_when("no connection", |metrics| {
        metrics
            .by("windlass_connections_open", "worker")
            .values()
            .sum::<f64>()
            == 0.0
    });
}

#[test]
fn a_reload_with_an_address_in_use_changes_nothing() {
    let upstream = Upstream::text("ok");
    let (first, route) = (listener("127.0.0.1:0"), all_to(upstream.address()));
    let gateway = start(&[&first, &route]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (added, other) = (free(), taken.local_addr().unwrap());
    let next = [added, other]
        .map(|address| listener(&address.to_string()))
        .concat();
    let told = gateway.reload([&*next, &route].concat());
    assert!(
        told.last().unwrap().contains("the old one stays in use"),
        "{told:?}"
    );
    let line = format!("address `{other}` is in use");
    assert!(told.iter().any(|text| text.contains(&line)), "{told:?}");
    assert_eq!(gateway.get("/").text(), "ok");
    until("a free address", || {
        TcpStream::connect(added).is_err().then_some(())
    });
    drop(taken);
    reloaded(&gateway, &[&next, &route]);
    assert_eq!(Client::connect(other).get("/").text(), "ok");
}

#[test]
fn a_listener_moves_to_an_address_that_includes_the_old_one_and_back() {
    let upstream = Upstream::text("ok");
    let route = all_to(upstream.address());
    let port = free().port();
    let own = SocketAddr::from(([127, 0, 0, 1], port));
    let gateway = start(&[&listener(&own.to_string()), &route]);
    for address in [format!("0.0.0.0:{port}"), own.to_string()] {
        reloaded(&gateway, &[&listener(&address), &route]);
        for _ in 0..20 {
            let answer = until("an answer", || {
                let mut client = Client::connect(own);
                client.try_send(&Request::get("/")).ok()
            });
            assert_eq!(answer.text(), "ok");
        }
    }
}

#[test]
fn a_successor_takes_over_listeners_that_a_reload_added() {
    let upstream = Upstream::text("ok");
    let route = all_to(upstream.address());
    let parts = [
        "[server]\ndrain_delay = \"1h\"\n",
        &listener("127.0.0.1:0"),
        &route,
    ];
    let gateway = start(&parts);
    let added = free();
    reloaded(
        &gateway,
        &[&listener(&added.to_string()), parts[0], parts[1], parts[2]],
    );
    gateway.signal(rustix::process::Signal::TERM);
    gateway
        .log()
        .wait_for_line(|line| line.contains("draining soon"));
    let successor = gateway.successor().start();
    assert!(gateway.wait_for_end().success());
    assert_eq!(Client::connect(added).get("/").text(), "ok");
    drop(successor);
}

/// A WebSocket whose messages come back, until it is told to stop. Gives how many did.
fn echoing(to: SocketAddr, stop: std::sync::mpsc::Receiver<()>) -> JoinHandle<usize> {
    std::thread::spawn(move || {
        let stream = TcpStream::connect(to).unwrap();
        let (mut socket, _) = tungstenite::client(format!("ws://{to}/ws"), stream).unwrap();
        let mut count = 0;
        while stop.recv_timeout(Duration::from_millis(5)).is_err() {
            let text = format!("message {count}");
            socket.send(tungstenite::Message::text(&*text)).unwrap();
            assert_eq!(socket.read().unwrap().to_text().unwrap(), text);
            count += 1;
        }
        count
    })
}

/// An endpoint that sends the messages of `WebSocket`s back.
fn echo_sockets() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let Ok(mut socket) = tungstenite::accept(stream) else {
                    return;
                };
                while let Ok(message) = socket.read() {
                    if message.is_text() && socket.send(message).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Reorders filters, replaces one, changes a weight, and adds and removes a listener, in turn.
fn change(number: usize, upstream: &Upstream, sockets: SocketAddr, added: SocketAddr) -> String {
    let order = [["first", "second"], ["second", "first"]][number % 2];
    let weight = 1 + number % 7;
    let route = filtered(&order, upstream.address());
    let route = route.replace("\" }]", &format!("\", weight = {weight} }}]"));
    let mut text = listener("127.0.0.1:0");
    if number.is_multiple_of(3) {
        text += &listener(&added.to_string());
    }
    text += "[log]\naccess = \"access.log\"\n";
    text += &route;
    text += &stamp("first");
    // Another header makes it another filter.
    text += &stamp("second").replace("x-order", &format!("x-order-{}", number % 4));
    text += "\n[[route]]\npath = \"/ws\"\nupstream = \"ws\"\n";
    text + &format!("[upstream.ws]\nendpoints = [{{ address = \"{sockets}\" }}]\n")
}

#[test]
#[ignore = "slow: a hundred reloads"]
fn a_hundred_reloads_under_load_fail_no_request_cut_no_websocket_and_leak_no_memory() {
    const RELOADS: usize = 100;
    let upstream = Upstream::text("ok").counting();
    let (sockets, added) = (echo_sockets(), free());
    let gateway = start(&[&change(0, &upstream, sockets, added)]);
    let body = vec![7; 4096];
    let load = gateway
        .load(Request::post("/", body))
        .connections(2)
        .start();
    let (senders, stops): (Vec<_>, Vec<_>) = (0..4).map(|_| std::sync::mpsc::channel()).unzip();
    let echoing: Vec<_> = stops
        .into_iter()
        .map(|stop| echoing(gateway.address(), stop))
        .collect();
    load.wait_for_more(2000);
    // The first reloads fill caches and pools.
    for number in 1..=10 {
        reloaded(&gateway, &[&change(number, &upstream, sockets, added)]);
        load.wait_for_more(50);
    }
    settle(&gateway);
    let before = gateway.rss();
    let began = Instant::now();
    for number in 11..=10 + RELOADS {
        reloaded(&gateway, &[&change(number, &upstream, sockets, added)]);
        if number.is_multiple_of(3) {
            assert_eq!(Client::connect(added).get("/").status, 200);
        }
        load.wait_for_more(50);
    }
    println!("{RELOADS} reloads in {:?}", began.elapsed());
    for sender in senders {
        sender.send(()).unwrap();
    }
    for echoing in echoing {
        let count = echoing.join().expect("no WebSocket was cut");
        assert!(count > RELOADS, "{count} messages");
    }
    settle(&gateway);
    let after = gateway.rss();
    let report = load.stop();
    println!(
        "{} answers; {before} bytes before, {after} after",
        report.status(200)
    );
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.statuses.keys().collect::<Vec<_>>(), [&200]);
    assert!(
        after <= before + before / 20,
        "{before} bytes before, {after} after"
    );
}

/// Wait until only two configurations are in memory: the present one, and that of the `WebSocket`s.
fn settle(gateway: &Gateway) {
    gateway.metrics_when("old configurations to be released", |metrics| {
        metrics["windlass_generations"] <= 2.0
    });
}

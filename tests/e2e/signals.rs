//! Signals: each has the effect that operators expect, and none ends the gateway by accident.

use rustix::process::Signal;
use windlass_tests::{Gateway, Reply, Request, Upstream};

use crate::config::{all_to, start};

/// Requests that wait for an endpoint.
fn busy(gateway: &Gateway, upstream: &Upstream) -> windlass_tests::Client {
    let mut client = gateway.client();
    client.send_raw(Request::get("/slow").bytes());
    upstream.wait_for_requests(1);
    client
}

#[test]
fn no_signal_but_those_that_stop_it_ends_the_gateway_or_a_request() {
    let upstream = Upstream::gated(Reply::status(200).body("whole"));
    let gateway = start(&[&all_to(upstream.address())]);
    let mut client = busy(&gateway, &upstream);
    let before = gateway.log().count();
    for signal in [
        Signal::HUP,
        Signal::USR1,
        Signal::USR2,
        Signal::PIPE,
        Signal::ALARM,
        Signal::VTALARM,
        Signal::PROF,
        Signal::IO,
        Signal::XFSZ,
        Signal::TTIN,
        Signal::TTOU,
        Signal::WINCH,
        Signal::CHILD,
    ] {
        gateway.signal(signal);
    }
    // Real-time signals have no names: the first and the last one.
    for number in [34, 64] {
        gateway.signal_number(number);
    }
    let line = |words: &'static str| {
        gateway
            .log()
            .wait_from(before, move |line| line.contains(words))
    };
    line("a new configuration is in use");
    let named = [Signal::USR2, Signal::ALARM, Signal::TTOU];
    let numbers = named.map(Signal::as_raw);
    for number in numbers.into_iter().chain([34, 64]) {
        let name = format!("number={number} ");
        gateway.log().wait_from(before, |line| {
            line.contains("was ignored") && (line.to_owned() + " ").contains(&name)
        });
    }
    upstream.release(1);
    assert_eq!(client.read_response().text(), "whole");
    assert!(gateway.terminate().success());
}

#[test]
fn sigquit_drains_as_sigterm_does() {
    let upstream = Upstream::gated(Reply::status(200).body("whole"));
    let gateway = start(&[&all_to(upstream.address())]);
    let mut client = busy(&gateway, &upstream);
    gateway.signal(Signal::QUIT);
    gateway
        .log()
        .wait_for_line(|line| line.contains("draining"));
    upstream.release(1);
    assert_eq!(client.read_response().text(), "whole");
    assert_eq!(gateway.wait_for_end().code(), Some(0));
}

#[test]
fn a_second_stop_leaves_running_requests_one_more_second() {
    for (first, second) in [
        (Signal::TERM, Signal::TERM),
        (Signal::QUIT, Signal::INT),
        (Signal::INT, Signal::QUIT),
    ] {
        let upstream = Upstream::gated(Reply::status(200));
        let gateway = start(&[
            "[server]\ndrain_timeout = \"1h\"\n",
            &all_to(upstream.address()),
        ]);
        let mut client = busy(&gateway, &upstream);
        gateway.signal(first);
        gateway
            .log()
            .wait_for_line(|line| line.contains("draining"));
        gateway.signal(second);
        assert_eq!(gateway.wait_for_end().code(), Some(0));
        assert!(client.is_closed());
        let told = gateway.log().whole();
        assert!(
            told.contains("a second time") && told.contains("cut=1"),
            "{told}"
        );
    }
}

#[test]
fn a_stop_does_not_wait_for_a_reload() {
    let gateway = start(&["[[route]]\npath = \"/\"\nrespond = { body = \"ok\" }\n"]);
    // A named pipe without a writer, so that reading the configuration never ends.
    let file = gateway.folder().join("windlass.toml");
    std::fs::remove_file(&file).unwrap();
    crate::log_files::make_pipe(&file);
    gateway.signal(Signal::HUP);
    assert_eq!(gateway.get("/").text(), "ok");
    assert_eq!(gateway.terminate().code(), Some(0));
}

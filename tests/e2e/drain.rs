//! SIGTERM: active requests finish, and no new ones are accepted.

use std::net::TcpStream;

use rustix::process::Signal;
use windlass_tests::{Reply, Request, Upstream, wait};

use crate::config::{all_to, start};

#[test]
fn sigterm_finishes_what_runs_closes_what_idles_and_exits_0() {
    let upstream = Upstream::gated(Reply::status(200).body("finished"));
    let gateway = start(&[
        "[[route]]\npath = \"/idle\"\nrespond = { body = \"ok\" }\n",
        &all_to(upstream.address()),
    ]);
    let mut idle = gateway.client();
    assert_eq!(idle.get("/idle").status, 200);
    let mut busy = gateway.client();
    busy.send_raw(Request::get("/slow").bytes());
    upstream.wait_for_requests(1);
    assert_eq!(gateway.admin("/readyz").status, 200);
    gateway.signal(Signal::TERM);
    assert!(idle.is_closed());
    wait::until("new connections to be refused", || {
        TcpStream::connect(gateway.address()).is_err().then_some(())
    });
    let ready = gateway.admin("/readyz");
    assert_eq!((ready.status, ready.text()), (503, "draining\n"));
    assert_eq!(gateway.admin("/livez").status, 200);
    upstream.release(1);
    let answer = busy.read_response();
    assert_eq!((answer.status, answer.text()), (200, "finished"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(busy.is_closed());
    assert_eq!(gateway.wait_for_end().code(), Some(0));
    let told = gateway.log().whole();
    assert!(told.contains("cut=0"), "{told}");
}

/// The client may have sent this request before it learned of the drain.
#[test]
fn a_connection_that_was_just_in_use_is_answered_once_more() {
    // The gateway waits for a second. This machine may be slower than that, but not ten times in a
    // row.
    let answered = (0..10).any(|_| {
        let gateway = start(&["[[route]]\npath = \"/\"\nrespond = { body = \"ok\" }\n"]);
        let mut client = gateway.client();
        assert_eq!(client.get("/").status, 200);
        gateway.signal(Signal::TERM);
        gateway
            .log()
            .wait_for_line(|line| line.contains("draining:"));
        wait::until("new connections to be refused", || {
            TcpStream::connect(gateway.address()).is_err().then_some(())
        });
        let answer = client.try_send(&Request::get("/"));
        let answered = answer.is_ok_and(|answer| {
            assert_eq!(answer.header("connection"), Some("close"));
            answer.status == 200
        });
        assert_eq!(gateway.wait_for_end().code(), Some(0));
        answered
    });
    assert!(answered, "ten connections were closed at once");
}

#[test]
fn a_signal_that_comes_with_the_start_is_obeyed() {
    for _ in 0..5 {
        let gateway = start(&["[[route]]\npath = \"/\"\nrespond = { body = \"ok\" }\n"]);
        assert_eq!(gateway.terminate().code(), Some(0));
    }
}

#[test]
fn a_drain_that_takes_too_long_cuts_what_is_left() {
    let upstream = Upstream::gated(Reply::status(200));
    let gateway = start(&[
        "[server]\ndrain_timeout = \"300ms\"\n",
        &all_to(upstream.address()),
    ]);
    let mut client = gateway.client();
    client.send_raw(Request::get("/never").bytes());
    upstream.wait_for_requests(1);
    assert_eq!(gateway.terminate().code(), Some(0));
    assert!(client.is_closed());
    let told = gateway.log().whole();
    assert!(told.contains("cut=1"), "{told}");
}

#[test]
fn the_access_log_is_complete_when_the_gateway_has_ended() {
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n[[route]]\npath = \"/\"\nrespond = { body = \"ok\" }\n",
    ]);
    let report = gateway.load(Request::get("/")).connections(4).run(500);
    assert_eq!(report.status(200), 500);
    assert!(gateway.terminate().success());
    assert_eq!(gateway.output().whole().lines().count(), 500);
}

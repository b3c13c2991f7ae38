//! The limit of open files: Windlass raises it at the start, and clients never use it up.

use std::net::TcpStream;

use windlass_tests::{Gateway, Upstream};

use crate::config::all_to;

const FIXED: &str = "[[route]]\npath = \"/own\"\nrespond = { body = \"ok\" }\n";

/// Open as many idle connections as files may be open.
fn idle(gateway: &Gateway, count: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect(gateway.address()).unwrap();
    (0..count).map(connect).collect()
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let gateway = Gateway::with_config(FIXED)
        .after("ulimit -S -n 64; ulimit -H -n 1024")
        .start();
    assert_eq!(gateway.metrics()["windlass_open_files_limit"], 1024.0);
    let idle = idle(&gateway, 200);
    assert_eq!(gateway.get("/own").text(), "ok");
    drop(idle);
}

#[test]
fn idle_clients_leave_files_to_the_admin_listener_and_give_way_to_those_who_ask() {
    let upstream = Upstream::text("from an endpoint");
    let config = format!("{FIXED}{}", all_to(upstream.address()));
    let gateway = Gateway::with_config(config).after("ulimit -n 256").start();
    let mut kept = gateway.client();
    assert_eq!(kept.get("/own").text(), "ok");
    let idle = idle(&gateway, 400);
    gateway.metrics_when("accepting to pause", |metrics| {
        metrics["windlass_accept_pauses_total"] >= 1.0
    });
    assert_eq!(gateway.admin("/livez").status, 200);
    // Connected clients are served, including from endpoints.
    assert_eq!(kept.get("/").text(), "from an endpoint");
    let told = gateway.reload(format!("{FIXED}{}", all_to(upstream.address())));
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    // The connections that have been idle longest are closed for clients with a request.
    assert_eq!(gateway.get("/own").text(), "ok");
    drop(idle);
    assert_eq!(gateway.get("/own").text(), "ok");
    assert!(gateway.terminate().success());
    let told = gateway.log().whole();
    let lines = told
        .lines()
        .filter(|line| line.contains(" WARN accepting pauses"));
    assert_eq!(lines.count(), 1, "{told}");
}

#[test]
fn limits_that_do_not_fit_are_a_warning_of_check_and_of_the_start() {
    let builder = Gateway::with_config(format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nmax_connections = 5000\n{FIXED}"
    ))
    .after("ulimit -n 1024");
    let checked = builder.check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    for words in ["`max_connections`", "1024 files", "LimitNOFILE="] {
        assert!(checked.errors.contains(words), "{}", checked.errors);
    }
    let gateway = builder.start();
    let told = gateway.log().text();
    assert!(told.contains("1024 files"), "{told}");
}

#[test]
fn a_limit_that_leaves_no_client_any_room_stops_the_start() {
    let builder = Gateway::with_config(format!(
        "[server]\nworkers = 2\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n{FIXED}"
    ))
    .after("ulimit -n 64");
    let checked = builder.check();
    assert_eq!(checked.code, Some(2), "{}", checked.errors);
    let started = builder.run_refused();
    assert_eq!(started.code, Some(1), "{}", started.errors);
    for told in [checked.errors, started.errors] {
        for words in ["room for 0 clients", "LimitNOFILE="] {
            assert!(told.contains(words), "{told}");
        }
    }
}

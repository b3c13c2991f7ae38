//! Socket activation: the service manager passes the listening sockets.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::Signal;
use windlass_tests::wait::until;
use windlass_tests::{Builder, Client, Gateway, Request, Upstream};

use crate::config::all_to;

/// A socket as the service manager keeps it.
fn socket() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // The child has it, too, beyond the numbers that the service manager passes.
    let socket = fcntl_dupfd_cloexec(&socket, 100).unwrap();
    fcntl_setfd(&socket, FdFlags::empty()).unwrap();
    (socket.into(), address)
}

/// Pass these sockets to the gateway as the service manager does.
fn pass(builder: Builder, sockets: &[&TcpListener]) -> Builder {
    let mut shell = String::new();
    for (index, socket) in sockets.iter().enumerate() {
        let (number, own) = (3 + index, socket.as_raw_fd());
        shell += &format!("exec {number}<&{own} {own}<&-; ");
    }
    shell += &format!("export LISTEN_PID=$$ LISTEN_FDS={}", sockets.len());
    builder.after(&shell)
}

fn config(address: SocketAddr, upstream: &Upstream) -> String {
    format!(
        "[server]\nworkers = 2\n[[listener]]\naddress = \"{address}\"\n{}",
        all_to(upstream.address())
    )
}

#[test]
fn a_listener_takes_the_passed_socket_that_has_its_address() {
    let upstream = Upstream::text("ok");
    let (socket, address) = socket();
    // Connected before the start, as the client that made the service manager start the gateway.
    let mut first = Client::over(TcpStream::connect(address).unwrap());
    first.send_raw(Request::get("/").bytes());
    let gateway = pass(Gateway::with_config(config(address, &upstream)), &[&socket]).start();
    assert_eq!(first.read_response().text(), "ok");
    let report = gateway.load(Request::get("/")).connections(8).run(200);
    assert_eq!((report.status(200), report.failures.len()), (200, 0));
    let told = gateway.reload(config(address, &upstream));
    assert!(told.last().unwrap().contains("is in use"), "{told:?}");
    assert_eq!(gateway.get("/").text(), "ok");
}

#[test]
fn a_client_that_comes_after_the_stop_waits_for_the_next_start() {
    let upstream = Upstream::text("ok");
    let (socket, address) = socket();
    let start = || pass(Gateway::with_config(config(address, &upstream)), &[&socket]).start();
    let gateway = start();
    assert_eq!(gateway.get("/").text(), "ok");
    gateway.signal(Signal::TERM);
    assert!(gateway.wait_for_end().success());
    let mut waits = Client::connect(address);
    waits.send_raw(Request::get("/").bytes());
    let _next = start();
    assert_eq!(waits.read_response().text(), "ok");
}

#[test]
fn a_passed_socket_that_is_no_listener_s_is_closed_with_a_warning() {
    let upstream = Upstream::text("ok");
    let ((own, address), (other, unused)) = (socket(), socket());
    let builder = Gateway::with_config(config(address, &upstream));
    let gateway = pass(builder, &[&other, &own]).start();
    let line = format!("address={unused}");
    gateway
        .log()
        .wait_for_line(|text| text.contains("it was closed") && text.contains(&line));
    assert_eq!(gateway.get("/").text(), "ok");
    let link = |path: String| std::fs::read_link(path).unwrap_or_default();
    let closed = link(format!("/proc/self/fd/{}", other.as_raw_fd()));
    let files = std::fs::read_dir(format!("/proc/{}/fd", gateway.pid())).unwrap();
    let mut open = files.map(|file| link(file.unwrap().path().display().to_string()));
    assert!(open.all(|file| file != closed), "{}", closed.display());
}

#[test]
#[ignore = "needs systemd-socket-activate: apt-get install systemd"]
fn systemd_starts_the_gateway_with_its_first_client() {
    let upstream = Upstream::text("ok");
    let (free, address) = socket();
    drop(free);
    let gateway = Gateway::with_config(config(address, &upstream));
    let (program, folder) = (windlass_tests::program(), gateway.folder());
    let mut process = Command::new("systemd-socket-activate")
        .arg(format!("--listen={address}"))
        .arg(program)
        .args(["run", "--config", "windlass.toml"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("apt-get install systemd");
    let stream = until("systemd-socket-activate", || {
        TcpStream::connect(address).ok()
    });
    assert_eq!(Client::over(stream).get("/").text(), "ok");
    process.kill().unwrap();
    process.wait().unwrap();
    let mut log = String::new();
    process
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert!(!log.contains("it was closed"), "{log}");
}

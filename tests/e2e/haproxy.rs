//! haproxy as an endpoint.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use windlass_tests::wait::until;
use windlass_tests::{Request, Upstream};

use crate::config::{all_to, start};

/// A running haproxy in front of an endpoint. Dropping this value ends it.
struct Haproxy {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Haproxy {
    fn start(behind: SocketAddr) -> Self {
        let folder = TempDir::new().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let text = format!(
            "global\n  maxconn 200\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  \
             timeout server 5s\n  timeout http-keep-alive 20ms\nfrontend in\n  bind {address}\n  \
             default_backend app\nbackend app\n  server one {behind}\n"
        );
        std::fs::write(folder.path().join("haproxy.cfg"), text).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let process = Command::new("haproxy")
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .args(["-db", "-f"])
            .arg(folder.path().join("haproxy.cfg"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy; apt-get install haproxy");
        until("haproxy", || TcpStream::connect(address).ok());
        Self {
            process,
            address,
            _folder: folder,
        }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// haproxy closes connections that are idle for 20 ms, often just when a request arrives. This
/// fails no GET and no PUT, and sends no POST twice.
#[test]
#[ignore = "needs haproxy: apt-get install haproxy"]
fn connections_that_haproxy_closes_are_no_error() {
    let endpoint = Upstream::text("ok").counting();
    let haproxy = Haproxy::start(endpoint.address());
    let gateway = start(&[&all_to(haproxy.address), "retries = { attempts = 1 }\n"]);
    for request in [Request::get("/"), Request::new("PUT", "/")] {
        let report = gateway.load(request).connections(20).run(4000);
        assert_eq!(
            (report.status(200), report.failures.len()),
            (4000, 0),
            "{report:?}"
        );
    }
    let before = endpoint.count();
    let report = gateway
        .load(Request::post("/", "x"))
        .connections(20)
        .run(2000);
    let answered = report.status(200);
    assert!(report.failures.is_empty() && answered > 1900, "{report:?}");
    assert!(endpoint.count() - before <= 2000, "a POST came twice");
}

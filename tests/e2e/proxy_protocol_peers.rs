//! The PROXY protocol with haproxy and nginx, on either side.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use windlass_tests::wait::until;
use windlass_tests::{Client, Gateway, Upstream};

use crate::config::{all_to, start};
use crate::wire::Authority;

const PROTOCOL: &str = "proxy_protocol = { from = [\"127.0.0.0/8\"] }\n";

/// A running program that listens. Dropping this value ends it.
struct Peer {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Peer {
    /// haproxy, with a frontend `in` on a free port. `bind` and `frontend` follow there, `rest` after it.
    fn haproxy(bind: &str, frontend: &str, rest: &str) -> Self {
        let (folder, address) = (TempDir::new().unwrap(), free());
        let text = format!(
            "global\n  maxconn 200\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 5s\n  \
             timeout server 5s\nfrontend in\n  bind {address} {bind}\n  {frontend}\n{rest}\n"
        );
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, text).unwrap();
        let mut command = program("haproxy");
        command.args(["-db", "-f"]).arg(file);
        Self::start(command, address, folder)
    }

    /// nginx, with a server on a free port. `listen` and `server` follow there.
    fn nginx(listen: &str, server: &str) -> Self {
        let (folder, address) = (TempDir::new().unwrap(), free());
        let text = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\n\
             http {{ access_log off; client_body_temp_path body; proxy_temp_path proxy;\n\
             fastcgi_temp_path fast; uwsgi_temp_path uw; scgi_temp_path scgi;\n\
             server {{ listen {address} {listen}; {server} }} }}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), text).unwrap();
        let mut command = program("nginx");
        command
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf"]);
        Self::start(command, address, folder)
    }

    fn start(mut command: Command, address: SocketAddr, folder: TempDir) -> Self {
        let quiet = [Stdio::null(), Stdio::null(), Stdio::null()];
        let [input, output, errors] = quiet;
        command.stdin(input).stdout(output).stderr(errors);
        let process = command
            .spawn()
            .expect("apt-get install haproxy nginx-light");
        until("the peer", || TcpStream::connect(address).ok());
        Self {
            process,
            address,
            _folder: folder,
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

fn free() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

/// A client at another address of this machine than the gateway's.
fn client_from(ip: &str, to: SocketAddr) -> Client {
    let domain = socket2::Domain::for_address(to);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
    let own: SocketAddr = format!("{ip}:0").parse().unwrap();
    socket.bind(&own.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    Client::over(socket.into())
}

#[test]
#[ignore = "needs haproxy: apt-get install haproxy"]
fn haproxy_in_front_names_the_client_with_both_versions_with_and_without_tls() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let upstream = Upstream::echo();
    let tls = "tls = { certificate = \"own.pem\", key = \"own.key\" }\n";
    for (own_tls, words) in [
        ("", "send-proxy"),
        ("", "send-proxy-v2 check check-send-proxy inter 50"),
        (
            "",
            "send-proxy-v2-ssl-cn proxy-v2-options crc32c,unique-id,authority",
        ),
        (tls, "send-proxy ssl verify none"),
        (tls, "send-proxy-v2 ssl verify none"),
    ] {
        let listener = format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{PROTOCOL}{own_tls}");
        let gateway = Gateway::with_config(listener + &all_to(upstream.address()))
            .file("own.pem", &identity.certificate)
            .file("own.key", &identity.key)
            .start();
        let backend = format!(
            "backend gateway\n  server one {} {words}",
            gateway.address()
        );
        let haproxy = Peer::haproxy("", "default_backend gateway", &backend);
        for ip in ["127.0.0.7", "127.0.0.8"] {
            let mut client = client_from(ip, haproxy.address);
            assert_eq!(client.get("/").status, 200, "{words}");
            let request = upstream.received().pop().unwrap();
            assert_eq!(request.header("x-forwarded-for"), Some(ip), "{words}");
        }
    }
}

/// A gateway that names clients to this endpoint.
fn to(endpoint: &Peer, version: &str, more: &str) -> Gateway {
    let protocol = format!("proxy_protocol = \"{version}\"\n{more}");
    start(&[&all_to(endpoint.address), &protocol])
}

#[test]
#[ignore = "needs haproxy: apt-get install haproxy"]
fn haproxy_as_an_endpoint_learns_the_client_and_takes_health_checks() {
    let returns =
        "mode http\n  http-request return status 200 content-type text/plain lf-string %[src]";
    let haproxy = Peer::haproxy("accept-proxy", returns, "");
    for version in ["v1", "v2"] {
        let gateway = to(
            &haproxy,
            version,
            "health = { path = \"/\", interval = \"50ms\" }\n",
        );
        for ip in ["127.0.0.7", "127.0.0.8"] {
            let mut client = client_from(ip, gateway.address());
            for _ in 0..3 {
                assert_eq!(client.get("/").text(), ip);
            }
        }
        gateway.metrics_when("a good check", |metrics| {
            metrics.with("windlass_endpoint_state", &[("state", "healthy")]) == 1.0
        });
    }
}

#[test]
#[ignore = "needs nginx: apt-get install nginx-light"]
fn nginx_as_an_endpoint_learns_the_client() {
    let nginx = Peer::nginx(
        "proxy_protocol",
        "location / { return 200 $proxy_protocol_addr; }",
    );
    for version in ["v1", "v2"] {
        let gateway = to(&nginx, version, "");
        for ip in ["127.0.0.7", "127.0.0.8"] {
            let mut client = client_from(ip, gateway.address());
            for _ in 0..3 {
                assert_eq!(client.get("/").text(), ip);
            }
        }
    }
}

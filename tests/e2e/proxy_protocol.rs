//! The PROXY protocol: from proxies in front, and to endpoints.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;
use windlass_tests::http::read_head;
use windlass_tests::wait::until;
use windlass_tests::{Client, Gateway, Request, Upstream};

use crate::config::{all_to, start};
use crate::wire::{Authority, client_tls, empty, run};

const LINE: &str = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, payload].concat()
}

/// Version 2 of [`LINE`], with these TLVs.
fn ipv4(tlvs: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];
    binary(0x21, 0x11, &[&addresses, tlvs].concat())
}

/// A gateway whose clients come by the PROXY protocol, with these keys of it.
fn behind_proxy(keys: &str, upstream: &Upstream) -> Gateway {
    let listener = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nheader_timeout = \"300ms\"\nproxy_protocol = {keys}\n"
    );
    let log = "[log]\naccess = \"stdout\"\n";
    start(&[&listener, log, &all_to(upstream.address())])
}

const LOOPBACK: &str = "{ from = [\"127.0.0.0/8\"] }";
const OPTIONAL: &str = "{ from = [\"127.0.0.0/8\"], required = false }";
const ELSEWHERE: &str = "{ from = [\"10.0.0.0/8\"] }";

fn refused(gateway: &Gateway, count: f64) {
    gateway.metrics_when("a refused connection", |metrics| {
        let workers = metrics.by("windlass_proxy_headers_refused_total", "worker");
        workers.values().sum::<f64>() == count
    });
}

#[test]
fn the_client_that_a_header_names_is_the_client_everywhere() {
    let upstream = Upstream::echo();
    let gateway = behind_proxy(LOOPBACK, &upstream);
    for header in [LINE.as_bytes().to_vec(), ipv4(&[])] {
        let mut client = gateway.client();
        client.send_raw(&header);
        let forged = Request::get("/").header("x-forwarded-for", "6.6.6.6");
        assert_eq!(client.send(&forged).status, 200);
        assert_eq!(client.get("/").status, 200);
        for request in upstream.received().iter().rev().take(2) {
            assert_eq!(request.header("x-forwarded-for"), Some("192.0.2.1"));
        }
        let line = gateway.output().wait_for_line(|line| line.starts_with('{'));
        assert!(line.contains(r#""client":"192.0.2.1""#), "{line}");
    }
}

#[test]
fn a_header_may_come_in_pieces_and_with_the_request() {
    let upstream = Upstream::echo();
    for keys in [LOOPBACK, OPTIONAL] {
        let gateway = behind_proxy(keys, &upstream);
        for header in [LINE.as_bytes().to_vec(), ipv4(&[4, 0, 1, 0])] {
            let mut whole = gateway.client();
            whole.send_raw([&header[..], b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"].concat());
            assert_eq!(whole.read_response().status, 200);
            let mut pieces = gateway.client();
            for byte in &header {
                pieces.send_raw([*byte]);
            }
            assert_eq!(pieces.get("/").status, 200);
            let request = upstream.received().pop().unwrap();
            assert_eq!(request.header("x-forwarded-for"), Some("192.0.2.1"));
        }
    }
}

#[test]
fn a_connection_of_the_proxy_s_own_keeps_its_address() {
    let upstream = Upstream::echo();
    let gateway = behind_proxy(LOOPBACK, &upstream);
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), binary(0x20, 0, &[])] {
        let mut client = gateway.client();
        client.send_raw(&header);
        assert_eq!(client.get("/").status, 200);
        let request = upstream.received().pop().unwrap();
        assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[test]
fn a_connection_without_a_header_that_counts_is_closed() {
    let upstream = Upstream::echo();
    let gateway = behind_proxy(LOOPBACK, &upstream);
    let bad: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 x 443\r\n",
        &binary(0x22, 0x11, &[0; 12]),
        // These come too late: nothing follows.
        b"PROXY TCP4",
        b"",
    ];
    for bytes in &bad {
        let mut client = gateway.client();
        client.send_raw(bytes);
        assert!(client.is_closed(), "{bytes:?}");
    }
    let mut half = gateway.client();
    half.send_raw(SIGNATURE);
    half.finish_sending();
    assert!(half.is_closed());
    refused(&gateway, 7.0);
    assert_eq!(upstream.count(), 0);
}

#[test]
fn strangers_cannot_connect_where_the_header_is_required() {
    let upstream = Upstream::echo();
    let gateway = behind_proxy(ELSEWHERE, &upstream);
    let mut client = gateway.client();
    // It may be closed already.
    let _ = client.try_send_raw(LINE.as_bytes());
    assert!(client.is_closed());
    refused(&gateway, 1.0);
}

#[test]
fn where_the_header_is_optional_proxies_may_leave_it_out_and_strangers_cannot_send_it() {
    let upstream = Upstream::echo();
    let gateway = behind_proxy(OPTIONAL, &upstream);
    for request in [Request::get("/"), Request::post("/", "x")] {
        assert_eq!(gateway.send(&request).status, 200);
        let request = upstream.received().pop().unwrap();
        assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    }
    let elsewhere = ELSEWHERE.replace('}', ", required = false }");
    let gateway = behind_proxy(&elsewhere, &upstream);
    assert_eq!(gateway.get("/").status, 200);
    let answer = gateway.send_raw(format!("{LINE}GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    assert_eq!(answer.status, 400);
}

#[test]
fn proxies_are_those_of_the_server_if_the_listener_names_none() {
    let upstream = Upstream::echo();
    let gateway = start(&[
        "[server]\ntrusted_proxies = [\"127.0.0.0/8\", \"203.0.113.0/24\"]\n",
        "[[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n",
        &all_to(upstream.address()),
    ]);
    // A proxy behind another one: the header names a proxy that is trusted, which names the client.
    for (source, client) in [
        ("192.0.2.1", "192.0.2.1"),
        ("203.0.113.7", "6.6.6.6, 203.0.113.7"),
    ] {
        let mut connection = gateway.client();
        connection.send_raw(LINE.replace("192.0.2.1", source));
        let request = Request::get("/").header("x-forwarded-for", "6.6.6.6");
        assert_eq!(connection.send(&request).status, 200);
        let request = upstream.received().pop().unwrap();
        assert_eq!(request.header("x-forwarded-for"), Some(client));
    }
}

#[test]
fn a_client_that_uses_tls_to_the_proxy_has_the_scheme_https() {
    let upstream = Upstream::echo();
    let gateway = behind_proxy(LOOPBACK, &upstream);
    for (client_flags, scheme) in [(1, "https"), (0, "http")] {
        let mut client = gateway.client();
        client.send_raw(ipv4(&[0x20, 0, 5, client_flags, 0, 0, 0, 0]));
        assert_eq!(client.get("/").status, 200);
        let request = upstream.received().pop().unwrap();
        assert_eq!(request.header("x-forwarded-proto"), Some(scheme));
    }
}

#[test]
fn tls_and_http2_follow_the_header() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let upstream = Upstream::echo();
    let gateway = Gateway::with_config(format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = {LOOPBACK}\n\
         tls = {{ certificate = \"own.pem\", key = \"own.key\" }}\n{}",
        all_to(upstream.address())
    ))
    .file("own.pem", &identity.certificate)
    .file("own.key", &identity.key)
    .start();
    run(async {
        let mut socket = tokio::net::TcpStream::connect(gateway.address())
            .await
            .unwrap();
        socket.write_all(LINE.as_bytes()).await.unwrap();
        let connector = TlsConnector::from(client_tls(&authority, &["h2"]));
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, socket).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let made = hyper::client::conn::http2::handshake(crate::wire::Here, io).await;
        let (mut sender, drive) = made.unwrap();
        tokio::task::spawn_local(drive);
        let request = http::Request::get("https://localhost/")
            .body(empty())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
    });
    let request = upstream.only_request();
    assert_eq!(request.header("x-forwarded-for"), Some("192.0.2.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("https"));
}

/// An endpoint that wants a header of the PROXY protocol ahead of each connection. The header is the body of
/// its answers.
struct ProxiedEndpoint {
    address: SocketAddr,
    headers: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl ProxiedEndpoint {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let headers = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let seen = Arc::clone(&headers);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || {
                    // The connection ends when the gateway ends it.
                    let _ = Self::serve(stream, &seen);
                });
            }
        });
        Self { address, headers }
    }

    fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Vec<u8>>>) -> std::io::Result<()> {
        let mut header = vec![0; 12];
        stream.read_exact(&mut header)?;
        let mut byte = [0];
        if header == SIGNATURE {
            let mut fixed = [0; 4];
            stream.read_exact(&mut fixed)?;
            let mut rest = vec![0; usize::from(u16::from_be_bytes([fixed[2], fixed[3]]))];
            stream.read_exact(&mut rest)?;
            header.extend(fixed);
            header.extend(rest);
        } else {
            while !header.ends_with(b"\r\n") {
                stream.read_exact(&mut byte)?;
                header.extend(byte);
            }
        }
        seen.lock().unwrap().push(header.clone());
        let mut reader = BufReader::new(stream.try_clone()?);
        while read_head(&mut reader)?.is_some() {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                header.len()
            );
            stream.write_all(&[head.as_bytes(), &header].concat())?;
        }
        Ok(())
    }

    /// The headers of all connections.
    fn headers(&self) -> Vec<Vec<u8>> {
        self.headers.lock().unwrap().clone()
    }

    fn gateway(&self, version: &str, more: &str) -> Gateway {
        let protocol = format!("proxy_protocol = \"{version}\"\n{more}");
        start(&[
            "[server]\nworkers = 1\ntrusted_proxies = [\"127.0.0.9/32\"]\n",
            &all_to(self.address),
            &protocol,
        ])
    }
}

/// The line that names this client.
fn line_of(client: &Client, gateway: &Gateway) -> String {
    let (own, to) = (client.sender().local_addr().unwrap(), gateway.address());
    let (ip, to_ip) = (own.ip(), to.ip());
    format!("PROXY TCP4 {ip} {to_ip} {} {}\r\n", own.port(), to.port())
}

#[test]
fn endpoints_are_told_of_the_client_and_no_two_clients_share_a_connection() {
    let endpoint = ProxiedEndpoint::start();
    let gateway = endpoint.gateway("v1", "");
    let mut clients = [gateway.client(), gateway.client(), gateway.client()];
    for _ in 0..3 {
        for client in &mut clients {
            let line = line_of(client, &gateway);
            assert_eq!(client.get("/").text(), line);
        }
    }
    let headers = endpoint.headers();
    assert_eq!(headers.len(), 3, "{headers:?}");
}

#[test]
fn version_2_names_the_client_in_binary() {
    let endpoint = ProxiedEndpoint::start();
    let gateway = endpoint.gateway("v2", "");
    let mut client = gateway.client();
    assert_eq!(client.get("/").status, 200);
    let own = client.sender().local_addr().unwrap().port().to_be_bytes();
    let to = gateway.address().port().to_be_bytes();
    let addresses = [[127, 0, 0, 1], [127, 0, 0, 1]].concat();
    let expected = binary(0x21, 0x11, &[&addresses[..], &own, &to].concat());
    assert_eq!(endpoint.headers(), [expected]);
}

#[test]
fn unused_connections_of_clients_that_left_make_room() {
    let endpoint = ProxiedEndpoint::start();
    let gateway = endpoint.gateway("v1", "max_idle = 2\n");
    for _ in 0..6 {
        assert_eq!(gateway.get("/").status, 200);
    }
    let mut last = gateway.client();
    for _ in 0..3 {
        assert_eq!(last.get("/").status, 200);
    }
    assert_eq!(endpoint.headers().len(), 7);
}

#[test]
fn health_checks_name_no_client() {
    for (version, header) in [
        ("v1", b"PROXY UNKNOWN\r\n".to_vec()),
        ("v2", binary(0x20, 0, &[])),
    ] {
        let endpoint = ProxiedEndpoint::start();
        let _gateway = endpoint.gateway(version, "health = { path = \"/healthz\" }\n");
        until("a check", || {
            endpoint.headers().contains(&header).then_some(())
        });
    }
}

#[test]
fn a_chain_of_gateways_keeps_the_client() {
    let upstream = Upstream::echo();
    let back = behind_proxy(LOOPBACK, &upstream);
    for version in ["v1", "v2"] {
        let protocol = format!("proxy_protocol = \"{version}\"\n");
        let front = start(&[
            &format!("[[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = {LOOPBACK}\n"),
            &all_to(back.address()),
            &protocol,
        ]);
        for address in ["192.0.2.1 198.51.100.2", "2001:db8::7 2001:db8::1"] {
            let family = if address.contains(':') {
                "TCP6"
            } else {
                "TCP4"
            };
            let mut client = front.client();
            client.send_raw(format!("PROXY {family} {address} 56324 443\r\n"));
            assert_eq!(client.get("/").status, 200);
            // The first gateway is no proxy that the second one trusts, so it knows the client by the header.
            let request = upstream.received().pop().unwrap();
            let expected = address.split(' ').next();
            assert_eq!(request.header("x-forwarded-for"), expected);
        }
    }
}

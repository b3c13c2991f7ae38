//! Endpoints by name: all addresses, asked for again as their TTL says.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use windlass_tests::wait::until;
use windlass_tests::{Gateway, Reply, Request, Upstream};

use crate::config::start;
use crate::operator::{self, READ, STORE, WRITE};

/// A DNS server that answers every question for IPv4 with these addresses, for a second; or not at
/// all.
struct Dns {
    address: SocketAddr,
    answer: Arc<Mutex<Option<Vec<Ipv4Addr>>>>,
}

impl Dns {
    fn start(addresses: &[Ipv4Addr]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(Some(addresses.to_vec())));
        let known = Arc::clone(&answer);
        // It ends with the process.
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                let known = known.lock().unwrap().clone();
                if let Some(known) = known {
                    socket
                        .send_to(&reply(&question[..length], &known), from)
                        .unwrap();
                }
            }
        });
        Self { address, answer }
    }

    fn answer(&self, addresses: Option<&[Ipv4Addr]>) {
        *self.answer.lock().unwrap() = addresses.map(<[_]>::to_vec);
    }
}

/// RFC 1035 section 4: the header, the question as it came, and an `A` record for each address.
fn reply(question: &[u8], addresses: &[Ipv4Addr]) -> Vec<u8> {
    let mut end = 12;
    while question[end] != 0 {
        end += 1 + usize::from(question[end]);
    }
    let kind = u16::from_be_bytes([question[end + 1], question[end + 2]]);
    let addresses = if kind == 1 { addresses } else { &[] };
    let mut reply = question[..2].to_vec();
    reply.extend_from_slice(&[0x81, 0x80, 0, 1, 0, u8::try_from(addresses.len()).unwrap()]);
    reply.extend_from_slice(&[0; 4]);
    reply.extend_from_slice(&question[12..end + 5]);
    for address in addresses {
        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        reply.extend_from_slice(&address.octets());
    }
    reply
}

fn config(dns: &Dns, port: u16) -> String {
    format!(
        "[server]\nresolvers = [\"{}\"]\n[[route]]\npath = \"$default\"\nupstream = \"app\"\n\
         [upstream.app]\nendpoints = [\"app.internal:{port}\"]\n",
        dns.address
    )
    .replace("[\"app.internal", "[{ address = \"app.internal")
    .replace(&format!(":{port}\"]\n"), &format!(":{port}\" }}]\n"))
}

fn texts(gateway: &Gateway) -> Vec<String> {
    let report = gateway.load(Request::get("/")).connections(2).run(40);
    assert_eq!(
        (report.status(200), report.failures.len()),
        (40, 0),
        "{report:?}"
    );
    report.bodies.into_keys().collect()
}

const ONE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[test]
fn a_name_stands_for_all_its_addresses_as_they_change() {
    let one = Upstream::text("one");
    let port = one.address().port();
    let two = Upstream::at((TWO, port).into(), |_, stream| {
        Reply::status(200).body("two").write(stream)
    });
    let dns = Dns::start(&[ONE]);
    let gateway = start(&[&config(&dns, port)]);
    assert_eq!(texts(&gateway), ["one"]);
    dns.answer(Some(&[ONE, TWO]));
    until("the second address", || {
        (texts(&gateway) == ["one", "two"]).then_some(())
    });
    let endpoints = gateway
        .metrics()
        .by("windlass_endpoint_available", "endpoint");
    let name = format!("app.internal:{port}/127.0.0.2");
    assert!(endpoints.contains_key(&name), "{endpoints:?}");
    // A failing resolver keeps the last good answer; an empty answer is none.
    dns.answer(Some(&[]));
    gateway
        .log()
        .wait_for_line(|line| line.contains("keeps its last addresses"));
    assert_eq!(texts(&gateway), ["one", "two"]);
    dns.answer(Some(&[TWO]));
    until("the first to be gone", || {
        (texts(&gateway) == ["two"]).then_some(())
    });
    drop(two);
}

#[test]
fn a_name_that_nobody_answers_stops_the_start() {
    let dns = Dns::start(&[]);
    let refused = Gateway::with_config(config(&dns, 80)).run_refused();
    assert_eq!(refused.code, Some(2), "{}", refused.errors);
    let text = "endpoint `app.internal:80` cannot be resolved";
    assert!(refused.errors.contains(text), "{}", refused.errors);
}

/// What was removed at run time can be had back, also after a reload.
#[test]
fn a_name_that_was_removed_is_still_answered_for_when_it_is_restored() {
    let endpoint = Upstream::text("one");
    let dns = Dns::start(&[Ipv4Addr::LOCALHOST]);
    let port = endpoint.address().port();
    let config = config(&dns, port) + STORE;
    let gateway = Gateway::with_config(&config)
        .file("ops.token", WRITE)
        .file("view.token", READ)
        .start();
    assert_eq!(texts(&gateway), ["one"]);
    let path = format!("/v1/upstreams/app/endpoints/app.internal:{port}");
    let removed = operator::send(&gateway, &operator::request("DELETE", &path));
    assert_eq!(removed.status, 204, "{}", removed.text());
    assert_eq!(gateway.get("/").code(), "no_endpoint");
    gateway.reload(&config);
    let restore = operator::request("DELETE", "/v1/upstreams/app/changes");
    assert_eq!(operator::send(&gateway, &restore).status, 200);
    assert_eq!(texts(&gateway), ["one"]);
}

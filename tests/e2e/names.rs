//! Endpoints by DNS name: Windlass uses all addresses, and resolves the name again when its TTL
//! ends.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use windlass_tests::wait::until;
use windlass_tests::{Gateway, Reply, Request, Upstream};

use crate::config::start;
use crate::operator::{self, READ, STORE, WRITE};

/// A DNS server that answers every question for IPv4 with these addresses and a TTL of one second.
/// It answers NXDOMAIN for names in `none.`, and SERVFAIL if `answer` is `None`.
struct Dns {
    address: SocketAddr,
    answer: Arc<Mutex<Option<Vec<Ipv4Addr>>>>,
    /// The answer to questions for IPv6, independent of the one for IPv4.
    ipv6: Arc<Mutex<Vec<Ipv6Addr>>>,
    asked: Arc<AtomicU32>,
}

impl Dns {
    fn start(addresses: &[Ipv4Addr]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(Some(addresses.to_vec())));
        let dns = Self {
            address,
            answer,
            ipv6: Arc::default(),
            asked: Arc::default(),
        };
        let (known, ipv6) = (Arc::clone(&dns.answer), Arc::clone(&dns.ipv6));
        let asked = Arc::clone(&dns.asked);
        // The thread ends with the process.
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                asked.fetch_add(1, Ordering::Relaxed);
                let known = known.lock().unwrap().clone();
                let ipv6 = ipv6.lock().unwrap().clone();
                let reply = reply(&question[..length], known.as_deref(), &ipv6);
                socket.send_to(&reply, from).unwrap();
            }
        });
        dns
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    fn answer(&self, addresses: Option<&[Ipv4Addr]>) {
        *self.answer.lock().unwrap() = addresses.map(<[_]>::to_vec);
    }
}

/// RFC 1035 section 4: the header, the question unchanged, and a record for each address.
fn reply(question: &[u8], ipv4: Option<&[Ipv4Addr]>, ipv6: &[Ipv6Addr]) -> Vec<u8> {
    let is_none = question[12..].starts_with(b"\x04none");
    let mut end = 12;
    while question[end] != 0 {
        end += 1 + usize::from(question[end]);
    }
    let kind = u16::from_be_bytes([question[end + 1], question[end + 2]]);
    let of_ipv4 =
        |addresses: &[Ipv4Addr]| addresses.iter().map(|ip| ip.octets().to_vec()).collect();
    let addresses: Option<Vec<Vec<u8>>> = match (kind, ipv4, ipv6) {
        _ if is_none => Some(Vec::new()),
        (1, ipv4, _) => ipv4.map(of_ipv4),
        (28, None, []) => None,
        (28, _, ipv6) => Some(ipv6.iter().map(|ip| ip.octets().to_vec()).collect()),
        (_, _, _) => Some(Vec::new()),
    };
    let code = match addresses {
        Some(_) if is_none => 0x83,
        Some(_) => 0x80,
        None => 0x82,
    };
    let addresses = addresses.unwrap_or_default();
    let mut reply = question[..2].to_vec();
    reply.extend_from_slice(&[0x81, code, 0, 1, 0, u8::try_from(addresses.len()).unwrap()]);
    reply.extend_from_slice(&[0; 4]);
    reply.extend_from_slice(&question[12..end + 5]);
    for address in addresses {
        reply.extend_from_slice(&[0xc0, 12]);
        reply.extend_from_slice(&kind.to_be_bytes());
        reply.extend_from_slice(&[0, 1, 0, 0, 0, 1, 0]);
        reply.push(u8::try_from(address.len()).unwrap());
        reply.extend_from_slice(&address);
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
    // If the resolver fails, the last good answer stays; an empty answer counts as a failure.
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
fn a_name_that_does_not_exist_stops_the_start() {
    let dns = Dns::start(&[]);
    let config = config(&dns, 80).replace("app.internal", "none.internal");
    let refused = Gateway::with_config(config).run_refused();
    assert_eq!(refused.code, Some(2), "{}", refused.errors);
    let text = "endpoint `none.internal:80` cannot be resolved: the name does not exist";
    assert!(refused.errors.contains(text), "{}", refused.errors);
}

/// As after a power cut: a name server that cannot answer yet, or has no address yet, does not
/// delay the start.
#[test]
fn a_name_without_an_answer_does_not_stop_the_start() {
    for answer in [None, Some(&[][..])] {
        let endpoint = Upstream::text("one");
        let dns = Dns::start(&[]);
        dns.answer(answer);
        let gateway = start(&[&config(&dns, endpoint.address().port())]);
        let line = |line: &str| line.contains("it takes requests once it is answered");
        gateway.log().wait_for_line(line);
        assert_eq!(gateway.get("/").code(), "no_endpoint");
        dns.answer(Some(&[ONE]));
        until("the endpoint", || {
            (gateway.get("/").status == 200).then_some(())
        });
    }
}

/// The addresses of a name are weighted and drained together, or one by one.
#[test]
fn one_address_of_a_name_is_drained_alone() {
    let one = Upstream::text("one");
    let port = one.address().port();
    let _two = Upstream::at((TWO, port).into(), |_, stream| {
        Reply::status(200).body("two").write(stream)
    });
    let dns = Dns::start(&[ONE, TWO]);
    let gateway = Gateway::with_config(config(&dns, port) + STORE)
        .file("ops.token", WRITE)
        .file("view.token", READ)
        .start();
    assert_eq!(texts(&gateway), ["one", "two"]);
    let path = |what: &str| format!("/v1/upstreams/app/{what}/app.internal:{port}%2F127.0.0.1");
    let drained = operator::call(&gateway, "PATCH", &path("endpoints"), "{\"drain\":true}");
    assert_eq!(drained.status, 200, "{}", drained.text());
    assert_eq!(texts(&gateway), ["two"]);
    // A setting of one address overrides the setting of its name.
    let all = format!("/v1/upstreams/app/endpoints/app.internal:{port}");
    operator::call(&gateway, "PATCH", &all, "{\"drain\":true}");
    operator::call(&gateway, "PATCH", &path("endpoints"), "{\"drain\":false}");
    assert_eq!(texts(&gateway), ["one"]);
    operator::call(&gateway, "PATCH", &all, "{\"drain\":false}");
    operator::call(&gateway, "PATCH", &path("endpoints"), "{\"drain\":true}");
    assert_eq!(texts(&gateway), ["two"]);
    // A single address cannot be removed, because the name server would return it again.
    let removed = operator::send(&gateway, &operator::request("DELETE", &path("endpoints")));
    assert_eq!((removed.status, &*removed.code()), (409, "one_of_name"));
    let restored = operator::send(&gateway, &operator::request("DELETE", &path("changes")));
    assert_eq!(restored.status, 200, "{}", restored.text());
    assert_eq!(texts(&gateway), ["one", "two"]);
    let again = operator::send(&gateway, &operator::request("DELETE", &path("changes")));
    assert_eq!((again.status, &*again.code()), (404, "no_such_change"));
    // If a name is removed and added again, it has the values that were sent, and so has each of
    // its addresses.
    operator::call(&gateway, "PATCH", &path("endpoints"), "{\"drain\":true}");
    let removed = operator::send(&gateway, &operator::request("DELETE", &all));
    assert_eq!(removed.status, 204);
    let sent = format!("{{\"address\":\"app.internal:{port}\"}}");
    operator::call(&gateway, "POST", "/v1/upstreams/app/endpoints", &sent);
    assert_eq!(texts(&gateway), ["one", "two"]);
}

/// An endpoint that was removed at run time can be restored, even after a reload.
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

#[test]
fn a_reload_asks_other_resolvers() {
    let one = Upstream::text("one");
    let port = one.address().port();
    let _two = Upstream::at((TWO, port).into(), |_, stream| {
        Reply::status(200).body("two").write(stream)
    });
    let (first, second) = (Dns::start(&[ONE]), Dns::start(&[TWO]));
    let gateway = start(&[&config(&first, port)]);
    assert_eq!(texts(&gateway), ["one"]);
    gateway.reload(config(&second, port));
    assert_eq!(texts(&gateway), ["two"]);
    // Windlass keeps asking the new name servers, and no others.
    let more = |dns: &Dns| {
        let now = dns.asked();
        until("more questions", || (dns.asked() >= now + 2).then_some(()));
    };
    more(&second);
    let before = first.asked();
    more(&second);
    assert_eq!(first.asked(), before);
}

/// The answers to a refused configuration's name servers have no effect.
#[test]
fn a_refused_reload_changes_no_address() {
    let one = Upstream::text("one");
    let port = one.address().port();
    let (first, second) = (Dns::start(&[ONE]), Dns::start(&[TWO]));
    let gateway = start(&[&config(&first, port)]);
    let wrong = "\n[upstream.none]\nendpoints = [{ address = \"none.internal:80\" }]\n";
    let lines = gateway.reload(config(&second, port) + wrong);
    assert!(
        lines.iter().any(|line| line.contains("has errors")),
        "{lines:?}"
    );
    assert_eq!(texts(&gateway), ["one"]);
}

#[test]
fn one_address_family_that_fails_replaces_none_of_the_other() {
    let one = Upstream::text("one");
    let port = one.address().port();
    let dns = Dns::start(&[ONE]);
    let gateway = start(&[&config(&dns, port)]);
    assert_eq!(texts(&gateway), ["one"]);
    dns.answer(None);
    dns.ipv6.lock().unwrap().push(Ipv6Addr::LOCALHOST);
    gateway
        .log()
        .wait_for_line(|line| line.contains("the query for IPv4 failed"));
    assert_eq!(texts(&gateway), ["one"]);
}

#[test]
fn a_resolver_that_refuses_hides_nothing_of_what_another_answers() {
    let one = Upstream::text("one");
    let port = one.address().port();
    let (broken, good) = (Dns::start(&[]), Dns::start(&[ONE]));
    let both = format!("[\"{}\", \"{}\"]", broken.address, good.address);
    for says in [None, Some(&[][..])] {
        broken.answer(says);
        let alone = format!("[\"{}\"]", broken.address);
        let gateway = start(&[&config(&broken, port).replace(&alone, &both)]);
        assert_eq!(texts(&gateway), ["one"], "{says:?}");
    }
}

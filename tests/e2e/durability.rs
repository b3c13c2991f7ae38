//! Acknowledged changes survive any end of the process, and no key's text is stored anywhere.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use windlass_tests::{Gateway, Upstream};

use crate::operator::{WRITE, builder, call, create, get, status_with};

const ROUNDS: usize = 50;
/// The flush interval of the configuration, twice: the second half is for the writing.
const BOUND: Duration = Duration::from_secs(1);

/// Send a request on a new connection; `None` if the gateway is gone.
fn ask(address: SocketAddr, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n")?.1.to_owned();
    Some((status, body))
}

/// A thread that repeats a call until the gateway is gone.
struct Busy<T> {
    seen: Arc<Mutex<Vec<T>>>,
    thread: JoinHandle<()>,
}

impl<T: Send + 'static> Busy<T> {
    fn new(step: impl Fn() -> Option<T> + Send + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            while let Some(what) = step() {
                noted.lock().unwrap().push(what);
            }
        });
        Self { seen, thread }
    }

    fn wait_for(&self, count: usize) {
        windlass_tests::wait::until("some to be acknowledged", || {
            (self.seen.lock().unwrap().len() >= count).then_some(())
        });
    }

    fn finish(self) -> Vec<T> {
        self.thread.join().unwrap();
        Arc::into_inner(self.seen).unwrap().into_inner().unwrap()
    }
}

/// Creates keys. Returns the text of each key that was acknowledged.
fn maker(gateway: &Gateway) -> Busy<String> {
    let address = gateway.admin_address();
    let body = "{\"consumer\":\"acme\"}";
    let request = format!(
        "POST /v1/keys HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {WRITE}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    Busy::new(move || {
        let (status, body) = ask(address, &request)?;
        assert_eq!(status, 201, "{body}");
        let made: serde_json::Value = serde_json::from_str(&body).ok()?;
        Some(made["secret"].as_str()?.to_owned())
    })
}

/// Uses up quota. Returns the time at which each request was admitted.
fn spender(gateway: &Gateway, key: &str) -> Busy<Instant> {
    let address = gateway.address();
    let request =
        format!("GET / HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n");
    Busy::new(move || {
        let (status, body) = ask(address, &request)?;
        assert_eq!(status, 200, "{body}");
        Some(Instant::now())
    })
}

fn used(gateway: &Gateway, id: &str) -> u64 {
    let usage = get(gateway, "/v1/usage?plan=gold").json();
    let days = usage["items"][id].as_array().cloned().unwrap_or_default();
    days.iter().filter_map(|day| day[0].as_u64()).sum()
}

#[test]
#[ignore = "takes a minute: fifty starts"]
fn what_was_acknowledged_is_there_after_fifty_kills() {
    let upstream = Upstream::text("ok");
    let mut gateway = builder(&["keys", "plan"], &upstream, "").start();
    let plan = "{\"name\":\"gold\",\"quota\":{\"limit\":1000000000,\"period\":\"month\"}}";
    assert_eq!(call(&gateway, "POST", "/v1/plans", plan).status, 201);
    let (id, spent) = create(&gateway, "{\"consumer\":\"acme\",\"plans\":[\"gold\"]}");
    let mut keys: BTreeMap<String, usize> = BTreeMap::new();
    let mut counted = 0;
    for round in 0..ROUNDS {
        let makers = [maker(&gateway), maker(&gateway)];
        let spenders = [spender(&gateway, &spent), spender(&gateway, &spent)];
        makers[round % 2].wait_for(1 + round % 7);
        spenders[0].wait_for(20 + 13 * (round % 5));
        let again = gateway.kill();
        let killed = Instant::now();
        for text in makers.into_iter().flat_map(Busy::finish) {
            keys.insert(text, round);
        }
        let admitted: Vec<Instant> = spenders.into_iter().flat_map(Busy::finish).collect();
        gateway = again.start();
        for (text, made) in keys.iter().filter(|(_, made)| **made + 1 >= round) {
            assert_eq!(
                status_with(&gateway, text),
                // This key has no plan.
                403,
                "a key of round {made} in round {round}"
            );
            let why = gateway
                .send(&windlass_tests::Request::get("/").header("x-api-key", text.as_str()))
                .code();
            assert_eq!(
                why, "no_usage_plan",
                "a key of round {made} is gone in round {round}"
            );
        }
        let now = used(&gateway, &id);
        let late = |at: &&Instant| killed.saturating_duration_since(**at) < BOUND;
        let may_be_lost = admitted.iter().filter(late).count() as u64;
        let all = admitted.len() as u64;
        assert!(
            now >= counted + all - may_be_lost,
            "round {round}: {now} counted after {counted} + {all}, of which {may_be_lost} came in the last second"
        );
        // Requests that were admitted but not answered may be counted.
        assert!(
            now <= counted + all + 2,
            "round {round}: {now} counted after {counted} + {all}"
        );
        counted = now;
    }
    let listed = list_all(&gateway);
    assert!(listed > keys.len(), "{listed} keys of {}", keys.len());
}

fn list_all(gateway: &Gateway) -> usize {
    let mut count = 0;
    let mut path = "/v1/keys?limit=1000".to_owned();
    loop {
        let page = get(gateway, &path).json();
        count += page["items"].as_array().unwrap().len();
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/keys?limit=1000&cursor={cursor}"),
            None => return count,
        }
    }
}

#[test]
fn what_was_used_stays_used_over_a_gentle_end() {
    let upstream = Upstream::text("ok");
    let gateway = builder(&["keys", "plan"], &upstream, "").start();
    let plan = "{\"name\":\"gold\",\"quota\":{\"limit\":5,\"period\":\"month\"}}";
    assert_eq!(call(&gateway, "POST", "/v1/plans", plan).status, 201);
    let (id, key) = create(&gateway, "{\"consumer\":\"acme\",\"plans\":[\"gold\"]}");
    for _ in 0..3 {
        assert_eq!(status_with(&gateway, &key), 200);
    }
    let gateway = gateway.end().start();
    assert_eq!(used(&gateway, &id), 3);
    let statuses = [200, 200, 429].map(|_| status_with(&gateway, &key));
    assert_eq!(statuses, [200, 200, 429]);
}

#[test]
fn no_key_is_in_the_file_or_in_the_logs() {
    let upstream = Upstream::text("ok");
    let gateway = builder(&["keys"], &upstream, "[log]\naccess = \"stdout\"\n")
        .env("WINDLASS_LOG", "windlass=trace,warn")
        .start();
    let (id, first) = create(&gateway, "{\"consumer\":\"acme\"}");
    assert_eq!(status_with(&gateway, &first), 200);
    let rotated = call(&gateway, "POST", &format!("/v1/keys/{id}/rotate"), "{}").json();
    let second = rotated["secret"].as_str().unwrap().to_owned();
    let imported = "an-imported-key-of-thirty-characters";
    let csv = format!("name,key\nold,{imported}\n");
    let import =
        crate::operator::request("POST", "/v1/keys/import").header("content-type", "text/csv");
    let answer = crate::operator::send(&gateway, &import.body(csv));
    assert!(answer.status < 300, "{}", answer.text());
    assert_eq!(status_with(&gateway, imported), 200);
    let folder = gateway.folder().to_owned();
    let (log, output) = (gateway.log().clone(), gateway.output().clone());
    let mut seen = Vec::new();
    // This reads the files while the gateway runs, because pages in the write-ahead log must not
    // contain a key's text either.
    for name in ["windlass.db", "windlass.db-wal"] {
        seen.push(("the database", std::fs::read(folder.join(name)).unwrap()));
    }
    let gone = gateway.end();
    seen.push(("the log", log.whole().into_bytes()));
    seen.push(("the access log", output.whole().into_bytes()));
    seen.push((
        "the database at rest",
        std::fs::read(folder.join("windlass.db")).unwrap(),
    ));
    drop(gone);
    for text in [&first, &second, imported] {
        // The secret part of the key's text.
        let secret = &text.as_bytes()[8..];
        for (place, bytes) in &seen {
            assert!(
                !bytes.windows(secret.len()).any(|window| window == secret),
                "a key's text is in {place}"
            );
        }
    }
    assert!(seen.iter().any(|(_, bytes)| {
        bytes
            .windows(id.len())
            .any(|window| window == id.as_bytes())
    }));
}

#[test]
fn a_damaged_file_stops_the_start_and_is_left_as_it_is() {
    let upstream = Upstream::text("ok");
    let gateway = builder(&["keys"], &upstream, "").start();
    let file = gateway.folder().join("windlass.db");
    let again = gateway.end();
    std::fs::write(&file, "this was a database").unwrap();
    let refused = again.run_refused();
    assert_eq!(refused.code, Some(1), "{}", refused.errors);
    assert!(
        refused.errors.contains("restore it from a backup"),
        "{}",
        refused.errors
    );
    assert!(!refused.errors.contains("panicked"), "{}", refused.errors);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "this was a database"
    );
}

#[test]
fn one_file_serves_one_gateway() {
    let upstream = Upstream::text("ok");
    let first = builder(&["keys"], &upstream, "").start();
    let file = first.folder().join("windlass.db");
    let config = crate::operator::STORE.replace("windlass.db", file.to_str().unwrap());
    let config = config + "[[route]]\npath = \"/\"\nrespond = { body = \"ok\" }\n";
    let second = Gateway::with_config(config)
        .file("ops.token", WRITE)
        .file("view.token", crate::operator::READ)
        .run_refused();
    assert_eq!(second.code, Some(1), "{}", second.errors);
    assert!(
        second.errors.contains("another gateway has it"),
        "{}",
        second.errors
    );
}

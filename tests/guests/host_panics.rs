//! A panic in the gateway's own code: that request gets a response, and other requests continue.
//!
//! No code of the gateway is expected to panic. So these tests run the gateway in this process, with a log that panics
//! at a certain line.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use windlass::internals::config::Config;
use windlass::internals::gateway::{Gateway, ProcessResources};
use windlass::internals::server::{self, Workers};
use windlass::internals::sockets::{ActivatedSockets, Predecessor};
use windlass_tests::{Client, ClosedPort, Reply, Request, Response, Upstream, wait};

use crate::stage::ACTOR;

/// The log panics when a filter writes this line.
const LINE: &str = "the line that makes the log panic";

/// The log lines of all tests.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Whether the log panics, once, when the gateway reports that an endpoint cannot be reached.
static FAILS_ON_ENDPOINT: AtomicBool = AtomicBool::new(false);

fn lines() -> MutexGuard<'static, Vec<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Log;

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let Message(message) = message;
        lines().push(message.clone());
        let is_of_endpoint = message.contains("no connection to");
        let fails = is_of_endpoint && FAILS_ON_ENDPOINT.swap(false, Ordering::Relaxed);
        // The gateway writes this line outside of the guest's call.
        let fails = fails || message.starts_with("filter `actor`: trapped");
        assert!(!fails && message != LINE, "a panic\nof the test");
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A gateway of one worker in this process.
struct InProcess {
    workers: Workers,
    gateway: Arc<Gateway>,
    _foundation: ProcessResources,
    _folder: tempfile::TempDir,
}

impl InProcess {
    /// Start a gateway with an actor of these keys on `/act` and no filter on `/calm`, in front of an upstream.
    fn start(endpoint: SocketAddr, keys: &str) -> Self {
        // Another test of this process may have set it first.
        let _ = tracing::subscriber::set_global_default(Log);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("actor.wasm"), ACTOR).unwrap();
        // A panic of the host does not count towards suspending a filter; a trap does.
        let failures = if keys.contains("trap") { 1000 } else { 1 };
        let text = format!(
            r#"
            [[listener]]
            address = "127.0.0.1:0"

            [[route]]
            path = "/act"
            filters = ["actor"]
            upstream = "main"

            [[route]]
            path = "/calm"
            upstream = "main"

            [upstream.main]
            endpoints = [{{ address = "{endpoint}" }}]

            [filter.actor]
            plugin = "actor.wasm"
            breaker = {{ failures = {failures} }}
            {keys}
            "#
        );
        Self::of(folder, &text)
    }

    fn of(folder: tempfile::TempDir, text: &str) -> Self {
        let config = Config::parse("windlass.toml", text, folder.path());
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        let one = NonZeroUsize::MIN;
        let resources = ProcessResources::new(&config, one).unwrap();
        let bound = server::bind(
            &config.listeners,
            one,
            &mut Predecessor::default(),
            &mut ActivatedSockets::default(),
        )
        .unwrap();
        let mut problems = config.warnings.clone();
        let gateway = resources.build(config, &mut problems);
        let gateway = gateway.unwrap_or_else(|| panic!("{problems}"));
        resources.put_in_use(&gateway);
        Self {
            workers: bound.start(&gateway, None).unwrap(),
            gateway,
            _foundation: resources,
            _folder: folder,
        }
    }

    fn address(&self) -> SocketAddr {
        self.workers.addresses()[0]
    }

    /// The number of the actor's failures.
    fn failures(&self) -> u64 {
        self.gateway.filters[0].figure(|figures| &figures.failures)
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.workers.drain(Duration::ZERO);
    }
}

/// The phases in which the actor writes the line, and the request to send.
fn cases() -> Vec<(String, Request)> {
    let line = format!("{{ log = [\"info\", \"{LINE}\"] }}");
    let get = Request::get("/act").header("x-act", "1");
    let post = Request::post("/act", "8 bytes!").header("x-act", "1");
    vec![
        (format!("request = [{line}]"), get.clone()),
        (format!("response = [{line}]"), get.clone()),
        (
            format!("request = [{{ whole = 1000 }}], request-body = [{line}]"),
            post.clone(),
        ),
        (
            format!("request = [\"chunks\"], request-body = [{line}]"),
            post,
        ),
        (
            format!("response = [{{ whole = 1000 }}], response-body = [{line}]"),
            get,
        ),
    ]
}

fn is_refused(answer: &Response) {
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert_eq!(answer.code(), "filter_failed");
}

/// Run each case twice: with a filter whose calls run on the worker, and with one whose calls run on a fiber.
fn each(keys: &str, judge: impl Fn(&InProcess, &Request)) {
    let upstream = Upstream::text("well");
    for cpu in ["10ms", "50ms"] {
        for (settings, request) in cases() {
            println!("{cpu}, {settings}");
            let keys = format!(
                "{keys}\nlimits = {{ cpu = \"{cpu}\" }}\nsettings = {{ when = \"x-act\", {settings} }}"
            );
            judge(&InProcess::start(upstream.address(), &keys), &request);
        }
    }
}

#[test]
fn a_panic_of_the_host_in_a_phase_is_a_failure_of_that_phase() {
    each("", |gateway, request| {
        let mut client = Client::connect(gateway.address());
        is_refused(&client.send(request));
        // On the same connection: one request by another instance of the filter, and one without a filter.
        for target in ["/act", "/calm"] {
            let answer = client.get(target);
            assert_eq!((answer.status, answer.text()), (200, "well"));
        }
        assert_eq!(gateway.failures(), 1);
        assert!(gateway.gateway.filters[0].instances() > 1);
    });
    let lines = lines().clone();
    let told = "filter `actor`: while it was called, the gateway panicked: a panic of the test; this is a bug of Windlass, please report it";
    assert!(lines.iter().any(|line| line == told), "{lines:#?}");
}

#[test]
fn a_filter_that_may_be_skipped_is_skipped_when_the_host_panics() {
    each("on_error = \"skip\"", |gateway, request| {
        let answer = Client::connect(gateway.address()).send(request);
        assert_eq!((answer.status, answer.text()), (200, "well"));
        assert_eq!(gateway.failures(), 1);
    });
}

#[test]
fn log_phases_go_on_after_one_in_which_the_host_panicked() {
    let upstream = Upstream::text("well");
    for cpu in ["10ms", "50ms"] {
        let keys = format!(
            "limits = {{ cpu = \"{cpu}\" }}\nsettings = {{ log = [{{ log = [\"info\", \"{LINE}\"] }}] }}"
        );
        let gateway = InProcess::start(upstream.address(), &keys);
        let mut client = Client::connect(gateway.address());
        for _ in 0..3 {
            assert_eq!(client.get("/act").status, 200);
        }
        wait::until("three failures", || (gateway.failures() == 3).then_some(()));
    }
}

#[test]
fn log_phases_go_on_after_a_panic_beside_one() {
    let upstream = Upstream::text("well");
    let gateway = InProcess::start(upstream.address(), "settings = { log = [\"trap\"] }");
    let mut client = Client::connect(gateway.address());
    for _ in 0..3 {
        assert_eq!(client.get("/act").status, 200);
    }
    wait::until("three failures", || (gateway.failures() == 3).then_some(()));
}

#[test]
fn a_panic_in_one_request_leaves_the_others_of_its_connection_alone() {
    let upstream = Upstream::gated(Reply::status(200).body("well"));
    let (settings, _) = cases().swap_remove(0);
    let keys = format!("settings = {{ when = \"x-act\", {settings} }}");
    let gateway = InProcess::start(upstream.address(), &keys);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let get = |path: &str, act: &str| {
        let uri = format!("http://{}{path}", gateway.address());
        let request = hyper::Request::get(uri).header(act, "1");
        request.body(Empty::<bytes::Bytes>::new()).unwrap()
    };
    let talk = async {
        let stream = tokio::net::TcpStream::connect(gateway.address())
            .await
            .unwrap();
        let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let (mut first, mut second) = (client.clone(), client);
        let first = tokio::spawn(first.send_request(get("/calm", "x-calm")));
        while upstream.count() < 1 {
            tokio::task::yield_now().await;
        }
        let refused = second.send_request(get("/act", "x-act")).await.unwrap();
        assert_eq!(refused.status(), 500);
        upstream.release(2);
        assert_eq!(first.await.unwrap().unwrap().status(), 200);
        let after = second.send_request(get("/act", "x-calm")).await.unwrap();
        assert_eq!(after.status(), 200);
    };
    runtime.block_on(async { tokio::time::timeout(wait::DEADLINE, talk).await.unwrap() });
}

#[test]
fn a_panic_on_a_requests_way_is_an_answer_and_the_connection_lives_on() {
    let (upstream, closed) = (Upstream::text("well"), ClosedPort::new());
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        r#"
        [[listener]]
        address = "127.0.0.1:0"

        [[route]]
        path = "/calm"
        upstream = "main"

        [[route]]
        path = "/gone"
        upstream = "gone"

        [upstream.main]
        endpoints = [{{ address = "{}" }}]

        [upstream.gone]
        endpoints = [{{ address = "{}" }}]
        "#,
        upstream.address(),
        closed.address(),
    );
    let _ = tracing::subscriber::set_global_default(Log);
    let gateway = InProcess::of(folder, &text);
    let mut client = Client::connect(gateway.address());
    FAILS_ON_ENDPOINT.store(true, Ordering::Relaxed);
    let answer = client.get("/gone");
    assert!(
        !FAILS_ON_ENDPOINT.load(Ordering::Relaxed),
        "{:#?}",
        LINES.lock()
    );
    assert_eq!((answer.status, answer.code().as_str()), (500, "internal"));
    assert_eq!(client.get("/calm").text(), "well");
}

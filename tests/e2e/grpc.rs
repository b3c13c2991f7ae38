//! gRPC from end to end, and the errors that its clients get from Windlass itself.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use http_body_util::BodyExt as _;
use tokio_stream::StreamExt as _;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use windlass_tests::{ClosedPort, FullPort, Gateway, Then, Upstream};

use crate::config::{all_to, api_key, filtered, key, stamp, start};
use crate::wire::{self, Authority, full, http2, run};

#[derive(Clone, PartialEq, prost::Message)]
struct Note {
    #[prost(string, tag = "1")]
    text: String,
}

fn note(text: &str) -> Note {
    Note {
        text: text.to_owned(),
    }
}

type Notes = Pin<Box<dyn tokio_stream::Stream<Item = Result<Note, Status>> + Send>>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A server that answers one message with one, and each of a stream as it arrives.
#[derive(Clone)]
struct Chat;

impl NamedService for Chat {
    const NAME: &'static str = "test.Chat";
}

impl Service<http::Request<tonic::body::Body>> for Chat {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let mut grpc = tonic::server::Grpc::new(ProstCodec::<Note, Note>::default());
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/test.Chat/Say" => grpc.unary(Say, request).await,
                _ => grpc.streaming(Talk, request).await,
            })
        })
    }
}

struct Say;

impl Service<Request<Note>> for Say {
    type Response = Response<Note>;
    type Error = Status;
    type Future = Boxed<Result<Response<Note>, Status>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Note>) -> Self::Future {
        Box::pin(async move {
            let order = request.metadata().get_all("x-order").iter();
            let order: Vec<_> = order.filter_map(|one| one.to_str().ok()).collect();
            let order = order.join(", ");
            let text = request.into_inner().text;
            if text == "fail" {
                return Err(Status::resource_exhausted("no more"));
            }
            Ok(Response::new(note(&format!("{text} {order}"))))
        })
    }
}

struct Talk;

impl Service<Request<Streaming<Note>>> for Talk {
    type Response = Response<Notes>;
    type Error = Status;
    type Future = Boxed<Result<Response<Notes>, Status>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Note>>) -> Self::Future {
        let notes = request.into_inner();
        let answers = notes.map(|said| said.map(|said| note(&format!("re: {}", said.text))));
        Box::pin(async move { Ok(Response::new(Box::pin(answers) as Notes)) })
    }
}

/// A gRPC server with TLS on a thread of its own.
fn serve(authority: &Authority) -> SocketAddr {
    let identity = authority.issue(&["127.0.0.1"]);
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(socket).unwrap());
            let tls = ServerTlsConfig::new()
                .identity(Identity::from_pem(identity.certificate, identity.key));
            tonic::transport::Server::builder()
                .tls_config(tls)
                .unwrap()
                .add_service(Chat)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
    });
    address
}

/// A gateway with TLS on both sides, and three filters that edit heads.
fn secure(authority: &Authority, endpoint: SocketAddr) -> Gateway {
    let identity = authority.issue(&["localhost"]);
    let filters = [stamp("one"), stamp("two"), stamp("three")].concat();
    let config = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"api.pem\", key = \"api.key\" }}\n{}tls = {{ ca = \"ca.pem\" }}\n{filters}",
        filtered(&["one", "two", "three"], endpoint)
    );
    Gateway::with_config(config)
        .file("api.pem", identity.certificate)
        .file("api.key", identity.key)
        .file("ca.pem", &authority.pem)
        .start()
}

async fn client(gateway: &Gateway, authority: &Authority) -> tonic::client::Grpc<Channel> {
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&authority.pem))
        .domain_name("localhost");
    let endpoint = Channel::from_shared(format!("https://{}", gateway.address())).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    client
}

#[test]
fn calls_pass_a_chain_of_filters_with_tls_on_both_sides() {
    let authority = Authority::new();
    let gateway = secure(&authority, serve(&authority));
    run(async {
        let mut client = client(&gateway, &authority).await;
        let path = PathAndQuery::from_static("/test.Chat/Say");
        let codec = ProstCodec::<Note, Note>::default();
        let said = client.unary(Request::new(note("hello")), path.clone(), codec);
        let answer = said.await.unwrap();
        assert_eq!(answer.get_ref().text, "hello one, two, three");
        client.ready().await.unwrap();
        let codec = ProstCodec::<Note, Note>::default();
        let said = client.unary(Request::new(note("fail")), path, codec);
        let status = said.await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::ResourceExhausted, "no more")
        );
    });
}

#[test]
fn both_sides_talk_at_once() {
    let authority = Authority::new();
    let gateway = secure(&authority, serve(&authority));
    run(async {
        let mut client = client(&gateway, &authority).await;
        let (say, hear) = tokio::sync::mpsc::unbounded_channel();
        let mut hear = hear;
        let said = tokio_stream::StreamExt::map(
            futures_util::stream::poll_fn(move |cx| hear.poll_recv(cx)),
            |text: &'static str| note(text),
        );
        say.send("first").unwrap();
        let path = PathAndQuery::from_static("/test.Chat/Talk");
        let codec = ProstCodec::<Note, Note>::default();
        let answers = client.streaming(Request::new(said), path, codec).await;
        let mut answers = answers.unwrap().into_inner();
        // Each message is answered before the next one is sent.
        for (next, answer) in [("second", "re: first"), ("third", "re: second")] {
            assert_eq!(answers.message().await.unwrap().unwrap().text, answer);
            say.send(next).unwrap();
        }
        drop(say);
        assert_eq!(answers.message().await.unwrap().unwrap().text, "re: third");
        assert_eq!(answers.message().await.unwrap(), None);
    });
}

/// A call that is built by hand, with these fields.
fn by_hand(fields: &[(&'static str, &'static str)]) -> http::Request<wire::Body> {
    let mut request = wire::get("/test.Chat/Say");
    *request.method_mut() = http::Method::POST;
    *request.body_mut() = full("     ");
    let all = [("content-type", "application/grpc"), ("te", "trailers")];
    for &(name, value) in all.iter().chain(fields) {
        let value = http::HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    request
}

/// Make a call built by hand. Returns the HTTP status and the gRPC status.
fn call(gateway: &Gateway, fields: &[(&'static str, &'static str)]) -> (u16, String) {
    run(async {
        let mut client = http2(gateway.address(), None).await;
        let answer = client.send_request(by_hand(fields)).await.unwrap();
        let (head, mut body) = answer.into_parts();
        assert!(body.frame().await.is_none(), "trailers only");
        assert_eq!(head.headers["content-type"], "application/grpc");
        assert!(head.headers.contains_key("x-request-id"));
        let status = head.headers["grpc-status"].to_str().unwrap();
        (head.status.as_u16(), status.to_owned())
    })
}

#[test]
fn the_gateways_own_errors_are_trailers_only() {
    let port = ClosedPort::new();
    let gateway = start(&[&all_to(port.address())]);
    assert_eq!(call(&gateway, &[]), (200, "14".to_owned()));
    let nowhere = all_to(port.address()).replace("$default", "/other");
    assert_eq!(call(&start(&[&nowhere]), &[]), (200, "12".to_owned()));
}

/// A short deadline of the client is not a fault of the endpoint.
#[test]
fn the_deadline_of_a_call_is_that_of_its_connection() {
    let port = FullPort::new();
    let gateway = start(&[&all_to(port.address()), "connect_timeout = \"20s\"\n"]);
    for deadline in ["1n", "200m"] {
        let status = call(&gateway, &[("grpc-timeout", deadline)]);
        assert_eq!(status, (200, "4".to_owned()), "{deadline}");
    }
    assert_eq!(gateway.metrics()["windlass_endpoint_faults_total"], 0.0);
}

/// A stream that has begun also ends at the call's deadline.
#[test]
fn the_deadline_of_a_call_is_that_of_its_stream() {
    let speaks = wire::Speaks {
        http2: true,
        ..wire::Speaks::default()
    };
    let endpoint = wire::Endpoint::start(speaks, |_| async {
        let some = hyper::body::Frame::data(hyper::body::Bytes::from_static(b"some"));
        let frames = tokio_stream::iter([Ok(some)]).chain(tokio_stream::pending());
        http::Response::new(http_body_util::StreamBody::new(frames).boxed_unsync())
    });
    let gateway = start(&[
        &all_to(endpoint.address),
        "protocol = \"http2\"\nidle_timeout = \"none\"\n",
    ]);
    run(async {
        let mut client = http2(gateway.address(), None).await;
        let request = by_hand(&[("grpc-timeout", "300m")]);
        let mut body = client.send_request(request).await.unwrap().into_body();
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "some");
        let end = body.frame().await.unwrap();
        assert!(end.is_err(), "{end:?}");
    });
}

#[test]
fn the_deadline_of_a_call_is_kept_and_passed_on() {
    let silent = Upstream::raw("", Then::Hold);
    let gateway = start(&[&all_to(silent.address())]);
    let status = call(&gateway, &[("grpc-timeout", "200m")]);
    assert_eq!(status, (200, "4".to_owned()));
    let request = silent.only_request();
    assert_eq!(request.header("grpc-timeout"), Some("200m"));
    assert_eq!(request.header("te"), Some("trailers"));
}

/// Make a call by tonic over clear text. Returns its status.
async fn refused(gateway: &Gateway, fill: usize) -> Status {
    let endpoint = Channel::from_shared(format!("http://{}", gateway.address())).unwrap();
    let mut client = tonic::client::Grpc::new(endpoint.connect().await.unwrap());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/test.Chat/Say");
    let mut request = Request::new(note("hello"));
    if fill > 0 {
        let value = "x".repeat(fill).parse().unwrap();
        request.metadata_mut().insert("x-fill", value);
    }
    let codec = ProstCodec::<Note, Note>::default();
    client.unary(request, path, codec).await.unwrap_err()
}

fn text<'a>(status: &'a Status, name: &str) -> Option<&'a str> {
    status
        .metadata()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[test]
fn a_refusal_of_a_filter_is_told_as_grpc_with_its_wait() {
    let endpoint = Upstream::text("never asked");
    let plan = "\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n";
    let keyed = filtered(&["keys"], endpoint.address()) + &api_key("{}");
    let gateway = start(&[&keyed]);
    run(async {
        let status = refused(&gateway, 0).await;
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unauthenticated, "api key missing")
        );
        assert_eq!(text(&status, "grpc-retry-pushback-ms"), None);
    });
    // One rate belongs to the route, and Windlass enforces it; the other belongs to a plan, and a
    // filter enforces it.
    let rated = all_to(endpoint.address()).replace(
        "path = \"$default\"",
        "path = \"$default\"\nrate = 0.01\nburst = 1",
    );
    let own = start(&[&rated]);
    let sold = filtered(&["keys", "plan"], endpoint.address())
        + &api_key("{ header = \"x-fill\" }")
        + plan
        + &key("one", "one", "xxxxxxxx", "plan = \"slow\"")
        + "\n[plan.slow]\nrate = 0.01\nburst = 1\n";
    let sold = start(&[&sold]);
    for (gateway, fill) in [(own, 0), (sold, 8)] {
        run(async {
            // The first call passes. The endpoint does not speak gRPC.
            refused(&gateway, fill).await;
            let status = refused(&gateway, fill).await;
            assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
            let seconds: u64 = text(&status, "retry-after").unwrap().parse().unwrap();
            let millis: u64 = text(&status, "grpc-retry-pushback-ms")
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(millis, seconds * 1000);
            assert!(text(&status, "x-request-id").is_some());
        });
    }
}

#[test]
fn a_fixed_response_is_told_as_grpc() {
    let closed = "[[route]]\npath = \"$default\"\nrespond = { status = 503, body = \"closed until noon\", headers = { retry-after = \"60\" } }\n";
    let gateway = start(&[closed]);
    run(async {
        let status = refused(&gateway, 0).await;
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unavailable, "closed until noon")
        );
        assert_eq!(text(&status, "grpc-retry-pushback-ms"), Some("60000"));
    });
    // A client that does not use gRPC gets the response unchanged.
    let plain = gateway.get("/");
    assert_eq!((plain.status, plain.text()), (503, "closed until noon"));
    let moved = start(&["[[route]]\npath = \"$default\"\nredirect = { to = \"/other\" }\n"]);
    run(async {
        assert_eq!(refused(&moved, 0).await.code(), Code::Unknown);
    });
}

#[test]
fn a_head_with_too_much_in_it_is_told_as_grpc() {
    let endpoint = Upstream::text("never asked");
    let gateway = start(&[&all_to(endpoint.address())]);
    run(async {
        let status = refused(&gateway, 70_000).await;
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    });
}

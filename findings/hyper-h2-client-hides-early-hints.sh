#!/usr/bin/env bash
# hyper 1.12.0, with h2 0.4.20.
#
# Likely guess: a callback set by `hyper::ext::on_informational` is called for a 103 of either version of HTTP, since
# the h2 crate below gives interim answers (`ResponseFuture::poll_informational`).
#
# Seen: over HTTP/1.1 it is called; over HTTP/2 it never is. hyper's HTTP/2 client reads over interim answers, and the
# caller gets the final answer alone. hyper's page of the callback names HTTP/1; nothing fails or warns over HTTP/2.
# Whoever forwards 103 from HTTP/2 servers must use the h2 crate.
#
# Output:
#   http1: told of [103], then 200
#   http2: told of [], then 200
#   h2 itself: told of [103], then 200
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml << 'TOML'
[package]
name = "hints"
version = "0.1.0"
edition = "2021"
[workspace]
[dependencies]
hyper = { version = "=1.12.0", features = ["client", "http1", "http2"] }
h2 = "=0.4.20"
http = "1"
http-body-util = "0.1"
hyper-util = { version = "0.1", features = ["tokio"] }
tokio = { version = "1", features = ["rt", "net", "io-util", "macros"] }
bytes = "1"
TOML
cat > src/main.rs << 'RUST'
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Told = Arc<Mutex<Vec<u16>>>;

fn request(told: &Told) -> Request<Empty<Bytes>> {
    let mut request = Request::get("http://a.example/").body(Empty::new()).unwrap();
    let told = Arc::clone(told);
    hyper::ext::on_informational(&mut request, move |answer| {
        told.lock().unwrap().push(answer.status().as_u16());
    });
    request
}

async fn http1_server(listener: TcpListener) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = [0; 1024];
    let _ = stream.read(&mut head).await.unwrap();
    let answer = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.unwrap();
    let _ = stream.read(&mut head).await;
}

async fn http2_server(listener: TcpListener) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let hint = Response::builder().status(103).header("link", "</a>").body(()).unwrap();
        respond.send_informational(hint).unwrap();
        let answer = Response::builder().status(200).body(()).unwrap();
        respond.send_response(answer, true).unwrap();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let print = |name: &str, told: &[u16], status: StatusCode| {
        println!("{name}: told of {told:?}, then {}", status.as_u16());
    };

    let listener = bind().await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    tokio::spawn(http1_server(listener));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let told = Told::default();
    let answer = sender.send_request(request(&told)).await.unwrap();
    print("http1", &told.lock().unwrap(), answer.status());

    let listener = bind().await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    tokio::spawn(http2_server(listener));
    let executor = TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let told = Told::default();
    let answer = sender.send_request(request(&told)).await.unwrap();
    print("http2", &told.lock().unwrap(), answer.status());

    let listener = bind().await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    tokio::spawn(http2_server(listener));
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let request = Request::get("http://a.example/").body(()).unwrap();
    let (mut answer, _) = sender.send_request(request, true).unwrap();
    let mut told = Vec::new();
    while let Some(Ok(hint)) = std::future::poll_fn(|cx| answer.poll_informational(cx)).await {
        told.push(hint.status().as_u16());
    }
    let answer = answer.await.unwrap();
    print("h2 itself", &told, answer.status());
}
RUST
seen=$(cargo run --quiet)
echo "$seen"
expected='http1: told of [103], then 200
http2: told of [], then 200
h2 itself: told of [103], then 200'
[[ $seen == "$expected" ]]

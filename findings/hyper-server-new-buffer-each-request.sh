#!/usr/bin/env bash
# hyper 1.12.0 (HTTP/1.1 server).
#
# Likely guess: a kept connection has one read buffer, which serves one small request after the other.
#
# Seen: for each request hyper allocates a new buffer of 8 KiB. While it answers, it reads on to notice a client that
# leaves; the fields of the request that is being answered still hold the present buffer, so it takes another one.
# With `half_close(true)` it does not read meanwhile, and one buffer serves all of the requests; then it does not notice
# either that the client is gone.
#
# Output:
#   half_close=false: 1000 requests, about one buffer each: true
#   half_close=true: 1000 requests, fewer than ten buffers: true
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml << 'TOML'
[package]
name = "buffers"
version = "0.1.0"
edition = "2021"
[workspace]
[dependencies]
hyper = { version = "=1.12.0", features = ["server", "http1"] }
http-body-util = "0.1"
hyper-util = { version = "0.1", features = ["tokio"] }
tokio = { version = "1", features = ["rt", "net", "io-util", "macros"] }
bytes = "1"
TOML
cat > src/main.rs << 'RUST'
use std::alloc::{GlobalAlloc, Layout, System};
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const REQUESTS: usize = 1000;
static LARGE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= 8192 {
            LARGE.fetch_add(1, Relaxed);
        }
        System.alloc(layout)
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        System.dealloc(at, layout)
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

async fn answer(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    // An answer that takes a moment: the request is still there meanwhile.
    tokio::task::yield_now().await;
    drop(request);
    Ok(Response::new(Empty::new()))
}

async fn count(half_close: bool) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (socket, _) = listener.accept().await.unwrap();
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.half_close(half_close);
        let serving = builder.serve_connection(TokioIo::new(socket), service_fn(answer));
        let _ = serving.await;
    };
    let client = async {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let mut space = [0; 1024];
        let mut before = 0;
        for round in 0..=REQUESTS {
            if round == 1 {
                before = LARGE.load(Relaxed);
            }
            socket.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") {
                let count = socket.read(&mut space).await.unwrap();
                assert!(count > 0);
                read.extend_from_slice(&space[..count]);
            }
        }
        LARGE.load(Relaxed) - before
    };
    let (_, counted) = tokio::join!(server, client);
    counted
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (reading, waiting) = (count(false).await, count(true).await);
    let each = reading >= REQUESTS * 9 / 10;
    let few = waiting < 10;
    println!("half_close=false: {REQUESTS} requests, about one buffer each: {each}");
    println!("half_close=true: {REQUESTS} requests, fewer than ten buffers: {few}");
    if !(each && few) {
        eprintln!("{reading} and {waiting} buffers");
        std::process::exit(1);
    }
}
RUST
cargo run --quiet

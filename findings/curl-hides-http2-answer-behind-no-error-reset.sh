#!/usr/bin/env bash
# curl-sys 0.4.60 (libcurl 7.88.1) and 0.4.68 (libcurl 8.4.0), with the crate curl 0.4.44; the server is h2 4.1.0 of PyPI.
#
# Likely guess: an HTTP/2 server may answer a request before its body has ended, and then reset the stream with
# NO_ERROR (RFC 9113 section 8.1: clients must not discard responses for it). So a client that is still sending
# shows the answer.
#
# Seen: libcurl 7.88.1 fails with error 92, without a status and without the body. Versions 8.0.1 to 8.2.1, tried by
# hand, fail with error 18. 7.86.0 and 8.4.0 show the answer. Debian 12 ships 7.88.1. Small bodies are sent whole before
# the reset arrives, so only uploads that a server refuses meet it.
# The cure for a server: read on for a while before the stream is reset.
#
# Output:
#   libcurl 7.88.1: 1000 bytes: 413; 1000000 bytes: error 92, status 0
#   libcurl 8.4.0: 1000 bytes: 413; 1000000 bytes: 413
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check h2==4.1.0 hpack==4.0.0 hyperframe==6.0.1
cat > server.py << 'PY'
import socket
import threading

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from h2.exceptions import StreamClosedError


def serve(client):
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    client.sendall(connection.data_to_send())
    while data := client.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, RequestReceived):
                connection.send_headers(event.stream_id, [(":status", "413")])
                connection.send_data(event.stream_id, b"too large\n", end_stream=True)
                try:
                    connection.reset_stream(event.stream_id, ErrorCodes.NO_ERROR)
                except StreamClosedError:
                    pass  # The request's body has ended.
        client.sendall(connection.data_to_send())


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
PY
mkfifo port
venv/bin/python server.py > port 2> server.log &
server=$!
read -r port < port
mkdir src
cat > src/main.rs << 'RUST'
use curl::easy::{Easy, HttpVersion};

fn main() {
    let url = std::env::args().nth(1).unwrap();
    let mut answers = Vec::new();
    for size in [1_000, 1_000_000] {
        let mut easy = Easy::new();
        easy.url(&url).unwrap();
        easy.http_version(HttpVersion::V2PriorKnowledge).unwrap();
        easy.post(true).unwrap();
        easy.post_fields_copy(&vec![b'x'; size]).unwrap();
        easy.write_function(|data| Ok(data.len())).unwrap();
        let outcome = easy.perform();
        let status = easy.response_code().unwrap();
        answers.push(match outcome {
            Ok(()) => format!("{size} bytes: {status}"),
            Err(error) => format!("{size} bytes: error {}, status {status}", error.code()),
        });
    }
    let version = curl::Version::get().version().trim_end_matches("-DEV").to_owned();
    println!("libcurl {version}: {}", answers.join("; "));
}
RUST
try() {
    cat > Cargo.toml << TOML
[package]
name = "client"
version = "0.1.0"
edition = "2021"
[dependencies]
curl = { version = "=0.4.44", default-features = false, features = ["static-curl", "http2"] }
curl-sys = { version = "=$1", default-features = false, features = ["static-curl", "http2"] }
TOML
    cargo build --quiet
    target/debug/client "http://127.0.0.1:$port/"
}
old=$(try 0.4.60)
new=$(try 0.4.68)
printf '%s\n%s\n' "$old" "$new"
[[ $old == *"1000000 bytes: error 92, status 0" && $new == *"1000000 bytes: 413" ]]

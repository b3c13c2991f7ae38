//! The endpoint of `windlass plugin dev`: it answers with the request that it got, as JSON.
//!
//! So an author sees what the filter made of a request, without a server of his own.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// The longest body that is shown. Bytes.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// The request, as the endpoint got it.
#[derive(Debug, Serialize)]
struct Echo {
    method: String,
    /// Path and query.
    path: String,
    fields: BTreeMap<String, Vec<String>>,
    bytes: usize,
    /// The body, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// The body in base64, if it is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// The endpoint, on a thread that ends with the process.
#[derive(Debug)]
pub(crate) struct EchoEndpoint {
    pub(crate) address: SocketAddr,
}

impl EchoEndpoint {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    ///
    /// The system gives no port or no thread.
    pub(crate) fn start() -> io::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let serve = move || {
            runtime.block_on(async move {
                let served = match tokio::net::TcpListener::from_std(socket) {
                    Ok(socket) => axum::serve(socket, Router::new().fallback(answer)).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = served {
                    tracing::error!("the echo endpoint ended: {error}; start the command again");
                }
            });
        };
        std::thread::Builder::new()
            .name("dev-echo".into())
            .spawn(serve)?;
        Ok(Self { address })
    }
}

async fn answer(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return (
            StatusCode::PAYLOAD_TOO_LARGE,
            "the echo endpoint takes up to 10 MiB\n",
        )
            .into_response();
    };
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        fields.entry(name.to_string()).or_default().push(value);
    }
    let text = std::str::from_utf8(&body).ok();
    Json(Echo {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        fields,
        bytes: body.len(),
        body: text.filter(|text| !text.is_empty()).map(str::to_owned),
        base64: text.is_none().then(|| STANDARD.encode(&body)),
    })
    .into_response()
}

//! `windlass demo`: a gateway, three endpoints and a token issuer on loopback, and commands to
//! try.
//!
//! The gateway is an ordinary one with the configuration `examples/demo.toml`; only the endpoints
//! and the issuer are here. A test runs every printed command and checks its description.

mod issuer;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};

use super::run;
use crate::config::Config;

/// The demo's configuration. `windlass run` accepts it too.
const CONFIG: &str = include_str!("../../examples/demo.toml");

/// The ports of the endpoints, and their weights in the configuration.
const ENDPOINTS: [(u16, &str); 3] = [
    (9101, "endpoint A (weight 3)"),
    (9102, "endpoint B (weight 2)"),
    (9103, "endpoint C (weight 1)"),
];

/// The port of the token issuer.
const ISSUER_PORT: u16 = 9104;

/// The commands to paste, each below a description of its result. Printed when the gateway serves.
const COMMANDS: &str = include_str!("demo/commands.txt");

/// The options of the demo.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Start only the three endpoints and the token issuer, for a gateway that runs
    /// `examples/demo.toml` by itself.
    #[arg(long)]
    endpoints: bool,
}

/// Runs the demo until it is interrupted.
pub(crate) fn demo(demo: &Demo) -> ExitCode {
    if let Err(code) = start_endpoints() {
        return code;
    }
    if demo.endpoints {
        println!(
            "the demo's endpoints listen on 127.0.0.1, ports 9101 to 9103, and its token issuer on 9104; press Ctrl-C to stop them"
        );
        loop {
            std::thread::park();
        }
    }
    let path = Path::new("examples/demo.toml");
    let read = || {
        println!(
            "starting; the first start compiles six filters, which takes some seconds, later starts read them from a cache"
        );
        Config::parse("examples/demo.toml", CONFIG, Path::new("."))
    };
    run::run_with(path, read, || print!("{COMMANDS}"))
}

/// Binds and serves the endpoints, on a thread that ends with the process.
fn start_endpoints() -> Result<(), ExitCode> {
    let failed = |what: String| {
        eprintln!("windlass: {what}");
        ExitCode::FAILURE
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(format!("cannot start the demo's endpoints: {error}")))?;
    let issuer = issuer::router()
        .map_err(|_| failed("cannot create the key of the demo's token issuer".to_owned()))?;
    let mut servers = Vec::new();
    let endpoints = ENDPOINTS.map(|(port, name)| {
        let routes = Router::new().fallback(answer).with_state(name);
        (port, name, routes)
    });
    let all = endpoints
        .into_iter()
        .chain([(ISSUER_PORT, "issuer", issuer)]);
    for (port, name, routes) in all {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = std::net::TcpListener::bind(address).and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        let socket = socket.map_err(|error| {
            failed(format!(
                "cannot listen on {address} for the demo's {name}: {error}; stop what uses it (`ss -ltnp` names it)"
            ))
        })?;
        servers.push((socket, name, routes));
    }
    let serve = move || {
        runtime.block_on(async move {
            let mut tasks = tokio::task::JoinSet::new();
            for (socket, name, routes) in servers {
                tasks.spawn(serve(socket, name, routes));
            }
            while tasks.join_next().await.is_some() {}
        });
    };
    std::thread::Builder::new()
        .name("demo-endpoints".into())
        .spawn(serve)
        .map_err(|error| failed(format!("cannot start the demo's endpoints: {error}")))?;
    Ok(())
}

async fn serve(socket: std::net::TcpListener, name: &'static str, routes: Router) {
    let served = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => axum::serve(socket, routes).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::error!("the demo's {name} ended: {error}; start the demo again");
    }
}

/// Answers with a description of the request.
async fn answer(
    State(name): State<&'static str>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> String {
    let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut text = format!("{name} got {method} {uri}");
    for (what, name) in [
        ("user", "x-user"),
        ("consumer", "x-consumer"),
        ("order", "x-order"),
    ] {
        if let Some(value) = field(name) {
            text.extend([", ", what, " ", value]);
        }
    }
    text.push('\n');
    text
}

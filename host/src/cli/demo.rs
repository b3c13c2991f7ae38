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

use super::signals::Signals;
use super::{BAD_CONFIG, run, terminal};
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

/// A command to paste, and its result.
struct DemoExample {
    description: &'static str,
    command: &'static str,
}

/// In the order of printing.
const EXAMPLES: [DemoExample; 18] = [
    DemoExample {
        description: "an answer of the gateway's own: 200, \"hello from the gateway itself\"",
        command: "curl -s http://127.0.0.1:8080/hello",
    },
    DemoExample {
        description: "no key: 401, api_key_missing",
        command: "curl -si http://127.0.0.1:8080/orders",
    },
    DemoExample {
        description: "a key that nobody issued: 403, api_key_rejected",
        command: "curl -si -H 'x-api-key: not-a-key' http://127.0.0.1:8080/orders",
    },
    DemoExample {
        description: "alice's key: 200 from an endpoint",
        command: "curl -s -H 'x-api-key: demo-key-alice' http://127.0.0.1:8080/orders",
    },
    DemoExample {
        description: "six requests over weights 3:2:1: A three times, B twice, C once",
        command: "for n in 1 2 3 4 5 6; do curl -s -H 'x-api-key: demo-key-alice' http://127.0.0.1:8080/orders; done",
    },
    DemoExample {
        description: "headers made by a filter: the endpoint saw consumer alice and order 42, you see x-served-by",
        command: "curl -si -H 'x-api-key: demo-key-alice' http://127.0.0.1:8080/orders/42",
    },
    DemoExample {
        description: "bob's plan is three at once and one a second: 200 200 200 429 429 (throttled)",
        command: "for n in 1 2 3 4 5; do curl -s -o /dev/null -w '%{http_code} ' -H 'x-api-key: demo-key-bob' http://127.0.0.1:8080/orders; done; echo",
    },
    DemoExample {
        description: "carol's plan is two a day: 200, 200, then 429 (quota_spent)",
        command: "for n in 1 2 3; do curl -s -w '%{http_code}\\n' -H 'x-api-key: demo-key-carol' http://127.0.0.1:8080/orders; done",
    },
    DemoExample {
        description: "a chain of six filters (cors, metadata, token, keys, plan, rewrite), without a token: 401, token_missing",
        command: "curl -si -H 'x-api-key: demo-key-alice' http://127.0.0.1:8080/shop/orders/42",
    },
    DemoExample {
        description: "with a token of the demo's issuer and a key: 200, the endpoint saw user dana and consumer alice",
        command: "curl -si -H \"authorization: Bearer $(curl -s http://127.0.0.1:9104/token)\" -H 'x-api-key: demo-key-alice' http://127.0.0.1:8080/shop/orders/42",
    },
    DemoExample {
        description: "a token without the scope orders:read: 403, insufficient_scope",
        command: "curl -si -H \"authorization: Bearer $(curl -s 'http://127.0.0.1:9104/token?scope=none')\" -H 'x-api-key: demo-key-alice' http://127.0.0.1:8080/shop/orders/42",
    },
    DemoExample {
        description: "a browser's preflight, which needs neither: 204, and who may ask in `access-control-allow-origin`",
        command: "curl -si -X OPTIONS -H 'origin: http://localhost:3000' -H 'access-control-request-method: GET' http://127.0.0.1:8080/shop/orders/42",
    },
    DemoExample {
        description: "the OpenAPI document of that API, made of its routes and filters",
        command: "curl -s http://127.0.0.1:8080/shop/openapi.json",
    },
    DemoExample {
        description: "no such path: 404, no_route",
        command: "curl -si http://127.0.0.1:8080/nothing",
    },
    DemoExample {
        description: "a path that is there, a method that is not: 405, with what it takes in `allow`",
        command: "curl -si -X DELETE http://127.0.0.1:8080/orders/42",
    },
    DemoExample {
        description: "an upstream where nothing listens: 502, connect_failed",
        command: "curl -si http://127.0.0.1:8080/broken",
    },
    DemoExample {
        description: "a redirect: 308 to /orders",
        command: "curl -si http://127.0.0.1:8080/old/anything",
    },
    DemoExample {
        description: "the operator's numbers: what each filter did so far",
        command: "curl -s http://127.0.0.1:9080/metrics | grep windlass_filter_calls",
    },
];

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
    let config = match Config::parse("examples/demo.toml", CONFIG, Path::new(".")) {
        Ok(config) => config,
        Err(problems) => {
            eprint!("{problems}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    terminal::log(&config.log);
    println!(
        "starting; the first start compiles six filters, which takes some seconds, later starts read them from a cache"
    );
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("windlass: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match run::start(Path::new("examples/demo.toml"), config, signals) {
        Ok(started) => {
            print_examples();
            started.serve()
        }
        Err(code) => code,
    };
    terminal::finish();
    code
}

fn print_examples() {
    println!();
    println!("Windlass listens on http://127.0.0.1:8080, in front of three small endpoints.");
    println!("The demo's token issuer listens on http://127.0.0.1:{ISSUER_PORT}.");
    println!(
        "Its configuration is host/examples/demo.toml. Paste these commands into another terminal:"
    );
    for (number, attempt) in (1..).zip(&EXAMPLES) {
        println!();
        println!("{number:2}. {}", attempt.description);
        println!("    {}", attempt.command);
    }
    println!();
    println!("Press Ctrl-C to stop the demo.");
    println!();
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

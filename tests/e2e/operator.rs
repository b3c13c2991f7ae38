//! Helpers for tests of the admin API.

use std::process::Stdio;

use windlass_tests::{Builder, Client, Finished, Gateway, Request, Response, Upstream, command};

use crate::config::{api_key, filtered};

/// The value of the token that may write.
pub(crate) const WRITE: &str = "a-token-that-may-write";
/// The value of the token that may read.
pub(crate) const READ: &str = "a-token-that-may-read";

/// Tokens, and storage in a file beside the configuration.
pub(crate) const STORE: &str = "
[admin]
address = \"127.0.0.1:0\"
tokens  = [{ name = \"ops\", role = \"write\", secret = \"ops\" }, { name = \"view\", role = \"read\", secret = \"view\" }]

[store]
path = \"windlass.db\"

[secret.ops]
file = \"ops.token\"

[secret.view]
file = \"view.token\"
";

/// A gateway with storage, whose only route requires a key, and counts it if `plan` is among the
/// filters.
pub(crate) fn builder(filters: &[&str], upstream: &Upstream, more: &str) -> Builder {
    let config = filtered(filters, upstream.address())
        + &api_key("{}")
        + "\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n"
        + STORE
        + more;
    // A filter that no route uses only causes a warning.
    Gateway::with_config(config)
        .file("ops.token", WRITE)
        .file("view.token", READ)
}

/// The same gateway, started.
pub(crate) fn start(filters: &[&str], upstream: &Upstream) -> Gateway {
    builder(filters, upstream, "").start()
}

/// A request with the token that may write.
pub(crate) fn request(method: &str, path: &str) -> Request {
    Request::new(method, path)
        .header("authorization", format!("Bearer {WRITE}"))
        .header("connection", "close")
}

/// Send a request to the admin listener.
pub(crate) fn send(gateway: &Gateway, request: &Request) -> Response {
    Client::connect(gateway.admin_address()).send(request)
}

/// Send a `GET`.
pub(crate) fn get(gateway: &Gateway, path: &str) -> Response {
    send(gateway, &request("GET", path))
}

/// Send a JSON body.
pub(crate) fn call(gateway: &Gateway, method: &str, path: &str, body: &str) -> Response {
    let request = request(method, path).header("content-type", "application/json");
    send(gateway, &request.body(body))
}

/// Create a key. Returns its id and its text.
pub(crate) fn create(gateway: &Gateway, body: &str) -> (String, String) {
    let answer = call(gateway, "POST", "/v1/keys", body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("").to_owned();
    (text(&made["key"]["id"]), text(&made["secret"]))
}

/// The status of a request with this key.
pub(crate) fn status_with(gateway: &Gateway, key: &str) -> u16 {
    gateway
        .send(&Request::get("/").header("x-api-key", key))
        .status
}

/// Run `windlass` with these arguments against this gateway.
pub(crate) fn windlass(
    gateway: &Gateway,
    arguments: &[&str],
    token: &str,
    input: &str,
) -> Finished {
    let url = format!("http://{}", gateway.admin_address());
    let mut command = command(arguments);
    command
        .env("WINDLASS_ADMIN_URL", url)
        .env("WINDLASS_ADMIN_TOKEN", token)
        .stdin(Stdio::piped());
    Finished::of_command(&mut command, input)
}

//! An operator at the admin API, for the tests of it.

use std::process::Stdio;

use windlass_tests::{Builder, Client, Finished, Gateway, Request, Response, Upstream, command};

use crate::config::{api_key, filtered};

/// The value of the token that may write.
pub(crate) const WRITE: &str = "a-token-that-may-write";
/// The value of the token that may read.
pub(crate) const READ: &str = "a-token-that-may-read";

/// Tokens and a store, which is a file beside the configuration.
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

/// A gateway with a store, whose only route asks for a key, and counts it if `plan` is among the
/// filters.
pub(crate) fn builder(filters: &[&str], upstream: &Upstream, more: &str) -> Builder {
    let config = filtered(filters, upstream.address())
        + &api_key("{}")
        + "\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n"
        + STORE
        + more;
    // What no route uses is warned of, and no more.
    Gateway::with_config(config)
        .file("ops.token", WRITE)
        .file("view.token", READ)
}

/// The same, running.
pub(crate) fn start(filters: &[&str], upstream: &Upstream) -> Gateway {
    builder(filters, upstream, "").start()
}

/// A request with the token that may write.
pub(crate) fn request(method: &str, path: &str) -> Request {
    Request::new(method, path)
        .header("authorization", format!("Bearer {WRITE}"))
        .header("connection", "close")
}

/// Send it to the operator's listener.
pub(crate) fn send(gateway: &Gateway, request: &Request) -> Response {
    Client::connect(gateway.admin_address()).send(request)
}

/// `GET`.
pub(crate) fn get(gateway: &Gateway, path: &str) -> Response {
    send(gateway, &request("GET", path))
}

/// With a JSON body.
pub(crate) fn call(gateway: &Gateway, method: &str, path: &str, body: &str) -> Response {
    let request = request(method, path).header("content-type", "application/json");
    send(gateway, &request.body(body))
}

/// Make a key: its id and its text.
pub(crate) fn create(gateway: &Gateway, body: &str) -> (String, String) {
    let answer = call(gateway, "POST", "/v1/keys", body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("").to_owned();
    (text(&made["key"]["id"]), text(&made["secret"]))
}

/// The status that a client with this key gets.
pub(crate) fn status_with(gateway: &Gateway, key: &str) -> u16 {
    gateway
        .send(&Request::get("/").header("x-api-key", key))
        .status
}

/// `windlass` with these arguments, against this gateway.
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

//! Filters that break the rules: only the request suffers, and it always gets a response.
//!
//! Each case is a filter on its own route, which misbehaves for requests with `x-act`. All run
//! under `on_error` `deny` and `skip`, with shared instances and with a fresh one for each call.

#[path = "../guests/stage.rs"]
mod stage;

use windlass_tests::{Gateway, Request, Response, Upstream};

use crate::table;
use stage::Stage;

/// The response that the client must get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// 500 `filter_failed` if failures are denied; otherwise the endpoint's response, as if the
    /// filter did not exist.
    Fails,
    /// The endpoint's response.
    Passes,
    /// The filter's response, with this status and this many bytes of body.
    Answers(u16, usize),
    /// The filter's refusal, with this code.
    Refuses(u16, &'static str),
    /// An error of Windlass with this code, whatever `on_error` is.
    Code(u16, &'static str),
    /// If failures are denied, the response breaks off after its head; otherwise the endpoint's
    /// response.
    Breaks,
}
use Want::{Answers, Breaks, Code, Fails, Passes, Refuses};

/// A rule, the settings of the filter that breaks it, and the result.
type Case = (&'static str, &'static str, Want);

/// Cases that are sent with a GET.
const ON_GET: &[Case] = &[
    ("a request phase that traps", r#"request = ["trap"]"#, Fails),
    (
        "a request phase that panics",
        r#"request = ["panic"]"#,
        Fails,
    ),
    ("a request phase that exits", r#"request = ["exit"]"#, Fails),
    (
        "a request phase that never ends",
        r#"request = ["loop"]"#,
        Fails,
    ),
    (
        "a request phase that recurses",
        r#"request = ["recurse"]"#,
        Fails,
    ),
    (
        "a request phase that takes all memory",
        r#"request = ["grow-until-refused"]"#,
        Fails,
    ),
    (
        "a request phase that sleeps for an hour",
        r#"request = ["sleep"]"#,
        Fails,
    ),
    (
        "a request phase that says that it failed",
        r#"request = [{ fail = "no luck" }]"#,
        Fails,
    ),
    (
        "a request phase that reads a file",
        r#"request = [{ read-file = "/etc/passwd" }]"#,
        Passes,
    ),
    (
        "a request phase that connects",
        r#"request = [{ connect = "127.0.0.1:1" }]"#,
        Fails,
    ),
    (
        "edits before a trap",
        r#"request = [{ set-path = "/elsewhere" }, { set-method = "DELETE" }, "trap"]"#,
        Fails,
    ),
    (
        "a response phase that traps",
        r#"response = [{ set-status = 201 }, "trap"]"#,
        Fails,
    ),
    (
        "a response phase that never ends",
        r#"response = ["loop"]"#,
        Fails,
    ),
    (
        "a response phase that recurses",
        r#"response = ["recurse"]"#,
        Fails,
    ),
    (
        "a response phase that takes all memory",
        r#"response = ["grow-until-refused"]"#,
        Fails,
    ),
    (
        "a response phase that says that it failed",
        r#"response = [{ fail = "no luck" }]"#,
        Fails,
    ),
    (
        "a whole response body whose phase traps",
        r#"response = [{ whole = 1000 }], response-body = [{ replace-piece = "no" }, "trap"]"#,
        Fails,
    ),
    (
        "a whole response body whose phase never ends",
        r#"response = [{ whole = 1000 }], response-body = ["loop"]"#,
        Fails,
    ),
    (
        "a piece of a response body whose phase traps",
        r#"response = ["chunks"], response-body = [{ replace-piece = "no" }, "trap"]"#,
        Breaks,
    ),
    ("a log phase that traps", r#"log = ["trap"]"#, Passes),
    ("a log phase that never ends", r#"log = ["loop"]"#, Passes),
    (
        "more calls of the host than a phase may make",
        r#"request = [{ flood-calls = 10001 }]"#,
        Fails,
    ),
    (
        "as many calls of the host as a phase may make",
        r#"request = [{ flood-calls = 9000 }]"#,
        Passes,
    ),
    (
        "more notes than may be kept",
        r#"request = [{ flood-notes = [300, 8000] }]"#,
        Passes,
    ),
    (
        "more bytes than a phase may leave",
        r#"request = [{ overwrite-attribute = [200, 8000] }]"#,
        Fails,
    ),
    (
        "more fields than a head may have",
        r#"request = [{ flood-fields = ["request", 300, 1] }]"#,
        Passes,
    ),
    (
        "fields larger than a head may be",
        r#"request = [{ flood-fields = ["request", 3, 30000] }]"#,
        Passes,
    ),
    (
        "more lines than a phase may write",
        r#"request = [{ flood-log = [1000, 10] }]"#,
        Passes,
    ),
    (
        "lines of a megabyte",
        r#"request = [{ flood-log = [1, 1000000] }]"#,
        Passes,
    ),
    (
        "more lines of standard output than are kept",
        r#"request = [{ flood-print = 1000 }]"#,
        Passes,
    ),
    (
        "standard output that is not UTF-8",
        r#"request = [{ print-bytes = [255, 254, 0, 27, 91, 10] }]"#,
        Passes,
    ),
    (
        "a field that is not UTF-8",
        r#"request = [{ set-header-bytes = ["request", "x-odd", [255, 254]] }, { header-text = ["request", "x-odd"] }, { remove-header = ["request", "x-odd"] }]"#,
        Passes,
    ),
    (
        "a field that ends the head",
        r#"request = [{ set-header-bytes = ["request", "x-odd", [97, 13, 10, 13, 10]] }]"#,
        Passes,
    ),
    (
        "a field with a NUL",
        r#"response = [{ set-header-bytes = ["response", "x-odd", [97, 0]] }]"#,
        Passes,
    ),
    (
        "fields that frame the message",
        r#"request = [{ set-header = ["request", "content-length", "9"] }, { set-header = ["request", "transfer-encoding", "chunked"] }, { set-header = ["request", "connection", "close"] }], response = [{ set-header = ["response", "content-length", "9"] }]"#,
        Passes,
    ),
    (
        "names that are none",
        r#"request = [{ set-header = ["request", "", "1"] }, { set-header = ["request", "a b", "1"] }, { set-header = ["request", ":path", "/"] }, { set-header = ["request", "a\r\nb", "1"] }]"#,
        Passes,
    ),
    (
        "a method, path, authority and status that are none",
        r#"request = [{ set-method = "G T" }, { set-method = "CONNECT" }, { set-path = "elsewhere" }, { set-path = "/a b" }, { set-authority = "a b" }, { set-status = 200 }], response = [{ set-status = 99 }, { set-status = 600 }]"#,
        Passes,
    ),
    (
        "attributes of the gateway",
        r#"request = [{ set-attribute = ["client.ip", { text = "10.0.0.1" }] }, { set-attribute = ["route.id", { text = "x" }] }]"#,
        Passes,
    ),
    (
        "an attribute of odd octets",
        r#"request = [{ set-attribute = ["odd", { bytes = [0, 255] }] }]"#,
        Passes,
    ),
    (
        "label values without end",
        r#"request = [{ flood-labels = 5000 }]"#,
        Passes,
    ),
    (
        "numbers that are none in a metric",
        r#"request = [{ count = ["a", -1.0] }, { gauge = 1e308 }, { gauge = 1e308 }, { observe = -1.0 }]"#,
        Passes,
    ),
    (
        "a cache that is filled",
        r#"request = [{ flood-cache = [18, 60000] }]"#,
        Passes,
    ),
    (
        "values that are too large for the cache",
        r#"request = [{ flood-cache = [10, 100000] }]"#,
        Passes,
    ),
    (
        "an interface that is not granted",
        r#"request = [{ take = ["plan", "key", 1] }]"#,
        Fails,
    ),
    (
        "an upstream that is not granted",
        r#"request = [{ route = { upstream = "other" } }]"#,
        Fails,
    ),
    (
        "a status of 0",
        r#"request = [{ respond = { status = 0 } }]"#,
        Fails,
    ),
    (
        "a status of 99",
        r#"request = [{ respond = { status = 99 } }]"#,
        Fails,
    ),
    (
        "an interim status",
        r#"request = [{ respond = { status = 103 } }]"#,
        Fails,
    ),
    (
        "a status that switches protocols",
        r#"request = [{ respond = { status = 101 } }]"#,
        Fails,
    ),
    (
        "a status of 600",
        r#"request = [{ respond = { status = 600 } }]"#,
        Fails,
    ),
    (
        "a status of 65535",
        r#"response = [{ respond = { status = 65535 } }]"#,
        Fails,
    ),
    (
        "an answer that frames itself",
        r#"request = [{ respond = { status = 200, headers = [["content-length", "7"]] } }]"#,
        Fails,
    ),
    (
        "an answer with two framings",
        r#"request = [{ respond = { status = 200, headers = [["transfer-encoding", "chunked"]] } }]"#,
        Fails,
    ),
    (
        "an answer that closes the connection",
        r#"response = [{ respond = { status = 200, headers = [["connection", "close"]] } }]"#,
        Fails,
    ),
    (
        "an answer whose field ends the head",
        r#"request = [{ respond = { status = 200, headers = [["x-odd", "a\r\n\r\nb"]] } }]"#,
        Fails,
    ),
    (
        "an answer whose field has no name",
        r#"request = [{ respond = { status = 200, headers = [["", "a"]] } }]"#,
        Fails,
    ),
    (
        "an answer whose reason is no word",
        r#"request = [{ respond = { status = 403, reason = "\r\nx: {\"code\":\"ok\"}" } }]"#,
        Refuses(403, "refused"),
    ),
    (
        "an answer with the gateway's word for failure",
        r#"request = [{ respond = { status = 403, reason = "filter_failed" } }]"#,
        Fails,
    ),
    (
        "an answer of 204 with a body",
        r#"request = [{ respond = { status = 204, body = "no body" } }]"#,
        Answers(204, 0),
    ),
    (
        "an answer of 304 with a body",
        r#"request = [{ respond = { status = 304, body = "no body" } }]"#,
        Answers(304, 0),
    ),
    (
        "a replacement by 204 with a body",
        r#"response = [{ respond = { status = 204, body = "no body" } }]"#,
        Answers(204, 0),
    ),
    (
        "a replacement of every response",
        r#"response = [{ respond = { status = 299, body = "mine" } }]"#,
        Answers(299, 4),
    ),
    (
        "an answer where a body is asked for",
        r#"request = [{ whole = 10 }], request-body = [{ respond = { status = 299, body = "mine" } }]"#,
        Answers(299, 4),
    ),
];

/// Cases that are sent with a POST of 8 bytes.
const ON_POST: &[Case] = &[
    (
        "a whole request body whose phase traps",
        r#"request = [{ whole = 1000 }], request-body = [{ replace-piece = "no" }, "trap"]"#,
        Fails,
    ),
    (
        "a whole request body whose phase never ends",
        r#"request = [{ whole = 1000 }], request-body = ["loop"]"#,
        Fails,
    ),
    (
        "a whole request body whose phase says that it failed",
        r#"request = [{ whole = 1000 }], request-body = [{ fail = "no luck" }]"#,
        Fails,
    ),
    (
        "a piece of a request body whose phase traps",
        r#"request = ["chunks"], request-body = [{ replace-piece = "no" }, "trap"]"#,
        Fails,
    ),
    (
        "a whole body of no bytes",
        r#"request = [{ whole = 0 }], request-body = []"#,
        Code(413, "body_too_large"),
    ),
    (
        "a body that grows beyond its bound",
        r#"request = [{ whole = 1000 }], request-body = [{ flood-piece = 200000 }]"#,
        Passes,
    ),
    (
        "a body phase that always wants more",
        r#"request = ["chunks"], request-body = ["more"]"#,
        Passes,
    ),
    (
        "an answer with a body that framed itself",
        r#"request = [{ whole = 1000 }], request-body = [{ respond = { status = 200, headers = [["content-length", "1"]] } }]"#,
        Fails,
    ),
    (
        "a status of 1 in a body phase",
        r#"request = ["chunks"], request-body = [{ respond = { status = 1 } }]"#,
        Fails,
    ),
];

/// Cases that are sent with a HEAD.
const ON_HEAD: &[Case] = &[
    (
        "an answer to HEAD with a body",
        r#"request = [{ respond = { status = 299, body = "no body" } }]"#,
        Answers(299, 0),
    ),
    (
        "a replacement of an answer to HEAD",
        r#"response = [{ respond = { status = 299, body = "no body" } }]"#,
        Answers(299, 0),
    ),
    (
        "a response body that is asked for with HEAD",
        r#"response = [{ whole = 10 }], response-body = ["trap"]"#,
        Passes,
    ),
    (
        "a response phase that traps on HEAD",
        r#"response = ["trap"]"#,
        Fails,
    ),
];

/// The body of the endpoint's response.
const WELL: &str = "all is well";

/// A gateway of one worker, with a filter and a route for each case.
struct Abused {
    gateway: Gateway,
    denies: bool,
    // Dropped together with the gateway.
    _upstream: Upstream,
}

impl Abused {
    fn start(keys: &str) -> Self {
        let upstream = Upstream::text(WELL);
        let mut stage = Stage::new().upstream("main", upstream.address());
        for (method, place, (_, settings, _)) in all() {
            let name = format!("{method}-{place}");
            let cpu = match settings.contains("flood-labels") || settings.contains("flood-cache") {
                true => FLOOD_CPU,
                false => CPU,
            };
            let keys = format!(
                "{keys}\nbreaker = {{ failures = 1000000 }}\nlimits = {{ body = \"64KiB\", memory = \"8MiB\", {cpu} }}\nallow = {{ interfaces = [\"metrics\", \"cache\"], attributes = [\"flood.*\", \"odd\"] }}\nsettings = {{ when = \"x-act\", {settings} }}",
            );
            stage = stage
                .actor(&name, &keys)
                .route(&format!("/{name}"), &[&name]);
        }
        Self {
            gateway: stage.route("/calm", &[]).start(),
            denies: !keys.contains("skip"),
            _upstream: upstream,
        }
    }

    /// Check the case's response. Then, on the same connection, check a request that the filter
    /// ignores, and one to another route.
    fn judge(&self, method: &str, place: usize, want: Want) -> Result<(), String> {
        let target = format!("/{method}-{place}");
        let request = |target: &str| match method {
            "post" => Request::post(target, "8 bytes!"),
            "head" => Request::new("HEAD", target),
            _ => Request::get(target),
        };
        if want == Breaks && self.denies {
            // The connection breaks, so no more requests can follow on it.
            let mut client = self.gateway.client();
            let answer = client.try_send(&request(&target).header("x-act", "1"));
            if answer.is_ok_and(|answer| answer.text() == WELL) {
                return Err("the body came through".to_owned());
            }
        } else {
            let mut client = self.gateway.client();
            let answer = client.try_send(&request(&target).header("x-act", "1"));
            let answer = answer.map_err(|error| error.to_string())?;
            self.is_as_wanted(&answer, method, want)?;
            for calm in [target.as_str(), "/calm"] {
                let answer = client.try_send(&request(calm));
                let answer = answer.map_err(|error| format!("then {calm}: {error}"))?;
                is_well(&answer, method).map_err(|why| format!("then {calm}: {why}"))?;
            }
        }
        is_well(&self.gateway.send(&request(&target)), method)
    }

    fn is_as_wanted(&self, answer: &Response, method: &str, want: Want) -> Result<(), String> {
        let refused = |status: u16, code: &str| {
            if answer.status != status {
                return Err(format!("{}: {}", answer.status, answer.text()));
            }
            match method == "head" || answer.text().contains(&format!("\"code\":\"{code}\"")) {
                true => Ok(()),
                false => Err(format!("not the code {code}: {}", answer.text())),
            }
        };
        match want {
            Fails if self.denies => refused(500, "filter_failed"),
            Fails | Passes | Breaks => is_well(answer, method),
            Code(status, code) | Refuses(status, code) => refused(status, code),
            Answers(status, len) if (answer.status, answer.body.len()) == (status, len) => Ok(()),
            Answers(..) => Err(format!("{}: {}", answer.status, answer.text())),
        }
    }
}

/// A CPU limit that a loop exceeds soon.
const CPU: &str = "cpu = \"10ms\"";

/// Another bound ends a flood: a debug build needs about 10 ms to take a megabyte from a guest.
const FLOOD_CPU: &str = "cpu = \"200ms\"";

fn is_well(answer: &Response, method: &str) -> Result<(), String> {
    let body = if method == "head" { "" } else { WELL };
    match (answer.status, answer.text() == body) {
        (200, true) => Ok(()),
        (status, _) => Err(format!("{status}: {}", answer.text())),
    }
}

/// All cases, with their method and their index among the cases of that method.
fn all() -> impl Iterator<Item = (&'static str, usize, &'static Case)> {
    [("get", ON_GET), ("post", ON_POST), ("head", ON_HEAD)]
        .into_iter()
        .flat_map(|(method, cases)| {
            let cases = cases.iter().enumerate();
            cases.map(move |(place, case)| (method, place, case))
        })
}

fn run(keys: &str) {
    let abused = Abused::start(keys);
    let cases: Vec<_> = all().collect();
    table::run(
        &cases,
        |(_, _, case)| case.0,
        |(method, place, case)| abused.judge(method, *place, case.2),
    );
}

#[test]
fn denied_with_shared_instances() {
    run("on_error = \"deny\"");
}

#[test]
fn denied_with_fresh_instances() {
    run("on_error = \"deny\"\nisolation = \"request\"");
}

#[test]
fn skipped_with_shared_instances() {
    run("on_error = \"skip\"");
}

#[test]
fn skipped_with_fresh_instances() {
    run("on_error = \"skip\"\nisolation = \"request\"");
}

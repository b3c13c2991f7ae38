//! Moving storage: Windlass exports everything as lines and imports them elsewhere, and may do so
//! repeatedly.

use serde_json::Value;
use windlass_tests::{Gateway, RedisServer, Request, Upstream};

use crate::operator::{
    READ, STORE, WRITE, builder, call, create, get, request, send, status_with, windlass,
};

fn ok(gateway: &Gateway, arguments: &[&str], input: &str) -> String {
    let done = windlass(gateway, arguments, WRITE, input);
    assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.errors);
    done.output
}

fn report(gateway: &Gateway, arguments: &[&str], file: &str) -> (Option<i32>, Value) {
    let arguments = [&["store", "import", "-", "--json"], arguments].concat();
    let done = windlass(gateway, &arguments, WRITE, file);
    let report = serde_json::from_str(&done.output);
    (
        done.code,
        report.unwrap_or_else(|_| panic!("{}", done.errors)),
    )
}

fn tally(report: &Value, kind: &str) -> [u64; 4] {
    ["added", "replaced", "unchanged", "left_out"].map(|name| report[kind][name].as_u64().unwrap())
}

/// The rest of the quota in the response to a request with this key.
fn left(gateway: &Gateway, key: &str) -> u64 {
    let answer = gateway.send(&Request::get("/").header("x-api-key", key));
    let field = answer.header("ratelimit").expect("RateLimit").to_owned();
    let left = field.split_once("\"quota\";r=").expect("a quota").1;
    left.split(';').next().unwrap().parse().unwrap()
}

/// Create keys in every state on a plan, with usage and an extension. Returns their texts: of a
/// live key, of a rotated one (old and new), and of a disabled one.
fn fill(gateway: &Gateway) -> [String; 4] {
    let plan = "{\"name\":\"p\",\"description\":\"thirty\",\"quota\":{\"limit\":30,\"period\":\"month\",\"starts_on\":15},\"rate\":{\"per_second\":1000,\"burst\":1000},\"methods\":[{\"method\":\"GET\",\"path\":\"/a\",\"per_second\":5,\"burst\":5}]}";
    assert_eq!(call(gateway, "POST", "/v1/plans", plan).status, 201);
    let body = |more: &str| format!("{{\"consumer\":\"acme\",\"plans\":[\"p\"]{more}}}");
    let (id, alive) = create(
        gateway,
        &body(",\"name\":\"first\",\"metadata\":{\"tier\":\"a\"}"),
    );
    let (rotated, old) = create(gateway, &body(",\"expires\":\"2099-01-01T00:00:00.5Z\""));
    let (_, off) = create(gateway, &body(",\"enabled\":false"));
    let path = format!("/v1/keys/{rotated}/rotate");
    let answer = send(
        gateway,
        &request("POST", &path).header("content-length", "0"),
    );
    let new = answer.json()["secret"].as_str().unwrap().to_owned();
    for left_now in (20..30).rev() {
        assert_eq!(left(gateway, &alive), left_now);
    }
    let path = format!("/v1/plans/p/usage/{id}");
    let extended = call(gateway, "PATCH", &path, "{\"remaining\":45}");
    assert_eq!(extended.status, 200, "{}", extended.text());
    [alive, old, new, off]
}

/// Assert that the same keys have the same effect.
fn works(gateway: &Gateway, [alive, old, new, off]: &[String; 4], left_now: u64) {
    assert_eq!(left(gateway, alive), left_now);
    assert_eq!(status_with(gateway, old), 200, "the rotated one's old text");
    assert_eq!(status_with(gateway, new), 200, "the rotated one's new text");
    assert_eq!(status_with(gateway, off), 403, "the disabled one");
    let report = get(gateway, "/v1/usage?plan=p").json();
    let items = report["items"].as_object().unwrap();
    let left_of = |days: &Value| days[0][1].as_u64();
    assert!(
        items.values().any(|days| left_of(days) == Some(left_now)),
        "{report}"
    );
}

#[test]
fn a_store_moves_to_another_file_and_twice_is_once() {
    let upstream = Upstream::text("ok");
    let from = builder(&["keys", "plan"], &upstream, "").start();
    let keys = fill(&from);
    let file = ok(&from, &["store", "export"], "");
    assert!(file.starts_with("{\"windlass_store\":1,"), "{file}");
    assert_eq!(
        file.lines()
            .filter(|line| line.starts_with("{\"key\":"))
            .count(),
        3
    );
    for text in &keys {
        assert!(!file.contains(&text[8..]), "a key's text is in the file");
    }
    let to = builder(&["keys", "plan"], &upstream, "").start();
    let (code, dry) = report(&to, &["--dry-run"], &file);
    assert_eq!(
        (code, tally(&dry, "keys")),
        (Some(0), [3, 0, 0, 0]),
        "{dry}"
    );
    assert_eq!(get(&to, "/v1/keys").json()["items"], serde_json::json!([]));
    let (code, first) = report(&to, &[], &file);
    assert_eq!(code, Some(0), "{first}");
    assert_eq!(tally(&first, "plans"), [1, 0, 0, 0]);
    assert_eq!(tally(&first, "keys"), [3, 0, 0, 0]);
    assert_eq!(tally(&first, "usage"), [1, 0, 0, 0]);
    assert_eq!(tally(&first, "extensions"), [1, 0, 0, 0]);
    works(&to, &keys, 44);
    // A second import keeps later usage, and adds nothing twice.
    let (code, second) = report(&to, &[], &file);
    assert_eq!(code, Some(0), "{second}");
    for kind in ["plans", "keys", "usage"] {
        assert_eq!(tally(&second, kind)[..2], [0, 0], "{kind}: {second}");
    }
    assert_eq!(left(&to, &keys[0]), 43);
    let to = to.end().start();
    assert_eq!(left(&to, &keys[0]), 42);
    // A new export is the same except for later usage.
    let again = ok(&to, &["store", "export"], "");
    let bare = |file: &str| {
        let lines = file
            .lines()
            .filter(|line| line.starts_with("{\"key\":") || line.starts_with("{\"plan\":"));
        let lines = lines.map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line["key"]["last_used"].take();
            line
        });
        lines.collect::<Vec<_>>()
    };
    assert_eq!(bare(&again), bare(&file));
}

#[test]
fn what_differs_or_makes_no_sense_is_told_with_its_line_and_left_out() {
    let upstream = Upstream::text("ok");
    let from = builder(&["keys", "plan"], &upstream, "").start();
    let keys = fill(&from);
    let file = ok(&from, &["store", "export"], "");
    let path = "/v1/plans/p";
    let body = "{\"quota\":{\"limit\":31,\"period\":\"month\",\"starts_on\":15}}";
    assert_eq!(call(&from, "PATCH", path, body).status, 200);
    let (code, told) = report(&from, &[], &file);
    assert_eq!(
        (code, tally(&told, "plans")),
        (Some(2), [0, 0, 0, 1]),
        "{told}"
    );
    assert!(
        told["warnings"][0]["message"]
            .as_str()
            .unwrap()
            .contains("replace"),
        "{told}"
    );
    let (code, told) = report(&from, &["--replace"], &file);
    assert_eq!(
        (code, tally(&told, "plans")),
        (Some(0), [0, 1, 0, 0]),
        "{told}"
    );
    // A key with another id, and a secret that another key has.
    let line = file
        .lines()
        .find(|line| line.starts_with("{\"key\":"))
        .unwrap();
    let (before, rest) = line.split_once("\"id\":\"").unwrap();
    let stolen = format!("{before}\"id\":\"another{}", &rest[7..]);
    let head = "{\"windlass_store\":1}\n";
    let end = |keys: u64| {
        format!("{{\"end\":{{\"plans\":0,\"keys\":{keys},\"usage\":0,\"extensions\":0}}}}\n")
    };
    let (code, told) = report(&from, &[], &format!("{head}{stolen}\n{}", end(1)));
    assert_eq!(
        (code, tally(&told, "keys")),
        (Some(2), [0, 0, 0, 1]),
        "{told}"
    );
    assert_eq!(told["warnings"][0]["line"], 2);
    // Truncated lines, and lines that are not an export.
    for (name, text) in [
        ("no end", format!("{head}{line}\n")),
        (
            "fewer than the end says",
            format!("{head}{line}\n{}", end(2)),
        ),
        (
            "a line that is cut",
            format!("{head}{}\n{}", &line[..60], end(1)),
        ),
        (
            "no digest",
            format!(
                "{head}{}\n{}",
                line.replace("\"digest\"", "\"dgst\""),
                end(1)
            ),
        ),
        (
            "no plan",
            format!(
                "{head}{}\n{}",
                line.replace("\"plans\":[\"p\"]", "\"plans\":[\"q\"]")
                    .replace("\"id\":\"", "\"id\":\"x"),
                end(1)
            ),
        ),
        (
            "a future day",
            format!(
                "{head}{{\"usage\":{{\"plan\":\"p\",\"key\":\"k\",\"day\":\"2999-01-01\",\"used\":1}}}}\n{}",
                "{\"end\":{\"plans\":0,\"keys\":0,\"usage\":1,\"extensions\":0}}\n"
            ),
        ),
    ] {
        let (code, told) = report(&from, &[], &text);
        assert_eq!(code, Some(2), "{name}: {told}");
        // An unreadable line also makes the count at the end wrong, which is a second warning.
        let warnings = told["warnings"].as_array().unwrap().len();
        assert!((1..=2).contains(&warnings), "{name}: {told}");
    }
    for text in ["", "{}", "name,key\n", "{\"windlass_store\":2}\n"] {
        let done = windlass(&from, &["store", "import", "-"], WRITE, text);
        assert_eq!(done.code, Some(2), "{text:?}: {}", done.errors);
    }
    assert_eq!(status_with(&from, &keys[0]), 200);
}

#[test]
fn digests_are_for_who_may_write() {
    let upstream = Upstream::text("ok");
    let from = builder(&["keys", "plan"], &upstream, "").start();
    let keys = fill(&from);
    let refused = windlass(&from, &["store", "export"], READ, "");
    assert_eq!(refused.code, Some(4), "{}", refused.errors);
    let without = windlass(&from, &["keys", "export"], READ, "");
    assert_eq!(without.code, Some(0), "{}", without.errors);
    assert!(!without.output.contains("sha256:"), "{}", without.output);
    let with = ok(&from, &["keys", "export", "--json"], "");
    assert_eq!(with.matches("sha256:").count(), 4, "{with}");
    // Import only the keys into a gateway that has their plan.
    let to = builder(&["keys"], &upstream, "\n[plan.p]\nrate = 1\n").start();
    ok(&to, &["keys", "import", "-"], &with);
    assert_eq!(status_with(&to, &keys[2]), 200);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_store_moves_from_a_file_to_redis_and_back() {
    let upstream = Upstream::text("ok");
    let redis = RedisServer::durable();
    let from = builder(&["keys", "plan"], &upstream, "").start();
    let keys = fill(&from);
    let file = ok(&from, &["store", "export"], "");
    let url = format!("url = \"{}\"", redis.url());
    let shared = STORE.replace("path = \"windlass.db\"", &url);
    let config = std::fs::read_to_string(from.folder().join("windlass.toml")).unwrap();
    let config = config.replace(STORE, &shared);
    let shares = || {
        Gateway::with_config(&config)
            .file("ops.token", WRITE)
            .file("view.token", READ)
            .start()
    };
    let first = shares();
    let (code, told) = report(&first, &[], &file);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(tally(&told, "keys"), [3, 0, 0, 0], "{told}");
    works(&first, &keys, 44);
    let (code, told) = report(&first, &[], &file);
    assert_eq!(
        (code, tally(&told, "keys")),
        (Some(0), [0, 0, 3, 0]),
        "{told}"
    );
    // Export from a second gateway of the same Redis, into a file again.
    let second = shares();
    assert_eq!(status_with(&second, &keys[2]), 200);
    let file = ok(&second, &["store", "export"], "");
    let back = builder(&["keys", "plan"], &upstream, "").start();
    let (code, told) = report(&back, &[], &file);
    assert_eq!(code, Some(0), "{told}");
    // Of 45, one was used after the import into Redis, and one is used here.
    works(&back, &keys, 43);
}

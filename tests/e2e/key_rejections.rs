//! The log says why a key was rejected and which key it is, under the request's id.

use serde_json::Value;
use windlass_tests::{Gateway, Request, Response, Upstream, wait};

use crate::config::{api_key, filtered, key, start};
use crate::operator::{READ, WRITE, builder, call, create, get, request, send, windlass};

const EXPIRED: &str = "expires = 2020-01-01T00:00:00Z";

fn gateway(upstream: &Upstream) -> Gateway {
    let shop = "[api.shop]\nbase_path = \"/shop\"\n[[route]]\napi = \"shop\"\npath = \"/x\"\nfilters = [\"keys\", \"plan\"]\nupstream = \"app\"\n";
    start(&[
        "[server]\nworkers = 1\n[log]\naccess = \"access.json\"\n",
        &filtered(&["keys", "plan"], upstream.address()),
        shop,
        &api_key("{}"),
        "\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n",
        "\n[plan.gold]\nrate = 1000\n[plan.shop]\nrate = 1000\napis = [\"shop\"]\n",
        &key("good-1", "good", "good", "plan = \"gold\""),
        &key("off-1", "off", "off", "plan = \"gold\"\nenabled = false"),
        &key(
            "late-1",
            "late",
            "late",
            &format!("plan = \"gold\"\n{EXPIRED}"),
        ),
        &key("bare-1", "bare", "bare", ""),
        &key("shop-1", "shop", "shop", "plan = \"shop\""),
    ])
}

fn ask(gateway: &Gateway, key: &str) -> Response {
    gateway.send(&Request::get("/").header("x-api-key", key))
}

fn id(answer: &Response) -> String {
    answer.header("x-request-id").expect("an id").to_owned()
}

#[test]
fn every_cause_is_a_line_with_the_requests_id_and_the_keys() {
    let upstream = Upstream::text("ok");
    let gateway = gateway(&upstream);
    for (presented, why, known) in [
        ("nobodys-key", "unknown", None),
        ("off", "disabled", Some("off-1")),
        ("late", "expired", Some("late-1")),
        ("bare", "no_plan", Some("bare-1")),
        ("shop", "other_api", Some("shop-1")),
    ] {
        let answer = ask(&gateway, presented);
        assert_eq!(answer.status, 403, "{presented}");
        let id = id(&answer);
        let line = gateway.log().wait_for_line(|line| line.contains(&id));
        assert!(line.contains(&format!("why=\"{why}\"")), "{line}");
        match known {
            Some(known) => assert!(line.contains(&format!("key=\"{known}\"")), "{line}"),
            None => assert!(!line.contains(" key="), "{line}"),
        }
        assert!(!line.contains(presented) || known.is_some(), "{line}");
        // The access log has the same reason.
        let path = gateway.folder().join("access.json");
        let line = wait::until("the line of the access log", || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            text.lines()
                .find(|line| line.contains(&id))
                .map(str::to_owned)
        });
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["key_rejected"]["why"], why, "{line}");
        assert_eq!(line["key_rejected"]["key"].as_str(), known, "{line}");
    }
    let good = ask(&gateway, "good");
    assert_eq!(good.status, 200);
    assert!(!gateway.log().text().contains(&id(&good)));
}

#[test]
fn a_flood_of_bad_keys_gets_few_lines_and_the_next_cause_is_still_told() {
    let upstream = Upstream::text("ok");
    let gateway = gateway(&upstream);
    let mut client = gateway.client();
    for number in 0..500 {
        let bad = Request::get("/").header("x-api-key", format!("bad-{number}"));
        assert_eq!(client.send(&bad).status, 403);
    }
    let disabled = ask(&gateway, "off");
    let id = id(&disabled);
    gateway.log().wait_for_line(|line| line.contains(&id));
    let lines = gateway.log().all();
    let unknown = lines.iter().filter(|line| line.contains("why=\"unknown\""));
    let told = unknown.count();
    // The log has at most sixty lines a minute, and a minute may end within the test.
    assert!((1..=120).contains(&told), "{told}");
}

#[test]
fn the_first_characters_of_a_customers_key_find_it() {
    let upstream = Upstream::text("ok");
    let gateway = builder(&["keys"], &upstream, "").start();
    let (id, text) = create(&gateway, "{\"consumer\":\"acme\"}");
    let (other, _) = create(&gateway, "{\"consumer\":\"other\"}");
    let find = |begins: &str| {
        let page = get(&gateway, &format!("/v1/keys?begins_with={begins}"));
        assert_eq!(page.status, 200, "{}", page.text());
        let items = page.json()["items"].as_array().unwrap().clone();
        let ids = items
            .iter()
            .map(|key| key["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    // As many characters as are kept, fewer, and more.
    for length in [7, 6, 12] {
        let found = find(&text[..length]);
        assert!(found.contains(&id), "{length}: {found:?}");
    }
    // Seven characters of two keys are the same once in millions of cases.
    assert!(!find(&text[..12]).contains(&other));
    // After a rotation, both texts find the key.
    let path = format!("/v1/keys/{id}/rotate");
    let rotated = send(
        &gateway,
        &request("POST", &path).header("content-length", "0"),
    );
    let newer = rotated.json()["secret"].as_str().unwrap().to_owned();
    assert!(find(&newer[..9]).contains(&id) && find(&text[..9]).contains(&id));
    assert_eq!(find("wl_!"), Vec::<String>::new());
    let whole = get(&gateway, &format!("/v1/keys?begins_with={text}"));
    assert_eq!(whole.status, 400);
    assert!(!whole.text().contains(&text[3..]), "{}", whole.text());
    let found = windlass(&gateway, &["keys", "find", &newer[..10]], READ, "");
    assert_eq!(found.code, Some(0), "{}", found.errors);
    assert!(found.output.contains(&id), "{}", found.output);
    let nobody = windlass(&gateway, &["keys", "find", "wl_!!!!"], WRITE, "");
    assert_eq!(nobody.code, Some(3), "{}", nobody.errors);
}

#[test]
fn the_id_of_every_admin_answer_is_in_the_log() {
    let upstream = Upstream::text("ok");
    let gateway = builder(&["keys"], &upstream, "").start();
    let json = "{\"consumer\":\"x\",\"plans\":[\"nope\"]}";
    let answers = [
        (404, get(&gateway, "/v1/keys/nope")),
        (409, call(&gateway, "POST", "/v1/keys", json)),
        (400, call(&gateway, "POST", "/v1/keys", "{\"consumer\":7}")),
        (404, get(&gateway, "/v1/nothing")),
        (405, send(&gateway, &request("DELETE", "/v1/status"))),
        (200, get(&gateway, "/v1/keys")),
        (
            201,
            call(&gateway, "POST", "/v1/keys", "{\"consumer\":\"x\"}"),
        ),
        (401, send(&gateway, &Request::get("/v1/keys"))),
        (404, send(&gateway, &Request::get("/elsewhere"))),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{}", answer.text());
        let id = id(&answer);
        gateway
            .log()
            .wait_for_line(|line| line.contains("audit:") && line.contains(&id));
    }
    let done = windlass(&gateway, &["keys", "show", "nope"], WRITE, "");
    let (_, id) = done.errors.split_once("request ").expect("an id");
    let id = id.split(')').next().unwrap().to_owned();
    gateway.log().wait_for_line(|line| line.contains(&id));
    // Probes are not logged.
    let probe = send(&gateway, &Request::get("/livez"));
    assert_eq!(probe.status, 200);
    assert!(
        !gateway
            .log()
            .text()
            .contains(probe.header("x-request-id").unwrap())
    );
}

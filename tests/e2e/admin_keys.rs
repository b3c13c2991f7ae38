//! Keys in the admin API: created, changed and imported. Changes take effect at once.

use windlass_tests::{Request, Upstream};

use crate::operator::{builder, call, create, get, request, send, start, status_with};

#[test]
fn a_created_key_works_at_once_and_is_never_shown_again() {
    let upstream = Upstream::echo();
    let gateway = start(&["keys"], &upstream);
    let (id, secret) = create(
        &gateway,
        "{\"consumer\":\"acme\",\"name\":\"first\",\"metadata\":{\"tier\":\"gold\"}}",
    );
    assert_eq!(status_with(&gateway, &secret), 200);
    for path in [
        &*format!("/v1/keys/{id}"),
        "/v1/keys",
        "/v1/keys/export",
        "/v1/keys/export?format=csv",
    ] {
        let shown = get(&gateway, path);
        assert_eq!(shown.status, 200, "{path}");
        assert!(shown.text().contains(&id), "{path}: {}", shown.text());
        assert!(!shown.text().contains(&secret), "{path}");
        assert!(!shown.text().contains("sha256"), "{path}");
    }
    let key = get(&gateway, &format!("/v1/keys/{id}")).json();
    assert_eq!(key["secrets"][0]["prefix"], secret[..7]);
    assert_eq!(
        (&key["status"], &key["metadata"]["tier"]),
        (&"active".into(), &"gold".into())
    );
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("audit") && line.contains(&id));
    assert!(
        line.contains("actor=ops") && line.contains("create"),
        "{line}"
    );
    assert!(!gateway.log().text().contains(&secret));
}

#[test]
fn disabling_enabling_expiring_and_deleting_are_in_force_at_once() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let (id, secret) = create(&gateway, "{\"consumer\":\"acme\"}");
    let path = format!("/v1/keys/{id}");
    for (body, status) in [
        ("{\"enabled\":false}", 403),
        ("{\"enabled\":true}", 200),
        ("{\"expires\":\"2001-01-01T00:00:00Z\"}", 403),
        ("{\"expires\":null}", 200),
    ] {
        assert_eq!(call(&gateway, "PATCH", &path, body).status, 200);
        assert_eq!(status_with(&gateway, &secret), status, "{body}");
    }
    assert_eq!(send(&gateway, &request("DELETE", &path)).status, 204);
    assert_eq!(status_with(&gateway, &secret), 403);
    assert_eq!(get(&gateway, &path).status, 404);
    let metrics = gateway.metrics();
    let rejects = |why| metrics.with("windlass_key_rejects_total", &[("why", why)]);
    let counted = ["unknown", "disabled", "expired"].map(rejects);
    assert_eq!(counted, [1.0, 1.0, 1.0], "the reasons are told apart");
    assert_eq!(metrics["windlass_keys"], 0.0);
}

#[test]
fn a_rotation_keeps_the_old_secret_for_a_while() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let (id, first) = create(&gateway, "{\"consumer\":\"acme\"}");
    let path = format!("/v1/keys/{id}/rotate");
    let rotate = |body: &str| call(&gateway, "POST", &path, body);
    let second = rotate("").json()["secret"].as_str().unwrap().to_owned();
    assert_eq!(
        (
            status_with(&gateway, &first),
            status_with(&gateway, &second)
        ),
        (200, 200)
    );
    assert_eq!(rotate("{}").code(), "rotation_running");
    let third = rotate("{\"overlap_seconds\":0}").json()["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    let statuses = [&first, &second, &third].map(|key| status_with(&gateway, key));
    assert_eq!(statuses, [403, 403, 200]);
}

#[test]
fn a_repeated_creation_makes_one_key() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let create = |body: &str| {
        let request = request("POST", "/v1/keys")
            .header("content-type", "application/json")
            .header("idempotency-key", "order-17");
        send(&gateway, &request.body(body))
    };
    let first = create("{\"consumer\":\"acme\"}");
    let again = create("{\"consumer\":\"acme\"}");
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let (first, again) = (first.json(), again.json());
    assert_eq!(first["key"]["id"], again["key"]["id"]);
    assert!(again["secret"].is_null());
    let other = create("{\"consumer\":\"other\"}");
    assert_eq!(
        (other.status, &*other.code()),
        (422, "idempotency_mismatch")
    );
    let items = || {
        let page = get(&gateway, "/v1/keys").json();
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(items(), 1);
    let path = format!("/v1/keys/{}", first["key"]["id"].as_str().unwrap());
    assert_eq!(send(&gateway, &request("DELETE", &path)).status, 204);
    let late = create("{\"consumer\":\"acme\"}");
    assert_eq!((late.status, &*late.code()), (409, "key_deleted"));
    assert_eq!(items(), 0, "a late repetition brought the key back");
}

#[test]
fn a_change_of_what_somebody_else_changed_is_refused() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let (id, _) = create(&gateway, "{\"consumer\":\"acme\"}");
    let path = format!("/v1/keys/{id}");
    let tag = get(&gateway, &path).header("etag").unwrap().to_owned();
    let change = |name: &str| {
        let request = request("PATCH", &path)
            .header("content-type", "application/json")
            .header("if-match", &tag);
        send(&gateway, &request.body(format!("{{\"name\":\"{name}\"}}")))
    };
    assert_eq!(change("mine").status, 200);
    let refused = change("yours");
    assert_eq!((refused.status, &*refused.code()), (412, "changed"));
    assert_eq!(get(&gateway, &path).json()["name"], "mine");
}

#[test]
fn keys_come_in_pages_until_there_are_no_more() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let mut made: Vec<String> = (0..5)
        .map(|_| create(&gateway, "{\"consumer\":\"acme\"}").0)
        .collect();
    made.sort();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&gateway, &format!("/v1/keys?limit=2{cursor}")).json();
        let items = page["items"].as_array().unwrap();
        found.extend(
            items
                .iter()
                .map(|key| key["id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, made);
}

/// Amazon's sample file, with the names of our plans.
const FILE: &str = "Enabled,Name,key,UsageplanIds\n\
    true,MyFirstApiKey,apikey1234abcdefghij0123456789,\"planA,planB\"\n\
    true,Second,apikey2234abcdefghij0123456789,planA\n\
    false,Third,apikey3234abcdefghij0123456789,\n";

#[test]
fn amazons_file_is_imported_and_no_key_is_left_in_the_database_or_the_log() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    for (name, api) in [("planA", "a"), ("planB", "b")] {
        let plan = format!(
            "{{\"name\":\"{name}\",\"rate\":{{\"per_second\":5,\"burst\":10}},\"apis\":[\"{api}\"]}}"
        );
        assert_eq!(call(&gateway, "POST", "/v1/plans", &plan).status, 201);
    }
    let import = |file: &str, query: &str| {
        let path = format!("/v1/keys/import{query}");
        let request = request("POST", &path).header("content-type", "text/csv");
        send(&gateway, &request.body(file))
    };
    let bad = import(
        &format!("{FILE}true,Fourth,short,\n"),
        "?fail_on_warnings=true",
    );
    assert_eq!((bad.status, &*bad.code()), (400, "rows_wrong"));
    let row = &bad.json()["warnings"][0];
    assert_eq!((&row["line"], &row["column"]), (&5.into(), &3.into()));
    assert_eq!(
        get(&gateway, "/v1/keys").json()["items"]
            .as_array()
            .unwrap()
            .len(),
        0
    );

    let good = import(FILE, "");
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(good.json()["ids"].as_array().unwrap().len(), 3);
    let statuses = ["1", "2", "3"]
        .map(|number| status_with(&gateway, &format!("apikey{number}234abcdefghij0123456789")));
    assert_eq!(statuses, [200, 200, 403]);
    let (_, secret) = create(&gateway, "{\"consumer\":\"acme\"}");
    assert_eq!(status_with(&gateway, &secret), 200);
    let again = import(FILE, "").json();
    assert_eq!(again["left_out"], 3);

    let mut read = 0;
    for entry in std::fs::read_dir(gateway.folder()).unwrap() {
        let path = entry.unwrap().path();
        if !path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("windlass.db")
        {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        read += bytes.len();
        for text in ["apikey1234abcdefghij0123456789", &*secret, &secret[3..]] {
            let found = bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes());
            assert!(!found, "{} holds a key", path.display());
        }
    }
    assert!(read > 4096, "the database is not where it was");
    for text in ["apikey1234abcdefghij0123456789", &*secret] {
        assert!(!gateway.log().text().contains(text), "the log holds a key");
    }
}

#[test]
fn a_name_that_a_spreadsheet_would_run_comes_back_as_it_was() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    create(&gateway, "{\"consumer\":\"@acme\",\"name\":\"=1+1\"}");
    let exported = get(&gateway, "/v1/keys/export?format=csv");
    assert!(
        exported.text().contains(",'=1+1,'@acme,"),
        "{}",
        exported.text()
    );
    let import = request("POST", "/v1/keys/import").header("content-type", "text/csv");
    let file = "name,key\n'=1+1,apikey1234abcdefghij0123456789\n";
    let made = send(&gateway, &import.body(file)).json();
    let path = format!("/v1/keys/{}", made["ids"][0].as_str().unwrap());
    assert_eq!(get(&gateway, &path).json()["name"], "=1+1");
}

#[test]
fn an_import_tells_how_far_it_is_and_an_export_is_whole() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let mut file = "name,key\n".to_owned();
    for number in 0..1500 {
        file += &format!("n{number},key-{number:020}\n");
    }
    let request = request("POST", "/v1/keys/import")
        .header("content-type", "text/csv")
        .header("accept", "application/x-ndjson");
    let answer = send(&gateway, &request.body(file));
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<serde_json::Value> = answer
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[1], serde_json::json!({ "done": 1000, "of": 1500 }));
    assert_eq!(lines.last().unwrap()["ids"].as_array().unwrap().len(), 1500);
    // An export is sent in several chunks too.
    let exported = get(&gateway, "/v1/keys/export");
    assert_eq!(exported.json().as_array().unwrap().len(), 1500);
    let exported = get(&gateway, "/v1/keys/export?format=csv");
    assert_eq!(exported.text().lines().count(), 1501);
}

#[test]
fn a_key_in_the_place_of_a_name_is_not_repeated() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys", "plan"], &upstream);
    let plan = "{\"name\":\"gold\",\"quota\":{\"limit\":2,\"period\":\"day\"}}";
    assert_eq!(call(&gateway, "POST", "/v1/plans", plan).status, 201);
    let (id, key) = create(&gateway, "{\"consumer\":\"acme\"}");
    let import = |row: &str| {
        let path = "/v1/keys/import?fail_on_warnings=true";
        let request = request("POST", path).header("content-type", "text/csv");
        let head = "name,key,usageplanids,enabled\n";
        send(&gateway, &request.body(format!("{head}{row}\n")))
    };
    let unused = "apikey1234abcdefghij0123456789";
    let json = |method: &str, path: &str, body: String| call(&gateway, method, path, &body);
    let answers = [
        get(&gateway, &format!("/v1/keys/{key}")),
        get(&gateway, &format!("/v1/plans/{key}")),
        get(&gateway, &format!("/v1/keys?{key}=1")),
        get(&gateway, &format!("/v1/keys?plan={key}!")),
        get(&gateway, &format!("/v1/usage?plan={key}")),
        get(&gateway, &format!("/v1/usage?plan=gold&key={key}")),
        get(&gateway, &format!("/v1/usage?plan=gold&format={key}")),
        send(&gateway, &request("DELETE", &format!("/v1/keys/{key}"))),
        json("POST", &format!("/v1/keys/{key}/rotate"), String::new()),
        json(
            "POST",
            "/v1/keys",
            format!("{{\"consumer\":\"a\",\"plans\":[\"{key}\"]}}"),
        ),
        json(
            "POST",
            "/v1/keys",
            format!("{{\"consumer\":\"a\",\"{key}\":1}}"),
        ),
        json(
            "PATCH",
            &format!("/v1/keys/{id}"),
            format!("{{\"metadata\":{{\"{key}\":\"a\\nb\"}}}}"),
        ),
        json(
            "PATCH",
            &format!("/v1/keys/{id}"),
            format!("{{\"metadata\":{{\"{key}\":7}}}}"),
        ),
        json("POST", "/v1/plans", format!("{{\"name\":\"{key}\"}}")),
        json(
            "PATCH",
            &format!("/v1/plans/gold/usage/{key}"),
            "{\"remaining\":1}".to_owned(),
        ),
        json(
            "PATCH",
            &format!("/v1/plans/{key}/usage/{id}"),
            "{\"remaining\":1}".to_owned(),
        ),
        import(&format!("a,{unused},{key},")),
        import(&format!("a,{unused},\"{key},{key}\",")),
        import(&format!("a,{unused},,{key}")),
    ];
    for (place, answer) in answers.iter().enumerate() {
        assert!(answer.status >= 400, "{place}: {}", answer.text());
        assert!(
            !answer.text().contains(&key[7..]),
            "{place}: {}",
            answer.text()
        );
    }
    let request = Request::get(format!("/v1/keys/{key}")).header("connection", "close");
    assert_eq!(send(&gateway, &request).status, 401);
    gateway
        .log()
        .wait_for_line(|line| line.contains("token_missing"));
    assert!(
        !gateway.log().text().contains(&key[7..]),
        "the log holds a key"
    );
}

#[test]
fn who_stalls_with_a_file_holds_nobody_up() {
    let upstream = Upstream::text("ok");
    let gateway = start(&["keys"], &upstream);
    let import = || request("POST", "/v1/keys/import").header("content-type", "text/csv");
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let head = import().header("content-length", "1000000").bytes();
        let mut client = windlass_tests::Client::connect(gateway.admin_address());
        client.send_raw(head);
        client.send_raw("name,key\n");
        stalled.push(client);
    }
    let file = "name,key\none,apikey1234abcdefghij0123456789\n";
    let done = send(&gateway, &import().body(file));
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(get(&gateway, "/v1/keys/export").status, 200);
}

#[test]
fn keys_of_the_configuration_are_shown_and_not_changed() {
    let upstream = Upstream::text("ok");
    let key = crate::config::key("fixed-1", "alice", "alice", "");
    let gateway = builder(&["keys"], &upstream, &key).start();
    let shown = get(&gateway, "/v1/keys/fixed-1").json();
    assert_eq!(
        (&shown["source"], &shown["consumer"]),
        (&"configuration".into(), &"alice".into())
    );
    let refused = call(&gateway, "PATCH", "/v1/keys/fixed-1", "{\"enabled\":false}");
    assert_eq!(
        (refused.status, &*refused.code()),
        (409, "defined_in_configuration")
    );
    let body = "{\"consumer\":\"eve\",\"value\":\"alice-alice-alice-alice\"}";
    assert_eq!(call(&gateway, "POST", "/v1/keys", body).status, 201);
    let with = Request::get("/").header("x-api-key", "alice-alice-alice-alice");
    assert_eq!(gateway.send(&with).status, 200);
}

//! The access log in the operator's own format: templates, chosen fields, masked values. And the gateway's own log
//! as JSON.

use serde_json::{Value, json};
use windlass_tests::{Gateway, Request, Upstream, wait};

use crate::config::{start, upstream};

const FIXED: &str = "[[route]]\nname = \"all\"\npath = \"$default\"\nrespond = { body = \"ok\" }\n";

fn text(gateway: &Gateway) -> String {
    assert!(gateway.terminate().success());
    format!("{}\n", gateway.output().whole())
}

fn logging(keys: &str) -> Gateway {
    start(&["[log]\naccess = \"stdout\"\n", keys, FIXED])
}

#[test]
fn a_template_is_filled_in_and_has_a_dash_for_what_is_absent() {
    let endpoint = Upstream::text("four");
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\naccess_format = '${client} \"${method} ${path}${query} ${protocol}\" ${status} \
         ${response_bytes} \"${user_agent}\" ${upstream} ${endpoint} ${api}/${stage} ${consumer} $${x} ${header.x-a}'\n\
         [api.shop]\nstage = \"prod\"\n\
         [[route]]\napi = \"shop\"\npath = \"/orders/{id}\"\nupstream = \"app\"\n",
        &upstream("app", &[endpoint.address()]),
    ]);
    let request = Request::get("/orders/1?a=b")
        .header("user-agent", "curl/8")
        .header("x-a", "1");
    assert_eq!(gateway.send(&request).status, 200);
    let line = format!(
        "127.0.0.1 \"GET /orders/1?a=b HTTP/1.1\" 200 4 \"curl/8\" app {} shop/prod - ${{x}} 1\n",
        endpoint.address()
    );
    assert_eq!(text(&gateway), line);
}

#[test]
fn times_of_a_template_are_in_seconds_or_microseconds() {
    let gateway = logging("access_format = \"${duration_s} ${duration_us} ${upstream_s}\"\n");
    assert_eq!(gateway.get("/").status, 200);
    let text = text(&gateway);
    let parts: Vec<&str> = text.trim_end().split(' ').collect();
    let seconds: f64 = parts[0].parse().unwrap();
    let micros: f64 = parts[1].parse().unwrap();
    assert!((seconds - micros / 1e6).abs() < 0.1, "{text}");
    assert!(parts[0].split_once('.').unwrap().1.len() == 3, "{text}");
    assert_eq!(parts[2], "-");
}

#[test]
fn a_client_cannot_forge_a_line_or_end_a_quoted_value() {
    let gateway =
        logging("access_format = '\"${user_agent}\" \"${referer}\" \"${host}\" \"${path}\"'\n");
    let request = Request::get("/%22%0A")
        .header("user-agent", "a\" 200 \"\\x")
        .header("referer", "\tb\"");
    assert_eq!(gateway.send(&request).status, 200);
    let line = "\"a\\x22 200 \\x22\\x5Cx\" \"b\\x22\" \"gateway.test\" \"/%22%0A\"\n";
    assert_eq!(text(&gateway), line);
}

#[test]
fn secrets_of_queries_and_fields_are_masked() {
    let gateway = logging(
        "access_format = '${query} ${referer} ${header.authorization} ${header.x-team} ${header.x-b}'\n\
         access_mask = [\"Session\", \"x-team\"]\n",
    );
    let request = Request::get("/?q=1&access_token=s1&SESSION=s2&%6Bey=s3")
        .header("referer", "https://a.example/?password=s4&p=2")
        .header("authorization", "Bearer s5")
        .header("x-team", "s6")
        .header("x-b", "7");
    assert_eq!(gateway.send(&request).status, 200);
    let line = "?q=1&access_token=***&SESSION=***&%6Bey=*** https://a.example/?password=***&p=2 *** *** 7\n";
    assert_eq!(text(&gateway), line);
}

#[test]
fn json_has_the_chosen_fields_in_their_order() {
    let gateway = logging(
        "access_fields = [\"status\", \"path\", \"query\", \"route\", \"plan\", \"header.x-a\"]\n",
    );
    assert_eq!(gateway.get("/a").status, 200);
    let wanted = "{\"status\":200,\"path\":\"/a\",\"query\":null,\"route\":\"all\",\"plan\":null,\"header.x-a\":null}";
    assert_eq!(text(&gateway), format!("{wanted}\n"));
}

#[test]
fn a_reload_changes_the_format() {
    let gateway = logging("access_format = \"one ${path}\"\n");
    assert_eq!(gateway.get("/1").status, 200);
    gateway.reload(format!(
        "[log]\naccess = \"stdout\"\naccess_format = \"two ${{path}}\"\n{FIXED}"
    ));
    assert_eq!(gateway.get("/2").status, 200);
    // Each worker writes its own lines.
    let text = text(&gateway);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one /1", "two /2"]);
}

#[test]
fn a_file_is_rotated_once_it_is_large() {
    let gateway = start(&[
        "[log]\naccess = \"access.log\"\naccess_format = \"${path}\"\nrotate = { size = \"64KiB\", keep = 2 }\n",
        FIXED,
    ]);
    let path = format!("/{}", "a".repeat(4000));
    let file = |name: &str| gateway.folder().join(name);
    wait::until("two rotated files", || {
        assert_eq!(gateway.get(&path).status, 200);
        file("access.log.2").exists().then_some(())
    });
    for name in ["access.log.1", "access.log.2"] {
        let text = std::fs::read_to_string(file(name)).unwrap();
        assert!(text.len() <= 64 * 1024 && text.ends_with('\n'), "{name}");
        assert!(text.lines().all(|line| line == path), "{name}");
    }
}

#[test]
fn the_gateways_own_log_is_json() {
    let gateway = start(&["[log]\nformat = \"json\"\n", FIXED]);
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("\"message\":\"listening\""));
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], json!("INFO"));
    assert!(
        line["address"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{line}"
    );
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    assert!(gateway.terminate().success());
    for line in gateway.log().all() {
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
}

//! `windlass demo`: each command that it prints has the result that the text beside it promises.

use std::net::TcpListener;
use std::process::Command;

use windlass_tests::{Lines, command};

/// The demo process. Dropping this value ends it.
struct Demo(std::process::Child);

impl Drop for Demo {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(line: &str) -> String {
    let ran = Command::new("sh")
        .args(["-c", line])
        .output()
        .expect("a shell");
    assert!(
        ran.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    String::from_utf8(ran.stdout).expect("text")
}

/// Checks the status line, and that the response contains all of these texts.
fn assert_answer(given: &str, status: &str, texts: &[&str]) {
    let first = given.lines().next().unwrap_or_default();
    assert!(first.starts_with(&format!("HTTP/1.1 {status}")), "{given}");
    for text in texts {
        assert!(given.contains(text), "no {text} in\n{given}");
    }
}

#[test]
#[ignore = "needs curl and the demo's ports: 8080, 9080, 9101 to 9104"]
fn every_line_of_the_demo_gives_what_it_promises() {
    for port in [8080, 9080, 9101, 9102, 9103, 9104, 9109] {
        drop(TcpListener::bind(("127.0.0.1", port)).expect("a free port"));
    }
    let mut demo = Demo(command(["demo"]).spawn().expect("the demo to start"));
    let printed = Lines::of(demo.0.stdout.take().expect("its standard output"));
    printed.wait_for_line(|line| line.contains("Ctrl-C"));
    let printed = printed.all();
    let lines: Vec<(&str, &str)> = printed
        .windows(2)
        .filter_map(|pair| {
            let (number, promise) = pair[0].trim().split_once(". ")?;
            number.parse::<u8>().ok()?;
            Some((promise, pair[1].trim()))
        })
        .collect();
    assert_eq!(lines.len(), 18, "{printed:?}");
    for (promise, line) in lines {
        let given = run(line);
        let (what, _) = promise.split_once(':').unwrap_or((promise, ""));
        match what {
            "an answer of the gateway's own" => {
                assert_eq!(given, "hello from the gateway itself\n");
            }
            "no key" => assert_answer(&given, "401", &["api_key_missing"]),
            "a key that nobody issued" => assert_answer(&given, "403", &["api_key_rejected"]),
            "alice's key" => assert!(given.starts_with("endpoint "), "{given}"),
            "six requests over weights 3" => {
                let count = |name: &str| given.matches(&format!("endpoint {name} ")).count();
                assert_eq!(given.lines().count(), 6, "{given}");
                assert_eq!((count("A"), count("B"), count("C")), (3, 2, 1), "{given}");
            }
            "headers made by a filter" => {
                assert_answer(
                    &given,
                    "200",
                    &["consumer alice", "order 42", "x-served-by: windlass"],
                );
            }
            "bob's plan is three at once and one a second" => {
                assert_eq!(given.trim(), "200 200 200 429 429");
            }
            "carol's plan is two a day" => {
                let statuses: Vec<_> = given.lines().filter(|line| line.len() == 3).collect();
                assert_eq!(statuses, ["200", "200", "429"], "{given}");
                assert!(given.contains("quota_spent"), "{given}");
            }
            "a chain of six filters (cors, metadata, token, keys, plan, rewrite), without a token" =>
            {
                assert_answer(
                    &given,
                    "401",
                    &["token_missing", "www-authenticate: Bearer"],
                );
            }
            "with a token of the demo's issuer and a key" => {
                let told = ["user dana, consumer alice, order 42", "vary: Origin"];
                assert_answer(&given, "200", &told);
            }
            "a token without the scope orders" => {
                assert_answer(&given, "403", &["insufficient_scope"]);
            }
            "a browser's preflight, which needs neither" => {
                let told = [
                    "access-control-allow-origin: http://localhost:3000",
                    "access-control-allow-headers: authorization, x-api-key",
                ];
                assert_answer(&given, "204", &told);
            }
            "the OpenAPI document of that API, made of its routes and filters" => {
                let document: serde_json::Value = serde_json::from_str(&given).expect("JSON");
                assert_eq!(document["openapi"], "3.1.0");
                let operation = &document["paths"]["/shop/orders/{id}"]["get"];
                let demands = operation["security"][0].as_object().expect("a demand");
                assert_eq!(demands.len(), 2, "{operation}");
            }
            "no such path" => assert_answer(&given, "404", &["no_route"]),
            "a path that is there, a method that is not" => {
                assert_answer(&given, "405", &["allow: GET, PUT"]);
            }
            "an upstream where nothing listens" => {
                assert_answer(&given, "502", &["connect_failed"]);
            }
            "a redirect" => assert_answer(&given, "308", &["location: /orders"]),
            "the operator's numbers" => {
                assert!(
                    given.contains("windlass_filter_calls_total{filter=\"keys\"}"),
                    "{given}"
                );
            }
            other => panic!("a line that no test knows: {other}"),
        }
    }
}

//! The dashboard and the alert rules of `contrib/` work as they are.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use windlass_tests::{Client, Gateway, Request, Upstream, wait};

use crate::config::{api_key, filtered, key};

fn contrib(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../contrib")
        .join(name)
}

#[test]
#[ignore = "it calls promtool"]
fn the_alert_rules_are_good_and_fire_when_they_should() {
    for arguments in [
        ["check", "rules", "windlass.rules.yml"],
        ["test", "rules", "windlass.test.yml"],
    ] {
        let said = Command::new("promtool")
            .args(arguments)
            .current_dir(contrib("prometheus"))
            .output()
            .expect("promtool");
        let text = String::from_utf8_lossy(&said.stdout);
        let errors = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{text}{errors}");
    }
}

/// Every expression of the dashboard, as Grafana sends it with everything selected.
fn expressions() -> Vec<String> {
    let text = fs::read_to_string(contrib("grafana/windlass.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    let with_values = |text: String| {
        ["$instance", "$api", "$route", "$upstream"]
            .iter()
            .fold(text, |text, variable| text.replace(variable, ".*"))
            .replace("$__rate_interval", "20s")
    };
    found.into_iter().map(with_values).collect()
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// Ends the process when the test does.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(folder: &Path, target: SocketAddr) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let rules = contrib("prometheus/windlass.rules.yml");
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [\"{}\"]\nscrape_configs:\n  - job_name: windlass\n    static_configs:\n      - targets: [\"{target}\"]\n",
            rules.display()
        );
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        let child = Command::new("prometheus")
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus");
        wait::until("Prometheus to listen", || {
            std::net::TcpStream::connect(address).ok()
        });
        Self { child, address }
    }

    /// How many series the expression gives.
    fn count(&self, expression: &str) -> usize {
        let encode = |byte: u8| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        let query: String = expression.bytes().map(encode).collect();
        let path = format!("/api/v1/query?query={query}");
        let answer = Client::connect(self.address).send(&Request::get(&path));
        let answer: Value = serde_json::from_str(answer.text()).unwrap();
        // It still starts, or the expression is bad.
        assert_ne!(answer["errorType"], "bad_data", "{expression}: {answer}");
        answer["data"]["result"].as_array().map_or(0, Vec::len)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "it calls prometheus"]
fn every_query_of_the_dashboard_has_data() {
    let endpoint = Upstream::text("one");
    let config = filtered(&["keys"], endpoint.address())
        + "health = { path = \"/\", interval = \"500ms\" }\n"
        + &api_key("{}")
        + &key("k", "acme", "a-key-that-is-good", "");
    let gateway = Gateway::with_config(&config).start();
    gateway.reload(&config);
    let prometheus = Prometheus::start(gateway.folder(), gateway.admin_address());
    let expressions = expressions();
    assert!(expressions.len() > 30, "{expressions:?}");
    let good = Request::get("/").header("x-api-key", "a-key-that-is-good");
    for expression in expressions {
        wait::until(&expression, || {
            assert_eq!(gateway.send(&good).status, 200);
            assert_eq!(gateway.get("/").status, 401);
            // An error of the gateway's own.
            assert_eq!(gateway.get("/%zz").status, 400);
            (prometheus.count(&expression) > 0).then_some(())
        });
    }
}

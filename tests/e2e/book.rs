//! Pages of the book: their configurations are valid, and their tables are complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use windlass_tests::{Builder, Client, ClosedPort, Gateway, Request, Upstream};

use crate::config::{start, upstream};
use crate::jwt::Signer;
use crate::operator::{self, STORE, WRITE};
use crate::stapling;
use crate::wire::Authority;

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name)
}

/// The fenced blocks in this language. Those in `toml` are configurations of the gateway.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("\n```{language}\n");
    let parts = page.split(fence.as_str()).skip(1);
    parts
        .map(|part| part.split_once("\n```").expect("a fence that closes").0)
        .collect()
}

/// Makes a block into a whole file: adds the tables that it names and does not show, and replaces everything that
/// belongs to another machine.
fn whole(block: &str) -> String {
    let mut file = format!("\n{block}\n");
    let endpoint = "endpoints = [{ address = \"127.0.0.1:9\" }]";
    for (table, body) in [
        ("[[listener]]", "address = \"127.0.0.1:0\""),
        ("[[route]]", "path = \"$default\"\nupstream = \"app\""),
        ("[upstream.app]", endpoint),
        ("[upstream.orders]", endpoint),
        ("[upstream.shop]", endpoint),
        ("[filter.keys]", "plugin = \"builtin:api-key\""),
        (
            "[verifier.issuer]",
            "jwks_file = \"keys.json\"\naudiences = [\"orders\"]",
        ),
        ("[callout.auth]", "url = \"https://auth.example/\""),
        ("[secret.redis]", "env = \"SECRET\""),
    ] {
        if !file.contains(&format!("\n{table}")) {
            file += &format!("\n{table}\n{body}\n");
        }
    }
    for (there, here) in [
        // No test fetches the keys of an issuer.
        (
            "discovery_url = \"https://issuer.example/.well-known/openid-configuration\"",
            "jwks_file = \"keys.json\"",
        ),
        ("redis.internal:6379", "127.0.0.1:9"),
        ("orders.internal", "127.0.0.1"),
        ("app:3000", "127.0.0.1:3000"),
        ("0.0.0.0:443", "127.0.0.1:0"),
        ("0.0.0.0:80\"", "127.0.0.1:0\""),
        ("10.0.0.5:9080", "127.0.0.1:0"),
        ("/var/log/windlass/", ""),
        ("/var/lib/windlass/", ""),
        ("/etc/windlass/", ""),
    ] {
        file = file.replace(there, here);
    }
    // One environment variable serves for all secrets.
    let words: Vec<_> = file.split("env = \"").map(str::to_owned).collect();
    let mut words = words.into_iter();
    let first = words.next().unwrap_or_default();
    words.fold(first, |text, word| {
        let rest = word.split_once('"').expect("a name that ends").1;
        text + "env = \"SECRET\"" + rest
    })
}

#[test]
fn every_config_of_the_book_is_good() {
    let (signer, authority) = (Signer::new("one", 1), Authority::new());
    let identity = authority.issue(&["localhost"]);
    let revoked = authority.revocations(&[], 2090);
    let (mut wrong, mut count) = (Vec::new(), 0);
    for folder in ["", "tutorials", "how-to", "explanation", "reference"] {
        for entry in fs::read_dir(docs(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            let page = fs::read_to_string(&path).unwrap();
            // Blocks with a reader's own plugin are left out.
            for block in blocks(&page, "toml")
                .iter()
                .filter(|block| !block.contains(".wasm"))
            {
                count += 1;
                let file = whole(block);
                let mut builder = Gateway::with_config(&file)
                    .file("keys.json", signer.set())
                    .file("ca.pem", &authority.pem)
                    .file("clients.pem", &authority.pem)
                    .file("revoked.pem", &revoked)
                    .env("SECRET", &"x".repeat(64));
                for name in ["api", "admin", "default", "shop", "shop-rsa", "wildcard"] {
                    builder = builder
                        .file(&format!("{name}.pem"), &identity.certificate)
                        .file(&format!("{name}.key"), &identity.key);
                }
                if file.contains("api.ocsp") {
                    builder = builder
                        .file("ca.key", authority.key_pem())
                        .in_folder(|folder| stapling::respond(folder, "V"));
                }
                for name in ["ops.token", "prometheus.token"] {
                    builder = builder.file(name, "a-token-of-an-operator");
                }
                let checked = builder.check();
                if checked.code != Some(0) {
                    wrong.push(format!("{}:\n{file}\n{}", path.display(), checked.errors));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n----\n"));
    assert!(count >= 25, "{count}");
}

/// A metric family of `/metrics`.
#[derive(Default)]
struct Described {
    help: String,
    kind: String,
    labels: BTreeSet<String>,
}

fn describe(gateway: &Gateway, families: &mut BTreeMap<String, Described>) {
    let request = Request::get("/metrics").header("accept", "text/plain");
    let answer = Client::connect(gateway.admin_address()).send(&request);
    let mut name = String::new();
    for row in answer.text().lines() {
        if let Some(rest) = row.strip_prefix("# HELP ") {
            let (family, help) = rest.split_once(' ').unwrap();
            family.clone_into(&mut name);
            help.clone_into(&mut families.entry(name.clone()).or_default().help);
        } else if let Some(rest) = row.strip_prefix("# TYPE ") {
            let kind = rest.split_once(' ').unwrap().1;
            kind.clone_into(&mut families.get_mut(&name).unwrap().kind);
        } else if let Some((_, rest)) = row.split_once('{') {
            let parts: Vec<_> = rest.split("=\"").collect();
            let (_, parts) = parts.split_last().unwrap();
            let labels = parts.iter().filter_map(|part| {
                let word =
                    part.rsplit(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
                word.map(str::to_owned).next()
            });
            families.get_mut(&name).unwrap().labels.extend(labels);
        }
    }
}

#[test]
fn the_page_of_metrics_has_every_family() {
    let (endpoint, signer) = (Upstream::echo(), Signer::new("one", 1));
    let config = format!(
        "{STORE}\n{}\n[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"api.pem\", key = \"api.key\" }}\n\
         [[route]]\npath = \"/\"\nfilters = [\"token\", \"auth\"]\nupstream = \"app\"\n\
         [filter.token]\nplugin = \"builtin:jwt\"\nsettings = {{ verifiers = [\"issuer\"] }}\n\
         [filter.auth]\nplugin = \"builtin:authorizer\"\nsettings = {{ callout = \"auth\" }}\n\
         [verifier.issuer]\njwks_file = \"keys.json\"\naudiences = [\"orders\"]\n\
         [callout.auth]\nurl = \"http://127.0.0.1:9/\"\n",
        upstream("app", &[endpoint.address()])
    );
    let identity = Authority::new().issue(&["localhost"]);
    let with_a_file = Gateway::with_config(config)
        .file("ops.token", "a-token-that-may-write")
        .file("view.token", "a-token-that-may-read")
        .file("keys.json", signer.set())
        .file("api.pem", identity.certificate)
        .file("api.key", identity.key)
        .start();
    let away = ClosedPort::new();
    let with_redis = start(&[
        &format!("[store]\nurl = \"redis://{}/0\"\n", away.address()),
        "[[route]]\npath = \"/\"\nrespond = {}\n",
    ]);
    let mut families = BTreeMap::new();
    describe(&with_a_file, &mut families);
    describe(&with_redis, &mut families);
    let mut made =
        String::from("| family | kind | labels | meaning |\n| --- | --- | --- | --- |\n");
    for (name, family) in families {
        let labels: Vec<_> = family
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let (kind, labels, help) = (family.kind, labels.join(", "), family.help);
        made += &format!("| `{name}` | {kind} | {labels} | {help} |\n");
    }
    let path = docs("reference/metrics.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- metrics -->\n", "<!-- /metrics -->\n");
    let (before, rest) = page.split_once(begin).expect("where the table begins");
    let (committed, after) = rest.split_once(end).expect("where the table ends");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, [before, begin, &made, end, after].concat()).unwrap();
        return;
    }
    assert_eq!(
        committed, made,
        "UPDATE_EXPECT=1 writes docs/reference/metrics.md anew"
    );
}

#[test]
fn the_page_of_log_fields_has_every_field() {
    let port = ClosedPort::new();
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n[[route]]\npath = \"/orders/{id}\"\nfilters = [\"keys\"]\nupstream = \"app\"\n\
         [filter.keys]\nplugin = \"builtin:api-key\"\n\
         [[route]]\npath = \"/broken\"\nupstream = \"app\"\n",
        &upstream("app", &[port.address()]).replace(
            "[upstream.app]\n",
            "[upstream.app]\nretries = { attempts = 2 }\n",
        ),
    ]);
    assert_eq!(gateway.get("/broken").status, 502);
    let wrong = Request::get("/orders/1").header("x-api-key", "wrong");
    assert_eq!(gateway.send(&wrong).status, 403);
    assert!(gateway.terminate().success());
    let page = fs::read_to_string(docs("reference/log-fields.md")).unwrap();
    let text = gateway.output().whole();
    let mut fields = 0;
    for row in text.lines() {
        let exchange: Value = serde_json::from_str(row).unwrap();
        for name in exchange.as_object().unwrap().keys() {
            fields += 1;
            assert!(page.contains(&format!("| `{name}` | ")), "{name}");
        }
    }
    assert!(fields > 30, "{text}");
}

/// The configuration of a tutorial, with the addresses of this test in place of those on the page.
fn tutorial(page: &str, addresses: &[(&str, SocketAddr)]) -> Builder {
    let mut config = blocks(page, "toml")[0].to_owned();
    for (there, here) in addresses {
        assert!(config.contains(there), "{there}");
        config = config.replace(there, &here.to_string());
    }
    for port in ["8080", "9080"] {
        config = config.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0");
    }
    Gateway::with_config(config)
}

fn read(name: &str) -> String {
    fs::read_to_string(docs("tutorials").join(name)).unwrap()
}

#[test]
fn the_first_route_answers_as_the_tutorial_says() {
    let files = Upstream::text("one");
    let addresses = [("127.0.0.1:3000", files.address())];
    let gateway = tutorial(&read("first-route.md"), &addresses).start();
    assert_eq!(gateway.get("/files/one.txt").text(), "one");
    assert_eq!(files.only_request().target, "/files/one.txt");
    assert_eq!(gateway.get("/hello").text(), "hello\n");
    assert_eq!(gateway.get("/nothing").code(), "no_route");
    let wrong = gateway.send(&Request::post("/files/one.txt", ""));
    assert_eq!(wrong.code(), "method_not_allowed");
}

#[test]
fn the_key_of_the_tutorial_is_limited_by_its_plan() {
    let (orders, page) = (Upstream::text("{}"), read("keys-and-a-plan.md"));
    let gateway = tutorial(&page, &[("127.0.0.1:3000", orders.address())])
        .file("ops.token", WRITE)
        .start();
    assert_eq!(gateway.get("/orders/1").code(), "api_key_missing");
    let mut rows = blocks(&page, "sh").into_iter().flat_map(str::lines);
    let plan = rows
        .find_map(|row| row.strip_prefix("windlass plans "))
        .unwrap();
    let arguments: Vec<_> = ["plans"].into_iter().chain(plan.split(' ')).collect();
    let made = operator::windlass(&gateway, &arguments, WRITE, "");
    assert_eq!(made.code, Some(0), "{}", made.errors);
    let arguments = ["keys", "create", "--consumer", "acme", "--plan", "basic"];
    let made = operator::windlass(&gateway, &arguments, WRITE, "");
    assert_eq!(made.code, Some(0), "{}", made.errors);
    let request = Request::get("/orders/1").header("x-api-key", made.output.trim_end());
    let policy = "\"rate\";q=10;w=2, \"quota\";q=1000;w=86400";
    assert_eq!(
        gateway.send(&request).header("ratelimit-policy"),
        Some(policy)
    );
    assert!(page.contains(&format!("ratelimit-policy: {policy}\n")));
    // The burst admits nine more at once, and the rate five for each second that the test takes.
    let report = gateway.load(request).connections(1).run(100);
    assert!(report.status(200) >= 9, "{:?}", report.statuses);
    assert!(report.status(429) >= 1, "{:?}", report.statuses);
}

#[test]
fn the_canary_of_the_tutorial_takes_the_customers_that_it_shows() {
    let (stable, next) = (Upstream::text("stable"), Upstream::text("next"));
    let addresses = [
        ("127.0.0.1:3001", stable.address()),
        ("127.0.0.1:3002", next.address()),
    ];
    let page = read("canary.md");
    let gateway = tutorial(&page, &addresses).start();
    let of_next = || -> Vec<u32> {
        let asks = |customer: &u32| {
            let request = Request::get("/orders/1").header("x-customer", customer.to_string());
            gateway.send(&request).text() == "next"
        };
        (1..=200).filter(asks).collect()
    };
    let customers = of_next();
    assert_eq!(of_next(), customers);
    let shown = format!(
        "{:7} next\n{:7} stable",
        customers.len(),
        200 - customers.len()
    );
    assert!(page.contains(&shown), "{shown}");
}

/// The filter that `windlass plugin new --lang rust` writes.
const STARTER: &str = include_str!("../../kits/templates/rust/src/lib.rs");

#[test]
fn the_filter_of_the_tutorial_is_that_of_a_new_plugin_and_lets_only_listed_teams_pass() {
    let page = read("write-a-filter.md");
    let shown = blocks(&page, "rust,ignore");
    assert!(shown.len() >= 3, "{}", shown.len());
    let starter = STARTER.replace("{{name}}", "team-check");
    for block in shown {
        assert!(starter.contains(block), "not in the starter:\n{block}");
    }
    let component = include_bytes!(concat!(env!("OUT_DIR"), "/starter.wasm"));
    let builder = tutorial(&page, &[]).in_folder(|folder| {
        let build = folder.join("team-check/build");
        fs::create_dir_all(&build).unwrap();
        fs::write(build.join("team-check.wasm"), component).unwrap();
    });
    let gateway = builder.start();
    let from = |team: &str| Request::get("/orders/1").header("x-team", team);
    assert_eq!(gateway.get("/orders/1").code(), "team_missing");
    assert_eq!(gateway.send(&from("red")).code(), "team_unknown");
    assert_eq!(gateway.send(&from("blue")).text(), "an order\n");
}

/// The words in backticks of a cell.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn the_page_of_limits_names_keys_codes_and_metrics_that_exist() {
    let read = |name: &str| fs::read_to_string(docs(name)).unwrap();
    let (limits, config) = (read("reference/limits.md"), read("reference/config.md"));
    let (errors, metrics) = (read("reference/errors.md"), read("reference/metrics.md"));
    let gateway = start(&["[[route]]\npath = \"/\"\nrespond = {}\n"]);
    let answer = Client::connect(gateway.admin_address())
        .send(&Request::get("/metrics").header("accept", "text/plain"));
    let section = limits.split("## Limits on clients and on load\n").nth(1);
    let section = section.unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|row| row.starts_with("| "));
    let rows: Vec<Vec<&str>> = rows.skip(2).map(|row| row.split(" |").collect()).collect();
    assert!(rows.len() >= 15, "{}", rows.len());
    for row in &rows {
        let [_, key, _, sees, metric, ..] = row[..] else {
            panic!("{row:?}");
        };
        for key in quoted(key) {
            assert!(config.contains(&format!("\n| `{key}` | ")), "{key}");
        }
        for code in quoted(sees).filter(|word| {
            let is_word = |letter: char| letter.is_ascii_lowercase() || letter == '_';
            word.contains('_') && word.chars().all(is_word)
        }) {
            assert!(errors.contains(&format!("\n| `{code}` | ")), "{code}");
        }
        for series in quoted(metric) {
            let family = series.split('{').next().unwrap();
            assert!(metrics.contains(&format!("| `{family}` | ")), "{family}");
            let is_there = |line: &str| line.starts_with(series);
            assert!(answer.text().lines().any(is_there), "{series}");
        }
    }
    // Every word of the family has its row.
    for limit in gateway
        .metrics()
        .by("windlass_limits_hit_total", "limit")
        .keys()
    {
        let series = format!("`windlass_limits_hit_total{{limit=\"{limit}\"}}`");
        assert!(section.contains(&series), "{series}");
    }
}

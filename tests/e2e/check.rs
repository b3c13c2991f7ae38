//! `windlass check` reports everything that a start would report, all at once, and warns about
//! likely mistakes.

use std::net::TcpListener;

use windlass_tests::{Finished, Gateway};

const ROUTE: &str = "[[route]]\npath = \"$default\"\nrespond = { body = \"x\" }\n";
const UPSTREAM: &str = "[upstream.u]\nendpoints = [{ address = \"127.0.0.1:9\" }]\n";

fn check(config: &str) -> Finished {
    Gateway::with_config(config)
        .file("one", "a")
        .file("long", "a secret that nobody guesses")
        .file("longer", "a secret that nobody guesses, and a long one")
        .file("junk.db", "junk".repeat(1024))
        .file("junk.wasm", "junk".repeat(1024))
        .check()
}

/// The number of errors that the report gives at its end.
fn errors(checked: &Finished) -> usize {
    let last = checked.errors.lines().last().unwrap_or_default();
    let (number, _) = last.split_once(" error").unwrap_or_default();
    number.parse().unwrap_or_default()
}

/// Anything that stops a start is an error of `check`, with the same exit code. `check` creates no
/// files.
#[test]
fn what_stops_a_start_is_an_error() {
    for (what, more, text) in [
        (
            "no folder of the log",
            "[log]\naccess = \"none/a.json\"",
            "its folder does not exist",
        ),
        (
            "the log is a folder",
            "[log]\naccess = \".\"",
            "it is a folder",
        ),
        (
            "no folder of the store",
            "[store]\npath = \"none/s.db\"",
            "its folder does not exist",
        ),
        (
            "the store is a folder",
            "[store]\npath = \".\"",
            "it is a folder",
        ),
        (
            "the store is no database",
            "[store]\npath = \"junk.db\"",
            "is not an SQLite database",
        ),
        (
            "an address of another machine",
            "[[listener]]\naddress = \"192.0.2.1:8080\"",
            "is no address of this machine",
        ),
        (
            "no certificate of the operator's listener",
            "[admin]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"a.pem\", key = \"a.key\" }",
            "`[admin] tls`: ",
        ),
        (
            "no token",
            "[admin]\naddress = \"127.0.0.1:0\"\ntokens = [{ name = \"o\", role = \"read\", secret = \"t\" }]\n[secret.t]\nfile = \"none\"",
            "secret `t`",
        ),
        (
            "one file for two things",
            "[log]\naccess = \"s.db\"\n[store]\npath = \"s.db\"",
            "name the same file",
        ),
    ] {
        let checked = check(&format!("{ROUTE}{more}\n"));
        assert_eq!(checked.code, Some(2), "{what}: {}", checked.errors);
        assert!(checked.errors.contains(text), "{what}: {}", checked.errors);
    }
}

#[test]
fn addresses_that_overlap_are_an_error() {
    for (one, other, fails) in [
        ("127.0.0.1:18080", "0.0.0.0:18080", true),
        ("[::]:18080", "0.0.0.0:18080", true),
        ("[::]:18080", "127.0.0.1:18080", true),
        ("[::1]:18080", "0.0.0.0:18080", false),
        ("127.0.0.1:18080", "0.0.0.0:18081", false),
    ] {
        let listener = |address: &str| format!("[[listener]]\naddress = \"{address}\"\n");
        let checked = check(&format!("{}{}{ROUTE}", listener(one), listener(other)));
        let told = checked.errors.contains("addresses in common");
        assert_eq!(told, fails, "{one} {other}: {}", checked.errors);
    }
}

/// If the gateway that this file is for is running, its address is in use, and the file is still
/// valid.
#[test]
fn an_address_in_use_is_a_warning() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let checked = check(&format!("[[listener]]\naddress = \"{address}\"\n{ROUTE}"));
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    let text = format!("listener: address `{address}` is in use now");
    assert!(checked.errors.contains(&text), "{}", checked.errors);
}

#[test]
fn a_store_in_use_is_a_warning_and_is_not_disturbed() {
    let gateway = Gateway::with_config(format!("{ROUTE}[store]\npath = \"s.db\"\n")).start();
    let path = gateway.folder().join("s.db");
    let config = format!("{ROUTE}[store]\npath = \"{}\"\n", path.display());
    let checked = check(&config);
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    let text = "a gateway that runs has the store";
    assert!(checked.errors.contains(text), "{}", checked.errors);
    assert_eq!(gateway.get("/").status, 200);
}

/// Errors of the file, of plugins and of the files that they name are reported together.
#[test]
fn all_errors_are_told_at_once() {
    let config = format!(
        "{ROUTE}
[server]
wrkers = 2
[secret.t]
file = \"none\"
[[route]]
path = \"/a\"
filters = [\"missing\", \"bad\", \"odd\"]
respond = {{}}
[filter.missing]
plugin = \"none.wasm\"
[filter.bad]
plugin = \"junk.wasm\"
[filter.odd]
plugin = \"builtin:transform\"
settings = {{ request = [{{ op = \"turn\" }}] }}
"
    );
    let checked = check(&config);
    assert_eq!(checked.code, Some(2));
    for text in [
        "unknown key `wrkers`",
        "filter `missing`: its plugin",
        "filter `bad`: its plugin",
        "filter `odd`: ",
        "secret `t`",
    ] {
        assert!(checked.errors.contains(text), "{text}: {}", checked.errors);
    }
}

/// The operator bounds how much of a body a filter may get.
#[test]
fn a_filter_that_may_ask_for_bodies_is_shown_with_its_bound() {
    let config = "[[route]]
path = \"/a\"
filters = [\"l\", \"t\"]
respond = { body = \"x\" }
[filter.l]
plugin = \"builtin:rate-limit\"
settings = { bounds = [{ name = \"all\", limit = 1, window = \"1s\" }] }
[filter.t]
plugin = \"builtin:transform\"
limits = { body = \"3KiB\" }
settings = { request = [{ op = \"set\", body = \"/a\", value = \"b\" }] }
";
    let checked = check(config);
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
    let lines = checked.output.lines().map(str::trim);
    let bodies: Vec<_> = lines.filter(|line| line.starts_with("bodies: ")).collect();
    let line = "bodies: whole bodies up to 3KiB (`limits.body`), if its settings ask for them";
    assert_eq!(bodies, [line], "{}", checked.output);
}

/// An unknown setting hides no other error of the same settings.
#[test]
fn all_errors_of_the_settings_of_a_filter_are_told_at_once() {
    let config = format!(
        "{ROUTE}[filter.l]
plugin = \"builtin:rate-limit\"
[filter.l.settings]
shadwo = true
cost = 0
bounds = [
    {{ name = \"a b\", limit = \"x\", window = \"1s\" }},
    {{ nmae = \"b\", limit = 1, window = \"1s\" }},
    {{ name = \"c\", limit = 1, window = \"1\", burts = 5 }},
]
"
    );
    let checked = check(&config);
    assert_eq!(checked.code, Some(2));
    for text in [
        "windlass.toml:7:10: filter `l`: unknown field `shadwo`",
        "windlass.toml:8:8: filter `l`: must be at least 1",
        "invalid type: string \"x\"",
        "unknown field `nmae`",
        "missing field `name`",
        "windlass.toml:12:39: filter `l`: wants a time from",
        "unknown field `burts`",
    ] {
        assert!(checked.errors.contains(text), "{text}: {}", checked.errors);
    }
}

/// An impossible filter order, conflicting routes and settings that a plugin refuses are reported
/// even if the same tables have other errors.
#[test]
fn errors_that_need_the_chain_are_told_beside_others() {
    let keys = "[filter.keys]\nplugin = \"builtin:api-key\"\n";
    let plan = "[filter.plan]\nplugin = \"builtin:usage-plan\"\n";
    let route = |filters: &str, more: &str| {
        format!(
            "[[route]]\npath = \"/a\"\nfilters = [{filters}]\n{more}\nrespond = {{ body = \"x\" }}\n"
        )
    };
    let odd = |keys: &str| {
        format!(
            "[filter.odd]\nplugin = \"builtin:transform\"\n{keys}\nsettings = {{ request = [{{ op = \"turn\" }}] }}\n"
        )
    };
    let wrong = "\"plan\", \"keys\"";
    let later =
        "filter `plan` requires attribute `api-key.id`, which filter `keys` provides, but later";
    let nobody =
        "filter `plan` requires attribute `api-key.id`, which no filter before it provides";
    let twice = "[[route]]\npath = \"/{x}\"\nrespond = { body = \"x\" }\n[[route]]\npath = \"/{y}\"\nrespond = { body = \"x\" }\nmax_bdy = \"1MiB\"\n";
    for (what, config, text) in [
        ("an unknown key of the route", route(wrong, "mehtods = [\"GET\"]") + keys + plan, later),
        ("no end", format!("[[route]]\npath = \"/a\"\nfilters = [{wrong}]\n{keys}{plan}"), later),
        ("a path that cannot be read", format!("[[route]]\npath = \"a\"\nfilters = [{wrong}]\nrespond = {{ body = \"x\" }}\n{keys}{plan}"), later),
        ("a filter that does not exist", route("\"plan\", \"none\"", "") + plan, nobody),
        ("a filter that refuses its settings", route("\"odd\", \"plan\"", "") + &odd("") + plan, nobody),
        ("a filter that cannot be read", format!("{}[filter.first]\nplugin = 5\n{keys}{plan}", route(wrong, "")), later),
        ("an unknown key of the filter", route("\"odd\"", "") + &odd("on_eror = \"skip\""), "filter `odd`: "),
        ("an unknown key of a route that conflicts", twice.to_owned(), "matches just what"),
        ("a log without a name", format!("[log]\naccess = \"\"\n{}{keys}{plan}", route(wrong, "")), later),
        (
            "a name that does not exist",
            "[[route]]\npath = \"/a\"\nupstream = \"u\"\nmax_bdy = 1\n[upstream.u]\nendpoints = [{ address = \"no.invalid:80\" }]\ntls = { ca = \"none.pem\" }\n".to_owned(),
            "`none.pem`",
        ),
    ] {
        let checked = check(&config);
        assert_eq!(checked.code, Some(2), "{what}: {}", checked.errors);
        assert!(checked.errors.contains(text), "{what}: {}", checked.errors);
        // The other error is reported as well.
        assert!(errors(&checked) >= 2, "{what}: {}", checked.errors);
    }
}

/// An error that may be a consequence of another one is not reported.
#[test]
fn nothing_that_may_be_wrong_is_told_beside_an_error() {
    let keys = "[filter.keys]\nplugin = \"builtin:api-key\"\n";
    let plan = "[filter.plan]\nplugin = \"builtin:usage-plan\"\n";
    let route = |filters: &str| {
        format!("[[route]]\npath = \"/a\"\nfilters = [{filters}]\nrespond = {{ body = \"x\" }}\n")
    };
    let at = |path: &str, more: &str| {
        format!("[[route]]\npath = \"{path}\"\n{more}\nrespond = {{ body = \"x\" }}\n")
    };
    for (what, config, there) in [
        (
            "a filter that may provide it",
            route("\"none\", \"plan\"") + plan,
            1,
        ),
        (
            "a plugin that may provide it",
            route("\"own\", \"plan\"") + plan + "[filter.own]\nplugin = \"junk.wasm\"\n",
            1,
        ),
        (
            "settings that may be right",
            route("\"keys\", \"plan\"") + keys + plan + "settigns = { from = [] }\n",
            1,
        ),
        (
            "settings that are missing",
            route("\"odd\"")
                + "[filter.odd]\nplugin = \"builtin:transform\"\nsettings = { request = [{ op = \"set\", header = \"x\", value = nan }] }\n",
            1,
        ),
        (
            "hosts that may differ",
            at("/{x}", "") + &at("/{y}", "host = \"a.test\""),
            1,
        ),
        (
            "methods that may differ",
            at("/{x}", "") + &at("/{y}", "methods = [\"get it\"]"),
            1,
        ),
        (
            "a path that may differ",
            at("/{x}", "") + &at("/{y}", "api = \"shop\"") + "[api.shop]\nbase_path = \"shop\"\n",
            1,
        ),
        (
            "an API that cannot be read",
            at("/{x}", "") + &at("/{y}", "api = \"shop\"") + "[api]\nshop = 5\n",
            1,
        ),
        (
            "one error, told once",
            "[[route]]\npath = \"/a\"\nrespond = {}\n[[route]]\npath = \"/a\"\nrespond = {}\n"
                .to_owned(),
            1,
        ),
    ] {
        let checked = check(&config);
        assert_eq!(checked.code, Some(2), "{what}: {}", checked.errors);
        assert_eq!(errors(&checked), there, "{what}: {}", checked.errors);
    }
}

/// An error about an attribute that nothing sets names the filter that would set it, or a similar
/// name.
#[test]
fn a_requirement_that_nobody_meets_is_an_error_with_its_cure() {
    let route = |filters: &str, more: &str| {
        format!(
            "[[route]]\npath = \"/{{id}}\"\nfilters = [{filters}]\nrespond = {{ body = \"x\" }}\n{more}\n"
        )
    };
    let keys = "[filter.keys]\nplugin = \"builtin:api-key\"\n";
    let plan = "[filter.plan]\nplugin = \"builtin:usage-plan\"\n";
    let sets = |attribute: &str| {
        format!(
            "[filter.t]\nplugin = \"builtin:transform\"\nsettings = {{ request = [{{ op = \"set\", header = \"x\", value = \"${{attribute.{attribute}!}}\" }}] }}\n"
        )
    };
    let api = "[api.shop]\nvariables = { tier = \"a\" }\n";
    for (what, config, text, cure) in [
        (
            "no filter at all",
            route("\"plan\"", "") + plan,
            "which no filter before it provides",
            "`plugin = \"builtin:api-key\"`",
        ),
        (
            "one of another route",
            route("\"plan\"", "") + &route("\"keys\"", "").replace("{id}", "b") + keys + plan,
            "which no filter before it provides",
            "put `keys` before it",
        ),
        (
            "a slip",
            route("\"keys\", \"t\"", "") + keys + &sets("consumer.idd"),
            "requires attribute `consumer.idd`",
            "did you mean `consumer.id`?",
        ),
        (
            "a stranger",
            route("\"keys\", \"t\"", "") + keys + &sets("user.mail"),
            "requires attribute `user.mail`",
            "put a filter that provides `user.mail` before it",
        ),
        (
            "a fact that does not exist",
            route("\"t\"", "") + &sets("client.ipp"),
            "`client.ipp`, which does not exist",
            "did you mean `client.ip`?",
        ),
        (
            "a fact of APIs",
            route("\"t\"", "") + &sets("api.id"),
            "it belongs to no API",
            "add `api = \"<name>\"`",
        ),
        (
            "a variable of no API",
            route("\"t\"", "") + &sets("api.variable.tier"),
            "it belongs to no API",
            "add `api = \"<name>\"`",
        ),
        (
            "a variable that is not there",
            route("\"t\"", "api = \"shop\"") + api + &sets("api.variable.teir"),
            "no such stage variable",
            "add `teir` to `variables`",
        ),
    ] {
        let checked = check(&config);
        assert_eq!(checked.code, Some(2), "{what}: {}", checked.errors);
        assert!(checked.errors.contains(text), "{what}: {}", checked.errors);
        assert!(checked.errors.contains(cure), "{what}: {}", checked.errors);
    }
    let right = check(&(route("\"t\"", "api = \"shop\"") + api + &sets("api.variable.tier")));
    assert_eq!(right.code, Some(0), "{}", right.errors);
}

/// A limit by an attribute that a later filter sets would count all requests together.
#[test]
fn a_filter_that_counts_by_an_attribute_comes_after_the_one_that_sets_it() {
    let keys = "[filter.keys]\nplugin = \"builtin:api-key\"\n[[key]]\nid = \"k\"\nconsumer = \"c\"\ndigest = \"sha256:c018c41c1afaf2c0b66c64f97d0ee135657b699ad260f299234cd40a5d625e0e\"\n";
    let config = |filters: &str, missing: &str| {
        format!(
            "[[route]]\npath = \"/a\"\nfilters = [{filters}]\nrespond = {{ status = 204 }}\n{keys}[filter.limit]\nplugin = \"builtin:rate-limit\"\nsettings = {{ bounds = [{{ name = \"b\", by = \"attribute:plan.id\", limit = 1, window = \"1s\", missing = \"{missing}\" }}] }}\n"
        )
    };
    for missing in ["share", "skip"] {
        let checked = check(&config("\"limit\", \"keys\"", missing));
        assert_eq!(checked.code, Some(2), "{}", checked.errors);
        for text in [
            "windlass.toml:3:12: filter `limit` counts by attribute `plan.id`, which filter `keys` provides, but later in the list",
            "move `keys` before `limit`",
        ] {
            assert!(checked.errors.contains(text), "{text}: {}", checked.errors);
        }
        let right = check(&config("\"keys\", \"limit\"", missing));
        assert_eq!((right.code, &*right.errors), (Some(0), ""), "{missing}");
    }
}

/// Settings that can only be mistakes, with the warning for each.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn likely_mistakes_are_warnings() {
    let to = |more: &str| {
        format!("[[route]]\npath = \"/a/{{id}}\"\nupstream = \"u\"\n{more}\n{UPSTREAM}")
    };
    let ends = |end: &str| format!("[[route]]\npath = \"/a\"\n{end}\n");
    let sticky = |file: &str, more: &str| {
        to("")
            + &format!(
                "sticky = {{ cookie = \"c\", secret = \"t\"{more} }}\n[secret.t]\nfile = \"{file}\"\n"
            )
    };
    let admin = |tokens: &str| {
        format!(
            "{ROUTE}[admin]\naddress = \"127.0.0.1:0\"\ntokens = [{tokens}]\n[secret.t]\nfile = \"one\"\n[secret.v]\nfile = \"long\"\n[secret.w]\nfile = \"long\"\n"
        )
    };
    let transform = |template: &str| {
        to("filters = [\"t\"]")
            + &format!(
                "[filter.t]\nplugin = \"builtin:transform\"\nsettings = {{ request = [{{ op = \"set\", header = \"x\", value = \"{template}\" }}] }}\n"
            )
    };
    let limit = |by: &str| {
        to("filters = [\"l\"]")
            + &format!(
                "[filter.l]\nplugin = \"builtin:rate-limit\"\nsettings = {{ bounds = [{{ name = \"b\", limit = 1, window = \"1s\", by = \"{by} }}] }}\n"
            )
    };
    let described = |settings: &str| {
        format!(
            "[[route]]\npath = \"/openapi.json\"\nfilters = [\"m\"]\nrespond = {{ status = 404 }}\n[filter.m]\nplugin = \"builtin:sdk-metadata\"\nsettings = {{ {settings} }}\n"
        )
    };
    let token = |name: &str, secret: &str| {
        format!("{{ name = \"{name}\", role = \"write\", secret = \"{secret}\" }}")
    };
    let filters =
        "[filter.k]\nplugin = \"builtin:api-key\"\n[filter.p]\nplugin = \"builtin:usage-plan\"\n";
    let two = "[upstream.v]\nendpoints = [{ address = \"127.0.0.1:9\" }]\n";
    let split = format!(
        "{}{UPSTREAM}{two}",
        ends(
            "split = [{ upstream = \"u\", weight = 1 }, { upstream = \"v\", weight = 1 }]\nsplit_on = \"attribute:consumer.id\""
        )
    );
    let cases = [
        ("a time-out that is raised", to("connect_timeout = \"90s\""), "only lowers what its upstream allows"),
        ("a total that is raised", to("total_timeout = \"90s\"") + "total_timeout = \"9s\"\n", "only lowers what its upstream allows"),
        ("a filter twice", to("filters = [\"k\", \"p\", \"p\"]") + filters, "stands in `filters` twice"),
        ("split_on without a provider", split, "no filter of the route sets"),
        ("hash_on without a provider", to("") + "balance = \"consistent-hash\"\nhash_on = \"attribute:consumer.id\"\n", "no filter of a route that leads here sets"),
        ("a redirect to itself", ends("redirect = { to = \"/a\" }"), "leads to the same route"),
        ("a redirect to its own path", ends("redirect = { to = \"/a${query}\" }"), "leads to the same route"),
        ("a redirect that grows", "[[route]]\npath = \"/{rest+}\"\nredirect = { to = \"/v2${path}\" }\n".to_owned(), "leads to the same route"),
        ("a redirect to its own host", "[[route]]\npath = \"/{rest+}\"\nhosts = [\"a.test\"]\nredirect = { to = \"http://a.test${path}\" }\n".to_owned(), "leads to the same route"),
        ("a redirect to nowhere", ends("respond = { status = 302 }"), "no `location`"),
        ("401 without a challenge", ends("respond = { status = 401 }"), "no `www-authenticate`"),
        ("a short token", admin(&token("o", "t")), "secret `t` has 1 byte"),
        ("one token twice", admin(&format!("{}, {}", token("o", "v"), token("p", "w"))), "have the same value"),
        ("a short signature", sticky("one", ""), "secret `t` has 1 byte"),
        ("a parameter of no route", transform("${path.nope}"), "path parameter `nope`"),
        ("a variable of no API", transform("${attribute.api.variable.nope}"), "stage variable `nope`"),
        ("an attribute of no filter", transform("${attribute.tenant}"), "the attribute `tenant`, which no route of the filter has"),
        ("a bound by an attribute of no filter", limit("attribute:tenant\""), "bound `b` counts by the attribute `tenant`, which no request of its routes has: all its requests share one bucket"),
        ("a bound by a fact that does not exist", limit("attribute:client.ipp\""), "did you mean `client.ip`?"),
        ("a bound by each IPv6 address", limit("attribute:client.ip\""), "write `client-address`"),
        ("a bound by the word of a proxy", limit("header:x-forwarded-for\""), "name the proxy in `[server] trusted_proxies`"),
        ("a bound by an API of none", limit("attribute:api.id\", missing = \"deny\""), "every request is refused"),
        ("a bound by an attribute that is skipped", limit("attribute:tenant\", missing = \"skip\""), "it bounds no request"),
        ("a bound by a parameter of no route", limit("path:nope\""), "the path parameter `nope`, which no route of the filter has"),
        ("a parameter that the paths have", limit("path:nope\""), "their paths have `id`"),
        ("a cost of no filter", limit("client-address\"").replacen("settings = { ", "settings = { cost_attribute = \"price\", ", 1), "`cost_attribute` names `price`, which no filter of its routes sets"),
        ("a description of no API", described("apis = [\"nope\"]"), "describe the API `nope`, which does not exist"),
        ("a description of another API", described("apis = [\"shp\"]") + "[api.shop]\nbase_path = \"/shop\"\n", "did you mean `shop`?"),
        ("a description that is never served", described("path = \"/api.json\""), "no route of the filter takes `GET /api.json`, so it never serves the document"),
        ("a manifest that is never served", described("manifest = \"/sdk.json\""), "so it never serves the manifest"),
        ("clear text at 443", to("").replace(":9", ":443"), "is at the port of TLS"),
        ("TLS at 80", to("").replace(":9", ":80") + "tls = { verify = false }\n", "is at the port of clear text"),
        ("a cookie for TLS only", format!("[[listener]]\naddress = \"0.0.0.0:0\"\n{}", sticky("long", "")), "browsers drop it"),
        ("a key of nothing", format!("{ROUTE}[[key]]\nid = \"k\"\nconsumer = \"c\"\ndigest = \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\n"), "is that of no text at all"),
        (
            "an address to listen on as an endpoint",
            to("").replace("127.0.0.1:9", "0.0.0.0:9"),
            "is an address to listen on",
        ),
        (
            "retries without a budget",
            to("") + "retries = { attempts = 3, budget = 0, budget_rate = 0 }\n",
            "nothing is ever tried again",
        ),
        (
            "a wait that ends before it begins",
            to("") + "first_byte_timeout = \"50s\"\ntotal_timeout = \"9s\"\n",
            "which ends the exchange before",
        ),
        (
            "a check of keys that is left out",
            to("filters = [\"k\"]") + "[filter.k]\nplugin = \"builtin:api-key\"\non_error = \"skip\"\n",
            "requests pass without a key then",
        ),
        (
            "a check of tokens that is left out",
            to("filters = [\"t\"]") + "[filter.t]\nplugin = \"builtin:jwt\"\non_error = \"skip\"\nsettings = { verifiers = [\"v\"] }\n[verifier.v]\nsecret = \"s\"\nissuers = [\"i\"]\naudiences = [\"a\"]\n[secret.s]\nfile = \"longer\"\n",
            "requests pass without a token then",
        ),
        (
            "a check that nobody passes",
            to("filters = [\"k\"]") + "[filter.k]\nplugin = \"builtin:api-key\"\n",
            "every request is refused",
        ),
        (
            "a key that nobody checks",
            format!("{ROUTE}[[key]]\nid = \"k\"\nconsumer = \"c\"\ndigest = \"sha256:c018c41c1afaf2c0b66c64f97d0ee135657b699ad260f299234cd40a5d625e0e\"\n"),
            "opens nothing",
        ),
        (
            "a token that serves something else",
            sticky("long", "") + "[admin]\naddress = \"127.0.0.1:0\"\ntokens = [{ name = \"o\", role = \"read\", secret = \"t\" }]\n",
            "serves something else too",
        ),
        (
            "a redirect that loses the path",
            "[[route]]\npath = \"/{rest+}\"\nredirect = { to = \"https://a.test\" }\n".to_owned(),
            "every request is sent to the front page",
        ),
        (
            "a key that has ended",
            to("filters = [\"k\"]") + "[filter.k]\nplugin = \"builtin:api-key\"\n[[key]]\nid = \"old\"\nconsumer = \"c\"\ndigest = \"sha256:c018c41c1afaf2c0b66c64f97d0ee135657b699ad260f299234cd40a5d625e0e\"\nexpires = 2020-01-01T00:00:00Z\n",
            "key `old` has expired",
        ),
        ("a path that is one only", to("").replace("/a/{id}", "/a/"), "none below it"),
        ("a rate beyond that of all", to("rate = 500") + "[server]\nrate = 100\n", "ends it before"),
        (
            "a route's total before its first byte",
            to("first_byte_timeout = \"9s\"\ntotal_timeout = \"5s\""),
            "which ends the exchange before",
        ),
        (
            "a route without time for another attempt",
            to("first_byte_timeout = \"5s\"") + "retries = { try_timeout = \"5s\" }\n",
            "leaves no time for another attempt",
        ),
        (
            "a cookie of another path",
            sticky("long", ", secure = false, path = \"/shop\""),
            "clients never send it back",
        ),
        (
            "a cookie of another domain",
            sticky("long", ", secure = false, domain = \"example.com\"").replace("upstream = \"u\"", "upstream = \"u\"\nhosts = [\"a.test\"]"),
            "browsers drop it",
        ),
        (
            "hash_on with a fact that does not exist",
            to("") + "balance = \"consistent-hash\"\nhash_on = \"attribute:client.ipp\"\n",
            "no filter of a route that leads here sets",
        ),
        ("the operator's listener as an endpoint", to("").replace(":9", ":19080") + "[admin]\naddress = \"127.0.0.1:19080\"\n", "is the operator's listener"),
    ];
    for (what, config, text) in cases {
        let checked = check(&config);
        assert!(checked.errors.contains(text), "{what}: {}", checked.errors);
        assert!(
            checked.errors.contains("warning: "),
            "{what}: {}",
            checked.errors
        );
        assert_eq!(checked.code, Some(0), "{what}: {}", checked.errors);
    }
}

/// Settings that make sense give no warning.
#[test]
fn what_is_meant_is_no_warning() {
    let sticky = "sticky = { cookie = \"c\", secret = \"t\" }\n[secret.t]\nfile = \"long\"\n";
    let two = UPSTREAM.replace(" }]", " }, { address = \"127.0.0.1:10\" }]");
    let limited = "[[route]]\npath = \"/a/{id}\"\nrespond = { status = 204 }\n";
    let limit = |by: &str| {
        format!(
            "[filter.l]\nplugin = \"builtin:rate-limit\"\nsettings = {{ bounds = [{{ name = \"b\", limit = 1, window = \"1s\", by = \"{by} }}] }}\n"
        )
    };
    let tenants = "[filter.t]\nplugin = \"builtin:api-key\"\n[[key]]\nid = \"k\"\nconsumer = \"c\"\ndigest = \"sha256:c018c41c1afaf2c0b66c64f97d0ee135657b699ad260f299234cd40a5d625e0e\"\n";
    for config in [
        format!("[[route]]\npath = \"/a\"\nupstream = \"u\"\nconnect_timeout = \"1s\"\n{UPSTREAM}"),
        format!("[[route]]\npath = \"/a\"\nupstream = \"u\"\n{two}{sticky}"),
        format!("[[route]]\npath = \"/\"\nupstream = \"u\"\n[[route]]\npath = \"/b/\"\nupstream = \"u\"\n[[route]]\npath = \"/b/{{id}}\"\nupstream = \"u\"\n{UPSTREAM}"),
        format!("[[route]]\npath = \"/a\"\nupstream = \"u\"\nfirst_byte_timeout = \"9s\"\n{UPSTREAM}retries = {{ try_timeout = \"5s\" }}\n"),
        "[[route]]\npath = \"/a\"\nredirect = { to = \"/b\" }\n".to_owned(),
        format!("{limited}filters = [\"l\"]\n{}", limit("path:id\"")),
        format!("{limited}filters = [\"l\"]\n{}", limit("path:rest\"")).replace("{id}", "{rest+}"),
        format!("{limited}filters = [\"l\"]\n{}", limit("attribute:route.id\"")),
        format!("{limited}filters = [\"t\", \"l\"]\n{}{tenants}", limit("attribute:consumer.id\"")),
        // On a route without the attribute, requests share a bucket, as the settings say.
        format!("{limited}filters = [\"t\", \"l\"]\n[[route]]\npath = \"/b\"\nrespond = {{ status = 204 }}\nfilters = [\"l\"]\n{}{tenants}", limit("attribute:consumer.id\"")),
        "[[route]]\npath = \"/{rest+}\"\nfilters = [\"m\"]\nrespond = { status = 404 }\n[filter.m]\nplugin = \"builtin:sdk-metadata\"\nsettings = { path = \"/a/api.json\" }\n".to_owned(),
        "[[route]]\npath = \"/a\"\nredirect = { to = \"https://a.test\" }\n".to_owned(),
        "[[route]]\npath = \"$default\"\nredirect = { to = \"https://a.test/\" }\n".to_owned(),
        "[[route]]\npath = \"/a/{id}\"\nredirect = { to = \"https://b.test${path}${query}\" }\n".to_owned(),
        "[[route]]\npath = \"$default\"\nhosts = [\"a.test\"]\nredirect = { to = \"https://a.test${path}\" }\n".to_owned(),
        "[[route]]\npath = \"/a\"\nrespond = { status = 204 }\n".to_owned(),
    ] {
        let checked = check(&config);
        assert_eq!((checked.code, &*checked.errors), (Some(0), ""), "{config}");
    }
}

#[test]
fn one_of_a_kind_is_not_several() {
    let one = "[server]\nworkers = 1\n[[route]]\npath = \"/\"\nupstream = \"u\"\n";
    let told = check(&format!("{one}{UPSTREAM}")).output;
    let line = "good (1 route, 0 filters, 1 upstream, 1 worker)";
    assert!(told.contains(line), "{told}");
}

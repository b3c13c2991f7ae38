//! The parsed form of a good file: every key and every default.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use windlass::internals::config::{
    AccessLog, BalancePolicy, BasicForm, CompileCache, Config, ErrorStyle, ForwardedFields,
    ForwardedNode, HostInterface, HostRule, Isolation, KeyFetch, KeysFrom, LogLevel, OnError,
    OnStale, OnUnavailable, Period, PluginSource, ProxyProtocolVersion, RateLimit, RedisPlace,
    ResponsePart, Role, RouteEnd, SecretSource, Span, Store, StorePlace, TraceContext,
    UpstreamProtocol, Weekday,
};

const FULL: &str = include_str!("full.toml");

const SMALL: &str = "\
[[listener]]
address = \"0.0.0.0:8080\"
[[route]]
path = \"/{rest+}\"
filters = [\"f\"]
upstream = \"u\"
[filter.f]
plugin = \"f.wasm\"
[upstream.u]
endpoints = [{ address = \"a:1\" }]
[plan.p]
rate = 2.5
[[key]]
id = \"k\"
consumer = \"c\"
digest = \"sha256:00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\"
plan = \"p\"
";

fn parse(text: &str) -> Config {
    let config = Config::parse("windlass.toml", text, Path::new("/etc/windlass"));
    config.map_err(|problems| problems.to_string()).unwrap()
}

fn text(config: &Config, span: Span) -> &str {
    config.source.slice(span)
}

#[test]
fn callouts_are_read() {
    let config = parse(FULL);
    let [auth, introspect] = &config.callouts[..] else {
        panic!("{:?}", config.callouts);
    };
    assert_eq!(auth.url, "http://auth.internal:9000/check");
    assert_eq!(auth.timeout, Duration::from_secs(2));
    assert_eq!((auth.max_request, auth.max_response), (64 << 10, 1 << 20));
    assert_eq!((auth.max_concurrent, auth.max_waiting), (50, 0));
    assert!(auth.allow_local && !introspect.allow_local);
    let basic = (auth.basic, introspect.basic);
    assert_eq!(basic, (BasicForm::Plain, BasicForm::Form));
    assert_eq!(
        introspect.ca,
        Some(PathBuf::from("/etc/windlass/issuer.pem"))
    );
    assert_eq!(introspect.timeout, Duration::from_secs(5));
    assert_eq!(
        (introspect.max_concurrent, introspect.max_waiting),
        (100, 1000)
    );
}

#[test]
fn what_endpoints_learn_of_clients_is_read_and_has_defaults() {
    let config = parse(FULL);
    let forwarding = config.server.forwarding;
    assert_eq!(
        (forwarding.forwarded_fields, forwarding.forwarded_node),
        (ForwardedFields::Both, ForwardedNode::AddressAndPort)
    );
    let trace = (forwarding.trace_context, forwarding.trace_sampled);
    assert_eq!(trace, (TraceContext::Start, true));
    let protocol = config.listeners[0].proxy_protocol.as_ref().unwrap();
    assert_eq!((protocol.from.len(), protocol.required), (1, false));
    let protocols = [0, 1].map(|index| config.upstreams[index].proxy_protocol);
    assert_eq!(protocols, [None, Some(ProxyProtocolVersion::V2)]);
    let config = parse(SMALL);
    let forwarding = config.server.forwarding;
    assert_eq!(
        (forwarding.forwarded_fields, forwarding.forwarded_node),
        (ForwardedFields::XForwarded, ForwardedNode::Address)
    );
    let trace = (forwarding.trace_context, forwarding.trace_sampled);
    assert_eq!(trace, (TraceContext::Pass, false));
    assert_eq!(config.listeners[0].proxy_protocol, None);
}

#[test]
fn the_account_is_read() {
    let config = parse(FULL);
    let account = (
        config.server.user.as_deref(),
        config.server.group.as_deref(),
    );
    assert_eq!(account, (Some("windlass"), Some("4000")));
}

#[test]
fn every_key_reaches_the_config() {
    let config = parse(FULL);
    assert!(config.warnings.is_empty());
    assert_eq!(config.server.workers.map(std::num::NonZero::get), Some(2));
    assert_eq!(config.server.trusted_proxies[1].prefix_len(), 128);
    assert_eq!(config.server.client_fields[1], "x_api_key");
    let listener = &config.listeners[0];
    assert_eq!(listener.max_connections, 10_000);
    assert_eq!(listener.max_connections_per_client, Some(500));
    assert_eq!(listener.max_requests_per_connection, 5_000);
    let rates = (listener.min_body_rate, listener.min_response_rate);
    assert_eq!(rates, (Some(1024), None));
    assert_eq!(
        config.wasm.cache,
        CompileCache::Folder(PathBuf::from("/etc/windlass/cache"))
    );
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(
        config.log.access,
        AccessLog::File(PathBuf::from("/etc/windlass/access.log"))
    );
    assert_eq!(
        config.secrets[0].from,
        SecretSource::Environment("ORDERS_HMAC".to_owned())
    );
    assert_eq!(
        config.secrets[1].from,
        SecretSource::File(PathBuf::from("/etc/windlass/other.secret"))
    );
    let [issuer, other, fixed, shared] = &config.verifiers[..] else {
        panic!("{:?}", config.verifiers);
    };
    assert_eq!(
        issuer.keys,
        KeysFrom::Fetched(KeyFetch {
            url: "http://issuer.internal/.well-known/openid-configuration".to_owned(),
            is_discovery: true,
            ca: Some(PathBuf::from("/etc/windlass/issuer.pem")),
            timeout: Duration::from_secs(2),
            refresh: Duration::from_mins(5),
            cooldown: Duration::from_secs(10),
            max_stale: Duration::from_hours(1),
            start_without_keys: true,
        })
    );
    assert_eq!(issuer.issuers.len(), 2);
    assert_eq!(issuer.audiences.as_ref().map(Vec::len), Some(2));
    assert_eq!(format!("{:?}", issuer.algorithms), "[Es256, EdDsa]");
    assert_eq!((&*issuer.types[0], issuer.require_exp), ("at+jwt", false));
    assert_eq!(issuer.skew, Duration::from_secs(10));
    assert_eq!((issuer.cache, shared.cache), (1 << 20, 16 << 20));
    assert_eq!(issuer.max_age, Some(Duration::from_hours(1)));
    let [level, roles, subject] = &issuer.required[..] else {
        panic!("{:?}", issuer.required);
    };
    let values = serde_json::Value::Array(level.one_of.clone());
    assert_eq!(values, serde_json::json!([3, "gold", true, 1.5]));
    assert_eq!(
        (&*roles.claim, roles.contains.len()),
        ("/realm_access/roles", 1)
    );
    assert!(subject.one_of.is_empty() && subject.contains.is_empty());
    let KeysFrom::Fetched(fetch) = &other.keys else {
        panic!("{:?}", other.keys);
    };
    assert_eq!(fetch.max_stale, Duration::from_hours(2));
    assert_eq!(
        (&other.audiences, other.skew),
        (&None, Duration::from_secs(30))
    );
    let keys = PathBuf::from("/etc/windlass/keys.json");
    assert_eq!(
        (&fixed.keys, fixed.require_exp),
        (&KeysFrom::File(keys), true)
    );
    assert_eq!(shared.keys, KeysFrom::Secret(0));
    assert_eq!(
        (&*config.apis[0].stage, config.apis[0].errors),
        ("prod", ErrorStyle::Aws)
    );
    let quota = config.plans[0].quota.unwrap();
    assert_eq!(
        (quota.limit, quota.period),
        (1000, Period::Week(Weekday::Monday))
    );
    assert_eq!(config.plans[0].rate.unwrap().burst, 10);
    let key = &config.keys[0];
    assert_eq!(
        (&*key.id, &*key.consumer, &key.plans[..], key.enabled),
        ("acme-1", "acme", &[0, 1][..], false)
    );
    assert_eq!(config.keys[1].plans, [1]);
    assert_eq!(key.digest[..3], [0x00, 0x11, 0x22]);
    assert_eq!(
        key.expires,
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_798_761_600))
    );
    assert_eq!(key.attributes["tier"], "gold");
}

fn rate(per_second: f64, burst: u64) -> RateLimit {
    RateLimit { per_second, burst }
}

#[test]
fn the_admin_listener_and_the_store_are_read() {
    let config = parse(FULL);
    let admin = config.admin.as_ref().unwrap();
    assert_eq!((admin.address.port(), admin.max_body), (9080, 128 << 20));
    let tokens: Vec<_> = admin
        .tokens
        .iter()
        .map(|token| {
            (
                &*token.name,
                token.role,
                &*config.secrets[token.secret].name,
            )
        })
        .collect();
    assert_eq!(
        tokens,
        [
            ("ops", Role::Write, "ops"),
            ("dashboard", Role::Read, "dashboard")
        ]
    );
    let tls = admin.tls.as_ref().unwrap();
    let default = tls.default.as_ref().unwrap();
    assert_eq!(
        default.certificate,
        PathBuf::from("/etc/windlass/admin.pem")
    );
    assert_eq!(default.key, PathBuf::from("/etc/windlass/admin.key"));
    let store = config.store.as_ref().unwrap();
    assert_eq!(
        *store,
        Store {
            place: StorePlace::Redis(RedisPlace {
                url: "rediss://windlass@keys.internal:6379/2".to_owned(),
                password: Some(2),
                prefix: "shop".to_owned(),
                timeout: Duration::from_millis(250),
            }),
            flush_interval: Duration::from_millis(100),
            max_staleness: Duration::from_secs(30),
            on_stale: OnStale::Allow,
            on_unavailable: OnUnavailable::Local,
            max_lease: 50,
            max_wait: Duration::from_millis(250),
            max_counters: 10_000,
            usage_days: 30,
            span: store.span,
        }
    );
}

#[test]
fn a_store_has_defaults() {
    for (line, place) in [
        (
            "path = \"windlass.db\"",
            StorePlace::Sqlite(PathBuf::from("/etc/windlass/windlass.db")),
        ),
        (
            "url = \"redis://localhost\"",
            StorePlace::Redis(RedisPlace {
                url: "redis://localhost".to_owned(),
                password: None,
                prefix: "windlass".to_owned(),
                timeout: Duration::from_secs(1),
            }),
        ),
    ] {
        let config = parse(&format!("{SMALL}[store]\n{line}\n"));
        let store = config.store.unwrap();
        assert_eq!(
            store,
            Store {
                place,
                flush_interval: Duration::from_millis(500),
                max_staleness: Duration::from_secs(10),
                on_stale: OnStale::Deny,
                on_unavailable: OnUnavailable::Deny,
                max_lease: 100,
                max_wait: Duration::from_secs(1),
                max_counters: 1_000_000,
                usage_days: 400,
                span: store.span,
            }
        );
    }
}

#[test]
fn apis_and_plans_are_read() {
    let config = parse(FULL);
    let api = &config.apis[0];
    assert_eq!(api.base_path.as_deref(), Some("/shop/v1"));
    assert_eq!(api.variables["region"], "eu");
    let [throttled, class] = &api.responses[..] else {
        panic!("two responses")
    };
    assert_eq!(
        (&*throttled.code, &*class.code),
        ("throttled", "default_4xx")
    );
    assert_eq!(throttled.status.unwrap(), 503);
    assert_eq!(throttled.headers["x-hint"], "later");
    assert_eq!((throttled.is_json, class.is_json), (false, true));
    let body = throttled.body.as_ref().unwrap();
    assert_eq!(body[0], ResponsePart::Status);
    assert_eq!(body[7], ResponsePart::Text(") ${x}".to_owned()));
    let plan = &config.plans[0];
    assert_eq!((&plan.apis[..], plan.rate), (&[0][..], Some(rate(5.5, 10))));
    let methods: Vec<_> = plan
        .methods
        .iter()
        .map(|method| (&*method.method, &*method.path, method.rate))
        .collect();
    assert_eq!(
        methods,
        [
            ("GET", "/orders/{id}", rate(1.0, 3)),
            ("ANY", "/orders/{id}", rate(0.5, 1))
        ]
    );
    assert_eq!(config.server.rate, Some(rate(10_000.0, 20_000)));
    assert_eq!(config.server.max_rate_counters, 5_000);
    assert_eq!(config.server.max_used_proofs, 6_000);
    assert_eq!(config.server.max_active_requests, 9_000);
    assert_eq!(config.server.max_memory, Some(4 << 30));
    assert_eq!(config.routes[0].rate, Some(rate(2.5, 100)));
    assert_eq!(config.routes[1].rate, None);
}

#[test]
fn routes_of_apis_with_other_base_paths_may_have_the_same_path() {
    let route =
        |api: &str| format!("[[route]]\napi = \"{api}\"\npath = \"/x\"\nupstream = \"u\"\n");
    let apis = "[api.a]\nbase_path = \"/a\"\n[api.b]\nbase_path = \"/b\"\n";
    let config = parse(&format!("{SMALL}{apis}{}{}", route("a"), route("b")));
    let names: Vec<&str> = config.routes.iter().map(|route| &*route.name).collect();
    assert_eq!(names, ["ANY /{rest+}", "ANY /a/x", "ANY /b/x"]);
}

#[test]
fn routes_point_at_what_they_name() {
    let config = parse(FULL);
    let route = &config.routes[0];
    assert_eq!(
        (&*route.name, route.api, route.path.as_str()),
        ("order", Some(0), "/orders/{id}")
    );
    assert_eq!(route.hosts, ["api.example.com", "*.example.com"]);
    let filters: Vec<&str> = route
        .filters
        .iter()
        .map(|filter| &*config.filters[filter.filter].name)
        .collect();
    assert_eq!(filters, ["keys", "sign", "keys", "fetched", "downloaded"]);
    assert_eq!(text(&config, route.filters[1].span), "\"sign\"");
    assert!(matches!(route.end, RouteEnd::Upstream(0)));
    assert_eq!(
        (route.max_body, route.timeouts.first_byte),
        (None, Some(Duration::from_secs(5)))
    );
    let RouteEnd::Respond(respond) = &config.routes[1].end else {
        panic!("a fixed response")
    };
    assert_eq!(
        (&respond.body[..], &respond.headers["content-type"]),
        (
            &b"ok"[..],
            &"text/plain".parse::<http::HeaderValue>().unwrap()
        )
    );
    assert_eq!(&*config.routes[1].name, "ANY /health");
    let RouteEnd::Redirect(redirect) = &config.routes[2].end else {
        panic!("a redirect")
    };
    assert_eq!(redirect.status, 307);
    assert_eq!(&*config.routes[2].name, "ANY $default");
}

#[test]
fn the_keys_of_fetched_plugins_are_read() {
    let config = parse(FULL);
    let plugins = &config.plugins;
    let cache = PathBuf::from("/etc/windlass/plugin-cache");
    assert_eq!(plugins.cache, Some(cache));
    assert_eq!((plugins.cache_size, plugins.max_size), (2 << 30, 32 << 20));
    assert_eq!(plugins.timeout, Duration::from_secs(30));
    let registry = &plugins.registries[0];
    assert_eq!(registry.host, "registry.internal:5000");
    assert_eq!(registry.username.as_deref(), Some("gateway"));
    assert!(registry.password.is_some() && !registry.plain_http);
    let ca = PathBuf::from("/etc/windlass/registry-ca.pem");
    assert_eq!(registry.ca, Some(ca));
    let config = parse(SMALL);
    let plugins = &config.plugins;
    assert_eq!((plugins.cache_size, plugins.max_size), (1 << 30, 64 << 20));
    assert_eq!(plugins.timeout, Duration::from_secs(60));
    assert!(plugins.cache.is_none() && plugins.registries.is_empty());
}

#[test]
fn filters_and_upstreams_are_read() {
    let config = parse(FULL);
    let filter = &config.filters[0];
    assert_eq!(
        filter.plugin,
        PluginSource::File(PathBuf::from("/etc/windlass/plugins/sign.wasm"))
    );
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(filter.sha256.unwrap().to_string(), empty);
    let sources: Vec<_> = config.filters[2..]
        .iter()
        .map(|filter| &filter.plugin)
        .collect();
    let [
        PluginSource::Artifact(artifact),
        PluginSource::Download(url),
    ] = sources[..]
    else {
        panic!("{sources:?}");
    };
    let reference = format!("oci://registry.internal:5000/team/check:1.0.0@sha256:{empty}");
    assert_eq!(artifact.to_string(), reference);
    let key = PathBuf::from("/etc/windlass/cosign.pub");
    assert_eq!(config.filters[2].signed_by, Some(key));
    assert_eq!(url, "https://files.internal/check.wasm");
    assert_eq!(config.filters[3].sha256, filter.sha256);
    assert_eq!(filter.settings.json["list"][2]["deep"], true);
    assert_eq!(filter.settings.json["since"], "2026-01-01");
    assert_eq!(text(&config, filter.settings.spans["/list/2/deep"]), "true");
    let documents = filter.documents.iter();
    let documents: Vec<_> = documents
        .map(|document| {
            let path = document.path.to_str().unwrap();
            (&*document.name, path, text(&config, document.span))
        })
        .collect();
    assert_eq!(
        documents,
        [
            ("api", "/srv/openapi.yaml", "\"/srv/openapi.yaml\""),
            (
                "schema",
                "/etc/windlass/sign/schema.json",
                "\"sign/schema.json\""
            ),
        ]
    );
    assert_eq!(filter.limits.document, 16 << 20);
    let allow = filter.allow.as_ref().unwrap();
    assert_eq!(
        allow.interfaces,
        [HostInterface::Crypto, HostInterface::Keys]
    );
    assert_eq!(
        (&allow.upstreams[..], &allow.secrets[..]),
        (&[1][..], &[0, 1][..])
    );
    assert_eq!(
        (filter.on_error, filter.isolation),
        (OnError::Skip, Isolation::Request)
    );
    assert_eq!(
        (
            filter.limits.memory,
            filter.recycle.calls.get(),
            filter.breaker.failures.get()
        ),
        (16 << 20, 5000, 3)
    );
    assert_eq!(text(&config, config.filters[1].span), "keys");
    let upstream = &config.upstreams[0];
    assert_eq!(upstream.balance.policy, BalancePolicy::LeastConnections);
    assert_eq!(
        (upstream.endpoints[0].weight, upstream.endpoints[1].weight),
        (3, 1)
    );
    assert_eq!(upstream.endpoints[0].labels["zone"], "a");
    assert_eq!(
        text(&config, upstream.endpoints[1].span),
        "\"orders.internal:8080\""
    );
    assert_eq!(
        upstream.host,
        HostRule::Literal("orders.internal".to_owned())
    );
}

#[test]
fn limits_on_clients_and_on_load_have_defaults() {
    let config = parse(SMALL);
    let listener = &config.listeners[0];
    assert_eq!(listener.max_connections_per_client, None);
    assert_eq!(listener.max_requests_per_connection, 100_000);
    let rates = (listener.min_body_rate, listener.min_response_rate);
    assert_eq!(rates, (Some(240), Some(240)));
    assert_eq!(config.server.max_active_requests, 100_000);
    assert_eq!(config.server.max_memory, None);
}

#[test]
fn everything_else_has_a_default() {
    let config = parse(SMALL);
    let seconds = Duration::from_secs;
    assert_eq!(
        (config.server.workers, config.server.drain_timeout),
        (None, seconds(30))
    );
    assert_eq!(config.server.drain_delay, Duration::ZERO);
    let listener = &config.listeners[0];
    assert_eq!(
        (listener.header_timeout, listener.keep_alive_timeout),
        (seconds(10), seconds(75))
    );
    assert_eq!(
        (listener.body_idle_timeout, listener.write_timeout),
        (Some(seconds(30)), seconds(30))
    );
    assert_eq!(
        (listener.max_head, listener.max_uri, listener.max_headers),
        (32 << 10, 8 << 10, 100)
    );
    assert_eq!(listener.max_connections, 10_000);
    assert!(config.admin.is_none() && config.store.is_none());
    assert_eq!(
        (
            config.wasm.max_instances.get(),
            config.wasm.memory,
            config.wasm.max_memory
        ),
        (1000, 1 << 30, 256 << 20)
    );
    assert_eq!(config.wasm.cache, CompileCache::UserFolder);
    assert_eq!(
        (config.log.level, &config.log.access),
        (LogLevel::Info, &AccessLog::Off)
    );
    assert_eq!(config.plans[0].rate.unwrap().burst, 3);
    assert!(config.keys[0].enabled && config.keys[0].expires.is_none());
    let route = &config.routes[0];
    assert_eq!(
        (&*route.name, route.max_body, route.methods.len()),
        ("ANY /{rest+}", Some(10 << 20), 0)
    );
    let filter = &config.filters[0];
    assert_eq!(filter.settings.json, serde_json::json!({}));
    assert!(filter.documents.is_empty());
    assert!(filter.allow.is_none());
    let limits = filter.limits;
    assert_eq!(
        (limits.cpu, limits.start_cpu, limits.wait),
        (None, seconds(1), seconds(10))
    );
    assert_eq!(
        (limits.memory, limits.body, limits.document),
        (64 << 20, 1 << 20, 4 << 20)
    );
    assert_eq!(
        (filter.on_error, filter.isolation),
        (OnError::Deny, Isolation::Shared)
    );
    assert_eq!(
        (
            filter.recycle.calls.get(),
            filter.recycle.age,
            filter.recycle.growth
        ),
        (10_000, seconds(600), 32 << 20)
    );
    let breaker = filter.breaker;
    assert_eq!(
        (
            breaker.failures.get(),
            breaker.window,
            breaker.backoff,
            breaker.max_backoff
        ),
        (5, seconds(10), seconds(1), seconds(60))
    );
    let upstream = &config.upstreams[0];
    assert_eq!(
        (upstream.connect_timeout, upstream.first_byte_timeout),
        (seconds(2), seconds(30))
    );
    assert_eq!(
        (upstream.idle_timeout, upstream.keep_alive_timeout),
        (Some(seconds(60)), seconds(60))
    );
    assert_eq!(
        (upstream.total_timeout, &upstream.tls, upstream.protocol),
        (None, &None, UpstreamProtocol::Auto)
    );
    assert_eq!((listener.max_streams, &listener.tls), (100, &None));
    assert_eq!(
        (upstream.max_idle, upstream.max_head, &upstream.host),
        (128, 64 << 10, &HostRule::Preserve)
    );
    assert_eq!((upstream.max_headers, &config.server.via), (1000, &None));
    assert_eq!(upstream.ejection.statuses.0, Vec::new());
    assert_eq!(upstream.balance.policy, BalancePolicy::RoundRobin);
}

#[test]
fn every_example_parses_without_a_warning() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let config = Config::read(&path).unwrap();
            assert!(config.warnings.is_empty(), "{}", config.warnings);
            count += 1;
        }
    }
    assert!(count >= 4, "{count}");
}

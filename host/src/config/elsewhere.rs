//! Keys of other gateways that have no place where they are written,
//! or none at all here.
//!
//! Asked for an unknown key of any table, after the table's own hints and before keys that are
//! spelled alike. Deliberately not here: words that mean one thing in one table; those are hints of
//! their section.

/// The cure for a key of this name.
pub(super) fn hint(word: &str) -> Option<&'static str> {
    let word = word.replace('-', "_").to_ascii_lowercase();
    let known = WORDS
        .iter()
        .find(|(words, _)| words.split(' ').any(|known| known == word));
    known.map(|(_, hint)| *hint)
}

type Row = (&'static str, &'static str);

/// Words, without hyphens and capitals and with spaces between, and the cure.
const WORDS: &[Row] = &[
    (
        "cors cors_policy allow_origin allow_origins allowed_origins",
        "CORS is a filter's work: `plugin = \"builtin:cors\"` with `settings = { origins = [\"https://app.example.com\"] }`, first in the `filters` of a route",
    ),
    (
        "tls ssl https certificate certificates certs ssl_certificate ssl_certificate_key \
         cert_file key_file certfile keyfile",
        "TLS with clients is `tls = { certificate = \"..\", key = \"..\" }` of a `[[listener]]` or of `[admin]`, TLS with endpoints is `tls` of an `[upstream.<name>]`",
    ),
    (
        "acme auto_tls autocert letsencrypt auto_https",
        "certificates come from files, which Windlass reads when they change: let an ACME client such as certbot or lego write them",
    ),
    (
        "include includes import imports extends conf_d config_dir file_provider",
        "one file holds everything, in any order: put files together before a start, such as `cat conf.d/*.toml > windlass.toml`",
    ),
    (
        "strip_prefix strip_path stripprefix strip_path_prefix prefix_rewrite \
         path_prefix_rewrite uri_strip_prefix handle_path remove_prefix",
        "a route changes paths: `rewrite = { path = \"/{rest}\" }` on a route whose path ends in `{rest+}`; what stands before all paths of an API is its `base_path`",
    ),
    (
        "rewrite rewrites rewrite_path path_rewrite url_rewrite regex_rewrite replace_path \
         add_prefix uri_rewrite",
        "a route with `upstream` or `split` changes paths: `rewrite = { path = \"/v2/orders/{id}\" }`",
    ),
    (
        "rate_limit rate_limits ratelimit rate_limiting rate_limiter limit_req throttle \
         throttling requests_per_second rps",
        "rates are `rate` and `burst`: of `[server]` for all requests, of a `[[route]]`, and of a `[plan.<name>]` for each key, with the filters `builtin:api-key` and `builtin:usage-plan`",
    ),
    (
        "auth authentication authorization basic_auth basicauth key_auth api_key jwt jwt_auth \
         oauth oauth2 oidc openid forward_auth auth_request auth_basic hmac_auth ext_authz",
        "a filter checks who may send requests: in the route's `filters`, `builtin:api-key` checks API keys and `builtin:jwt` tokens, and a plugin of your own checks anything else",
    ),
    (
        "acl ip_restriction ip_allowlist ip_whitelist whitelist blacklist allowlist denylist \
         allow_ips deny_ips ip_filter deny",
        "clients are not told apart by address: use the firewall in front, or a filter that reads the attribute `client.ip`",
    ),
    (
        "timeout timeouts request_timeout read_timeout send_timeout proxy_read_timeout \
         proxy_send_timeout proxy_connect_timeout upstream_timeout response_timeout \
         server_timeout",
        "each part of an exchange has its own: `connect_timeout`, `first_byte_timeout`, `idle_timeout` and `total_timeout` of an `[upstream.<name>]`, which a `[[route]]` may lower, and `header_timeout`, `body_idle_timeout` and `write_timeout` of a `[[listener]]`",
    ),
    (
        "proxy_pass proxy reverse_proxy proxy_to backend backends service services cluster \
         clusters target targets destination forward_to forward upstreams upstream_url \
         servers",
        "a `[[route]]` names its upstream, `upstream = \"orders\"`, and `[upstream.orders]` has `endpoints = [{ address = \"10.0.0.1:8080\" }]`",
    ),
    (
        "redirect_https https_redirect force_https ssl_redirect redirect_to_https https_only \
         force_ssl redirect_scheme tls_redirect redirect_http",
        "a redirect is the end of a route, and all listeners have the same routes: for HTTP to HTTPS run a second gateway on port 80 with the one route `path = \"$default\"`, `redirect = { to = \"https://api.example.com${path}${query}\" }`",
    ),
    (
        "gzip compress compression brotli zstd encode deflate",
        "bodies pass as they are: let the endpoints compress them, or a filter",
    ),
    (
        "cache caching proxy_cache cache_ttl http_cache response_cache",
        "responses are not kept: put a cache in front, or keep values of your own in a filter by the host interface `cache`",
    ),
    (
        "middleware middlewares plugin plugins filter_chain http_filters handlers chain \
         policies interceptors",
        "a plugin is used by a `[filter.<name>]` with `plugin` and `settings`, and runs where a route's `filters = [\"<name>\"]` says",
    ),
    (
        "add_header set_header add_headers set_headers proxy_set_header request_headers \
         response_headers headers_up header_up header_down request_transformer \
         response_transformer custom_request_headers custom_response_headers remove_headers \
         hide_header",
        "a filter edits fields: `builtin:transform` with `settings = { request = [{ op = \"set\", header = \"x-a\", value = \"b\" }] }`, and `response` in the same way",
    ),
    (
        "health_check health_checks healthcheck healthchecks active_health_check liveness",
        "checks of endpoints are `health = { path = \"/healthz\" }` of an `[upstream.<name>]`",
    ),
    (
        "retry retry_policy proxy_next_upstream max_retries num_retries",
        "retries are `retries = { .. }` of an `[upstream.<name>]`",
    ),
    (
        "circuit_breaker circuitbreaker outlier_detection passive_health_check max_fails \
         fail_timeout",
        "endpoints are taken out by the results of requests as `ejection = { .. }` of an `[upstream.<name>]` says",
    ),
    (
        "load_balancer loadbalancer load_balancing lb lb_policy lb_algorithm balancer \
         algorithm strategy",
        "how endpoints share requests is `balance` of an `[upstream.<name>]`",
    ),
    (
        "sticky_session sticky_sessions session_affinity session_persistence ip_hash affinity",
        "clients are kept on an endpoint by `sticky = { .. }` of an `[upstream.<name>]`",
    ),
    (
        "canary traffic_split weighted_clusters weighted split_traffic mirror shadow",
        "a route shares its requests among upstreams by `split = [{ upstream = \"a\", weight = 95 }, { upstream = \"b\", weight = 5 }]`; requests are not copied to two",
    ),
    (
        "websocket websockets ws enable_websocket upgrade proxy_http_version h2c",
        "leave it out: upgrades, WebSockets and HTTP/2 pass where both sides speak them; `protocol` of an `[upstream.<name>]` says what is spoken with endpoints",
    ),
    ("http3 quic h3", "leave it out: HTTP/3 is not spoken"),
    (
        "proxy_protocol accept_proxy accept_proxy_protocol send_proxy send_proxy_protocol",
        "from clients it is `proxy_protocol = true` of a `[[listener]]`, and to endpoints `proxy_protocol = \"v2\"` of an `[upstream.<name>]`",
    ),
    (
        "server_name server_names vhost virtual_host virtual_hosts domain domains hostname \
         hostnames host",
        "the hosts of a route are its `hosts = [\"api.example.com\"]`",
    ),
    (
        "location locations paths prefix path_prefix match matches rules rule uri \
         route_prefix regex path_regex",
        "a `[[route]]` has one `path`, such as `\"/orders/{id}\"`, `\"/orders/{rest+}\"` for all below it, or `\"$default\"`; for more paths write more routes",
    ),
    (
        "listen bind port ports entrypoint entrypoints entry_points listeners http_port \
         https_port",
        "where clients connect is `address = \"0.0.0.0:8080\"` of a `[[listener]]`",
    ),
    ("routes", "each route is a `[[route]]` of its own"),
    (
        "worker_processes worker_threads threads processes",
        "the number of workers is `[server] workers`",
    ),
    (
        "client_max_body_size max_body_size body_limit body_size_limit max_request_body_size \
         request_body_limit",
        "the largest request body is `max_body` of a `[[route]]`",
    ),
    (
        "metrics prometheus statsd stats",
        "numbers for Prometheus are at `/metrics` of the listener that `[admin] address` names",
    ),
    (
        "tracing opentelemetry otel otlp zipkin jaeger",
        "leave it out: spans are not sent; `traceparent` passes from clients to endpoints",
    ),
    (
        "access_log error_log accesslog logs logging log_level log_format",
        "the table `[log]` says what is logged, and where",
    ),
    (
        "redis redis_url database db postgres sqlite storage datastore",
        "keys, plans and usage are kept where `[store]` says: `path = \"windlass.db\"`, or `url = \"redis://..\"`",
    ),
    (
        "resolver dns dns_resolver nameserver nameservers",
        "the DNS servers are `[server] resolvers = [\"10.0.0.2:53\"]`",
    ),
    (
        "real_ip real_ip_header set_real_ip_from trusted_ips trust_proxy trusted_proxy \
         forwarded_headers",
        "whose `X-Forwarded-*` fields are believed is `[server] trusted_proxies`",
    ),
    (
        "static static_files file_server root try_files serve_dir index",
        "files are not served: a route ends in an upstream, a `respond` or a `redirect`",
    ),
    (
        "error_page error_pages custom_errors error_template gateway_responses",
        "other answers in the place of the gateway's own are `[api.<name>.responses.<code>]`",
    ),
    (
        "return static_response direct_response fixed_response mock",
        "a fixed answer is `respond = { status = 200, body = \"..\" }` of a `[[route]]`",
    ),
    (
        "consumer consumers api_keys keys users",
        "each key is a `[[key]]` with `id`, `consumer` and `digest`, or is made by `windlass keys create` where there is a `[store]`",
    ),
    (
        "usage_plan usage_plans plans quotas",
        "each plan is a `[plan.<name>]` with `rate`, `burst` and `quota`",
    ),
    (
        "secrets",
        "each secret is a `[secret.<name>]` with `env` or `file`",
    ),
    (
        "user group daemon pid pid_file pidfile chroot",
        "leave it out: what starts the process, such as systemd or a container, says who it is and where its number is",
    ),
    (
        "enabled enable disabled disable",
        "leave it out: what stands in the file is in use; put `#` before the lines of what is not",
    ),
    (
        "apiversion api_version kind metadata spec _format_version",
        "leave it out: the file is not that of Kubernetes or of another gateway; its keys are in docs/reference/config.md",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_one_meaning() {
        let words = WORDS.iter().flat_map(|(words, _)| words.split(' '));
        let mut words: Vec<&str> = words.collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
        for word in words {
            assert_eq!(word, word.to_ascii_lowercase().replace('-', "_"));
        }
    }

    #[test]
    fn other_spellings_are_found() {
        assert!(hint("rate-limit").is_some() && hint("stripPrefix").is_some());
        assert_eq!(hint("orders"), None);
    }
}

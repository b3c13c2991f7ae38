//! Several gateways on one Redis share keys, plans and quotas.

use std::time::{Duration, Instant};

use windlass_tests::{Gateway, RedisServer, Report, Request, Upstream, wait};

use crate::config::{api_key, filtered, key};
use crate::operator::{READ, STORE, WRITE, call, create, status_with};

/// The limit of the quota in these tests, and the largest lease that one gateway takes from it.
const LIMIT: u64 = 10_000;
const LEASE: u64 = 100;
/// If no request was admitted for this long, the quota counts as spent. A gateway returns its
/// unused lease well within this time.
const SILENCE: Duration = Duration::from_secs(5);

/// Three gateways on this Redis, with these filters and further configuration.
fn three(redis: &RedisServer, filters: &[&str], upstream: &Upstream, more: &str) -> [Gateway; 3] {
    let place = format!(
        "url = \"{}\"\nmax_lease = {LEASE}\ntimeout = \"500ms\"",
        redis.url()
    );
    let config = filtered(filters, upstream.address())
        + &api_key("{}")
        + "\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n"
        + &STORE.replace("path = \"windlass.db\"", &place)
        + more;
    std::array::from_fn(|_| {
        Gateway::with_config(&config)
            .file("ops.token", WRITE)
            .file("view.token", READ)
            .start()
    })
}

/// Load on 64 connections over the three gateways, until no request reaches the upstream for a
/// while.
fn load(gateways: &[Gateway; 3], upstream: &Upstream, meanwhile: impl FnOnce()) -> Report {
    let connections = [22, 21, 21];
    let loads: Vec<_> = gateways
        .iter()
        .zip(connections)
        .map(|(gateway, count)| {
            let request = Request::get("/").header("x-api-key", "alice");
            gateway.load(request).connections(count).start()
        })
        .collect();
    meanwhile();
    let mut last = (upstream.count(), Instant::now());
    wait::until("the end of the quota", || {
        let now = upstream.count();
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > SILENCE).then_some(())
    });
    let mut whole = Report::default();
    for load in loads {
        let report = load.stop();
        assert_eq!(report.failures, Vec::<String>::new());
        for (status, count) in report.statuses {
            *whole.statuses.entry(status).or_default() += count;
        }
    }
    whole
}

/// One key on one plan, both from the configuration.
fn alice() -> String {
    format!("\n[plan.gold]\nquota = {{ limit = {LIMIT}, period = \"month\" }}\n")
        + &key("alice-1", "alice", "alice", "plan = \"gold\"")
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn three_gateways_admit_a_quota_within_the_bound() {
    let redis = RedisServer::forgetful();
    let upstream = Upstream::text("ok").counting();
    let gateways = three(&redis, &["keys", "plan"], &upstream, &alice());
    let report = load(&gateways, &upstream, || {});
    let admitted = report.status(200) as u64;
    assert_eq!(admitted, upstream.count() as u64);
    let most = LIMIT + 3 * LEASE;
    assert!((LIMIT..=most).contains(&admitted), "{admitted}");
    let others: Vec<_> = report.statuses.keys().copied().collect();
    assert_eq!(others, [200, 429]);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_redis_restarted_under_load_gives_no_quota_twice() {
    for mut redis in [RedisServer::durable(), RedisServer::forgetful()] {
        let upstream = Upstream::text("ok").counting();
        let gateways = three(&redis, &["keys", "plan"], &upstream, &alice());
        let report = load(&gateways, &upstream, || {
            wait::until("some to be let in", || {
                (upstream.count() > 2000).then_some(())
            });
            redis.kill();
            // Without Redis, the gateways use up their leases and then apply the policy: refuse.
            for gateway in &gateways {
                gateway.metrics_when("the policy", |metrics| {
                    let refused = metrics.by("windlass_limit_leases_unavailable_total", "answer");
                    refused.get("refused").is_some_and(|count| *count > 0.0)
                });
            }
            redis.restart();
            // First the gateways report their usage; then they get the rest of the quota.
            let before = upstream.count();
            wait::until("more to be let in", || {
                (upstream.count() > before + 100).then_some(())
            });
        });
        let admitted = report.status(200) as u64;
        assert_eq!(admitted, upstream.count() as u64);
        let most = LIMIT + 3 * LEASE;
        // Redis may forget quota that was returned just before it was killed.
        let least = LIMIT - 3 * LEASE;
        assert!((least..=most).contains(&admitted), "{admitted}");
    }
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_key_is_in_force_and_revoked_everywhere_within_a_second() {
    let redis = RedisServer::durable();
    let upstream = Upstream::echo();
    let gateways = three(&redis, &["keys"], &upstream, "");
    let (id, secret) = create(&gateways[0], "{\"consumer\":\"acme\"}");
    assert_eq!(status_with(&gateways[0], &secret), 200);
    let within_a_second = |status: u16| {
        let begin = Instant::now();
        for gateway in &gateways {
            wait::until("the key's new state", || {
                (status_with(gateway, &secret) == status).then_some(())
            });
        }
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
    };
    within_a_second(200);
    let path = format!("/v1/keys/{id}");
    let changed = call(&gateways[1], "PATCH", &path, "{\"enabled\":false}");
    assert_eq!(changed.status, 200, "{}", changed.text());
    within_a_second(403);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn keys_are_caught_up_with_after_a_lost_connection() {
    let mut redis = RedisServer::durable();
    let upstream = Upstream::echo();
    let gateways = three(&redis, &["keys"], &upstream, "");
    let (_, secret) = create(&gateways[0], "{\"consumer\":\"acme\"}");
    redis.kill();
    let refused = call(&gateways[0], "POST", "/v1/keys", "{\"consumer\":\"x\"}");
    assert_eq!(refused.status, 503, "{}", refused.text());
    redis.restart();
    let (_, later) = create(&gateways[2], "{\"consumer\":\"acme\"}");
    for gateway in &gateways {
        for secret in [&secret, &later] {
            wait::until("the key", || {
                (status_with(gateway, secret) == 200).then_some(())
            });
        }
    }
}

/// A gateway without Redis for longer than its `max_staleness`, with this policy for stale keys.
fn stale(policy: &str) -> (Gateway, RedisServer, Upstream, String) {
    let mut redis = RedisServer::durable();
    let upstream = Upstream::text("ok");
    let place = format!(
        "url = \"{}\"\ntimeout = \"200ms\"\nmax_staleness = \"1s\"\non_stale = \"{policy}\"",
        redis.url()
    );
    let config = filtered(&["keys"], upstream.address())
        + &api_key("{}")
        + &STORE.replace("path = \"windlass.db\"", &place)
        + &key("alice-1", "alice", "alice", "");
    let gateway = Gateway::with_config(config)
        .file("ops.token", WRITE)
        .file("view.token", READ)
        .start();
    let (_, secret) = create(&gateway, "{\"consumer\":\"acme\"}");
    assert_eq!(status_with(&gateway, &secret), 200);
    redis.kill();
    wait::until("stale keys", || {
        (gateway.admin("/readyz").status == 503).then_some(())
    });
    assert_eq!(gateway.admin("/readyz").text(), "stale keys\n");
    assert_eq!(gateway.metrics().with("windlass_keys_fresh", &[]), 0.0);
    // A key of the configuration does not go stale.
    assert_eq!(status_with(&gateway, "alice"), 200);
    (gateway, redis, upstream, secret)
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn without_the_store_no_revoked_key_lives_on() {
    let (gateway, mut redis, _upstream, secret) = stale("deny");
    // Look-ups use a clock that may be some milliseconds late.
    let answer = wait::until("a refusal", || {
        let answer = gateway.send(&Request::get("/").header("x-api-key", secret.as_str()));
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((answer.status, &*answer.code()), (503, "keys_unavailable"));
    // Logged once, however often it happens.
    gateway
        .log()
        .wait_for_line(|line| line.contains("in the storage of keys and plans"));
    let log = gateway.log().text();
    assert_eq!(
        log.matches("in the storage of keys and plans").count(),
        1,
        "{log}"
    );
    redis.restart();
    wait::until("fresh keys", || {
        (gateway.admin("/readyz").status == 200).then_some(())
    });
    // The circuit breaker is closed, because this was not a failure of the filter.
    assert_eq!(status_with(&gateway, &secret), 200);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn without_the_store_keys_are_believed_on_where_the_operator_says_so() {
    let (gateway, _redis, _upstream, secret) = stale("allow");
    assert_eq!(status_with(&gateway, &secret), 200);
}

/// If Redis refuses the connection, the start fails, and `check` gives the server's reason. A Redis
/// that cannot be reached does not stop the start.
#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_redis_that_refuses_is_an_error_of_check() {
    let open = RedisServer::forgetful();
    let closed = RedisServer::start(&["--requirepass", "right", "--save", ""]);
    let nobody = windlass_tests::ClosedPort::new();
    let check = |address: std::net::SocketAddr, password: &str, database: &str| {
        let login = match password {
            "" => "",
            _ => "password = \"login\"\n[secret.login]\nfile = \"login\"\n",
        };
        Gateway::with_config(format!(
            "[[route]]\npath = \"/\"\nrespond = {{ body = \"x\" }}\n\
             [store]\nurl = \"redis://{address}/{database}\"\n{login}"
        ))
        .file("login", password)
        .check()
    };
    for (address, password, database) in [
        (open.address(), "", "99"),
        (open.address(), "needless", "0"),
        (closed.address(), "", "0"),
        (closed.address(), "wrong", "0"),
    ] {
        let checked = check(address, password, database);
        let told = checked.errors;
        assert_eq!(checked.code, Some(2), "{password} {database}: {told}");
        assert!(told.contains("`[store] url`: "), "{told}");
    }
    for (address, password) in [
        (open.address(), ""),
        (closed.address(), "right"),
        (nobody.address(), ""),
    ] {
        let checked = check(address, password, "0");
        assert_eq!(checked.code, Some(0), "{}", checked.errors);
    }
    let checked = check(nobody.address(), "", "0").errors;
    assert!(checked.contains("a gateway starts without it"), "{checked}");
    // `check` writes nothing to it.
    assert!(open.tell(&["DBSIZE"]).starts_with(":0"));
}

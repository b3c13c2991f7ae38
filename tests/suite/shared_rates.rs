//! Rate limits by address on a Redis that several gateways share.
//!
//! Real gateways on a real redis-server, which `.ci/run slow` has: `cargo test -p windlass-tests --test suite
//! shared_rates -- --ignored`.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use windlass_tests::{Client, Gateway, RedisServer, Request, wait};

/// Gateways that limit each address by `bounds`.
fn gateways(count: usize, redis: &RedisServer, bounds: &str, more: &str) -> Vec<Gateway> {
    let config = format!(
        "[[route]]\npath = \"$default\"\nfilters = [\"limit\"]\nrespond = {{ body = \"ok\" }}\n\
         [filter.limit]\nplugin = \"builtin:rate-limit\"\nsettings = {{ bounds = [{bounds}] }}\n\
         [server]\nworkers = 2\ntrusted_proxies = [\"127.0.0.0/8\"]\n{more}\n\
         [admin]\naddress = \"127.0.0.1:0\"\n\
         [store]\nurl = \"redis://{}\"\ntimeout = \"500ms\"\nmax_wait = \"5s\"\n",
        redis.address()
    );
    let started = (0..count).map(|_| Gateway::with_config(&config).start());
    started.collect()
}

/// A burst of fifty; one request refills in thirty hours.
const FIFTY: &str =
    "{ name = \"address\", by = \"client-address\", limit = 1, window = \"30h\", burst = 50 }";

fn ask(client: &mut Client, address: &str) -> (u16, String) {
    let answer = client.send(&Request::get("/").header("x-forwarded-for", address));
    let code = match answer.status {
        200 => String::new(),
        _ => answer.code(),
    };
    (answer.status, code)
}

/// Send this many concurrent requests of one address to each gateway. Returns how often each result came.
fn burst(gateways: &[Gateway], address: &str, each: usize) -> BTreeMap<(u16, String), usize> {
    let barrier = Barrier::new(each * gateways.len());
    let mut told = BTreeMap::new();
    std::thread::scope(|scope| {
        let mut asking = Vec::new();
        for gateway in gateways {
            for _ in 0..each {
                asking.push(scope.spawn(|| {
                    let mut client = gateway.client();
                    barrier.wait();
                    ask(&mut client, address)
                }));
            }
        }
        for one in asking {
            *told.entry(one.join().unwrap()).or_default() += 1;
        }
    });
    told
}

fn count(told: &BTreeMap<(u16, String), usize>, status: u16) -> usize {
    let told = told.iter().filter(|((known, _), _)| *known == status);
    told.map(|(_, count)| count).sum()
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn an_address_has_one_bucket_on_two_gateways() {
    let redis = RedisServer::durable();
    let gateways = gateways(2, &redis, FIFTY, "");
    for address in ["192.0.2.1", "2001:db8::1"] {
        let told = burst(&gateways, address, 40);
        assert_eq!(count(&told, 200), 50, "{told:?}");
        assert_eq!(
            told.get(&(429, "throttled".to_owned())),
            Some(&30),
            "{told:?}"
        );
    }
    // Another address of the same subscriber, at the other gateway.
    assert_eq!(ask(&mut gateways[1].client(), "2001:db8::2").0, 429);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_killed_gateway_costs_one_lease_at_the_most() {
    const LEASE: u64 = 50;
    let redis = RedisServer::durable();
    let mut gateways = gateways(2, &redis, FIFTY, "");
    let mut admitted = 0;
    let mut client = gateways[0].client();
    for _ in 0..20 {
        admitted += u64::from(ask(&mut client, "192.0.2.1").0 == 200);
    }
    drop(client);
    drop(gateways.remove(0).kill());
    // Wait until its lease has expired.
    wait::moment(Instant::now() + Duration::from_millis(5_500));
    let told = burst(&gateways, "192.0.2.1", 120);
    admitted += count(&told, 200) as u64;
    assert!(
        (50..=50 + LEASE).contains(&admitted),
        "{admitted}: {told:?}"
    );
    assert_eq!(count(&told, 503), 0, "{told:?}");
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_refusal_of_one_bound_takes_nothing_of_another() {
    let redis = RedisServer::durable();
    let bounds = "{ name = \"address\", by = \"client-address\", limit = 1, window = \"30h\", burst = 5 }, \
         { name = \"all\", limit = 1, window = \"30h\", burst = 12 }";
    let gateways = gateways(2, &redis, bounds, "");
    let mut clients: Vec<_> = gateways.iter().map(Gateway::client).collect();
    let mut admitted = |address: &str, requests: usize| {
        let told = (0..requests).map(|number| ask(&mut clients[number % 2], address).0);
        told.filter(|status| *status == 200).count()
    };
    assert_eq!(admitted("192.0.2.1", 30), 5);
    assert_eq!(admitted("192.0.2.2", 30), 5);
    assert_eq!(
        admitted("192.0.2.3", 30),
        2,
        "what the addresses refused is left"
    );
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_flood_on_two_gateways_shares_one_bucket_and_resets_nobody() {
    let redis = RedisServer::durable();
    let two =
        "{ name = \"address\", by = \"client-address\", limit = 1, window = \"30h\", burst = 2 }";
    let gateways = gateways(2, &redis, two, "max_rate_counters = 100");
    let mut clients: Vec<_> = gateways.iter().map(Gateway::client).collect();
    for (client, status) in [(0, 200), (1, 200), (0, 429), (1, 429)] {
        assert_eq!(ask(&mut clients[client], "203.0.113.1").0, status);
    }
    let mut passed = 0;
    for number in 0..1_000_u32 {
        for (place, client) in clients.iter_mut().enumerate() {
            let place = u32::try_from(place).unwrap();
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + number * 2 + place);
            passed += u32::from(ask(client, &address.to_string()).0 == 200);
        }
    }
    // Each gateway has counters for 99 more addresses. Of all other requests, two pass, over both gateways together.
    assert_eq!(passed, 99 + 99 + 2);
    assert_eq!(ask(&mut clients[0], "203.0.113.1").0, 429);
    assert_eq!(ask(&mut clients[1], "203.0.113.1").0, 429);
    let metrics = gateways[0].metrics();
    assert!(metrics.with("windlass_rate_counters", &[]) <= 101.0);
    assert!(metrics.with("windlass_rate_overflows_total", &[]) >= 800.0);
    // Leases of rates count the gateways separately from leases of plans.
    for name in [
        "windlass_rate_leases_gateways",
        "windlass_limit_leases_gateways",
    ] {
        let both = |metrics: &windlass_tests::Metrics| (metrics.with(name, &[]) - 2.0).abs() < 0.5;
        gateways[0].metrics_when("two gateways", both);
    }
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn without_redis_the_policy_answers() {
    let mut redis = RedisServer::durable();
    let gateways = gateways(1, &redis, FIFTY, "");
    assert_eq!(ask(&mut gateways[0].client(), "192.0.2.1").0, 200);
    redis.kill();
    wait::until("the policy's answer", || {
        let told = ask(&mut gateways[0].client(), "192.0.2.9");
        (told == (503, "limits_unavailable".to_owned())).then_some(())
    });
}

//! Usage plans on a Redis that several gateways share: admissions, refusals, and the fields in responses.
//!
//! Real gateways on a real redis-server, which `.ci/run slow` has: `cargo test -p windlass-tests --test suite
//! shared_plans -- --ignored`.

use std::fmt::Write as _;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use windlass_tests::{Client, Forward, Gateway, RedisServer, Request, key_digest, wait};

use crate::table;

const TOKEN: &str = "a-token-that-may-write";

/// Gateways on one Redis.
struct World {
    redis: RedisServer,
    forward: Forward,
    config: String,
    gateways: Vec<Gateway>,
}

/// The configuration of a world.
#[derive(Clone, Copy)]
struct Setup {
    gateways: usize,
    /// The delay of each direction between a gateway and Redis.
    delay_ms: u64,
    plan: &'static str,
    /// Further settings of `[store]`.
    store: &'static str,
    /// The settings of `builtin:usage-plan`.
    settings: &'static str,
}

const ONE: Setup = Setup {
    gateways: 1,
    delay_ms: 0,
    plan: "quota = { limit = 100, period = \"month\" }",
    store: "",
    settings: "{}",
};
const TWO: Setup = Setup { gateways: 2, ..ONE };

/// The response that a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    status: u16,
    code: String,
    /// The remaining number in `RateLimit`, of the quota or else of the rate.
    left: Option<u64>,
    retry_after: Option<u64>,
}

impl Setup {
    fn start(self) -> World {
        self.on(RedisServer::durable())
    }

    fn on(self, redis: RedisServer) -> World {
        let forward = Forward::start(redis.address(), Duration::from_millis(self.delay_ms));
        let mut config = format!(
            "[[route]]\npath = \"/free\"\nrespond = {{ body = \"ok\" }}\n\
             [[route]]\npath = \"$default\"\nfilters = [\"keys\", \"plan\"]\nrespond = {{ body = \"ok\" }}\n\
             [filter.keys]\nplugin = \"builtin:api-key\"\n\
             [filter.plan]\nplugin = \"builtin:usage-plan\"\nsettings = {}\n\
             [server]\nworkers = 2\n\
             [secret.ops]\nfile = \"ops.token\"\n\
             [admin]\naddress = \"127.0.0.1:0\"\n\
             tokens = [{{ name = \"ops\", role = \"write\", secret = \"ops\" }}]\n\
             [store]\nurl = \"redis://{}\"\ntimeout = \"500ms\"\n{}\n\
             [plan.gold]\n{}\n",
            self.settings,
            forward.address(),
            self.store,
            self.plan,
        );
        for (key, cost) in [("alice", 1), ("bob", 7)] {
            let digest = key_digest(key);
            write!(
                config,
                "[[key]]\nid = \"{key}-1\"\nconsumer = \"{key}\"\ndigest = \"{digest}\"\nplan = \"gold\"\n\
                 attributes = {{ cost = \"{cost}\" }}\n"
            )
            .unwrap();
        }
        let mut world = World {
            redis,
            forward,
            config,
            gateways: Vec::new(),
        };
        for _ in 0..self.gateways {
            world.add();
        }
        world
    }
}

impl World {
    /// Start one more gateway.
    fn add(&mut self) {
        let gateway = Gateway::with_config(&self.config).file("ops.token", TOKEN);
        self.gateways.push(gateway.start());
    }

    fn ask(&self, gateway: usize) -> Told {
        self.ask_as("alice", gateway)
    }

    fn ask_as(&self, key: &str, gateway: usize) -> Told {
        ask(&mut self.gateways[gateway].client(), key)
    }

    /// Send up to `most` requests of alice, alternating between these gateways, until the first refusal.
    fn admitted(&self, gateways: &[usize], most: u64) -> (u64, Option<Told>) {
        let mut clients: Vec<_> = gateways
            .iter()
            .map(|gateway| self.gateways[*gateway].client())
            .collect();
        let count = clients.len();
        for number in 0..most {
            let client = &mut clients[usize::try_from(number).unwrap() % count];
            let told = ask(client, "alice");
            if told.status != 200 {
                return (number, Some(told));
            }
        }
        (most, None)
    }

    /// Send concurrent requests of alice: this many to each gateway.
    fn burst(&self, each: &[usize]) -> Vec<Told> {
        let barrier = Barrier::new(each.iter().sum());
        std::thread::scope(|scope| {
            let mut asking = Vec::new();
            for (gateway, count) in self.gateways.iter().zip(each) {
                for _ in 0..*count {
                    asking.push(scope.spawn(|| {
                        let mut client = gateway.client();
                        barrier.wait();
                        ask(&mut client, "alice")
                    }));
                }
            }
            asking.into_iter().map(|one| one.join().unwrap()).collect()
        })
    }

    /// Call the admin API of a gateway.
    fn call(&self, gateway: usize, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = Request::new(method, path)
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("connection", "close")
            .header("content-type", "application/json")
            .body(body);
        let answer = Client::connect(self.gateways[gateway].admin_address()).send(&request);
        (answer.status, answer.text().to_owned())
    }

    /// Set what remains of alice's quota.
    fn extend(&self, gateway: usize, remaining: u64) -> Result<(), String> {
        let body = format!("{{\"remaining\":{remaining}}}");
        let (status, text) = self.call(gateway, "PATCH", "/v1/plans/gold/usage/alice-1", &body);
        if status / 100 == 2 {
            Ok(())
        } else {
            Err(format!("the extension: {status} {text}"))
        }
    }

    /// Create a plan in storage, with a key on it. Returns the key's text.
    fn sell(&self, gateway: usize, name: &str, bounds: &str) -> String {
        let body = format!("{{\"name\":\"{name}\",{bounds}}}");
        let (status, text) = self.call(gateway, "POST", "/v1/plans", &body);
        assert_eq!(status, 201, "{text}");
        let body = format!("{{\"consumer\":\"acme\",\"plans\":[\"{name}\"]}}");
        let (status, text) = self.call(gateway, "POST", "/v1/keys", &body);
        assert_eq!(status, 201, "{text}");
        let made: serde_json::Value = serde_json::from_str(&text).unwrap();
        made["secret"].as_str().unwrap().to_owned()
    }

    /// Wait until a gateway's last call of Redis had this outcome.
    fn until_reachable(&self, gateway: usize, reachable: bool) {
        let wanted = f64::from(u8::from(reachable));
        self.gateways[gateway].metrics_when("the store's state", |metrics| {
            (metrics.with("windlass_limit_leases_reachable", &[]) - wanted).abs() < 0.5
        });
    }
}

fn ask(client: &mut Client, key: &str) -> Told {
    let answer = client.send(&Request::get("/").header("x-api-key", key));
    let number = |text: &str| text.parse::<u64>().ok();
    let left = answer.header("ratelimit").and_then(|fields| {
        let after = |name: &str| fields.split(name).nth(1);
        let rest = after("\"quota\";r=").or_else(|| after("\"rate\";r="))?;
        number(rest.split([';', ',']).next()?)
    });
    Told {
        status: answer.status,
        code: if answer.status == 200 {
            String::new()
        } else {
            answer.code()
        },
        left,
        retry_after: answer.header("retry-after").and_then(number),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, wanted: &T) -> Result<(), String> {
    if is == wanted {
        Ok(())
    } else {
        Err(format!("{what} is {is:?}, wanted {wanted:?}"))
    }
}

fn is_code(told: Option<&Told>, status: u16, code: &str) -> Result<(), String> {
    let is = told.map(|told| (told.status, &*told.code));
    same("the refusal", &is, &Some((status, code)))
}

fn within(what: &str, is: u64, wanted: std::ops::RangeInclusive<u64>) -> Result<(), String> {
    if wanted.contains(&is) {
        Ok(())
    } else {
        Err(format!("{what} is {is}, wanted {wanted:?}"))
    }
}

/// Wait until every current lease has expired.
fn after_the_leases() {
    wait::moment(Instant::now() + Duration::from_millis(5_500));
}

/// A gateway returns quota that it has not used for a second. Wait for that.
fn after_the_returns() {
    wait::moment(Instant::now() + Duration::from_secs(3));
}

type Case = (&'static str, Setup, fn(World) -> Result<(), String>);

fn run(cases: &[Case]) {
    table::run(cases, |case| case.0, |case| case.2(case.1.start()));
}

/// A quota, and the gateways that share it.
struct Exact {
    name: &'static str,
    setup: Setup,
    limit: u64,
    /// Whether all requests are sent at once, or one after the other.
    at_once: bool,
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_quota_is_admitted_to_the_last_request_and_not_beyond() {
    let of = |name, gateways, delay_ms, limit, at_once| {
        let plan = match limit {
            1 => "quota = { limit = 1, period = \"month\" }",
            2 => "quota = { limit = 2, period = \"week\" }",
            5 => "quota = { limit = 5, period = \"day\" }",
            10 => "quota = { limit = 10, period = \"day\" }",
            20 => "quota = { limit = 20, period = \"month\" }",
            _ => ONE.plan,
        };
        Exact {
            name,
            setup: Setup {
                gateways,
                delay_ms,
                plan,
                // This allows for a busy machine.
                store: "max_wait = \"10s\"",
                ..ONE
            },
            limit,
            at_once,
        }
    };
    let cases = [
        of("1 on one gateway", 1, 0, 1, false),
        of("1 on three gateways", 3, 0, 1, false),
        of("1 on three gateways at once", 3, 1, 1, true),
        of("2 on two gateways", 2, 0, 2, false),
        of("2 on two gateways at once, 20 ms away", 2, 20, 2, true),
        of("5 on three gateways at once, 20 ms away", 3, 20, 5, true),
        of("10 on one gateway at once", 1, 1, 10, true),
        of("10 on three gateways", 3, 1, 10, false),
        of("10 on three gateways at once", 3, 1, 10, true),
        of("20 on two gateways, 5 ms away", 2, 5, 20, false),
        of("100 on one gateway at once", 1, 1, 100, true),
        of("100 on two gateways at once, 20 ms away", 2, 20, 100, true),
        of("100 on two gateways at once, 50 ms away", 2, 50, 100, true),
        of("100 on three gateways at once", 3, 1, 100, true),
        of(
            "100 on three gateways at once, 20 ms away",
            3,
            20,
            100,
            true,
        ),
        of("100 on three gateways", 3, 0, 100, false),
    ];
    table::run(
        &cases,
        |case| case.name,
        |case| {
            let world = case.setup.start();
            let gateways: Vec<_> = (0..world.gateways.len()).collect();
            let (admitted, refused) = if case.at_once {
                let each = usize::try_from(case.limit)
                    .unwrap()
                    .div_ceil(gateways.len())
                    + 2;
                let told = world.burst(&vec![each; gateways.len()]);
                let mut refused: Vec<_> = told.iter().filter(|told| told.status != 200).collect();
                refused.sort_by_key(|told| told.code == "quota_spent");
                let refused = refused.first().map(|told| Told::clone(told));
                let admitted = told.iter().filter(|told| told.status == 200).count() as u64;
                (admitted, refused)
            } else {
                world.admitted(&gateways, case.limit + 1)
            };
            same("what was admitted", &admitted, &case.limit)?;
            is_code(refused.as_ref(), 429, "quota_spent")?;
            same(
                "what is left",
                &refused.and_then(|told| told.left),
                &Some(0),
            )
        },
    );
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn bursts_of_a_fresh_key_are_admitted() {
    const FIFTY: Setup = Setup {
        plan: "rate = 0.001\nburst = 50",
        delay_ms: 1,
        ..ONE
    };
    fn all(world: &World, each: &[usize], refused: usize) -> Result<(), String> {
        let told = world.burst(each);
        let others: Vec<_> = told.iter().filter(|told| told.status != 200).collect();
        same("the number of refusals", &others.len(), &refused)?;
        match others.iter().find(|told| told.code != "throttled") {
            None => Ok(()),
            Some(told) => Err(format!("{told:?}")),
        }
    }
    run(&[
        ("a burst of 50 on one gateway", FIFTY, |world| {
            all(&world, &[50], 0)
        }),
        ("one more than the burst is throttled", FIFTY, |world| {
            all(&world, &[51], 1)
        }),
        (
            "a burst of 50 on two gateways",
            Setup {
                gateways: 2,
                ..FIFTY
            },
            |world| all(&world, &[25, 25], 0),
        ),
        (
            "what one gateway leased another one gets",
            Setup {
                gateways: 2,
                ..FIFTY
            },
            |world| {
                all(&world, &[10, 0], 0)?;
                all(&world, &[0, 40], 0)?;
                all(&world, &[1, 1], 2)
            },
        ),
        (
            "a burst of 1 on two gateways",
            Setup {
                gateways: 2,
                plan: "rate = 0.001\nburst = 1",
                ..ONE
            },
            |world| all(&world, &[2, 2], 3),
        ),
        (
            "a rate is one of all gateways together",
            Setup {
                gateways: 2,
                plan: "rate = 20.0\nburst = 5",
                ..ONE
            },
            |world| {
                let begin = Instant::now();
                let mut admitted = 0;
                while begin.elapsed() < Duration::from_secs(3) {
                    for gateway in 0..2 {
                        admitted += u64::from(world.ask(gateway).status == 200);
                    }
                }
                let came = u64::try_from(begin.elapsed().as_millis()).unwrap() / 50;
                within("what was admitted", admitted, came * 7 / 10..=came + 6)
            },
        ),
        (
            "a method has a bucket of its own",
            Setup {
                gateways: 2,
                plan: "rate = 0.001\nburst = 9\nmethods = [{ method = \"GET\", path = \"$default\", rate = 0.001, burst = 4 }]",
                ..ONE
            },
            |world| all(&world, &[3, 3], 2),
        ),
        (
            "a hundred requests at once of a fresh key, 20 ms away",
            Setup {
                delay_ms: 20,
                plan: "quota = { limit = 1000, period = \"month\" }",
                ..ONE
            },
            |world| all(&world, &[100], 0),
        ),
    ]);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn what_requests_cost_is_taken_from_the_shared_count() {
    /// Bob's requests cost 7, alice's 1.
    const PRICED: Setup = Setup {
        gateways: 2,
        settings: "{ cost_attribute = \"api-key.cost\" }",
        ..ONE
    };
    run(&[
        ("a dear request after cheap ones", PRICED, |world| {
            let cheap: Vec<_> = (0..4).map(|_| world.ask_as("alice", 0).status).collect();
            same("alice", &cheap, &vec![200; 4])?;
            let told = world.ask_as("bob", 0);
            same("bob", &(told.status, told.left), &(200, Some(93)))
        }),
        ("as many dear ones as there are", PRICED, |world| {
            let dear = (0..20).take_while(|number| world.ask_as("bob", number % 2).status == 200);
            same("bob", &dear.count(), &14)?;
            is_code(Some(&world.ask_as("bob", 0)), 429, "quota_spent")
        }),
        (
            "one of them for all keys, of a plan that the filter names",
            Setup {
                settings: "{ plan = \"gold\", cost = 30 }",
                ..PRICED
            },
            |world| {
                let (admitted, refused) = world.admitted(&[0, 1], 9);
                same("what was admitted", &admitted, &3)?;
                is_code(refused.as_ref(), 429, "quota_spent")?;
                let told = world.ask_as("bob", 1);
                same("bob", &(told.status, told.left), &(200, Some(70)))
            },
        ),
        (
            "a cost that can never pass is refused at once",
            Setup {
                settings: "{ cost = 101 }",
                ..PRICED
            },
            |world| is_code(Some(&world.ask(0)), 429, "quota_spent"),
        ),
    ]);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn what_clients_are_told_is_the_shared_count() {
    run(&[
        ("the first answer tells the quota less one", ONE, |world| {
            let left: Vec<_> = (0..3).map(|_| world.ask(0).left).collect();
            same("what is left", &left, &vec![Some(99), Some(98), Some(97)])
        }),
        (
            "what another gateway used is told within a second or two",
            TWO,
            |world| {
                let (admitted, _) = world.admitted(&[0], 40);
                same("what was admitted", &admitted, &40)?;
                let begin = Instant::now();
                let mut used = 40;
                loop {
                    used += 1;
                    let told = world.ask(1);
                    if told.left == Some(100 - used) {
                        return Ok(());
                    }
                    if begin.elapsed() > Duration::from_secs(2) || told.status != 200 {
                        return Err(format!("{told:?} after {used} requests"));
                    }
                    wait::moment(Instant::now() + Duration::from_millis(200));
                }
            },
        ),
        (
            "nobody is told to come back at the end of the period while another gateway holds a lease",
            TWO,
            |world| {
                let (admitted, _) = world.admitted(&[0], 55);
                same("what was admitted", &admitted, &55)?;
                let (more, refused) = world.admitted(&[1], 46);
                same("what the other one admitted", &more, &45)?;
                is_code(refused.as_ref(), 429, "quota_spent")
            },
        ),
        ("a spent quota says when the period ends", ONE, |world| {
            let (_, refused) = world.admitted(&[0], 101);
            let wait = refused.and_then(|told| told.retry_after);
            within("Retry-After", wait.unwrap_or(0), 2..=31 * 86_400)
        }),
        ("another key has a quota of its own", ONE, |world| {
            let _ = world.admitted(&[0], 101);
            same(
                "what is left for bob",
                &world.ask_as("bob", 0).left,
                &Some(99),
            )
        }),
        ("the report says what was used", TWO, |world| {
            let (admitted, _) = world.admitted(&[0, 1], 31);
            same("what was admitted", &admitted, &31)?;
            let mut last = String::new();
            let end = Instant::now() + Duration::from_secs(5);
            while Instant::now() < end {
                let (_, text) = world.call(0, "GET", "/v1/usage?plan=gold", "");
                if text.contains("[[31,69]]") {
                    return Ok(());
                }
                last = text;
            }
            Err(last)
        }),
    ]);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn what_the_operator_changes_is_in_force() {
    run(&[
        (
            "an extension at once, on the gateway that was asked",
            ONE,
            |world| {
                let (admitted, _) = world.admitted(&[0], 101);
                same("what was admitted", &admitted, &100)?;
                world.extend(0, 30)?;
                let (more, refused) = world.admitted(&[0], 31);
                same("what was admitted then", &more, &30)?;
                is_code(refused.as_ref(), 429, "quota_spent")
            },
        ),
        ("an extension for a client that was away", ONE, |world| {
            let _ = world.admitted(&[0], 101);
            after_the_returns();
            world.extend(0, 5)?;
            let told = world.ask(0);
            same(
                "the first answer",
                &(told.status, told.left),
                &(200, Some(4)),
            )
        }),
        (
            "an extension within a second on another gateway",
            TWO,
            |world| {
                let _ = world.admitted(&[1], 101);
                // The gateways report all usage first.
                after_the_returns();
                world.extend(0, 30)?;
                wait::moment(Instant::now() + Duration::from_secs(1));
                let (more, _) = world.admitted(&[1], 31);
                same("what was admitted then", &more, &30)
            },
        ),
        ("what remains is set to nothing", ONE, |world| {
            let _ = world.admitted(&[0], 20);
            world.extend(0, 0)?;
            is_code(Some(&world.ask(0)), 429, "quota_spent")
        }),
        ("what remains is set lower", TWO, |world| {
            let _ = world.admitted(&[0, 1], 20);
            world.extend(0, 7)?;
            let (more, _) = world.admitted(&[0], 20);
            // The other gateway may use its lease until it learns of the change.
            within("what was admitted then", more, 6..=7)
        }),
        ("a larger quota of a plan at once", TWO, |world| {
            let quota =
                |limit: u64| format!("\"quota\":{{\"limit\":{limit},\"period\":\"month\"}}");
            let key = world.sell(0, "silver", &quota(5));
            let ask = || world.ask_as(&key, 0);
            let first: Vec<_> = (0..6).map(|_| ask().status).collect();
            same("the first", &first, &vec![200, 200, 200, 200, 200, 429])?;
            let body = format!("{{{}}}", quota(8));
            let (status, text) = world.call(0, "PATCH", "/v1/plans/silver", &body);
            same(&text, &status, &200)?;
            let then: Vec<_> = (0..4).map(|_| ask().status).collect();
            same("then", &then, &vec![200, 200, 200, 429])
        }),
        ("a smaller quota of a plan at once", ONE, |world| {
            let quota =
                |limit: u64| format!("\"quota\":{{\"limit\":{limit},\"period\":\"month\"}}");
            let key = world.sell(0, "silver", &quota(1000));
            let ask = || world.ask_as(&key, 0);
            let good = (0..20).filter(|_| ask().status == 200).count();
            same("the first", &good, &20)?;
            let body = format!("{{{}}}", quota(22));
            let (status, text) = world.call(0, "PATCH", "/v1/plans/silver", &body);
            same(&text, &status, &200)?;
            let then: Vec<_> = (0..4).map(|_| ask().status).collect();
            same("then", &then, &vec![200, 200, 429, 429])
        }),
        ("a larger burst of a plan at once", ONE, |world| {
            let rate = |burst: u64| format!("\"rate\":{{\"per_second\":0.001,\"burst\":{burst}}}");
            let key = world.sell(0, "silver", &rate(3));
            let ask = || world.ask_as(&key, 0);
            let first: Vec<_> = (0..4).map(|_| ask().status).collect();
            same("the first", &first, &vec![200, 200, 200, 429])?;
            // A bucket keeps its deficit: a larger burst does not add tokens to it.
            let body = format!("{{{}}}", rate(30));
            let (status, text) = world.call(0, "PATCH", "/v1/plans/silver", &body);
            same(&text, &status, &200)?;
            let told = ask();
            same("then", &told.status, &200).or_else(|_| is_code(Some(&told), 429, "throttled"))
        }),
        ("a disabled key at once", TWO, |world| {
            let key = world.sell(0, "silver", "\"quota\":{\"limit\":50,\"period\":\"day\"}");
            same("before", &world.ask_as(&key, 0).status, &200)?;
            let (_, list) = world.call(0, "GET", "/v1/keys?consumer=acme", "");
            let list: serde_json::Value = serde_json::from_str(&list).unwrap();
            let id = list["items"][0]["id"].as_str().unwrap_or("").to_owned();
            let path = format!("/v1/keys/{id}");
            let (status, text) = world.call(0, "PATCH", &path, "{\"enabled\":false}");
            same(&text, &status, &200)?;
            same("after", &world.ask_as(&key, 0).status, &403)
        }),
    ]);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn gateways_that_go_take_no_quota_with_them() {
    run(&[
        (
            "one that is killed: all but one lease at the most is admitted",
            TWO,
            |mut world| {
                let (before, _) = world.admitted(&[0], 35);
                drop(world.gateways.remove(0).kill());
                after_the_leases();
                let (after, refused) = world.admitted(&[0], 120);
                is_code(refused.as_ref(), 429, "quota_spent")?;
                // It may have used its lease without reporting it.
                within("what was admitted", before + after, 100..=110)
            },
        ),
        (
            "one that stands still with a lease: others do not say that the quota is spent",
            TWO,
            |world| {
                let (before, _) = world.admitted(&[0], 35);
                world.gateways[0].signal(Signal::STOP);
                let (meanwhile, refused) = world.admitted(&[1], 120);
                if before + meanwhile < 100 {
                    is_code(refused.as_ref(), 503, "limits_unavailable")?;
                }
                after_the_leases();
                let (after, refused) = world.admitted(&[1], 120);
                is_code(refused.as_ref(), 429, "quota_spent")?;
                within("what was admitted", before + meanwhile + after, 100..=110)
            },
        ),
        ("one that ends gives all back at once", TWO, |mut world| {
            let (before, _) = world.admitted(&[0], 35);
            drop(world.gateways.remove(0).end());
            let (after, _) = world.admitted(&[0], 120);
            same("what was admitted", &(before + after), &100)
        }),
        ("one that is killed and started again", ONE, |mut world| {
            let (before, _) = world.admitted(&[0], 35);
            let again = world.gateways.remove(0).kill();
            world.gateways.push(again.start());
            after_the_leases();
            let (after, _) = world.admitted(&[0], 120);
            within("what was admitted", before + after, 100..=110)
        }),
        (
            "one that stands still past the end of its lease",
            TWO,
            |world| {
                let (before, _) = world.admitted(&[0], 35);
                world.gateways[0].signal(Signal::STOP);
                after_the_leases();
                let (other, refused) = world.admitted(&[1], 120);
                world.gateways[0].signal(Signal::CONT);
                is_code(refused.as_ref(), 429, "quota_spent")?;
                let mut late = 0;
                // A call that was in progress when the process stopped has failed.
                wait::until("the quota to be spent", || {
                    let told = world.ask(0);
                    late += u64::from(told.status == 200);
                    (told.code == "quota_spent").then_some(())
                });
                same("what it used of an old lease", &late, &0)?;
                within("what was admitted", before + other, 100..=110)
            },
        ),
        (
            "one that stands still in the middle of a burst",
            Setup {
                gateways: 2,
                delay_ms: 5,
                ..ONE
            },
            |world| {
                let (before, _) = world.admitted(&[0, 1], 40);
                world.gateways[0].signal(Signal::STOP);
                after_the_leases();
                let (other, _) = world.admitted(&[1], 30);
                world.gateways[0].signal(Signal::CONT);
                let mut rest = 0;
                // A call that was in progress when the process stopped has failed.
                wait::until("the quota to be spent", || {
                    let told = [world.ask(0), world.ask(1)];
                    rest += told.iter().filter(|told| told.status == 200).count() as u64;
                    told.iter()
                        .all(|told| told.code == "quota_spent")
                        .then_some(())
                });
                within("what was admitted", before + other + rest, 100..=110)
            },
        ),
        ("a new gateway gets its part", ONE, |mut world| {
            let (before, _) = world.admitted(&[0], 50);
            world.add();
            let (after, _) = world.admitted(&[1], 60);
            same("what was admitted", &(before + after), &100)
        }),
    ]);
}

/// A quota of a thousand, so that an outage falls in the middle of it.
const MANY: Setup = Setup {
    plan: "quota = { limit = 1000, period = \"month\" }",
    ..ONE
};

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_redis_that_is_away_or_back_spends_no_quota() {
    run(&[
        ("a restart with all data", MANY, |mut world| {
            let (before, _) = world.admitted(&[0], 10);
            world.redis.kill();
            world.until_reachable(0, false);
            world.redis.restart();
            let mut told = Vec::new();
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_secs(3) {
                told.push(world.ask(0));
                wait::moment(Instant::now() + Duration::from_millis(10));
            }
            match told.iter().find(|told| told.status == 429) {
                Some(told) => return Err(format!("{told:?}")),
                None => same("the last", &told.last().unwrap().status, &200)?,
            }
            let used = before + told.iter().filter(|told| told.status == 200).count() as u64;
            same(
                "what is left",
                &told.last().unwrap().left,
                &Some(1000 - used),
            )
        }),
        (
            "a restart with all data, of two gateways",
            Setup {
                gateways: 2,
                ..MANY
            },
            |mut world| {
                let (before, _) = world.admitted(&[0, 1], 100);
                world.redis.kill();
                world.until_reachable(0, false);
                world.until_reachable(1, false);
                world.redis.restart();
                world.until_reachable(0, true);
                world.until_reachable(1, true);
                let (after, refused) = world.admitted(&[0, 1], 1000);
                is_code(refused.as_ref(), 429, "quota_spent")?;
                within("what was admitted", before + after, 1000..=1000)
            },
        ),
        (
            "deny",
            Setup {
                store: "on_unavailable = \"deny\"",
                ..MANY
            },
            |mut world| {
                let _ = world.admitted(&[0], 10);
                world.redis.kill();
                world.until_reachable(0, false);
                let (_, refused) = world.admitted(&[0], 1000);
                is_code(refused.as_ref(), 503, "limits_unavailable")
            },
        ),
        (
            "allow, and what was let through is settled",
            Setup {
                store: "on_unavailable = \"allow\"",
                ..MANY
            },
            |mut world| {
                let (before, _) = world.admitted(&[0], 10);
                world.redis.kill();
                world.until_reachable(0, false);
                let (during, refused) = world.admitted(&[0], 400);
                same("a refusal", &refused, &None)?;
                world.redis.restart();
                world.until_reachable(0, true);
                wait::moment(Instant::now() + Duration::from_secs(1));
                let left = world.ask(0).left;
                same("what is left", &left, &Some(1000 - before - during - 1))
            },
        ),
        (
            "local",
            Setup {
                store: "on_unavailable = \"local\"",
                plan: ONE.plan,
                ..ONE
            },
            |mut world| {
                let (before, _) = world.admitted(&[0], 10);
                world.redis.kill();
                world.until_reachable(0, false);
                let (during, refused) = world.admitted(&[0], 400);
                is_code(refused.as_ref(), 429, "quota_spent")?;
                same("what was admitted", &(before + during), &100)
            },
        ),
        (
            "a Redis that stands still holds up nobody else",
            MANY,
            |world| {
                let _ = world.ask(0);
                world.redis.pause();
                let begin = Instant::now();
                let free = world.gateways[0].get("/free").status;
                let waited = begin.elapsed();
                let told = world.ask_as("bob", 0);
                world.redis.resume();
                same("a route without keys", &free, &200)?;
                is_code(Some(&told), 503, "limits_unavailable")?;
                if waited > Duration::from_secs(2) {
                    return Err(format!("it took {waited:?}"));
                }
                wait::until("bob to be let in", || {
                    (world.ask_as("bob", 0).status == 200).then_some(())
                });
                Ok(())
            },
        ),
        (
            "no wait where none is wanted",
            Setup {
                store: "max_wait = \"0s\"",
                delay_ms: 20,
                ..MANY
            },
            |world| {
                let first = world.ask(0);
                is_code(Some(&first), 503, "limits_unavailable")?;
                wait::until("the share", || (world.ask(0).status == 200).then_some(()));
                Ok(())
            },
        ),
        (
            "a Redis that comes back empty gives no quota twice",
            Setup { gateways: 2, ..ONE },
            |mut world| {
                let (before, _) = world.admitted(&[0, 1], 60);
                after_the_returns();
                let _ = world.redis.tell(&["CONFIG", "SET", "appendonly", "no"]);
                let _ = world.redis.tell(&["FLUSHALL"]);
                let _ = world.redis.tell(&["CONFIG", "SET", "appendonly", "yes"]);
                world.redis.kill();
                world.until_reachable(0, false);
                world.until_reachable(1, false);
                world.redis.restart();
                world.until_reachable(0, true);
                world.until_reachable(1, true);
                let (after, refused) = world.admitted(&[0, 1], 200);
                is_code(refused.as_ref(), 429, "quota_spent")?;
                within("what was admitted", before + after, 80..=120)
            },
        ),
        (
            "a Redis that is emptied while it runs gives no quota twice",
            Setup {
                gateways: 2,
                // Requests wait until both gateways have reported their usage.
                store: "max_wait = \"10s\"",
                ..ONE
            },
            |world| {
                let (before, _) = world.admitted(&[0, 1], 60);
                after_the_returns();
                let _ = world.redis.tell(&["FLUSHALL"]);
                let (after, refused) = world.admitted(&[0, 1], 200);
                is_code(refused.as_ref(), 429, "quota_spent")?;
                within("what was admitted", before + after, 80..=120)?;
                // The record of days is lost, so the report gives the count that is enforced.
                let (_, text) = world.call(0, "GET", "/v1/usage?plan=gold&key=alice-1", "");
                let report: serde_json::Value = serde_json::from_str(&text).unwrap();
                let remaining = report["items"]["alice-1"][0][1].as_u64();
                same("what remains by the report", &remaining, &Some(0))
            },
        ),
    ]);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_failover_is_followed() {
    /// Two servers, and the second is a replica of the first; then the roles are exchanged.
    fn fail_over(world: &World, other: &RedisServer) -> Result<(), String> {
        same("before", &world.ask(0).status, &200)?;
        wait::until("a replica", || {
            let told = other.tell(&["HEXISTS", "{windlass}:budget", "x"]);
            let keys = other.tell(&["DBSIZE"]);
            (told.starts_with(':') && keys.trim() != ":0").then_some(())
        });
        other.lead();
        world.redis.follow(other);
        world.forward.lead_to(other.address());
        Ok(())
    }
    run(&[
        (
            "the old master lives on as a replica: requests",
            MANY,
            |world| {
                let other = RedisServer::durable();
                other.follow(&world.redis);
                fail_over(&world, &other)?;
                wait::until("requests to succeed", || {
                    let good = (0..8).all(|_| world.ask(0).status == 200);
                    good.then_some(())
                });
                Ok(())
            },
        ),
        (
            "the old master lives on as a replica: changes",
            MANY,
            |world| {
                let other = RedisServer::durable();
                other.follow(&world.redis);
                fail_over(&world, &other)?;
                let mut number = 0;
                wait::until("a change to succeed", || {
                    number += 1;
                    let rate = "\"rate\":{\"per_second\":1,\"burst\":1}";
                    let body = format!("{{\"name\":\"n{number}\",{rate}}}");
                    (world.call(0, "POST", "/v1/plans", &body).0 == 201).then_some(())
                });
                Ok(())
            },
        ),
        (
            "the old master lives on as a replica: nothing is given twice",
            ONE,
            |world| {
                let other = RedisServer::durable();
                other.follow(&world.redis);
                let (before, _) = world.admitted(&[0], 30);
                fail_over(&world, &other)?;
                let mut after = 1;
                wait::until("the quota to be spent", || {
                    let told = world.ask(0);
                    after += u64::from(told.status == 200);
                    (told.code == "quota_spent").then_some(())
                });
                within("what was admitted", before + after, 100..=100)
            },
        ),
        ("a master without enough replicas is left", MANY, |world| {
            let other = RedisServer::durable();
            same("before", &world.ask(0).status, &200)?;
            let _ = world
                .redis
                .tell(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
            world.until_reachable(0, false);
            world.forward.lead_to(other.address());
            wait::until("requests to succeed", || {
                (world.ask(0).status == 200).then_some(())
            });
            Ok(())
        }),
    ]);
}

#[test]
#[ignore = "needs redis-server: apt-get install redis-server"]
fn a_gateway_starts_without_redis() {
    fn start(store: &'static str) -> World {
        let mut redis = RedisServer::durable();
        redis.kill();
        Setup { store, ..ONE }.on(redis)
    }
    type Late = (&'static str, &'static str, fn(World) -> Result<(), String>);
    let cases: [Late; 3] = [
        ("deny, and it recovers by itself", "", |mut world| {
            same(
                "a route without keys",
                &world.gateways[0].get("/free").status,
                &200,
            )?;
            is_code(Some(&world.ask(0)), 503, "limits_unavailable")?;
            same("readyz", &world.gateways[0].admin("/readyz").status, &503)?;
            world.redis.restart();
            wait::until("requests to be let in", || {
                (world.ask(0).status == 200).then_some(())
            });
            wait::until("readyz", || {
                (world.gateways[0].admin("/readyz").status == 200).then_some(())
            });
            let key = world.sell(0, "silver", "\"quota\":{\"limit\":5,\"period\":\"day\"}");
            same("a key of the store", &world.ask_as(&key, 0).status, &200)
        }),
        ("allow", "on_unavailable = \"allow\"", |world| {
            same("a key of the file", &world.ask(0).status, &200)
        }),
        (
            "a key of the store cannot be told, also where stale ones are believed",
            "on_stale = \"allow\"",
            |mut world| {
                let told = world.ask_as("nobody-knows-this-key", 0);
                is_code(Some(&told), 503, "keys_unavailable")?;
                world.redis.restart();
                wait::until("the keys to be read", || {
                    let told = world.ask_as("nobody-knows-this-key", 0);
                    (told.status == 403).then_some(())
                });
                Ok(())
            },
        ),
    ];
    table::run(&cases, |case| case.0, |case| case.2(start(case.1)));
}

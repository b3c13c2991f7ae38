//! The cost of a million keys beside a thousand: start, memory and look-up.
//!
//! `cargo bench -p windlass --bench keys` (a minute or two: it fills a file first).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench stops at the first fault, and prints"
)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass::internals::store::{
    KeyDigest, KeyRecord, Keys, LocalLimits, SecretRecord, SqliteStorage, Storage as _,
    StorageSync, SyncSettings, Timestamp, Write,
};

/// The allocator of the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const LOOK_UPS: u32 = 200_000;

fn main() {
    // `cargo test --benches` only checks that this builds and starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = tempfile::TempDir::new().expect("a folder");
    let few = Stand::with(&folder.path().join("few.db"), 1_000);
    let many = Stand::with(&folder.path().join("many.db"), 1_000_000);
    // The two measurements alternate, so that other load on the machine affects both.
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        times[0].push(few.look_up(round));
        times[1].push(many.look_up(round));
    }
    let [few, many] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    });
    println!(
        "look-up, median of {ROUNDS} rounds: {few:.0} ns among 1,000 keys, {many:.0} ns among 1,000,000: {:.0} ns more",
        many - few
    );
}

/// A file of keys, and the keys that were read from it.
struct Stand {
    keys: Keys,
    count: usize,
    /// Dropping this ends the sync of the keys.
    _keeper: StorageSync,
}

impl Stand {
    fn with(path: &Path, count: usize) -> Self {
        let began = Instant::now();
        fill(path, count);
        println!(
            "{count} keys: written in {:.1} s",
            began.elapsed().as_secs_f64()
        );
        let before = resident();
        let began = Instant::now();
        let ledger = Arc::new(SqliteStorage::open(path).expect("a ledger"));
        let settings = SyncSettings {
            flush_interval: Duration::from_millis(500),
            max_staleness: None,
            allow_stale: false,
            usage_days: 400,
        };
        let limits = Arc::new(LocalLimits::default().with_recording());
        let keeper = StorageSync::start(ledger, limits, settings).expect("a keeper");
        println!(
            "{count} keys: read in {:.2} s, {} MiB more in memory, {} MiB in all",
            began.elapsed().as_secs_f64(),
            resident().saturating_sub(before) >> 20,
            resident() >> 20,
        );
        Self {
            keys: Keys {
                configured: Arc::default(),
                live: Some(keeper.live_keys()),
            },
            count,
            _keeper: keeper,
        }
    }

    /// Nanoseconds for one look-up, with the digest and the data that a filter gets.
    fn look_up(&self, round: usize) -> f64 {
        let now = Timestamp {
            wall_ms: 1_000_000 + round as u64 * 10_000,
            monotonic_ns: 0,
        };
        let mut random = fastrand::Rng::with_seed(round as u64);
        let texts: Vec<String> = (0..LOOK_UPS)
            .map(|_| text(random.usize(..self.count)))
            .collect();
        let began = Instant::now();
        for text in &texts {
            let found = self.keys.find(text.as_bytes(), now, |key| {
                black_box((key.id().len(), key.consumer().len(), key.plans().len()))
            });
            black_box(found).expect("a key that is there");
        }
        began.elapsed().as_secs_f64() * 1e9 / f64::from(LOOK_UPS)
    }
}

fn text(number: usize) -> String {
    format!("wl_{number:030}abcdef")
}

fn fill(path: &Path, count: usize) {
    let ledger = SqliteStorage::open(path).expect("a ledger");
    let numbers: Vec<usize> = (0..count).collect();
    for numbers in numbers.chunks(10_000) {
        let writes: Vec<Write> = numbers.iter().map(|number| put(*number)).collect();
        ledger.commit(&writes).expect("a commit");
    }
}

fn put(number: usize) -> Write {
    let record = KeyRecord {
        // Key ids are random, so they do not sort by creation.
        id: format!(
            "{:016x}",
            (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ),
        name: format!("key {number}"),
        consumer: format!("consumer-{number}"),
        plans: vec![format!("plan-{}", number % 10)],
        metadata: Default::default(),
        enabled: true,
        created_ms: 1,
        updated_ms: 1,
        expires_ms: None,
        secrets: vec![SecretRecord {
            digest: KeyDigest::of(text(number).as_bytes()),
            prefix: "wl_abcd".to_owned(),
            created_ms: 1,
            expires_ms: None,
        }],
        revision: 0,
    };
    Write::PutKey { record, expect: 0 }
}

/// The resident memory of this process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.expect("a number of KiB") * 1024
}

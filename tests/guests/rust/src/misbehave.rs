//! What a filter must not do.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A trap without a word.
pub(crate) fn trap() -> ! {
    std::process::abort()
}

/// A trap with a message on standard error.
#[expect(clippy::panic, reason = "a filter that panics is what is wanted")]
pub(crate) fn panic() -> ! {
    panic!("the actor panics as it was told")
}

/// Never ends.
pub(crate) fn endless() -> ! {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

/// Calls itself until the stack is used up.
pub(crate) fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    if black_box(depth) == u64::MAX {
        return 0;
    }
    recurse(depth + 1) + black_box(frame).iter().sum::<u64>()
}

/// Take memory in steps of 1 MiB until there is none; std then aborts.
pub(crate) fn grow_until_refused() {
    loop {
        grow(1024 * 1024);
    }
}

/// Take memory and never give it back.
pub(crate) fn grow(bytes: usize) {
    black_box(vec![1_u8; bytes].leak());
}

/// Read a file.
pub(crate) fn read_file(path: &str) -> Value {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    match read {
        Ok(_) => json!(text),
        Err(error) => json!({ "error": error.kind().to_string() }),
    }
}

/// Open a connection.
pub(crate) fn connect(address: &str) -> Value {
    match std::net::TcpStream::connect(address) {
        Ok(_) => json!("connected"),
        Err(error) => json!({ "error": error.kind().to_string() }),
    }
}

/// Sleep.
pub(crate) fn sleep() {
    std::thread::sleep(Duration::from_secs(3600));
}

/// Use the processor until the clock on the wall has moved on.
pub(crate) fn spin_until_passed(milliseconds: u64) {
    let end = Instant::now() + Duration::from_millis(milliseconds);
    while Instant::now() < end {}
}

/// A line of standard output.
pub(crate) fn print(line: &str) {
    // Whether it is taken is the gateway's business.
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Octets on standard output, whatever they are.
pub(crate) fn print_bytes(bytes: &[u8]) {
    // Whether they are taken is the gateway's business.
    drop(std::io::stdout().write_all(bytes));
    drop(std::io::stdout().flush());
}

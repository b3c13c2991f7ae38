//! Things that a filter must not do.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Trap without a message.
pub(crate) fn trap() -> ! {
    std::process::abort()
}

/// Trap with a message on standard error.
#[expect(clippy::panic, reason = "a filter that panics is what is wanted")]
pub(crate) fn panic() -> ! {
    panic!("the actor panics as it was told")
}

/// Keep bytes for the next exchange, which is another client's; gives those of the last.
pub(crate) fn replace_last(bytes: &[u8]) -> Vec<u8> {
    static LAST: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    match LAST.lock() {
        Ok(mut last) => std::mem::replace(&mut *last, bytes.to_vec()),
        Err(_) => Vec::new(),
    }
}

/// Never return.
pub(crate) fn endless() -> ! {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

/// Recurse until the stack is used up.
pub(crate) fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    if black_box(depth) == u64::MAX {
        return 0;
    }
    recurse(depth + 1) + black_box(frame).iter().sum::<u64>()
}

/// The same without memory of its own in a frame: it is the engine's stack that is used up.
pub(crate) fn recurse_deeply(depth: u64) -> u64 {
    match black_box(depth) {
        u64::MAX => 0,
        depth => black_box(recurse_deeply(depth + 1)) + 1,
    }
}

/// Allocate memory in steps of 1 MiB until there is none left; then std aborts.
pub(crate) fn grow_until_refused() {
    loop {
        grow(1024 * 1024);
    }
}

/// Allocate memory and never free it.
pub(crate) fn grow(bytes: usize) {
    black_box(vec![1_u8; bytes].leak());
}

pub(crate) fn read_file(path: &str) -> Value {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    match read {
        Ok(_) => json!(text),
        Err(error) => json!({ "error": error.kind().to_string() }),
    }
}

pub(crate) fn connect(address: &str) -> Value {
    match std::net::TcpStream::connect(address) {
        Ok(_) => json!("connected"),
        Err(error) => json!({ "error": error.kind().to_string() }),
    }
}

pub(crate) fn sleep() {
    std::thread::sleep(Duration::from_secs(3600));
}

/// Use the processor until the wall clock has moved on.
pub(crate) fn spin_until_passed(milliseconds: u64) {
    let end = Instant::now() + Duration::from_millis(milliseconds);
    while Instant::now() < end {}
}

/// Print a line to standard output.
pub(crate) fn print(line: &str) {
    // The gateway decides whether it accepts the line.
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Print bytes to standard output.
pub(crate) fn print_bytes(bytes: &[u8]) {
    // The gateway decides whether it accepts the bytes.
    drop(std::io::stdout().write_all(bytes));
    drop(std::io::stdout().flush());
}

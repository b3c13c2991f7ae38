//! The fields that tell a client where it stands: `RateLimit-Policy` and `RateLimit` as lists of
//! structured-field items (draft-ietf-httpapi-ratelimit-headers), times in whole seconds.
//!
//! Written by hand and not with `format!`: they are made for every answer.

use windlass_plugin_sdk::host::limits::{Level, Levels};

/// The largest integer of a structured field (RFC 9651, section 3.3.1).
const LARGEST: u64 = 999_999_999_999_999;

/// Whether there is nothing to tell: the plan bounds nothing.
pub fn is_empty(standing: &Levels) -> bool {
    standing.rate.is_none() && standing.quota.is_none()
}

/// What may be used: `"rate";q=10;w=2, "quota";q=1000;w=86400`.
pub fn policy(standing: &Levels) -> Vec<u8> {
    list(standing, |level| {
        [(";q=", Some(level.limit)), (";w=", window(level.window_ms))]
    })
}

/// What is left: `"rate";r=9;t=1, "quota";r=10;t=5000`.
pub fn limit(standing: &Levels) -> Vec<u8> {
    list(standing, |level| {
        [
            (";r=", Some(level.remaining)),
            (";t=", reset(level.reset_ms)),
        ]
    })
}

/// A wait in whole seconds, rounded up, and never 0: a client that waits so long may try again.
pub fn seconds(milliseconds: u64) -> u64 {
    whole_seconds(milliseconds).max(1)
}

fn whole_seconds(milliseconds: u64) -> u64 {
    milliseconds.div_ceil(1_000)
}

/// None for a bucket that does not fill: the parameter is optional in the draft, and a made-up
/// number would be believed.
fn window(milliseconds: u64) -> Option<u64> {
    (milliseconds != u64::MAX).then(|| seconds(milliseconds))
}

/// None for a bucket that never is full again.
fn reset(milliseconds: u64) -> Option<u64> {
    (milliseconds != u64::MAX).then(|| whole_seconds(milliseconds))
}

fn list(
    standing: &Levels,
    parameters: impl Fn(Level) -> [(&'static str, Option<u64>); 2],
) -> Vec<u8> {
    let mut text = Vec::with_capacity(96);
    for (name, level) in [("\"rate\"", standing.rate), ("\"quota\"", standing.quota)] {
        let Some(level) = level else { continue };
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(name.as_bytes());
        for (key, number) in parameters(level) {
            let Some(number) = number else { continue };
            text.extend_from_slice(key.as_bytes());
            push_number(&mut text, number.min(LARGEST));
        }
    }
    text
}

fn push_number(text: &mut Vec<u8>, mut number: u64) {
    let start = text.len();
    loop {
        text.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text[start..].reverse();
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Level = Level {
        limit: 10,
        remaining: 9,
        window_ms: 2_000,
        reset_ms: 200,
    };
    const QUOTA: Level = Level {
        limit: 1_000,
        remaining: 10,
        window_ms: 86_400_000,
        reset_ms: 4_999_001,
    };

    fn texts(rate: Option<Level>, quota: Option<Level>) -> (String, String) {
        let standing = Levels { rate, quota };
        let text = |bytes| String::from_utf8(bytes).expect("a field is text");
        (text(policy(&standing)), text(limit(&standing)))
    }

    #[test]
    fn both_bounds_are_told() {
        let (policy, limit) = texts(Some(RATE), Some(QUOTA));
        assert_eq!(policy, r#""rate";q=10;w=2, "quota";q=1000;w=86400"#);
        assert_eq!(limit, r#""rate";r=9;t=1, "quota";r=10;t=5000"#);
    }

    #[test]
    fn one_bound_stands_alone() {
        let (policy, limit) = texts(None, Some(QUOTA));
        assert_eq!(policy, r#""quota";q=1000;w=86400"#);
        assert_eq!(limit, r#""quota";r=10;t=5000"#);
    }

    #[test]
    fn a_full_bucket_resets_now_and_a_short_window_is_a_second() {
        let full = Level {
            remaining: 10,
            window_ms: 100,
            reset_ms: 0,
            ..RATE
        };
        let (policy, limit) = texts(Some(full), None);
        assert_eq!(policy, r#""rate";q=10;w=1"#);
        assert_eq!(limit, r#""rate";r=10;t=0"#);
    }

    #[test]
    fn numbers_are_printed_as_rust_prints_them() {
        for number in [0, 1, 9, 10, 101, 86_400, 1_000_000_007, LARGEST, u64::MAX] {
            let mut text = Vec::new();
            push_number(&mut text, number);
            assert_eq!(text, number.to_string().as_bytes());
        }
    }

    #[test]
    fn no_number_leaves_the_range_of_a_structured_field() {
        let vast = Level {
            limit: u64::MAX,
            remaining: u64::MAX,
            window_ms: u64::MAX,
            reset_ms: u64::MAX,
        };
        let (policy, limit) = texts(Some(vast), None);
        assert_eq!(policy, format!("\"rate\";q={LARGEST}"));
        assert_eq!(limit, format!("\"rate\";r={LARGEST}"));
        let long = Level {
            window_ms: u64::MAX - 1,
            ..vast
        };
        let (policy, _) = texts(Some(long), None);
        assert_eq!(policy, format!("\"rate\";q={LARGEST};w={LARGEST}"));
    }

    #[test]
    fn a_wait_is_rounded_up_and_never_zero() {
        assert_eq!([0, 1, 1_000, 1_001].map(seconds), [1, 1, 1, 2]);
    }
}

//! How long an answer is fresh by its own header fields (RFC 9111), and when to fetch again. Pure.

use std::time::Duration;

use http::{HeaderMap, header};

/// How long the answer with these fields is fresh. None: it does not say.
pub(super) fn lifetime(fields: &HeaderMap) -> Option<Duration> {
    let mut said = None;
    for value in fields.get_all(header::CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let name = name.trim();
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                return Some(Duration::ZERO);
            }
            if name.eq_ignore_ascii_case("max-age") {
                // RFC 9111, section 4.2.1: an invalid age counts as none. Of several, the shortest
                // counts.
                let seconds = value.trim().trim_matches('"').parse().unwrap_or(0);
                said = Some(said.map_or(seconds, |other: u64| other.min(seconds)));
            }
        }
    }
    let text = |name| fields.get(name)?.to_str().ok();
    let date = |name| httpdate::parse_http_date(text(name)?).ok();
    if let Some(seconds) = said {
        let age = text(header::AGE).and_then(|age| age.trim().parse::<u64>().ok());
        return Some(Duration::from_secs(
            seconds.saturating_sub(age.unwrap_or(0)),
        ));
    }
    // An invalid date, above all `0`, means the past.
    text(header::EXPIRES)?;
    let (Some(ends), Some(began)) = (date(header::EXPIRES), date(header::DATE)) else {
        return Some(Duration::ZERO);
    };
    Some(ends.duration_since(began).unwrap_or_default())
}

/// When to fetch again, by the settings of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pace {
    /// If the answer does not say how long it is fresh.
    pub(crate) refresh: Duration,
    /// Shortest time between two fetches that requests cause, and between two of short-lived
    /// answers.
    pub(crate) cooldown: Duration,
    /// How long keys are used after the last good answer.
    pub(crate) max_stale: Duration,
}

/// The pause after the first failure, and the longest pause.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

impl Pace {
    /// The time to the next fetch after a good answer. It comes before the answer's end, so that
    /// keys are hardly ever used beyond it. `chance` (0 to 1) spreads the gateways of one issuer.
    pub(super) fn after_answer(&self, lifetime: Option<Duration>, chance: f64) -> Duration {
        let lifetime = lifetime.unwrap_or(self.refresh);
        // The rest leaves time for two failures in a row.
        let most = (self.max_stale / 2).max(self.cooldown);
        let lifetime = lifetime.clamp(self.cooldown, most);
        lifetime.mul_f64(0.75 + 0.2 * chance.clamp(0.0, 1.0))
    }

    /// The time to the next fetch after this many failures in a row.
    pub(super) fn after_failure(&self, failures: u32, chance: f64) -> Duration {
        let (first, most) = (RETRY.0.min(self.cooldown), RETRY.1);
        let pause = first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        pause.min(most).mul_f64(0.75 + 0.5 * chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
        let fields = fields.iter();
        fields
            .map(|(name, value)| {
                let name = http::HeaderName::from_static(name);
                (name, http::HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn rfc_9111_an_answer_says_how_long_it_is_fresh() {
        let date = ("date", "Sun, 29 Nov 2026 12:00:00 GMT");
        for (given, seconds) in [
            (vec![], None),
            (vec![("cache-control", "public")], None),
            (vec![("cache-control", "public, max-age=600")], Some(600)),
            (vec![("cache-control", "Max-Age=\"60\"")], Some(60)),
            (
                vec![("cache-control", "max-age=600"), ("age", "500")],
                Some(100),
            ),
            (
                vec![("cache-control", "max-age=600"), ("age", "700")],
                Some(0),
            ),
            (vec![("cache-control", "max-age=x")], Some(0)),
            (vec![("cache-control", "max-age=600, max-age=5")], Some(5)),
            (vec![("cache-control", "max-age=600, no-cache")], Some(0)),
            (vec![("cache-control", "no-store")], Some(0)),
            (
                vec![date, ("expires", "Sun, 29 Nov 2026 12:10:00 GMT")],
                Some(600),
            ),
            (
                vec![date, ("expires", "Sun, 29 Nov 2026 11:00:00 GMT")],
                Some(0),
            ),
            (vec![date, ("expires", "0")], Some(0)),
            (
                vec![
                    ("cache-control", "max-age=5"),
                    ("expires", "Sun, 29 Nov 2026 12:10:00 GMT"),
                ],
                Some(5),
            ),
        ] {
            let lifetime = lifetime(&fields(&given));
            assert_eq!(lifetime.map(|time| time.as_secs()), seconds, "{given:?}");
        }
    }

    const PACE: Pace = Pace {
        refresh: Duration::from_mins(10),
        cooldown: Duration::from_secs(30),
        max_stale: Duration::from_hours(2),
    };

    #[test]
    fn keys_are_asked_for_ahead_of_their_end_and_within_bounds() {
        let after = |seconds: Option<u64>, chance| {
            let lifetime = seconds.map(Duration::from_secs);
            PACE.after_answer(lifetime, chance).as_millis()
        };
        assert_eq!(after(None, 0.0), 450_000);
        assert_eq!(after(None, 1.0), 570_000);
        assert_eq!(after(Some(100), 1.0), 95_000);
        assert_eq!(after(Some(0), 0.0), 22_500, "not oftener than `cooldown`");
        assert_eq!(after(Some(u64::MAX), 1.0), 3_420_000, "half of `max_stale`");
    }

    #[test]
    fn failures_are_tried_again_ever_later_up_to_a_minute() {
        let after = |failures| PACE.after_failure(failures, 0.5).as_secs();
        assert_eq!(
            [1, 2, 3, 6, 7, 8, 1000].map(after),
            [1, 2, 4, 32, 60, 60, 60]
        );
        let eager = Pace {
            cooldown: Duration::from_millis(100),
            ..PACE
        };
        assert_eq!(eager.after_failure(1, 0.5).as_millis(), 100);
    }
}

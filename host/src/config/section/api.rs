//! `[api.<name>]` and `[plan.<name>]`: what is sold, and how much of it.

use std::sync::Arc;

use crate::config::field::{
    Choice, Field, Is, Nested, Optional, Parsed, Rate as RateKind, Required, Section, Whole,
    Written,
};
use crate::config::model::{Api, ErrorStyle, Period, Plan, Quota, Rate};
use crate::config::read::Table;
use crate::config::value::name::line;

/// `[api.<name>]`.
pub(super) static API: Section = Section {
    heading: "[api.<name>]",
    doc: "Routes that are sold together. The name is the attribute `api.id`.",
    fields: &[&STAGE, &ERRORS],
    hints: &[],
    short: None,
    private: false,
};

static STAGE: Field<Parsed<String>, Written> = Field::new(
    "stage",
    Parsed {
        words: "a text of one line",
        pattern: "",
        private: false,
        parse: |text, _| line(text),
    },
    Written("default"),
    "Its stage, the attribute `api.stage`.",
);

static ERRORS: Field<Choice<ErrorStyle>, Is<ErrorStyle>> = Field::new(
    "errors",
    Choice {
        options: &[("problem", ErrorStyle::Problem), ("aws", ErrorStyle::Aws)],
    },
    Is(ErrorStyle::Problem),
    "How the gateway words its own errors: as `application/problem+json` (RFC 9457), or as Amazon API Gateway does.",
);

/// Reads one `[api.<name>]`.
pub(super) fn api(table: &mut Table<'_>) -> Option<Api> {
    let stage = table.take(&STAGE);
    let errors = table.take(&ERRORS);
    Some(Api {
        name: table.name(),
        stage: Arc::from(stage?),
        errors,
    })
}

/// `[plan.<name>]`.
pub(super) static PLAN: Section = Section {
    heading: "[plan.<name>]",
    doc: "A usage plan: how much each key of it may ask for. At least one of `rate` and `quota`.",
    fields: &[&RATE, &BURST, &QUOTA],
    hints: &[],
    short: None,
    private: false,
};

static RATE: Field<RateKind, Optional> = Field::new(
    "rate",
    RateKind,
    Optional("no rate"),
    "Requests a second: how fast the bucket of a key fills again.",
);

static BURST: Field<Whole<u64>, Optional> = Field::new(
    "burst",
    Whole {
        least: 1,
        most: 1_000_000_000,
        of: Some,
    },
    Optional("the rate, rounded up"),
    "The size of the bucket: how many requests can come at once.",
);

static QUOTA: Field<Nested<Quota>, Optional> = Field::new(
    "quota",
    Nested {
        section: &QUOTA_SECTION,
        read: quota,
    },
    Optional("no quota"),
    "How many requests in a period.",
);

/// Reads one `[plan.<name>]`.
pub(super) fn plan(table: &mut Table<'_>) -> Option<Plan> {
    let rate = table.take(&RATE);
    let burst = table.take(&BURST);
    let quota = table.take(&QUOTA);
    let (has_rate, has_quota) = (table.has(RATE.key), table.has(QUOTA.key));
    if !has_rate && !has_quota && !table.is_incomplete() {
        let span = table.span();
        table
            .error(span, "has neither `rate` nor `quota`, wanted at least one")
            .help("add `rate = 5` (requests a second) or `quota = { limit = 1000, period = \"day\" }`");
    } else if burst.is_some() && !has_rate && !table.is_incomplete() {
        let span = table.span_of(BURST.key);
        table
            .error(span, "has `burst` without `rate`")
            .help("add `rate = 5` (requests a second), or remove `burst`");
    }
    Some(Plan {
        name: table.name(),
        rate: rate.map(|per_second| Rate {
            per_second,
            burst: burst.unwrap_or_else(|| rounded_up(per_second)),
        }),
        quota,
    })
}

/// The smallest whole number that is not below a rate, which is positive and at most a billion.
fn rounded_up(per_second: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive finite rate; beyond 2^64 it saturates"
    )]
    let tokens = per_second.ceil() as u64;
    tokens
}

static QUOTA_SECTION: Section = Section {
    heading: "quota = { .. }",
    doc: "How many requests each key of the plan may make in a period, counted in UTC.",
    fields: &[&LIMIT, &PERIOD, &OFFSET],
    hints: &[],
    short: None,
    private: false,
};

static LIMIT: Field<Whole<u64>, Required> = Field::new(
    "limit",
    Whole {
        least: 1,
        most: 1_000_000_000_000,
        of: Some,
    },
    Required("1000"),
    "How many requests a period.",
);

static PERIOD: Field<Choice<Period>, Required> = Field::new(
    "period",
    Choice {
        options: &[
            ("day", Period::Day),
            ("week", Period::Week),
            ("month", Period::Month),
        ],
    },
    Required("\"day\""),
    "Its period: a day from midnight, a week from Sunday, a month from the first; in UTC.",
);

static OFFSET: Field<Whole<u64>, Is<u64>> = Field::new(
    "offset",
    Whole {
        least: 0,
        most: 1_000_000_000_000,
        of: Some,
    },
    Is(0),
    "Subtracted from the limit in the first period, as Amazon API Gateway does; less than `limit`.",
);

fn quota(table: &mut Table<'_>) -> Option<Quota> {
    let limit = table.take(&LIMIT);
    let period = table.take(&PERIOD);
    let offset = table.take(&OFFSET);
    if let Some(limit) = limit
        && offset >= limit
    {
        let span = table.span_of(OFFSET.key);
        let message = format!("`quota.offset` is {offset}, wanted less than `limit` ({limit})");
        table.error(span, &message);
    }
    Some(Quota {
        limit: limit?,
        period: period?,
        offset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_rounded_up() {
        for (rate, burst) in [
            (0.001, 1),
            (1.0, 1),
            (1.000_1, 2),
            (5.0, 5),
            (5.5, 6),
            (1_000_000.5, 1_000_001),
            (1e9, 1_000_000_000),
        ] {
            assert_eq!(rounded_up(rate), burst, "{rate}");
        }
    }
}

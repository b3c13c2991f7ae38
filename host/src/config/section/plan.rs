//! `[plan.<name>]`, and rates wherever they stand: how much may be asked for.

use crate::config::field::{
    Choice, Empty, Entries, Field, List, Nested, Optional, Parsed, Rate as RateKind, Reference,
    Required, Section, Whole,
};
use crate::config::model::{Period, Plan, PlanMethod, Quota, Rate};
use crate::config::names::Group;
use crate::config::read::Table;
use crate::config::section::starts_on::StartsOn;
use crate::config::value::{message, path};
use crate::model::period::PeriodKind;

/// `[plan.<name>]`.
pub(super) static PLAN: Section = Section {
    heading: "[plan.<name>]",
    doc: "A usage plan: how much each key of it may ask for. At least one of `rate`, `quota` and `methods`.",
    fields: &[&RATE, &BURST, &QUOTA, &METHODS, &APIS],
    hints: &[
        ("api", "it is called `apis`, a list"),
        ("throttle", "it is called `rate`, with `burst` beside it"),
    ],
    short: None,
    private: false,
};

static RATE: Field<RateKind, Optional> = Field::new(
    "rate",
    RateKind,
    Optional("no rate"),
    "Requests a second: how fast the bucket of a key fills again.",
);

/// `burst`, wherever there is a rate.
pub(super) static BURST: Field<Whole<u64>, Optional> = Field::new(
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

static METHODS: Field<Entries<PlanMethod>, Empty> = Field::new(
    "methods",
    Entries {
        section: &METHOD_SECTION,
        least: 1,
        few: "leave it out where single methods have no rate of their own",
        title: None,
        read: method,
    },
    Empty("none"),
    "Rates of single methods: a request must have room in that of its method and in that of the plan.",
);

static APIS: Field<List<Reference>, Empty> = Field::new(
    "apis",
    List {
        of: Reference(Group::Api),
        least: 1,
        repeats: false,
    },
    Empty("all APIs, and routes of none"),
    "The APIs that it is sold for; its counters are of all of them together.",
);

/// Reads one `[plan.<name>]`.
pub(super) fn plan(table: &mut Table<'_>) -> Option<Plan> {
    let rate = bucket(table, &RATE, &BURST);
    let quota = table.take(&QUOTA);
    let methods = table.take(&METHODS);
    let apis: Vec<usize> = table.take(&APIS).iter().map(|api| api.place).collect();
    let bounds = [RATE.key, QUOTA.key, METHODS.key];
    let bounded = bounds.into_iter().any(|key| table.has(key));
    if !bounded && !table.has(BURST.key) && !table.is_incomplete() {
        let span = table.span();
        table
            .error(span, "has neither `rate` nor `quota` nor `methods`, wanted at least one")
            .help("add `rate = 5` (requests a second) or `quota = { limit = 1000, period = \"day\" }`");
    }
    if let Some(whole) = rate.filter(|_| table.is_sound(RATE.key)) {
        above(table, &methods, whole);
    }
    let name = table.name();
    let reader = table.reader();
    if let Some(place) = reader.names.place(Group::Plan, &name) {
        reader.plan_apis.insert(place, apis.clone());
    }
    Some(Plan {
        name,
        rate,
        quota,
        methods,
        apis,
        span: table.span(),
    })
}

/// Warns of methods whose own rate is never reached.
fn above(table: &mut Table<'_>, methods: &[PlanMethod], whole: Rate) {
    for method in methods {
        if method.rate.per_second > whole.per_second && method.rate.burst >= whole.burst {
            let (own, rate) = (method.rate.per_second, whole.per_second);
            let message = format!(
                "`methods` gives `{} {}` a rate of {own}, and the plan's own of {rate} ends it before",
                method.method, method.path
            );
            table
                .warning(method.span, &message)
                .help("lower it, or raise the plan's `rate`: a request must have room in both");
        }
    }
}

/// Reads a rate with its burst; reports a burst alone.
pub(super) fn bucket(
    table: &mut Table<'_>,
    rate: &Field<RateKind, Optional>,
    burst: &Field<Whole<u64>, Optional>,
) -> Option<Rate> {
    let per_second = table.take(rate);
    let tokens = table.take(burst);
    if tokens.is_some() && !table.has(rate.key) && !table.is_incomplete() {
        let span = table.span_of(burst.key);
        table
            .error(span, "has `burst` without `rate`")
            .help("add `rate = 5` (requests a second), or remove `burst`");
    }
    per_second.map(|per_second| Rate {
        per_second,
        burst: tokens.unwrap_or_else(|| rounded_up(per_second)),
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
    fields: &[&LIMIT, &PERIOD, &STARTS_ON],
    hints: &[
        (
            "offset",
            "there is none; the day on which a period starts is `starts_on`: `\"monday\"`, or 15 of a month",
        ),
        ("start", "it is called `starts_on`"),
        ("first_day", "it is called `starts_on`"),
    ],
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

static PERIOD: Field<Choice<PeriodKind>, Required> = Field::new(
    "period",
    Choice {
        options: &[
            ("day", PeriodKind::Day),
            ("week", PeriodKind::Week),
            ("month", PeriodKind::Month),
        ],
        hints: &[],
    },
    Required("\"day\""),
    "Its period: a day from midnight, a week or a month from its first day; in UTC.",
);

static STARTS_ON: Field<StartsOn, Optional> = Field::new(
    "starts_on",
    StartsOn,
    Optional("`\"sunday\"` for a week, `1` for a month"),
    "The day on which a week or a month starts: a weekday, or a day of the month.",
);

fn quota(table: &mut Table<'_>) -> Option<Quota> {
    let limit = table.take(&LIMIT);
    let kind = table.take(&PERIOD);
    let starts_on = table.take(&STARTS_ON);
    let kind = kind?;
    let period = Period::new(kind, starts_on);
    if period.is_none() {
        let (message, cure) = match kind {
            PeriodKind::Day => (
                "`starts_on` has no meaning for a day, which starts at midnight",
                "remove it, or set `period` to \"week\" or \"month\"",
            ),
            PeriodKind::Week => (
                "`starts_on` of a week is a day of the month, wanted a weekday",
                "write a weekday such as \"monday\", or set `period` to \"month\"",
            ),
            PeriodKind::Month => (
                "`starts_on` of a month is a weekday, wanted a day of the month",
                "write a day from 1 to 28, or set `period` to \"week\"",
            ),
        };
        let span = table.span_of(STARTS_ON.key);
        table.error(span, message).help(cure);
    }
    Some(Quota {
        limit: limit?,
        period: period?,
    })
}

static METHOD_SECTION: Section = Section {
    heading: "methods = [{ .. }]",
    doc: "The rate of one method of a path, for each key of the plan.",
    fields: &[&METHOD, &METHOD_PATH, &METHOD_RATE, &BURST],
    hints: &[],
    short: None,
    private: false,
};

static METHOD: Field<Parsed<String>, Required> = Field::new(
    "method",
    Parsed {
        words: "a method such as `\"GET\"`, or `\"ANY\"`",
        pattern: "^[A-Z0-9!#$%&'*+.^_`|~-]+$",
        private: false,
        parse: |text, _| {
            let method = message::method(text)?;
            Ok(method.map_or_else(|| "ANY".to_owned(), |method| method.to_string()))
        },
    },
    Required("\"GET\""),
    "Its method; `ANY` is each that has no rate of its own.",
);

static METHOD_PATH: Field<Parsed<String>, Required> = Field::new(
    "path",
    Parsed {
        words: "the path of a route, such as `\"/orders/{id}\"`",
        pattern: "^(/|\\$default$)",
        private: false,
        parse: |text, _| path::pattern(text),
    },
    Required("\"/orders/{id}\""),
    "Its path, as the route has it.",
);

static METHOD_RATE: Field<RateKind, Required> = Field::new(
    "rate",
    RateKind,
    Required("1"),
    "Requests a second: how fast the bucket of a key fills again.",
);

fn method(table: &mut Table<'_>) -> Option<PlanMethod> {
    let method = table.take(&METHOD);
    let path = table.take(&METHOD_PATH);
    let rate = table.take(&METHOD_RATE);
    let burst = table.take(&BURST);
    let (method, path, per_second) = (method?, path?, rate?);
    let span = table.span();
    if let Some(line) = table.earlier(
        &format!("{} method", table.owner()),
        &format!("{method} {path}"),
        span,
    ) {
        let message = format!("`methods` holds `{method} {path}`, which line {line} has already");
        table.error(span, &message);
    }
    Some(PlanMethod {
        method,
        path,
        rate: Rate {
            per_second,
            burst: burst.unwrap_or_else(|| rounded_up(per_second)),
        },
        span,
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

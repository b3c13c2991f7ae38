//! The tables that reports name by their own name.

use super::problem::Subject;
use super::section::{
    Callout, Endpoint, FilterConfig, Plan, RouteConfig, Secret, UpstreamConfig, Verifier,
};
use super::source::Span;

/// The word for each, and the part to point at.
macro_rules! subjects {
    ($($table:ty: $word:literal, $span:expr;)*) => {
        $(impl Subject for $table {
            fn title(&self) -> String {
                format!(concat!($word, " `{}`"), self.name)
            }

            fn span(&self) -> Span {
                let span: fn(&Self) -> Span = $span;
                span(self)
            }
        })*
    };
}

subjects! {
    Callout: "callout", |callout| callout.span;
    FilterConfig: "filter", |filter| filter.plugin_span;
    Plan: "plan", |plan| plan.span;
    RouteConfig: "route", |route| route.span;
    Secret: "secret", |secret| secret.span;
    UpstreamConfig: "upstream", |upstream| {
        let first: Option<&Endpoint> = upstream.endpoints.first();
        first.map_or_else(Span::default, |first| first.span)
    };
    Verifier: "verifier", |verifier| verifier.span;
}

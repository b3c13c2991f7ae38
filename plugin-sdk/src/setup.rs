//! The facts that a configured filter declares to the gateway once.

use crate::bindings::lifecycle::exports::windlass::filter::lifecycle;
use crate::gateway;
use crate::host::metrics::{Counter, Gauge, Histogram};
use crate::host::response_edits::{self, OwnedEdit};
use crate::{Diagnostic, EditError, ResponseEdit};

/// The attributes that the filter provides and requires with these settings, and its metric series.
///
/// `windlass check` uses them to check the order of a route's filters. So declare the facts for the current settings,
/// not for the plugin in general.
#[derive(Debug, Default)]
pub struct Setup {
    provides: Vec<String>,
    sometimes: Vec<String>,
    requires: Vec<String>,
    series: Vec<lifecycle::Series>,
    advice: Vec<Advice>,
    /// Passes on the warnings and declared fields. It is `None` until there is one, so that a filter without any does
    /// not import the interface.
    tell: Option<fn(&[Advice])>,
    /// Declares that the filter answers preflights; `None` for other filters, for the same reason.
    preflights: Option<fn()>,
    response_edits: Vec<OwnedEdit>,
    /// Passes on the response edits, in the same way.
    tell_edits: Option<TellEdits>,
    /// Declares that `on-response` has nothing to do, in the same way.
    skip_response: Option<fn()>,
}

/// Passes on edits of every response.
type TellEdits = fn(&[OwnedEdit]) -> Result<(), EditError>;

#[derive(Debug, PartialEq, Eq)]
enum Advice {
    Warn(String, String),
    Vouch(String),
    Clear(String),
    Read(String),
}

fn tell(advice: &[Advice]) {
    for piece in advice {
        match piece {
            Advice::Warn(at, message) => gateway::advice::warn(at, message),
            Advice::Vouch(field) => gateway::advice::vouch(field),
            Advice::Clear(field) => gateway::advice::clear(field),
            Advice::Read(field) => gateway::advice::read(field),
        }
    }
}

impl Setup {
    /// A setup that provides and requires nothing, without series.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares attributes that the filter always sets when it lets a request pass.
    #[must_use]
    pub fn provides<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.provides.extend(names.into_iter().map(Into::into));
        self
    }

    /// Declares attributes that it sets only in some cases.
    #[must_use]
    pub fn sometimes<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.sometimes.extend(names.into_iter().map(Into::into));
        self
    }

    /// Declares attributes that it cannot work without. If one is missing at run time, the gateway refuses the request
    /// with 500 `missing_attribute`.
    #[must_use]
    pub fn requires<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.requires.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds a warning about the settings, which are still accepted: `windlass check` shows it at their line. `at` is a
    /// JSON pointer into the settings. The message is lower case, without a period.
    #[must_use]
    pub fn warn(self, at: impl Into<String>, message: impl Into<String>) -> Self {
        self.advise(Advice::Warn(at.into(), message.into()))
    }

    /// Declares a request field that the filter sets from trusted facts, for example from an attribute, and that
    /// endpoints may trust. `windlass check` warns if a client's own field could reach the endpoint.
    #[must_use]
    pub fn vouch(self, field: impl Into<String>) -> Self {
        self.advise(Advice::Vouch(field.into()))
    }

    /// Declares a request field that no client can send past this filter, because the filter always sets or removes it.
    #[must_use]
    pub fn clear(self, field: impl Into<String>) -> Self {
        self.advise(Advice::Clear(field.into()))
    }

    /// Declares a request field that the filter reads. The gateway drops a field with `_` whose name could be mistaken
    /// for an important one (`x_api_key` for `x-api-key`), unless a filter reads it.
    #[must_use]
    pub fn reads(self, field: impl Into<String>) -> Self {
        self.advise(Advice::Read(field.into()))
    }

    /// Declares that the filter answers preflights, the `OPTIONS` requests that a browser sends before a page's
    /// request. The gateway then routes a preflight by the method that it asks for, whether the route allows `OPTIONS`
    /// or not. Of the route's filters, a preflight passes only those that declared this.
    #[must_use]
    pub fn answers_preflights(mut self) -> Self {
        self.preflights = Some(gateway::preflights::answer);
        self
    }

    /// Adds an edit of the response to each request that passes this filter. The gateway makes it for the filter,
    /// without a call. At most 64. An edit of a field that a filter may not set is an error in the settings.
    #[must_use]
    pub fn edit_response(mut self, edit: ResponseEdit<'_>) -> Self {
        self.response_edits.push(edit.into());
        self.tell_edits = Some(response_edits::tell);
        self
    }

    /// Declares that [`OnResponse`](crate::OnResponse) has nothing to do with these settings, so the gateway does not
    /// call it.
    #[must_use]
    pub fn skips_on_response(mut self) -> Self {
        self.skip_response = Some(response_edits::skip_on_response);
        self
    }

    fn advise(mut self, advice: Advice) -> Self {
        self.advice.push(advice);
        self.tell = Some(tell);
        self
    }

    /// Passes on everything that is not in the contract's setup. Works only inside of the gateway.
    pub(crate) fn tell(&self) -> Result<(), Vec<Diagnostic>> {
        if let Some(answer) = self.preflights {
            answer();
        }
        if let Some(tell) = self.tell {
            tell(&self.advice);
        }
        if let Some(skip) = self.skip_response {
            skip();
        }
        let Some(tell) = self.tell_edits else {
            return Ok(());
        };
        tell(&self.response_edits).map_err(|error| {
            let message = format!("an edit of every response was refused: {error}");
            vec![Diagnostic::new("", message)]
        })
    }

    /// Declares a counter, a series that only grows; by convention its name ends in `_total`. Keep the handle in the
    /// filter. A filter has at most 32 series. Several filters may declare series of the same name and kind, because
    /// the label `filter` tells them apart. `windlass check` refuses a name that the gateway or a series of another
    /// kind would write, and the labels `filter`, `le` and `quantile`.
    pub fn counter(&mut self, name: &str, labels: &[&str]) -> Counter {
        Counter(self.add(lifecycle::SeriesKind::Counter, name, labels))
    }

    /// Declares a gauge, a series that goes up and down.
    pub fn gauge(&mut self, name: &str, labels: &[&str]) -> Gauge {
        Gauge(self.add(lifecycle::SeriesKind::Gauge, name, labels))
    }

    /// Declares a histogram with buckets from 5 ms to 10 s if the value is in seconds. Values must not be negative.
    pub fn histogram(&mut self, name: &str, labels: &[&str]) -> Histogram {
        Histogram(self.add(lifecycle::SeriesKind::Histogram, name, labels))
    }

    fn add(&mut self, kind: lifecycle::SeriesKind, name: &str, labels: &[&str]) -> u32 {
        let place = self.series.len();
        self.series.push(lifecycle::Series {
            kind,
            name: name.to_owned(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    pub(crate) fn into_contract(self) -> lifecycle::Setup {
        lifecycle::Setup {
            provides: self.provides,
            sometimes: self.sometimes,
            requires: self.requires,
            series: self.series,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_named_by_their_place() {
        let mut setup = Setup::new();
        let first = setup.counter("refused_total", &["reason"]);
        let second = setup.gauge("open", &[]);
        let third = setup.histogram("wait_seconds", &[]);
        assert_eq!((first.0, second.0, third.0), (0, 1, 2));
        let contract = setup.into_contract();
        assert_eq!(contract.series[0].labels, ["reason"]);
        assert_eq!(contract.series[2].name, "wait_seconds");
    }

    #[test]
    fn attributes_add_up() {
        let setup = Setup::new()
            .provides(["consumer.id"])
            .provides(["api-key.id"])
            .sometimes(["plan.id"])
            .requires(["auth.claims"])
            .into_contract();
        assert_eq!(setup.provides, ["consumer.id", "api-key.id"]);
        assert_eq!(setup.sometimes, ["plan.id"]);
        assert_eq!(setup.requires, ["auth.claims"]);
    }
}

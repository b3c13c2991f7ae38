//! Compares the requests that routes take, for warnings.

use super::hosts::{self, HostPattern};
use super::pattern::{self, Pattern, Segment};
use super::router::{MethodMatch, RouteSpec};

/// The requests that a route takes.
#[derive(Debug)]
pub(crate) struct Coverage<'a> {
    spec: RouteSpec<'a>,
    pattern: Pattern,
    hosts: Vec<HostPattern>,
}

impl<'a> Coverage<'a> {
    /// None: the route cannot be read, which the router reports.
    #[must_use]
    pub(crate) fn of(spec: RouteSpec<'a>) -> Option<Self> {
        let pattern = pattern::parse_below(spec.base, spec.path).ok()?;
        let hosts = spec.hosts.iter().map(|host| hosts::parse(host).ok());
        let mut hosts: Vec<HostPattern> = hosts.collect::<Option<_>>()?;
        if hosts.is_empty() {
            hosts.push(HostPattern::Any);
        }
        Some(Self {
            spec,
            pattern,
            hosts,
        })
    }

    /// Whether the other route gets no request, since this one is tried before it and takes all of its.
    #[must_use]
    pub(crate) fn hides(&self, other: &Self) -> bool {
        let demands = self.spec.conditions;
        let is_met = demands.count() == 0 || demands == other.spec.conditions;
        let is_before = self.spec.priority < other.spec.priority;
        let covers_host = |host: &HostPattern| self.hosts.iter().any(|own| covers_host(own, host));
        is_before
            && is_met
            && covers_methods(self.spec.methods, other.spec.methods)
            && other.hosts.iter().all(covers_host)
            && covers_path(&self.pattern, &other.pattern)
    }

    /// Whether only the order of the two routes decides which gets some request.
    #[must_use]
    pub(crate) fn rivals(&self, other: &Self) -> bool {
        let (own, others) = (self.spec.conditions, other.spec.conditions);
        let shares_host = self.hosts.iter().any(|host| other.hosts.contains(host));
        let mut methods = self.spec.methods.iter();
        self.spec.priority == other.spec.priority
            && own.count() > 0
            && own.count() == others.count()
            && !own.excludes(others)
            && shares_host
            && methods.any(|method| other.spec.methods.contains(method))
            && is_same_path(&self.pattern, &other.pattern)
    }
}

fn covers_methods(own: &[MethodMatch], others: &[MethodMatch]) -> bool {
    own.contains(&MethodMatch::Any) || others.iter().all(|other| own.contains(other))
}

fn covers_host(own: &HostPattern, other: &HostPattern) -> bool {
    let is_below = |name: &str, suffix: &str| {
        let before = name.strip_suffix(suffix);
        before.is_some_and(|before| before.ends_with('.'))
    };
    match (own, other) {
        (HostPattern::Any, _) => true,
        (HostPattern::Exact(own), HostPattern::Exact(other)) => own == other,
        (HostPattern::Suffix(own), HostPattern::Exact(other)) => is_below(other, own),
        (HostPattern::Suffix(own), HostPattern::Suffix(other)) => {
            own == other || is_below(other, own)
        }
        (HostPattern::Exact(_) | HostPattern::Suffix(_), _) => false,
    }
}

fn covers_path(own: &Pattern, other: &Pattern) -> bool {
    match (own, other) {
        (Pattern::Default, _) => true,
        (
            Pattern::Below { segments: base },
            Pattern::Below { segments } | Pattern::Path { segments, .. },
        ) => segments.starts_with(base),
        (Pattern::Path { segments: own, .. }, Pattern::Path { segments, .. }) => {
            covers_segments(own, segments)
        }
        (Pattern::Below { .. } | Pattern::Path { .. }, _) => false,
    }
}

fn covers_segments(own: &[Segment], others: &[Segment]) -> bool {
    let is_empty = |segment: &Segment| matches!(segment, Segment::Literal(text) if text.is_empty());
    match (own.split_first(), others.split_first()) {
        (None, None) => true,
        (Some((Segment::Greedy, _)), Some((other, _))) => !is_empty(other),
        (Some((Segment::Parameter, own)), Some((other, others))) => {
            *other != Segment::Greedy && !is_empty(other) && covers_segments(own, others)
        }
        (Some((own_first, own)), Some((other, others))) => {
            own_first == other && covers_segments(own, others)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Whether two patterns match the same paths. The names of parameters do not matter.
fn is_same_path(own: &Pattern, other: &Pattern) -> bool {
    match (own, other) {
        (Pattern::Path { segments: own, .. }, Pattern::Path { segments, .. }) => own == segments,
        (own, other) => own == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::condition::Conditions;

    /// Whether a route of priority 0 hides one of priority 1. Both are written as `METHOD path hosts`.
    fn hides(one: &str, other: &str) -> bool {
        let none = Conditions::default();
        let [own, others] = [one, other].map(|text| {
            let mut words = text.split(' ').map(str::to_owned);
            let methods = match &*words.next().unwrap() {
                "ANY" => vec![MethodMatch::Any],
                name => vec![MethodMatch::Only(name.parse().unwrap())],
            };
            (methods, words.next().unwrap(), words.collect::<Vec<_>>())
        });
        let coverage = |(methods, path, hosts), priority| {
            let spec = RouteSpec {
                base: "",
                path,
                methods,
                hosts,
                conditions: &none,
                priority,
            };
            Coverage::of(spec).unwrap()
        };
        let own = coverage((&own.0, &own.1, &own.2), 0);
        own.hides(&coverage((&others.0, &others.1, &others.2), 1))
    }

    #[test]
    fn a_route_hides_another_if_it_takes_all_of_its_requests() {
        for (one, other, is_hidden) in [
            ("ANY $default", "GET /a/{b}", true),
            ("ANY /{a+}", "GET /a/{b}/{c+}", true),
            ("ANY /{a+}", "ANY /", false),
            ("ANY /{a+}", "ANY $default", false),
            ("ANY /a/{b}", "ANY /a/b", true),
            ("ANY /a/{b}", "ANY /a/", false),
            ("ANY /a/{b}", "ANY /a/{b+}", false),
            ("ANY /a/b", "ANY /a/{b}", false),
            ("GET /a", "GET /a", true),
            ("GET /a", "POST /a", false),
            ("GET /a", "ANY /a", false),
            ("ANY /a", "ANY /a x.y", true),
            ("ANY /a x.y", "ANY /a", false),
            ("ANY /a *.y", "ANY /a x.y *.x.y", true),
            ("ANY /a *.y", "ANY /a y", false),
            ("ANY /a x.y", "ANY /a *.y", false),
        ] {
            assert_eq!(hides(one, other), is_hidden, "{one} | {other}");
        }
    }
}

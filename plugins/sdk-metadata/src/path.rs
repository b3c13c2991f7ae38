//! Paths of routes and of documents, segment by segment. Pure.

/// How well a route's path takes one of a document: the more, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// By `$default`.
    Default,
    /// By a greedy parameter after so many segments.
    Greedy(usize),
    /// Segment by segment.
    Whole,
}

/// How a route's path takes one of a document, if it does. Names of parameters do not matter.
pub fn fit(route: &str, of_document: &str) -> Option<Fit> {
    if route == "$default" {
        return Some(Fit::Default);
    }
    let mut segments = of_document.split('/').skip(1);
    for (place, wanted) in route.split('/').skip(1).enumerate() {
        let segment = segments.next()?;
        if wanted.ends_with("+}") {
            return (!segment.is_empty()).then_some(Fit::Greedy(place));
        }
        let same = match is_parameter(wanted) {
            true => !segment.is_empty(),
            // A document's parameter may stand for what the route has as a word; the reverse is another path.
            false => wanted == segment,
        };
        if !same {
            return None;
        }
    }
    segments.next().is_none().then_some(Fit::Whole)
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{') && segment.ends_with('}')
}

/// The names of a path's parameters, and whether each is greedy.
pub fn parameters(path: &str) -> impl Iterator<Item = (&str, bool)> {
    path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(match name.strip_suffix('+') {
            Some(name) => (name, true),
            None => (name, false),
        })
    })
}

/// A route's path as OpenAPI writes it: it knows no greedy parameters.
pub fn plain(path: &str) -> String {
    path.replace("+}", "}")
}

/// A path below a base path.
pub fn below(base: Option<&str>, path: &str) -> String {
    match (base, path) {
        (None, path) => path.to_owned(),
        (Some(base), "/") => base.to_owned(),
        (Some(base), path) => format!("{base}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_takes_the_paths_of_a_document_that_it_would_serve() {
        for (route, path, expected) in [
            ("/orders/{id}", "/orders/{order}", Some(Fit::Whole)),
            ("/orders/{id}", "/orders/7", Some(Fit::Whole)),
            ("/orders/{id}", "/orders", None),
            ("/orders/{id}", "/orders/", None),
            ("/orders", "/orders/{id}", None),
            ("/files/{rest+}", "/files/a/b", Some(Fit::Greedy(1))),
            ("/{rest+}", "/files/a/b", Some(Fit::Greedy(0))),
            ("/files/{rest+}", "/files", None),
            ("$default", "/whatever", Some(Fit::Default)),
            ("/", "/", Some(Fit::Whole)),
            ("/me", "/{id}", None),
        ] {
            assert_eq!(fit(route, path), expected, "{route} {path}");
        }
        assert!(Fit::Whole > Fit::Greedy(9) && Fit::Greedy(1) > Fit::Greedy(0));
        assert!(Fit::Greedy(0) > Fit::Default);
    }

    #[test]
    fn greedy_parameters_are_told() {
        let found: Vec<_> = parameters("/a/{b}/{c+}").collect();
        assert_eq!(found, [("b", false), ("c", true)]);
        assert_eq!(plain("/a/{b}/{c+}"), "/a/{b}/{c}");
        assert_eq!(below(Some("/shop"), "/"), "/shop");
        assert_eq!(below(Some("/shop"), "/a"), "/shop/a");
    }
}

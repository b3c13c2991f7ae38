//! Paths of routes and of documents, segment by segment. Pure.

use std::collections::BTreeMap;

/// How closely a route's path matches a path of a document; larger is closer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// By `$default`.
    Default,
    /// By a greedy parameter after this many segments.
    Greedy(usize),
    /// Segment by segment.
    Whole,
}

/// How a route's path matches a path of a document, if it does. Names of parameters are ignored.
#[cfg(test)]
fn fit(route: &str, of_document: &str) -> Option<Fit> {
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
            // A parameter of a document does not match a fixed word of the route.
            false => wanted == segment,
        };
        if !same {
            return None;
        }
    }
    segments.next().is_none().then_some(Fit::Whole)
}

/// An index of route paths by their segments. It compares a path with all of them in time proportional to the path's length.
#[derive(Debug, Default)]
pub struct Index<'a> {
    /// The routes with `$default`.
    defaults: Vec<usize>,
    root: Node<'a>,
}

#[derive(Debug, Default)]
struct Node<'a> {
    words: BTreeMap<&'a str, Node<'a>>,
    parameter: Option<Box<Node<'a>>>,
    /// The routes whose paths end here, and those that are greedy from here on.
    whole: Vec<usize>,
    greedy: Vec<usize>,
}

impl<'a> Index<'a> {
    /// An index of these paths; results refer to them by index.
    pub fn of(routes: impl Iterator<Item = &'a str>) -> Self {
        let mut index = Self::default();
        for (place, route) in routes.enumerate() {
            match route {
                "$default" => index.defaults.push(place),
                route => index.root.add(route.split('/').skip(1), place),
            }
        }
        index
    }

    /// The indexes of the routes that match a path of a document, and how closely.
    pub fn fits(&self, of_document: &str) -> Vec<(Fit, usize)> {
        let defaults = self.defaults.iter().map(|place| (Fit::Default, *place));
        let mut found: Vec<_> = defaults.collect();
        let segments: Vec<_> = of_document.split('/').skip(1).collect();
        self.root.find(&segments, 0, &mut found);
        found
    }
}

impl<'a> Node<'a> {
    fn add(&mut self, mut segments: impl Iterator<Item = &'a str>, place: usize) {
        let Some(segment) = segments.next() else {
            self.whole.push(place);
            return;
        };
        if segment.ends_with("+}") {
            self.greedy.push(place);
            return;
        }
        let next = match is_parameter(segment) {
            true => self.parameter.get_or_insert_default(),
            false => self.words.entry(segment).or_default(),
        };
        next.add(segments, place);
    }

    fn find(&self, segments: &[&str], depth: usize, found: &mut Vec<(Fit, usize)>) {
        let Some((segment, rest)) = segments.split_first() else {
            found.extend(self.whole.iter().map(|place| (Fit::Whole, *place)));
            return;
        };
        if let Some(next) = self.words.get(segment) {
            next.find(rest, depth + 1, found);
        }
        if segment.is_empty() {
            return;
        }
        let greedy = self.greedy.iter();
        found.extend(greedy.map(|place| (Fit::Greedy(depth), *place)));
        if let Some(next) = &self.parameter {
            next.find(rest, depth + 1, found);
        }
    }
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

/// A route's path as OpenAPI writes it, without the mark of greedy parameters.
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
    fn an_index_finds_what_fits_one_by_one() {
        let routes = [
            "/orders/{id}",
            "/orders/me",
            "/orders",
            "/files/{rest+}",
            "/{rest+}",
            "$default",
            "/",
            "/me",
            "/{a}",
            "/{a}/{b}",
            "/{a}/me",
            "/orders/{id}/lines/{line}",
            "/orders/",
            "/{a}/x/{rest+}",
            "/orders/{id}",
            "$default",
        ];
        let index = Index::of(routes.into_iter());
        for path in [
            "/",
            "/orders",
            "/orders/",
            "/orders/7",
            "/orders/{x}",
            "/orders/me",
            "/files",
            "/files/",
            "/files/a/b",
            "/{id}",
            "/me",
            "/a/x/y/z",
            "/a/x/",
            "/orders/1/lines/2",
            "//a",
            "orders",
            "",
        ] {
            let one_by_one = routes.iter().enumerate();
            let mut one_by_one: Vec<_> = one_by_one
                .filter_map(|(place, route)| Some((fit(route, path)?, place)))
                .collect();
            let mut found = index.fits(path);
            one_by_one.sort();
            found.sort();
            assert_eq!(found, one_by_one, "{path}");
        }
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

//! Reads one parameter of a query, for filters. The query itself is forwarded as it came.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The first value of the parameter `name` in a query (without its `?`), decoded as
/// `application/x-www-form-urlencoded` is by the [URL standard](https://url.spec.whatwg.org/#urlencoded-parsing):
/// `+` is a space, an escape that is malformed stands for itself, bytes that are not UTF-8
/// become U+FFFD. So a parameter that is there is always seen, however it is spelled.
///
/// A name without `=` has the empty value. Borrows where nothing had to be decoded.
#[must_use]
pub(crate) fn query_value<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    raw_query_value(query, name).map(decode)
}

/// The same value as it is spelled in the query.
#[must_use]
pub(crate) fn raw_query_value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    raw_values(query, name).next()
}

/// All values of the parameter `name`, decoded.
pub(super) fn query_values<'q>(query: &'q str, name: &str) -> impl Iterator<Item = Cow<'q, str>> {
    raw_values(query, name).map(decode)
}

fn raw_values<'q>(query: &'q str, name: &str) -> impl Iterator<Item = &'q str> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(move |(key, _)| decode(key) == name)
        .map(|(_, value)| value)
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_value_wins() {
        assert_eq!(query_value("a=1&b=2&a=3", "a").as_deref(), Some("1"));
        assert_eq!(query_value("a=1&b=2", "b").as_deref(), Some("2"));
        assert_eq!(query_value("a=1", "c"), None);
        assert_eq!(query_value("", "a"), None);
        assert_eq!(query_value("&&", ""), None);
    }

    #[test]
    fn names_and_values_are_decoded() {
        assert_eq!(
            query_value("na%6De=x%26+y%2B", "name").as_deref(),
            Some("x& y+")
        );
        assert_eq!(query_value("a+b=1", "a b").as_deref(), Some("1"));
        assert_eq!(query_value("q=%C3%A9", "q").as_deref(), Some("é"));
        assert_eq!(query_value("q=a=b", "q").as_deref(), Some("a=b"));
    }

    #[test]
    fn malformed_values_are_seen_too() {
        assert_eq!(query_value("q=100%", "q").as_deref(), Some("100%"));
        assert_eq!(query_value("q=%FF", "q").as_deref(), Some("\u{FFFD}"));
        assert_eq!(query_value("flag&x=1", "flag").as_deref(), Some(""));
    }

    #[test]
    fn a_raw_value_is_as_it_is_spelled() {
        assert_eq!(raw_query_value("a=x%2f+y&a=2", "a"), Some("x%2f+y"));
        assert_eq!(raw_query_value("na%6De=100%", "name"), Some("100%"));
        assert_eq!(raw_query_value("flag", "flag"), Some(""));
        assert_eq!(raw_query_value("a=1", "b"), None);
    }

    #[test]
    fn plain_value_is_borrowed() {
        assert!(matches!(query_value("q=x", "q"), Some(Cow::Borrowed("x"))));
    }
}

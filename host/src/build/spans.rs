//! Where a value of a filter's settings is in the file, for the messages about it.

use crate::config;

/// Where a setting of a bound stands, if it is one of `builtin:rate-limit`: plugins of others define bounds as they like.
pub(super) fn bound_span(filter: &config::FilterConfig, index: usize, key: &str) -> config::Span {
    let is_ours = filter.plugin.is_builtin("rate-limit");
    let at = is_ours.then(|| format!("/bounds/{index}/{key}"));
    at.map_or(filter.plugin_span, |at| settings_span(filter, &at))
}

/// The document that a complaint is about: `documents/<name>`, which is no JSON pointer.
pub(super) fn document_at<'c>(
    filter: &'c config::FilterConfig,
    at: &str,
) -> Option<&'c config::FilterDocument> {
    let name = at.strip_prefix("documents/")?;
    let mut documents = filter.documents.iter();
    documents.find(|document| document.name == name)
}

/// Where a value of the settings stands: the nearest that the file has, else the filter's table. For a document it is
/// the place of its path.
pub(super) fn settings_span(filter: &config::FilterConfig, at: &str) -> config::Span {
    if let Some(document) = document_at(filter, at) {
        return document.span;
    }
    let spans = &filter.settings.spans;
    let mut pointer = at;
    loop {
        if let Some(span) = spans.get(pointer) {
            return *span;
        }
        match pointer.rfind('/') {
            Some(end) => pointer = pointer.get(..end).unwrap_or_default(),
            None => return filter.span,
        }
    }
}

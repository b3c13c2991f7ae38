//! The grants of a filter: the operator's `allow`, deny by default.

use std::sync::Arc;

use crate::model::filter::HostInterface;

/// The grants of one filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Grants {
    pub(crate) interfaces: Vec<HostInterface>,
    /// Attributes that it may set: exact names, or `prefix.*`.
    pub(crate) attributes: Vec<String>,
    /// Upstreams that it may route to.
    pub(crate) upstreams: Vec<Arc<str>>,
    pub(crate) secrets: Vec<Arc<str>>,
    /// Servers that it may ask.
    pub(crate) callouts: Vec<Arc<str>>,
}

impl Grants {
    /// Whether a host interface may be called.
    #[must_use]
    pub(crate) fn interface(&self, interface: HostInterface) -> bool {
        self.interfaces.contains(&interface)
    }

    /// Whether an attribute may be set. Those of the host never may, whatever is granted.
    #[must_use]
    pub(crate) fn attribute(&self, name: &str) -> bool {
        !crate::exchange::is_host_fact(name)
            && self
                .attributes
                .iter()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(prefix) => name.starts_with(prefix),
                    None => name == pattern,
                })
    }

    /// The upstream of this name, if it may be routed to.
    #[must_use]
    pub(crate) fn upstream(&self, name: &str) -> Option<&Arc<str>> {
        self.upstreams.iter().find(|granted| &***granted == name)
    }

    /// Whether a secret may be used.
    #[must_use]
    pub(crate) fn secret(&self, name: &str) -> bool {
        self.secrets.iter().any(|granted| &**granted == name)
    }

    /// Whether a server may be asked.
    #[must_use]
    pub(crate) fn callout(&self, name: &str) -> bool {
        self.callouts.iter().any(|granted| &**granted == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_by_default_and_host_facts_never() {
        let none = Grants::default();
        assert!(!none.attribute("consumer.id"));
        assert!(!none.interface(HostInterface::Keys));
        let all = Grants {
            attributes: vec!["*".into()],
            ..Grants::default()
        };
        assert!(all.attribute("consumer.id"));
        assert!(!all.attribute("client.ip"));
        let some = Grants {
            attributes: vec!["consumer.*".into(), "tier".into()],
            ..Grants::default()
        };
        assert!(some.attribute("consumer.id"));
        assert!(some.attribute("tier"));
        assert!(!some.attribute("tier.x"));
        assert!(!some.attribute("consumers"));
    }
}

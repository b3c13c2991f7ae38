//! The parts of a fake gateway that need no rules of their own: grants, the cache, metrics, other servers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;

use serde::Deserialize;

use super::rules::is_host_attribute;
use crate::host::callout::{CallError, Response};
use crate::host::log::Level;

/// The interfaces that can be granted.
const INTERFACES: [&str; 9] = [
    "api-description",
    "cache",
    "callout",
    "crypto",
    "jwt",
    "keys",
    "limits",
    "metrics",
    "rates",
];

/// The operator's `allow`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Grants {
    interfaces: Vec<String>,
    attributes: Vec<String>,
    upstreams: Vec<String>,
    secrets: Vec<String>,
    callouts: Vec<String>,
}

impl Grants {
    /// Panics at an interface that does not exist, as `windlass check` refuses it.
    pub(super) fn check(&self) {
        for name in &self.interfaces {
            assert!(
                INTERFACES.contains(&&**name),
                "`allow` names interface `{name}`; there are {INTERFACES:?}"
            );
        }
    }

    pub(super) fn interface(&self, name: &str) -> bool {
        self.interfaces.iter().any(|granted| granted == name)
    }

    pub(super) fn attribute(&self, name: &str) -> bool {
        let granted = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        };
        !is_host_attribute(name) && self.attributes.iter().any(granted)
    }

    pub(super) fn upstream(&self, name: &str) -> bool {
        self.upstreams.iter().any(|granted| granted == name)
    }

    pub(super) fn secret(&self, name: &str) -> bool {
        self.secrets.iter().any(|granted| granted == name)
    }

    pub(super) fn callout(&self, name: &str) -> bool {
        self.callouts.iter().any(|granted| granted == name)
    }
}

/// A line that a filter wrote to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its importance.
    pub level: Level,
    /// The sentence.
    pub message: String,
    /// The fields, in order.
    pub fields: Vec<(String, String)>,
}

/// A request of a filter to another server, as a test's answer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callout {
    /// The method.
    pub method: String,
    /// What is appended to the target's URL.
    pub path: String,
    /// The fields, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// The name of the secret that the gateway would add.
    pub secret: Option<String>,
}

/// A test's answer to a callout.
type Answer = dyn Fn(&Callout) -> Result<Response, CallError>;

/// A server that filters may call.
#[derive(Clone)]
pub(super) struct Target(pub(super) Rc<Answer>);

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Target")
    }
}

/// The most entries of a cache.
const MAX_ENTRIES: usize = 1024;

/// The most bytes of a cache, keys included.
const MAX_CACHE_BYTES: usize = 1024 * 1024;

/// The largest entry, its key included. Bytes.
const MAX_ENTRY: usize = 64 * 1024;

/// The longest lifetime of an entry. Milliseconds: a day.
const MAX_TTL: u64 = 24 * 60 * 60 * 1000;

/// A filter's cache. The entries that were used last are at the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Cache(VecDeque<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    key: String,
    value: Vec<u8>,
    ends: u64,
}

impl Cache {
    pub(super) fn get(&mut self, key: &str, now: u64) -> Option<Vec<u8>> {
        let entry = self.take(key, now)?;
        let value = entry.value.clone();
        self.0.push_back(entry);
        Some(value)
    }

    pub(super) fn put(&mut self, key: &str, value: &[u8], ttl: u64, now: u64) -> bool {
        if key.len() + value.len() > MAX_ENTRY {
            return false;
        }
        self.delete(key);
        if ttl == 0 {
            return true;
        }
        self.0.push_back(Entry {
            key: key.to_owned(),
            value: value.to_vec(),
            ends: now.saturating_add(ttl.min(MAX_TTL)),
        });
        while self.0.len() > MAX_ENTRIES || self.bytes() > MAX_CACHE_BYTES {
            self.0.pop_front();
        }
        true
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.0.retain(|entry| entry.key != key);
    }

    pub(super) fn increment(&mut self, key: &str, delta: i64, ttl: u64, now: u64) -> i64 {
        if key.len() + size_of::<i64>() > MAX_ENTRY {
            return delta;
        }
        let old = self.take(key, now);
        let ends = old.as_ref().map(|entry| entry.ends);
        let number = old.and_then(|entry| entry.value.try_into().ok());
        let sum = number.map_or(0, i64::from_le_bytes).saturating_add(delta);
        let ttl = ends
            .filter(|_| number.is_some())
            .map_or(ttl, |ends| ends - now);
        self.put(key, &sum.to_le_bytes(), ttl, now);
        sum
    }

    fn take(&mut self, key: &str, now: u64) -> Option<Entry> {
        let index = self.0.iter().position(|entry| entry.key == key)?;
        self.0.remove(index).filter(|entry| entry.ends > now)
    }

    fn bytes(&self) -> usize {
        let sizes = self.0.iter();
        sizes.map(|entry| entry.key.len() + entry.value.len()).sum()
    }
}

/// The values of one series, by the values of its labels: their sum, and how many there were.
pub(super) type Samples = BTreeMap<Vec<String>, (f64, u64)>;

//! The text of a host call, cut to a size and without secrets.
//!
//! The names of fields, attributes and parameters decide what is secret ([`is_sensitive`]), and the interface: a
//! presented key, a token, the data of `crypto`, bodies and cached values are shown by their lengths.

use std::fmt::Debug;
use std::sync::Arc;

use super::shown::{Guest, Shown};
use crate::wasm::output::one_line;

/// The longest value that is shown. Bytes.
const MAX_VALUE: usize = 160;

/// The longest text of all arguments. Bytes.
const MAX_TEXT: usize = 1024;

/// Words in the names of fields, attributes and parameters whose values are not shown.
const SENSITIVE: [&str; 12] = [
    "auth",
    "cookie",
    "token",
    "secret",
    "password",
    "passwd",
    "key",
    "credential",
    "session",
    "signature",
    "jwt",
    "code",
];

/// Whether the value of a field, an attribute or a parameter of this name may be a secret.
pub(super) fn is_sensitive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_public = matches!(&*name, "auth.method" | "api-key.id");
    !is_public && SENSITIVE.iter().any(|word| name.contains(word))
}

/// What of a call is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    /// The rest of the call, once an argument is a sensitive name.
    ByName,
    /// Lists of bytes, and long texts: keys of a cache can be tokens.
    Bytes,
    /// The query of a path.
    Query,
    /// All texts.
    Texts,
}

/// A host function, as its calls are recorded.
#[derive(Debug, Clone)]
pub(in crate::wasm) struct CallLabel {
    pub(in crate::wasm) function: Arc<str>,
    secrecy: Secrecy,
}

impl CallLabel {
    /// The function of the interface at this path.
    #[must_use]
    pub(in crate::wasm) fn new(path: &str, function: &str) -> Self {
        let interface = path.rsplit('/').next().unwrap_or(path);
        let secrecy = match (interface, function) {
            (
                "exchange",
                "read-piece" | "replace-piece" | "prepend-piece" | "append-piece"
                | "headers-packed",
            )
            | ("keys" | "crypto" | "cache" | "limits" | "documents", _) => Secrecy::Bytes,
            ("exchange", "path" | "original-path" | "set-path") => Secrecy::Query,
            ("tokens", "verify" | "check-proof") => Secrecy::Texts,
            _ => Secrecy::ByName,
        };
        Self {
            function: format!("{interface}.{function}").into(),
            secrecy,
        }
    }

    /// The text of a call, which its arguments and then its result are written to.
    #[must_use]
    pub(in crate::wasm) fn text(&self) -> CallText {
        CallText {
            secrecy: self.secrecy,
            ..CallText::plain()
        }
    }
}

/// Values as text.
#[derive(Debug)]
pub(in crate::wasm) struct CallText {
    text: String,
    secrecy: Secrecy,
    is_hidden: bool,
}

impl CallText {
    pub(super) fn plain() -> Self {
        Self {
            text: String::new(),
            secrecy: Secrecy::ByName,
            is_hidden: false,
        }
    }

    /// The text so far; a value that follows begins anew.
    #[must_use]
    pub(in crate::wasm) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    #[must_use]
    pub(super) fn end(self) -> String {
        self.text
    }

    pub(super) fn hide_if(&mut self, hides: bool) {
        self.is_hidden |= hides;
    }

    /// One more value begins.
    pub(super) fn begin_value(&mut self) {
        if !self.text.is_empty() {
            self.word(", ");
        }
    }

    /// A word of our own.
    pub(in crate::wasm) fn word(&mut self, word: &str) {
        if self.text.len() < MAX_TEXT {
            self.text.push_str(word);
        }
    }

    /// A word of our own, and a value.
    pub(in crate::wasm) fn word_and(
        &mut self,
        word: &str,
        value: &impl Shown,
        guest: Guest<'_, '_>,
    ) {
        self.word(word);
        value.show(guest, self);
    }

    fn length(&mut self, length: usize) {
        self.word(&format!("({length} bytes)"));
    }

    /// A text of the guest's, or for it.
    pub(super) fn value(&mut self, value: &str) {
        let is_long = self.secrecy == Secrecy::Bytes && value.len() > 32;
        if self.is_hidden || is_long || self.secrecy == Secrecy::Texts {
            return self.length(value.len());
        }
        if self.secrecy == Secrecy::Query {
            return self.path(value);
        }
        self.quoted(value);
        self.is_hidden |= self.secrecy == Secrecy::ByName && is_sensitive(value);
    }

    fn quoted(&mut self, value: &str) {
        let end = value.floor_char_boundary(MAX_VALUE);
        let shown = one_line(value.get(..end).unwrap_or_default()).into_owned();
        let cut = if end < value.len() { ".." } else { "" };
        self.word(&format!("\"{shown}{cut}\""));
    }

    /// A path, with the length of its query.
    pub(super) fn path(&mut self, path: &str) {
        match path.split_once('?') {
            Some((path, query)) => {
                self.quoted(path);
                self.word(&format!(" with a query of {} bytes", query.len()));
            }
            None => self.quoted(path),
        }
    }

    /// Bytes: as text if they are text.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).ok();
        let text = text.filter(|text| text.chars().all(|character| !character.is_control()));
        match text {
            Some(text) if !self.is_hidden && self.secrecy == Secrecy::ByName => self.quoted(text),
            _ => self.length(bytes.len()),
        }
    }

    pub(super) fn debug(&mut self, value: &dyn Debug) {
        if self.is_hidden {
            return self.word("(hidden)");
        }
        let text = format!("{value:?}");
        let is_word = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b':')
        };
        if is_word(&text) {
            let word = text.rsplit("::").next().unwrap_or(&text);
            return self.word(&kebab(word));
        }
        let end = text.floor_char_boundary(MAX_VALUE * 2);
        self.word(&one_line(text.get(..end).unwrap_or_default()));
    }

    /// A field, an attribute or the like with its value.
    pub(super) fn pair(&mut self, name: &str, value: impl FnOnce(&mut Self)) {
        let before = self.is_hidden;
        self.word(&one_line(name));
        self.word(": ");
        self.is_hidden |= is_sensitive(name);
        value(self);
        self.is_hidden = before;
    }
}

/// `TooLate` as the contract writes it.
fn kebab(word: &str) -> String {
    let mut text = String::with_capacity(word.len() + 4);
    for character in word.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

//! Arguments and results of host calls, which a recorder shows as text ([`super::text`]).

use wasmtime::StoreContextMut;
use wasmtime::component::WasmStr;

use super::text::CallText;
use crate::exchange::AttributeValue as HostValue;
use crate::wasm::bindings::types::{AttributeValue, EditError, Message};
use crate::wasm::bindings::{calls, crypto, keys, limits, log, rates, tokens};
use crate::wasm::output::one_line;
use crate::wasm::state::InstanceState;

/// Where texts that the guest owns are read.
pub(in crate::wasm) type Guest<'a, 's> = Option<&'a StoreContextMut<'s, InstanceState>>;

/// A value of a host call.
pub(in crate::wasm) trait Shown {
    fn show(&self, guest: Guest<'_, '_>, text: &mut CallText);
}

/// The arguments of a host call, or its results.
pub(in crate::wasm) trait ShownValues {
    fn show_all(&self, guest: Guest<'_, '_>, text: &mut CallText);
}

impl ShownValues for () {
    fn show_all(&self, _: Guest<'_, '_>, _: &mut CallText) {}
}

macro_rules! shown_values {
    ($($name:ident)+) => {
        impl<$($name: Shown),+> ShownValues for ($($name,)+) {
            #[expect(non_snake_case, reason = "the values of the types of these names")]
            fn show_all(&self, guest: Guest<'_, '_>, text: &mut CallText) {
                let ($($name,)+) = self;
                $(
                    text.begin_value();
                    $name.show(guest, text);
                )+
            }
        }
    };
}

shown_values!(A);
shown_values!(A B);
shown_values!(A B C);
shown_values!(A B C D);

macro_rules! shown_by_debug {
    ($($name:ty),+ $(,)?) => {
        $(impl Shown for $name {
            fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
                text.debug(self);
            }
        })+
    };
}

shown_by_debug!(
    bool,
    u16,
    u32,
    u64,
    i64,
    f64,
    Message,
    log::Level,
    keys::ApiKey,
    limits::Decision,
    limits::Level,
    limits::Levels,
    limits::Bound,
    rates::Bound,
    rates::Decision,
    rates::Level,
    tokens::Check,
    calls::CallError,
    crypto::Hash,
);

macro_rules! shown_by_name {
    ($($name:ty),+) => {
        $(impl Shown for $name {
            fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
                text.word(self.name());
            }
        })+
    };
}

shown_by_name!(EditError, keys::KeyReject, limits::Uncharged);

impl Shown for keys::IdentifyError {
    fn show(&self, guest: Guest<'_, '_>, text: &mut CallText) {
        match self {
            Self::Rejected(why) => text.word_and("rejected ", why, guest),
            Self::Attribute(error) => text.word_and("attribute ", error, guest),
        }
    }
}

impl Shown for keys::FieldError {
    fn show(&self, guest: Guest<'_, '_>, text: &mut CallText) {
        match self {
            Self::Missing => text.word("missing"),
            Self::Rejected(why) => text.word_and("rejected ", why, guest),
            Self::Attribute(error) => text.word_and("attribute ", error, guest),
            Self::Edit(error) => text.word_and("edit ", error, guest),
        }
    }
}

impl Shown for tokens::ProofError {
    fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
        match self {
            Self::Rejected(why) => text.word(&format!("rejected {}", one_line(why))),
            Self::NoRoom => text.word("no-room"),
        }
    }
}

impl Shown for tokens::VerifyError {
    fn show(&self, guest: Guest<'_, '_>, text: &mut CallText) {
        match self {
            Self::Rejected(why) => text.word(&format!("rejected {}", one_line(why))),
            Self::InsufficientScope => text.word("insufficient-scope"),
            Self::Attribute(error) => text.word_and("attribute ", error, guest),
            Self::Proof(error) => text.word_and("proof ", error, guest),
            Self::NotYet => text.word("not-yet"),
        }
    }
}

impl Shown for tokens::FieldError {
    fn show(&self, guest: Guest<'_, '_>, text: &mut CallText) {
        match self {
            Self::Missing => text.word("missing"),
            Self::Several => text.word("several"),
            Self::Token(error) => text.word_and("token ", error, guest),
            Self::Edit(error) => text.word_and("edit ", error, guest),
        }
    }
}

impl Shown for () {
    fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
        text.word("ok");
    }
}

impl Shown for String {
    fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
        text.value(self);
    }
}

impl Shown for WasmStr {
    fn show(&self, guest: Guest<'_, '_>, text: &mut CallText) {
        match guest.map(|guest| self.to_str(guest)) {
            Some(Ok(value)) => text.value(&value),
            Some(Err(_)) | None => text.word("(a text that cannot be read)"),
        }
    }
}

impl Shown for Vec<u8> {
    fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
        text.bytes(self);
    }
}

impl<T: Shown> Shown for Vec<T> {
    fn show(&self, guest: Guest<'_, '_>, text: &mut CallText) {
        let mut between = "[";
        for value in self {
            text.word(between);
            value.show(guest, text);
            between = ", ";
        }
        text.word(if self.is_empty() { "[]" } else { "]" });
    }
}

impl<T: Shown> Shown for Option<T> {
    fn show(&self, guest: Guest<'_, '_>, text: &mut CallText) {
        match self {
            Some(value) => value.show(guest, text),
            None => text.word("none"),
        }
    }
}

impl<T: Shown, E: Shown> Shown for Result<T, E> {
    fn show(&self, guest: Guest<'_, '_>, text: &mut CallText) {
        match self {
            Ok(value) => value.show(guest, text),
            Err(error) => {
                text.word("error ");
                error.show(guest, text);
            }
        }
    }
}

impl Shown for (String, Vec<u8>) {
    fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
        text.pair(&self.0, |text| text.bytes(&self.1));
    }
}

impl Shown for (String, String) {
    fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
        text.pair(&self.0, |text| text.bytes(self.1.as_bytes()));
    }
}

impl Shown for (WasmStr, Vec<u8>) {
    fn show(&self, guest: Guest<'_, '_>, text: &mut CallText) {
        let name = guest.and_then(|guest| self.0.to_str(guest).ok());
        text.pair(name.as_deref().unwrap_or("?"), |text| text.bytes(&self.1));
    }
}

impl Shown for (String, AttributeValue) {
    fn show(&self, guest: Guest<'_, '_>, text: &mut CallText) {
        text.pair(&self.0, |text| self.1.show(guest, text));
    }
}

impl Shown for AttributeValue {
    fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
        match self {
            Self::Text(value) => text.bytes(value.as_bytes()),
            Self::Number(number) => text.debug(number),
            Self::Flag(flag) => text.debug(flag),
            Self::Bytes(bytes) => text.bytes(bytes),
        }
    }
}

impl Shown for HostValue {
    fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
        match self {
            Self::Text(value) => text.bytes(value.as_bytes()),
            Self::Number(number) => text.debug(number),
            Self::Flag(flag) => text.debug(flag),
            Self::Bytes(bytes) => text.bytes(bytes),
        }
    }
}

impl Shown for tokens::ClaimValue {
    fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
        match self {
            Self::Text(value) | Self::Json(value) => text.bytes(value.as_bytes()),
            Self::Number(number) => text.debug(number),
            Self::Flag(flag) => text.debug(flag),
        }
    }
}

impl Shown for calls::Request {
    fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
        text.word(&one_line(&self.method));
        text.word(" ");
        text.path(&self.path);
        let (fields, body) = (self.headers.len(), self.body.len());
        text.word(&format!(" with {fields} fields and {body} bytes"));
    }
}

impl Shown for calls::Response {
    fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
        let (status, fields, body) = (self.status, self.headers.len(), self.body.len());
        text.word(&format!("{status} with {fields} fields and {body} bytes"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::recorder::text::CallLabel;

    fn shown(path: &str, function: &str, values: &impl ShownValues) -> String {
        let mut text = CallLabel::new(path, function).text();
        values.show_all(None, &mut text);
        text.take()
    }

    #[test]
    fn values_after_a_sensitive_name_are_hidden() {
        let set = |name: &str| (Message::Request, name.to_owned(), b"blue".to_vec());
        let path = "windlass:host/exchange";
        assert_eq!(
            shown(path, "set-header", &set("x-team")),
            "request, \"x-team\", \"blue\""
        );
        assert_eq!(
            shown(path, "set-header", &set("authorization")),
            "request, \"authorization\", (4 bytes)"
        );
        let fields = vec![
            ("accept".to_owned(), b"*/*".to_vec()),
            ("cookie".to_owned(), b"session=1".to_vec()),
            ("x-team".to_owned(), b"red".to_vec()),
        ];
        assert_eq!(
            shown(path, "headers", &(fields,)),
            "[accept: \"*/*\", cookie: (9 bytes), x-team: \"red\"]"
        );
    }

    #[test]
    fn results_after_a_sensitive_name_are_hidden() {
        let mut text = CallLabel::new("windlass:host/exchange", "header").text();
        (Message::Request, "x-api-key".to_owned()).show_all(None, &mut text);
        assert_eq!(text.take(), "request, \"x-api-key\"");
        (Some(b"secret".to_vec()),).show_all(None, &mut text);
        assert_eq!(text.take(), "(6 bytes)");
    }

    #[test]
    fn keys_tokens_bodies_and_queries_are_lengths() {
        let key = (b"wl_live_123".to_vec(),);
        assert_eq!(shown("windlass:host/keys", "find", &key), "(11 bytes)");
        let token = ("eyJhbGciOi".to_owned(), 0_u32);
        assert_eq!(
            shown("windlass:jwt/tokens", "verify", &token),
            "(10 bytes), 0"
        );
        let path = ("/orders?api_key=1".to_owned(),);
        assert_eq!(
            shown("windlass:host/exchange", "set-path", &path),
            "\"/orders\" with a query of 9 bytes"
        );
        let body = (b"hello".to_vec(),);
        assert_eq!(
            shown("windlass:host/exchange", "append-piece", &body),
            "(5 bytes)"
        );
    }

    #[test]
    fn a_call_is_cut() {
        let long = ("a".to_owned(), "x".repeat(10_000));
        let text = shown("windlass:host/log", "other", &long);
        assert!(text.len() < 200, "{}", text.len());
        let many = (vec!["abcdefgh".to_owned(); 10_000],);
        assert!(shown("windlass:host/log", "other", &many).len() < 1200);
    }

    #[test]
    fn words_of_the_contract_are_shown_as_it_writes_them() {
        let error: Result<(), EditError> = Err(EditError::TooLate);
        assert_eq!(
            shown("windlass:host/exchange", "x", &(error,)),
            "error too-late"
        );
    }
}

//! What a filter gets and gives in `configure`: documents, advice, and the description of the APIs.

/// `windlass:host/advice`.
pub mod advice {
    use crate::testing::state::{Phase, serve};

    /// Keeps a warning.
    pub fn warn(at: &str, message: &str) {
        serve("advice.warn", |state| {
            if state.phase == Phase::Configure {
                let warning = (at.to_owned(), message.to_owned());
                state.gateway.warnings.push(warning);
            }
        });
    }

    /// Has no effect on a test.
    pub fn vouch(_: &str) {
        serve("advice.vouch", |_| ());
    }

    /// Has no effect on a test.
    pub fn clear(_: &str) {
        serve("advice.clear", |_| ());
    }

    /// Has no effect on a test.
    pub fn read(_: &str) {
        serve("advice.read", |_| ());
    }
}

/// `windlass:host/preflights`.
pub mod preflights {
    use crate::testing::state::serve;

    /// Has no effect on a test.
    pub fn answer() {
        serve("preflights.answer", |_| ());
    }
}

/// `windlass:host/documents`.
pub mod documents {
    use sha2::{Digest as _, Sha256};

    use crate::testing::state::serve;

    /// The names.
    pub fn names() -> Vec<String> {
        serve("documents.names", |state| {
            state.gateway.documents.keys().cloned().collect()
        })
    }

    /// A length.
    pub fn size(name: &str) -> Option<u64> {
        serve("documents.size", |state| {
            let document = state.gateway.documents.get(name)?;
            Some(document.len() as u64)
        })
    }

    /// A range.
    pub fn read(name: &str, offset: u64, len: u32) -> Option<Vec<u8>> {
        serve("documents.read", |state| {
            let document = state.gateway.documents.get(name)?;
            Some(crate::testing::imports::range(document, offset, len))
        })
    }

    /// A digest.
    pub fn digest(name: &str) -> Option<Vec<u8>> {
        serve("documents.digest", |state| {
            let document = state.gateway.documents.get(name)?;
            Some(Sha256::digest(document).to_vec())
        })
    }
}

/// `windlass:host/api-description`.
pub mod api_description {
    use sha2::{Digest as _, Sha256};

    use crate::testing::state::{State, serve};

    /// The description; empty outside of a phase.
    pub fn read() -> String {
        serve("api-description.read", |state| {
            state.check_granted("api-description", "read");
            text(state).unwrap_or_default().to_owned()
        })
    }

    /// Its digest.
    pub fn digest() -> Vec<u8> {
        serve("api-description.digest", |state| {
            state.check_granted("api-description", "digest");
            let digest = text(state).map(|text| Sha256::digest(text).to_vec());
            digest.unwrap_or_default()
        })
    }

    fn text(state: &State) -> Option<&str> {
        state.exchange.as_ref()?;
        Some(&state.gateway.api_description)
    }
}

//! The gateway around a filter: what the operator configures, and what outlives an exchange.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::data::{Cache, Callout, Grants, Samples, Target};
use super::exchange::FieldEdit;
use super::imports::rates::DefinedBound;
use super::loaded::Loaded;
use super::plan::{Buckets, Plan};
use super::state::{Phase, State};
use super::token::{DefinedCheck, Token};
use crate::host::callout::{CallError, Response};
use crate::host::jwt::ProofError;
use crate::host::keys::{ApiKey, KeyReject};
use crate::{Diagnostic, Filter, settings};

/// What the operator would configure around a filter. Begins empty, and grants nothing.
///
/// Its clock stands still until a test moves it ([`Loaded::advance`]).
#[derive(Debug, Clone, Default)]
pub struct Gateway {
    pub(super) grants: Grants,
    pub(super) secrets: BTreeMap<String, Vec<u8>>,
    pub(super) documents: BTreeMap<String, Vec<u8>>,
    pub(super) keys: BTreeMap<Vec<u8>, Result<ApiKey, KeyReject>>,
    pub(super) plans: BTreeMap<String, Plan>,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) proofs: BTreeMap<String, Result<(), ProofError>>,
    pub(super) targets: BTreeMap<String, Target>,
    pub(super) api_description: String,
    /// Milliseconds.
    pub(super) now: u64,
    pub(super) cache: Cache,
    pub(super) buckets: Buckets,
    pub(super) samples: BTreeMap<u32, Samples>,
    pub(super) bounds: Vec<DefinedBound>,
    pub(super) checks: Vec<DefinedCheck>,
    pub(super) response_edits: Vec<FieldEdit>,
    pub(super) warnings: Vec<(String, String)>,
    pub(super) is_trace: bool,
}

impl Gateway {
    /// A gateway that grants nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Grants what this table says, written as JSON with the words of the configuration: `{ "interfaces": ["keys"],
    /// "attributes": ["consumer.*"], "upstreams": [..], "secrets": [..], "callouts": [..] }`.
    ///
    /// # Panics
    ///
    /// If it is no such table.
    #[must_use]
    pub fn allow(mut self, json: &str) -> Self {
        let grants: Grants = serde_json::from_str(json)
            .unwrap_or_else(|error| panic!("`allow` is not a table of grants: {error}"));
        grants.check();
        self.grants = grants;
        self
    }

    /// Has a secret. The filter needs the grant to use it.
    #[must_use]
    pub fn secret(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref().to_vec();
        self.secrets.insert(name.to_owned(), value);
        self
    }

    /// Gives the filter a document.
    #[must_use]
    pub fn document(mut self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref().to_vec();
        self.documents.insert(name.to_owned(), bytes);
        self
    }

    /// Has an API key that clients present as this text.
    #[must_use]
    pub fn key(mut self, presented: impl AsRef<[u8]>, key: ApiKey) -> Self {
        self.keys.insert(presented.as_ref().to_vec(), Ok(key));
        self
    }

    /// Has an API key that is not accepted. Any text that is not given is unknown.
    #[must_use]
    pub fn rejected_key(mut self, presented: impl AsRef<[u8]>, why: KeyReject) -> Self {
        self.keys.insert(presented.as_ref().to_vec(), Err(why));
        self
    }

    /// Has a usage plan.
    #[must_use]
    pub fn plan(mut self, name: &str, plan: Plan) -> Self {
        self.plans.insert(name.to_owned(), plan);
        self
    }

    /// Has an answer about a token. Any text that is not given is rejected as `malformed`.
    #[must_use]
    pub fn token(mut self, text: &str, token: Token) -> Self {
        self.tokens.insert(text.to_owned(), token);
        self
    }

    /// Has an answer about a proof of possession, by the value of the `dpop` field. Any value that is not given is
    /// rejected as `proof_malformed`.
    #[must_use]
    pub fn proof(mut self, value: &str, answer: Result<(), ProofError>) -> Self {
        self.proofs.insert(value.to_owned(), answer);
        self
    }

    /// Has a server that filters may call, which answers as this function says. As in the gateway, the first call of a
    /// phase gives [`CallError::NotYet`], and the phase runs again.
    #[must_use]
    pub fn callout(
        mut self,
        name: &str,
        answer: impl Fn(&Callout) -> Result<Response, CallError> + 'static,
    ) -> Self {
        self.targets
            .insert(name.to_owned(), Target(Rc::new(answer)));
        self
    }

    /// Has this description of its APIs, as JSON.
    #[must_use]
    pub fn api_description(mut self, json: &str) -> Self {
        json.clone_into(&mut self.api_description);
        self
    }

    /// Keeps log lines of the levels trace and debug too, as a gateway with `[log] level = "trace"`.
    #[must_use]
    pub fn log_everything(mut self) -> Self {
        self.is_trace = true;
        self
    }

    /// Makes a filter from its settings, JSON text, as the gateway does at its start.
    ///
    /// # Errors
    ///
    /// The errors in the settings, as `windlass check` shows them.
    pub fn load<F: Filter>(self, settings: &str) -> Result<Loaded<F>, Vec<Diagnostic>> {
        let running = Running::begin(State::new(Phase::Configure, self, None));
        let made = settings::configure::<F>(settings).and_then(|(filter, setup)| {
            setup.tell()?;
            Ok((filter, setup.into_contract()))
        });
        let state = running.end();
        let (filter, setup) = made?;
        Ok(Loaded::new(filter, setup, state.gateway, state.log))
    }

    /// Moves the clock.
    pub(super) fn advance(&mut self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.now = self.now.saturating_add(time);
    }
}

/// A phase that runs on this thread; it ends with this, also by a panic.
pub(super) struct Running(());

impl Running {
    pub(super) fn begin(state: State) -> Self {
        state.enter();
        Self(())
    }

    pub(super) fn end(self) -> State {
        let state = State::leave();
        // `begin` put it there, and only this takes it.
        state.expect("the state of the phase")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(State::leave());
    }
}

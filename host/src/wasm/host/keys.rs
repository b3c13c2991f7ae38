//! `windlass:host/keys`.

use std::borrow::Cow;
use std::sync::Arc;

use wasmtime::Result;

use super::HostFunctions;
use super::functions::{HostError, HostResult, answer};

use crate::exchange::{AttributeValue, KeyRejection, NoPlan, RejectedKey};
use crate::keys;
use crate::keys::{KeyReject, LookupRejection};
use crate::runtime::clock::Timestamp;
use crate::wasm::bindings::keys::{ApiKey, FieldError, IdentifyError, KeyReject as WitReject};
use crate::wasm::bindings::types::Message;
use crate::wasm::services::Services;
use crate::wasm::state::InstanceState;

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add_in_phase("find", |state, (presented,): (Vec<u8>,)| {
        answer(state.find_key(&presented))
    })?;
    functions.add_in_phase("identify", |state, (presented,): (Vec<u8>,)| {
        answer(state.identify_key(&presented))
    })?;
    functions.add_in_phase("identify-field", |state, (name, hide): (String, bool)| {
        answer(state.identify_field(&name, hide))
    })
}

/// The reason why a key is not accepted, for the filter. If the gateway itself cannot decide, the call fails.
fn reject(reject: KeyReject) -> HostError<WitReject> {
    HostError::Refused(match reject {
        KeyReject::Unknown => WitReject::Unknown,
        KeyReject::Disabled => WitReject::Disabled,
        KeyReject::Expired => WitReject::Expired,
        KeyReject::Unavailable => return HostError::Trap(reject.into()),
    })
}

impl InstanceState {
    /// Hand what was found to `take`, which may change everything but the services. They are taken
    /// out meanwhile: nothing is counted or copied.
    fn with_key<T>(
        &mut self,
        presented: &[u8],
        take: impl FnOnce(&mut Self, &Services, &keys::ApiKey) -> T,
    ) -> HostResult<T, WitReject> {
        let Some(services) = self.services.take() else {
            return Err(HostError::Refused(WitReject::Unknown));
        };
        let found = services.keys.find(presented, Timestamp::coarse(), |key| {
            take(self, &services, key)
        });
        if let (Err(rejected), Some(rejects)) = (&found, services.rejects.get(services.worker)) {
            rejects.count(rejected.reason);
        }
        self.services = Some(services);
        match found {
            Ok(taken) => {
                self.note_rejected(None);
                Ok(taken)
            }
            Err(rejected) => {
                let why = rejected.reason;
                self.note_rejected(Some(rejected));
                Err(reject(why))
            }
        }
    }

    /// Keep why the key was rejected for the log. A key that is accepted after another was not makes
    /// the first one no matter.
    fn note_rejected(&mut self, rejected: Option<LookupRejection>) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        exchange.outcome.rejected_key =
            rejected.and_then(|LookupRejection { reason: why, key }| {
                let why = match why {
                    KeyReject::Unknown => KeyRejection::Unknown,
                    KeyReject::Disabled => KeyRejection::Disabled,
                    KeyReject::Expired => KeyRejection::Expired,
                    // No fault of the key's: the call fails, and its error says so.
                    KeyReject::Unavailable => return None,
                };
                let plan = None;
                Some(Box::new(RejectedKey { why, key, plan }))
            });
    }

    /// Of a key's plans the one that is sold for the exchange's API.
    fn plan_of<'a>(&self, services: &Services, key: &'a keys::ApiKey) -> Option<&'a Arc<str>> {
        let route = self.exchange.as_ref()?.route.as_ref();
        let api = route.and_then(|route| route.api.as_deref());
        services.plans.pick(key.plans(), api)
    }

    /// The facts that an earlier filter may have set of its key, which this one may lack.
    fn facts_of_another_key(&self) -> Vec<String> {
        let facts = self.exchange.iter();
        let facts = facts.flat_map(|exchange| exchange.attributes.iter());
        let of_key = |name: &&str| *name == "plan.id" || name.starts_with("api-key.");
        let names = facts.map(|(name, _)| name).filter(of_key);
        names.map(str::to_owned).collect()
    }

    /// Make the facts of a key facts of the exchange, instead of those of another key.
    fn put_key(&mut self, services: &Services, key: &keys::ApiKey) -> HostResult<()> {
        let plan = self.plan_of(services, key);
        if let Some(exchange) = &mut self.exchange {
            exchange.no_plan = match plan {
                Some(_) => None,
                None if key.plans().is_empty() => Some(NoPlan::OfKey),
                None => Some(NoPlan::ForApi),
            };
        }
        let common = [
            ("consumer.id", Some(key.consumer())),
            ("api-key.id", Some(key.id())),
            ("auth.method", Some("api-key")),
            ("plan.id", plan.map(|plan| &**plan)),
        ];
        let common = common
            .into_iter()
            .filter_map(|(name, value)| Some((Cow::Borrowed(name), value?)));
        let own = key.attributes().iter().filter(|(name, _)| &**name != "id");
        let own = own.map(|(name, value)| (Cow::Owned(["api-key.", name].concat()), &**value));
        for name in self.facts_of_another_key() {
            self.drop_fact(name.into());
        }
        for (name, value) in common.chain(own) {
            self.put_fact(name, AttributeValue::Text(value.to_owned()))?;
        }
        Ok(())
    }

    /// Find a key and make its facts facts of the exchange: all of them, or nothing.
    fn identify_key(&mut self, presented: &[u8]) -> HostResult<(), IdentifyError> {
        let put = self.with_key(presented, |state, services, key| {
            state.all_or_none(|state| state.put_key(services, key))
        });
        put.map_err(|error| error.map(IdentifyError::Rejected))?
            .map_err(|error| error.map(IdentifyError::Attribute))
    }

    fn find_key(&mut self, presented: &[u8]) -> HostResult<ApiKey, WitReject> {
        self.with_key(presented, |state, services, key| ApiKey {
            id: key.id().to_owned(),
            consumer: key.consumer().to_owned(),
            plan: state.plan_of(services, key).map(ToString::to_string),
            attributes: key
                .attributes()
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        })
    }

    /// Identify the key in a field of the request. The field is removed, or has the key alone.
    fn identify_field(&mut self, name: &str, hide: bool) -> HostResult<(), FieldError> {
        let of_edit = |error: HostError<_>| error.map(FieldError::Edit);
        let name = self.field_name(Message::Request, name).map_err(of_edit)?;
        let fields = self.fields(Message::Request);
        let first = fields.and_then(|fields| fields.get(&name)).cloned();
        let Some(first) = first.filter(|value| !value.is_empty()) else {
            return Err(HostError::Refused(FieldError::Missing));
        };
        self.all_or_none(|state| {
            let identified = state.identify_key(first.as_bytes());
            identified.map_err(|error| error.map(FieldError::from))?;
            let edited = if hide {
                state.remove_field(Message::Request, name).map(drop)
            } else {
                state.put_field(Message::Request, name, first)
            };
            edited.map_err(of_edit)
        })
    }
}

impl From<IdentifyError> for FieldError {
    fn from(error: IdentifyError) -> Self {
        match error {
            IdentifyError::Rejected(why) => Self::Rejected(why),
            IdentifyError::Attribute(error) => Self::Attribute(error),
        }
    }
}

//! `windlass:host/keys`.

use std::borrow::Cow;
use std::sync::Arc;

use wasmtime::Result;

use crate::exchange::{AttributeValue, KeyRejection, NoPlan, RejectedKey};
use crate::keys;
use crate::keys::{KeyReject, LookupRejection};
use crate::runtime::clock::Timestamp;
use crate::wasm::bindings::keys::{
    ApiKey, FieldError, Host, IdentifyError, KeyReject as WitReject,
};
use crate::wasm::bindings::types::{EditError, Message};
use crate::wasm::services::Services;
use crate::wasm::state::InstanceState;

/// Why a key is not accepted, as a filter is told. None of a filter's business is that the
/// gateway itself cannot tell: that fails the call.
fn reject(reject: KeyReject) -> Result<WitReject> {
    match reject {
        KeyReject::Unknown => Ok(WitReject::Unknown),
        KeyReject::Disabled => Ok(WitReject::Disabled),
        KeyReject::Expired => Ok(WitReject::Expired),
        KeyReject::Unavailable => Err(reject.into()),
    }
}

impl InstanceState {
    /// Hand what was found to `take`, which may change everything but the services. They are taken
    /// out meanwhile: nothing is counted or copied.
    fn with_key<T>(
        &mut self,
        presented: &[u8],
        take: impl FnOnce(&mut Self, &Services, &keys::ApiKey) -> T,
    ) -> Result<std::result::Result<T, WitReject>> {
        let Some(services) = self.services.take() else {
            return Ok(Err(WitReject::Unknown));
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
                Ok(Ok(taken))
            }
            Err(rejected) => {
                let why = rejected.reason;
                self.note_rejected(Some(rejected));
                reject(why).map(Err)
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

    /// Make what is known of a key facts of the exchange, in place of those of another key.
    fn put_key(
        &mut self,
        services: &Services,
        key: &keys::ApiKey,
    ) -> Result<Result<(), EditError>> {
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
            let put = self.put_fact(name, AttributeValue::Text(value.to_owned()))?;
            if let Err(error) = put {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }
}

impl InstanceState {
    /// Find a key and make what is known of it facts of the exchange: all of them, or nothing.
    fn identify_key(&mut self, presented: &[u8]) -> Result<Result<(), IdentifyError>> {
        let put = self.with_key(presented, |state, services, key| {
            let before = state.journal_length();
            let put = state.put_key(services, key)?;
            if put.is_err() {
                state.undo_to(before);
            }
            Ok::<_, wasmtime::Error>(put)
        })?;
        match put {
            Ok(put) => Ok(put?.map_err(IdentifyError::Attribute)),
            Err(reject) => Ok(Err(IdentifyError::Rejected(reject))),
        }
    }
}

impl Host for InstanceState {
    fn find(&mut self, presented: Vec<u8>) -> Result<Result<ApiKey, WitReject>> {
        self.charge_call()?;
        super::in_phase(self)?;
        self.with_key(&presented, |state, services, key| ApiKey {
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

    fn identify(&mut self, presented: Vec<u8>) -> Result<Result<(), IdentifyError>> {
        self.charge_call()?;
        super::in_phase(self)?;
        self.identify_key(&presented)
    }

    fn identify_field(&mut self, name: String, hide: bool) -> Result<Result<(), FieldError>> {
        self.charge_call()?;
        super::in_phase(self)?;
        let name = match self.field_name(Message::Request, &name) {
            Ok(name) => name,
            Err(error) => return Ok(Err(FieldError::Edit(error))),
        };
        let fields = self.fields(Message::Request);
        let first = fields.and_then(|fields| fields.get(&name)).cloned();
        let Some(first) = first.filter(|value| !value.is_empty()) else {
            return Ok(Err(FieldError::Missing));
        };
        let before = self.journal_length();
        match self.identify_key(first.as_bytes())? {
            Ok(()) => {}
            Err(IdentifyError::Rejected(why)) => return Ok(Err(FieldError::Rejected(why))),
            Err(IdentifyError::Attribute(error)) => return Ok(Err(FieldError::Attribute(error))),
        }
        let edited = if hide {
            self.remove_field(Message::Request, Ok(name))?.map(drop)
        } else {
            self.put_field(Message::Request, name, first)?
        };
        if edited.is_err() {
            self.undo_to(before);
        }
        Ok(edited.map_err(FieldError::Edit))
    }
}

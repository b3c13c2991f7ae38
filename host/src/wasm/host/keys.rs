//! `windlass:host/keys`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::Result;

use super::super::bindings::keys::{ApiKey, Host, IdentifyError, KeyReject as WitReject};
use super::super::bindings::types::EditError;
use super::super::state::State;
use crate::context::AttributeValue;
use crate::store::keys::{self, KeyReject};

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

/// The wall clock as of the last tick of the kernel's timer: some milliseconds are nothing to a
/// key's end, and this clock is the cheaper one. Whole seconds, rounded down.
fn coarse_now() -> SystemTime {
    let time = clock_gettime(ClockId::RealtimeCoarse);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(seconds)
}

impl State {
    fn find_key(
        &self,
        presented: &[u8],
    ) -> Result<std::result::Result<Arc<keys::ApiKey>, WitReject>> {
        let Some(services) = self.services.as_ref() else {
            return Ok(Err(WitReject::Unknown));
        };
        match services.keys.find(presented, coarse_now()) {
            Ok(key) => Ok(Ok(key)),
            Err(why) => reject(why).map(Err),
        }
    }

    /// Of a key's plans the one that is sold for the exchange's API.
    fn plan_of<'a>(&self, key: &'a keys::ApiKey) -> Option<&'a Arc<str>> {
        let route = self.exchange.as_ref()?.route.as_ref();
        let api = route.and_then(|route| route.api.as_deref());
        self.services.as_ref()?.plans.pick(&key.plans, api)
    }

    /// Make what is known of a key facts of the exchange.
    fn put_key(&mut self, key: &keys::ApiKey) -> Result<Result<(), EditError>> {
        let plan = self.plan_of(key);
        let common = [
            ("consumer.id", Some(&*key.consumer)),
            ("api-key.id", Some(&*key.id)),
            ("auth.method", Some("api-key")),
            ("plan.id", plan.map(|plan| &**plan)),
        ];
        let common = common
            .into_iter()
            .filter_map(|(name, value)| Some((Cow::Borrowed(name), value?)));
        let own = key.attributes.iter().filter(|(name, _)| &**name != "id");
        let own = own.map(|(name, value)| (Cow::Owned(["api-key.", name].concat()), &**value));
        for (name, value) in common.chain(own) {
            let put = self.put_fact(name, AttributeValue::Text(value.to_owned()))?;
            if let Err(error) = put {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }
}

impl Host for State {
    fn find(&mut self, presented: Vec<u8>) -> Result<Result<ApiKey, WitReject>> {
        self.charge_call()?;
        super::in_phase(self)?;
        let found = self.find_key(&presented)?;
        Ok(found.map(|key| ApiKey {
            id: key.id.to_string(),
            consumer: key.consumer.to_string(),
            plan: self.plan_of(&key).map(|plan| plan.to_string()),
            attributes: key
                .attributes
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        }))
    }
    fn identify(&mut self, presented: Vec<u8>) -> Result<Result<(), IdentifyError>> {
        self.charge_call()?;
        super::in_phase(self)?;
        let key = match self.find_key(&presented)? {
            Ok(key) => key,
            Err(reject) => return Ok(Err(IdentifyError::Rejected(reject))),
        };
        let before = self.mark();
        if let Err(error) = self.put_key(&key)? {
            self.undo_to(before);
            return Ok(Err(IdentifyError::Attribute(error)));
        }
        Ok(Ok(()))
    }
}

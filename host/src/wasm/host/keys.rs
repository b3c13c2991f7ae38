//! `windlass:host/keys`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::Result;

use super::super::bindings::keys::{ApiKey, Host, KeyReject as WitReject};
use super::super::state::State;
use crate::store::keys::KeyReject;

impl From<KeyReject> for WitReject {
    fn from(reject: KeyReject) -> Self {
        match reject {
            KeyReject::Unknown => Self::Unknown,
            KeyReject::Disabled => Self::Disabled,
            KeyReject::Expired => Self::Expired,
        }
    }
}

/// The wall clock as of the last tick of the kernel's timer: some milliseconds are nothing to a
/// key's end, and a look at it costs a fifth.
fn coarse_now() -> SystemTime {
    let time = clock_gettime(ClockId::RealtimeCoarse);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(seconds)
}

impl Host for State {
    fn find(&mut self, presented: Vec<u8>) -> Result<Result<ApiKey, WitReject>> {
        self.charge_call()?;
        super::in_phase(self)?;
        let Some(services) = &self.services else {
            return Ok(Err(WitReject::Unknown));
        };
        let found = services.keys.find(&presented, coarse_now());
        Ok(found.map_err(WitReject::from).map(|key| ApiKey {
            id: key.id.to_string(),
            consumer: key.consumer.to_string(),
            plan: key.plan.as_deref().map(str::to_owned),
            attributes: key
                .attributes
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        }))
    }
}

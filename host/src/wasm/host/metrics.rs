//! `windlass:host/metrics`.

use wasmtime::Result;

use super::super::bindings::metrics::Host;
use super::super::state::State;

impl Host for State {
    fn add(&mut self, series: u32, labels: Vec<String>, value: f64) -> Result<()> {
        self.charge_call()?;
        super::in_phase(self)?;
        let series = usize::try_from(series).unwrap_or(usize::MAX);
        if !self.own.series.add(series, labels, value) {
            tracing::debug!(
                filter = &*self.name,
                series,
                "a value was dropped: no such series, or labels or value that do not fit it"
            );
        }
        Ok(())
    }
}

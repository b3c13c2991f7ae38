//! `windlass:host/metrics`.

use wasmtime::Result;

use crate::wasm::bindings::metrics::Host;
use crate::wasm::state::InstanceState;

impl Host for InstanceState {
    fn add(&mut self, series: u32, labels: Vec<String>, value: f64) -> Result<()> {
        self.charge_call()?;
        super::in_phase(self)?;
        let series = usize::try_from(series).unwrap_or(usize::MAX);
        if !self.filter_services.series.add(series, labels, value) {
            let text = match self.filter_services.series.name(series) {
                Some(name) => format!(
                    "a value of metric series `{name}` was dropped: it has other labels, is not finite, or is negative"
                ),
                None => format!("a value was dropped: there is no metric series {series}"),
            };
            self.notice(&text);
        }
        Ok(())
    }
}

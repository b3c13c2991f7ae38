//! `windlass:host/metrics`.

use wasmtime::Result;

use super::HostFunctions;

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add_in_phase(
        "add",
        |state, (series, labels, value): (u32, Vec<String>, f64)| {
            let series = usize::try_from(series).unwrap_or(usize::MAX);
            if !state.filter_services.series.add(series, labels, value) {
                let text = match state.filter_services.series.name(series) {
                    Some(name) => format!(
                        "a value of metric series `{name}` was dropped: it has other labels, is not finite, or is negative"
                    ),
                    None => format!("a value was dropped: there is no metric series {series}"),
                };
                state.notice(&text);
            }
            Ok(())
        },
    )
}

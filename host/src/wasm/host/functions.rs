//! How a host interface is linked: each function charges its call to the phase's account, and then serves it.
//!
//! If the engine has a recorder, a wrapper also writes the call down; otherwise the bare function is linked.

use std::time::Instant;

use wasmtime::component::{ComponentNamedList, Lift, Linker, LinkerInstance, Lower};
use wasmtime::{Error, Result, StoreContextMut, bail};

use crate::wasm::account::Overdrawn;
use crate::wasm::bindings::types::EditError;
use crate::wasm::component::CONTRACT;
use crate::wasm::failure::CallFailure;
use crate::wasm::recorder::{CallLabel, RecordedCall, ShownValues};
use crate::wasm::state::InstanceState;

/// The functions of one host interface.
///
/// The types of arguments and results are checked when a component is linked; a test links one that imports
/// the whole contract.
pub(in crate::wasm) struct HostFunctions<'a> {
    linked: LinkerInstance<'a, InstanceState>,
    path: &'static str,
    /// Whether calls are written down.
    records: bool,
}

impl<'a> HostFunctions<'a> {
    /// Those of the interface at this path, without its version. `records`: whether calls are written down.
    pub(in crate::wasm) fn of(
        linker: &'a mut Linker<InstanceState>,
        path: &'static str,
        records: bool,
    ) -> Result<Self> {
        Ok(Self {
            linked: linker.instance(&format!("{path}@{CONTRACT}"))?,
            path,
            records,
        })
    }

    /// The same, of which no call is written down: lines of the log are recorded as lines.
    pub(super) fn unrecorded(self) -> Self {
        Self {
            records: false,
            ..self
        }
    }

    pub(super) fn add<P, R>(
        &mut self,
        name: &str,
        serve: impl Fn(&mut InstanceState, P) -> Result<R> + Send + Sync + 'static,
    ) -> Result<()>
    where
        P: ComponentNamedList + Lift + ShownValues + 'static,
        R: ComponentNamedList + Lower + ShownValues + 'static,
    {
        self.add_reading(name, move |store, arguments| {
            serve(store.data_mut(), arguments)
        })
    }

    /// Add a function that traps outside of a phase, in `configure`.
    pub(super) fn add_in_phase<P, R>(
        &mut self,
        name: &str,
        serve: impl Fn(&mut InstanceState, P) -> Result<R> + Send + Sync + 'static,
    ) -> Result<()>
    where
        P: ComponentNamedList + Lift + ShownValues + 'static,
        R: ComponentNamedList + Lower + ShownValues + 'static,
    {
        self.add(name, move |state, arguments| {
            in_phase(state)?;
            serve(state, arguments)
        })
    }

    /// Add a function that reads texts where the guest put them: names that are only compared are not copied.
    pub(super) fn add_reading<P, R>(
        &mut self,
        name: &str,
        serve: impl Fn(&mut StoreContextMut<'_, InstanceState>, P) -> Result<R> + Send + Sync + 'static,
    ) -> Result<()>
    where
        P: ComponentNamedList + Lift + ShownValues + 'static,
        R: ComponentNamedList + Lower + ShownValues + 'static,
    {
        if self.records {
            return self.add_recorded(name, serve);
        }
        self.linked.func_wrap(
            name,
            move |mut store: StoreContextMut<'_, InstanceState>, arguments: P| {
                store.data_mut().account.charge_call()?;
                serve(&mut store, arguments)
            },
        )
    }

    /// Add a function whose calls are written down.
    fn add_recorded<P, R>(
        &mut self,
        name: &str,
        serve: impl Fn(&mut StoreContextMut<'_, InstanceState>, P) -> Result<R> + Send + Sync + 'static,
    ) -> Result<()>
    where
        P: ComponentNamedList + Lift + ShownValues + 'static,
        R: ComponentNamedList + Lower + ShownValues + 'static,
    {
        let label = CallLabel::new(self.path, name);
        self.linked.func_wrap(
            name,
            move |mut store: StoreContextMut<'_, InstanceState>, arguments: P| {
                store.data_mut().account.charge_call()?;
                let mut text = label.text();
                arguments.show_all(Some(&store), &mut text);
                let arguments_text = text.take();
                let start = Instant::now();
                let result = serve(&mut store, arguments);
                let took = start.elapsed();
                let shown = match &result {
                    Ok(values) => {
                        values.show_all(None, &mut text);
                        Ok(text.take())
                    }
                    Err(error) => Err(error.root_cause().to_string()),
                };
                store.data_mut().record_call(RecordedCall {
                    function: label.function.clone(),
                    arguments: arguments_text,
                    result: shown,
                    took,
                });
                result
            },
        )
    }
}

/// Fail outside of a phase, in `configure`.
pub(super) fn in_phase(state: &InstanceState) -> Result<()> {
    if state.exchange.is_none() {
        bail!("called a host interface while no exchange was there (in `configure`?)");
    }
    Ok(())
}

/// Why a call of a host function gives no value.
pub(super) enum HostError<E> {
    /// An error that the contract defines: a value for the guest.
    Refused(E),
    /// The call traps.
    Trap(Error),
}

/// The result of a host function whose contract defines errors.
pub(super) type HostResult<T, E = EditError> = std::result::Result<T, HostError<E>>;

impl<E> HostError<E> {
    /// The same with another error of the contract.
    pub(super) fn map<F>(self, convert: impl FnOnce(E) -> F) -> HostError<F> {
        match self {
            Self::Refused(error) => HostError::Refused(convert(error)),
            Self::Trap(error) => HostError::Trap(error),
        }
    }
}

impl<E> From<Error> for HostError<E> {
    fn from(error: Error) -> Self {
        Self::Trap(error)
    }
}

impl<E> From<Overdrawn> for HostError<E> {
    fn from(error: Overdrawn) -> Self {
        Self::Trap(error.into())
    }
}

impl<E> From<CallFailure> for HostError<E> {
    fn from(failure: CallFailure) -> Self {
        Self::Trap(failure.into())
    }
}

/// The result as the guest gets it, unless the call traps.
pub(super) fn answer<T, E>(result: HostResult<T, E>) -> Result<(std::result::Result<T, E>,)> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(HostError::Refused(error)) => Ok((Err(error),)),
        Err(HostError::Trap(error)) => Err(error),
    }
}

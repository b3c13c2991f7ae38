//! Links a component's imports: those that are granted to the host interfaces, the others to stubs that
//! trap and name the missing grant.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{HasSelf, InstancePre, Linker, Val};
use wasmtime::{Result, bail};

use super::bindings::{
    advice, api_description, cache, calls, crypto, documents, exchange, keys, limits, log, metrics,
    preflights, problem_members, rates, raw_params, types,
};
use super::component::CompiledComponent;
use super::engine::FilterEngine;
use super::grants::Grants;
use super::host::{hot, jwt, response_edits};
use super::state::{InstanceState, Phase};
use super::wasi;

use crate::model::filter::HostInterface;

/// A component with all its imports in place.
pub(crate) struct Linked {
    /// Ready to be instantiated.
    pub(crate) instance_pre: InstancePre<InstanceState>,
    /// WASI interfaces whose functions trap.
    pub(crate) stubbed: Vec<String>,
    /// Host interfaces that it imports and was not granted.
    pub(crate) denied: Vec<HostInterface>,
}

/// Link a component for a filter with these grants.
///
/// # Errors
///
/// The types of an import are not those of the contract.
pub(crate) fn link(
    engine: &FilterEngine,
    component: &CompiledComponent,
    grants: &Grants,
) -> Result<Linked> {
    let mut linker = Linker::<InstanceState>::new(engine.engine());
    types::add_to_linker::<_, HasSelf<InstanceState>>(&mut linker, |state| state)?;
    exchange::add_to_linker::<_, HasSelf<InstanceState>>(&mut linker, |state| state)?;
    log::add_to_linker::<_, HasSelf<InstanceState>>(&mut linker, |state| state)?;
    advice::add_to_linker::<_, HasSelf<InstanceState>>(&mut linker, |state| state)?;
    preflights::add_to_linker::<_, HasSelf<InstanceState>>(&mut linker, |state| state)?;
    documents::add_to_linker::<_, HasSelf<InstanceState>>(&mut linker, |state| state)?;
    problem_members::add_to_linker::<_, HasSelf<InstanceState>>(&mut linker, |state| state)?;
    raw_params::add_to_linker::<_, HasSelf<InstanceState>>(&mut linker, |state| state)?;
    response_edits::link(&mut linker)?;
    hot::link(&mut linker)?;
    let mut denied = Vec::new();
    for interface in component.interfaces.iter() {
        if grants.interface(*interface) {
            offer(&mut linker, *interface)?;
        } else {
            denied.push(*interface);
            deny(&mut linker, engine, component, *interface)?;
        }
    }
    let stubbed = wasi::link(&mut linker, &component.component)?;
    Ok(Linked {
        instance_pre: linker.instantiate_pre(&component.component)?,
        stubbed,
        denied,
    })
}

fn offer(linker: &mut Linker<InstanceState>, interface: HostInterface) -> Result<()> {
    match interface {
        HostInterface::ApiDescription => {
            api_description::add_to_linker::<_, HasSelf<InstanceState>>(linker, |s| s)
        }
        HostInterface::Cache => cache::add_to_linker::<_, HasSelf<InstanceState>>(linker, |s| s),
        HostInterface::Callout => calls::add_to_linker::<_, HasSelf<InstanceState>>(linker, |s| s),
        HostInterface::Crypto => crypto::add_to_linker::<_, HasSelf<InstanceState>>(linker, |s| s),
        HostInterface::Jwt => jwt::link(linker),
        HostInterface::Keys => keys::add_to_linker::<_, HasSelf<InstanceState>>(linker, |s| s),
        HostInterface::Limits => limits::add_to_linker::<_, HasSelf<InstanceState>>(linker, |s| s),
        HostInterface::Metrics => {
            metrics::add_to_linker::<_, HasSelf<InstanceState>>(linker, |s| s)
        }
        HostInterface::Rates => rates::add_to_linker::<_, HasSelf<InstanceState>>(linker, |s| s),
    }
}

/// The function of `jwt` that `configure` calls. Without the grant it does nothing there, so that one start
/// finds everything that is missing: a request that needs the check calls another function, and fails. The
/// function of `rates` with this name traps: nobody would notice a bound that is not counted.
const DEFINE: &str = "define";

/// Link every function of an interface as a trap that names the missing grant.
fn deny(
    linker: &mut Linker<InstanceState>,
    engine: &FilterEngine,
    component: &CompiledComponent,
    interface: HostInterface,
) -> Result<()> {
    let prefix = format!("{}@", interface.path());
    let ty = component.component.component_type();
    for (name, item) in ty.imports(engine.engine()) {
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        if !name.starts_with(&prefix) {
            continue;
        }
        let mut linked = linker.instance(name)?;
        for (function, item) in instance.exports(engine.engine()) {
            if matches!(item.ty, ComponentItem::ComponentFunc(_)) {
                let called = format!("{}.{function}", interface.name());
                let grant = interface.name();
                let is_define = interface == HostInterface::Jwt && function == DEFINE;
                linked.func_new(function, move |store, _, _, results| {
                    if is_define && store.data().phase == Phase::Configure {
                        results.fill(Val::U32(0));
                        return Ok(());
                    }
                    bail!(
                        "called `{called}`, which it is not granted: add `interfaces = [\"{grant}\"]` to its `allow`"
                    )
                })?;
            }
        }
    }
    Ok(())
}

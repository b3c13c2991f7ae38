//! Links a component's imports: those that are granted to the host interfaces, the others to stubs that
//! trap and name the missing grant.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{InstancePre, Linker, Val};
use wasmtime::{Result, bail};

use super::component::CompiledComponent;
use super::engine::FilterEngine;
use super::grants::Grants;
use super::host::{HostFunctions, OPEN_INTERFACES, link_granted};
use super::state::{InstanceState, Phase};
use super::wasi;

use crate::model::filter::HostInterface;
use crate::model::word::Word as _;

/// A component with all its imports in place.
pub(crate) struct Linked {
    /// Ready to be instantiated.
    pub(crate) instance_pre: InstancePre<InstanceState>,
    /// WASI interfaces whose functions trap.
    pub(crate) stubbed: Vec<String>,
    /// Host interfaces that it imports and was not granted.
    pub(crate) denied: Vec<HostInterface>,
    /// Whether it may call functions that name a secret.
    pub(crate) uses_secrets: bool,
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
    if component.is_standard {
        bail!("it is a component on `wasi:http`, which has no phases");
    }
    let mut linker = Linker::<InstanceState>::new(&engine.engine);
    let records = engine.recorder.is_some();
    for (path, link) in OPEN_INTERFACES {
        link(HostFunctions::of(&mut linker, path, records)?)?;
    }
    let mut denied = Vec::new();
    for interface in component.interfaces.iter() {
        if grants.interface(*interface) {
            link_granted(
                *interface,
                HostFunctions::of(&mut linker, interface.path(), records)?,
            )?;
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
        uses_secrets: uses_secrets(engine, component, grants),
    })
}

/// Whether the component imports functions of `crypto` that name a secret, and may call them. Most toolchains import
/// only the functions that the code calls.
fn uses_secrets(engine: &FilterEngine, component: &CompiledComponent, grants: &Grants) -> bool {
    let prefix = format!("{}@", HostInterface::Crypto.path());
    let ty = component.component.component_type();
    let mut imports = ty.imports(&engine.engine);
    grants.interface(HostInterface::Crypto)
        && imports.any(|(name, item)| match item.ty {
            ComponentItem::ComponentInstance(instance) if name.starts_with(&prefix) => {
                let mut functions = instance.exports(&engine.engine);
                functions.any(|(function, _)| function.starts_with("hmac-"))
            }
            _ => false,
        })
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
    for (name, item) in ty.imports(&engine.engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        if !name.starts_with(&prefix) {
            continue;
        }
        let mut linked = linker.instance(name)?;
        for (function, item) in instance.exports(&engine.engine) {
            if matches!(item.ty, ComponentItem::ComponentFunc(_)) {
                let called = format!("{}.{function}", interface.word());
                let grant = interface.word();
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
    use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

    use super::*;
    use crate::wasm::component_cache::ComponentCache;
    use crate::wasm::component_digest::ComponentDigest;
    use crate::wasm::engine::EngineLimits;

    /// A component that imports every function of the contract, by the types of the contract.
    fn importing_everything() -> Vec<u8> {
        let mut contract = Resolve::default();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        let (package, _) = contract.push_path(path).unwrap();
        let world = contract
            .select_world(&[package], Some("everything"))
            .unwrap();
        let mangling = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
        let mut module = dummy_module(&contract, world, mangling);
        embed_component_metadata(&mut module, &contract, world, StringEncoding::UTF8).unwrap();
        let encoder = ComponentEncoder::default().module(&module).unwrap();
        encoder.validate(true).encode().unwrap()
    }

    #[test]
    fn every_function_of_the_contract_is_linked_with_its_types() {
        let engine = FilterEngine::start(EngineLimits {
            max_instances: 1,
            max_memory: 1 << 20,
            memory: 1 << 20,
        })
        .unwrap();
        let wasm = importing_everything();
        let digest = ComponentDigest::of(&wasm);
        let cache = ComponentCache::off();
        let component = CompiledComponent::compile(&engine, &cache, digest, &wasm).unwrap();
        assert_eq!(component.interfaces.len(), HostInterface::words().count());
        let grants = Grants {
            interfaces: HostInterface::all().collect(),
            ..Grants::default()
        };
        let linked = link(&engine, &component, &grants).unwrap();
        assert!(linked.denied.is_empty());
        // Without the grants, each function is a stub of the same type.
        let linked = link(&engine, &component, &Grants::default()).unwrap();
        assert_eq!(linked.denied.len(), HostInterface::words().count());
    }
}

//! The names that a component imports and exports, read without compiling it: `windlass plugin push` writes them into the
//! artifact, for people and tools that look at it there.

use wasmparser::{Parser, Payload};

use super::component::{ComponentError, check_header};
use crate::distribution::ComponentNames;

/// The names of this component.
///
/// # Errors
///
/// The bytes are not a component.
pub(crate) fn component_names(wasm: &[u8]) -> Result<ComponentNames, ComponentError> {
    check_header(wasm)?;
    read(wasm).map_err(|error| ComponentError::Invalid(error.to_string()))
}

fn read(wasm: &[u8]) -> wasmparser::Result<ComponentNames> {
    let mut names = ComponentNames::default();
    // Components within the component have names of their own.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    names.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    names.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_plugin_are_read() {
        let plugins = windlass_builtin_plugins::BUILTIN_PLUGINS.iter();
        let mut cors = plugins.filter(|plugin| plugin.name == "cors");
        let names = component_names(cors.next().unwrap().component).unwrap();
        let has = |list: &[String], name: &str| list.iter().any(|known| known.starts_with(name));
        assert!(
            has(&names.exports, "windlass:filter/lifecycle@"),
            "{names:?}"
        );
        assert!(has(&names.imports, "windlass:host/exchange@"), "{names:?}");
    }

    #[test]
    fn other_files_are_refused() {
        for (bytes, error) in [
            (&b"GIF89a"[..], "is not WebAssembly"),
            (b"\0asm\x01\0\0\0", "is a core module"),
            (b"\0asm\x0d\0\x01\0\xff", "is not a valid component"),
        ] {
            let found = component_names(bytes).unwrap_err().to_string();
            assert!(found.starts_with(error), "{found}");
        }
    }
}

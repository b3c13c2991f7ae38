//! Takes debug lines out of a component: what a gateway runs needs none.

use std::ops::Range;

use wasm_encoder::{ComponentSectionId, Encode, RawSection, Section};
use wasmparser::{BinaryReaderError, Encoding, Parser, Payload};

/// The same component without its debug sections. The names of functions stay: they make a trap's backtrace readable,
/// and are small.
pub(super) fn debug_stripped(component: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    // A component contains modules and components. `written` is the innermost one, `outer` are those around it.
    let mut written = Vec::new();
    let mut outer = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        match &payload {
            Payload::Version { encoding, .. } => written.extend_from_slice(match encoding {
                Encoding::Module => &wasm_encoder::Module::HEADER,
                Encoding::Component => &wasm_encoder::Component::HEADER,
            }),
            Payload::ModuleSection { .. } => {
                outer.push((ComponentSectionId::CoreModule, std::mem::take(&mut written)));
            }
            Payload::ComponentSection { .. } => {
                outer.push((ComponentSectionId::Component, std::mem::take(&mut written)));
            }
            Payload::End(_) => {
                if let Some((id, around)) = outer.pop() {
                    let within = std::mem::replace(&mut written, around);
                    append(id as u8, &within, &mut written);
                }
            }
            Payload::CustomSection(section) if is_debug(section.name()) => {}
            _ => {
                if let Some((id, range)) = payload.as_section() {
                    append(id, bytes_of(component, range), &mut written);
                }
            }
        }
    }
    Ok(written)
}

fn bytes_of(component: &[u8], range: Range<u64>) -> &[u8] {
    let index = |offset| usize::try_from(offset).ok();
    let bytes = index(range.start).zip(index(range.end));
    bytes
        .and_then(|(start, end)| component.get(start..end))
        .unwrap_or_default()
}

fn is_debug(section: &str) -> bool {
    let prefixes = [".debug", "reloc..debug"];
    prefixes.iter().any(|prefix| section.starts_with(prefix)) || section == "sourceMappingURL"
}

fn append(id: u8, data: &[u8], to: &mut Vec<u8>) {
    let section = RawSection { id, data };
    to.push(Section::id(&section));
    section.encode(to);
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{Component, CustomSection, Module, ModuleSection, NestedComponentSection};

    use super::*;

    fn custom(name: &'static str) -> CustomSection<'static> {
        CustomSection {
            name: name.into(),
            data: b"data".as_slice().into(),
        }
    }

    /// A component with a module, and the same one in a component within.
    fn component(debug: bool) -> Vec<u8> {
        let mut module = Module::new();
        if debug {
            module.section(&custom(".debug_line"));
        }
        module.section(&custom("name"));
        let mut within = Component::new();
        within.section(&ModuleSection(&module));
        let mut component = Component::new();
        component.section(&ModuleSection(&module));
        component.section(&NestedComponentSection(&within));
        if debug {
            component.section(&custom(".debug_info"));
        }
        component.section(&custom("producers"));
        component.finish()
    }

    #[test]
    fn debug_sections_go_at_every_depth_and_all_else_stays() {
        assert_eq!(debug_stripped(&component(true)).unwrap(), component(false));
        assert_eq!(debug_stripped(&component(false)).unwrap(), component(false));
    }

    #[test]
    fn bytes_that_are_no_component_are_an_error() {
        assert!(debug_stripped(b"no component").is_err());
        let whole = component(true);
        assert!(debug_stripped(whole.get(..whole.len() - 3).unwrap()).is_err());
    }
}

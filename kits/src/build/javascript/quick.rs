//! A quick build for `windlass plugin dev`, which needs no `componentize-qjs` after the first one.
//!
//! The shell is a component with a slot: bytes that stand in its file in one piece. The shell evaluates the bundle that
//! it finds there when it is first called. So a new build writes other bytes into the slot, and the functions of the
//! component stay the same, which is why the gateway need not compile them again. The component to ship has no slot.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::bundle::{self, Bundle, Format};
use super::{BuildError, World, componentize, output};
use crate::Plugin;

/// What the slot begins with. The shell's source has it in two parts, so that the file has it once.
const MARK: [&str; 2] = ["windlass: the slot for ", "the bundle of a quick build:"];

/// The most bytes of a bundle.
const SLOT: usize = 512 * 1024;

/// Before the bundle: its length in so many digits.
const DIGITS: usize = 8;

const SHELL: &str = "build/js/shell.js";

/// Builds the component. None if it cannot be built quickly: the bundle is larger than the slot.
pub(super) fn build(
    plugin: &Plugin,
    world: &World,
    bundle: &Bundle,
) -> Result<Option<PathBuf>, BuildError> {
    let code = bundle.text().as_bytes();
    if code.len() > SLOT {
        return Ok(None);
    }
    let mut component = shell(plugin, world)?;
    if fill(&mut component, code).is_none() {
        return Ok(None);
    }
    let dev = plugin.dev_component();
    output::replace(&dev, &component)?;
    Ok(Some(dev))
}

/// The shell: that of the build before, if the world is the same.
fn shell(plugin: &Plugin, world: &World) -> Result<Vec<u8>, BuildError> {
    let source = shell_source(world);
    let file = plugin.folder().join(SHELL);
    let component = file.with_extension("wasm");
    if fs::read_to_string(&file).is_ok_and(|there| there == source)
        && let Ok(there) = fs::read(&component)
    {
        return Ok(there);
    }
    // Before the source: a build that breaks off leaves no shell that looks like the new one.
    let _ = fs::remove_file(&component);
    output::replace(&file, source.as_bytes())?;
    let made = componentize(plugin, Path::new(SHELL))?;
    output::replace(&component, &made)?;
    Ok(made)
}

/// The module that forwards each call to the bundle in its slot.
fn shell_source(world: &World) -> String {
    let mut text = String::new();
    let mut table = String::new();
    for (index, interface) in world.imports().enumerate() {
        let name = interface.split('@').next().unwrap_or_default();
        // It has types only, so there is nothing to import.
        if !name.starts_with("windlass:") || name == "windlass:host/types" {
            continue;
        }
        let _ = writeln!(text, "import i{index} from {name:?};");
        let _ = write!(table, "{name:?}: i{index}, ");
    }
    let [first, second] = MARK;
    let _ = write!(
        text,
        "const imports = {{ {table}}};\n\
         const mark = {first:?} + {second:?};\n\
         const slot = new Uint8Array(mark.length + {DIGITS} + {SLOT}).fill(32);\n\
         for (let at = 0; at < mark.length; at++) slot[at] = mark.charCodeAt(at);\n\
         const latin = (bytes) => atob(bytes.toBase64());\n\
         let plugin;\n\
         function loaded() {{\n\
           if (plugin !== undefined) return plugin;\n\
           const from = mark.length + {DIGITS};\n\
           const code = latin(slot.subarray(from, from + Number(latin(slot.subarray(mark.length, from)))));\n\
           const module = {{ exports: {{}} }};\n\
           const require = (name) => imports[name];\n\
           try {{\n\
             new Function(\"module\", \"exports\", \"require\", code)(module, module.exports, require);\n\
           }} catch (error) {{\n\
             throw new Error(`${{error.name}}: ${{error.message}} ${{error.stack.trim().replaceAll(/\\s+/g, \" \")}}`);\n\
           }}\n\
           return (plugin = module.exports);\n\
         }}\n"
    );
    for export in world.exports() {
        let name = bundle::camel(export);
        let _ = write!(text, "export const {name} = {{");
        for function in functions(export) {
            let _ = write!(
                text,
                " {function}: (a, b) => loaded().{name}.{function}(a, b),"
            );
        }
        text.push_str(" };\n");
    }
    text
}

/// The functions of an interface that a plugin exports.
fn functions(export: &str) -> &'static [&'static str] {
    match export {
        "lifecycle" => &["describe", "configure"],
        "description" => &["contribute"],
        "request-phase" => &["onRequest"],
        "request-body-phase" => &["onRequestBody"],
        "response-phase" => &["onResponse"],
        "response-body-phase" => &["onResponseBody"],
        "log-phase" => &["onLog"],
        _ => &[],
    }
}

/// Writes the bundle into the slot. None if the slot is not there in one piece.
fn fill(component: &mut [u8], code: &[u8]) -> Option<()> {
    let mark = MARK.concat();
    let is_free = |at: &usize| {
        let from = at.saturating_add(mark.len());
        let slot = component.get(from..from.saturating_add(DIGITS + SLOT));
        slot.is_some_and(|slot| slot.iter().all(|byte| *byte == b' '))
    };
    // The engine keeps the mark as a string, too.
    let marked = component.windows(mark.len()).enumerate();
    let marked = marked.filter(|(_, window)| *window == mark.as_bytes());
    let at = marked.map(|(at, _)| at).find(is_free)?;
    let slot = component.get_mut(at.checked_add(mark.len())?..)?;
    let length = format!("{:<DIGITS$}", code.len()).into_bytes();
    slot.get_mut(..DIGITS)?.copy_from_slice(&length);
    slot.get_mut(DIGITS..)?
        .get_mut(..code.len())?
        .copy_from_slice(code);
    Some(())
}

/// How the bundle is read: as the body of a function, which the engine puts two lines before.
pub(super) const FORMAT: Format = Format {
    name: "cjs",
    before: 3,
    file: "quick.js",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn component() -> Vec<u8> {
        let mut component = b"the mark ".to_vec();
        component.extend(MARK.concat().into_bytes());
        component.extend(b"and the slot ");
        component.extend(MARK.concat().into_bytes());
        component.extend(std::iter::repeat_n(b' ', DIGITS + SLOT));
        component.extend(b"after");
        component
    }

    #[test]
    fn the_slot_holds_the_bundle_and_its_length() {
        let mut filled = component();
        fill(&mut filled, b"code").unwrap();
        let text = String::from_utf8(filled).unwrap();
        assert!(text.contains(&format!("slot {}4       code ", MARK.concat())));
        assert!(text.ends_with(" after"), "what follows stays");
    }

    #[test]
    fn a_slot_in_several_pieces_is_not_filled() {
        let mut broken = component();
        let middle = broken.len() - SLOT / 2;
        broken[middle] = 0;
        assert_eq!(fill(&mut broken, b"code"), None);
        assert_eq!(fill(&mut [], b"code"), None);
    }
}

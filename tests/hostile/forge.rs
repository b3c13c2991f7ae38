//! Components that no toolchain makes, built from a core module in the text format.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

/// The version of the contract.
const CONTRACT: &str = "0.1.0";

/// The world of forged filters: the contract's world, with the parts of WASI that forged filters
/// name.
const WORLD: &str = r"
    package windlass:forge;

    world forged {
      include windlass:filter/request-filter@0.1.0;
      import wasi:clocks/monotonic-clock@0.2.0;
    }

    world stranger {
      import secrets;
      include windlass:filter/request-filter@0.1.0;
    }

    world bystander {
      export wave: func();
    }

    interface secrets { reveal: func() -> u32; }

    package wasi:io@0.2.0 {
      interface poll { resource pollable { block: func(); } }
    }

    package wasi:clocks@0.2.0 {
      interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        now: func() -> u64;
        subscribe-duration: func(when: u64) -> pollable;
      }
    }
";

/// A filter that lets everything pass, except for what `on_request` does; `more` adds fields to its
/// module. All its return values are zeros: an empty text or list, the verdict `next(skip)`.
pub(crate) fn filter(on_request: &str, more: &str) -> Vec<u8> {
    component("forged", &module(on_request, more), CONTRACT)
}

/// The same with the lines of its text, of the file `forged.wat`, as debug information.
pub(crate) fn filter_with_lines(on_request: &str) -> Vec<u8> {
    let mut parser = wat::Parser::new();
    parser.generate_dwarf(wat::GenerateDwarf::Full);
    let text = module(on_request, "");
    let module = parser.parse_str(Some(Path::new("forged.wat")), text);
    component_of("forged", module.unwrap(), CONTRACT)
}

/// A filter that imports an interface that does not exist.
pub(crate) fn with_unknown_import() -> Vec<u8> {
    let import = r#"(import "windlass:forge/secrets" "reveal" (func $reveal (result i32)))"#;
    component(
        "stranger",
        &module_importing(import, "(drop (call $reveal))", ""),
        CONTRACT,
    )
}

/// A filter whose `describe` gives another summary in each instance: the clock at its start.
pub(crate) fn describing_the_clock() -> Vec<u8> {
    let import = r#"(import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))"#;
    let describe = "(i64.store (i32.const 2048)
          (i64.and (call $now) (i64.const 0x1f1f1f1f1f1f1f1f)))
        (i64.store (i32.const 2048)
          (i64.or (i64.load (i32.const 2048)) (i64.const 0x4040404040404040)))
        (i32.store (i32.const 1100) (i32.const 0))
        (i32.store (i32.const 1104) (i32.const 0))
        (i32.store (i32.const 1128) (i32.const 2048))
        (i32.store (i32.const 1132) (i32.const 8))
        (i32.const 1100)";
    let module = module_importing(import, "", "").replace(
        "#describe\") (result i32) (i32.const 1024))",
        &format!("#describe\") (result i32) {describe})"),
    );
    component("forged", &module, CONTRACT)
}

/// A filter whose `configure` traps if its settings are longer than an empty table.
pub(crate) fn configured_by_nothing_only() -> Vec<u8> {
    let module = module("", "").replace(
        "(param i32 i32) (result i32)\n            (i32.const 1024))",
        "(param i32 i32) (result i32)
            (if (i32.gt_u (local.get 1) (i32.const 2)) (then unreachable))
            (i32.const 1024))",
    );
    component("forged", &module, CONTRACT)
}

/// A component that is not a filter.
pub(crate) fn bystander() -> Vec<u8> {
    component("bystander", r#"(module (func (export "wave")))"#, CONTRACT)
}

/// A filter of a contract version that does not exist yet.
pub(crate) fn of_another_version() -> Vec<u8> {
    component("forged", &module("", ""), "0.2.0")
}

/// A filter that creates timers and never drops them.
pub(crate) fn keeping_timers(count: u32) -> Vec<u8> {
    let import = r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration"
        (func $timer (param i64) (result i32)))"#;
    let on_request = format!(
        "(local $n i32)
         (loop $again
           (drop (call $timer (i64.const 1)))
           (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if $again (i32.lt_u (local.get $n) (i32.const {count}))))"
    );
    component(
        "forged",
        &module_importing(import, &on_request, ""),
        CONTRACT,
    )
}

/// A filter that waits for a timer of this many nanoseconds, so many times.
pub(crate) fn waiting(nanos: u64, times: u32) -> Vec<u8> {
    let imports = r#"
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration"
          (func $timer (param i64) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop (param i32)))"#;
    let on_request = format!(
        "(local $n i32) (local $pollable i32)
         (loop $again
           (local.set $pollable (call $timer (i64.const {nanos})))
           (call $block (local.get $pollable))
           (call $drop (local.get $pollable))
           (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if $again (i32.lt_u (local.get $n) (i32.const {times}))))"
    );
    let module = module_importing(imports, &on_request, "");
    component("forged", &module, CONTRACT)
}

fn module(on_request: &str, more: &str) -> String {
    module_importing("", on_request, more)
}

fn module_importing(imports: &str, on_request: &str, more: &str) -> String {
    format!(
        r#"(module
          {imports}
          (memory (export "memory") 1)
          {more}
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
          (func (export "windlass:filter/lifecycle@0.1.0#describe") (result i32) (i32.const 1024))
          (func (export "windlass:filter/lifecycle@0.1.0#configure") (param i32 i32) (result i32)
            (i32.const 1024))
          (func $on_request (export "windlass:filter/request-phase@0.1.0#on-request") (result i32)
            {on_request}
            (i32.const 1024)))"#
    )
}

/// A core module in the text format, made into a component of a world of this version of the
/// contract.
fn component(world: &str, module: &str, version: &str) -> Vec<u8> {
    let module = wat::parse_str(module.replace(CONTRACT, version));
    component_of(world, module.unwrap(), version)
}

fn component_of(world: &str, mut module: Vec<u8>, version: &str) -> Vec<u8> {
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let of_version = |text: &str| text.replace(CONTRACT, version);
    let mut resolve = Resolve::default();
    let packages = [
        "deps/windlass-host",
        "deps/windlass-jwt",
        "deps/windlass-callout",
        "",
    ];
    for folder in packages.map(|package| contract.join(package)) {
        let mut group = SourceMap::default();
        for (name, text) in wit_files(&folder) {
            group.push_str(&name, of_version(&text));
        }
        resolve.push_group(group.parse().unwrap()).unwrap();
    }
    let forge = resolve.push_str("forge.wit", &of_version(WORLD)).unwrap();
    let world = resolve.select_world(&[forge], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().module(&module).unwrap();
    encoder.validate(true).encode().unwrap()
}

fn wit_files(folder: &Path) -> Vec<(String, String)> {
    let files = folder.read_dir().unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|kind| kind == "wit"));
    files
        .map(|file| {
            (
                file.display().to_string(),
                std::fs::read_to_string(&file).unwrap(),
            )
        })
        .collect()
}

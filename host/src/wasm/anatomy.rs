//! The parts of a plugin's file: core instances, memories, tables, and whether it carries debug lines.
//!
//! The file is read and nothing is compiled, so this also works for a component that would not load. It counts as the
//! pooling allocator does: each instantiation counts, however often the same module is instantiated. Parts that another
//! component would bring (imported modules) are not counted: plugins have none.

use wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentInstance, ComponentOuterAliasKind, Encoding,
    Instance, Parser, Payload,
};

/// The parts of a component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Anatomy {
    /// Core modules that are instantiated: its own code, adapters, shared libraries.
    pub(crate) core_instances: u32,
    /// Linear memories of all of them.
    pub(crate) memories: u32,
    pub(crate) tables: u32,
    /// Whether a module carries DWARF lines, so that traps name file and line.
    pub(crate) has_debug_lines: bool,
    /// Whether a module names its functions, so that traps name them.
    pub(crate) has_function_names: bool,
}

impl Anatomy {
    /// The parts of the component in this file.
    ///
    /// # Errors
    ///
    /// The file is not whole.
    pub(crate) fn read(wasm: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut walk = AnatomyWalk::default();
        for payload in Parser::new(0).parse_all(wasm) {
            walk.visit(&payload?)?;
        }
        let mut root = walk.done.parts;
        root.has_debug_lines = walk.has_debug_lines;
        root.has_function_names = walk.has_function_names;
        Ok(root)
    }

    fn add(&mut self, other: Self) {
        self.core_instances = self.core_instances.saturating_add(other.core_instances);
        self.memories = self.memories.saturating_add(other.memories);
        self.tables = self.tables.saturating_add(other.tables);
    }
}

/// A module or a component that is being read.
#[derive(Debug, Clone, Default)]
struct AnatomyScope {
    is_module: bool,
    /// What one instantiation brings.
    parts: Anatomy,
    /// The parts of the modules in it, by their indices.
    modules: Vec<Anatomy>,
    /// The parts of the components in it, by their indices.
    components: Vec<Anatomy>,
}

#[derive(Default)]
struct AnatomyWalk {
    /// The scopes that are open, the outermost first.
    open: Vec<AnatomyScope>,
    /// The scope that ended last: at the end, the whole file.
    done: AnatomyScope,
    has_debug_lines: bool,
    has_function_names: bool,
}

impl AnatomyWalk {
    fn visit(&mut self, payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::Version { encoding, .. } => self.open.push(AnatomyScope {
                is_module: *encoding == Encoding::Module,
                ..AnatomyScope::default()
            }),
            Payload::End(_) => self.close(),
            Payload::CustomSection(section) => {
                self.has_debug_lines |= section.name() == ".debug_line";
                self.has_function_names |= section.name() == "name" && self.is_in_module();
            }
            Payload::MemorySection(memories) => {
                let count = memories.count();
                self.count(|parts| parts.memories = parts.memories.saturating_add(count));
            }
            Payload::TableSection(tables) => {
                let count = tables.count();
                self.count(|parts| parts.tables = parts.tables.saturating_add(count));
            }
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        self.instantiate_module(module_index);
                    }
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances.clone() {
                    if let ComponentInstance::Instantiate {
                        component_index, ..
                    } = instance?
                    {
                        self.instantiate_component(component_index);
                    }
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases.clone() {
                    if let ComponentAlias::Outer { kind, count, index } = alias? {
                        self.alias(kind, count, index);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn is_in_module(&self) -> bool {
        self.open.last().is_some_and(|scope| scope.is_module)
    }

    fn count(&mut self, more: impl FnOnce(&mut Anatomy)) {
        if let Some(scope) = self.open.last_mut() {
            more(&mut scope.parts);
        }
    }

    /// A module or a component ends, and is one of those in the scope around it.
    fn close(&mut self) {
        let Some(scope) = self.open.pop() else {
            return;
        };
        if let Some(around) = self.open.last_mut() {
            let list = if scope.is_module {
                &mut around.modules
            } else {
                &mut around.components
            };
            list.push(scope.parts);
        }
        self.done = scope;
    }

    fn instantiate_module(&mut self, index: u32) {
        if let Some(scope) = self.open.last_mut() {
            let module = scope.modules.get(index as usize).copied();
            let mut module = module.unwrap_or_default();
            module.core_instances = 1;
            scope.parts.add(module);
        }
    }

    fn instantiate_component(&mut self, index: u32) {
        if let Some(scope) = self.open.last_mut() {
            let component = scope.components.get(index as usize).copied();
            scope.parts.add(component.unwrap_or_default());
        }
    }

    /// A module or component of a scope around this one gets an index here.
    fn alias(&mut self, kind: ComponentOuterAliasKind, outward: u32, index: u32) {
        let (index, outward) = (index as usize, outward as usize);
        let around = self.open.len().checked_sub(outward.saturating_add(1));
        let around = around.and_then(|around| self.open.get(around));
        let found = |list: fn(&AnatomyScope) -> &Vec<Anatomy>| {
            let found = around.and_then(|around| list(around).get(index));
            found.copied().unwrap_or_default()
        };
        match kind {
            ComponentOuterAliasKind::CoreModule => {
                let module = found(|scope| &scope.modules);
                self.add_to(|scope| &mut scope.modules, module);
            }
            ComponentOuterAliasKind::Component => {
                let component = found(|scope| &scope.components);
                self.add_to(|scope| &mut scope.components, component);
            }
            ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {}
        }
    }

    fn add_to(&mut self, list: fn(&mut AnatomyScope) -> &mut Vec<Anatomy>, parts: Anatomy) {
        if let Some(scope) = self.open.last_mut() {
            list(scope).push(parts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component of one empty module, instantiated so often (Component Model, Binary.md).
    fn with_core_instances(count: u8) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        bytes.extend_from_slice(b"\x01\x08\0asm\x01\0\0\0");
        bytes.extend_from_slice(&[2, count * 3 + 1, count]);
        bytes.extend([0, 0, 0].repeat(count.into()));
        bytes
    }

    #[test]
    fn each_instantiation_counts() {
        let parts = Anatomy::read(&with_core_instances(3)).unwrap();
        assert_eq!(parts.core_instances, 3);
        assert_eq!((parts.memories, parts.tables), (0, 0));
        assert!(!parts.has_debug_lines);
    }

    #[test]
    fn a_file_that_was_cut_is_an_error() {
        let whole = with_core_instances(2);
        assert!(Anatomy::read(&whole[..whole.len() - 1]).is_err());
    }
}

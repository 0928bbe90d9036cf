//! How large a component is when everything that it instantiates is written out.
//!
//! A component may hold others, and make instances of each; a compiler writes out every one of
//! them. With two instances on each of forty levels, two kilobytes become more than any machine
//! holds. So the parts are counted before a compiler sees them.

use samara_core::Error;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, Instance,
    Parser, Payload,
};

use crate::component::refuse;

/// Parts of a component when all is written out: types, imports, exports, aliases, instances with
/// their arguments, and functions that cross its border. Rust's have some hundred, those of large
/// interpreters some thousand; what is inside of core modules is not among them.
const PARTS_MAX: u64 = 100_000;

/// A component or core module that is being read.
#[derive(Default)]
struct Scope {
    parts: u64,
    /// The parts of each component that it may instantiate; none where that is another's to say.
    components: Vec<Option<u64>>,
    is_component: bool,
}

/// Refuses a component that is larger than [`PARTS_MAX`] when all is written out.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Error> {
    let damaged = |error: wasmparser::BinaryReaderError| refuse(format!("it is damaged: {error}"));
    let mut scopes: Vec<Scope> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(damaged)?;
        match payload {
            // The outermost begins with its version, and so do those within.
            Payload::Version { encoding, .. } => scopes.push(Scope {
                is_component: encoding == wasmparser::Encoding::Component,
                ..Scope::default()
            }),
            Payload::End(_) => {
                let ended = scopes.pop().unwrap_or_default();
                if let Some(parent) = scopes.last_mut().filter(|_| ended.is_component) {
                    parent.components.push(Some(ended.parts));
                }
            }
            payload => read(&mut scopes, payload).map_err(damaged)??,
        }
        if scopes.last().is_some_and(|scope| scope.parts > PARTS_MAX) {
            return Err(refuse(format!(
                "it is too large: it has more than {PARTS_MAX} parts when all that it \
                 instantiates is written out"
            )));
        }
    }
    Ok(())
}

/// Counts a section of the innermost scope.
fn read(
    scopes: &mut [Scope],
    payload: Payload<'_>,
) -> Result<Result<(), Error>, wasmparser::BinaryReaderError> {
    let Some((scope, outer)) = scopes.split_last_mut() else { return Ok(Ok(())) };
    match payload {
        Payload::ComponentTypeSection(types) => scope.add(types.count()),
        Payload::CoreTypeSection(types) => scope.add(types.count()),
        Payload::ComponentCanonicalSection(functions) => scope.add(functions.count()),
        Payload::InstanceSection(instances) => {
            for instance in instances {
                scope.add(1);
                scope.add(match instance? {
                    Instance::Instantiate { args, .. } => length(&args),
                    Instance::FromExports(exports) => length(&exports),
                });
            }
        }
        Payload::ComponentImportSection(imports) => {
            for import in imports {
                scope.name(import?.ty.kind(), None);
            }
        }
        Payload::ComponentExportSection(exports) => {
            for export in exports {
                let export = export?;
                scope.name(export.kind, scope.component(export.index));
            }
        }
        Payload::ComponentAliasSection(aliases) => {
            for alias in aliases {
                match alias? {
                    ComponentAlias::InstanceExport { kind, .. } => scope.name(kind, None),
                    ComponentAlias::CoreInstanceExport { .. } => scope.add(1),
                    ComponentAlias::Outer { kind, count, index } => {
                        scope.add(1);
                        if kind == ComponentOuterAliasKind::Component {
                            let known = match count.checked_sub(1) {
                                None => scope.component(index),
                                Some(up) => outer
                                    .iter()
                                    .nth_back(up as usize)
                                    .and_then(|scope| scope.component(index)),
                            };
                            scope.components.push(known);
                        }
                    }
                }
            }
        }
        Payload::ComponentInstanceSection(instances) => {
            for instance in instances {
                scope.add(1);
                match instance? {
                    ComponentInstance::FromExports(exports) => scope.add(length(&exports)),
                    ComponentInstance::Instantiate { component_index, args } => {
                        scope.add(length(&args));
                        let Some(parts) = scope.component(component_index) else {
                            return Ok(Err(refuse(UNKNOWN.to_owned())));
                        };
                        scope.parts = scope.parts.saturating_add(parts);
                    }
                }
            }
        }
        _ => {}
    }
    Ok(Ok(()))
}

/// No tool makes components of this kind, and how large one is depends on what it is given.
const UNKNOWN: &str = "it instantiates a component that it does not hold itself";

fn length<T>(all: &[T]) -> u32 {
    u32::try_from(all.len()).unwrap_or(u32::MAX)
}

// === impl Scope ===

impl Scope {
    fn add(&mut self, parts: u32) {
        self.parts = self.parts.saturating_add(parts.into());
    }

    /// Adds something that has a name, with its parts where it is a component that is known.
    fn name(&mut self, kind: ComponentExternalKind, parts: Option<u64>) {
        self.add(1);
        if kind == ComponentExternalKind::Component {
            self.components.push(parts);
        }
    }

    /// The parts of a component that was defined, if they are known.
    fn component(&self, index: u32) -> Option<u64> {
        *self.components.get(index as usize)?
    }
}

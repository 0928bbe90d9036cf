//! A component that is ready to run: compiled, checked against the world, linked.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use samara_core::{ComponentId, Error, ErrorKind, FunctionInfo};
use samara_wit::{FUNCTIONS, PACKAGE, VERSION};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower,
    TypedFunc,
};

use crate::bindings::exports::samara::function::functions as exports;
use crate::failure::{Stop, shortened};
use crate::state::State;

/// Interfaces of WASI 0.2 that the host offers, by their packages.
const WASI_PACKAGES: &[&str] = &[
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    #[cfg(feature = "http")]
    "wasi:http/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// `call` of the world.
pub(crate) type Call = TypedFunc<(String, Bytes), (Result<Bytes, exports::Failure>,)>;

/// `call-batch` of the world.
pub(crate) type CallBatch =
    TypedFunc<(String, Vec<u64>, Vec<u8>, Vec<u32>), (Result<exports::Batch, exports::Failure>,)>;

/// `list-functions` of the world.
pub(crate) type List = TypedFunc<(), (Vec<exports::Function>,)>;

/// A component that is ready to run. Cheap to share, not to make.
pub struct Prepared {
    id: ComponentId,
    pre: InstancePre<State>,
    call: ComponentExportIndex,
    call_batch: ComponentExportIndex,
    list: ComponentExportIndex,
    functions: OnceLock<Arc<[FunctionInfo]>>,
    cached: bool,
}

// === impl Prepared ===

impl Prepared {
    /// Checks a compiled component against the world and links it.
    pub(crate) fn link(
        id: ComponentId,
        component: &Component,
        linker: &wasmtime::component::Linker<State>,
    ) -> Result<Self, Error> {
        check_imports(component)?;
        let functions = find_functions(component)?;
        let export = |name: &str| {
            component.get_export_index(Some(&functions), name).ok_or_else(|| {
                refuse(format!("{FUNCTIONS} lacks `{name}`: it was built for another world"))
            })
        };
        let (call, call_batch) = (export("call")?, export("call-batch")?);
        let list = export("list-functions")?;
        let pre = linker
            .instantiate_pre(component)
            .map_err(|error| refuse(format!("it does not fit {PACKAGE}@{VERSION}: {error:#}")))?;
        let functions = OnceLock::new();
        Ok(Self { id, pre, call, call_batch, list, functions, cached: false })
    }

    /// The component's name.
    pub fn id(&self) -> ComponentId {
        self.id
    }

    /// Marks it as made of cached code.
    pub(crate) fn mark_cached(self) -> Self {
        Self { cached: true, ..self }
    }

    /// Whether its compiled code came from the cache.
    pub fn is_cached(&self) -> bool {
        self.cached
    }

    /// The component's functions; `list` asks it the first time.
    pub(crate) fn functions(
        &self,
        list: impl FnOnce() -> Result<Vec<FunctionInfo>, Error>,
    ) -> Result<Arc<[FunctionInfo]>, Error> {
        if let Some(functions) = self.functions.get() {
            return Ok(Arc::clone(functions));
        }
        let functions: Arc<[FunctionInfo]> = list()?.into();
        Ok(Arc::clone(self.functions.get_or_init(|| functions)))
    }

    pub(crate) fn instantiate(
        &self,
        store: &mut wasmtime::Store<State>,
    ) -> wasmtime::Result<Instance> {
        self.pre.instantiate(store)
    }

    pub(crate) fn call(
        &self,
        store: &mut wasmtime::Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<Call> {
        typed(store, instance, &self.call)
    }

    pub(crate) fn call_batch(
        &self,
        store: &mut wasmtime::Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<CallBatch> {
        typed(store, instance, &self.call_batch)
    }

    pub(crate) fn list(
        &self,
        store: &mut wasmtime::Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<List> {
        typed(store, instance, &self.list)
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("id", &self.id).finish_non_exhaustive()
    }
}

fn typed<P, R>(
    store: &mut wasmtime::Store<State>,
    instance: &Instance,
    export: &ComponentExportIndex,
) -> wasmtime::Result<TypedFunc<P, R>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    // The guest's own types, which are not those of the world.
    instance.get_typed_func(&mut *store, export).map_err(|error| {
        let error = refuse(format!("it does not fit {PACKAGE}@{VERSION}: {error:#}"));
        wasmtime::Error::new(Stop::Platform(error))
    })
}

impl From<exports::Function> for FunctionInfo {
    fn from(function: exports::Function) -> Self {
        Self {
            name: function.name,
            doc: function.doc,
            reduce: function.kind == exports::Kind::Reduce,
            signature: function.signature,
            arity: function.arity,
            takes_partition: function.takes_partition,
            pure: function.pure,
        }
    }
}

/// Refuses what is not a component before a compiler sees it.
pub(crate) fn check_header(bytes: &[u8]) -> Result<(), Error> {
    // https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md: the magic,
    // then a version and a layer, which is 0 for core modules and 1 for components.
    match bytes {
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', _, _, 0, 0, ..] => Err(refuse(
            "it is a core WebAssembly module, not a component; build it for wasm32-wasip2 \
             (`samara build` does)"
                .to_owned(),
        )),
        [] => Err(refuse("it is empty".to_owned())),
        _ if bytes.len() < 8 => Err(refuse("it is cut short".to_owned())),
        _ => Err(refuse("it is not WebAssembly".to_owned())),
    }
}

/// Bytes of a refusal that are kept: names in a component may be of any length, and of any number.
const REFUSAL_BYTES_MAX: usize = 2 << 10;

/// An error for bytes that cannot be run.
pub(crate) fn refuse(why: String) -> Error {
    Error::new(ErrorKind::Component, shortened(why, REFUSAL_BYTES_MAX))
}

/// Finds the exported interface, or says which world the component is of.
fn find_functions(component: &Component) -> Result<ComponentExportIndex, Error> {
    let engine = component.engine();
    let ty = component.component_type();
    let names: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    for name in &names {
        let Some(version) = name.strip_prefix(FUNCTIONS).and_then(|v| v.strip_prefix('@')) else {
            continue;
        };
        if !is_compatible(version) {
            return Err(refuse(format!(
                "it was built for {PACKAGE}@{version}, this host runs {PACKAGE}@{VERSION}; \
                 rebuild it with a matching samara-guest"
            )));
        }
        if let Some(index) = component.get_export_index(None, name) {
            return Ok(index);
        }
    }
    Err(refuse(match names.is_empty() {
        true => format!("it exports nothing; a function component exports {FUNCTIONS}@{VERSION}"),
        false => format!(
            "it is of another world: it exports {}, not {FUNCTIONS}@{VERSION}",
            names.join(", ")
        ),
    }))
}

/// Refuses imports that this host does not offer, by name.
pub(crate) fn check_imports(component: &Component) -> Result<(), Error> {
    let ty = component.component_type();
    for (name, item) in ty.imports(component.engine()) {
        let offered = WASI_PACKAGES.iter().any(|package| name.starts_with(package));
        let ours = name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@'));
        match (ours, item.ty) {
            (Some((_, version)), ComponentItem::ComponentInstance(_)) if is_compatible(version) => {
            }
            (Some((_, version)), _) => {
                return Err(refuse(format!(
                    "it imports {name} of version {version}, this host runs {PACKAGE}@{VERSION}"
                )));
            }
            (None, _) if offered => {}
            (None, _) => {
                return Err(refuse(format!(
                    "it imports {name}, which no Samara host offers: a function gets its \
                     partition, granted storage and its task, nothing else"
                )));
            }
        }
    }
    Ok(())
}

/// Whether a component of `version` runs here: before 1.0 the minor version has to be the same.
fn is_compatible(version: &str) -> bool {
    let major = |version: &str| -> Option<String> {
        let mut parts = version.split('.');
        let (major, minor) = (parts.next()?, parts.next()?);
        Some(if major == "0" { format!("0.{minor}") } else { major.to_owned() })
    };
    major(version) == major(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_component_is_refused_by_name() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "empty"),
            (b"\0asm", "cut short"),
            (b"#!/bin/sh", "not WebAssembly"),
            (b"\0asm\x01\0\0\0", "core WebAssembly module"),
            (b"\0asm\x0d\0\x02\0", "not WebAssembly"),
        ];
        for (bytes, wanted) in cases {
            let error = check_header(bytes).unwrap_err().message;
            assert!(error.contains(wanted), "{bytes:?}: {error}");
        }
        assert_eq!(check_header(b"\0asm\x0d\0\x01\0"), Ok(()));
    }

    #[test]
    fn versions_are_compatible_within_a_major_one() {
        assert!(is_compatible(VERSION) && is_compatible("0.2.7"));
        assert!(!is_compatible("0.1.0") && !is_compatible("0.3.0"));
        assert!(!is_compatible("1.1.0") && !is_compatible("x"));
    }
}

//! What wasmtime generates from the world.
#![allow(missing_docs, unreachable_pub, reason = "generated; the documentation is in world.wit")]
#![allow(clippy::all, clippy::unwrap_used, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../../wit/samara-function",
    world: "function",
    imports: { default: trappable },
    with: {
        "samara:function/jobs.job": crate::capabilities::jobs::Started,
        "samara:function/storage.writer": crate::capabilities::storage::Writer,
    },
});

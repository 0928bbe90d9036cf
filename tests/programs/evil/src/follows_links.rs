//! Tries to make a link out of its directory, and to write through names of the store's own.

use samara_guest::{function, storage};

use crate::Loot;

/// What is got of a link: made by the file system's own calls, then read through the store.
#[function]
pub fn makes_a_link(target: String, own: String) -> Vec<Loot> {
    let path = own.trim_start_matches("file://");
    #[allow(deprecated, reason = "the one way to make a symbolic link on all systems alike")]
    let linked = std::fs::soft_link(&target, path);
    let read = storage::get(&own).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    vec![linked.into(), read.into()]
}

/// What is got of the files in which a store has objects that are being written.
#[function]
pub fn reads_temporary_files(own: String) -> Vec<Loot> {
    let names = [".0.samara-tmp", ".x.samara-tmp", "a/.1.samara-tmp"];
    let put = |name: &&str| storage::put(&format!("{own}{name}"), b"x").into();
    names.iter().map(put).collect()
}

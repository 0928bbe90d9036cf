//! Looks for files of the host's.

use samara_guest::function;

use crate::Loot;

/// What is at the paths, read, listed, written, and linked.
#[function]
pub fn reads_paths(paths: Vec<String>) -> Vec<Loot> {
    let mut loot = Vec::new();
    for path in &paths {
        loot.push(std::fs::read(path).into());
        loot.push(std::fs::read_dir(path).map(Iterator::count).into());
        loot.push(std::fs::write(path, "x").into());
        loot.push(std::fs::hard_link("/etc/passwd", path).into());
        loot.push(std::fs::create_dir_all(path).into());
    }
    loot
}

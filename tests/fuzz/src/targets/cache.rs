//! Compiled code on disk: an entry that anybody changed is not used.
//!
//! Entries are this machine's and this engine's own, so an input is not one: it is what is done to a
//! sound one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use samara_core::ComponentId;
use samara_engine::{CacheKey, Config, Engine};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::components;
use crate::Target;
use crate::engine::{Draw, Seen};

/// See the module.
pub const TARGET: Target = Target {
    name: "cache",
    seeds,
    words: &["\u{7f}ELF", "\u{0}\u{0}\u{0}\u{0}", ".text", "wasmtime"],
    bytes_max: 256,
    time_max: Duration::from_secs(10),
    start: || {
        let place = Place::new();
        Box::new(move |input| place.check(input))
    },
};

fn seeds() -> Vec<Vec<u8>> {
    (0..32_u8)
        .map(|n| {
            (0..24).map(|at| n.wrapping_mul(91).wrapping_add(29_u8.wrapping_mul(at))).collect()
        })
        .collect()
}

/// An engine, and one entry of its cache.
struct Place {
    engine: Engine,
    id: ComponentId,
    entry: PathBuf,
    whole: Vec<u8>,
    /// The entry of another component.
    other: Vec<u8>,
    _io: Runtime,
    _directory: TempDir,
}

// === impl Place ===

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let io = io.expect("a thread");
        let mut config = Config::default();
        config.cache_dir = Some(directory.path().join("compiled"));
        config.cache_key = Some(CacheKey::new([7; 32]));
        config.pooling = false;
        let engine = Engine::new(&config, io.handle().clone()).expect("an engine");
        let entries = [1, 2].map(|number| {
            let bytes = components::answering(number);
            engine.prepare(&bytes).expect("a sound component");
            let id = ComponentId::of(&bytes);
            let entry = found(&directory.path().join("compiled"), &id.hex()).expect("an entry");
            let whole = std::fs::read(&entry).expect("an entry");
            (id, entry, whole)
        });
        let [(id, entry, whole), (_, _, other)] = entries;
        let place = Self { engine, id, entry, whole, other, _io: io, _directory: directory };
        assert!(place.is_used(&place.whole), "a sound entry is used");
        place
    }

    fn check(&self, input: &[u8]) -> Seen {
        let mut draw = Draw::new(input);
        let mut bytes = self.whole.clone();
        let mut done = 0;
        while !draw.is_done() && done < 4 {
            self.change(&mut draw, &mut bytes);
            done += 1;
        }
        let is_whole = bytes == self.whole;
        assert_eq!(self.is_used(&bytes), is_whole, "an entry is used as it was written, or not");
        Seen::of((is_whole, bytes.len().cmp(&self.whole.len())))
    }

    fn change(&self, draw: &mut Draw<'_>, bytes: &mut Vec<u8>) {
        let place = |draw: &mut Draw<'_>, length: usize| match draw.flag() {
            // The hash, and the head of what it is of.
            true => draw.below(length.clamp(1, 128)),
            false => draw.below(length.max(1)),
        };
        match draw.below(7) {
            0 if !bytes.is_empty() => {
                let at = place(draw, bytes.len());
                bytes[at] ^= 1 << draw.below(8);
            }
            1 => bytes.truncate(place(draw, bytes.len())),
            2 => {
                let more = draw.bytes(16).to_vec();
                bytes.extend(more);
            }
            3 => {
                let number = draw.number().to_le_bytes();
                let at = place(draw, bytes.len()).min(bytes.len());
                let end = (at + number.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            4 => bytes.clone_from(&self.other),
            5 => {
                // The one's hash before the other's code.
                let at = 32.min(bytes.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&self.other[32..]);
            }
            _ => {
                let (from, to) = (place(draw, bytes.len()), place(draw, bytes.len()));
                let moved: Vec<u8> = bytes.drain(from.min(to)..from.max(to)).collect();
                let at = place(draw, bytes.len()).min(bytes.len());
                bytes.splice(at..at, moved);
            }
        }
    }

    /// Puts bytes in the entry's place, as this user's other programs could; whether they are used.
    fn is_used(&self, bytes: &[u8]) -> bool {
        use std::os::unix::fs::PermissionsExt as _;
        let _there = std::fs::remove_file(&self.entry);
        std::fs::write(&self.entry, bytes).expect("a file");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&self.entry, private).expect("it is ours");
        self.engine.prepare_cached(self.id).expect("of this world").is_some()
    }
}

/// The file whose name begins so, somewhere below a directory.
fn found(directory: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?;
    entries.filter_map(|entry| Some(entry.ok()?.path())).find_map(|path| match path.is_dir() {
        true => found(&path, name),
        false => path.file_name()?.to_str()?.starts_with(name).then_some(path),
    })
}

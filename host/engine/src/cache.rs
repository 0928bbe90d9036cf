//! Compiled code on disk, so that a new process starts in milliseconds.
//!
//! Compiled code runs in the host, not in a sandbox: who can write it owns the host. So an entry is
//! used only if its keyed BLAKE3 fits, with a key that lies in the same directory, which only this
//! user may enter. A damaged, foreign or half-written entry is as good as none: the component is
//! compiled again.

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use samara_core::ComponentId;
use wasmtime::component::Component;

const KEY_BYTES: usize = blake3::KEY_LEN;

/// Raised where entries are written differently, so that older ones are not found rather than taken
/// for damaged.
const FORMAT: u32 = 2;

/// The directory of one engine's compiled code.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
}

// === impl Cache ===

impl Cache {
    /// Opens the cache below `root` for code that `engine` can run: of its version, its settings
    /// and this CPU, which the engine's own compatibility hash covers.
    pub(crate) fn open(root: &Path, engine: &wasmtime::Engine) -> io::Result<Self> {
        let mut hasher = Blake3Hasher(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        std::env::consts::ARCH.hash(&mut hasher);
        FORMAT.hash(&mut hasher);
        let engine_hash = hasher.0.finalize().to_hex();
        let dir = root.join(&engine_hash[..32]);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        for dir in [root, &dir] {
            refuse_shared(dir)?;
        }
        let key = load_key(&root.join("key"))?;
        Ok(Self { dir, key })
    }

    /// Maps an entry's code, if it is there and undamaged.
    pub(crate) fn load(&self, id: &ComponentId, engine: &wasmtime::Engine) -> Option<Component> {
        let (code, tag) = self.paths(id);
        let wanted = fs::read(tag).ok()?;
        let found = self.tag(id, File::open(&code).ok()?).ok()?;
        if wanted != found.as_bytes() {
            tracing::warn!(component = %id, "cached code is damaged; compiling anew");
            return None;
        }
        // SAFETY: the file holds what this engine's `serialize` wrote: its keyed hash was just
        // checked, and the key and the directory are readable and writable by this user alone.
        #[allow(unsafe_code, reason = "mapping compiled code is what makes a warm start fast")]
        let loaded = unsafe { Component::deserialize_file(engine, &code) };
        loaded.inspect_err(|error| tracing::warn!(component = %id, "cached code: {error:#}")).ok()
    }

    /// Stores an entry. A failure costs the next process a compilation, no more.
    pub(crate) fn save(&self, id: &ComponentId, component: &Component) {
        if let Err(error) = self.try_save(id, component) {
            tracing::warn!(component = %id, "compiled code was not cached: {error}");
        }
    }

    fn try_save(&self, id: &ComponentId, component: &Component) -> io::Result<()> {
        let bytes = component.serialize().map_err(io::Error::other)?;
        let (code, tag) = self.paths(id);
        let hash = self.tag(id, &bytes[..])?;
        // The tag goes last: code without its tag is no entry.
        self.replace(&code, &bytes)?;
        self.replace(&tag, hash.as_bytes())
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// The keyed hash of a component's code. The component's name is part of it, so that one
    /// component's entry is never another's.
    fn tag(&self, id: &ComponentId, code: impl Read) -> io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(id.hex().as_bytes());
        hasher.update_reader(code)?;
        Ok(hasher.finalize())
    }

    fn paths(&self, id: &ComponentId) -> (PathBuf, PathBuf) {
        let hex = id.hex();
        (self.dir.join(format!("{hex}.cwasm")), self.dir.join(format!("{hex}.tag")))
    }
}

/// Refuses a directory that somebody else could have written to.
fn refuse_shared(dir: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(dir)?;
    let shared = metadata.permissions().mode() & 0o022 != 0;
    // A file of ours has our effective user id; there is no other way to ask without unsafe code.
    let ours = tempfile::tempfile_in(dir)?.metadata()?.uid() == metadata.uid();
    match metadata.is_dir() && ours && !shared {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} can be written by others; `chmod 700` it", dir.display()),
        )),
    }
}

/// Reads the key, or makes one. Two processes that make one at the same moment agree on the first.
fn load_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    if let Ok(key) = read_key(path) {
        return Ok(key);
    }
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&key)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(key),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            read_key(path).or_else(|_| {
                // Damaged: with a new key every old entry is void, which is safe.
                error.file.persist(path).map_err(|error| error.error)?;
                Ok(key)
            })
        }
        Err(error) => Err(error.error),
    }
}

fn read_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() != KEY_BYTES as u64 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut key = [0; KEY_BYTES];
    file.read_exact(&mut key)?;
    Ok(key)
}

/// BLAKE3 as a hasher of Rust's `Hash`: stable across processes, and wide enough for a name.
struct Blake3Hasher(blake3::Hasher);

impl Hasher for Blake3Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        self.0.finalize_xof().fill(&mut first);
        u64::from_le_bytes(first)
    }
}

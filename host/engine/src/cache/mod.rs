//! Compiled code on disk, so that a new process starts in milliseconds.
//!
//! Compiled code runs in the host, not in a sandbox: who can write it owns the host. So an entry is
//! used only if its keyed BLAKE3 fits, with a key that lies elsewhere and that only the operator
//! has. It is checked in a copy that nobody can write to, and that very copy is mapped. An entry
//! that is damaged, foreign or half written is as good as none: the component is compiled again.
//!
//! | file | does |
//! |---|---|
//! | `directory.rs` | private directories, and files that only this user can have written |
//! | `key.rs` | the key, and what it signs |
//! | `sealed.rs` | copies that cannot change any more |
//!
//! **Invariant:** all `unsafe` of the host is in this file.

mod directory;
mod key;
mod sealed;
#[cfg(test)]
mod tests;

use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::path::Path;

use samara_core::ComponentId;
use wasmtime::component::Component;

use self::directory::Directory;
pub use self::key::CacheKey;
use self::key::Signer;
use self::sealed::Sealed;

/// Raised where entries are written differently, so that older ones are not found rather than taken
/// for damaged.
const FORMAT: u32 = 3;

/// What an entry begins with: its keyed hash. The code follows.
const TAG_BYTES: usize = blake3::OUT_LEN;

/// Bytes of compiled code. It is about twice as long as the component, of which the largest known
/// ones have 40 MB.
pub(crate) const CODE_BYTES_MAX: u64 = 1 << 30;

/// What code must have been compiled for to run in an engine: its version, its settings, this CPU.
pub(crate) type EngineHash = [u8; blake3::OUT_LEN];

/// The directory of one engine's compiled code.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: Directory,
    signer: Signer,
    engine: EngineHash,
}

// === impl Cache ===

impl Cache {
    /// Opens the cache below `root` for code that `engine` can run.
    pub(crate) fn open(root: &Path, key: &CacheKey, engine: &wasmtime::Engine) -> io::Result<Self> {
        let hash = engine_hash(engine);
        let name = &blake3::Hash::from_bytes(hash).to_hex()[..32];
        let directory = Directory::open(root)?.below(name)?;
        Ok(Self { directory, signer: key.signer(), engine: hash })
    }

    /// Maps an entry's code, if it is there and undamaged.
    pub(crate) fn load(&self, id: &ComponentId, engine: &wasmtime::Engine) -> Option<Component> {
        match self.try_load(id, engine) {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::warn!(component = %id, "cached code is not used: {error}");
                None
            }
        }
    }

    fn try_load(
        &self,
        id: &ComponentId,
        engine: &wasmtime::Engine,
    ) -> io::Result<Option<Component>> {
        let Some((mut file, length)) = self.directory.open_file(&name(id))? else {
            return Ok(None);
        };
        let length = length.checked_sub(TAG_BYTES as u64).filter(|code| *code <= CODE_BYTES_MAX);
        let length = length.ok_or_else(|| invalid("its length is not that of an entry"))?;
        let mut tag = [0; TAG_BYTES];
        file.read_exact(&mut tag)?;
        let code = Sealed::copy(&file, length)?;
        // Compares in constant time.
        if self.tag(id, &code)? != tag {
            return Err(invalid("it is damaged, or of another component, engine, CPU or key"));
        }
        map(engine, &code).map(Some).map_err(|error| invalid(&format!("{error:#}")))
    }

    /// Stores an entry. A failure costs the next process a compilation, no more.
    pub(crate) fn save(&self, id: &ComponentId, component: &Component) {
        if let Err(error) = self.try_save(id, component) {
            tracing::warn!(component = %id, "compiled code was not cached: {error}");
        }
    }

    fn try_save(&self, id: &ComponentId, component: &Component) -> io::Result<()> {
        let code = Sealed::Bytes(component.serialize().map_err(io::Error::other)?);
        let tag = self.tag(id, &code)?;
        self.directory.write(&name(id), tag.as_bytes().chain(code.reader()?))
    }

    /// The keyed hash of a component's code. The component's name and the engine's hash are part of
    /// it, so that one entry is never another's, wherever it is put.
    fn tag(&self, id: &ComponentId, code: &Sealed) -> io::Result<blake3::Hash> {
        self.signer.sign(&[id.hex().as_bytes(), &self.engine], code.len(), code.reader()?)
    }
}

/// The name of a component's entry.
fn name(id: &ComponentId) -> String {
    format!("{}.cwasm", id.hex())
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// What code must have been compiled for to run in `engine`.
pub(crate) fn engine_hash(engine: &wasmtime::Engine) -> EngineHash {
    let mut hasher = Blake3Hasher(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    std::env::consts::ARCH.hash(&mut hasher);
    FORMAT.hash(&mut hasher);
    *hasher.0.finalize().as_bytes()
}

/// Maps code whose keyed hash was checked.
///
/// wasmtime takes an open file for modules only; for components it wants a path, and the one of the
/// descriptor leads to the same memory.
fn map(engine: &wasmtime::Engine, code: &Sealed) -> wasmtime::Result<Component> {
    match code {
        Sealed::Bytes(bytes) => load(engine, bytes),
        #[cfg(target_os = "linux")]
        Sealed::Memory { path, .. } => {
            // SAFETY: the memory holds what `serialize` wrote for this engine and component: its
            // keyed hash was checked after the memory was sealed, so nobody can have written to it
            // since, nor can while it is mapped. The path leads to it, which `Sealed` has checked.
            #[allow(unsafe_code, reason = "mapping compiled code is what makes a warm start fast")]
            unsafe {
                Component::deserialize_file(engine, path)
            }
        }
    }
}

/// Loads a copy of code that comes from where nobody else can write: from bytes whose keyed hash
/// was checked, or from this program's own process for compiling, by a pipe that only the two have.
pub(crate) fn load(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: both callers hand over what `serialize` or `precompile_component` gave for an engine
    // of the same settings: one has checked its keyed hash, the other has read it from the process
    // that it started itself, and compared the engine's hash. The bytes are borrowed, so nothing
    // changes them meanwhile, and wasmtime copies them.
    #[allow(unsafe_code, reason = "there is no safe way to load compiled code")]
    unsafe {
        Component::deserialize(engine, code)
    }
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

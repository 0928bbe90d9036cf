//! The key of the cache, and what it signs.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::directory::{self, Directory};

const KEY_BYTES: usize = blake3::KEY_LEN;

/// What keys are derived for, so that an operator's key may serve other purposes too.
const CONTEXT: &str = "samara 2026-11-21 compiled code of components";

/// What keys of tenants are derived for.
const TENANT_CONTEXT: &str = "samara 2026-11-21 compiled code of one tenant's components";

/// How long somebody else may take to write 32 bytes: looks, and the time between two.
const LOOKS: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Authenticates compiled code: who has it can have a host run any code, so it is the operator's
/// alone. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct CacheKey([u8; KEY_BYTES]);

/// Signs entries of the cache.
pub(crate) struct Signer([u8; KEY_BYTES]);

// === impl CacheKey ===

impl CacheKey {
    /// A key of these bytes, which nobody can guess.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads an operator's key: a file of 32 bytes, or of 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// Where the file is not there, has anything else in it, can be written by anybody but its
    /// owner, or read by everybody.
    pub fn read(path: &Path) -> io::Result<Self> {
        let (file, _) = directory::open_operators(path)?;
        let mut text = Vec::new();
        // As many as digits with a line's end may have, and one more.
        file.take(2 * KEY_BYTES as u64 + 3).read_to_end(&mut text)?;
        Self::parse(&text).ok_or_else(|| {
            let text = format!("{} is no key of 32 bytes or 64 digits", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        })
    }

    /// The key for one tenant's code, where each has a process of its own: what was signed with it
    /// counts for nobody else, and from it neither this key nor another tenant's is found out.
    #[must_use]
    pub fn for_tenant(&self, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(TENANT_CONTEXT);
        // The key has always the same length, so that no name can pass for a part of it.
        hasher.update(&self.0).update(name.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The key itself, for a process that is to use it. To be shown to nobody.
    pub fn reveal(&self) -> [u8; KEY_BYTES] {
        self.0
    }

    fn parse(text: &[u8]) -> Option<Self> {
        if let Ok(bytes) = text.try_into() {
            return Some(Self(bytes));
        }
        let digits = std::str::from_utf8(text).ok()?.trim_end();
        Some(Self(*blake3::Hash::from_hex(digits).ok()?.as_bytes()))
    }

    /// Reads the key of a user's own machine, or makes one. Two processes that make one at the same
    /// moment agree on the first.
    pub(crate) fn read_or_make(path: &Path) -> io::Result<Self> {
        let directory = Directory::open(directory::parent(path))?;
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        for _ in 0..LOOKS {
            match read(&directory, name)? {
                Found::Key(key) => return Ok(key),
                Found::Nothing => match make(&directory, name) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    made => return made,
                },
                // Somebody may be writing it.
                Found::Damaged => thread::sleep(LOOK_EVERY),
            }
        }
        // Nobody is: with a new key every old entry is void, which is safe.
        directory.remove(name)?;
        make(&directory, name)
    }

    pub(crate) fn signer(&self) -> Signer {
        Signer::of(blake3::derive_key(CONTEXT, &self.0))
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheKey(***)")
    }
}

/// What is where the key should be.
enum Found {
    Key(CacheKey),
    Nothing,
    Damaged,
}

fn read(directory: &Directory, name: &str) -> io::Result<Found> {
    let Some((mut file, length)) = directory.open_secret(name)? else {
        return Ok(Found::Nothing);
    };
    let mut key = [0; KEY_BYTES];
    match length == KEY_BYTES as u64 && file.read_exact(&mut key).is_ok() {
        true => Ok(Found::Key(CacheKey(key))),
        false => Ok(Found::Damaged),
    }
}

fn make(directory: &Directory, name: &str) -> io::Result<CacheKey> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    // Whole or not at all, so that nobody takes one in the making for one that is damaged.
    directory.write_new(name, &key)?;
    Ok(CacheKey(key))
}

// === impl Signer ===

impl Signer {
    pub(crate) fn of(key: [u8; KEY_BYTES]) -> Self {
        Self(key)
    }

    /// The keyed hash of some names and of what `content` has, each with its length before it, so
    /// that no part can pass for the end of another.
    pub(crate) fn sign(
        &self,
        names: &[&[u8]],
        length: u64,
        content: impl Read,
    ) -> io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for name in names {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name);
        }
        hasher.update(&length.to_le_bytes());
        hasher.update_reader(content)?;
        Ok(hasher.finalize())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_has_a_key_that_tells_nothing_of_others() {
        let key = CacheKey::new([7; KEY_BYTES]);
        let (acme, beta) = (key.for_tenant("acme"), key.for_tenant("beta"));
        assert_eq!(acme, CacheKey::new([7; KEY_BYTES]).for_tenant("acme"));
        assert!(acme != beta && acme != key && beta != key);
        assert!(acme != CacheKey::new([8; KEY_BYTES]).for_tenant("acme"));
        // Code that one of them signed is not taken for the other's.
        let sign = |key: &CacheKey| key.signer().sign(&[b"x"], 1, &b"y"[..]).unwrap();
        assert!(sign(&acme) != sign(&beta) && sign(&acme) == sign(&acme));
    }
}

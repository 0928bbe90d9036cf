//! What is deployed: the host's program, and the shared libraries that go with it where the
//! platform's own are too old or none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use samara_core::{Error, ErrorKind};

use super::DIGITS;
use super::elf::{Elf, Machine};

/// Libraries that a host may bring; it needs three.
const LIBRARIES_MAX: usize = 64;

/// What a GNU C library before 2.34 loads by itself, to find hosts by their names. A newer one has
/// it inside, and its systems have these no more, or as empty shells.
const LOADED_LATER: &[&str] = &["libnss_dns.so.2", "libnss_files.so.2"];

/// Bytes of a program. A release of the host has 60 MB, one with all its symbols 500.
const PROGRAM_BYTES_MAX: u64 = 1 << 30;

/// Files by their names, each of which may be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Names and contents.
    pub files: BTreeMap<String, Vec<u8>>,
    pub(crate) machine: Machine,
}

/// The host's program, and what it needs.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) bytes: Vec<u8>,
    pub(crate) elf: Elf,
    path: PathBuf,
}

// === impl Program ===

impl Program {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let bytes = read(path)?;
        let elf = Elf::read(&bytes).map_err(|error| error.context(path.display()))?;
        Ok(Self { bytes, elf, path: path.to_owned() })
    }

    /// The name of what loads its libraries, and each of those with its bytes: its own, theirs, and
    /// so on. None for a static program.
    pub(crate) fn libraries(&self) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let mut found = BTreeMap::new();
        let mut open = self.elf.needed.clone();
        open.extend(self.loader().map(str::to_owned));
        while let Some(name) = open.pop() {
            if found.contains_key(&name) {
                continue;
            }
            let bytes = self.find(&name)?;
            open.extend(Elf::read(&bytes).map_err(|error| error.context(&name))?.needed);
            found.insert(name, bytes);
            if found.len() > LIBRARIES_MAX {
                let text = format!("it needs more than {LIBRARIES_MAX} libraries");
                return Err(Error::new(ErrorKind::Invalid, text).context(self.path.display()));
            }
        }
        if found.contains_key("libc.so.6") {
            for name in LOADED_LATER {
                // None is as good as one where the library has it inside.
                found.extend(self.find(name).ok().map(|bytes| ((*name).to_owned(), bytes)));
            }
        }
        Ok(found)
    }

    /// The file name of what loads its libraries.
    pub(crate) fn loader(&self) -> Option<&str> {
        let path = self.elf.interpreter.as_deref()?;
        path.rsplit('/').next()
    }

    /// A library of this machine, which must be one for the same processor.
    fn find(&self, name: &str) -> Result<Vec<u8>, Error> {
        let triplet = self.elf.machine.triplet();
        let places = [format!("/lib/{triplet}"), format!("/usr/lib/{triplet}")];
        let places = places.iter().map(String::as_str).chain(["/lib64", "/usr/lib64", "/lib"]);
        for place in places {
            let path = Path::new(place).join(name);
            if !path.is_file() {
                continue;
            }
            let bytes = read(&path)?;
            if Elf::read(&bytes).is_ok_and(|elf| elf.machine == self.elf.machine) {
                return Ok(bytes);
            }
        }
        let text = format!(
            "{} needs {name} for {triplet}, which is not on this machine; deploy from one like \
             that where the host was built, or build the host for musl, which needs none",
            self.path.display()
        );
        Err(Error::new(ErrorKind::Invalid, text))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Invalid, format!("cannot read {}: {error}", path.display()))
    };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > PROGRAM_BYTES_MAX {
        let text = format!("{} has {length} bytes, which no host has", path.display());
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    std::fs::read(path).map_err(failed)
}

// === impl Package ===

impl Package {
    /// BLAKE3 of names and contents, `b3:` and 64 digits: the same whatever packs them.
    #[must_use]
    pub fn hash(&self) -> String {
        hash_of(self.files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])))
    }
}

/// BLAKE3 of a program where it stands for itself.
pub(crate) fn hash_of_program(path: &Path) -> Result<String, Error> {
    let bytes = read(path)?;
    Ok(hash_of([("samara-host", &bytes[..])].into_iter()))
}

fn hash_of<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, bytes) in files {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    format!("b3:{}", hasher.finalize().to_hex())
}

/// The name of a content: `h-` and the first digits of its hash.
pub(crate) fn content_name(hash: &str) -> String {
    let digits = hash.trim_start_matches("b3:");
    format!("h-{}", &digits[..digits.len().min(DIGITS)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(files: &[(&str, &str)]) -> Package {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
        Package { files: files.collect(), machine: Machine::X86 }
    }

    #[test]
    fn a_hash_is_of_names_and_contents() {
        let one = package(&[("bootstrap", "a")]);
        assert_eq!(one.hash(), package(&[("bootstrap", "a")]).hash());
        assert!(one.hash().starts_with("b3:") && one.hash().len() == 67);
        for other in
            [&[("bootstrap", "b")][..], &[("bootstrapa", "")], &[("bootstrap", "a"), ("b", "")]]
        {
            assert_ne!(one.hash(), package(other).hash());
        }
        assert_eq!(content_name(&one.hash()).len(), 14);
    }

    #[test]
    fn a_program_brings_all_that_it_needs() {
        let program = Program::read(&std::env::current_exe().unwrap()).unwrap();
        let libraries = program.libraries().unwrap();
        assert!(libraries.contains_key(program.loader().unwrap()), "{:?}", libraries.keys());
        assert!(libraries.keys().any(|name| name.starts_with("libc.so")), "{:?}", libraries.keys());
    }

    #[test]
    fn what_is_no_program_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "#!/bin/sh\n").unwrap();
        let error = Program::read(file.path()).unwrap_err();
        assert!(error.message.contains("no program for Linux"), "{error}");
        let error = Program::read(Path::new("/no/host")).unwrap_err();
        assert!(error.message.contains("/no/host"), "{error}");
    }
}

//! What a program says of itself in its ELF file: processor, libraries, and which version of the C
//! library it needs. Reads the little that deployments ask, from files that nobody ran.

use samara_core::{Error, ErrorKind};

/// Entries of a table that are read; a program has some dozens, so more are damage.
const ENTRIES_MAX: usize = 4096;

/// Program header types, tags of the dynamic section, processors: as the ELF specification has them.
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_VERNEED: u64 = 0x6fff_fffe;
const DT_VERNEEDNUM: u64 = 0x6fff_ffff;
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;

/// What a program is for and what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elf {
    /// Its processor.
    pub(crate) machine: Machine,
    /// The loader of its libraries; none for a static program.
    pub(crate) interpreter: Option<String>,
    /// The libraries that it names.
    pub(crate) needed: Vec<String>,
    /// The newest version of the GNU C library that it asks for, such as (2, 34).
    pub(crate) glibc: Option<(u32, u32)>,
}

/// A processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    X86,
    Arm,
}

/// A file, and where its parts lie once it is loaded.
struct Reader<'a> {
    bytes: &'a [u8],
    /// Address, place in the file, length.
    loads: Vec<(u64, u64, u64)>,
}

// === impl Elf ===

impl Elf {
    /// Reads a program of 64 bits.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        Self::parse(bytes).ok_or_else(|| {
            let text = "it is no program for Linux on a 64-bit processor by Intel, AMD or ARM";
            Error::new(ErrorKind::Invalid, text)
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        // 64 bits, little-endian.
        if !bytes.starts_with(&[0x7f, b'E', b'L', b'F', 2, 1]) {
            return None;
        }
        let mut reader = Reader { bytes, loads: Vec::new() };
        let machine = match reader.u16(18)? {
            EM_X86_64 => Machine::X86,
            EM_AARCH64 => Machine::Arm,
            _ => return None,
        };
        let (table, size, count) = (reader.u64(32)?, reader.u16(54)?, reader.u16(56)?);
        let (mut dynamic, mut interpreter) = (None, None);
        for index in 0..u64::from(count) {
            let at = table.checked_add(index * u64::from(size))?;
            let (offset, address, length) = (
                reader.u64(beyond(at, 8_u64)?)?,
                reader.u64(beyond(at, 16_u64)?)?,
                reader.u64(beyond(at, 32_u64)?)?,
            );
            match reader.u32(at)? {
                PT_LOAD => reader.loads.push((address, offset, length)),
                PT_DYNAMIC => dynamic = Some(offset),
                PT_INTERP => interpreter = reader.text(offset),
                _ => {}
            }
        }
        let mut elf = Self { machine, interpreter, needed: Vec::new(), glibc: None };
        if let Some(dynamic) = dynamic {
            elf.read_dynamic(&reader, dynamic)?;
        }
        Some(elf)
    }

    fn read_dynamic(&mut self, reader: &Reader<'_>, at: u64) -> Option<()> {
        let (mut needed, mut strings, mut versions, mut count) = (Vec::new(), None, None, 0);
        for index in 0..ENTRIES_MAX as u64 {
            let entry = beyond(at, index * 16)?;
            let value = reader.u64(beyond(entry, 8_u64)?)?;
            match reader.u64(entry)? {
                0 => break,
                DT_NEEDED => needed.push(value),
                DT_STRTAB => strings = reader.place(value),
                DT_VERNEED => versions = reader.place(value),
                DT_VERNEEDNUM => count = value,
                _ => {}
            }
        }
        let strings = strings?;
        for name in needed {
            self.needed.push(reader.text(beyond(strings, name)?)?);
        }
        if let Some(versions) = versions {
            self.glibc = newest(reader, versions, strings, count)?;
        }
        Some(())
    }
}

/// The newest `GLIBC_2.x` among the versions that are needed: a list of libraries, each with a list
/// of versions, in which each entry says how far the next one is.
fn newest(reader: &Reader<'_>, at: u64, strings: u64, count: u64) -> Option<Option<(u32, u32)>> {
    let mut newest = None;
    let mut library = at;
    for _ in 0..count.min(ENTRIES_MAX as u64) {
        let mut version = beyond(library, reader.u32(beyond(library, 8_u64)?)?)?;
        for _ in 0..reader.u16(beyond(library, 2_u64)?)? {
            let name = reader.text(beyond(strings, reader.u32(beyond(version, 8_u64)?)?)?)?;
            newest = newest.max(glibc(&name));
            version = beyond(version, reader.u32(beyond(version, 12_u64)?)?)?;
        }
        library = beyond(library, reader.u32(beyond(library, 12_u64)?)?)?;
    }
    Some(newest)
}

/// A place so many bytes further on; a damaged file has numbers of any size.
fn beyond(at: u64, bytes: impl Into<u64>) -> Option<u64> {
    at.checked_add(bytes.into())
}

fn glibc(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix("GLIBC_")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

// === impl Machine ===

impl Machine {
    /// As Debian and the GNU loader call it.
    pub(crate) fn triplet(self) -> &'static str {
        match self {
            Self::X86 => "x86_64-linux-gnu",
            Self::Arm => "aarch64-linux-gnu",
        }
    }

    /// As AWS calls it.
    #[cfg(feature = "deploy")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "arm64",
        }
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn array<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let at = usize::try_from(at).ok()?;
        self.bytes.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn u16(&self, at: u64) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: u64) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: u64) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    /// The text from there to the next zero.
    fn text(&self, at: u64) -> Option<String> {
        let rest = self.bytes.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        String::from_utf8(rest[..end].to_vec()).ok()
    }

    /// Where in the file an address lies.
    fn place(&self, address: u64) -> Option<u64> {
        let is_within =
            |(from, _, length): &&(u64, u64, u64)| address >= *from && address - *from < *length;
        let (from, offset, _) = self.loads.iter().find(is_within)?;
        beyond(*offset, address - from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_what_it_needs() {
        // This test is such a program.
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = Elf::read(&this).unwrap();
        assert!(elf.needed.iter().any(|name| name.starts_with("libc.so")), "{elf:?}");
        assert!(elf.interpreter.as_deref().unwrap_or("").contains("ld-linux"), "{elf:?}");
        assert!(elf.glibc.unwrap() >= (2, 17), "{elf:?}");
        let machine = if cfg!(target_arch = "x86_64") { Machine::X86 } else { Machine::Arm };
        assert_eq!(elf.machine, machine);
    }

    #[test]
    fn damage_is_no_panic() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for bytes in [&b""[..], b"#!/bin/sh\n", &this[..64], &this[..200]] {
            assert!(Elf::read(bytes).is_err());
        }
        let mut wild = this[..4096.min(this.len())].to_vec();
        for at in 0..wild.len() {
            let kept = wild[at];
            wild[at] = 0xff;
            let _either_way = Elf::read(&wild);
            wild[at] = kept;
        }
        // Numbers as large as they get.
        for at in 0..wild.len().saturating_sub(8) {
            let kept: [u8; 8] = wild[at..at + 8].try_into().unwrap();
            wild[at..at + 8].fill(0xff);
            let _either_way = Elf::read(&wild);
            wild[at..at + 8].copy_from_slice(&kept);
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(glibc("GLIBC_2.34") > glibc("GLIBC_2.4"));
        assert_eq!(glibc("GLIBC_2.2.5"), Some((2, 2)));
        assert_eq!(glibc("GCC_3.0"), None);
    }
}

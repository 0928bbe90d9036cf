//! Inputs: those that are stored, and those that came to something new on the way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Random, Seen, Target};

/// Inputs that are held at a time: enough to go on from, little enough to be searched.
const HELD_MAX: usize = 2048;

/// Inputs of a target that are stored, and bytes of one: they are replayed by everybody, always.
const STORED_MAX: usize = 36;
const STORED_BYTES_MAX: usize = 3 << 10;

/// Bytes of an input that are shown.
const SHOWN_BYTES_MAX: usize = 2048;

/// Inputs of one target.
#[derive(Debug)]
pub(super) struct Corpus {
    name: &'static str,
    stored: Vec<Vec<u8>>,
    /// How many of these are in files.
    files: usize,
    held: Vec<Vec<u8>>,
    /// By what they came to, the shortest.
    kinds: BTreeMap<Seen, usize>,
}

// === impl Corpus ===

impl Corpus {
    /// What is stored of a target, behind what is made for it.
    pub(super) fn read(target: &Target) -> Self {
        let mut stored = (target.seeds)();
        let mut files = files(target.name);
        files.sort();
        let count = files.len();
        stored.extend(files.into_iter().map(|path| {
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        }));
        Self { name: target.name, stored, files: count, held: Vec::new(), kinds: BTreeMap::new() }
    }

    /// What is to be replayed.
    pub(super) fn stored(&self) -> Vec<Vec<u8>> {
        self.stored.clone()
    }

    /// Any input.
    pub(super) fn any(&self, random: &mut Random) -> &[u8] {
        let stored = self.stored.len();
        match stored + self.held.len() {
            0 => &[],
            all => {
                let at = random.below(all);
                self.stored.get(at).unwrap_or_else(|| &self.held[at - stored])
            }
        }
    }

    /// Keeps an input, if it came to something new, or is shorter than the one that did.
    pub(super) fn add(&mut self, seen: Seen, input: &[u8]) {
        match self.kinds.get(&seen) {
            Some(at) if input.len() < self.held[*at].len() => self.held[*at] = input.to_vec(),
            Some(_) => {}
            None if self.held.len() < HELD_MAX => {
                self.kinds.insert(seen, self.held.len());
                self.held.push(input.to_vec());
            }
            None => {}
        }
    }

    /// How many different things inputs came to.
    pub(super) fn kinds(&self) -> usize {
        self.kinds.len()
    }

    /// Stores what the target begins with, as it is made now, and inputs that came to something new,
    /// as many as there is room for.
    pub(super) fn keep(&self) {
        let directory = directory(self.name);
        std::fs::create_dir_all(&directory).unwrap_or_else(|error| panic!("{error}"));
        let small = |input: &&Vec<u8>| input.len() <= STORED_BYTES_MAX;
        let seeds = self.stored[..self.stored.len() - self.files].iter();
        let room = STORED_MAX.saturating_sub(self.files);
        let seeds: Vec<&Vec<u8>> = seeds.filter(small).take(room / 3).collect();
        let is_new = |input: &&Vec<u8>| !self.stored.contains(input);
        let new: Vec<&Vec<u8>> = self.held.iter().filter(is_new).filter(small).collect();
        // From the first that were found to the last, which are the furthest from the seeds.
        let room = room - seeds.len();
        let step = new.len().div_ceil(room.max(1)).max(1);
        for input in seeds.into_iter().chain(new.into_iter().step_by(step)) {
            write(&directory, input);
        }
    }
}

/// The stored inputs of a target.
fn files(name: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory(name)) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect()
}

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

/// Writes an input that broke something where nobody tidies it away at once.
pub(super) fn keep_failure(name: &str, input: &[u8]) -> PathBuf {
    let directory = scratch().join(name);
    let made = std::fs::create_dir_all(&directory);
    made.unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    write(&directory, input)
}

/// Writes an input under the hash of its content.
fn write(directory: &Path, input: &[u8]) -> PathBuf {
    let path = directory.join(&blake3::hash(input).to_hex()[..16]);
    std::fs::write(&path, input).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

/// Where failures and the inputs at hand are written.
pub(super) fn scratch() -> PathBuf {
    std::env::temp_dir().join("samara-fuzz")
}

/// Bytes as hexadecimal digits, as far as anybody wants to read them.
pub(super) fn hex(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let mut text: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    if shown.len() < bytes.len() {
        text.push('…');
    }
    text
}

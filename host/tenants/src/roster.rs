//! What the files say now: tenants with their keys. Files that change are read again while the host
//! runs, so that keys are added and withdrawn, and tenants too, without a restart.
//!
//! What is broken then changes nothing: the file of tenants as a whole, or one file of keys, counts
//! as it was, and the log says why. A host is never left without keys because somebody is in the
//! middle of writing some.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use samara_core::{Clock, Grants, Limits};

use crate::Canonical;
use crate::account::Account;
use crate::file::File;
use crate::jobs::Jobs;
use crate::keys::{self, Key};
use crate::ticket::Tickets;

/// Bytes of one file at most: they are read while requests wait.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Keys of one tenant at most: a ticket that names none is tried against each, and strangers can
/// show such tickets.
pub(crate) const KEYS_MAX: usize = 16;

/// Where tenants come from.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) canonical: Canonical,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What the files said when they were last read.
#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) file: File,
    /// Checked against these tenants and keys: tickets go with them.
    pub(crate) tickets: Tickets,
    stamp: Stamp,
    key_files: BTreeMap<PathBuf, KeyFile>,
    members: BTreeMap<String, Arc<Member>>,
}

/// A tenant.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) keys: Vec<Key>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) limits: Limits,
    withdrawn: BTreeSet<String>,
    /// As long as the host runs, whatever the files say.
    pub(crate) account: Arc<Account>,
    pub(crate) jobs: Arc<Jobs>,
}

#[derive(Debug, Clone)]
struct KeyFile {
    stamp: Stamp,
    keys: Vec<Key>,
}

/// What is different once a file has changed. Nothing where there is no file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// A file put into the place of another, with the same length and an old time.
    identity: (u64, i64, i64),
}

// === impl Roster ===

impl Roster {
    /// Reads the files for the first time: all has to be right.
    pub(crate) fn open(source: &Source) -> Result<Self, Vec<String>> {
        let stamp = Stamp::of(&source.path);
        let text = read_text(&source.path)
            .map_err(|why| vec![format!("{} {why}", source.path.display())])?;
        let (file, mut faults) = source.parse(&text);
        let (roster, more) = Self::gather(source, file, stamp, None);
        faults.extend(more);
        faults.extend(check_keys(&roster.members));
        match faults.is_empty() {
            true => Ok(roster),
            false => Err(faults),
        }
    }

    /// Reads what has changed; nothing where nothing has.
    pub(crate) fn again(&self, source: &Source) -> Option<Self> {
        let stamp = Stamp::of(&source.path);
        let keys_changed =
            || self.key_files.iter().any(|(path, known)| known.stamp != Stamp::of(path));
        if stamp == self.stamp && !keys_changed() {
            return None;
        }
        let file = match stamp == self.stamp {
            true => self.file.clone(),
            false => self.file_again(source),
        };
        let (roster, faults) = Self::gather(source, file, stamp, Some(self));
        for fault in faults {
            tracing::error!("{fault}; the keys that it had stay");
        }
        // They are taken all the same: what one tenant's file has must not hold up another's.
        for fault in check_keys(&roster.members) {
            tracing::error!("{fault}");
        }
        Some(roster)
    }

    fn file_again(&self, source: &Source) -> File {
        let read = read_text(&source.path);
        let read = read.map_err(|why| vec![format!("{} {why}", source.path.display())]);
        let parsed = read.and_then(|text| match source.parse(&text) {
            (file, faults) if faults.is_empty() => Ok(file),
            (_, faults) => Err(faults),
        });
        parsed.unwrap_or_else(|faults| {
            for fault in faults {
                tracing::error!("{fault}; tenants stay as they were");
            }
            self.file.clone()
        })
    }

    /// Puts tenants and keys together. What `old` has and is not wrong is taken over.
    fn gather(
        source: &Source,
        file: File,
        stamp: Stamp,
        old: Option<&Self>,
    ) -> (Self, Vec<String>) {
        let mut faults = Vec::new();
        let mut key_files = BTreeMap::new();
        let mut members = BTreeMap::new();
        for (name, tenant) in &file.tenants {
            for path in &tenant.keys {
                if !key_files.contains_key(path) {
                    let known = old.and_then(|old| old.key_files.get(path));
                    let (key_file, fault) = KeyFile::read(path, known);
                    let named = |why| format!("tenants.{name}.keys: {} {why}", path.display());
                    faults.extend(fault.map(named));
                    key_files.insert(path.clone(), key_file);
                }
            }
            let keys = tenant.keys.iter().filter_map(|path| key_files.get(path));
            let keys = keys.flat_map(|file| file.keys.iter().cloned()).collect();
            let before = old.and_then(|old| old.members.get(name));
            let member = Member {
                name: name.clone(),
                keys,
                grants: Arc::new(tenant.grants.clone()),
                limits: tenant.limits,
                withdrawn: tenant.withdrawn.clone(),
                account: match before {
                    Some(before) => Arc::clone(&before.account),
                    None => {
                        let clock = Arc::clone(&source.clock);
                        Arc::new(Account::new(name, tenant.quota, clock))
                    }
                },
                jobs: before.map(|before| Arc::clone(&before.jobs)).unwrap_or_default(),
            };
            member.account.set(tenant.quota);
            members.insert(name.clone(), Arc::new(member));
        }
        (Self { file, tickets: Tickets::default(), stamp, key_files, members }, faults)
    }

    pub(crate) fn member(&self, name: &str) -> Option<Arc<Member>> {
        self.members.get(name).cloned()
    }
}

/// What is wrong with keys that are right each for themselves: too many; or one is there twice, so
/// that who has it would be two tenants, or it is not known which one is meant.
fn check_keys(members: &BTreeMap<String, Arc<Member>>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut known: Vec<(&Member, &Key)> = Vec::new();
    for member in members.values() {
        let name = &member.name;
        if member.keys.len() > KEYS_MAX {
            faults.push(format!("tenants.{name}.keys: there are over {KEYS_MAX} keys"));
        }
        for key in &member.keys {
            let kid = &key.kid;
            for (other, double) in &known {
                let is_own = other.name == *name;
                if is_own && (key.kid == double.kid || key.is_same(double)) {
                    faults.push(format!("tenants.{name}.keys: the key `{kid}` is there twice"));
                } else if !is_own && key.is_same(double) {
                    let why =
                        format!("the key `{kid}` is {}'s too: each needs its own", other.name);
                    faults.push(format!("tenants.{name}.keys: {why}"));
                }
            }
            known.push((member, key));
        }
    }
    faults
}

// === impl Member ===

impl Member {
    pub(crate) fn is_withdrawn(&self, key: &Key) -> bool {
        self.withdrawn.iter().any(|kid| key.is_called(kid))
    }
}

// === impl Source ===

impl Source {
    fn parse(&self, text: &str) -> (File, Vec<String>) {
        let directory = self.path.parent().unwrap_or_else(|| Path::new(""));
        File::parse(text, directory, &*self.canonical)
    }
}

// === impl KeyFile ===

impl KeyFile {
    /// Reads a file unless it is as it was. What is wrong comes with the keys it had.
    fn read(path: &Path, known: Option<&Self>) -> (Self, Option<String>) {
        // Before it is read: what is written meanwhile is seen the next time.
        let stamp = Stamp::of(path);
        if let Some(known) = known.filter(|known| known.stamp == stamp) {
            return (known.clone(), None);
        }
        match read_text(path).and_then(|text| keys::read(path, &text)) {
            Ok(keys) => (Self { stamp, keys }, None),
            Err(why) => {
                let keys = known.map(|known| known.keys.clone()).unwrap_or_default();
                (Self { stamp, keys }, Some(why))
            }
        }
    }
}

// === impl Stamp ===

impl Stamp {
    fn of(path: &Path) -> Self {
        let Ok(metadata) = std::fs::metadata(path) else { return Self::default() };
        Self {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
            identity: identity(&metadata),
        }
    }
}

#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> (u64, i64, i64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> (u64, i64, i64) {
    (0, 0, 0)
}

/// The error goes behind the file's name.
fn read_text(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let wrong = |error: std::io::Error| format!("cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(wrong)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(wrong)?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(format!("has over {FILE_BYTES_MAX} bytes")),
        false => Ok(text),
    }
}

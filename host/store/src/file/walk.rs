//! Listing files: a walk over the directories in the order of the keys, from any point on.
//!
//! Keys sort by their bytes, so a directory sorts as if its name ended in `/`: `a.b`, then all of
//! `a/`, then `a0`. Directories that lie before the page, outside the prefix or too deep are not
//! read. A page still reads all names of the directories that it is in, which for one directory
//! of very many files makes the pages' size matter: see [`PAGE_MAX`].
//!
//! A name that is not UTF-8 is in no URL, so no key stands for it. It is passed over, and said.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Root, is_temporary};
use crate::{Entry, Error, ListOptions, Page, Result};

/// Entries of a page unless the caller asks for fewer: some 2 MB, some 20 ms.
const PAGE_MAX: usize = 10_000;

/// A page in the making.
pub(super) struct Walk<'a> {
    root: &'a Root,
    prefix: &'a str,
    after: Option<&'a str>,
    limit: usize,
    slashes_max: usize,
    page: Page,
    /// What no key stands for.
    nameless: Vec<PathBuf>,
    /// How much of that lies before the page's last entry: what lies behind it is for the next page.
    nameless_before: usize,
}

/// Which names of one directory a page may need.
struct Wanted<'a> {
    /// What they start with.
    prefix: &'a [u8],
    /// What they sort after.
    after: &'a [u8],
    /// Whether directories within are too deep.
    is_deepest: bool,
}

// === impl Walk ===

impl<'a> Walk<'a> {
    pub(super) fn new(root: &'a Root, prefix: &'a str, options: &'a ListOptions) -> Self {
        Self {
            root,
            prefix,
            after: options.after.as_deref(),
            limit: options.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX),
            slashes_max: options.slashes.unwrap_or(usize::MAX),
            page: Page::default(),
            nameless: Vec::new(),
            nameless_before: 0,
        }
    }

    /// Lists one page; and what was passed over on the way, because its name is not UTF-8.
    pub(super) fn page(mut self) -> Result<(Page, Vec<PathBuf>)> {
        let top = self.prefix.rfind('/').map_or("", |slash| &self.prefix[..=slash]);
        let _ = self.directory(top)?;
        Ok((self.page, self.nameless))
    }

    /// Lists a directory (empty, or ending in `/`) and what is below it, until the page is full.
    fn directory(&mut self, directory: &str) -> Result<ControlFlow<()>> {
        for name in self.names(directory)? {
            let name = match String::from_utf8(name) {
                Ok(name) => name,
                Err(error) => {
                    let place = self.root.place(directory);
                    self.nameless.push(place.path.join(OsStr::from_bytes(error.as_bytes())));
                    continue;
                }
            };
            let key = format!("{directory}{name}");
            let flow = if key.ends_with('/') { self.directory(&key)? } else { self.file(key)? };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn file(&mut self, key: String) -> Result<ControlFlow<()>> {
        let metadata = match self.root.place(&key).version() {
            Ok(version) => version.metadata(),
            // Removed since, a dangling link, or no regular file.
            Err(Error::NotFound { .. }) => return Ok(ControlFlow::Continue(())),
            Err(error) => return Err(error),
        };
        if self.page.entries.len() == self.limit {
            self.page.next = self.page.entries.last().map(|entry| entry.key.clone());
            self.nameless.truncate(self.nameless_before);
            return Ok(ControlFlow::Break(()));
        }
        self.page.entries.push(Entry { key, metadata });
        self.nameless_before = self.nameless.len();
        Ok(ControlFlow::Continue(()))
    }

    /// The names in a directory that the page may need, sorted; those of directories end in `/`.
    fn names(&self, directory: &str) -> Result<Vec<Vec<u8>>> {
        let place = self.root.place(directory);
        let mut names = Vec::new();
        let Some(wanted) = self.wanted(directory) else { return Ok(names) };
        let entries = match fs::read_dir(&place.path) {
            Ok(entries) => entries,
            Err(error) => match place.error(error) {
                Error::NotFound { .. } => return Ok(names),
                error => return Err(error),
            },
        };
        for entry in entries {
            let entry = entry.map_err(|error| place.error(error))?;
            let mut name = entry.file_name().into_vec();
            if is_temporary(&name) || !name.starts_with(wanted.prefix) {
                continue;
            }
            if is_directory(&entry, &place.path).map_err(|error| place.error(error))? {
                name.push(b'/');
            }
            if wanted.has(&name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Which names of a directory the page may need; `None` where it lies before the page.
    fn wanted(&self, directory: &str) -> Option<Wanted<'a>> {
        let prefix = self.prefix.get(directory.len()..).unwrap_or_default();
        let after = match self.after {
            Some(after) if after.starts_with(directory) => Some(&after[directory.len()..]),
            Some(after) if after > directory => return None,
            _ => None,
        };
        let above = directory.get(self.prefix.len()..).unwrap_or_default().matches('/').count();
        Some(Wanted {
            prefix: prefix.as_bytes(),
            after: after.unwrap_or_default().as_bytes(),
            is_deepest: above >= self.slashes_max,
        })
    }
}

// === impl Wanted ===

impl Wanted<'_> {
    /// Whether a file of this name, or some file in the directory of this name, is in the page.
    fn has(&self, name: &[u8]) -> bool {
        let is_directory = name.ends_with(b"/");
        let is_late = name > self.after || is_directory && self.after.starts_with(name);
        is_late && !(is_directory && self.is_deepest)
    }
}

/// Whether an entry is a directory to walk into, or a link to one.
fn is_directory(entry: &fs::DirEntry, parent: &Path) -> io::Result<bool> {
    let kind = entry.file_type()?;
    if !kind.is_symlink() {
        return Ok(kind.is_dir());
    }
    let path = entry.path();
    let Ok(target) = fs::metadata(&path) else { return Ok(false) };
    let id = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    let is_above = |above: &Path| fs::metadata(above).is_ok_and(|above| id(&above) == id(&target));
    if target.is_dir() && parent.ancestors().any(is_above) {
        tracing::warn!(path = %path.display(), "not followed: a link to a directory it is in");
        return Ok(false);
    }
    Ok(target.is_dir())
}

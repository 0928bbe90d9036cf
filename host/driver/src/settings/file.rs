//! One file of settings, taken apart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::values::{Raw, Written, nearest, unknown};
use super::{KEYS, Key, Origin, Problem};

/// What stands outside of profiles, and where.
const BASE: &str = "default";

/// The table of profiles.
const PROFILES: &str = "profile";

/// Names the profile where nothing else does.
const DEFAULT_PROFILE: &str = "default-profile";

/// A file of settings.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) base: Layer,
    pub(super) profiles: BTreeMap<String, Layer>,
    pub(super) default_profile: Option<(String, Origin)>,
    /// Whether it is no TOML, so that nobody knows what it has.
    pub(super) is_broken: bool,
}

/// Settings of one origin.
#[derive(Debug, Default)]
pub(super) struct Layer(pub(super) Vec<(&'static Key, Written)>);

/// Takes one file apart, and notes what is wrong with it.
struct Parser<'a> {
    path: &'a Path,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
}

type Name<'a> = Spanned<DeString<'a>>;
type Item<'a> = Spanned<DeValue<'a>>;

// === impl File ===

impl File {
    /// Takes a file apart. Values are not looked at, only names.
    pub(super) fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Self {
        let (table, mut errors) = DeTable::parse_recoverable(text);
        let mut parser = Parser { path, text, problems };
        let is_broken = !errors.is_empty();
        let mut file = Self { path: path.to_owned(), is_broken, ..Self::default() };
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            let message = error.message().replace('\n', ", ");
            parser.problem(at, None, "", format!("it is no TOML: {message}"));
        }
        // What is left of a file with errors says little about what was meant.
        if !is_broken {
            parser.top(table.get_ref(), &mut file);
        }
        file
    }
}

// === impl Layer ===

impl Layer {
    /// The setting, if this layer has it.
    pub(super) fn get(&self, key: &Key) -> Option<&Written> {
        self.0.iter().find(|(own, _)| *own == key).map(|(_, written)| written)
    }
}

// === impl Parser ===

impl Parser<'_> {
    fn top(&mut self, table: &DeTable<'_>, file: &mut File) {
        for (name, item) in in_order(table) {
            match (name.get_ref().as_ref(), item.get_ref()) {
                (BASE, DeValue::Table(table)) => self.layer(table, None, &mut file.base),
                (PROFILES, DeValue::Table(table)) => self.profiles(table, file),
                (DEFAULT_PROFILE, DeValue::String(chosen)) => {
                    let origin = self.origin(item.span().start, None);
                    file.default_profile = Some((chosen.to_string(), origin));
                }
                (BASE | PROFILES, _) => self.misfit(name, item, "a table"),
                (DEFAULT_PROFILE, _) => self.misfit(name, item, "a profile's name"),
                _ => self.entry("", (name, item), None, &mut file.base),
            }
        }
    }

    fn profiles(&mut self, table: &DeTable<'_>, file: &mut File) {
        for (name, item) in in_order(table) {
            match item.get_ref() {
                DeValue::Table(table) => {
                    let layer = file.profiles.entry(name.get_ref().to_string()).or_default();
                    self.layer(table, Some(name.get_ref()), layer);
                }
                _ => {
                    let why = "a profile is a table of settings: [profile.NAME]";
                    let name_in_full = format!("{PROFILES}.{}", name.get_ref());
                    self.problem(name.span().start, None, &name_in_full, why.to_owned());
                }
            }
        }
    }

    fn layer(&mut self, table: &DeTable<'_>, profile: Option<&str>, layer: &mut Layer) {
        for entry in in_order(table) {
            self.entry("", entry, profile, layer);
        }
    }

    /// A setting, or a table of settings.
    fn entry(
        &mut self,
        table: &str,
        (name, item): (&Name<'_>, &Item<'_>),
        profile: Option<&str>,
        layer: &mut Layer,
    ) {
        let full = format!("{table}{}", name.get_ref());
        let below = format!("{full}.");
        let at = name.span().start;
        if let Some(key) = Key::named(&full) {
            if layer.get(key).is_some() {
                let twice = format!("it is given twice: at the top and in [{BASE}]; keep one");
                return self.problem(at, profile, &full, twice);
            }
            let start = item.span().start;
            let origin = |at| self.origin(at, profile);
            let value = Raw::of(item.get_ref(), &origin);
            layer.0.push((key, Written { value, origin: origin(start) }));
        } else if KEYS.iter().any(|key| key.name.starts_with(&below)) {
            match item.get_ref() {
                DeValue::Table(inner) => {
                    for entry in in_order(inner) {
                        self.entry(&below, entry, profile, layer);
                    }
                }
                _ => self.misfit(name, item, "a table"),
            }
        } else {
            let tables = [BASE, PROFILES, DEFAULT_PROFILE];
            let is_top = table.is_empty() && profile.is_none();
            let tables = tables.iter().copied().filter(|_| is_top);
            let known = nearest(&full, KEYS.iter().map(|key| key.name).chain(tables));
            let message = unknown(known, "`samara config show` lists all settings");
            self.problem(at, profile, &full, message);
        }
    }

    fn misfit(&mut self, name: &Name<'_>, item: &Item<'_>, wanted: &str) {
        let kind = Raw::of(item.get_ref(), &|at| self.origin(at, None)).kind();
        let message = format!("it is {kind}, and should be {wanted}");
        self.problem(item.span().start, None, name.get_ref(), message);
    }

    fn problem(&mut self, at: usize, profile: Option<&str>, setting: &str, message: String) {
        let origin = self.origin(at, profile);
        self.problems.push(Problem { origin, setting: setting.to_owned(), message });
    }

    /// The place of a byte. Columns count characters.
    fn origin(&self, at: usize, profile: Option<&str>) -> Origin {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before[start..].chars().count() + 1;
        Origin::File {
            path: self.path.to_owned(),
            place: Some((line, column)),
            profile: profile.map(str::to_owned),
        }
    }
}

/// The entries of a table as they stand in the file: a table sorts them.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<(&'a Name<'i>, &'a Item<'i>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

//! Finds files and variables, and makes settings of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::file::{File, Layer};
use super::values::{Raw, Reading, Written, nearest, unknown};
use super::{KEYS, Key, Origin, Problem, Problems, Set, Settings};
use crate::Error;
use crate::environment::SettingsEnvironment;

/// What the names of our variables begin with.
pub(super) const PREFIX: &str = "SAMARA_";

/// What those of hosts begin with, which are none of a driver's.
const HOSTS: &str = "SAMARA_HOST_";

/// The variable that names the one file.
const CONFIG: &str = "SAMARA_CONFIG";

/// The variable that chooses the profile.
const PROFILE: &str = "SAMARA_PROFILE";

/// The name of a file of settings.
const FILE: &str = "samara.toml";

/// The profile that is none.
const NO_PROFILE: &str = "default";

/// Bytes of a file of settings. A long one has a few KiB; what is far larger is another file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads settings: from what the environment was when it was made, and what it was given since.
///
/// ```
/// use samara::settings::Reader;
///
/// # fn main() -> Result<(), samara::Error> {
/// let reader = Reader::new().variable("SAMARA_MEMORY", "512MiB").set("slots", "2", "--slots");
/// let settings = reader.read()?;
/// assert_eq!(settings.get("memory").unwrap().value, "512MiB");
/// assert_eq!(settings.get("slots").unwrap().origin.to_string(), "--slots");
///
/// let error = Reader::new().variable("SAMARA_MEMORY", "much").read().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "a setting is wrong:\n  SAMARA_MEMORY: memory: it begins with no number; write 8MiB"
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Reader {
    working_directory: Option<PathBuf>,
    config_dir: Option<PathBuf>,
    variables: BTreeMap<OsString, OsString>,
    given: Vec<(String, Written)>,
    profile: Option<(String, Origin)>,
}

/// What is read so far.
#[derive(Debug, Default)]
struct Sources {
    given: Layer,
    variables: Layer,
    /// The strongest first.
    files: Vec<File>,
    ignored: Vec<String>,
}

// === impl Reader ===

impl Reader {
    /// With nothing: no directory, no variable.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the directories and variables of this process.
    pub fn from_env() -> Self {
        let environment = SettingsEnvironment::read(PREFIX);
        Self {
            working_directory: environment.working_directory,
            config_dir: environment.config_dir,
            variables: environment.variables.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Where relative paths start, and the project's file is looked for: there and above.
    #[must_use]
    pub fn working_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.working_directory = Some(path.into());
        self
    }

    /// The user's directory of configuration, such as `~/.config`.
    #[must_use]
    pub fn config_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.config_dir = Some(path.into());
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Chooses a profile; `place` is what errors call the choice: `--profile`.
    #[must_use]
    pub fn profile(mut self, name: impl Into<String>, place: &str) -> Self {
        self.profile = Some((name.into(), Origin::Given(place.to_owned())));
        self
    }

    /// Sets a setting, written as in a variable, above all other places; `place` is what errors
    /// call this one: `--slots`. The last one counts.
    ///
    /// # Examples
    ///
    /// ```
    /// use samara::settings::Reader;
    ///
    /// # fn main() -> Result<(), samara::Error> {
    /// let settings = Reader::new().set("slots", "2", "--slots").read()?;
    /// assert!(settings.get("slots").is_some());
    /// let error = Reader::new().set("slots", "many", "--slots").read().unwrap_err();
    /// assert!(error.to_string().contains("--slots"), "{error}");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>, place: &str) -> Self {
        let origin = Origin::Given(place.to_owned());
        self.given.push((name.to_owned(), Written { value: Raw::Plain(value.into()), origin }));
        self
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`] with all that is wrong.
    pub fn read(self) -> Result<Settings, Error> {
        let mut problems = Vec::new();
        let mut sources = Sources::default();
        for path in self.paths() {
            match text(&path) {
                Ok(text) => sources.files.push(File::parse(&path, &text, &mut problems)),
                Err(error) => problems.push(Problem {
                    origin: Origin::file(&path),
                    setting: String::new(),
                    message: format!("it cannot be read: {error}"),
                }),
            }
        }
        self.read_variables(&mut sources, &mut problems);
        self.read_given(&mut sources, &mut problems);
        let profile = self.chosen(&sources, &mut problems);
        let set = self.merge(&sources, profile.as_ref(), &mut problems);
        if !problems.is_empty() {
            problems.sort_by_key(|problem| sources.place(&problem.origin));
            return Err(Problems::new(problems).into());
        }
        let mut profiles: Vec<String> =
            sources.files.iter().flat_map(|file| file.profiles.keys().cloned()).collect();
        profiles.sort_unstable();
        profiles.dedup();
        let files = sources.files.into_iter().map(|file| file.path).collect();
        Ok(Settings { profile, profiles, files, ignored: sources.ignored, set })
    }

    /// The files to read, the strongest first.
    fn paths(&self) -> Vec<PathBuf> {
        if let Some(path) = self.value(CONFIG) {
            let base = self.working_directory.clone().unwrap_or_default();
            return vec![base.join(path)];
        }
        let project = self.working_directory.as_deref().and_then(find_project);
        let user = self.config_dir.as_ref().map(|dir| dir.join("samara").join(FILE));
        let user = user.filter(|path| is_there(path) && project.as_ref() != Some(path));
        project.into_iter().chain(user).collect()
    }

    /// A variable that is set, and not to nothing.
    fn value(&self, name: &str) -> Option<&OsString> {
        self.variables.get(OsString::from(name).as_os_str()).filter(|value| !value.is_empty())
    }

    fn read_variables(&self, sources: &mut Sources, problems: &mut Vec<Problem>) {
        let variables: Vec<(String, &Key)> = KEYS.iter().map(|key| (key.variable(), key)).collect();
        for (name, value) in self.variables.iter().filter(|(_, value)| !value.is_empty()) {
            let name = name.to_string_lossy();
            let origin = Origin::Variable(name.to_string());
            let Some((_, key)) = variables.iter().find(|(variable, _)| *variable == name) else {
                let is_ours = name.starts_with(PREFIX) && !name.starts_with(HOSTS);
                if name == CONFIG || name == PROFILE || !is_ours {
                    continue;
                }
                let names = variables.iter().map(|(name, _)| name.as_str());
                match near(&name, names.chain([CONFIG, PROFILE])) {
                    Some(known) => {
                        let message = unknown(Some(&known), "");
                        problems.push(Problem { origin, setting: String::new(), message });
                    }
                    None => sources.ignored.push(name.into_owned()),
                }
                continue;
            };
            match value.to_str() {
                Some(text) => {
                    let written = Written { value: Raw::Plain(text.to_owned()), origin };
                    sources.variables.0.push((key, written));
                }
                None => problems.push(Problem {
                    origin,
                    setting: key.name.to_owned(),
                    message: "it is not UTF-8".to_owned(),
                }),
            }
        }
    }

    fn read_given(&self, sources: &mut Sources, problems: &mut Vec<Problem>) {
        for (name, written) in self.given.iter().rev() {
            match Key::named(name) {
                Some(key) if sources.given.get(key).is_none() => {
                    sources.given.0.push((key, written.clone()));
                }
                Some(_) => {}
                None => problems.push(Problem {
                    origin: written.origin.clone(),
                    setting: name.clone(),
                    message: unknown(
                        nearest(name, KEYS.iter().map(|key| key.name)),
                        "see samara::settings::KEYS",
                    ),
                }),
            }
        }
    }

    /// The profile, which some file must have.
    fn chosen(&self, sources: &Sources, problems: &mut Vec<Problem>) -> Option<(String, Origin)> {
        let variable = self.value(PROFILE).map(|name| {
            (name.to_string_lossy().into_owned(), Origin::Variable(PROFILE.to_owned()))
        });
        let from_file = || sources.files.iter().find_map(|file| file.default_profile.clone());
        let chosen = self.profile.clone().or(variable).or_else(from_file);
        let (name, origin) = chosen.filter(|(name, _)| name != NO_PROFILE)?;
        let profiles = || sources.files.iter().flat_map(|file| file.profiles.keys());
        if sources.files.iter().any(|file| file.is_broken) {
            return None;
        }
        if !profiles().any(|profile| *profile == name) {
            let known: Vec<&str> = profiles().map(String::as_str).collect();
            let way_out = match (nearest(&name, known.iter().copied()), known.as_slice()) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, []) => format!("there is none; make one in {FILE}: [profile.{name}]"),
                (None, known) => format!("there are: {}", known.join(", ")),
            };
            let message = format!("no profile is called `{name}`; {way_out}");
            problems.push(Problem { origin, setting: "profile".to_owned(), message });
            return None;
        }
        Some((name, origin))
    }

    /// Reads every value, and keeps the strongest of each setting.
    fn merge(
        &self,
        sources: &Sources,
        profile: Option<&(String, Origin)>,
        problems: &mut Vec<Problem>,
    ) -> Vec<Set> {
        let used = sources.in_use(profile);
        let mut strongest: BTreeMap<&str, (usize, Set)> = BTreeMap::new();
        for layer in sources.all() {
            let rank = used.iter().position(|used| std::ptr::eq(*used, layer));
            for (key, written) in &layer.0 {
                let mut reading = self.reading(key, &written.origin);
                let parsed = (key.parse)(written, &mut reading);
                let fault = reading.fault_in_use.take();
                problems.append(&mut reading.problems);
                let (Some(rank), Some(parsed)) = (rank, parsed) else { continue };
                if let Some(fault) = fault {
                    reading.fault::<()>(&written.origin, fault);
                    problems.append(&mut reading.problems);
                }
                if strongest.get(key.name).is_none_or(|(other, _)| rank < *other) {
                    let set = Set { key, parsed, origin: written.origin.clone() };
                    strongest.insert(key.name, (rank, set));
                }
            }
        }
        strongest.into_values().map(|(_, set)| set).collect()
    }

    fn reading(&self, key: &Key, origin: &Origin) -> Reading {
        let directory = match origin {
            Origin::File { path, .. } => path.parent().map(Path::to_owned),
            _ => self.working_directory.clone(),
        };
        let setting = key.name.to_owned();
        Reading { directory, setting, fault_in_use: None, problems: Vec::new() }
    }
}

// === impl Sources ===

impl Sources {
    /// Every layer, in the order in which problems are reported.
    fn all(&self) -> impl Iterator<Item = &Layer> {
        let files = self.files.iter();
        let files = files.flat_map(|file| [&file.base].into_iter().chain(file.profiles.values()));
        files.chain([&self.variables, &self.given])
    }

    /// Where a problem is reported: files first, each from its beginning to its end.
    fn place(&self, origin: &Origin) -> (usize, Option<(usize, usize)>) {
        let files = self.files.len();
        match origin {
            Origin::File { path, place, .. } => {
                (self.files.iter().position(|file| file.path == *path).unwrap_or(files), *place)
            }
            Origin::Variable(_) => (files + 1, None),
            _ => (files + 2, None),
        }
    }

    /// The layers that count, the strongest first.
    fn in_use(&self, profile: Option<&(String, Origin)>) -> Vec<&Layer> {
        let mut layers = vec![&self.given, &self.variables];
        for file in &self.files {
            if let Some((name, _)) = profile
                && let Some(layer) = file.profiles.get(name)
            {
                layers.push(layer);
            }
        }
        layers.extend(self.files.iter().map(|file| &file.base));
        layers
    }
}

/// `samara.toml` of a directory, or of the nearest above it.
fn find_project(directory: &Path) -> Option<PathBuf> {
    let mut directories = directory.ancestors();
    let own = directories.next().map(|own| own.join(FILE)).filter(|path| is_there(path));
    own.or_else(|| {
        // Who else may write to `/tmp` has no say in what runs below it.
        let safe = directories.filter(|directory| !is_everybodys(directory));
        safe.map(|directory| directory.join(FILE)).find(|path| is_there(path))
    })
}

fn is_everybodys(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|found| found.permissions().mode() & 0o002 != 0)
}

/// Whether there is something, readable or not.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::other("it is larger than 1 MiB")),
        false => Ok(text),
    }
}

/// The variable that somebody who wrote `name` may have meant. The common beginning says nothing.
fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let bare = |name: &str| name.trim_start_matches(PREFIX).to_lowercase().replace('_', "-");
    let known: Vec<String> = known.map(bare).collect();
    let found = nearest(&bare(name), known.iter().map(String::as_str))?;
    Some(format!("{PREFIX}{}", found.to_uppercase().replace('-', "_")))
}

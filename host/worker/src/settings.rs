//! The host's settings, read once: what flags say counts before variables. All that is wrong is
//! said together, each by its name.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use samara_core::Clock;
use samara_engine::{CacheKey, Compile};
use samara_runtimes::host::{self, Surroundings, Tls, Variables, surroundings};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::arguments::Arguments;
use crate::compile::{Compiler, Limits};
use crate::isolate::Isolation;
use crate::stores;

/// Slots at most: as `local:` has it.
const SLOTS_MAX: usize = 1024;

/// A token's length at least, so that it cannot be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// What the names of the host's own variables begin with. Others of Samara's are drivers'.
const PREFIX: &str = "SAMARA_HOST_";

/// Drivers', which begin so too.
const DRIVERS: [&str; 2] = ["SAMARA_HOST_CALL", "SAMARA_HOST_PROGRAM"];

/// Variables of ours that the host knows.
const KNOWN: [&str; 21] = [
    "SAMARA_HOST_ARRAY",
    "SAMARA_HOST_ARRAY_HASH",
    "SAMARA_HOST_ARRAY_TICKET",
    "SAMARA_HOST_AS",
    "SAMARA_HOST_CACHE_DIR",
    "SAMARA_HOST_CACHE_KEY_FILE",
    "SAMARA_HOST_COMPILE",
    "SAMARA_HOST_COUNT_FUEL",
    "SAMARA_HOST_GRACE",
    "SAMARA_HOST_ISOLATE",
    "SAMARA_HOST_LISTEN",
    "SAMARA_HOST_LOG",
    "SAMARA_HOST_QUEUE",
    "SAMARA_HOST_SECRETS",
    "SAMARA_HOST_SLOTS",
    "SAMARA_HOST_STORES",
    "SAMARA_HOST_TENANTS",
    "SAMARA_HOST_TLS_CERT",
    "SAMARA_HOST_TLS_CLIENT_CA",
    "SAMARA_HOST_TLS_KEY",
    "SAMARA_HOST_TOKENS",
];

/// Everything that the host is told.
pub(crate) struct Settings {
    pub(crate) place: &'static Surroundings,
    pub(crate) listen: Option<String>,
    pub(crate) slots: Option<usize>,
    pub(crate) grace: Option<Duration>,
    pub(crate) cache_dir: Option<PathBuf>,
    /// The operator's key for what is kept there.
    pub(crate) cache_key: Option<CacheKey>,
    /// Without one, where this user's own is.
    pub(crate) cache_key_file: Option<PathBuf>,
    pub(crate) compile: Where,
    pub(crate) count_fuel: bool,
    pub(crate) tokens: Vec<String>,
    pub(crate) stores: samara_store::Settings,
    pub(crate) secrets: Option<PathBuf>,
    pub(crate) tenants: Option<PathBuf>,
    /// A process for each tenant.
    pub(crate) isolate: Option<Isolation>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) with_parent: bool,
    pub(crate) variables: Variables,
    pub(crate) log: String,
}

/// Where components are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// In this process, without bounds of time and memory.
    Here,
    /// Each in a process of its own, which is bounded.
    Process,
}

/// Reads settings, and gathers what is wrong.
struct Reader {
    variables: Variables,
    faults: Vec<String>,
}

// === impl Settings ===

impl Settings {
    /// Reads all settings.
    pub(crate) fn read(arguments: &Arguments, variables: Variables) -> Result<Self, Vec<String>> {
        let mut reader = Reader { variables, faults: Vec::new() };
        reader.refuse_unknown();
        let place = reader.place(arguments.place.as_deref());
        let slots =
            reader.parse(("--slots", "SAMARA_HOST_SLOTS"), arguments.slots.as_deref(), |said| {
                let slots = said.parse().ok().filter(|slots| (1..=SLOTS_MAX).contains(slots));
                slots.ok_or_else(|| format!("should be a number from 1 to {SLOTS_MAX}"))
            });
        let grace =
            reader.parse(("--grace", "SAMARA_HOST_GRACE"), arguments.grace.as_deref(), |said| {
                humantime::parse_duration(said)
                    .map_err(|_| "should be a time, such as 30s".to_owned())
            });
        let log = reader.parse(("--log", "SAMARA_HOST_LOG"), arguments.log.as_deref(), levels);
        let fuel = ("--count-fuel", "SAMARA_HOST_COUNT_FUEL");
        let count_fuel = reader.parse(fuel, arguments.count_fuel.as_deref(), |said| {
            said.parse::<bool>().map_err(|_| "should be true or false".to_owned())
        });
        let tokens = reader.tokens();
        let secrets = reader.secrets();
        let tenants = reader.tenants(&tokens);
        let isolate = reader.isolate(arguments.isolate.as_deref(), tenants.is_some());
        let (stores, faults) = stores::read(&reader.variables);
        reader.faults.extend(faults);
        let listen = arguments.listen.clone().or_else(|| reader.said("SAMARA_HOST_LISTEN"));
        let tls = reader.tls(listen.as_deref());
        let place = place.unwrap_or_else(|| host::detect(&reader.variables));
        let suggested = (place.defaults)(&reader.variables);
        let cache_dir = reader.cache_dir(arguments.cache_dir.as_deref(), suggested.cache_dir);
        let cache_key = reader.cache_key();
        let cache_key_file = match &tenants {
            // Code that is kept for several tenants is signed by the operator or not kept.
            Some(_) => None,
            None => reader.cache_key_file(arguments, suggested.cache_key_file),
        };
        let compile = reader.compile(tenants.is_some());
        match reader.faults.is_empty() {
            true => Ok(Self {
                place,
                listen,
                slots: slots.or(suggested.slots),
                grace,
                cache_dir,
                cache_key,
                cache_key_file,
                compile,
                count_fuel: count_fuel.unwrap_or(false),
                tokens,
                stores,
                secrets,
                tenants,
                isolate,
                tls,
                with_parent: arguments.with_parent,
                variables: reader.variables,
                log: log.unwrap_or_else(|| "warn,samara_host=info".to_owned()),
            }),
            false => Err(reader.faults),
        }
    }

    /// Who compiles, where that is not the engine itself.
    pub(crate) fn compiler(&self, clock: &Arc<dyn Clock>) -> Option<Arc<dyn Compile>> {
        match self.compile {
            Where::Here => None,
            Where::Process => {
                let limits = Limits::default();
                Some(Arc::new(Compiler::new(limits, self.count_fuel, Arc::clone(clock))))
            }
        }
    }

    /// Logs to stderr from here on: lines for people on a terminal, JSON for platforms.
    pub(crate) fn log(&self) {
        use std::io::IsTerminal as _;
        let builder = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(&self.log))
            .with_writer(std::io::stderr);
        match std::io::stderr().is_terminal() {
            true => builder.init(),
            false => builder.json().init(),
        }
    }
}

/// Reads what is logged. A word that stands alone is a level; a slip in it would name a part of the
/// program that there is not, and nothing would be logged.
fn levels(said: &str) -> Result<String, String> {
    let wanted = "should be error, warn, info, debug or trace, or PART=LEVEL between commas";
    let is_plain = |word: &&str| word.chars().all(char::is_alphanumeric);
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let slip = said.split(',').map(str::trim).filter(is_plain).find(|word| !is_level(word));
    match (slip, EnvFilter::try_new(said)) {
        (Some(slip), _) => Err(format!("{wanted}; `{slip}` is no level")),
        (None, Err(error)) => Err(format!("{wanted}: {error}")),
        (None, Ok(_)) => Ok(said.to_owned()),
    }
}

// === impl Reader ===

impl Reader {
    /// What a variable says; one that is empty says nothing.
    fn said(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|said| !said.is_empty()).cloned()
    }

    /// Refuses what looks like a setting and is none: a slip in its name would go unnoticed.
    fn refuse_unknown(&mut self) {
        let is_ours =
            |name: &&String| name.starts_with(PREFIX) && !DRIVERS.contains(&name.as_str());
        let ours = self.variables.keys().filter(is_ours);
        let unknown: Vec<String> =
            ours.filter(|name| !KNOWN.contains(&name.as_str())).cloned().collect();
        for name in unknown {
            let known = KNOWN.join(", ");
            self.faults.push(format!("{name} is no setting of the host; there are: {known}"));
        }
    }

    fn parse<T>(
        &mut self,
        (flag, variable): (&str, &str),
        said: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (name, said) = match said {
            Some(said) => (flag, said.to_owned()),
            None => (variable, self.said(variable)?),
        };
        parse(&said).map_err(|why| self.faults.push(format!("{name} is `{said}`, and {why}"))).ok()
    }

    fn place(&mut self, said: Option<&str>) -> Option<&'static Surroundings> {
        self.parse(("--as", "SAMARA_HOST_AS"), said, |said| match said {
            "?" => {
                let rows = surroundings().map(|row| format!("\n  {:20} {}", row.name, row.doc));
                Err(format!("the places are:{}", rows.collect::<String>()))
            }
            name => host::named(name).map_err(|error| error.message),
        })
    }

    fn cache_dir(&self, said: Option<&str>, suggested: Option<PathBuf>) -> Option<PathBuf> {
        match said.map(str::to_owned).or_else(|| self.said("SAMARA_HOST_CACHE_DIR")) {
            Some(said) if said == "none" => None,
            Some(said) => Some(said.into()),
            None if suggested.is_some() => suggested,
            None => self.user_cache().map(|cache| cache.join("compiled")),
        }
    }

    /// The operator's file of tenants.
    fn tenants(&mut self, tokens: &[String]) -> Option<PathBuf> {
        let tenants = self.said("SAMARA_HOST_TENANTS").map(PathBuf::from)?;
        if !tokens.is_empty() {
            let text = "SAMARA_HOST_TENANTS and SAMARA_HOST_TOKENS both say who may send tasks; say \
                        one of them";
            self.faults.push(text.to_owned());
        }
        Some(tenants)
    }

    /// Whether each tenant has a process of its own.
    fn isolate(&mut self, said: Option<&str>, has_tenants: bool) -> Option<Isolation> {
        let isolate = self.parse(("--isolate", "SAMARA_HOST_ISOLATE"), said, Isolation::parse);
        let isolate = isolate.flatten()?;
        if !has_tenants {
            let text = "SAMARA_HOST_ISOLATE asks for a process for each tenant, and there are none: \
                        name them with SAMARA_HOST_TENANTS";
            self.faults.push(text.to_owned());
        }
        Some(isolate)
    }

    /// What TLS is spoken with, where the host listens on an address that it can be spoken on.
    fn tls(&mut self, listen: Option<&str>) -> Option<Arc<Tls>> {
        let read = Tls::read(&self.variables);
        let tls = read.map_err(|faults| self.faults.extend(faults)).ok().flatten()?;
        if let Some(socket) = listen.filter(|listen| listen.starts_with("unix:")) {
            let text = format!(
                "SAMARA_HOST_TLS_CERT is for addresses of TCP, and the host listens on {socket}; \
                 say one of them"
            );
            self.faults.push(text);
        }
        Some(Arc::new(tls))
    }

    /// Where components are compiled: those of tenants apart, unless it is said otherwise.
    fn compile(&mut self, has_tenants: bool) -> Where {
        let said = self.parse(("", "SAMARA_HOST_COMPILE"), None, |said| match said {
            "here" => Ok(Where::Here),
            "process" => Ok(Where::Process),
            _ => Err("should be here or process".to_owned()),
        });
        said.unwrap_or(if has_tenants { Where::Process } else { Where::Here })
    }

    /// The directory of the secrets that jobs name.
    fn secrets(&mut self) -> Option<PathBuf> {
        self.parse(("", "SAMARA_HOST_SECRETS"), None, |said| {
            let path = PathBuf::from(said);
            match path.is_dir() {
                true => Ok(path),
                false => Err("should be a directory with a file for each secret".to_owned()),
            }
        })
    }

    /// Where this user's programs of Samara's keep what can be made again.
    fn user_cache(&self) -> Option<PathBuf> {
        let named = |name: &str| self.said(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let cache = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
        cache.map(|cache| cache.join("samara"))
    }

    /// This user's key goes with a directory that was said, a place's with the one that it suggests.
    fn cache_key_file(&self, said: &Arguments, suggested: Option<PathBuf>) -> Option<PathBuf> {
        let own = self.user_cache().map(|cache| cache.join("keys").join("compiled"));
        match said.cache_dir.is_some() || self.said("SAMARA_HOST_CACHE_DIR").is_some() {
            true => own.or(suggested),
            false => suggested.or(own),
        }
    }

    /// The operator's key, which is in a file: variables are seen by more eyes.
    fn cache_key(&mut self) -> Option<CacheKey> {
        self.parse(("", "SAMARA_HOST_CACHE_KEY_FILE"), None, |said| {
            CacheKey::read(Path::new(said)).map_err(|error| {
                format!("should name a file with a key of 32 bytes or 64 digits: {error}")
            })
        })
    }

    /// Who may send batches: tokens between commas, or in a file, one per line, behind an `@`.
    fn tokens(&mut self) -> Vec<String> {
        let Some(said) = self.said("SAMARA_HOST_TOKENS") else { return Vec::new() };
        let text = match said.strip_prefix('@') {
            None => said,
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) => {
                    self.faults.push(format!("SAMARA_HOST_TOKENS names {path}: {error}"));
                    return Vec::new();
                }
            },
        };
        let tokens = text.split([',', '\n']).map(str::trim).filter(|token| !token.is_empty());
        let tokens: Vec<String> = tokens.map(str::to_owned).collect();
        if tokens.is_empty() || tokens.iter().any(|token| token.len() < TOKEN_BYTES_MIN) {
            let text =
                format!("SAMARA_HOST_TOKENS needs tokens of at least {TOKEN_BYTES_MIN} characters");
            self.faults.push(text);
        }
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let own = |(name, said): &(&str, &str)| ((*name).to_owned(), (*said).to_owned());
        Settings::read(&Arguments::default(), variables.iter().map(own).collect())
    }

    #[test]
    fn all_faults_are_said_each_by_its_name() {
        let faults = read(&[
            ("SAMARA_HOST_SLOTS", "many"),
            ("SAMARA_HOST_GRACE", "soon"),
            ("SAMARA_HOST_LOG", "wran"),
            ("SAMARA_HOST_AS", "moon"),
            ("SAMARA_HOST_TOKEN", "x"),
            ("SAMARA_HOST_TOKENS", "short"),
            ("SAMARA_HOST_STORES", "{ \"s3:\" = { colour = \"red\" } }"),
            ("SAMARA_HOST_TLS_KEY", "/key.pem"),
        ]);
        let faults = faults.err().unwrap();
        for name in [
            "SAMARA_HOST_SLOTS",
            "SAMARA_HOST_GRACE",
            "SAMARA_HOST_LOG",
            "SAMARA_HOST_AS",
            "SAMARA_HOST_TOKEN ",
            "SAMARA_HOST_TOKENS",
            "SAMARA_HOST_STORES",
            "SAMARA_HOST_TLS_KEY",
        ] {
            assert!(faults.iter().any(|fault| fault.starts_with(name)), "{name}: {faults:?}");
        }
        assert_eq!(faults.len(), 8, "{faults:?}");
        for said in ["warn", "WARN", "off", "warn,samara_host=info", "samara_host::stop=debug"] {
            assert_eq!(levels(said).as_deref(), Ok(said));
        }
    }

    #[test]
    fn a_bad_key_is_a_fault_and_a_good_one_is_shown_to_nobody() {
        use std::os::unix::fs::OpenOptionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let named = path.display().to_string();
        let variables = [("SAMARA_HOST_CACHE_KEY_FILE", named.as_str())];
        let fault = || read(&variables).err().unwrap().join("\n");
        assert!(fault().contains("SAMARA_HOST_CACHE_KEY_FILE"), "{}", fault());
        let put = |text: &str| {
            let mut file = std::fs::File::options();
            let file = file.create(true).truncate(true).write(true).mode(0o600).open(&path);
            std::io::Write::write_all(&mut file.unwrap(), text.as_bytes()).unwrap();
        };
        put("a word");
        let said = fault();
        assert!(said.contains("32 bytes or 64 digits") && !said.contains("a word"), "{said}");
        put(&"5a".repeat(32));
        let key = read(&variables).ok().unwrap().cache_key.unwrap();
        assert_eq!(key, CacheKey::new([0x5a; 32]));
        assert_eq!(format!("{key:?}"), "CacheKey(***)");
    }

    #[test]
    fn tenants_components_are_compiled_apart_and_kept_with_the_operators_key_alone() {
        let said = [("SAMARA_HOST_TENANTS", "/t.toml"), ("XDG_CACHE_HOME", "/c")];
        let settings = read(&said).ok().unwrap();
        assert_eq!((settings.compile, settings.cache_key_file), (Where::Process, None));
        let faults = read(&[said[0], ("SAMARA_HOST_TOKENS", "0123456789abcdef")]).err().unwrap();
        assert!(faults[0].starts_with("SAMARA_HOST_TENANTS"), "{faults:?}");
    }

    #[test]
    fn components_are_compiled_here_unless_said() {
        assert_eq!(read(&[]).ok().unwrap().compile, Where::Here);
        let said = read(&[("SAMARA_HOST_COMPILE", "process")]).ok().unwrap();
        assert_eq!(said.compile, Where::Process);
        let fault = read(&[("SAMARA_HOST_COMPILE", "there")]).err().unwrap();
        assert_eq!(fault, ["SAMARA_HOST_COMPILE is `there`, and should be here or process"]);
    }

    #[test]
    fn the_users_key_lies_beside_the_compiled_code() {
        let settings = read(&[("XDG_CACHE_HOME", "/c"), ("SAMARA_HOST_CACHE_DIR", "/d")]);
        let settings = settings.ok().unwrap();
        assert_eq!(settings.cache_dir, Some(PathBuf::from("/d")));
        assert_eq!(settings.cache_key_file, Some(PathBuf::from("/c/samara/keys/compiled")));
        assert_eq!(read(&[]).ok().unwrap().cache_key_file, None);
    }

    #[test]
    fn the_place_is_found_by_what_the_platform_sets() {
        assert_eq!(read(&[]).ok().unwrap().place.name, "http");
        assert_eq!(read(&[("K_SERVICE", "s"), ("PORT", "80")]).ok().unwrap().place.name, "knative");
        let said = [("K_SERVICE", "s"), ("SAMARA_HOST_AS", "http")];
        assert_eq!(read(&said).ok().unwrap().place.name, "http");
        let said = [("SAMARA_HOST_QUEUE", "queue://a"), ("PORT", "80")];
        assert_eq!(read(&said).ok().unwrap().place.name, "queue");
    }

    #[test]
    fn stores_and_tokens_are_read() {
        let token = "0123456789abcdef";
        let settings = read(&[
            ("SAMARA_HOST_TOKENS", token),
            ("SAMARA_HOST_STORES", "{ \"s3:\" = { region = \"eu-central-1\" } }"),
            ("AWS_REGION", "us-east-1"),
        ]);
        let settings = settings.ok().unwrap();
        assert_eq!(settings.tokens, [token]);
        assert_eq!(settings.stores.of("s3", "b").get("region"), Some("eu-central-1"));
    }
}

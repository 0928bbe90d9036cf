//! The tenants' file: who may use a host, and how much. All that is wrong is said together, each
//! by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use samara_core::{Access, Grant, Grants, HttpGrant, Limits, units};
use semver::Version;
use toml::{Table, Value};

use crate::account::Quota;

/// How long a ticket is good for at most, where the file does not say.
const TICKET_TIME_MAX: Duration = Duration::from_hours(24);

/// Characters of a tenant's name at most.
const NAME_MAX: usize = 64;

const GRANT: &str = "a table such as { url = \"s3://bucket/data/\", access = \"read\" }";

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) host_version_min: Option<Version>,
    pub(crate) audience: String,
    pub(crate) audit: AuditPlace,
    pub(crate) ticket_time_max: Duration,
    pub(crate) tenants: BTreeMap<String, Tenant>,
}

/// Where the audit log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuditPlace {
    Stderr,
    Path(PathBuf),
}

/// What the file says of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) keys: Vec<PathBuf>,
    pub(crate) withdrawn: BTreeSet<String>,
    pub(crate) grants: Grants,
    pub(crate) limits: Limits,
    pub(crate) quota: Quota,
}

/// Reads the file's values, and gathers what is wrong.
struct Reader<'a> {
    /// Where relative paths begin.
    directory: &'a Path,
    canonical: &'a dyn Fn(&str) -> Result<String, String>,
    faults: Vec<String>,
}

/// A table, and its name from the top of the file: empty at the top.
struct Section<'t> {
    name: String,
    table: &'t Table,
}

// === impl File ===

impl File {
    /// Reads the text of a file in `directory`. There is always something, so that more can be said
    /// to be wrong; what is wrong so far comes with it.
    pub(crate) fn parse(
        text: &str,
        directory: &Path,
        canonical: &dyn Fn(&str) -> Result<String, String>,
    ) -> (Self, Vec<String>) {
        let mut reader = Reader { directory, canonical, faults: Vec::new() };
        let table = match text.parse::<Table>() {
            Ok(table) => table,
            Err(error) => {
                // One line: faults are listed.
                let why = error.message().replace('\n', " ");
                let start = error.span().map_or(0, |span| span.start).min(text.len());
                let line = text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count();
                let fault = format!("line {} is no TOML: {why}", line + 1);
                return (reader.file(&Table::new()), vec![fault]);
            }
        };
        let file = reader.file(&table);
        (file, reader.faults)
    }

    /// Says why a host of this version may not run, if it may not.
    pub(crate) fn refuses_version(&self, version: &str) -> Option<String> {
        let min = self.host_version_min.as_ref()?;
        match Version::parse(version) {
            Ok(version) if version >= *min => None,
            Ok(version) => Some(format!(
                "this host is version {version}, and host-version-min is {min}: update the host"
            )),
            Err(_) => Some(format!(
                "this host's version `{version}` cannot be compared with host-version-min {min}"
            )),
        }
    }
}

// === impl AuditPlace ===

impl fmt::Display for AuditPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stderr => f.write_str("stderr"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn file(&mut self, table: &Table) -> File {
        let top = Section { name: String::new(), table };
        self.refuse_unknown(
            &top,
            &["host-version-min", "audience", "audit", "ticket-time-max", "tenants"],
        );
        let audience = self.take(&top, "audience", |reader, name, value| {
            reader.text(name, value, "what tickets are for, such as \"https://samara.example.com\"")
        });
        if !table.contains_key("audience") {
            self.fault("audience", "is missing: say what tickets have to be for (their `aud`)");
        }
        let host_version_min = self.take(&top, "host-version-min", |reader, name, value| {
            let text = reader.text(name, value, "a version, such as \"0.1.0\"")?;
            let version = Version::parse(&text);
            let version = version.ok();
            version.or_else(|| reader.misfit(name, value, "a version, such as \"0.1.0\""))
        });
        let audit = self.take(&top, "audit", |reader, name, value| {
            let text = reader.text(name, value, "\"stderr\" or a path")?;
            Some(match &*text {
                "stderr" => AuditPlace::Stderr,
                path => AuditPlace::Path(reader.directory.join(path)),
            })
        });
        let ticket_time_max = self.take(&top, "ticket-time-max", Self::duration);
        File {
            host_version_min,
            audience: audience.unwrap_or_default(),
            audit: audit.unwrap_or(AuditPlace::Stderr),
            ticket_time_max: ticket_time_max.unwrap_or(TICKET_TIME_MAX),
            tenants: self.tenants(&top),
        }
    }

    fn tenants(&mut self, top: &Section<'_>) -> BTreeMap<String, Tenant> {
        let Some(value) = top.table.get("tenants") else {
            self.fault("tenants", "has nobody: add a table [tenants.NAME] for each");
            return BTreeMap::new();
        };
        let Value::Table(table) = value else {
            let none = self.misfit("tenants", value, "a table [tenants.NAME] for each");
            return none.unwrap_or_default();
        };
        let mut tenants = BTreeMap::new();
        for (name, value) in table {
            let path = format!("tenants.{name}");
            if !is_name(name) {
                let why = "is no name for a tenant: letters, digits, `-`, `_` and `.`, beginning \
                           with a letter or digit, at most 64";
                self.fault(&path, why);
            }
            match value {
                Value::Table(table) => {
                    let tenant = self.tenant(&Section { name: path, table });
                    tenants.insert(name.clone(), tenant);
                }
                _ => self.misfit(&path, value, "a table").unwrap_or_default(),
            }
        }
        tenants
    }

    fn tenant(&mut self, section: &Section<'_>) -> Tenant {
        self.refuse_unknown(
            section,
            &[
                "keys",
                "withdrawn",
                "objects",
                "http",
                "secrets",
                "precise-clock",
                "limits",
                "quota",
            ],
        );
        let keys = self.take(section, "keys", |reader, name, value| {
            reader.texts(name, value, "a list of files, such as [\"keys/acme.pem\"]")
        });
        let keys = keys.unwrap_or_default();
        if !section.table.contains_key("keys") {
            let why = "is missing: name the files of public keys (PEM, or JWKS in .json)";
            self.fault(&section.at("keys"), why);
        }
        let withdrawn = self.take(section, "withdrawn", |reader, name, value| {
            reader.texts(name, value, "a list of names of keys (`kid`)")
        });
        let limits = self.table(section, "limits", Self::limits).unwrap_or_default();
        let quota = self.table(section, "quota", Self::quota).unwrap_or_default();
        if quota.memory < limits.memory_bytes {
            let why = format!(
                "is {} bytes, less than one task may have ({}): a task that needs all of it would \
                 never start; lower {}",
                quota.memory,
                limits.memory_bytes,
                section.at("limits.memory"),
            );
            self.fault(&section.at("quota.memory"), why);
        }
        Tenant {
            keys: keys.iter().map(|path| self.directory.join(path)).collect(),
            withdrawn: withdrawn.unwrap_or_default().into_iter().collect(),
            grants: self.grants(section),
            limits,
            quota,
        }
    }

    fn grants(&mut self, section: &Section<'_>) -> Grants {
        let objects = self.take(section, "objects", |reader, name, value| {
            let mut grants = Vec::new();
            for (name, item) in reader.items(name, value, "a list of tables { url, access }")? {
                grants.extend(reader.grant(&name, item));
            }
            Some(grants)
        });
        let mut grants = Grants::of(objects.unwrap_or_default());
        let http = self.take(section, "http", |reader, name, value| {
            let wanted = "a list of servers, such as [\"https://api.example.com\"]";
            let mut servers = Vec::new();
            for text in reader.texts(name, value, wanted)? {
                match text.parse::<HttpGrant>() {
                    Ok(server) => servers.push(server),
                    Err(why) => reader.fault(name, format!("has a fault: {why}")),
                }
            }
            Some(servers)
        });
        grants.http = http.unwrap_or_default();
        let secrets = self.take(section, "secrets", |reader, name, value| {
            reader.texts(name, value, "a list of names of secrets")
        });
        // Which variable a secret is put into, jobs say.
        let secrets = secrets.unwrap_or_default().into_iter();
        grants.secrets = secrets.map(|secret| (secret.clone(), secret)).collect();
        let precise = self.take(section, "precise-clock", Self::flag);
        grants.precise_clock = precise.unwrap_or(false);
        if let Err(error) = grants.check() {
            self.fault(&section.name, format!("has a fault: {}", error.message));
        }
        grants
    }

    fn grant(&mut self, name: &str, value: &Value) -> Option<Grant> {
        let Value::Table(table) = value else { return self.misfit(name, value, GRANT) };
        let section = Section { name: name.to_owned(), table };
        self.refuse_unknown(&section, &["url", "access"]);
        for key in ["url", "access"].into_iter().filter(|key| !table.contains_key(*key)) {
            self.fault(&section.at(key), format!("is missing: write {GRANT}"));
        }
        let prefix = self.take(&section, "url", |reader, name, value| {
            let text = reader.text(name, value, "a URL, such as \"s3://bucket/data/\"")?;
            let url = (reader.canonical)(&text);
            url.map_err(|why| reader.fault(name, format!("is no URL: {why}"))).ok()
        });
        let access = self.take(&section, "access", |reader, name, value| match value.as_str() {
            Some("read") => Some(Access::Read),
            Some("read-write") => Some(Access::ReadWrite),
            _ => reader.misfit(name, value, "\"read\" or \"read-write\""),
        });
        Some(Grant { prefix: prefix?, access: access? })
    }

    fn limits(&mut self, section: &Section<'_>) -> Limits {
        self.refuse_unknown(
            section,
            &[
                "memory",
                "time",
                "cpu",
                "output",
                "log",
                "storage-operations",
                "storage-bytes",
                "http-requests",
                "http-bytes",
                "buffers",
                "host-call",
            ],
        );
        let mut limits = Limits::default();
        let sizes = [
            ("memory", &mut limits.memory_bytes),
            ("output", &mut limits.output_bytes),
            ("log", &mut limits.log_bytes),
            ("storage-bytes", &mut limits.storage_bytes),
            ("http-bytes", &mut limits.http_bytes),
            ("buffers", &mut limits.buffer_bytes),
            ("host-call", &mut limits.host_call_bytes),
        ];
        for (key, limit) in sizes {
            *limit = self.take(section, key, Self::size).unwrap_or(*limit);
        }
        for (key, limit) in [
            ("storage-operations", &mut limits.storage_operations),
            ("http-requests", &mut limits.http_requests),
        ] {
            *limit = self.take(section, key, Self::count).unwrap_or(*limit);
        }
        let time = self.take(section, "time", Self::duration);
        limits.time = time.unwrap_or(limits.time);
        // A task that computes all the while is ended by either.
        limits.cpu = self.take(section, "cpu", Self::duration).unwrap_or(limits.time);
        if let Err(error) = limits.check() {
            self.fault(&section.name, format!("has a fault: {}", error.message));
        }
        limits
    }

    fn quota(&mut self, section: &Section<'_>) -> Quota {
        self.refuse_unknown(section, &["tasks", "memory", "cpu", "bytes", "window"]);
        let mut quota = Quota::default();
        if let Some(tasks) = self.take(section, "tasks", Self::count) {
            match usize::try_from(tasks) {
                Ok(tasks) if tasks > 0 => quota.tasks = tasks,
                _ => self.fault(&section.at("tasks"), "should be at least 1"),
            }
        }
        quota.memory = self.take(section, "memory", Self::size).unwrap_or(quota.memory);
        quota.cpu = self.take(section, "cpu", Self::duration);
        quota.bytes = self.take(section, "bytes", Self::size);
        quota.window = self.take(section, "window", Self::duration).unwrap_or(quota.window);
        quota
    }
}

/// Values of one kind.
impl Reader<'_> {
    /// Notes what is wrong with the setting of this name.
    fn fault(&mut self, name: &str, why: impl fmt::Display) {
        self.faults.push(format!("{name} {why}"));
    }

    fn misfit<T>(&mut self, name: &str, value: &Value, wanted: &str) -> Option<T> {
        let found = match value {
            Value::String(text) => format!("the text {text:?}"),
            Value::Integer(number) => format!("the number {number}"),
            Value::Float(number) => format!("the number {number}"),
            Value::Boolean(flag) => format!("`{flag}`"),
            Value::Datetime(_) => "a date or time".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        };
        self.fault(name, format!("is {found}, and should be {wanted}"));
        None
    }

    fn refuse_unknown(&mut self, section: &Section<'_>, known: &[&str]) {
        for key in section.table.keys().filter(|key| !known.contains(&key.as_str())) {
            let known = known.join(", ");
            self.fault(&section.at(key), format!("is no setting; there are: {known}"));
        }
    }

    /// Reads one setting, if it is there.
    fn take<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        read: impl FnOnce(&mut Self, &str, &Value) -> Option<T>,
    ) -> Option<T> {
        read(self, &section.at(key), section.table.get(key)?)
    }

    /// Reads a table of settings, if it is there.
    fn table<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        read: impl FnOnce(&mut Self, &Section<'_>) -> T,
    ) -> Option<T> {
        self.take(section, key, |reader, name, value| match value {
            Value::Table(table) => Some(read(reader, &Section { name: name.to_owned(), table })),
            _ => reader.misfit(name, value, "a table"),
        })
    }

    fn text(&mut self, name: &str, value: &Value, wanted: &str) -> Option<String> {
        match value {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            _ => self.misfit(name, value, wanted),
        }
    }

    fn items<'v>(
        &mut self,
        name: &str,
        value: &'v Value,
        wanted: &str,
    ) -> Option<Vec<(String, &'v Value)>> {
        let Value::Array(items) = value else { return self.misfit(name, value, wanted) };
        let named = |(index, item)| (format!("{name}[{index}]"), item);
        Some(items.iter().enumerate().map(named).collect())
    }

    /// A list of texts, in which none is twice.
    fn texts(&mut self, name: &str, value: &Value, wanted: &str) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        for (name, item) in self.items(name, value, wanted)? {
            let Some(text) = self.text(&name, item, "a text") else { continue };
            match texts.contains(&text) {
                true => self.fault(&name, format!("is {text:?}, which is there twice")),
                false => texts.push(text),
            }
        }
        Some(texts)
    }

    fn size(&mut self, name: &str, value: &Value) -> Option<u64> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            _ => return self.misfit(name, value, "a size, such as \"512MiB\""),
        };
        let size = units::parse_size(&text).map(u64::from);
        size.map_err(|why| self.fault(name, format!("is no size: {why}"))).ok()
    }

    fn duration(&mut self, name: &str, value: &Value) -> Option<Duration> {
        let text = self.text(name, value, "a time, such as \"5m\"")?;
        // Operators think in days as well.
        let read = humantime::parse_duration(&text).ok().filter(|time| !time.is_zero());
        let wrong = || format!("is `{text}`, and should be a time longer than zero, such as 5m");
        read.ok_or_else(|| self.fault(name, wrong())).ok()
    }

    fn count(&mut self, name: &str, value: &Value) -> Option<u64> {
        let count = value.as_integer().and_then(|number| u64::try_from(number).ok());
        count.or_else(|| self.misfit(name, value, "a number, 0 or more"))
    }

    fn flag(&mut self, name: &str, value: &Value) -> Option<bool> {
        value.as_bool().or_else(|| self.misfit(name, value, "true or false"))
    }
}

/// Whether a tenant may be called so: the name stands in logs, metrics and messages.
fn is_name(name: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(is_fine)
}

// === impl Section ===

impl Section<'_> {
    /// The whole name of a setting in it.
    fn at(&self, key: &str) -> String {
        match self.name.is_empty() {
            true => key.to_owned(),
            false => format!("{}.{key}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::canonical;

    fn parse(text: &str) -> (File, Vec<String>) {
        File::parse(text, Path::new("/etc/samara"), &canonical)
    }

    #[test]
    fn everything_is_read() {
        let (file, faults) = parse(
            r#"
            host-version-min = "0.2.0"
            audience = "a"
            audit = "log/audit.jsonl"
            ticket-time-max = "1h"
            [tenants.acme]
            keys = ["a.pem", "/keys/b.json"]
            withdrawn = ["old"]
            objects = [{ url = "s3://acme/", access = "read-write" }]
            http = ["https://*.acme.com", "http://db.internal:8080 private"]
            secrets = ["api-key"]
            precise-clock = true
            limits = { memory = "512MiB", time = "5m", http-requests = 7, buffers = 4096 }
            quota = { tasks = 8, memory = "4GiB", cpu = "1h", bytes = "100GiB", window = "2h" }
            [tenants.beta]
            keys = []
            "#,
        );
        assert_eq!(faults, <[&str; 0]>::default());
        assert_eq!(file.audit, AuditPlace::Path("/etc/samara/log/audit.jsonl".into()));
        assert_eq!(file.ticket_time_max, Duration::from_hours(1));
        let acme = &file.tenants["acme"];
        assert_eq!(acme.keys, ["/etc/samara/a.pem", "/keys/b.json"].map(PathBuf::from));
        assert!(acme.withdrawn.contains("old"));
        assert!(acme.grants.allow("s3://acme/x", Access::ReadWrite) && acme.grants.precise_clock);
        assert_eq!((acme.grants.http.len(), acme.grants.secrets.len()), (2, 1));
        assert_eq!(acme.limits.memory_bytes, 512 << 20);
        assert_eq!((acme.limits.time, acme.limits.cpu), (acme.limits.cpu, Duration::from_mins(5)));
        assert_eq!((acme.limits.http_requests, acme.limits.buffer_bytes), (7, 4096));
        assert_eq!(acme.limits.output_bytes, Limits::default().output_bytes);
        assert_eq!(acme.quota.window, Duration::from_hours(2));
        let beta = &file.tenants["beta"];
        assert_eq!((beta.grants.clone(), beta.limits), (Grants::default(), Limits::default()));
        assert_eq!(beta.quota, Quota::default());
    }

    #[test]
    fn all_faults_are_said_each_by_its_name() {
        let (_, faults) = parse(
            r#"
            host-version-min = "one"
            audit = 7
            colour = "red"
            ticket-time-max = "soon"
            [tenants."a b"]
            keys = ["a.pem", "a.pem"]
            [tenants.acme]
            objects = [
              { url = "nothing", access = "read" },
              { url = "s3://a/", access = "all" },
              { url = "s3://a/" },
              "s3://a/",
            ]
            http = ["ftp://a"]
            secrets = ["", "a=b"]
            precise-clock = "yes"
            limits = { memory = "5GiB", time = "0s", slots = 1 }
            quota = { tasks = 0, cpu = 7, bytes = "x" }
            [tenants.beta]
            keys = []
            quota = { memory = "1MiB" }
            [tenants]
            gamma = 1
            "#
            .replace("[tenants]\n            gamma = 1", "")
            .as_str(),
        );
        for name in [
            "audience is missing",
            "host-version-min is the text \"one\"",
            "audit is the number 7",
            "colour is no setting; there are: host-version-min, audience,",
            "ticket-time-max is `soon`",
            "tenants.a b is no name",
            "tenants.a b.keys[1] is \"a.pem\", which is there twice",
            "tenants.acme.keys is missing",
            "tenants.acme.objects[0].url is no URL: `nothing` has no scheme",
            "tenants.acme.objects[1].access is the text \"all\"",
            "tenants.acme.objects[2].access is missing",
            "tenants.acme.objects[3] is the text",
            "tenants.acme.http has a fault: `ftp://a`",
            "tenants.acme.secrets[0] is the text \"\"",
            "tenants.acme has a fault: `a=b`",
            "tenants.acme.precise-clock is the text",
            "tenants.acme.limits has a fault: limit memory_bytes",
            "tenants.acme.limits.time is `0s`",
            "tenants.acme.limits.slots is no setting",
            "tenants.acme.quota.tasks should be",
            "tenants.acme.quota.cpu is the number 7",
            "tenants.acme.quota.bytes is no size: it begins with no number",
            "tenants.beta.quota.memory is 1048576 bytes, less than",
        ] {
            assert!(faults.iter().any(|fault| fault.starts_with(name)), "{name}: {faults:#?}");
        }
        assert_eq!(faults.len(), 23, "{faults:#?}");
    }

    #[test]
    fn what_is_no_toml_is_said_with_its_line() {
        for (text, why) in [
            ("audience = \"a\"\n[tenants.a]\nkeys = [", "line 3 is no TOML"),
            ("[tenants.a]\n[tenants.a]\n", "duplicate"),
            ("audience = \"a\"\naudience = \"b\"\n", "duplicate"),
        ] {
            let (_, faults) = parse(text);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains(why), "{faults:?}");
        }
        let (_, faults) = parse("audience = \"a\"\n");
        assert!(faults[0].starts_with("tenants has nobody"), "{faults:?}");
    }

    #[test]
    fn versions_are_compared_as_versions() {
        let refuses = |min: &str, version: &str| {
            let (file, _) = parse(&format!("host-version-min = \"{min}\""));
            file.refuses_version(version)
        };
        assert_eq!(refuses("0.9.0", "0.10.0"), None);
        assert_eq!(refuses("0.9.0", "0.9.0"), None);
        for (min, version) in [("0.9.1", "0.9.0"), ("0.9.0", "0.9.0-rc.1"), ("0.9.0", "new")] {
            assert!(refuses(min, version).is_some_and(|why| why.contains(min)), "{version}");
        }
        assert_eq!(parse("").0.refuses_version("new"), None);
    }
}

//! From what was written to what it means.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use samara_core::units::{parse_duration, parse_size};
use samara_core::{Access, without_passwords};
use samara_store::Locator;
use toml::de::{DeString, DeValue};

use super::{Origin, Problem};

/// A value as it was written, and where.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) value: Raw,
    pub(super) origin: Origin,
}

/// A value as it was written.
#[derive(Debug, Clone)]
pub(super) enum Raw {
    /// In a variable or on a command line, where nothing tells text from numbers.
    Plain(String),
    Text(String),
    Integer(i128),
    Float(f64),
    Flag(bool),
    List(Vec<Written>),
    /// Each with the place of its name.
    Table(Vec<(String, Origin, Written)>),
    /// What no setting takes, by the name of its kind.
    Other(&'static str),
}

/// What reading values needs, and finds.
#[derive(Debug)]
pub(super) struct Reading {
    /// Where relative paths start.
    pub(super) directory: Option<PathBuf>,
    /// The setting that is read.
    pub(super) setting: String,
    /// What is wrong with the value only where it is used: the profile of another build may name
    /// what this one does not have.
    pub(super) fault_in_use: Option<String>,
    pub(super) problems: Vec<Problem>,
}

// === impl Written ===

impl Written {
    /// The value, where a text of a variable or a command line is TOML.
    pub(super) fn structure(&self) -> Option<Raw> {
        let Raw::Plain(text) = &self.value else { return Some(self.value.clone()) };
        let value = DeValue::parse(text).ok()?;
        let origin = self.origin.clone();
        Some(Raw::of(value.get_ref(), &move |_| origin.clone()))
    }
}

// === impl Raw ===

impl Raw {
    /// What TOML says, each part with the place that `origin` makes of its bytes.
    pub(super) fn of(value: &DeValue<'_>, origin: &dyn Fn(usize) -> Origin) -> Self {
        let written = |inner: &toml::Spanned<DeValue<'_>>| Written {
            value: Self::of(inner.get_ref(), origin),
            origin: origin(inner.span().start),
        };
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::Integer(integer) => {
                let number = i128::from_str_radix(integer.as_str(), integer.radix());
                number.map_or(Self::Other("an integer too large"), Self::Integer)
            }
            DeValue::Float(float) => {
                float.as_str().parse().map_or(Self::Other("a number that is too long"), Self::Float)
            }
            DeValue::Datetime(_) => Self::Other("a date or time"),
            DeValue::Array(items) => Self::List(items.iter().map(written).collect()),
            DeValue::Table(table) => {
                let entry = |(key, value): (&toml::Spanned<DeString<'_>>, _)| {
                    (key.get_ref().to_string(), origin(key.span().start), written(value))
                };
                Self::Table(table.iter().map(entry).collect())
            }
        }
    }

    /// What it is, for an error.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Plain(text) | Self::Text(text) => format!("the text {text:?}"),
            Self::Integer(number) => format!("the number {number}"),
            Self::Float(number) => format!("the number {number}"),
            Self::Flag(flag) => format!("`{flag}`"),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Other(kind) => (*kind).to_owned(),
        }
    }
}

// === impl Reading ===

impl Reading {
    /// Notes what is wrong with the setting.
    pub(super) fn fault<T>(&mut self, origin: &Origin, message: impl Into<String>) -> Option<T> {
        let setting = self.setting.clone();
        self.problems.push(Problem { origin: origin.clone(), setting, message: message.into() });
        None
    }

    /// Notes what a policy says of a value, if it says something.
    pub(super) fn sound(&mut self, written: &Written, said: Result<(), String>) -> Option<()> {
        match said {
            Ok(()) => Some(()),
            Err(message) => {
                // The setting is named beside it.
                let message = message.split_once(": ").map_or(&*message, |(_, rest)| rest);
                self.fault(&written.origin, message)
            }
        }
    }

    pub(super) fn misfit<T>(&mut self, written: &Written, wanted: &str) -> Option<T> {
        let kind = written.value.kind();
        self.fault(&written.origin, format!("it is {kind}, and should be {wanted}"))
    }

    pub(super) fn text<'a>(&mut self, written: &'a Written, wanted: &str) -> Option<&'a str> {
        match &written.value {
            Raw::Plain(text) | Raw::Text(text) if text.is_empty() => {
                self.fault(&written.origin, format!("it is empty, and should be {wanted}"))
            }
            Raw::Plain(text) | Raw::Text(text) => Some(text),
            _ => self.misfit(written, wanted),
        }
    }

    /// A size in bytes, at least 1.
    pub(super) fn size(&mut self, written: &Written) -> Option<u64> {
        let parsed = match &written.value {
            Raw::Plain(text) | Raw::Text(text) => parse_size(text),
            Raw::Integer(number) => parse_size(&number.to_string()),
            _ => return self.misfit(written, "a size, such as \"512MiB\""),
        };
        match parsed {
            Ok(size) => Some(size.get()),
            Err(message) => self.fault(&written.origin, message),
        }
    }

    /// A duration, longer than zero.
    pub(super) fn time(&mut self, written: &Written) -> Option<Duration> {
        match &written.value {
            Raw::Plain(text) | Raw::Text(text) => match parse_duration(text) {
                Ok(time) => Some(time),
                Err(message) => self.fault(&written.origin, message),
            },
            _ => self.misfit(written, "a time with its unit, such as \"15m\""),
        }
    }

    /// A whole number, at least 1.
    pub(super) fn count(&mut self, written: &Written) -> Option<usize> {
        let number = match &written.value {
            Raw::Plain(text) => text.parse().ok(),
            Raw::Integer(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        match number {
            Some(number) if number > 0 => Some(number),
            _ => self.misfit(written, "a whole number of at least 1, such as 4"),
        }
    }

    /// A number, with a point or without.
    #[allow(clippy::cast_precision_loss, reason = "no setting has so many digits")]
    pub(super) fn number(&mut self, written: &Written) -> Option<f64> {
        let number = match &written.value {
            Raw::Plain(text) => text.parse().ok(),
            Raw::Integer(number) => Some(*number as f64),
            Raw::Float(number) => Some(*number),
            _ => None,
        };
        match number {
            Some(number) => Some(number),
            None => self.misfit(written, "a number, such as 0.5"),
        }
    }

    pub(super) fn flag(&mut self, written: &Written) -> Option<bool> {
        match &written.value {
            Raw::Flag(flag) => Some(*flag),
            Raw::Plain(text) if text == "true" => Some(true),
            Raw::Plain(text) if text == "false" => Some(false),
            _ => self.misfit(written, "true or false"),
        }
    }

    /// A path; a relative one starts at the file that says it.
    pub(super) fn path(&mut self, written: &Written) -> Option<PathBuf> {
        let path = Path::new(self.text(written, "a path")?);
        match &self.directory {
            Some(directory) => Some(directory.join(path)),
            None if path.is_absolute() => Some(path.to_owned()),
            None => {
                self.fault(&written.origin, "it is relative, and no working directory is known")
            }
        }
    }

    /// The URL of a place in a store.
    pub(super) fn place(&mut self, written: &Written) -> Option<String> {
        let text = self.text(written, "a URL or a path")?;
        let locator = match &self.directory {
            Some(directory) => Locator::new(directory),
            None => Locator::default(),
        };
        match locator.canonical(text) {
            Ok(url) => Some(url),
            Err(error @ samara_store::Error::UnknownScheme { .. }) => {
                self.fault_in_use = Some(without_passwords(&error.to_string()));
                Some(text.to_owned())
            }
            Err(error) => self.fault(&written.origin, without_passwords(&error.to_string())),
        }
    }

    /// A list of texts; a text is TOML.
    pub(super) fn texts(&mut self, written: &Written, wanted: &str) -> Option<Vec<String>> {
        let Some(Raw::List(items)) = written.structure() else {
            return self.misfit(written, wanted);
        };
        items.iter().map(|item| self.text(item, "a text").map(str::to_owned)).collect()
    }

    /// A table of texts, by their names; a text is TOML.
    pub(super) fn pairs(
        &mut self,
        written: &Written,
        wanted: &str,
    ) -> Option<Vec<(String, String)>> {
        let Some(Raw::Table(entries)) = written.structure() else {
            return self.misfit(written, wanted);
        };
        let text = |(name, _, value): &(String, Origin, Written)| {
            let (name, text) = (name.clone(), self.text(value, "a text")?.to_owned());
            Some((name, text))
        };
        entries.iter().map(text).collect()
    }

    /// A list of tables `{ url, access }`; a text is TOML.
    pub(super) fn grants(&mut self, written: &Written) -> Option<Vec<(String, Access)>> {
        const WANTED: &str = "a list such as [{ url = \"/data/in\", access = \"read\" }]";
        let Some(Raw::List(items)) = written.structure() else {
            return self.misfit(written, WANTED);
        };
        let name = std::mem::take(&mut self.setting);
        let mut grants = Vec::new();
        for (index, item) in items.iter().enumerate() {
            self.setting = format!("{name}[{index}]");
            grants.push(self.grant(item));
        }
        self.setting = name;
        grants.into_iter().collect()
    }

    fn grant(&mut self, written: &Written) -> Option<(String, Access)> {
        const WANTED: &str = "a table such as { url = \"/data/in\", access = \"read\" }";
        let Raw::Table(entries) = &written.value else { return self.misfit(written, WANTED) };
        let name = self.setting.clone();
        let (mut url, mut access, mut sound) = (None, None, true);
        for (key, named, value) in entries {
            self.setting = format!("{name}.{key}");
            match key.as_str() {
                "url" => url = Some(self.place(value)),
                "access" => access = Some(self.access(value)),
                _ => {
                    sound = false;
                    let known = nearest(key, ["url", "access"]);
                    self.fault::<()>(named, unknown(known, "the keys are url and access"));
                }
            }
        }
        self.setting = name;
        for (key, missing) in [("url", url.is_none()), ("access", access.is_none())] {
            if missing {
                self.fault::<()>(&written.origin, format!("`{key}` is missing; write {WANTED}"));
            }
        }
        let grant = (url??, access??);
        sound.then_some(grant)
    }

    fn access(&mut self, written: &Written) -> Option<Access> {
        match self.text(written, "\"read\" or \"read-write\"")? {
            "read" => Some(Access::Read),
            "read-write" => Some(Access::ReadWrite),
            _ => self.misfit(written, "\"read\" or \"read-write\""),
        }
    }
}

/// What to say of a name that nothing has.
pub(super) fn unknown(nearest: Option<&str>, otherwise: &str) -> String {
    match nearest {
        Some(known) => format!("nothing is called so; did you mean `{known}`?"),
        None => format!("nothing is called so; {otherwise}"),
    }
}

/// The known name that somebody who wrote `name` may have meant.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let normal = name.to_lowercase().replace('_', "-");
    // A third of the letters wrong is no slip any more.
    let most = (normal.chars().count() / 3).max(1);
    let distance = |known: &'a str| (strsim::damerau_levenshtein(&normal, known), known);
    let near = known.into_iter().map(distance).filter(|(distance, _)| *distance <= most);
    near.min().map(|(_, known)| known)
}

/// Texts as a file would say them.
pub(super) fn texts_text(texts: &[String]) -> String {
    // The strings of JSON are strings of TOML.
    let texts = texts.iter().map(|text| serde_json::Value::from(text.as_str()).to_string());
    format!("[{}]", texts.collect::<Vec<_>>().join(", "))
}

/// Texts with names as a file would say them.
pub(super) fn pairs_text(pairs: &[(String, String)]) -> String {
    let text = |text: &str| serde_json::Value::from(text);
    let pairs = pairs.iter().map(|(name, value)| format!("{} = {}", text(name), text(value)));
    format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}

/// Grants as a file would say them.
pub(super) fn grants_text(grants: &[(String, Access)]) -> String {
    let mut text = String::from("[");
    for (index, (url, access)) in grants.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let access = match access {
            Access::Read => "read",
            Access::ReadWrite => "read-write",
        };
        // The strings of JSON are strings of TOML.
        let url = serde_json::Value::from(url.as_str());
        // Writing to a string does not fail.
        let _written = write!(text, "{separator}{{ url = {url}, access = \"{access}\" }}");
    }
    text + "]"
}

//! Settings of stores: where they are, and as whom to speak to them.

use std::collections::BTreeMap;
use std::fmt;

/// A setting that stores of one kind know.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name, in snake case.
    pub name: &'static str,
    /// The environment variable that says it where nothing else does.
    pub variable: Option<&'static str>,
    /// Whether its value must not be shown.
    pub secret: bool,
    /// One line for users.
    pub doc: &'static str,
}

/// The settings of stores, by where they hold.
///
/// A place is a scheme with its colon (`s3:`), for all stores of the kind, or the beginning of a
/// URL (`s3://bucket`), for one. What is said of one store counts before what is said of all.
///
/// ```
/// use samara_store::{Settings};
///
/// let settings = Settings::default()
///     .with("s3:", "region", "eu-central-1")
///     .with("s3://scratch", "endpoint", "http://127.0.0.1:9000");
/// let scratch = settings.of("s3", "scratch");
/// assert_eq!(scratch.get("region"), Some("eu-central-1"));
/// assert_eq!(scratch.get("endpoint"), Some("http://127.0.0.1:9000"));
/// assert_eq!(settings.of("s3", "other").get("endpoint"), None);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    places: BTreeMap<String, BTreeMap<String, String>>,
    variables: BTreeMap<String, String>,
}

/// The settings of one store.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options {
    values: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
}

// === impl Settings ===

impl Settings {
    /// Says a setting of a place.
    #[must_use]
    pub fn with(
        mut self,
        place: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        let place = place.into();
        let place = place.strip_suffix('/').unwrap_or(&place).to_owned();
        self.places.entry(place).or_default().insert(name.into(), value.into());
        self
    }

    /// Says what stands in the environment, for settings that have a [`Setting::variable`].
    #[must_use]
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// Further settings, which count before those that are there.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (place, values) in other.places {
            self.places.entry(place).or_default().extend(values);
        }
        self.variables.extend(other.variables);
        self
    }

    /// The places that something is said of, and the names of what.
    pub fn said(&self) -> impl Iterator<Item = (&str, &str)> {
        self.places.iter().flat_map(|(place, values)| {
            values.keys().map(move |name| (place.as_str(), name.as_str()))
        })
    }

    /// All that is said, with values: also secret ones.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.places.iter().flat_map(|(place, values)| {
            values.iter().map(move |(name, value)| (place.as_str(), name.as_str(), value.as_str()))
        })
    }

    /// What the environment says, by the variables' names: also what is secret.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What holds for one store.
    pub fn of(&self, scheme: &str, authority: &str) -> Options {
        let mut values = BTreeMap::new();
        for place in [format!("{scheme}:"), format!("{scheme}://{authority}")] {
            values.extend(self.places.get(&place).cloned().unwrap_or_default());
        }
        Options { values, variables: self.variables.clone() }
    }
}

/// Values may be secret.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.said()).finish()
    }
}

// === impl Options ===

impl Options {
    /// What was said of this setting, the environment aside.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// What was said: names and values.
    pub fn said(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What holds for this setting: what was said, else what its variable says.
    pub fn value(&self, setting: &Setting) -> Option<&str> {
        let variable = || self.variables.get(setting.variable?).filter(|value| !value.is_empty());
        self.get(setting.name).or_else(|| variable().map(String::as_str))
    }

    /// Whether a setting is on.
    ///
    /// # Errors
    ///
    /// Where it is neither `true` nor `false`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(format!("`{name}` is `{other}`, and should be `true` or `false`")),
        }
    }

    /// Refuses names that no setting of these has.
    ///
    /// # Errors
    ///
    /// The first unknown name, and what is known.
    pub fn check(&self, known: &[Setting]) -> Result<(), String> {
        let unknown = self.values.keys().find(|name| known.iter().all(|s| s.name != **name));
        let Some(unknown) = unknown else { return Ok(()) };
        // Some have several variables, and a line for each.
        let mut names: Vec<_> = known.iter().map(|setting| setting.name).collect();
        names.dedup();
        Err(match names.is_empty() {
            true => format!("it has no setting `{unknown}`, nor any other"),
            false => format!("it has no setting `{unknown}` (known: {})", names.join(", ")),
        })
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: Setting =
        Setting { name: "region", variable: Some("AWS_REGION"), secret: false, doc: "" };

    #[test]
    fn the_nearest_place_counts() {
        let settings = Settings::default()
            .with_variables([("AWS_REGION".to_owned(), "from-env".to_owned())])
            .with("s3://b/", "region", "of-b")
            .with("s3:", "profile", "p");
        assert_eq!(settings.of("s3", "b").value(&REGION), Some("of-b"));
        assert_eq!(settings.of("s3", "c").value(&REGION), Some("from-env"));
        assert_eq!(settings.of("s3", "b").get("profile"), Some("p"));
        assert_eq!(settings.of("gs", "b").get("profile"), None);
        let over = settings.and(Settings::default().with("s3://b", "region", "later"));
        assert_eq!(over.of("s3", "b").value(&REGION), Some("later"));
    }

    #[test]
    fn what_no_store_knows_is_named() {
        let options = Settings::default().with("s3:", "regoin", "x").of("s3", "b");
        assert_eq!(
            options.check(&[REGION]).unwrap_err(),
            "it has no setting `regoin` (known: region)"
        );
        assert!(options.check(&[]).unwrap_err().contains("nor any other"));
        let options = Settings::default().with("s3:", "path_style", "yes").of("s3", "b");
        assert!(options.flag("path_style").unwrap_err().contains("`true` or `false`"));
    }

    #[test]
    fn values_are_not_shown() {
        let settings = Settings::default().with("s3:", "secret_access_key", "hush");
        let shown = format!("{settings:?} {:?}", settings.of("s3", "b"));
        assert!(shown.contains("secret_access_key") && !shown.contains("hush"), "{shown}");
    }
}

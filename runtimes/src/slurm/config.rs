//! What `slurm://PARTITION?OPTIONS` says.

use samara_core::{Error, ErrorKind};

/// Indexes at the same moment that a URL may ask for: more than most schedulers keep in mind.
pub(super) const SLOTS_MAX: usize = 100_000;

/// Characters of a word for Slurm at most: a path is the longest.
const WORD_MAX: usize = 4096;

/// What the URL says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Config {
    /// Where to run; else where Slurm's operator says.
    pub(super) partition: Option<String>,
    /// Indexes at the same moment.
    pub(super) slots: Option<usize>,
    /// The host's program, where it is on the nodes.
    pub(super) host: Option<String>,
    /// The directory of the hosts' logs.
    pub(super) log: Option<String>,
    /// Processors of an index.
    pub(super) cpus: Option<usize>,
    /// What else `sbatch` is told, each with its name.
    pub(super) further: Vec<(&'static str, String)>,
}

/// Options that `sbatch` is told as they are, and its names for them.
const PASSED: &[(&str, &str)] = &[
    ("account", "--account"),
    ("constraint", "--constraint"),
    ("memory", "--mem"),
    ("qos", "--qos"),
    ("reservation", "--reservation"),
    ("time", "--time"),
];

// === impl Config ===

impl Config {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let invalid = |text: &str| {
            let form = "slurm://[PARTITION][?slots=N&cpus=N&memory=M&time=T&host=PATH&log=DIR]";
            Error::new(ErrorKind::Invalid, format!("`{url}`: {text} ({form})"))
        };
        let rest = url.split_once(':').map_or("", |(_, rest)| rest);
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let place = place.trim_end_matches('/');
        if !place.is_empty() && !is_word(place) {
            return Err(invalid("that is no name of a partition"));
        }
        let partition = Some(place.to_owned()).filter(|place| !place.is_empty());
        let mut config = Self { partition, ..Self::default() };
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, said) = option.split_once('=').unwrap_or((option, ""));
            let number = || {
                let number = said.parse().ok().filter(|n| (1..=SLOTS_MAX).contains(n));
                number.ok_or_else(|| invalid(&format!("{name} lie between 1 and {SLOTS_MAX}")))
            };
            let word = || {
                let text = format!("{name} should be a word that begins with no `-`");
                is_word(said).then(|| said.to_owned()).ok_or_else(|| invalid(&text))
            };
            match (name, PASSED.iter().find(|(passed, _)| *passed == name)) {
                ("slots", _) => config.slots = Some(number()?),
                ("cpus", _) => config.cpus = Some(number()?),
                ("host", _) => config.host = Some(word()?),
                ("log", _) => config.log = Some(word()?),
                (_, Some((_, flag))) => config.further.push((flag, word()?)),
                _ => {
                    let names = PASSED.iter().map(|(name, _)| format!(", {name}"));
                    let names: String = names.collect();
                    let text = format!(
                        "`{option}` is no option; there are: slots, cpus, host, log{names}"
                    );
                    return Err(invalid(&text));
                }
            }
        }
        Ok(config)
    }
}

/// Whether a text can stand in an argument of Slurm's, and in its file names: it would take `%` for a
/// pattern, and what begins with `-` for an option.
fn is_word(text: &str) -> bool {
    let is_plain =
        |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '%' | '\'' | '"');
    (1..=WORD_MAX).contains(&text.len()) && !text.starts_with('-') && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_partition_and_options() {
        assert_eq!(Config::parse("slurm:").unwrap(), Config::default());
        assert_eq!(Config::parse("slurm://").unwrap(), Config::default());
        let config = "slurm://short?slots=7&cpus=2&time=1-00:00&host=/opt/samara-host&log=/l";
        let config = Config::parse(config).unwrap();
        assert_eq!(config.partition.as_deref(), Some("short"));
        assert_eq!((config.slots, config.cpus), (Some(7), Some(2)));
        assert_eq!(config.host.as_deref(), Some("/opt/samara-host"));
        assert_eq!(config.log.as_deref(), Some("/l"));
        assert_eq!(config.further, [("--time", "1-00:00".to_owned())]);
    }

    #[test]
    fn malformed_urls_are_refused_by_name() {
        for (url, wanted) in [
            ("slurm://--wrap=x", "no name of a partition"),
            ("slurm://a b", "no name of a partition"),
            ("slurm://?slots=0", "between 1 and"),
            ("slurm://?host=", "a word"),
            ("slurm://?log=-x", "a word"),
            ("slurm://?log=/a%25j", "a word"),
            ("slurm://?pace=1", "is no option"),
        ] {
            let error = Config::parse(url).unwrap_err();
            assert!(error.message.contains(wanted) && error.message.contains(url), "{error}");
        }
    }
}

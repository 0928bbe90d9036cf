//! What is deployed, as `samara deploy` and `samara update` take it.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use samara::deploy::{Place, Wanted};
use samara::settings::Settings;

use crate::units;

/// Thousandths of a processor.
const MILLI: f64 = 1_000.0;

/// Processors at most: more than any platform's largest machine has.
const CPU_MAX: f64 = 1_024.0;

/// What is deployed, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Host {
    /// The program samara-host; by default the one beside this program, or in PATH.
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,

    /// Memory of one host; 1769MiB in Lambda, 2GiB in containers.
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    memory: Option<NonZeroU64>,

    /// Processors of one host; 1 in containers. In Lambda they come with the memory.
    #[arg(long, value_name = "N", value_parser = parse_cpu)]
    cpu: Option<u32>,

    /// How long a request may take; 15m, or what the platform allows.
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    timeout: Option<Duration>,

    /// Hosts at the same moment, at most; in Lambda so many are set aside.
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroU32>,

    /// Sets a variable of the host. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable)]
    env: Vec<(String, String)>,

    /// Lets hosts read and list the objects at and below s3://BUCKET/PREFIX. Repeatable.
    #[arg(long, value_name = "URL")]
    grant_read: Vec<String>,

    /// Lets hosts read, write and delete those. Repeatable; --store is one of them.
    #[arg(long, value_name = "URL")]
    grant_write: Vec<String>,

    /// As whom hosts run, by the platform's name; in Lambda a role is made otherwise.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,

    /// The bucket that code passes through that is too large for a request to Lambda.
    #[arg(long, value_name = "BUCKET")]
    bucket: Option<String>,

    /// The image of the host, for platforms that run images.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,

    /// The secret with SAMARA_HOST_TOKENS, for platforms that run images; samara-NAME by default.
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,

    /// Removes older contents, which are reached by exact URLs until then.
    #[arg(long)]
    prune: bool,
}

// === impl Host ===

impl Host {
    /// The host's program, said or found.
    pub(crate) fn host(&self, place: &Place) -> Option<PathBuf> {
        self.host.clone().or_else(|| place.local_host())
    }

    pub(crate) fn wanted(&self, place: &Place, settings: &Settings) -> Wanted {
        let mut wanted = Wanted::default();
        wanted.host = self.host(place);
        wanted.prune = self.prune;
        wanted.memory_bytes = self.memory.map(NonZeroU64::get);
        wanted.cpu_milli = self.cpu;
        wanted.time = self.timeout;
        wanted.concurrency = self.concurrency.map(NonZeroU32::get);
        wanted.variables = self.env.iter().cloned().collect();
        wanted.reads.clone_from(&self.grant_read);
        wanted.writes.clone_from(&self.grant_write);
        wanted.store = settings.get("store").map(|setting| setting.value);
        wanted.role.clone_from(&self.role);
        wanted.bucket.clone_from(&self.bucket);
        wanted.image.clone_from(&self.image);
        wanted.secret.clone_from(&self.secret);
        wanted
    }
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(is_of_names)
    };
    match text.split_once('=') {
        Some((name, value)) if is_name(name) => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a variable is NAME=VALUE; names have letters, digits and `_`".to_owned()),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is checked to be small and positive"
)]
fn parse_cpu(text: &str) -> Result<u32, String> {
    let wanted = || "processors are a number such as 0.5 or 2".to_owned();
    let number: f64 = text.parse().map_err(|_| wanted())?;
    let milli = (number * MILLI).round();
    let is_some = milli >= 1.0 && number <= CPU_MAX;
    if is_some { Ok(milli as u32) } else { Err(wanted()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_processors_are_read_or_refused() {
        let variable = |text| parse_variable(text).map(|(name, value)| format!("{name}:{value}"));
        assert_eq!(variable("A_1=b=c"), Ok("A_1:b=c".to_owned()));
        assert_eq!(variable("A="), Ok("A:".to_owned()));
        for text in ["", "A", "=b", "1A=b", "A-B=c"] {
            assert!(variable(text).is_err(), "{text}");
        }
        assert_eq!((parse_cpu("0.25"), parse_cpu("2")), (Ok(250), Ok(2_000)));
        for text in ["", "0", "-1", "NaN", "inf", "1e9"] {
            assert!(parse_cpu(text).is_err(), "{text}");
        }
    }
}

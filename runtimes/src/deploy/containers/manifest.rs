//! Manifests: a template of the platform's, with what is wanted in place of `{…}`.
//!
//! A line that is one name alone stands for a list: for as many lines as it has, none too.

use std::time::Duration;

use samara_core::{Error, ErrorKind};

use super::config::Config;
use super::{Platform, label};
use crate::deploy::{VERSION, Wanted};

/// Memory of a host, where none is said: what a task may use by default, and as much for the host.
const MEMORY_BYTES: u64 = 2 << 30;

/// Processors of a host, in thousandths, where none are said.
const CPU_MILLI: u32 = 1_000;

/// Hosts at the same moment, where nobody says how many: a bill has an end.
const HOSTS: u32 = 100;

/// How long hosts may take to end: the grace of where they are, and the time to give back what is not
/// done, which are 30 s at most, and some.
const GRACE: Duration = Duration::from_secs(40);

/// What a token's variable is called.
const TOKENS: &str = "SAMARA_HOST_TOKENS";

/// What templates are filled with.
#[derive(Debug)]
pub(super) struct Filled<'a> {
    config: &'a Config,
    wanted: &'a Wanted,
    secret: &'a str,
    hash: &'a str,
    hosts: u32,
    time: Duration,
}

/// Lines, by the name that stands for them in a template.
pub(super) type Lists = Vec<(&'static str, Vec<String>)>;

/// The platform's template, filled.
pub(super) fn write(
    config: &Config,
    wanted: &Wanted,
    hash: &str,
    platform: &Platform,
) -> Result<String, Error> {
    check(wanted, platform)?;
    let image = wanted.image.as_deref().ok_or_else(|| {
        invalid(
            "no image is said: say --image IMAGE; `samara deploy --image-context DIR` writes what \
             one is built of",
        )
    })?;
    let default = format!("samara-{}", config.name);
    let secret = wanted.secret.as_deref().unwrap_or(&default);
    if platform.scheme == "container-apps" && !secret.starts_with("https://") {
        return Err(invalid(
            "tokens are a secret of a key vault here: --secret https://VAULT.vault.azure.net/\
             secrets/NAME",
        ));
    }
    let time = wanted.time.or_else(|| platform.time.map(|(time, _)| time)).unwrap_or_default();
    let hosts = wanted.concurrency.unwrap_or(HOSTS);
    let filled = Filled { config, wanted, secret, hash, hosts, time };
    let memory = wanted.memory_bytes.unwrap_or(MEMORY_BYTES) >> 20;
    let cpu = wanted.cpu_milli.unwrap_or(CPU_MILLI);
    // What a driver sends ahead: two batches per slot.
    let requests = 2 * cpu.div_ceil(1_000);
    let scalars = [
        ("image", quoted(image)),
        ("secret", secret.to_owned()),
        ("seconds", time.as_secs().to_string()),
        ("cpu", format!("{cpu}m")),
        ("cores", format!("{}", f64::from(cpu) / 1_000.0)),
        ("memory", format!("{memory}Mi")),
        ("megabytes", format!("{memory}M")),
        // Azure has no smaller unit.
        ("gigabytes", format!("{}Gi", memory as f64 / 1_024.0)),
        ("hosts", hosts.to_string()),
        ("requests", requests.to_string()),
        ("grace", GRACE.as_secs().to_string()),
        ("identity", wanted.role.clone().unwrap_or_else(|| "system".to_owned())),
    ];
    let mut lists = (platform.lists)(&filled);
    lists.push(("labels", labels(&filled)));
    fill(config, platform.template, &scalars, &lists)
}

/// What a platform's manifest has no place for is refused, not left out.
fn check(wanted: &Wanted, platform: &Platform) -> Result<(), Error> {
    let scheme = platform.scheme;
    if !wanted.reads.is_empty() || !wanted.writes.is_empty() {
        return Err(invalid(format!(
            "{scheme}: has no policies to write; give the rights to whom the hosts run as \
             (--role), or to the stores' credentials in a secret"
        )));
    }
    if wanted.bucket.is_some() || wanted.prune {
        return Err(invalid(format!(
            "{scheme}: has no code to keep; --bucket and --prune are none"
        )));
    }
    if wanted.role.is_some() && !platform.has_roles {
        return Err(invalid(format!(
            "{scheme}: has nobody to run as; --role is none of its options"
        )));
    }
    if wanted.concurrency.is_some() && !platform.scales {
        return Err(invalid(format!(
            "{scheme}: starts one host; --concurrency is none of its options"
        )));
    }
    match (wanted.time, platform.time) {
        (Some(_), None) => Err(invalid(format!("{scheme}: has no time limit to set (--timeout)"))),
        (Some(time), Some((_, most))) if time > most => {
            let most = most.as_secs();
            Err(invalid(format!("{scheme}: a request takes {most} s at most (--timeout)")))
        }
        _ => check_variables(wanted),
    }
}

fn check_variables(wanted: &Wanted) -> Result<(), Error> {
    if wanted.variables.contains_key(TOKENS) {
        return Err(invalid(format!("{TOKENS} belongs in a secret, not in a manifest: --secret")));
    }
    Ok(())
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, text)
}

/// A text as YAML has it between quotes, which is as JSON has it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn labels(filled: &Filled<'_>) -> Vec<String> {
    let mut lines = vec![format!("samara-deployment: {}", quoted(&filled.config.name))];
    if !filled.hash.is_empty() {
        lines.push(format!("samara-host: {}", quoted(&label(filled.hash))));
    }
    // Google's labels have no dots.
    lines.push(format!("samara-version: {}", quoted(&VERSION.replace('.', "-"))));
    lines
}

fn fill(
    config: &Config,
    template: &str,
    scalars: &[(&str, String)],
    lists: &[(&str, Vec<String>)],
) -> Result<String, Error> {
    let mut text = String::new();
    for line in template.lines() {
        let bare = line.trim_start();
        let list = lists.iter().find(|(name, _)| bare == format!("{{{name}}}"));
        let indent = &line[..line.len() - bare.len()];
        match list {
            Some((_, lines)) => lines.iter().for_each(|line| text += &format!("{indent}{line}\n")),
            None => {
                let mut line = line.to_owned();
                for (name, value) in scalars {
                    line = line.replace(&format!("{{{name}}}"), value);
                }
                // Last, because what people say may have braces too, and is between quotes.
                text += &(if bare.contains("{image}") { line } else { config.fill(&line)? } + "\n");
            }
        }
    }
    Ok(text)
}

// === The lists of each platform ===

/// Variables as Kubernetes has them, with the tokens from a secret.
fn listed(filled: &Filled<'_>, tokens: &[String]) -> Vec<String> {
    let mut lines = vec![format!("- name: {TOKENS}")];
    lines.extend(tokens.iter().map(|line| format!("  {line}")));
    for (name, value) in &filled.wanted.variables {
        lines.extend([format!("- name: {name}"), format!("  value: {}", quoted(value))]);
    }
    lines
}

/// Variables as a mapping, with these before the user's own.
fn mapped(filled: &Filled<'_>, ours: &[(&str, &str)]) -> Vec<String> {
    let users = &filled.wanted.variables;
    let ours = ours.iter().filter(|(name, _)| !users.contains_key(*name));
    let mut lines: Vec<String> =
        ours.map(|(name, value)| format!("{name}: {}", quoted(value))).collect();
    lines.extend(users.iter().map(|(name, value)| format!("{name}: {}", quoted(value))));
    lines
}

fn from_key(filled: &Filled<'_>, key: &str) -> Vec<String> {
    vec![
        "valueFrom:".to_owned(),
        "  secretKeyRef:".to_owned(),
        format!("    name: {}", filled.secret),
        format!("    key: {key}"),
    ]
}

fn account(filled: &Filled<'_>) -> Vec<String> {
    let role = filled.wanted.role.iter();
    role.map(|role| format!("serviceAccountName: {}", quoted(role))).collect()
}

pub(super) fn knative(filled: &Filled<'_>) -> Lists {
    let scale = format!("autoscaling.knative.dev/max-scale: \"{}\"", filled.hosts);
    vec![
        ("annotations", vec![scale]),
        ("account", account(filled)),
        ("variables", listed(filled, &from_key(filled, "tokens"))),
    ]
}

pub(super) fn cloud_run(filled: &Filled<'_>) -> Lists {
    let scale = format!("autoscaling.knative.dev/maxScale: \"{}\"", filled.hosts);
    vec![
        ("annotations", vec![scale]),
        ("account", account(filled)),
        ("variables", listed(filled, &from_key(filled, "latest"))),
    ]
}

pub(super) fn container_apps(filled: &Filled<'_>) -> Lists {
    let identities = match &filled.wanted.role {
        None => vec!["type: SystemAssigned".to_owned()],
        Some(role) => vec![
            "type: UserAssigned".to_owned(),
            "userAssignedIdentities:".to_owned(),
            format!("  {}: {{}}", quoted(role)),
        ],
    };
    vec![
        ("variables", listed(filled, &["secretRef: samara-tokens".to_owned()])),
        ("identities", identities),
    ]
}

pub(super) fn openfaas(filled: &Filled<'_>) -> Lists {
    let time = format!("{}s", filled.time.as_secs());
    let tokens = format!("@/var/openfaas/secrets/{}", filled.secret);
    let ours = [
        ("SAMARA_HOST_AS", "openfaas"),
        (TOKENS, &tokens),
        ("exec_timeout", &time),
        ("write_timeout", &time),
    ];
    let scale = format!("com.openfaas.scale.max: \"{}\"", filled.hosts);
    vec![("variables", mapped(filled, &ours)), ("scale", vec![scale])]
}

pub(super) fn compose(filled: &Filled<'_>) -> Lists {
    let tokens = format!("@/run/secrets/{}", filled.secret);
    let ours = [("SAMARA_HOST_AS", "http"), ("SAMARA_HOST_LISTEN", ":8080"), (TOKENS, &tokens)];
    vec![("variables", mapped(filled, &ours))]
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::super::PLATFORMS;
    use super::*;

    /// A deployment with all that there is to say.
    fn wanted() -> Wanted {
        let variable = ("SAMARA_HOST_LOG".to_owned(), "info: \"all\"".to_owned());
        Wanted {
            image: Some("registry.example/samara-host:1".to_owned()),
            memory_bytes: Some(4 << 30),
            cpu_milli: Some(2_000),
            variables: [variable].into(),
            ..Wanted::default()
        }
    }

    fn manifest(url: &str, wanted: &Wanted) -> Result<String, Error> {
        let scheme = url.split_once(':').unwrap().0;
        let platform = PLATFORMS.iter().find(|platform| platform.scheme == scheme).unwrap();
        let hash = format!("b3:{}", "0123456789abcdef".repeat(4));
        write(&Config::parse(url, platform).unwrap(), wanted, &hash, platform)
    }

    #[test]
    fn manifests_are_as_they_were() {
        for (url, secret, file) in [
            ("knative://words?namespace=jobs", None, expect_file!["golden/knative.yaml"]),
            ("cloud-run://words?region=europe-west1", None, expect_file!["golden/cloud-run.yaml"]),
            (
                "container-apps://words?group=g&location=westeurope&environment=/subscriptions/s/e",
                Some("https://vault.example/secrets/words"),
                expect_file!["golden/container-apps.yaml"],
            ),
            ("openfaas://words", None, expect_file!["golden/openfaas.yaml"]),
            ("compose://words?port=9000", Some("tokens"), expect_file!["golden/compose.yaml"]),
        ] {
            let mut wanted = wanted();
            wanted.secret = secret.map(str::to_owned);
            file.assert_eq(&manifest(url, &wanted).unwrap());
        }
    }

    #[test]
    fn no_manifest_has_a_gap_or_a_token() {
        let mut wanted = wanted();
        wanted.role = Some("somebody".to_owned());
        for url in ["knative://a", "cloud-run://a"] {
            let text = manifest(url, &wanted).unwrap();
            assert!(text.contains("serviceAccountName: \"somebody\""), "{text}");
            assert!(!text.contains('{'), "{text}");
        }
        wanted.variables.insert(TOKENS.to_owned(), "0123456789abcdef".to_owned());
        let error = manifest("knative://a", &wanted).unwrap_err();
        assert!(error.message.contains("belongs in a secret"), "{error}");
    }

    #[test]
    fn what_a_platform_has_no_place_for_is_refused() {
        let with = |change: fn(&mut Wanted)| {
            let mut wanted = wanted();
            change(&mut wanted);
            wanted
        };
        for (url, wanted, text) in [
            ("knative://a", with(|w| w.image = None), "--image-context"),
            ("knative://a", with(|w| w.reads.push("s3://b".to_owned())), "no policies"),
            ("knative://a", with(|w| w.prune = true), "--prune"),
            ("knative://a", with(|w| w.time = Some(Duration::from_secs(900))), "600 s at most"),
            ("compose://a", with(|w| w.time = Some(Duration::from_secs(9))), "no time limit"),
            ("compose://a", with(|w| w.concurrency = Some(2)), "one host"),
            ("openfaas://a", with(|w| w.role = Some("r".to_owned())), "nobody to run as"),
            ("container-apps://a", with(|_| ()), "key vault"),
        ] {
            let error = manifest(url, &wanted).unwrap_err();
            assert!(error.message.contains(text), "{url}: {error}");
        }
    }
}

//! `samara ticket`: keys of tenants, and tickets that they sign.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use samara::Access;
use samara_core::{Clock as _, HttpGrant, SystemClock};
use samara_tenants::{Claims, Narrower, NarrowerObject, generate_keys, issue};
use serde_json::json;

use crate::globals::Globals;
use crate::report::usage;
use crate::units::parse_duration;

/// Makes the keys of a tenant, and tickets that let drivers use hosts which ask for one.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Makes a pair of keys: NAME.key, which signs tickets and is nobody else's, and NAME.pem, which
    /// goes to the operator of hosts.
    #[command(after_help = crate::EXIT_CODES)]
    Keys {
        /// Path of both files, without their ends.
        name: PathBuf,
    },
    /// Signs a ticket, and prints it; drivers show it as the setting `token`.
    ///
    /// Without grants it allows all that the tenant may. With one or more it allows those alone; the
    /// store of the jobs has to be among them, for writing.
    #[command(after_help = crate::EXIT_CODES)]
    Issue(Issue),
}

#[derive(Debug, clap::Args)]
struct Issue {
    /// The file of the key that signs, as `samara ticket keys` makes it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The tenant's name, as the operator's file has it.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// What the ticket is for: the audience in the operator's file. May be given several times.
    #[arg(long, value_name = "TEXT", required = true)]
    audience: Vec<String>,
    /// How long it is good.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    expires: Duration,
    /// Its name, for the audit log.
    #[arg(long, value_name = "TEXT")]
    id: Option<String>,
    /// Allows to read the objects at and below a URL.
    #[arg(long, value_name = "URL")]
    read: Vec<String>,
    /// Allows to read and write them.
    #[arg(long, value_name = "URL")]
    write: Vec<String>,
    /// Allows to ask a server, such as https://api.example.com.
    #[arg(long, value_name = "ORIGIN")]
    http: Vec<HttpGrant>,
    /// Allows to know a secret.
    #[arg(long, value_name = "NAME")]
    secret: Vec<String>,
    /// Allows clocks as fine as the machine's.
    #[arg(long)]
    precise_clock: bool,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    match &arguments.verb {
        Verb::Keys { name } => keys(name, globals),
        Verb::Issue(issue) => sign(issue, globals),
    }
}

fn keys(name: &Path, globals: &Globals) -> Result<ExitCode> {
    let pair = generate_keys()?;
    let with_end = |end: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(end);
        PathBuf::from(path)
    };
    let (private, public) = (with_end(".key"), with_end(".pem"));
    create(&private, &pair.private_pem, 0o600)?;
    create(&public, &pair.public_pem, 0o644)?;
    let mut out = io::stdout().lock();
    match globals.json {
        true => {
            writeln!(out, "{}", json!({ "private": private, "public": public, "kid": pair.kid }))?
        }
        false => writeln!(
            out,
            "{} signs tickets: keep it; {} goes to the operator (kid {})",
            private.display(),
            public.display(),
            pair.kid
        )?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that is not there yet.
fn create(path: &Path, text: &str, mode: u32) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn sign(issue_of: &Issue, globals: &Globals) -> Result<ExitCode> {
    let key = std::fs::read_to_string(&issue_of.key)
        .with_context(|| format!("cannot read the key {}", issue_of.key.display()))?;
    if issue_of.expires.is_zero() {
        return Err(usage(
            "--expires 0s: a ticket that is never good; say how long it is, as in 1h",
        ));
    }
    let objects = issue_of.read.iter().chain(&issue_of.write);
    if let Some(path) = objects.into_iter().find(|url| !url.contains("://")) {
        return Err(usage(format!(
            "{path} is no URL, and a path is another one on each host: say file:///… or the store's"
        )));
    }
    let now = SystemClock::new().unix().as_secs();
    let claims = Claims {
        sub: issue_of.tenant.clone(),
        aud: issue_of.audience.clone(),
        exp: now.saturating_add(issue_of.expires.as_secs().max(1)),
        nbf: None,
        iat: Some(now),
        jti: issue_of.id.clone(),
        samara: issue_of.narrower(),
    };
    let ticket = issue(&key, &claims)
        .with_context(|| format!("cannot sign with {}", issue_of.key.display()))?;
    let mut out = io::stdout().lock();
    match globals.json {
        true => writeln!(out, "{}", json!({ "ticket": ticket, "expires": claims.exp }))?,
        false => writeln!(out, "{ticket}")?,
    }
    Ok(ExitCode::SUCCESS)
}

// === impl Issue ===

impl Issue {
    /// What the ticket allows, where that is less than all.
    fn narrower(&self) -> Option<Narrower> {
        let objects = |urls: &[String], access| {
            let object = move |url: &String| NarrowerObject { url: url.clone(), access };
            urls.iter().map(object).collect::<Vec<_>>()
        };
        let mut objects_of = objects(&self.read, Access::Read);
        objects_of.extend(objects(&self.write, Access::ReadWrite));
        let narrower = Narrower {
            objects: objects_of,
            http: self.http.clone(),
            secrets: self.secret.clone(),
            precise_clock: self.precise_clock,
        };
        (narrower != Narrower::default()).then_some(narrower)
    }
}

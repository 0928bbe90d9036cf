//! `samara config`: the settings, and where they come from.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use samara::Settings;
use samara::settings::{Origin, Setting};
use serde_json::{Value, json};

use crate::globals::Globals;

/// The settings, and where they come from.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Prints each setting, its value, and where it was set.
    ///
    /// Settings come from the command line, from variables (SAMARA_STORE), from samara.toml of the
    /// project and of the user, or are the default. Passwords in URLs are not shown.
    #[command(after_help = crate::EXIT_CODES)]
    Show,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let Verb::Show = arguments.verb;
    let settings = globals.reader().read()?;
    let mut out = io::stdout().lock();
    match globals.json {
        true => writeln!(out, "{}", as_json(&settings))?,
        false => write!(out, "{}", as_text(&settings))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn as_text(settings: &Settings) -> String {
    let all = settings.all();
    let width = |text: fn(&Setting) -> &str| all.iter().map(|s| text(s).chars().count()).max();
    let name = width(|setting| setting.key.name).unwrap_or_default();
    // A list of grants is longer than any table should be wide.
    let value = width(|setting| &setting.value).unwrap_or_default().min(50);
    let mut text = String::new();
    for setting in &all {
        let from = match &setting.origin {
            Origin::File { profile: Some(profile), .. } => {
                format!("{} [profile.{profile}]", setting.origin)
            }
            origin => origin.to_string(),
        };
        text += &format!("{:name$}  {:value$}  {from}\n", setting.key.name, setting.value);
    }
    let profile = match settings.profile() {
        Some((name, origin)) => format!("{name} ({origin})"),
        None => "none".to_owned(),
    };
    let known = match settings.profiles() {
        [] => String::new(),
        profiles => format!("; there are: {}", profiles.join(", ")),
    };
    text += &format!("\nprofile: {profile}{known}\n");
    let files: Vec<String> = settings.files().map(|path| path.display().to_string()).collect();
    text += &match files.is_empty() {
        true => "files: none\n".to_owned(),
        false => format!("files: {}\n", files.join(", ")),
    };
    text
}

fn as_json(settings: &Settings) -> Value {
    let setting = |setting: Setting| {
        json!({
            "setting": setting.key.name,
            "value": setting.value,
            "set": setting.origin != Origin::Default,
            "origin": origin(&setting.origin),
        })
    };
    json!({
        "profile": settings.profile().map(|(name, _)| name),
        "profiles": settings.profiles(),
        "files": settings.files().collect::<Vec<_>>(),
        "ignored": settings.ignored(),
        "settings": settings.all().into_iter().map(setting).collect::<Vec<_>>(),
    })
}

fn origin(origin: &Origin) -> Value {
    match origin {
        Origin::Default => json!({ "kind": "default" }),
        Origin::File { path, place, profile } => json!({
            "kind": "file",
            "path": path,
            "line": place.map(|(line, _)| line),
            "column": place.map(|(_, column)| column),
            "profile": profile,
        }),
        Origin::Variable(name) => json!({ "kind": "variable", "name": name }),
        Origin::Given(name) => json!({ "kind": "flag", "name": name }),
        other => json!({ "kind": "other", "name": other.to_string() }),
    }
}

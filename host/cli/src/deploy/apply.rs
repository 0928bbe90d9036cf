//! `samara deploy` and `samara update`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use samara::blocking::Wait as _;
use samara::deploy::{Place, Plan, Verb};

use super::{Name, failed, open, wanted};
use crate::globals::Globals;
use crate::report::{say, usage};

/// Deploys hosts to a platform, or says what that would do.
///
/// Only the program samara-host is deployed, never a function. The same command twice changes
/// nothing the second time. Another version of the host is another content, beside the older ones:
/// the deployment's URL reaches the newest, and exact URLs reach each. Everything that is made is
/// tagged; what somebody else made is not touched.
///
/// For platforms that run images it prints a manifest, and names the command that applies it.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    name: Name,

    #[command(flatten)]
    wanted: wanted::Host,

    #[command(flatten)]
    output: Output,

    /// Writes what the host's image is built of to a new directory, and deploys nothing.
    #[arg(long, value_name = "DIR")]
    image_context: Option<PathBuf>,
}

/// Deploys another host, or other settings, where something is deployed.
///
/// What is not said stays as it is: memory, time, variables, role and rights. Nothing is made where
/// nothing is deployed.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Update {
    #[command(flatten)]
    name: Name,

    #[command(flatten)]
    wanted: wanted::Host,

    #[command(flatten)]
    output: Output,
}

/// What is done with the plan.
#[derive(Debug, clap::Args)]
struct Output {
    /// Says what would be made and changed, with all policies, and does nothing.
    #[arg(long)]
    dry_run: bool,

    /// Writes the manifest to a file.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let place = open(&arguments.name.url, globals)?;
    if let Some(directory) = &arguments.image_context {
        return image(directory, arguments.wanted.host(&place), globals);
    }
    deploy(&place, (&arguments.wanted, false), &arguments.output, globals)
}

pub(crate) fn update(arguments: &Update, globals: &Globals) -> Result<ExitCode> {
    let place = open(&arguments.name.url, globals)?;
    deploy(&place, (&arguments.wanted, true), &arguments.output, globals)
}

fn image(directory: &Path, host: Option<PathBuf>, globals: &Globals) -> Result<ExitCode> {
    let host = host.ok_or_else(|| {
        usage("there is no program samara-host beside this one or in PATH; say --host FILE")
    })?;
    samara::deploy::write_image_context(directory, &host).map_err(failed)?;
    if !globals.verbosity.quiet {
        let directory = directory.display();
        say(format_args!("wrote {directory}; next: buildah bud --tag IMAGE {directory}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn deploy(
    place: &Place,
    (arguments, is_update): (&wanted::Host, bool),
    output: &Output,
    globals: &Globals,
) -> Result<ExitCode> {
    let mut wanted = arguments.wanted(place, &globals.reader().read()?);
    wanted.is_update = is_update;
    let plan = match output.dry_run {
        true => place.plan(wanted).wait(),
        false => place.apply(wanted).wait(),
    };
    let plan = plan.map_err(failed)?;
    if output.output.is_some() && plan.by_hand.is_none() {
        return Err(usage("--output is for manifests, and this platform has none"));
    }
    let file = output.output.as_deref().filter(|_| !output.dry_run);
    if let (Some(file), Some(manifest)) = (file, plan.documents.first()) {
        let doing = || format!("cannot write {}", file.display());
        std::fs::write(file, &manifest.text).with_context(doing)?;
    }
    let mut out = io::stdout().lock();
    match (globals.json, file) {
        (true, _) => writeln!(out, "{}", serde_json::to_string(&plan)?)?,
        (false, Some(_)) => {}
        (false, None) => write!(out, "{}", text(&plan, output.dry_run))?,
    }
    drop(out);
    if !globals.verbosity.quiet {
        summary(&plan, output.dry_run, file);
    }
    Ok(ExitCode::SUCCESS)
}

fn text(plan: &Plan, is_dry: bool) -> String {
    let mut text = String::new();
    // A manifest goes to whoever applies it, as it is.
    if let (Some(_), Some(manifest)) = (&plan.by_hand, plan.documents.first()) {
        return manifest.text.clone();
    }
    let mut line = |line: String| writeln!(text, "{line}").expect("a text takes all");
    plan.steps.iter().for_each(|step| line(step.to_string()));
    for document in plan.documents.iter().filter(|_| is_dry) {
        line(format!("\n# {}\n{}", document.about, document.text.trim_end()));
    }
    if !is_dry {
        line(format!("runtime  {}\nexactly  {}", plan.url, plan.exact_url));
    }
    text
}

fn summary(plan: &Plan, is_dry: bool, file: Option<&Path>) {
    if let Some(command) = &plan.by_hand {
        let file = file.map_or_else(|| "FILE".to_owned(), |file| file.display().to_string());
        let command = command.replace("FILE", &file);
        say(format_args!("this is not applied yet; that does: {command}"));
        return say(format_args!("the runtime is then {}", plan.url));
    }
    let count = |verb| plan.steps.iter().filter(|step| step.verb == verb).count();
    let (made, changed) = (count(Verb::Create), count(Verb::Change));
    let removed = count(Verb::Remove);
    match (plan.changes(), is_dry) {
        (true, true) => say(format_args!(
            "would make {made}, change {changed} and remove {removed}; nothing was done"
        )),
        (true, false) => say(format_args!("made {made}, changed {changed}, removed {removed}")),
        (false, _) => say(format_args!("everything is as it should be")),
    }
}

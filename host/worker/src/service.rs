//! What takes batches: the engine, behind a thread per slot, and the gate in front.

use std::sync::Arc;

use samara_core::nested::DEPTH_MAX;
use samara_core::{Error, Gate, SystemClock};
use samara_engine::{Engine, Handler, SecretsDir};
use samara_runtimes::host::{Nesting, Service};
use samara_runtimes::local::PAUSED_MAX;
use samara_store::Locator;
use samara_tenants::Tenants;

use crate::isolate;
use crate::settings::Settings;

/// The program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why there is no service.
#[derive(Debug)]
pub(crate) enum Failed {
    /// A setting makes no sense, or this host is too old to run.
    Settings(String),
    /// The machine can run no guests.
    Engine(String),
}

/// Everything that takes batches.
pub(crate) fn build(
    settings: &Settings,
    io: &tokio::runtime::Handle,
    locator: &Arc<Locator>,
) -> Result<Arc<Service>, Failed> {
    let tenants = tenants(settings, locator)?;
    let runtime = match settings.isolate.zip(tenants.as_ref()) {
        Some((isolation, tenants)) => isolate::runtime(settings, isolation, tenants, io)?,
        None => runtime(settings, io, locator).map_err(|error| Failed::Engine(error.message))?,
    };
    let gate = tenants.map(|tenants| tenants as Arc<dyn Gate>);
    Ok(Service::by_way(settings.place.name, runtime, VERSION, gate))
}

/// The tenants, where the host knows some; they decide who may send batches.
pub(crate) fn tenants(
    settings: &Settings,
    locator: &Arc<Locator>,
) -> Result<Option<Arc<Tenants>>, Failed> {
    let Some(path) = &settings.tenants else { return Ok(None) };
    let canonical = {
        let locator = Arc::clone(locator);
        move |url: &str| locator.canonical(url).map_err(|error| error.to_string())
    };
    let clock = Arc::new(SystemClock::new());
    let tenants = Tenants::open(path, Arc::new(canonical), clock).map_err(|faults| {
        let named = faults.iter().map(|fault| match fault.starts_with(&*path.to_string_lossy()) {
            // The file itself, which it names.
            true => format!("SAMARA_HOST_TENANTS: {fault}"),
            false => format!("{}: {fault}", path.display()),
        });
        Failed::Settings(named.collect::<Vec<_>>().join("\n"))
    })?;
    match tenants.refuses_version(VERSION) {
        Some(why) => Err(Failed::Settings(format!("{}: {why}", path.display()))),
        None => Ok(Some(Arc::new(tenants))),
    }
}

fn runtime(
    settings: &Settings,
    io: &tokio::runtime::Handle,
    locator: &Arc<Locator>,
) -> Result<Arc<dyn samara_core::Runtime>, Error> {
    let mut config = samara_engine::Config::default();
    let secrets = settings.secrets.as_ref().map(SecretsDir::new);
    config.secrets = secrets.map(|secrets| Arc::new(secrets) as _);
    config.cache_dir.clone_from(&settings.cache_dir);
    config.cache_key.clone_from(&settings.cache_key);
    config.cache_key_file.clone_from(&settings.cache_key_file);
    config.clock = Arc::new(SystemClock::new());
    config.compiler = settings.compiler(&config.clock);
    config.fuel = settings.count_fuel;
    if settings.tenants.is_some() {
        // Those that stand still keep theirs.
        let all = settings.slots.unwrap_or(0).saturating_add(PAUSED_MAX).saturating_add(1);
        config.instances_max = config.instances_max.max(u32::try_from(all).unwrap_or(u32::MAX));
    }
    let nests = match &settings.tenants {
        // A tenant's quota is of tasks at the same moment, which those that wait would count for.
        Some(_) => Nests::No,
        None => Nests::Yes,
    };
    run_here(config, settings.slots, nests, (io, locator))
}

/// Whether tasks may start jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nests {
    Yes,
    No,
}

/// Runs batches in this process.
pub(crate) fn run_here(
    mut config: samara_engine::Config,
    slots: Option<usize>,
    nests: Nests,
    (io, locator): (&tokio::runtime::Handle, &Arc<Locator>),
) -> Result<Arc<dyn samara_core::Runtime>, Error> {
    let instances = slots.and_then(|slots| u32::try_from(slots).ok()).unwrap_or(0);
    // One is left for each level of jobs within jobs.
    let instances = instances.saturating_add(DEPTH_MAX).saturating_add(1);
    config.instances_max = config.instances_max.max(instances);
    let clock = Arc::clone(&config.clock);
    let engine = Engine::new(&config, io.clone())?;
    let handler = Arc::new(Handler::new(engine, Arc::clone(locator)));
    let mut context = samara_runtimes::Context::default();
    context.slots = slots;
    context.handler = Some(Arc::clone(&handler) as _);
    let runtime = samara_runtimes::open("local:", &context)?;
    if nests == Nests::No {
        return Ok(runtime);
    }
    let nesting = Nesting::new(runtime, Arc::clone(locator) as _, clock, io.clone());
    handler.set_jobs(nesting.starter());
    Ok(Arc::new(nesting))
}

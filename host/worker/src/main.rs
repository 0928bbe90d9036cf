//! The host: finds out where it is, reads its settings once, serves, and drains.

mod arguments;
mod compile;
mod isolate;
mod service;
mod settings;
mod stop;
mod stores;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use samara_core::{Error, ErrorKind, Retry, SystemClock};
use samara_runtimes::host::{Ended, Host, Planned, Service, Variables};
use samara_store::Locator;
use tokio::sync::watch;

use crate::arguments::Arguments;
use crate::service::Failed;
use crate::settings::Settings;

/// Threads for requests and for I/O. Guests have their own.
const IO_THREADS: usize = 2;

/// How a host ends, for who started it. What is not here ends with 1.
mod code {
    /// Nothing that was taken is undone.
    pub(crate) const DONE: u8 = 0;
    /// What was not done in time went back to its driver.
    pub(crate) const HANDED_BACK: u8 = 3;
    /// The machine can run no guests. sysexits.h, EX_SOFTWARE.
    pub(crate) const ENGINE: u8 = 70;
    /// The store did not give what there is to do, or did not take an answer. sysexits.h,
    /// EX_TEMPFAIL.
    pub(crate) const STORE: u8 = 75;
    /// Who started it may not have that done. sysexits.h, EX_NOPERM.
    pub(crate) const DENIED: u8 = 77;
    /// A setting makes no sense, or the host cannot listen. sysexits.h, EX_CONFIG.
    pub(crate) const SETTINGS: u8 = 78;
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(order) = &arguments.compile {
        return compile::child::run(order);
    }
    if arguments.isolated {
        return isolate::child::run();
    }
    let settings = match Settings::read(&arguments, variables()) {
        Ok(settings) => settings,
        Err(faults) => return ended(code::SETTINGS, &faults.join("\n")),
    };
    settings.log();
    if arguments.check {
        return check(&settings);
    }
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("samara-io")
        .enable_all()
        .build();
    let io = match io {
        Ok(io) => io,
        Err(error) => return ended(code::ENGINE, &format!("cannot start threads: {error}")),
    };
    let locator = Arc::new(Locator::default().with_settings(settings.stores.clone()));
    let service = match service::build(&settings, io.handle(), &locator) {
        Ok(service) => service,
        Err(Failed::Settings(why)) => return ended(code::SETTINGS, &why),
        Err(Failed::Engine(why)) => return ended(code::ENGINE, &why),
    };
    let served = io.block_on(serve(settings, Arc::clone(&service), locator));
    service.close();
    // A guest that cannot be stopped does not keep the process.
    io.shutdown_background();
    match served {
        Ok(Ended::Done) => ended(code::DONE, "ended; all that was taken was done"),
        Ok(Ended::HandedBack) => {
            ended(code::HANDED_BACK, "ended; what was not done in time went back to its driver")
        }
        Err(error) => ended(code_of(&error), &error.message),
    }
}

/// How a host ends that could not serve, or not to its end.
fn code_of(error: &Error) -> u8 {
    match error.kind {
        ErrorKind::Denied => code::DENIED,
        _ if error.retry == Retry::Later => code::STORE,
        _ => code::SETTINGS,
    }
}

/// Says what there is to say of the settings, and of what the machine has for them.
fn check(settings: &Settings) -> ExitCode {
    let locator = Arc::new(Locator::default().with_settings(settings.stores.clone()));
    if let Err(Failed::Settings(why) | Failed::Engine(why)) = service::tenants(settings, &locator) {
        return ended(code::SETTINGS, &why);
    }
    let planned = Planned {
        variables: &settings.variables,
        listen: settings.listen.as_deref(),
        knows_some: !settings.tokens.is_empty() || settings.tenants.is_some(),
        tls: settings.tls.as_deref(),
    };
    if let Err(error) = settings.place.check(&planned) {
        return ended(code::SETTINGS, &error.message);
    }
    let mut text = format!("settings are sound: {}\n", settings.place.name);
    if let Some(isolation) = settings.isolate {
        match isolate::check(settings, isolation) {
            Ok(all) => all.iter().for_each(|it| text.push_str(&format!("{it}\n"))),
            Err(why) => return ended(code::SETTINGS, &why),
        }
    }
    let _nobody_reads = std::io::stdout().write_all(text.as_bytes());
    ExitCode::from(code::DONE)
}

/// What the environment says.
#[allow(clippy::disallowed_methods, reason = "the edge of this program")]
fn variables() -> Variables {
    let known = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(known).collect()
}

async fn serve(
    settings: Settings,
    service: Arc<Service>,
    depot: Arc<Locator>,
) -> Result<Ended, Error> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(stop::at_the_end(stop, settings.with_parent));
    let place = settings.place;
    tracing::info!(surroundings = place.name, version = env!("CARGO_PKG_VERSION"), "starting");
    let tls = settings
        .tls
        .as_ref()
        .map_or("none", |tls| if tls.is_mutual() { "mutual" } else { "one-way" });
    let listening = move |address: &str| {
        tracing::info!(address, tls, "listening");
        // Whoever started this waits for the line. That nobody reads it is no fault.
        let _nobody = writeln!(std::io::stdout(), "listening on {address}");
    };
    let host = Host {
        service,
        variables: settings.variables,
        listen: settings.listen,
        tokens: settings.tokens,
        tls: settings.tls,
        grace: settings.grace.unwrap_or(place.grace),
        stop: stopped,
        clock: Arc::new(SystemClock::new()),
        depot,
        listening: Box::new(listening),
    };
    place.serve(host).await
}

/// Ends, and says why.
fn ended(code: u8, why: &str) -> ExitCode {
    match code {
        code::DONE => tracing::info!("{why}"),
        _ => drop(writeln!(std::io::stderr(), "samara-host: {why}")),
    }
    ExitCode::from(code)
}

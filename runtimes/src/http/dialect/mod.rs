//! What is different from platform to platform: by what a host is told where it is, where it has to
//! listen, and how requests are wrapped.
//!
//! | file | platforms |
//! |---|---|
//! | `plain.rs` | those that start containers and pass requests on as they are |
//! | `azure_functions.rs` | Azure Functions, as a custom handler |
//! | `openfaas.rs` | OpenFaaS |
//! | `openwhisk.rs` | OpenWhisk, as an action of a container |
//! | `fn_project.rs` | Fn, and Oracle Functions |
//! | `function_compute.rs` | Function Compute of Alibaba Cloud |
//! | `envelope.rs` | what platforms with envelopes of JSON have in common |

mod azure_functions;
mod envelope;
mod fn_project;
mod function_compute;
mod openfaas;
mod openwhisk;
mod plain;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::{Response, StatusCode};
use samara_core::{Clock, Error, ErrorKind};

use super::handle::{Asked, Body};
use super::listen::Address;
use super::serve::{CLOSE_TIME, serve};
use crate::host::{Defaults, Host, Planned, Surroundings, Variables};
use crate::push::CANCEL_GRACE;

/// The port where none is said.
const PORT: u16 = 8080;

/// What a host that ends needs beside the rest: to hear of it, and to leave its processes.
const LEAVING: Duration = Duration::from_secs(1);

/// How a platform speaks to its containers.
pub(super) struct Dialect {
    /// Where to listen, by what the environment says.
    pub(super) address: fn(&Variables) -> Result<Address, Error>,
    /// Who sees to it that not everybody runs tasks.
    pub(super) door: Door,
    /// Whether answers reach the driver as they come.
    pub(super) streams: bool,
    /// Bytes of a batch, and of an answer that goes as a whole.
    pub(super) bytes_max: u64,
    /// How long the platform waits for an answer, where it does not say it in each request.
    pub(super) time_max: fn(&Variables) -> Option<Duration>,
    /// Whether requests may have an envelope, with the ticket in it.
    pub(super) wraps: bool,
    /// Takes a request out of its envelope.
    pub(super) open: fn(Asked, &State) -> Opened,
    /// Says why a request was not even read.
    pub(super) refuse: fn(StatusCode, &str) -> Response<Body>,
}

/// Who sees to it that not everybody runs tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// The platform lets in only whom its owner named.
    Platform,
    /// Tokens, but where nobody outside of this machine can reach the address.
    Reach,
    /// Tokens: the platform passes on to an address of this machine what comes from anywhere.
    Tokens,
}

/// What a host remembers from request to request.
#[derive(Debug)]
pub(super) struct State {
    clock: Arc<dyn Clock>,
    /// Whether the platform has said that the host may begin.
    initialized: AtomicBool,
}

/// Puts an answer into its envelope.
pub(super) type Close = Box<dyn FnOnce(Response<Bytes>) -> Response<Body> + Send>;

/// A request as the host understands it.
pub(super) enum Opened {
    /// It had no envelope.
    Plain(Asked),
    /// It had one, and the answer needs one too.
    Enveloped(Asked, Close),
    /// It was for the platform's own sake, or cannot be understood.
    Answered(Response<Body>),
}

/// The grace where a platform kills so many seconds after its signal: what is not done by then has to
/// be given back, and the connections closed, before it does. A host that is killed in the middle of
/// that loses its tasks, and each of them an attempt.
const fn killed_after(seconds: u64) -> Duration {
    let ending = CANCEL_GRACE.saturating_add(CLOSE_TIME).saturating_add(LEAVING);
    Duration::from_secs(seconds).saturating_sub(ending)
}

/// Functions come before containers: they run in containers of the same platforms, which have the
/// variables of both. The last row is where nothing else fits.
pub(crate) const SURROUNDINGS: &[Surroundings] = &[
    Surroundings {
        name: "azure-functions",
        doc: "Azure Functions, as a custom handler: a port in FUNCTIONS_CUSTOMHANDLER_PORT",
        told_by: Some("FUNCTIONS_CUSTOMHANDLER_PORT"),
        grace: killed_after(10),
        defaults: |_| Defaults::default(),
        check: |planned| check_in(planned, &azure_functions::DIALECT),
        serve: |host| serve_in(host, &azure_functions::DIALECT).boxed(),
        embed: None,
    },
    Surroundings {
        name: "openfaas",
        doc: "OpenFaaS, in the watchdog's place: port 8080",
        told_by: Some("OPENFAAS_NAME"),
        grace: killed_after(30),
        defaults: |_| Defaults::default(),
        check: |planned| check_in(planned, &openfaas::DIALECT),
        serve: |host| serve_in(host, &openfaas::DIALECT).boxed(),
        embed: None,
    },
    Surroundings {
        name: "openwhisk",
        doc: "OpenWhisk, as an action of a container image: port 8080",
        told_by: Some("__OW_API_HOST"),
        grace: killed_after(10),
        defaults: |_| Defaults::default(),
        check: |planned| check_in(planned, &openwhisk::DIALECT),
        serve: |host| serve_in(host, &openwhisk::DIALECT).boxed(),
        embed: None,
    },
    Surroundings {
        name: "fn",
        doc: "Fn and Oracle Functions: a socket in FN_LISTENER",
        told_by: Some("FN_LISTENER"),
        grace: killed_after(10),
        defaults: |_| Defaults::default(),
        check: |planned| check_in(planned, &fn_project::DIALECT),
        serve: |host| serve_in(host, &fn_project::DIALECT).boxed(),
        embed: None,
    },
    Surroundings {
        name: "function-compute",
        doc: "Alibaba Cloud's Function Compute: a port in FC_CUSTOM_LISTEN_PORT or FC_SERVER_PORT",
        told_by: Some("FC_FUNCTION_NAME"),
        grace: killed_after(10),
        defaults: |_| Defaults::default(),
        check: |planned| check_in(planned, &function_compute::DIALECT),
        serve: |host| serve_in(host, &function_compute::DIALECT).boxed(),
        embed: None,
    },
    Surroundings {
        name: "container-apps",
        doc: "Azure Container Apps: a port in CONTAINER_APP_PORT or PORT",
        told_by: Some("CONTAINER_APP_NAME"),
        grace: killed_after(30),
        defaults: |_| Defaults::default(),
        check: |planned| check_in(planned, &plain::CONTAINER_APPS),
        serve: |host| serve_in(host, &plain::CONTAINER_APPS).boxed(),
        embed: None,
    },
    // It is Knative inside, and has its variables too.
    Surroundings {
        name: "code-engine",
        doc: "IBM Cloud Code Engine: a port in PORT",
        told_by: Some("CE_APP"),
        grace: killed_after(30),
        defaults: |_| Defaults::default(),
        check: |planned| check_in(planned, &plain::CONTAINER),
        serve: |host| serve_in(host, &plain::CONTAINER).boxed(),
        embed: None,
    },
    Surroundings {
        name: "knative",
        doc: "Cloud Run and Knative: a port in PORT",
        told_by: Some("K_SERVICE"),
        grace: killed_after(10),
        defaults: |_| Defaults::default(),
        check: |planned| check_in(planned, &plain::KNATIVE),
        serve: |host| serve_in(host, &plain::KNATIVE).boxed(),
        embed: None,
    },
    Surroundings {
        name: "app-runner",
        doc: "AWS App Runner: a port in PORT",
        told_by: None,
        grace: killed_after(10),
        defaults: |_| Defaults::default(),
        check: |planned| check_in(planned, &plain::CONTAINER),
        serve: |host| serve_in(host, &plain::CONTAINER).boxed(),
        embed: None,
    },
    Surroundings {
        name: "fargate",
        doc: "ECS and Fargate: a port in PORT",
        told_by: Some("ECS_CONTAINER_METADATA_URI_V4"),
        grace: killed_after(30),
        defaults: |_| Defaults::default(),
        check: |planned| check_in(planned, &plain::CONTAINER),
        serve: |host| serve_in(host, &plain::CONTAINER).boxed(),
        embed: None,
    },
    Surroundings {
        name: "http",
        doc: "plain HTTP, on 127.0.0.1:8080 unless told otherwise",
        told_by: None,
        grace: killed_after(30),
        defaults: |_| Defaults::default(),
        check: |planned| check_in(planned, &plain::HERE),
        serve: |host| serve_in(host, &plain::HERE).boxed(),
        embed: None,
    },
];

async fn serve_in(host: Host, dialect: &'static Dialect) -> Result<crate::host::Ended, Error> {
    let address = address(host.listen.as_deref(), &host.variables, dialect)?;
    serve(host, address, dialect).await
}

fn check_in(planned: &Planned<'_>, dialect: &'static Dialect) -> Result<(), Error> {
    let address = address(planned.listen, planned.variables, dialect)?;
    super::serve::check(planned, &address, dialect.door)
}

fn address(said: Option<&str>, variables: &Variables, dialect: &Dialect) -> Result<Address, Error> {
    match said {
        Some(said) => Address::parse(said),
        None => (dialect.address)(variables),
    }
}

/// The port that a variable names; one that is empty names none.
fn port(variables: &Variables, name: &str) -> Result<Option<u16>, Error> {
    let Some(said) = variables.get(name).filter(|said| !said.is_empty()) else { return Ok(None) };
    said.parse().map(Some).map_err(|_| {
        Error::new(ErrorKind::Invalid, format!("{name} is `{said}`, which is no port"))
    })
}

// === impl State ===

impl State {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, initialized: AtomicBool::new(false) }
    }

    /// The time until a moment since the Unix epoch.
    fn until(&self, deadline: Option<Duration>) -> Option<Duration> {
        deadline.map(|deadline| deadline.saturating_sub(self.clock.unix()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each row is served with.
    const DIALECTS: &[(&str, &Dialect)] = &[
        ("azure-functions", &azure_functions::DIALECT),
        ("openfaas", &openfaas::DIALECT),
        ("openwhisk", &openwhisk::DIALECT),
        ("fn", &fn_project::DIALECT),
        ("function-compute", &function_compute::DIALECT),
        ("container-apps", &plain::CONTAINER_APPS),
        ("code-engine", &plain::CONTAINER),
        ("knative", &plain::KNATIVE),
        ("app-runner", &plain::CONTAINER),
        ("fargate", &plain::CONTAINER),
        ("http", &plain::HERE),
    ];

    const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/hosts.md"));

    /// A row of the page, as the code has it.
    fn row(place: &Surroundings, dialect: &Dialect) -> String {
        let told_by = place.told_by.map(|name| format!("`{name}`"));
        let told_by = told_by.unwrap_or_else(|| "`--as` alone".to_owned());
        let told_by = if place.name == "http" { "nothing else".to_owned() } else { told_by };
        let address = (dialect.address)(&Variables::new());
        let listens = address.map_or_else(|_| "as told".to_owned(), |it| format!("`{it}`"));
        let answers = if dialect.streams { "stream" } else { "whole" };
        let door = match dialect.door {
            Door::Platform => "the platform",
            Door::Reach => "tokens, unless nobody else can reach it",
            Door::Tokens => "tokens",
        };
        let (name, grace) = (place.name, place.grace.as_secs());
        format!("| `{name}` | {told_by} | {listens} | {answers} | {door} | {grace} s |")
    }

    /// Seconds from the signal to the kill. Cloud Run, Container Apps, Fargate and Kubernetes document
    /// theirs; the others have what their like have, and are not known to give less.
    const KILLED_AFTER: &[(&str, u64)] = &[
        ("azure-functions", 10),
        // Kubernetes' own: a pod's `terminationGracePeriodSeconds`.
        ("openfaas", 30),
        ("openwhisk", 10),
        ("fn", 10),
        ("function-compute", 10),
        // https://learn.microsoft.com/azure/container-apps/application-lifecycle-management
        ("container-apps", 30),
        ("code-engine", 30),
        // https://cloud.google.com/run/docs/container-contract#instance-shutdown
        ("knative", 10),
        ("app-runner", 10),
        // `stopTimeout` of a container.
        ("fargate", 30),
        ("http", 30),
    ];

    #[test]
    fn a_host_has_ended_before_its_platform_kills_it() {
        assert!(SURROUNDINGS.iter().map(|place| place.name).eq(KILLED_AFTER.iter().map(|it| it.0)));
        for (place, (name, seconds)) in SURROUNDINGS.iter().zip(KILLED_AFTER) {
            let ends = place.grace + CANCEL_GRACE + CLOSE_TIME;
            assert!(ends < Duration::from_secs(*seconds), "{name}: {ends:?} of {seconds} s");
            assert!(
                place.grace >= Duration::from_secs(*seconds) / 2,
                "{name}: half of it is theirs"
            );
        }
    }

    #[test]
    fn the_page_has_every_row_as_it_is() {
        assert!(SURROUNDINGS.iter().map(|place| place.name).eq(DIALECTS.iter().map(|it| it.0)));
        for (place, (_, dialect)) in SURROUNDINGS.iter().zip(DIALECTS) {
            let row = row(place, dialect);
            assert!(PAGE.lines().any(|line| line == row), "docs/guide/hosts.md has no row\n{row}");
        }
    }

    #[test]
    fn ports_are_what_variables_say() {
        let said = |pairs: &[(&str, &str)]| -> Variables {
            pairs.iter().map(|(name, said)| ((*name).to_owned(), (*said).to_owned())).collect()
        };
        for (dialect, pairs, listens) in [
            (
                &azure_functions::DIALECT,
                &[("FUNCTIONS_CUSTOMHANDLER_PORT", "81")][..],
                "127.0.0.1:81",
            ),
            (&plain::CONTAINER_APPS, &[("CONTAINER_APP_PORT", "82"), ("PORT", "9")], "0.0.0.0:82"),
            (&plain::CONTAINER_APPS, &[("PORT", "83")], "0.0.0.0:83"),
            (&plain::CONTAINER, &[("PORT", "")], "0.0.0.0:8080"),
            (&openfaas::DIALECT, &[("PORT", "")], "0.0.0.0:8080"),
            (&function_compute::DIALECT, &[("FC_CUSTOM_LISTEN_PORT", "84")], "0.0.0.0:84"),
            (&function_compute::DIALECT, &[("FC_SERVER_PORT", "85")], "0.0.0.0:85"),
            (&plain::HERE, &[], "127.0.0.1:8080"),
        ] {
            assert_eq!((dialect.address)(&said(pairs)).unwrap().to_string(), listens);
        }
        let error = (plain::HERE.address)(&said(&[("PORT", "many")])).unwrap_err();
        assert!(error.message.contains("PORT is `many`"), "{error}");
    }
}

//! Platforms that start containers and pass requests on as they are. They differ in where the port is
//! said, and in who sees to it that not everybody comes in.
//!
//! Only Cloud Run does so by itself, unless its owner decides otherwise. Azure Container Apps and App
//! Runner are public by default, Code Engine's endpoints too, and ECS leaves it to what is in front.

use std::time::Duration;

use super::{Dialect, Door, Opened, PORT, port};
use crate::http::handle::text;
use crate::http::listen::Address;
use crate::push::BATCH_BYTES_MAX;

/// Plain HTTP, for programs of this machine unless told otherwise.
pub(super) static HERE: Dialect = Dialect {
    address: |variables| {
        Ok(port(variables, "PORT")?.map_or_else(|| Address::here(PORT), Address::everywhere))
    },
    door: Door::Reach,
    streams: true,
    bytes_max: BATCH_BYTES_MAX,
    time_max: |_| None::<Duration>,
    wraps: false,
    open: |asked, _| Opened::Plain(asked),
    refuse: |status, why| text(status, why.to_owned()),
};

/// A container that others can reach: Code Engine ("Automatically injected environment variables":
/// `CE_APP` and `PORT`), App Runner ("Developing application code for App Runner": `PORT`, and 8080
/// by default; no variable says that it is App Runner), and ECS ("Amazon ECS task metadata endpoint
/// version 4": `ECS_CONTAINER_METADATA_URI_V4`; a port only where the task's definition says one).
pub(super) static CONTAINER: Dialect = Dialect {
    address: |variables| Ok(Address::everywhere(port(variables, "PORT")?.unwrap_or(PORT))),
    ..HERE
};

/// Cloud Run ("Container runtime contract") and Knative: `K_SERVICE` and `PORT`.
pub(super) static KNATIVE: Dialect = Dialect { door: Door::Platform, ..CONTAINER };

/// Azure Container Apps ("Manage environment variables on Azure Container Apps"):
/// `CONTAINER_APP_NAME` and `CONTAINER_APP_PORT`, the port that its ingress is set to.
pub(super) static CONTAINER_APPS: Dialect = Dialect {
    address: |variables| match port(variables, "CONTAINER_APP_PORT")? {
        Some(port) => Ok(Address::everywhere(port)),
        None => (CONTAINER.address)(variables),
    },
    ..CONTAINER
};

//! Platforms that run images: a manifest says what is to run, and the platform's own command applies
//! it. Samara writes the manifest, names the command, and does not pretend to have applied it.

mod config;
mod manifest;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use samara_core::{Error, ErrorKind};

use self::config::Config;
use super::package::{self, content_name};
use super::{Deployer, Deployment, Document, Event, Plan, Step, Wanted};

/// A platform that runs images.
#[derive(Debug)]
pub(super) struct Platform {
    /// The scheme of its URLs.
    pub(super) scheme: &'static str,
    /// What its URLs may say beside the name.
    pub(super) options: &'static [&'static str],
    /// Characters that a name may have.
    pub(super) name_max: usize,
    /// How long a request may take, and at most, where that can be said.
    pub(super) time: Option<(Duration, Duration)>,
    /// Whether hosts run as somebody whom the manifest names.
    pub(super) has_roles: bool,
    /// Whether the platform starts as many hosts as are needed.
    pub(super) scales: bool,
    /// The manifest, with names in braces.
    template: &'static str,
    /// Fills the template's lists.
    lists: fn(&manifest::Filled<'_>) -> manifest::Lists,
    /// What applies the manifest (`FILE`), removes it, and shows what runs; with names in braces.
    commands: Commands,
}

/// Commands of the platform.
#[derive(Debug)]
struct Commands {
    apply: &'static str,
    remove: &'static str,
    list: &'static str,
    status: &'static str,
    logs: &'static str,
    /// The runtime's URL, once it runs.
    url: &'static str,
}

/// One deployment of one platform.
#[derive(Debug)]
struct Container {
    config: Config,
}

const fn minutes(number: u64) -> Duration {
    Duration::from_secs(60 * number)
}

/// Knative's own limit is ten minutes, unless who runs it raised it.
const PLATFORMS: &[Platform] = &[
    Platform {
        scheme: "knative",
        options: &["namespace"],
        name_max: 63,
        time: Some((minutes(10), minutes(10))),
        has_roles: true,
        scales: true,
        template: include_str!("knative.yaml"),
        lists: manifest::knative,
        commands: Commands {
            apply: "kubectl apply --namespace {namespace} -f FILE",
            remove: "kubectl delete --namespace {namespace} services.serving.knative.dev/{name}",
            list: "kubectl get --namespace {namespace} services.serving.knative.dev \
                   -l samara-deployment",
            status: "kubectl get --namespace {namespace} services.serving.knative.dev/{name}",
            logs: "kubectl logs --namespace {namespace} -c host -l samara-deployment={name}",
            url: "http://{name}.{namespace}.DOMAIN",
        },
    },
    Platform {
        scheme: "cloud-run",
        options: &["region"],
        name_max: 49,
        time: Some((minutes(15), minutes(60))),
        has_roles: true,
        scales: true,
        template: include_str!("cloud-run.yaml"),
        lists: manifest::cloud_run,
        commands: Commands {
            apply: "gcloud run services replace FILE --region {region}",
            remove: "gcloud run services delete {name} --region {region}",
            list: "gcloud run services list --filter metadata.labels.samara-deployment:*",
            status: "gcloud run services describe {name} --region {region}",
            logs: "gcloud run services logs read {name} --region {region}",
            url: "https://{name}-PROJECT.{region}.run.app",
        },
    },
    Platform {
        scheme: "container-apps",
        options: &["environment", "group", "location"],
        name_max: 32,
        time: None,
        has_roles: true,
        scales: true,
        template: include_str!("container-apps.yaml"),
        lists: manifest::container_apps,
        commands: Commands {
            apply: "az containerapp create --name {name} --resource-group {group} \
                    --yaml FILE",
            remove: "az containerapp delete --name {name} --resource-group {group}",
            list: "az containerapp list --query \"[?tags.\\\"samara-deployment\\\"]\"",
            status: "az containerapp show --name {name} --resource-group {group}",
            logs: "az containerapp logs show --name {name} --resource-group {group}",
            url: "https://{name}.ENVIRONMENT.{location}.azurecontainerapps.io",
        },
    },
    Platform {
        scheme: "openfaas",
        options: &["gateway"],
        name_max: 63,
        time: Some((minutes(15), minutes(60 * 24))),
        has_roles: false,
        scales: true,
        template: include_str!("openfaas.yaml"),
        lists: manifest::openfaas,
        commands: Commands {
            apply: "faas-cli deploy -f FILE",
            remove: "faas-cli remove {name} --gateway {gateway}",
            list: "faas-cli list --gateway {gateway}",
            status: "faas-cli describe {name} --gateway {gateway}",
            logs: "faas-cli logs {name} --gateway {gateway}",
            url: "{gateway}/function/{name}",
        },
    },
    Platform {
        scheme: "compose",
        options: &["port"],
        name_max: 63,
        time: None,
        has_roles: false,
        scales: false,
        template: include_str!("compose.yaml"),
        lists: manifest::compose,
        commands: Commands {
            apply: "podman-compose -f FILE up --detach",
            remove: "podman-compose -f FILE down",
            list: "podman ps --filter label=samara-deployment",
            status: "podman ps --filter label=samara-deployment={name}",
            logs: "podman-compose -f FILE logs {name}",
            url: "http://127.0.0.1:{port}",
        },
    },
];

/// Opens the deployment that a URL names.
pub(super) fn open(url: &str) -> Result<Box<dyn Deployer>, Error> {
    let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
    let platform = PLATFORMS.iter().find(|platform| platform.scheme == scheme);
    let platform = platform.expect("the table of platforms has rows of this one's");
    Ok(Box::new(Container { config: Config::parse(url, platform)? }))
}

// === impl Container ===

impl Container {
    /// What the platform's own command does.
    fn elsewhere<T>(&self, doing: &str, command: &str) -> Result<T, Error> {
        let command = self.config.fill(command)?;
        let text = format!("Samara does not {doing} what another command applied; try: {command}");
        Err(Error::new(ErrorKind::Invalid, text))
    }
}

#[async_trait]
impl Deployer for Container {
    async fn plan(&self, wanted: &Wanted) -> Result<Plan, Error> {
        let hash = match &wanted.host {
            Some(path) => package::hash_of_program(path)?,
            None => String::new(),
        };
        let platform = self.config.platform;
        let text = manifest::write(&self.config, wanted, &hash, platform)?;
        let url = self.config.fill(platform.commands.url)?;
        Ok(Plan {
            url: url.clone(),
            exact_url: url,
            host: hash,
            steps: Vec::new(),
            documents: vec![Document { about: "the manifest".to_owned(), text }],
            by_hand: Some(self.config.fill(platform.commands.apply)?),
        })
    }

    async fn apply(&self, wanted: &Wanted) -> Result<Plan, Error> {
        self.plan(wanted).await
    }

    async fn plan_removal(&self, _keep_logs: bool) -> Result<Vec<Step>, Error> {
        self.elsewhere("remove", self.config.platform.commands.remove)
    }

    async fn remove(&self, _keep_logs: bool) -> Result<Vec<Step>, Error> {
        self.elsewhere("remove", self.config.platform.commands.remove)
    }

    async fn list(&self) -> Result<Vec<Deployment>, Error> {
        self.elsewhere("list", self.config.platform.commands.list)
    }

    async fn status(&self, _host: Option<&Path>) -> Result<Option<Deployment>, Error> {
        self.elsewhere("look at", self.config.platform.commands.status)
    }

    async fn logs(&self, _from: Duration) -> Result<Vec<Event>, Error> {
        self.elsewhere("read the logs of", self.config.platform.commands.logs)
    }
}

/// What labels say of a host: the digits that stand in names.
fn label(hash: &str) -> String {
    content_name(hash)
}

//! Deployments in Lambda: a function that is a host, a role with its rights, a log group.
//!
//! A content is a published version with an alias of its own, `h-` and the first digits of its
//! hash. `lambda://NAME` is the newest, `lambda://NAME:h-…` an exact one, which stays until it is
//! pruned. Everything is tagged `samara:deployment=NAME`; what is not tagged so is never touched.

mod account;
mod answer;
mod apply;
mod code;
mod found;
mod look;
mod plan;
mod policies;
mod remove;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use samara_core::{Error, ErrorKind};

use self::account::Aws;
use self::found::Found;
use self::plan::{Desired, Planned};
use super::config::Config;
use crate::deploy::{Deployer, Deployment, Document, Event, Plan, Step, Wanted};

/// Deployments of one name, or of none, at one place.
#[derive(Debug)]
struct Lambda {
    config: Config,
}

/// Opens the deployment, or the place, that a URL names.
pub(crate) fn open(url: &str) -> Result<Box<dyn Deployer>, Error> {
    let rest = url.split_once(':').map_or("", |(_, rest)| rest);
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A place has no name; the configuration asks for one.
    let is_place = name.trim_matches('/').is_empty();
    let mut config = match is_place {
        true => Config::parse(&format!("lambda://place?{query}"))?,
        false => Config::parse(url)?,
    };
    if is_place {
        config.name.clear();
    }
    if config.qualifier.is_some() {
        let text = format!(
            "`{url}` names one content of a deployment; deployments go by their name alone: \
             lambda://{}",
            config.name
        );
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    Ok(Box::new(Lambda { config }))
}

// === impl Lambda ===

impl Lambda {
    /// The services, for one deployment.
    async fn connect(&self) -> Result<Aws, Error> {
        if self.config.name.is_empty() {
            let text = "the URL names no deployment: lambda://NAME";
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Aws::connect(&self.config).await
    }

    /// What is there, what is wanted, and the way from one to the other.
    async fn prepare(&self, wanted: &Wanted) -> Result<(Aws, Desired, Vec<Planned>), Error> {
        let program = wanted.program()?.to_owned();
        // Packing a release takes a second, and the threads of requests have others to serve.
        let packing = tokio::task::spawn_blocking(move || code::package(&program));
        let package = packing.await.map_err(|error| internal(&error))??;
        let aws = self.connect().await?;
        let found = Found::look(&aws).await?;
        found.check(&aws.place.name)?;
        let desired = Desired::new(wanted, &found, package, &aws.place)?;
        let steps = plan::plan(&desired, &found, &aws.place);
        Ok((aws, desired, steps))
    }

    fn plan_of(&self, aws: &Aws, desired: &Desired, steps: Vec<Step>) -> Plan {
        Plan {
            url: self.url(None),
            exact_url: self.url(Some(&desired.content)),
            host: desired.hash.clone(),
            steps,
            documents: documents(aws, desired),
            by_hand: None,
        }
    }

    /// The runtime's URL, of one content or of the newest.
    fn url(&self, content: Option<&str>) -> String {
        url(&self.config, &self.config.name, content)
    }
}

/// The URL of a deployment at the place of a configuration.
fn url(config: &Config, name: &str, content: Option<&str>) -> String {
    let mut url = format!("lambda://{name}");
    if let Some(content) = content {
        url += &format!(":{content}");
    }
    let options =
        [("region", &config.region), ("profile", &config.profile), ("endpoint", &config.endpoint)];
    let said = options.iter().filter_map(|(option, said)| Some((option, said.as_ref()?)));
    for (index, (option, said)) in said.enumerate() {
        let mark = if index == 0 { '?' } else { '&' };
        url += &format!("{mark}{option}={said}");
    }
    url
}

/// The policies of a deployment.
fn documents(aws: &Aws, desired: &Desired) -> Vec<Document> {
    let place = &aws.place;
    let document = |about: &str, text: &serde_json::Value| Document {
        about: about.to_owned(),
        text: format!("{text:#}\n"),
    };
    let mut documents = Vec::new();
    if desired.makes_role() {
        let about = format!("who may run as the role {}", place.role());
        documents.push(document(&about, &policies::trust(place)));
    }
    documents.extend([
        document("what hosts may do", &desired.host_policy),
        document("what a driver needs that sends tasks there", &desired.driver_policy),
        document(
            "what is needed to deploy, look and remove",
            &policies::deployer(place, desired.bucket.as_deref()),
        ),
    ]);
    documents
}

fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("a step of the deployment ended: {error}"))
}

#[async_trait]
impl Deployer for Lambda {
    async fn plan(&self, wanted: &Wanted) -> Result<Plan, Error> {
        let (aws, desired, planned) = self.prepare(wanted).await?;
        let steps = planned.into_iter().map(|planned| planned.step).collect();
        Ok(self.plan_of(&aws, &desired, steps))
    }

    async fn apply(&self, wanted: &Wanted) -> Result<Plan, Error> {
        let (aws, desired, planned) = self.prepare(wanted).await?;
        let steps = apply::apply(&aws, &desired, planned).await?;
        Ok(self.plan_of(&aws, &desired, steps))
    }

    async fn plan_removal(&self, keep_logs: bool) -> Result<Vec<Step>, Error> {
        let aws = self.connect().await?;
        let found = Found::look(&aws).await?;
        Ok(remove::plan(&found, &aws, keep_logs)?.into_iter().map(|(step, _)| step).collect())
    }

    async fn remove(&self, keep_logs: bool) -> Result<Vec<Step>, Error> {
        let aws = self.connect().await?;
        let found = Found::look(&aws).await?;
        remove::remove(&aws, remove::plan(&found, &aws, keep_logs)?).await
    }

    async fn list(&self) -> Result<Vec<Deployment>, Error> {
        let aws = Aws::connect(&self.config).await?;
        look::list(&aws, &self.config).await
    }

    async fn status(&self, host: Option<&Path>) -> Result<Option<Deployment>, Error> {
        let aws = self.connect().await?;
        let local = match host {
            Some(path) => {
                let path = path.to_owned();
                let reading = tokio::task::spawn_blocking(move || code::package(&path));
                // What cannot be deployed is no reason not to say what is.
                reading.await.map_err(|error| internal(&error))?.ok().map(|local| local.hash())
            }
            None => None,
        };
        look::status(&aws, &self.config, local.as_deref()).await
    }

    async fn logs(&self, from: Duration) -> Result<Vec<Event>, Error> {
        look::logs(&self.connect().await?, from).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_deployment_or_a_place() {
        let config = Config::parse("lambda://a?region=r&endpoint=http://h:1").unwrap();
        assert_eq!(url(&config, "b", None), "lambda://b?region=r&endpoint=http://h:1");
        assert_eq!(url(&config, "b", Some("h-1")), "lambda://b:h-1?region=r&endpoint=http://h:1");
        for place in ["lambda:", "lambda://", "lambda:?region=r", "lambda://?region=r"] {
            open(place).unwrap();
        }
        let error = open("lambda://a:h-0123").unwrap_err();
        assert!(error.message.contains("by their name alone"), "{error}");
        assert!(open("lambda:?pace=1").unwrap_err().message.contains("is no option"));
    }
}

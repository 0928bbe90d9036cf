//! What is deployed: one, all, and what its hosts said.

use std::time::Duration;

use aws_sdk_lambda::types::{Architecture, FunctionConfiguration, State};
use samara_core::Error;

use super::account::{Aws, Place};
use super::answer::Answer as _;
use super::found::{Found, Function, PAGES_MAX, Tags};
use super::plan::{CONTENT, DESCRIPTION, TAG_HOST, TAG_VERSION};
use super::url;
use crate::deploy::{Content, Deployment, Event, TAG_DEPLOYMENT};
use crate::lambda::config::Config;

/// Lines that one look at the log returns at most: what a person reads, and some MB.
const EVENTS_MAX: usize = 10_000;

/// The deployments of a region. Those whose description is ours are asked for their tags.
pub(super) async fn list(aws: &Aws, config: &Config) -> Result<Vec<Deployment>, Error> {
    let (mut found, mut marker) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let request = aws.lambda.list_functions().set_marker(marker);
        let page = request.send().await.said("listing the functions")?;
        for function in page.functions() {
            if !function.description().is_some_and(|text| text.starts_with(DESCRIPTION)) {
                continue;
            }
            let arn = function.function_arn().unwrap_or_default();
            let request = aws.lambda.list_tags().resource(arn).send().await;
            let said = request.said_unless_absent("reading a function's tags")?;
            let tags = said.as_ref().and_then(|said| said.tags()).into_iter().flatten();
            let tags: Tags = tags.map(|(name, said)| (name.clone(), said.clone())).collect();
            if tags.contains_key(TAG_DEPLOYMENT) {
                found.push(described(function, &tags, config));
            }
        }
        marker = page.next_marker().map(str::to_owned);
        if marker.is_none() {
            break;
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// One deployment, compared with the hash of a local host.
pub(super) async fn status(
    aws: &Aws,
    config: &Config,
    local: Option<&str>,
) -> Result<Option<Deployment>, Error> {
    let found = Found::look(aws).await?;
    found.check(&aws.place.name)?;
    let Some(function) = found.function else { return Ok(None) };
    let mut deployment = described(&function.configuration, &function.tags, config);
    deployment.concurrency = function.concurrency.and_then(|number| u32::try_from(number).ok());
    deployment.is_local = local.map(|hash| hash == deployment.host);
    deployment.contents = contents(&function, config, &aws.place);
    Ok(Some(deployment))
}

fn contents(function: &Function, config: &Config, place: &Place) -> Vec<Content> {
    let aliases = function.aliases.iter().filter(|(alias, _)| alias.starts_with(CONTENT));
    let live = crate::deploy::package::content_name(function.tag(TAG_HOST));
    let content = |(alias, number): (&String, &String)| Content {
        url: url(config, &place.name, Some(alias)),
        number: number.clone(),
        is_live: *alias == live,
    };
    aliases.map(content).collect()
}

fn described(function: &FunctionConfiguration, tags: &Tags, config: &Config) -> Deployment {
    let name = function.function_name().unwrap_or_default();
    let tag = |name: &str| tags.get(name).cloned().unwrap_or_default();
    let positive = |number: Option<i32>| number.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    Deployment {
        name: name.to_owned(),
        url: url(config, name, None),
        host: tag(TAG_HOST),
        version: tag(TAG_VERSION),
        state: function.state().map_or("Active", State::as_str).to_lowercase(),
        machine: function.architectures().first().map_or("x86_64", Architecture::as_str).to_owned(),
        memory_bytes: positive(function.memory_size()) << 20,
        time_seconds: positive(function.timeout()),
        changed: function.last_modified().unwrap_or_default().to_owned(),
        ..Deployment::default()
    }
}

/// The lines of all hosts from a moment on.
pub(super) async fn logs(aws: &Aws, from: Duration) -> Result<Vec<Event>, Error> {
    let (mut events, mut token) = (Vec::new(), None);
    let from = i64::try_from(from.as_millis()).unwrap_or(i64::MAX);
    for _ in 0..PAGES_MAX {
        let request = aws.logs.filter_log_events().log_group_name(aws.place.log_group());
        let request = request.start_time(from).set_next_token(token);
        let page = request.send().await.said_unless_absent("reading the log")?;
        let Some(page) = page else { return Ok(events) };
        for event in page.events() {
            events.push(Event {
                milliseconds: event.timestamp().and_then(|at| u64::try_from(at).ok()).unwrap_or(0),
                id: event.event_id().unwrap_or_default().to_owned(),
                text: event.message().unwrap_or_default().trim_end().to_owned(),
            });
        }
        token = page.next_token().map(str::to_owned);
        if token.is_none() || events.len() >= EVENTS_MAX {
            break;
        }
    }
    events.sort_by_key(|event| event.milliseconds);
    Ok(events)
}

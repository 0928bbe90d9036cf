//! From what is there to what is wanted: the steps, before any of them is done.

use std::collections::BTreeMap;
use std::time::Duration;

use samara_core::{Error, ErrorKind};
use serde_json::Value;

use super::account::Place;
use super::found::{Found, Function, foreign, is_ours};
use super::policies::{self, Objects};
use crate::deploy::package::{Package, content_name};
use crate::deploy::{Step, VERSION, Verb, Wanted};

/// Memory where none is said: what Lambda gives one whole processor with.
const MEMORY_MB: i32 = 1_769;

/// What memory may be, as Lambda has it.
const MEMORY_MB_RANGE: (i32, i32) = (128, 10_240);

/// How long a call may take, where that is not said: as long as Lambda allows.
const TIME_SECONDS: i32 = 900;

/// The tag with the hash of what is deployed.
pub(super) const TAG_HOST: &str = "samara:host";

/// The tag with AWS's own hash of it, by which a change by somebody else is seen.
pub(super) const TAG_CODE: &str = "samara:code";

/// The tag with the version of Samara.
pub(super) const TAG_VERSION: &str = "samara:version";

/// What the descriptions of our functions begin with, by which they are found among many.
pub(super) const DESCRIPTION: &str = "samara-host";

/// What the names of contents begin with.
pub(super) const CONTENT: &str = "h-";

/// What is to be there.
#[derive(Debug)]
pub(super) struct Desired {
    pub(super) package: Package,
    pub(super) hash: String,
    /// The name of the content.
    pub(super) content: String,
    pub(super) memory_mb: i32,
    pub(super) seconds: i32,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) concurrency: Option<i32>,
    /// As whom hosts run.
    pub(super) role: String,
    pub(super) host_policy: Value,
    pub(super) driver_policy: Value,
    pub(super) bucket: Option<String>,
    is_own_role: bool,
    prune: bool,
}

/// A step, and how it is done; what stays needs nothing.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) step: Step,
    pub(super) action: Option<Action>,
}

/// How a step is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    CreateGroup,
    CreateRole,
    WritePolicy,
    CreateFunction,
    WriteCode,
    Configure,
    /// With the alias that is made, or moved.
    Publish {
        is_new: bool,
    },
    LimitConcurrency,
    SetEvents,
    Prune {
        alias: String,
    },
}

// === impl Desired ===

impl Desired {
    pub(super) fn new(
        wanted: &Wanted,
        found: &Found,
        package: Package,
        place: &Place,
    ) -> Result<Self, Error> {
        let kept = found.function.as_ref().filter(|_| wanted.is_update);
        if wanted.is_update && kept.is_none() {
            let name = &place.name;
            let text = format!("nothing is deployed as `{name}`; `samara deploy` makes it");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        if wanted.image.is_some() || wanted.secret.is_some() || wanted.cpu_milli.is_some() {
            let text = "Lambda takes no image, secret or processors (--image, --secret, --cpu): \
                        its code is the host itself, and processors come with memory";
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let kept_role = kept.and_then(|function| function.configuration.role());
        let role = wanted.role.clone().or_else(|| kept_role.map(str::to_owned));
        let is_own_role = role.as_ref().is_none_or(|role| *role == place.role_arn());
        if is_own_role {
            place.check_role()?;
            check_role(found, place)?;
        }
        let objects = objects(wanted)?;
        // Rights are said anew together, or not at all.
        let keeps_policy = wanted.is_update && wanted.reads.is_empty() && wanted.writes.is_empty();
        let kept_policy = found.role.as_ref().and_then(|role| role.policy.clone());
        let host_policy = kept_policy.filter(|_| keeps_policy && is_own_role);
        let hash = package.hash();
        Ok(Self {
            content: content_name(&hash),
            hash,
            package,
            memory_mb: memory(wanted, kept)?,
            seconds: seconds(wanted, kept)?,
            variables: variables(wanted, kept)?,
            concurrency: concurrency(wanted, kept)?,
            role: role.unwrap_or_else(|| place.role_arn()),
            host_policy: host_policy.unwrap_or_else(|| policies::host(place, &objects)),
            driver_policy: policies::driver(place, &driver_objects(wanted)?),
            bucket: wanted.bucket.clone(),
            is_own_role,
            prune: wanted.prune,
        })
    }

    /// Whether a role is made for hosts.
    pub(super) fn makes_role(&self) -> bool {
        self.is_own_role
    }

    pub(super) fn description() -> String {
        format!("{DESCRIPTION} {VERSION}")
    }

    /// Whether a function is set as this has it.
    fn fits(&self, function: &Function) -> bool {
        let said = &function.configuration;
        said.memory_size() == Some(self.memory_mb)
            && said.timeout() == Some(self.seconds)
            && said.role() == Some(&self.role)
            && said.description() == Some(&Self::description())
            && function.variables() == self.variables
    }

    /// Whether a function has this content.
    fn is_in(&self, function: &Function) -> bool {
        function.tag(TAG_HOST) == self.hash
            && function.configuration.code_sha256() == Some(function.tag(TAG_CODE))
    }

    /// What it is, in a line.
    fn settings(&self) -> String {
        let mut text =
            format!("{} MB, {} s, {}", self.memory_mb, self.seconds, self.package.machine.name());
        if !self.variables.is_empty() {
            let names: Vec<&str> = self.variables.keys().map(String::as_str).collect();
            text += &format!(", variables {}", names.join(" "));
        }
        text
    }
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::Invalid, text)
}

fn check_role(found: &Found, place: &Place) -> Result<(), Error> {
    match &found.role {
        Some(role) if !is_ours(&role.tags, &place.name) => {
            Err(foreign("role", &place.role(), &place.name))
        }
        _ => Ok(()),
    }
}

fn objects(wanted: &Wanted) -> Result<Vec<Objects<'_>>, Error> {
    let reads = wanted.reads.iter().map(|url| Objects::parse(url, false));
    let writes = wanted.writes.iter().map(|url| Objects::parse(url, true));
    let mut objects = driver_objects(wanted)?;
    for said in writes.chain(reads) {
        objects.push(said?);
    }
    Ok(objects)
}

/// The store of jobs, where it is one that roles have rights to.
fn driver_objects(wanted: &Wanted) -> Result<Vec<Objects<'_>>, Error> {
    let store = wanted.store.iter().filter(|url| url.starts_with("s3://"));
    store.map(|url| Objects::parse(url, true)).collect()
}

fn memory(wanted: &Wanted, kept: Option<&Function>) -> Result<i32, Error> {
    let (least, most) = MEMORY_MB_RANGE;
    let Some(bytes) = wanted.memory_bytes else {
        return Ok(kept.and_then(|kept| kept.configuration.memory_size()).unwrap_or(MEMORY_MB));
    };
    let memory = i32::try_from(bytes >> 20).ok().filter(|mb| (least..=most).contains(mb));
    let text = || invalid(format!("a function has {least}MiB to {most}MiB of memory (--memory)"));
    memory.ok_or_else(text)
}

fn seconds(wanted: &Wanted, kept: Option<&Function>) -> Result<i32, Error> {
    let Some(time) = wanted.time else {
        return Ok(kept.and_then(|kept| kept.configuration.timeout()).unwrap_or(TIME_SECONDS));
    };
    let seconds = i32::try_from(time.as_secs()).ok().filter(|s| (1..=TIME_SECONDS).contains(s));
    let is_whole = time == Duration::from_secs(time.as_secs());
    let text = || invalid("a call takes 1s to 15m, in whole seconds (--timeout)".to_owned());
    seconds.filter(|_| is_whole).ok_or_else(text)
}

fn variables(wanted: &Wanted, kept: Option<&Function>) -> Result<BTreeMap<String, String>, Error> {
    let mut variables = kept.map(Function::variables).unwrap_or_default();
    for (name, value) in &wanted.variables {
        if name.starts_with("AWS_") || name.starts_with("LAMBDA_") {
            return Err(invalid(format!("{name} is Lambda's own to set (--env)")));
        }
        variables.insert(name.clone(), value.clone());
    }
    Ok(variables)
}

fn concurrency(wanted: &Wanted, kept: Option<&Function>) -> Result<Option<i32>, Error> {
    let Some(wanted) = wanted.concurrency else {
        return Ok(kept.and_then(|kept| kept.concurrency));
    };
    let number = i32::try_from(wanted).ok();
    number.map(Some).ok_or_else(|| invalid(format!("{wanted} is too many (--concurrency)")))
}

/// The steps in the order in which each finds what it needs.
pub(super) fn plan(desired: &Desired, found: &Found, place: &Place) -> Vec<Planned> {
    let mut steps = Vec::new();
    let mut add = |verb: Verb, what: String, action: Option<Action>| {
        steps.push(Planned { step: Step::new(verb, what), action });
    };
    let group = format!("log group {}", place.log_group());
    match &found.group {
        None => add(Verb::Create, group, Some(Action::CreateGroup)),
        Some(_) => add(Verb::Keep, group, None),
    }
    let role = format!("role {}", desired.role.rsplit('/').next().unwrap_or_default());
    match &found.role {
        _ if !desired.is_own_role => add(Verb::Keep, role, None),
        None => add(Verb::Create, role, Some(Action::CreateRole)),
        Some(own) if own.policy.as_ref() == Some(&desired.host_policy) => {
            add(Verb::Keep, role, None);
        }
        Some(_) => add(Verb::Change, format!("{role}: its rights"), Some(Action::WritePolicy)),
    }
    plan_function(desired, found.function.as_ref(), place, &mut add);
    steps
}

fn plan_function(
    desired: &Desired,
    found: Option<&Function>,
    place: &Place,
    add: &mut impl FnMut(Verb, String, Option<Action>),
) {
    let function = format!("function {}", place.name);
    let settings = format!("{function}: {}", desired.settings());
    let is_same = found.is_some_and(|found| desired.is_in(found));
    let fits = found.is_some_and(|found| desired.fits(found));
    let alias = found.and_then(|found| found.aliases.get(&desired.content));
    if found.is_none() {
        add(Verb::Create, settings.clone(), Some(Action::CreateFunction));
    } else {
        match is_same {
            true => add(Verb::Keep, format!("{function}: its code"), None),
            false => add(Verb::Change, format!("{function}: its code"), Some(Action::WriteCode)),
        }
        match fits {
            true => add(Verb::Keep, settings.clone(), None),
            false => add(Verb::Change, settings.clone(), Some(Action::Configure)),
        }
    }
    let content = format!("content {}:{}", place.name, desired.content);
    match alias {
        Some(_) if is_same && fits => add(Verb::Keep, content, None),
        Some(_) => add(Verb::Change, content, Some(Action::Publish { is_new: false })),
        None => add(Verb::Create, content, Some(Action::Publish { is_new: true })),
    }
    if alias.is_none() {
        let what = format!("{function}: calls are not tried again by AWS");
        add(Verb::Create, what, Some(Action::SetEvents));
    }
    if found.and_then(|found| found.concurrency) != desired.concurrency {
        let number = desired.concurrency.map_or_else(|| "no limit".to_owned(), |n| n.to_string());
        let what = format!("{function}: {number} at the same moment");
        add(Verb::Change, what, Some(Action::LimitConcurrency));
    }
    let others = found.iter().flat_map(|found| found.aliases.keys());
    let others = others.filter(|alias| alias.starts_with(CONTENT) && **alias != desired.content);
    for alias in others.filter(|_| desired.prune) {
        let action = Action::Prune { alias: alias.clone() };
        add(Verb::Remove, format!("content {}:{alias}", place.name), Some(action));
    }
}

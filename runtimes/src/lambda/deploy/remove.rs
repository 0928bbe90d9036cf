//! The end of a deployment: what was made is removed, and nothing else.

use samara_core::Error;

use super::account::Aws;
use super::answer::Answer as _;
use super::found::{Found, PAGES_MAX, Tags, is_ours};
use crate::deploy::{Step, Verb};

/// A thing that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thing {
    Function,
    Role,
    Group,
    /// It stays.
    None,
}

/// What would be removed. A function of somebody else is refused; a role or a log group of somebody
/// else stays.
pub(super) fn plan(found: &Found, aws: &Aws, keep_logs: bool) -> Result<Vec<(Step, Thing)>, Error> {
    let place = &aws.place;
    found.check(&place.name)?;
    let mut steps = Vec::new();
    if let Some(function) = &found.function {
        let count = function.aliases.len();
        let plural = if count == 1 { "" } else { "s" };
        let what = format!("function {} and its {count} content{plural}", place.name);
        steps.push((Step::new(Verb::Remove, what), Thing::Function));
    }
    let mut end = |what: String, tags: Option<&Tags>, is_kept: bool, thing: Thing| {
        let Some(tags) = tags else { return };
        match is_ours(tags, &place.name) && !is_kept {
            true => steps.push((Step::new(Verb::Remove, what), thing)),
            false => steps.push((Step::new(Verb::Keep, what), Thing::None)),
        }
    };
    let role = found.role.as_ref().map(|role| &role.tags);
    end(format!("role {}", place.role()), role, false, Thing::Role);
    let group = format!("log group {}", place.log_group());
    end(group, found.group.as_ref(), keep_logs, Thing::Group);
    Ok(steps)
}

pub(super) async fn remove(aws: &Aws, steps: Vec<(Step, Thing)>) -> Result<Vec<Step>, Error> {
    let mut done = Vec::new();
    for (step, thing) in steps {
        let removed = match thing {
            Thing::Function => function(aws).await,
            Thing::Role => role(aws).await,
            Thing::Group => group(aws).await,
            Thing::None => Ok(()),
        };
        removed.map_err(|error| error.context(format!("removing {}", step.what)))?;
        done.push(step);
    }
    Ok(done)
}

/// With all versions and aliases.
async fn function(aws: &Aws) -> Result<(), Error> {
    let request = aws.lambda.delete_function().function_name(&aws.place.name);
    request.send().await.said_unless_absent("asking AWS to").map(drop)
}

/// A role ends only without policies.
async fn role(aws: &Aws) -> Result<(), Error> {
    let role = aws.place.role();
    let asking = "asking AWS to";
    for _ in 0..PAGES_MAX {
        let listed = aws.iam.list_role_policies().role_name(&role).send().await;
        let Some(listed) = listed.said_unless_absent(asking)? else { return Ok(()) };
        for policy in listed.policy_names() {
            let request = aws.iam.delete_role_policy().role_name(&role).policy_name(policy);
            request.send().await.said_unless_absent(asking)?;
        }
        if !listed.is_truncated() {
            break;
        }
    }
    // None are attached by us; what somebody attached since holds the role.
    for _ in 0..PAGES_MAX {
        let listed = aws.iam.list_attached_role_policies().role_name(&role).send().await;
        let Some(listed) = listed.said_unless_absent(asking)? else { return Ok(()) };
        for policy in listed.attached_policies() {
            let request = aws.iam.detach_role_policy().role_name(&role);
            let request = request.policy_arn(policy.policy_arn().unwrap_or_default());
            request.send().await.said_unless_absent(asking)?;
        }
        if !listed.is_truncated() {
            break;
        }
    }
    let request = aws.iam.delete_role().role_name(&role);
    request.send().await.said_unless_absent(asking).map(drop)
}

async fn group(aws: &Aws) -> Result<(), Error> {
    let request = aws.logs.delete_log_group().log_group_name(aws.place.log_group());
    request.send().await.said_unless_absent("asking AWS to").map(drop)
}

/// A version that no alias names any more. It stays where somebody else named it.
pub(super) async fn version(aws: &Aws, number: &str) {
    let request = aws.lambda.delete_function().function_name(&aws.place.name).qualifier(number);
    if let Err(error) = request.send().await.said_unless_absent("removing an older version") {
        tracing::warn!("version {number} of {} stays: {error}", aws.place.name);
    }
}

/// One content: its alias, and the version behind it.
pub(super) async fn content(aws: &Aws, alias: &str) -> Result<(), Error> {
    let name = &aws.place.name;
    let asking = "asking AWS to remove it";
    let found = aws.lambda.get_alias().function_name(name).name(alias).send().await;
    let Some(found) = found.said_unless_absent(asking)? else { return Ok(()) };
    let request = aws.lambda.delete_alias().function_name(name).name(alias);
    request.send().await.said_unless_absent(asking)?;
    if let Some(number) = found.function_version() {
        version(aws, number).await;
    }
    Ok(())
}

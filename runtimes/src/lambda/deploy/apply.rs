//! The steps of a deployment, done one after the other. Each may be the last that is reached: the
//! next deployment finds what is there and goes on from it.

use std::time::Duration;

use aws_sdk_cloudwatchlogs::operation::create_log_group::CreateLogGroupError;
use aws_sdk_iam::types::Tag;
use aws_sdk_lambda::error::ProvideErrorMetadata as _;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    Architecture, Environment, FunctionCode, LastUpdateStatus, Runtime, State,
};
use samara_core::{Error, ErrorKind};

use super::account::Aws;
use super::answer::Answer as _;
use super::found::POLICY;
use super::plan::{Action, Desired, Planned, TAG_CODE, TAG_HOST, TAG_VERSION};
use super::{code, policies, remove};
use crate::deploy::elf::Machine;
use crate::deploy::{Step, TAG_DEPLOYMENT, VERSION};

/// How calls that nobody waits for are tried again: not at all, because drivers do that.
const EVENT_RETRIES: i32 = 0;

/// How long such a call may wait to be started.
const EVENT_AGE_SECONDS: i32 = 3_600;

/// What the newest version is called.
const NEWEST: &str = "$LATEST";

/// How long lines of hosts are kept.
const LOG_DAYS: i32 = 14;

/// How long a function may take to become what was asked for, and how often it is looked at.
const SETTLED_MAX: Duration = Duration::from_secs(180);
const SETTLED_EVERY: Duration = Duration::from_millis(500);

/// How long a new role may take to be known to Lambda, which AWS calls some seconds.
const ASSUMED_MAX: Duration = Duration::from_secs(60);
const ASSUMED_EVERY: Duration = Duration::from_secs(2);

/// Code on its way: in the request, or in a bucket.
struct Code {
    bytes: Option<Blob>,
    /// Bucket and key.
    object: Option<(String, String)>,
}

/// Does what was planned, and says what that was.
pub(super) async fn apply(
    aws: &Aws,
    desired: &Desired,
    planned: Vec<Planned>,
) -> Result<Vec<Step>, Error> {
    let mut done = Vec::new();
    for Planned { step, action } in planned {
        if let Some(action) = action {
            let doing = step.what.clone();
            act(aws, desired, action).await.map_err(|error| error.context(doing))?;
        }
        done.push(step);
    }
    Ok(done)
}

async fn act(aws: &Aws, desired: &Desired, action: Action) -> Result<(), Error> {
    match action {
        Action::CreateGroup => create_group(aws).await,
        Action::CreateRole => create_role(aws, desired).await,
        Action::WritePolicy => write_policy(aws, desired).await,
        Action::CreateFunction => create_function(aws, desired).await,
        Action::WriteCode => write_code(aws, desired).await,
        Action::Configure => configure(aws, desired).await,
        Action::Publish { is_new } => publish(aws, desired, is_new).await,
        Action::LimitConcurrency => limit_concurrency(aws, desired).await,
        Action::SetEvents => set_events(aws, desired).await,
        Action::Prune { alias } => remove::content(aws, &alias).await,
    }
}

async fn create_group(aws: &Aws) -> Result<(), Error> {
    let name = aws.place.log_group();
    let request = aws.logs.create_log_group().log_group_name(&name);
    let made = request.tags(TAG_DEPLOYMENT, &aws.place.name).send().await;
    // Somebody was quicker; it has what it has.
    let is_there = |error: &CreateLogGroupError| error.is_resource_already_exists_exception();
    if made.as_ref().err().and_then(|error| error.as_service_error()).is_some_and(is_there) {
        return Ok(());
    }
    made.said("making it")?;
    let request = aws.logs.put_retention_policy().log_group_name(name).retention_in_days(LOG_DAYS);
    request.send().await.said("limiting how long lines are kept").map(drop)
}

async fn create_role(aws: &Aws, desired: &Desired) -> Result<(), Error> {
    let tag = |key: &str, value: &str| {
        let tag = Tag::builder().key(key).value(value).build();
        tag.map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
    };
    let request = aws.iam.create_role().role_name(aws.place.role());
    let request = request
        .assume_role_policy_document(policies::trust(&aws.place).to_string())
        .description(format!("As whom the hosts of the deployment {} run", aws.place.name))
        .tags(tag(TAG_DEPLOYMENT, &aws.place.name)?)
        .tags(tag(TAG_VERSION, VERSION)?);
    request.send().await.said("making it")?;
    write_policy(aws, desired).await
}

async fn write_policy(aws: &Aws, desired: &Desired) -> Result<(), Error> {
    let request = aws.iam.put_role_policy().role_name(aws.place.role()).policy_name(POLICY);
    let request = request.policy_document(desired.host_policy.to_string());
    request.send().await.said("writing its policy").map(drop)
}

async fn create_function(aws: &Aws, desired: &Desired) -> Result<(), Error> {
    let code = Code::of(aws, desired).await?;
    let made = create_with(aws, desired, &code).await;
    code.clean(aws).await;
    made?;
    settled(aws).await
}

/// Lambda refuses a role that was made a moment ago; so it is asked again for a while.
async fn create_with(aws: &Aws, desired: &Desired, code: &Code) -> Result<(), Error> {
    let mut left = ASSUMED_MAX;
    loop {
        let content = FunctionCode::builder().set_zip_file(code.bytes.clone());
        let object = code.object.as_ref();
        let content = content
            .set_s3_bucket(object.map(|(bucket, _)| bucket.clone()))
            .set_s3_key(object.map(|(_, key)| key.clone()))
            .build();
        let request = aws.lambda.create_function().function_name(&aws.place.name);
        let request = request
            .runtime(Runtime::Providedal2023)
            .handler("bootstrap")
            .role(&desired.role)
            .code(content)
            .description(Desired::description())
            .memory_size(desired.memory_mb)
            .timeout(desired.seconds)
            .architectures(architecture(desired))
            .environment(environment(desired))
            .tags(TAG_DEPLOYMENT, &aws.place.name)
            .tags(TAG_VERSION, VERSION);
        let answer = request.send().await;
        let is_unknown =
            answer.as_ref().err().and_then(|error| error.as_service_error()).is_some_and(|error| {
                error.message().is_some_and(|text| text.contains("cannot be assumed"))
            });
        if !is_unknown || left.is_zero() {
            let doing = match is_unknown {
                true => "the role is not there, or does not trust lambda.amazonaws.com",
                false => "making it",
            };
            return answer.said(doing).map(drop);
        }
        tokio::time::sleep(ASSUMED_EVERY).await;
        left = left.saturating_sub(ASSUMED_EVERY);
    }
}

async fn write_code(aws: &Aws, desired: &Desired) -> Result<(), Error> {
    settled(aws).await?;
    let code = Code::of(aws, desired).await?;
    let request = aws.lambda.update_function_code().function_name(&aws.place.name);
    let object = code.object.as_ref();
    let request = request
        .set_zip_file(code.bytes.clone())
        .set_s3_bucket(object.map(|(bucket, _)| bucket.clone()))
        .set_s3_key(object.map(|(_, key)| key.clone()))
        .architectures(architecture(desired));
    let answer = request.send().await.said("writing it");
    code.clean(aws).await;
    answer?;
    settled(aws).await
}

async fn configure(aws: &Aws, desired: &Desired) -> Result<(), Error> {
    settled(aws).await?;
    let request = aws.lambda.update_function_configuration().function_name(&aws.place.name);
    let request = request
        .role(&desired.role)
        .description(Desired::description())
        .memory_size(desired.memory_mb)
        .timeout(desired.seconds)
        .environment(environment(desired));
    request.send().await.said("changing its settings")?;
    settled(aws).await
}

fn architecture(desired: &Desired) -> Architecture {
    match desired.package.machine {
        Machine::X86 => Architecture::X8664,
        Machine::Arm => Architecture::Arm64,
    }
}

fn environment(desired: &Desired) -> Environment {
    let variables = desired.variables.iter();
    let empty = Environment::builder().set_variables(Some(Default::default()));
    variables.fold(empty, |all, (name, value)| all.variables(name, value)).build()
}

/// Makes a version of what is newest, gives it the content's name, and marks the function last: a
/// function without the mark is not done.
async fn publish(aws: &Aws, desired: &Desired, is_new: bool) -> Result<(), Error> {
    let name = &aws.place.name;
    let request = aws.lambda.publish_version().function_name(name).description(&desired.hash);
    let version = request.send().await.said("publishing it")?;
    let number = version.version().unwrap_or_default();
    if is_new {
        let request = aws.lambda.create_alias().function_name(name).name(&desired.content);
        let request = request.function_version(number).description(&desired.hash);
        request.send().await.said("naming it")?;
    } else {
        let request = aws.lambda.get_alias().function_name(name).name(&desired.content);
        let before = request.send().await.said("looking at its name")?;
        let request = aws.lambda.update_alias().function_name(name).name(&desired.content);
        request.function_version(number).send().await.said("naming it")?;
        let before = before.function_version().unwrap_or_default();
        if before != number {
            remove::version(aws, before).await;
        }
    }
    let request = aws.lambda.get_function_configuration().function_name(name);
    let now = request.send().await.said("looking at it")?;
    let request = aws.lambda.tag_resource().resource(now.function_arn().unwrap_or_default());
    let request = request
        .tags(TAG_HOST, &desired.hash)
        .tags(TAG_CODE, now.code_sha256().unwrap_or_default())
        .tags(TAG_VERSION, VERSION);
    request.send().await.said("marking it").map(drop)
}

/// For the newest and for the content: each has settings of its own.
async fn set_events(aws: &Aws, desired: &Desired) -> Result<(), Error> {
    for qualifier in [NEWEST, &desired.content] {
        let request = aws.lambda.put_function_event_invoke_config();
        let request = request.function_name(&aws.place.name).qualifier(qualifier);
        let request = request
            .maximum_retry_attempts(EVENT_RETRIES)
            .maximum_event_age_in_seconds(EVENT_AGE_SECONDS);
        request.send().await.said("setting that")?;
    }
    Ok(())
}

async fn limit_concurrency(aws: &Aws, desired: &Desired) -> Result<(), Error> {
    let name = &aws.place.name;
    match desired.concurrency {
        Some(number) => {
            let request = aws.lambda.put_function_concurrency().function_name(name);
            let request = request.reserved_concurrent_executions(number);
            request.send().await.said("setting that").map(drop)
        }
        None => {
            let request = aws.lambda.delete_function_concurrency().function_name(name);
            request.send().await.said("taking the limit away").map(drop)
        }
    }
}

/// Waits until the function is what it was asked to be.
async fn settled(aws: &Aws) -> Result<(), Error> {
    let mut left = SETTLED_MAX;
    loop {
        let request = aws.lambda.get_function_configuration().function_name(&aws.place.name);
        let now = request.send().await.said("waiting for the function")?;
        let failed = matches!(now.state(), Some(State::Failed))
            || matches!(now.last_update_status(), Some(LastUpdateStatus::Failed));
        if failed {
            let reason = now.last_update_status_reason().or_else(|| now.state_reason());
            let reason = reason.unwrap_or("AWS says no reason");
            return Err(Error::new(ErrorKind::Invalid, format!("AWS gave it up: {reason}")));
        }
        // One that nobody called for long is inactive, and wakes with the next call.
        let is_pending = matches!(now.state(), Some(State::Pending))
            || matches!(now.last_update_status(), Some(LastUpdateStatus::InProgress));
        if !is_pending {
            return Ok(());
        }
        if left.is_zero() {
            let seconds = SETTLED_MAX.as_secs();
            let text = format!("it is still not ready after {seconds} s; deploy again to go on");
            return Err(Error::new(ErrorKind::TimedOut, text));
        }
        tokio::time::sleep(SETTLED_EVERY).await;
        left = left.saturating_sub(SETTLED_EVERY);
    }
}

// === impl Code ===

impl Code {
    /// Packs the code, and puts it into the bucket where one is named.
    async fn of(aws: &Aws, desired: &Desired) -> Result<Self, Error> {
        let package = desired.package.clone();
        let packing = tokio::task::spawn_blocking(move || code::pack(&package));
        let bytes = packing.await.map_err(|error| super::internal(&error))??;
        let Some(bucket) = &desired.bucket else {
            code::check_request(&bytes)?;
            return Ok(Self { bytes: Some(Blob::new(bytes)), object: None });
        };
        let key = format!("samara-{}-{}.zip", aws.place.name, desired.content);
        let request = aws.s3.put_object().bucket(bucket).key(&key).body(bytes.into());
        request.send().await.said(&format!("putting the code into the bucket {bucket}"))?;
        Ok(Self { bytes: None, object: Some((bucket.clone(), key)) })
    }

    /// Lambda has a copy of its own.
    async fn clean(&self, aws: &Aws) {
        let Some((bucket, key)) = &self.object else { return };
        let removed = aws.s3.delete_object().bucket(bucket).key(key).send().await;
        if let Err(error) = removed.said("removing the code from the bucket") {
            tracing::warn!("s3://{bucket}/{key} is left behind: {error}");
        }
    }
}

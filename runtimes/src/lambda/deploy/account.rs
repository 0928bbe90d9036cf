//! An account, a region in it, and the services there.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use samara_core::{Error, ErrorKind};

use super::answer::Answer as _;
use crate::lambda::config::Config;

/// Attempts at a request: what who administers an account is granted per second is little.
const ATTEMPTS_MAX: u32 = 5;

/// How long one request may take: 50 MB of code over a slow line.
const REQUEST_TIME: Duration = Duration::from_secs(300);

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Characters of a role's name, as AWS has it.
const ROLE_NAME_MAX: usize = 64;

/// Where a deployment is, and what it is called.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// `aws`, or that of China or of a government.
    pub(super) partition: String,
    pub(super) region: String,
    pub(super) account: String,
    pub(super) name: String,
}

/// The services.
#[derive(Debug, Clone)]
pub(super) struct Aws {
    pub(super) place: Place,
    pub(super) lambda: aws_sdk_lambda::Client,
    pub(super) iam: aws_sdk_iam::Client,
    pub(super) logs: aws_sdk_cloudwatchlogs::Client,
    pub(super) s3: aws_sdk_s3::Client,
}

// === impl Place ===

impl Place {
    /// The role that is made for hosts. Roles are of no region, so its name has it.
    pub(super) fn role(&self) -> String {
        format!("samara-{}-{}", self.name, self.region)
    }

    pub(super) fn role_arn(&self) -> String {
        format!("arn:{}:iam::{}:role/{}", self.partition, self.account, self.role())
    }

    /// The name of the log group, which Lambda chooses.
    pub(super) fn log_group(&self) -> String {
        format!("/aws/lambda/{}", self.name)
    }

    pub(super) fn log_group_arn(&self) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:logs:{region}:{account}:log-group:{}", self.log_group())
    }

    /// Refuses a name for which no role can be made.
    pub(super) fn check_role(&self) -> Result<(), Error> {
        let (role, over) = (self.role(), self.role().len().saturating_sub(ROLE_NAME_MAX));
        if over > 0 {
            let text = format!(
                "the role of `{}` would be called {role}, which is {over} characters too long; \
                 choose a shorter name, or name a role with --role",
                self.name
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok(())
    }
}

// === impl Aws ===

impl Aws {
    /// Connects, and finds out for which account.
    pub(super) async fn connect(config: &Config) -> Result<Self, Error> {
        let shared = config.connect().await;
        let Some(region) = shared.region().map(|region| region.as_ref().to_owned()) else {
            let text = format!(
                "no region is said; say it in the URL (lambda://{}?region=eu-central-1), in \
                 AWS_REGION, or in the profile",
                config.name
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        };
        let times = TimeoutConfig::builder()
            .connect_timeout(CONNECT_MAX)
            .operation_attempt_timeout(REQUEST_TIME)
            .build();
        let shared = shared
            .into_builder()
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
            .timeout_config(times)
            .build();
        let s3 = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(shared.endpoint_url().is_some())
            .build();
        let identity = aws_sdk_sts::Client::new(&shared).get_caller_identity().send().await;
        let identity = identity.said(&format!("asking AWS in {region} who we are"))?;
        let partition = identity.arn().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws");
        let place = Place {
            partition: partition.to_owned(),
            region,
            account: identity.account().unwrap_or_default().to_owned(),
            name: config.name.clone(),
        };
        Ok(Self {
            place,
            lambda: aws_sdk_lambda::Client::new(&shared),
            iam: aws_sdk_iam::Client::new(&shared),
            logs: aws_sdk_cloudwatchlogs::Client::new(&shared),
            s3: aws_sdk_s3::Client::from_conf(s3),
        })
    }
}

//! What is there of a deployment, and whose it is.

use std::collections::BTreeMap;

use aws_sdk_lambda::types::FunctionConfiguration;
use samara_core::{Error, ErrorKind};
use serde_json::Value;

use super::account::Aws;
use super::answer::Answer as _;
use crate::deploy::TAG_DEPLOYMENT;

/// Tags by name.
pub(super) type Tags = BTreeMap<String, String>;

/// Pages of a listing that are read; each has fifty entries or more.
pub(super) const PAGES_MAX: usize = 1_000;

/// The name of the policy in the role.
pub(super) const POLICY: &str = "samara";

/// What is there.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) function: Option<Function>,
    pub(super) role: Option<Role>,
    /// The tags of the log group.
    pub(super) group: Option<Tags>,
}

/// The function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) configuration: FunctionConfiguration,
    pub(super) tags: Tags,
    /// Functions at the same moment, where there is a limit of its own.
    pub(super) concurrency: Option<i32>,
    /// Numbers of versions, by the names of contents.
    pub(super) aliases: BTreeMap<String, String>,
}

/// The role that was made for hosts.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) tags: Tags,
    pub(super) policy: Option<Value>,
}

// === impl Found ===

impl Found {
    pub(super) async fn look(aws: &Aws) -> Result<Self, Error> {
        let (function, role, group) = futures::try_join!(
            Box::pin(Function::look(aws)),
            Box::pin(Role::look(aws)),
            Box::pin(group(aws)),
        )?;
        Ok(Self { function, role, group })
    }

    /// Refuses a deployment of which something is somebody else's.
    pub(super) fn check(&self, name: &str) -> Result<(), Error> {
        match &self.function {
            Some(function) if !is_ours(&function.tags, name) => {
                Err(foreign("function", name, name))
            }
            _ => Ok(()),
        }
    }
}

/// Whether tags say that a thing is of this deployment.
pub(super) fn is_ours(tags: &Tags, name: &str) -> bool {
    tags.get(TAG_DEPLOYMENT).is_some_and(|said| said == name)
}

/// What belongs to somebody else.
pub(super) fn foreign(kind: &str, what: &str, name: &str) -> Error {
    let text = format!(
        "the {kind} `{what}` is none of Samara's: it has no tag {TAG_DEPLOYMENT}={name}; choose \
         another name, or give it that tag if Samara may change and remove it"
    );
    Error::new(ErrorKind::Invalid, text)
}

// === impl Function ===

impl Function {
    async fn look(aws: &Aws) -> Result<Option<Self>, Error> {
        let name = &aws.place.name;
        let doing = format!("looking for the function {name}");
        let got = aws.lambda.get_function().function_name(name).send().await;
        let Some(got) = got.said_unless_absent(&doing)? else { return Ok(None) };
        let configuration = got.configuration().cloned().ok_or_else(|| {
            Error::new(ErrorKind::Internal, "AWS describes the function without its settings")
        })?;
        let tags = got.tags().into_iter().flatten();
        Ok(Some(Self {
            tags: tags.map(|(name, said)| (name.clone(), said.clone())).collect(),
            concurrency: got.concurrency().and_then(|own| own.reserved_concurrent_executions()),
            aliases: aliases(aws).await?,
            configuration,
        }))
    }

    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let said = self.configuration.environment().and_then(|said| said.variables());
        let said = said.into_iter().flatten();
        said.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// What its tag says of this.
    pub(super) fn tag(&self, name: &str) -> &str {
        self.tags.get(name).map_or("", String::as_str)
    }
}

async fn aliases(aws: &Aws) -> Result<BTreeMap<String, String>, Error> {
    let (mut found, mut marker) = (BTreeMap::new(), None);
    for _ in 0..PAGES_MAX {
        let request = aws.lambda.list_aliases().function_name(&aws.place.name);
        let page = request.set_marker(marker).send().await.said("listing the aliases")?;
        for alias in page.aliases() {
            let name = alias.name().unwrap_or_default().to_owned();
            found.insert(name, alias.function_version().unwrap_or_default().to_owned());
        }
        marker = page.next_marker().map(str::to_owned);
        if marker.is_none() {
            break;
        }
    }
    Ok(found)
}

// === impl Role ===

impl Role {
    async fn look(aws: &Aws) -> Result<Option<Self>, Error> {
        let name = aws.place.role();
        let doing = format!("looking for the role {name}");
        let got = aws.iam.get_role().role_name(&name).send().await;
        let Some(got) = got.said_unless_absent(&doing)? else { return Ok(None) };
        let tags = got.role().map(aws_sdk_iam::types::Role::tags).unwrap_or_default();
        let request = aws.iam.get_role_policy().role_name(&name).policy_name(POLICY);
        let policy = request.send().await.said_unless_absent(&doing)?;
        let policy = policy
            .and_then(|said| serde_json::from_str(&percent_decoded(said.policy_document())).ok());
        let tags = tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned()));
        Ok(Some(Self { tags: tags.collect(), policy }))
    }
}

/// The text of a policy, which comes as a part of a URL.
fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The tags of the log group; none where there is no such group.
async fn group(aws: &Aws) -> Result<Option<Tags>, Error> {
    let name = aws.place.log_group();
    let request = aws.logs.describe_log_groups().log_group_name_prefix(&name);
    let groups = request.send().await.said("looking for the log group")?;
    if !groups.log_groups().iter().any(|group| group.log_group_name() == Some(&name)) {
        return Ok(None);
    }
    let request = aws.logs.list_tags_for_resource().resource_arn(aws.place.log_group_arn());
    let said = request.send().await.said_unless_absent("reading the tags of the log group")?;
    Ok(said.map(|said| {
        let tags = said.tags().into_iter().flatten();
        tags.map(|(name, said)| (name.clone(), said.clone())).collect()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_they_were_written() {
        assert_eq!(percent_decoded("%7B%22a%22%3A%20%22%C3%BC%22%7D"), "{\"a\": \"ü\"}");
        assert_eq!(percent_decoded("{\"a\": \"100%\"}"), "{\"a\": \"100%\"}");
    }
}

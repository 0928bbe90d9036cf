//! Who may do what: the templates in `policies/`, filled. Each names its own function, role, log
//! group and stores, and nothing else of the account.

use samara_core::{Error, ErrorKind};
use serde_json::{Value, json};

use super::account::Place;

const TRUST: &str = include_str!("policies/trust.json");
const HOST: &str = include_str!("policies/host.json");
const DRIVER: &str = include_str!("policies/driver.json");
const DEPLOYER: &str = include_str!("policies/deployer.json");

/// What objects may be read, or read and written: a bucket and what keys begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Objects<'a> {
    bucket: &'a str,
    prefix: &'a str,
    is_written: bool,
}

// === impl Objects ===

impl<'a> Objects<'a> {
    pub(super) fn parse(url: &'a str, is_written: bool) -> Result<Self, Error> {
        let rest = url.strip_prefix("s3://").ok_or_else(|| {
            let text = format!(
                "a role has rights to `s3://BUCKET/PREFIX` alone, and `{url}` is none; hosts have \
                 credentials for other stores in a variable: --env SAMARA_HOST_STORES=…"
            );
            Error::new(ErrorKind::Invalid, text)
        })?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        // These mean any text in a policy, and would grant more than was said.
        if bucket.is_empty() || rest.contains(['*', '?', '$', '"']) {
            let text = format!("`{url}` should be `s3://BUCKET/PREFIX`, without `*`, `?` and `$`");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok(Self { bucket, prefix: prefix.trim_end_matches('/'), is_written })
    }

    fn statements(&self, place: &Place) -> [Value; 2] {
        let Self { bucket, prefix, is_written } = *self;
        let bucket = format!("arn:{}:s3:::{bucket}", place.partition);
        let (objects, list) = match prefix {
            "" => (json!(format!("{bucket}/*")), json!({})),
            _ => (
                json!([format!("{bucket}/{prefix}"), format!("{bucket}/{prefix}/*")]),
                json!({ "StringLike": { "s3:prefix": [prefix, format!("{prefix}/*")] } }),
            ),
        };
        let actions = match is_written {
            true => json!([
                "s3:AbortMultipartUpload",
                "s3:DeleteObject",
                "s3:GetObject",
                "s3:PutObject"
            ]),
            false => json!("s3:GetObject"),
        };
        let mut listing =
            json!({ "Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket });
        if !prefix.is_empty() {
            listing["Condition"] = list;
        }
        [json!({ "Effect": "Allow", "Action": actions, "Resource": objects }), listing]
    }
}

/// Lets Lambda run hosts with the role.
pub(super) fn trust(place: &Place) -> Value {
    filled(TRUST, place)
}

/// What hosts may do.
pub(super) fn host(place: &Place, objects: &[Objects<'_>]) -> Value {
    with_objects(filled(HOST, place), place, objects)
}

/// What a driver may do that sends tasks there.
pub(super) fn driver(place: &Place, objects: &[Objects<'_>]) -> Value {
    with_objects(filled(DRIVER, place), place, objects)
}

/// What who deploys, looks and removes may do.
pub(super) fn deployer(place: &Place, bucket: Option<&str>) -> Value {
    let mut policy = filled(DEPLOYER, place);
    if let Some(bucket) = bucket {
        let Place { partition, name, .. } = place;
        push(
            &mut policy,
            json!({
                "Sid": "PassCodeThrough",
                "Effect": "Allow",
                "Action": ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
                "Resource": format!("arn:{partition}:s3:::{bucket}/samara-{name}-*"),
            }),
        );
    }
    policy
}

fn with_objects(mut policy: Value, place: &Place, objects: &[Objects<'_>]) -> Value {
    let mut seen: Vec<Objects<'_>> = Vec::new();
    for objects in objects {
        if !seen.contains(objects) {
            seen.push(*objects);
            let statements = objects.statements(place);
            statements.into_iter().for_each(|statement| push(&mut policy, statement));
        }
    }
    policy
}

fn push(policy: &mut Value, statement: Value) {
    let statements = policy["Statement"].as_array_mut();
    statements.expect("our templates have a list of statements").push(statement);
}

fn filled(template: &str, place: &Place) -> Value {
    let mut text = template.to_owned();
    for (name, value) in [
        ("{partition}", &place.partition),
        ("{region}", &place.region),
        ("{account}", &place.account),
        ("{name}", &place.name),
        ("{role}", &place.role()),
    ] {
        text = text.replace(name, value);
    }
    serde_json::from_str(&text).expect("our templates are JSON, and names have no quotes")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use expect_test::expect_file;

    use super::*;

    fn place() -> Place {
        Place {
            partition: "aws".to_owned(),
            region: "eu-central-1".to_owned(),
            account: "123456789012".to_owned(),
            name: "words".to_owned(),
        }
    }

    fn text(policy: &Value) -> String {
        format!("{policy:#}\n")
    }

    #[test]
    fn policies_are_as_they_were() {
        let objects = [
            Objects::parse("s3://scratch/jobs/", true).unwrap(),
            Objects::parse("s3://corpus", false).unwrap(),
            Objects::parse("s3://scratch/jobs", true).unwrap(),
        ];
        let place = place();
        expect_file!["golden/trust.json"].assert_eq(&text(&trust(&place)));
        expect_file!["golden/host.json"].assert_eq(&text(&host(&place, &objects)));
        expect_file!["golden/driver.json"].assert_eq(&text(&driver(&place, &objects[..1])));
        expect_file!["golden/deployer.json"].assert_eq(&text(&deployer(&place, Some("code"))));
    }

    #[test]
    fn policies_reach_beyond_their_own_only_to_list() {
        let place = place();
        for policy in [host(&place, &[]), driver(&place, &[]), deployer(&place, Some("b"))] {
            for statement in policy["Statement"].as_array().unwrap() {
                let text = statement.to_string();
                let is_own = ["words", "samara-words-"].iter().any(|own| text.contains(own));
                let lists = json!(["lambda:ListFunctions", "logs:DescribeLogGroups"]);
                let is_list =
                    statement["Action"] == lists || statement["Action"] == "lambda:ListTags";
                assert!(is_own || is_list, "{text}");
            }
        }
    }

    /// Rights that no request is named after: for tags and roles that go along with another one.
    const IMPLIED: [&str; 5] = [
        "iam:PassRole",
        "iam:TagRole",
        "lambda:GetFunctionConfiguration",
        "lambda:TagResource",
        "logs:TagResource",
    ];

    /// The requests that our code makes, as policies call them.
    fn requests() -> BTreeSet<String> {
        let sources = [
            include_str!("apply.rs"),
            include_str!("found.rs"),
            include_str!("look.rs"),
            include_str!("remove.rs"),
        ];
        let text: String = sources.concat().split_whitespace().collect();
        let mut found = BTreeSet::new();
        for service in ["iam", "lambda", "logs"] {
            for after in text.split(&format!("aws.{service}.")).skip(1) {
                let name = after.split('(').next().unwrap().split('_').map(|word| {
                    let (first, rest) = word.split_at(1);
                    first.to_uppercase() + rest
                });
                found.insert(format!("{service}:{}", name.collect::<String>()));
            }
        }
        found
    }

    #[test]
    fn who_deploys_has_a_right_for_each_request_and_no_other() {
        let policy = deployer(&place(), None);
        let mut granted = BTreeSet::new();
        for statement in policy["Statement"].as_array().unwrap() {
            let actions = statement["Action"].as_array().cloned();
            let actions = actions.unwrap_or_else(|| vec![statement["Action"].clone()]);
            granted.extend(actions.iter().map(|action| action.as_str().unwrap().to_owned()));
        }
        let mut wanted = requests();
        assert!(wanted.len() > 20, "{wanted:?}");
        wanted.extend(IMPLIED.map(str::to_owned));
        assert_eq!(granted, wanted);
    }

    #[test]
    fn what_would_grant_more_than_was_said_is_refused() {
        for url in ["gs://b", "s3://", "s3://b/*", "s3://b/${aws:username}", "s3://b?x"] {
            let error = Objects::parse(url, false).unwrap_err();
            assert!(error.message.contains(url), "{error}");
        }
    }
}

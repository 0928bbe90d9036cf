//! What the fake holds: buckets, objects with their generations, and uploads under way.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::signature::Signers;
use super::wire::Answer;

/// Everything. Who holds it is alone, so each change is one step.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Who has it may do everything.
    pub(super) token: String,
    /// Who may sign URLs.
    pub(super) signers: Signers,
    pub(super) buckets: BTreeMap<String, BTreeMap<String, Object>>,
    pub(super) uploads: BTreeMap<String, Upload>,
    /// How many versions of objects and uploads there were.
    count: u64,
}

/// One version of an object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) said: Said,
    pub(super) generation: u64,
    /// Milliseconds since the fake's clock began.
    updated_ms: u64,
}

/// What the writer of an object said about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) content_type: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// Which generation the object must have, or must not have; 0 is that of an object that is not
/// there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Condition {
    pub(super) is: Option<u64>,
    pub(super) is_not: Option<u64>,
}

/// A resumable upload.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) name: String,
    pub(super) said: Said,
    pub(super) condition: Condition,
    pub(super) bytes: BytesMut,
    /// What it became: the answer to who asks again.
    pub(super) done: Option<Value>,
}

/// The first generation: generations are microseconds, of 2026 as the clock below.
const FIRST: u64 = 1_767_225_600_000_000;

// === impl Content ===

impl Content {
    /// A number that was not given before.
    pub(super) fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    pub(super) fn bucket(&mut self, name: &str) -> Result<&mut BTreeMap<String, Object>, Answer> {
        self.buckets
            .get_mut(name)
            .ok_or_else(|| refusal(404, "notFound", "The specified bucket does not exist."))
    }

    /// The object, if it fulfils the condition.
    pub(super) fn object(
        &mut self,
        bucket: &str,
        name: &str,
        condition: Condition,
    ) -> Result<Object, Answer> {
        let found = self.bucket(bucket)?.get(name).cloned();
        let Some(object) = found else {
            let message = format!("No such object: {bucket}/{name}");
            return Err(refusal(404, "notFound", &message));
        };
        condition.check(object.generation)?;
        Ok(object)
    }

    /// Whether a write on this condition would do.
    pub(super) fn check(
        &mut self,
        bucket: &str,
        name: &str,
        condition: Condition,
    ) -> Result<(), Answer> {
        let generation = self.bucket(bucket)?.get(name).map_or(0, |object| object.generation);
        condition.check(generation)
    }

    /// Makes a version of an object, in one step with its condition.
    pub(super) fn put(
        &mut self,
        (bucket, name): (&str, &str),
        (bytes, said): (Bytes, Said),
        condition: Condition,
    ) -> Result<Value, Answer> {
        let is_name = (1..=1024).contains(&name.len()) && !name.contains(['\n', '\r']);
        if !is_name || name == "." || name == ".." {
            return Err(refusal(400, "invalid", "The specified object name is not valid."));
        }
        self.check(bucket, name, condition)?;
        let count = self.number();
        let generation = FIRST + count * 1_000;
        let object = Object { bytes, said, generation, updated_ms: count };
        let resource = object.resource(bucket, name);
        self.bucket(bucket)?.insert(name.to_owned(), object);
        Ok(resource)
    }
}

// === impl Condition ===

impl Condition {
    fn check(self, generation: u64) -> Result<(), Answer> {
        if self.is.is_none_or(|is| is == generation) && self.is_not != Some(generation) {
            return Ok(());
        }
        let message = "At least one of the pre-conditions you specified did not hold.";
        Err(refusal(412, "conditionNotMet", message))
    }
}

// === impl Object ===

impl Object {
    /// What the JSON interface says of it.
    pub(super) fn resource(&self, bucket: &str, name: &str) -> Value {
        let mut resource = json!({
            "kind": "storage#object",
            "id": format!("{bucket}/{name}/{}", self.generation),
            "name": name,
            "bucket": bucket,
            "generation": self.generation.to_string(),
            "metageneration": "1",
            "contentType": self.content_type(),
            "size": self.bytes.len().to_string(),
            "etag": self.etag(),
            "md5Hash": self.md5(),
            "crc32c": self.crc32c(),
            "updated": self.updated(),
        });
        if !self.said.metadata.is_empty() {
            resource["metadata"] = json!(self.said.metadata);
        }
        resource
    }

    pub(super) fn content_type(&self) -> &str {
        self.said.content_type.as_deref().unwrap_or("application/octet-stream")
    }

    /// Says less than the generation, as Google's, which changes with metadata too.
    pub(super) fn etag(&self) -> String {
        format!("{:x}=", self.updated_ms)
    }

    pub(super) fn md5(&self) -> String {
        BASE64_STANDARD.encode(Md5::digest(&self.bytes))
    }

    pub(super) fn crc32c(&self) -> String {
        BASE64_STANDARD.encode(crc_fast::crc32_iscsi(&self.bytes).to_be_bytes())
    }

    fn updated(&self) -> String {
        format!("2026-01-01T{}.{:03}Z", self.clock(), self.updated_ms % 1_000)
    }

    /// The same for headers, which have no parts of seconds.
    pub(super) fn last_modified(&self) -> String {
        format!("Thu, 01 Jan 2026 {} GMT", self.clock())
    }

    fn clock(&self) -> String {
        let seconds = self.updated_ms / 1_000;
        format!("{:02}:{:02}:{:02}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
    }
}

/// An error as the JSON interface gives it.
pub(super) fn refusal(status: u16, reason: &str, message: &str) -> Answer {
    let errors = json!([{"domain": "global", "reason": reason, "message": message}]);
    let error = json!({"code": status, "message": message, "errors": errors});
    Answer::json(status, &json!({"error": error}))
}

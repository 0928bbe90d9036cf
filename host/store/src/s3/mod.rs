//! `s3://bucket/key`: Amazon S3, and all that speaks its language.
//!
//! Credentials, region and endpoint are found as in all AWS SDKs: in the environment
//! (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL`, …), in the files of the AWS CLI with
//! `AWS_PROFILE`, by SSO, by web identity, from a process, and from the container's or machine's
//! metadata. [`SETTINGS`] say it for one store, which several at once need.
//!
//! Conditional writes are not believed but tried out at first use: some stores ignore the header,
//! and some are wrong where several write at once (`conditions.rs`).
//!
//! | file | does |
//! |---|---|
//! | `client.rs` | from settings to a client of the SDK |
//! | `error.rs` | from the SDK's errors to ours |
//! | `read.rs`, `list.rs`, `write.rs` | the operations |
//! | `upload.rs` | objects in pieces |
//! | `sums.rs` | checksums of pieces that are made while they are read |
//! | `signing.rs` | whether bodies are part of signatures |
//! | `conditions.rs` | which conditional writes can be relied on |

mod client;
mod conditions;
mod error;
mod list;
mod read;
mod signing;
mod sums;
#[cfg(test)]
mod tests;
mod unfinished;
mod upload;
mod write;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use bytes::Bytes;
use tokio::sync::OnceCell;

use self::client::SETTINGS;
use self::conditions::Kept;
use self::upload::Upload;
use crate::{
    Attributes, Checksum, Conditions, Directory, Error, GetOptions, ListOptions, Metadata, Object,
    Opening, Operation, Options, Page, Patience, PutMode, PutOptions, Result, Row, Store,
    Unfinished, Verb, Writer, key,
};

/// The row of `s3:`.
pub(crate) const ROW: Row = Row {
    scheme: "s3",
    open,
    settings: SETTINGS,
    remote: true,
    program: None,
    doc: "Amazon S3 and what speaks its language: s3://bucket/key",
};

/// One bucket. Clones share its connections.
#[derive(Clone)]
struct S3Store(Arc<Bucket>);

struct Bucket {
    name: String,
    options: Options,
    patience: Arc<Patience>,
    /// Made at the first request, because finding credentials and region may take some.
    client: OnceCell<Client>,
    kept: OnceCell<Kept>,
    /// Whether bodies were part of the newest signature.
    were_signed: Arc<AtomicBool>,
}

fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    let name = opening.authority;
    if name.is_empty() {
        return Err("the name of the bucket is missing: `s3://bucket/key`".to_owned());
    }
    if let Some((_, host)) = name.split_once('@').or_else(|| name.split_once(':')) {
        return Err(format!(
            "`{host}` is no part of a bucket's name; where a store is, its setting `endpoint` says"
        ));
    }
    client::check(opening.options)?;
    Ok(Arc::new(S3Store(Arc::new(Bucket {
        name: name.to_owned(),
        options: opening.options.clone(),
        patience: Arc::clone(opening.patience),
        client: OnceCell::new(),
        kept: OnceCell::new(),
        were_signed: Arc::default(),
    }))))
}

// === impl S3Store ===

impl S3Store {
    async fn client(&self) -> Result<&Client> {
        let connect = || client::connect(&self.0.options, &self.0.were_signed);
        Ok(self.0.client.get_or_init(connect).await)
    }

    /// Another bucket, if it is one that is reached in the same way, with the same credentials.
    fn sibling<'a>(&self, other: &'a dyn Store) -> Option<&'a Self> {
        let other = other.as_any()?.downcast_ref::<Self>()?;
        (other.0.options == self.0.options).then_some(other)
    }

    fn bucket(&self) -> &str {
        &self.0.name
    }

    /// The URL of an object.
    fn url(&self, key: &str) -> String {
        format!("{self}{key}")
    }
}

impl fmt::Display for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/", self.0.name)
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("bucket", &self.0.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for S3Store {
    async fn get(&self, key: &str, options: GetOptions) -> Result<Object> {
        key::check(self, key)?;
        read::get(self, key, options).await
    }

    async fn head(&self, key: &str) -> Result<Metadata> {
        key::check(self, key)?;
        Ok(read::head(self, key).await?.0)
    }

    async fn attributes(&self, key: &str) -> Result<Attributes> {
        key::check(self, key)?;
        Ok(read::head(self, key).await?.1)
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<Metadata> {
        key::check(self, key)?;
        write::put(self, key, body, options).await
    }

    async fn writer(&self, key: &str, options: PutOptions) -> Result<Box<dyn Writer>> {
        key::check(self, key)?;
        if options.mode != PutMode::Overwrite {
            conditions::require(self, key, &options.mode, Operation::Write).await?;
        }
        Ok(Box::new(Upload::new(self.clone(), key, options)))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        key::check(self, key)?;
        write::delete(self, key).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        keys.iter().try_for_each(|key| key::check(self, key))?;
        write::delete_many(self, keys).await
    }

    async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page> {
        key::check_prefix(self, prefix)?;
        list::page(self, prefix, &options).await
    }

    async fn list_directory(&self, prefix: &str, options: ListOptions) -> Result<Directory> {
        key::check_prefix(self, prefix)?;
        list::directory(self, prefix, &options).await
    }

    async fn list_foreign(&self, prefix: &str, options: ListOptions) -> Result<Page> {
        key::check_prefix(self, prefix)?;
        list::foreign(self, prefix, options.after).await
    }

    async fn delete_foreign(&self, names: &[String]) -> Result<()> {
        write::delete_many(self, names).await
    }

    async fn copy(&self, from: &str, to: &str, options: PutOptions) -> Result<Metadata> {
        key::check(self, from)?;
        key::check(self, to)?;
        write::copy((self, from), (self, to), options).await
    }

    fn has_checksums(&self) -> bool {
        sums::are_sent(&self.0.options)
    }

    async fn checksum(&self, key: &str, version: &Metadata) -> Result<Option<Checksum>> {
        key::check(self, key)?;
        read::checksum(self, key, version).await
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn copies_from(&self, other: &dyn Store) -> bool {
        self.sibling(other).is_some()
    }

    async fn copy_from(
        &self,
        other: &dyn Store,
        from: &str,
        to: &str,
        options: PutOptions,
    ) -> Result<Option<Metadata>> {
        let Some(other) = self.sibling(other) else { return Ok(None) };
        key::check(other, from)?;
        key::check(self, to)?;
        match write::copy((other, from), (self, to), options).await {
            Ok(metadata) => Ok(Some(metadata)),
            // It may be refused what reading and writing are not.
            Err(
                error @ (Error::PermissionDenied { .. }
                | Error::Unsupported { .. }
                | Error::Generic { .. }),
            ) => {
                tracing::debug!(%error, "not copied by the store: the bytes pass through here");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn presign(&self, key: &str, verb: Verb, expires: Duration) -> Result<String> {
        key::check(self, key)?;
        let url = self.url(key);
        let invalid =
            |error: aws_sdk_s3::presigning::PresigningConfigError| Error::generic(&url, error);
        let config = PresigningConfig::expires_in(expires).map_err(invalid)?;
        let (client, bucket) = (self.client().await?, self.bucket());
        let signed = match verb {
            Verb::Get => {
                let get = client.get_object().bucket(bucket).key(key);
                get.presigned(config).await.map_err(|error| error::of(&url, &error))
            }
            Verb::Put => {
                let put = client.put_object().bucket(bucket).key(key);
                put.presigned(config).await.map_err(|error| error::of(&url, &error))
            }
            Verb::Delete => {
                let delete = client.delete_object().bucket(bucket).key(key);
                delete.presigned(config).await.map_err(|error| error::of(&url, &error))
            }
        };
        Ok(signed?.uri().to_owned())
    }

    async fn create(&self) -> Result<()> {
        let client = self.client().await?;
        let region = client.config().region().map(|region| region.as_ref().to_owned());
        // The oldest region is the one that must not be named.
        let elsewhere = region.filter(|region| region != client::FIRST_REGION);
        let place = elsewhere.map(|region| {
            let constraint = BucketLocationConstraint::from(region.as_str());
            CreateBucketConfiguration::builder().location_constraint(constraint).build()
        });
        let create = client.create_bucket().bucket(self.bucket());
        match create.set_create_bucket_configuration(place).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error::code(&error) {
                Some("BucketAlreadyOwnedByYou") => Ok(()),
                Some("BucketAlreadyExists") => {
                    Err(Error::AlreadyExists { location: self.to_string() })
                }
                _ => Err(error::of(&self.to_string(), &error)),
            },
        }
    }

    async fn remove(&self) -> Result<()> {
        let removed = self.client().await?.delete_bucket().bucket(self.bucket()).send().await;
        removed.map(drop).map_err(|error| match error::code(&error) {
            Some("BucketNotEmpty") => {
                let reason = "the bucket is not empty";
                Error::Precondition { location: self.to_string(), reason }
            }
            _ => error::of(&self.to_string(), &error),
        })
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>> {
        key::check_prefix(self, prefix)?;
        unfinished::list(self, prefix).await
    }

    async fn discard(&self, unfinished: &Unfinished) -> Result<()> {
        unfinished::discard(self, &unfinished.key, &unfinished.id).await
    }

    async fn conditions(&self) -> Result<Conditions> {
        Ok(conditions::kept(self, "").await?.conditions)
    }
}

//! One adapter for the stores that OpenDAL speaks to: what differs between them is a [`Plan`].
//!
//! Requests go to OpenDAL's services directly, past its `Operator`, which trims spaces off keys.
//! They are not tried again here, which is the [`Guard`](crate::Guard)'s to do.
//!
//! | file | does |
//! |---|---|
//! | `transport.rs` | HTTP: notes the status of answers |
//! | `error.rs` | from OpenDAL's errors to ours |
//! | `read.rs`, `list.rs`, `write.rs` | the operations |
//! | `walk.rs` | keys in order, one at a time |
//! | `upload.rs` | objects in parts |
//! | `staged.rs` | objects in one stream, under a name of their own until they are whole |
//! | `signed.rs` | buckets and signed URLs, which are the service's own: [`Beyond`] |

mod error;
mod list;
mod read;
#[cfg(feature = "signed")]
mod signed;
#[cfg_attr(
    not(any(feature = "sftp", feature = "webdav")),
    allow(dead_code, reason = "the services of this build have uploads of their own")
)]
mod staged;
mod transport;
mod upload;
mod walk;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use opendal_core::options::WriteOptions;
use opendal_core::raw::{OpPresign, OpRead, OpWrite, PresignOperation, ServiceDyn, Servicer};
use opendal_core::{Builder, BytesRange, HttpTransporter, OperationContext, Operator};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use self::list::Listers;
#[cfg(feature = "signed")]
pub(crate) use self::signed::{At, Beyond, Quiet, Signed, about_bucket, conflict};
#[cfg(feature = "webdav")]
pub(crate) use self::staged::Puts;
use self::staged::Staged;
#[cfg(feature = "gs")]
pub(crate) use self::transport::TOKEN_ENDPOINT;
use self::transport::{Transport, noted};
use self::upload::Upload;
use crate::{
    Attributes, Conditions, Directory, Error, GetOptions, ListOptions, Metadata, Object, Opening,
    Operation, Page, Patience, PutMode, PutOptions, Result, Store, Verb, Writer, http, key,
    probe::{self, Probe},
};

/// What is particular to a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) identity: Identity,
    pub(crate) layout: Layout,
    pub(crate) pieces: Pieces,
    /// What the service says that it keeps.
    pub(crate) says: Conditions,
    /// Where it keeps attributes, what a user's name is there, and back.
    pub(crate) attributes: Option<Names>,
    /// Whether an object that is written in one request is seen under its name while it is half way
    /// up. It gets another one till then.
    pub(crate) staged: bool,
    /// Whether the service copies by itself.
    pub(crate) copies: bool,
    /// Requests on their way at once, if not any number. Bodies are none: who reads one may wait for
    /// room to write another.
    pub(crate) at_once: Option<usize>,
    /// Why it cannot hold a key, where it cannot.
    pub(crate) fault: fn(&str) -> Option<&'static str>,
}

/// What tells one version of an object from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Its etag.
    Etag,
    /// Its number, of which etags say less.
    Version,
    /// Size and time of modification, where there is nothing better. A change within the
    /// resolution of the clock that keeps the size is not seen.
    #[cfg(any(feature = "sftp", feature = "hdfs"))]
    SizeAndTime,
}

/// How keys are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All together, in the order of their bytes, and listed from any of them on.
    Sorted,
    /// All together, and listed from the first one; in the order of their bytes or of their UTF-16.
    FromFirst,
    /// In directories, which have no order.
    Tree,
}

/// How objects of unknown length are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// In parts, side by side.
    Parts,
    /// In parts, one after the other.
    Resumable,
    /// In one stream, under another name beside its own, which it gets when it is whole.
    #[cfg(any(feature = "sftp", feature = "webdav"))]
    Stream,
    /// Gathered in memory, up to so many bytes.
    #[cfg(any(feature = "hdfs", feature = "ipfs"))]
    Whole(usize),
}

/// Names of attributes in the service, and back.
pub(crate) type Names = (fn(&str) -> String, fn(&str) -> String);

/// Names of attributes that a service takes as they are.
pub(crate) const AS_THEY_ARE: Names = (str::to_owned, str::to_owned);

/// One bucket or server. Clones share it.
#[derive(Clone)]
pub(crate) struct DalStore(Arc<Inner>);

struct Inner {
    /// With its final `/`.
    root: String,
    plan: Plan,
    service: Servicer,
    context: OperationContext,
    patience: Arc<Patience>,
    listers: Listers,
    turns: Option<Semaphore>,
    #[cfg(feature = "webdav")]
    puts: Option<Box<dyn Puts>>,
    #[cfg(feature = "signed")]
    beyond: Option<Box<dyn Beyond>>,
    kept: OnceCell<Conditions>,
}

/// Opens the store of a service. Makes no connection.
pub(crate) fn open(
    opening: &Opening<'_>,
    plan: Plan,
    builder: impl Builder,
) -> Result<Arc<dyn Store>, String> {
    Ok(Arc::new(DalStore(Arc::new(inner(opening, plan, builder)?))))
}

/// Opens the store of a service that has requests which OpenDAL does not make.
#[cfg(feature = "signed")]
pub(crate) fn open_beyond(
    opening: &Opening<'_>,
    plan: Plan,
    builder: impl Builder,
    beyond: impl Beyond + 'static,
) -> Result<Arc<dyn Store>, String> {
    let mut inner = inner(opening, plan, builder)?;
    inner.beyond = Some(Box::new(beyond));
    Ok(Arc::new(DalStore(Arc::new(inner))))
}

/// Opens the store of a service to which OpenDAL streams no bodies.
#[cfg(feature = "webdav")]
pub(crate) fn open_putting(
    opening: &Opening<'_>,
    plan: Plan,
    builder: impl Builder,
    puts: impl Puts + 'static,
) -> Result<Arc<dyn Store>, String> {
    let mut inner = inner(opening, plan, builder)?;
    inner.puts = Some(Box::new(puts));
    Ok(Arc::new(DalStore(Arc::new(inner))))
}

fn inner(opening: &Opening<'_>, plan: Plan, builder: impl Builder) -> Result<Inner, String> {
    probe::check(opening.options.get(probe::SETTING.name))?;
    let operator = Operator::new(builder).map_err(|error| error.message().to_owned())?;
    let transport = Transport::new(opening, http::client()?)?;
    let context = OperationContext::new().with_http_transport(HttpTransporter::new(transport));
    let kept = match probe::said(opening.options.get(probe::SETTING.name)) {
        Some(said) => OnceCell::from(Conditions::new(
            said.if_absent && plan.says.if_absent,
            said.if_match && plan.says.if_match,
        )),
        None if plan.says == NONE => OnceCell::from(NONE),
        None => OnceCell::new(),
    };
    Ok(Inner {
        root: format!("{}://{}/", opening.scheme, opening.authority),
        plan,
        service: Arc::clone(operator.base_service()),
        context,
        patience: Arc::clone(opening.patience),
        listers: Listers::default(),
        turns: plan.at_once.map(Semaphore::new),
        #[cfg(feature = "webdav")]
        puts: None,
        #[cfg(feature = "signed")]
        beyond: None,
        kept,
    })
}

/// No conditions at all.
pub(crate) const NONE: Conditions = Conditions::new(false, false);

#[cfg(feature = "signed")]
const NO_BUCKETS: &str = "there is no bucket";

/// For services that hold every key.
#[cfg(feature = "ipfs")]
pub(crate) fn no_fault(_: &str) -> Option<&'static str> {
    None
}

// === impl Plan ===

impl Plan {
    /// Whether objects have other names while they are written.
    fn has_stages(&self) -> bool {
        self.staged || self.is_streamed()
    }

    #[cfg(any(feature = "sftp", feature = "webdav"))]
    fn is_streamed(&self) -> bool {
        self.pieces == Pieces::Stream
    }

    #[cfg(not(any(feature = "sftp", feature = "webdav")))]
    fn is_streamed(&self) -> bool {
        false
    }
}

// === impl Identity ===

impl Identity {
    /// Whether versions that are written within a second may be taken for one another.
    fn is_by_time(self) -> bool {
        !matches!(self, Self::Etag | Self::Version)
    }
}

// === impl DalStore ===

impl DalStore {
    fn url(&self, key: &str) -> String {
        format!("{self}{key}")
    }

    fn plan(&self) -> &Plan {
        &self.0.plan
    }

    fn service(&self) -> &dyn ServiceDyn {
        &*self.0.service
    }

    fn context(&self) -> &OperationContext {
        &self.0.context
    }

    fn check(&self, key: &str) -> Result<()> {
        key::check(self, key)?;
        if self.plan().has_stages() && key.split('/').any(|it| it.starts_with(write::STAGE)) {
            return key::invalid(self, key, "reserved for objects that are being written");
        }
        match (self.plan().fault)(key) {
            None => Ok(()),
            Some(reason) => key::invalid(self, key, reason),
        }
    }

    /// Awaits a request of OpenDAL about `key`.
    async fn ask<T>(
        &self,
        key: &str,
        request: impl Future<Output = opendal_core::Result<T>>,
    ) -> Result<T> {
        let _turn = self.turn().await;
        match noted(request).await {
            (Ok(value), _) => Ok(value),
            (Err(error), answer) => Err(error::of(&self.url(key), &error, answer)),
        }
    }

    /// Waits for a turn, where not all may ask at once. It is nobody's who asks within a request.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        match &self.0.turns {
            // It is not closed.
            Some(turns) => turns.acquire().await.ok(),
            None => None,
        }
    }

    /// What the store keeps; found out beside `key`, where we may write if anywhere.
    async fn kept(&self, key: &str) -> Result<Conditions> {
        self.0.kept.get_or_try_init(|| self.find_out(key).boxed()).await.copied()
    }

    async fn find_out(&self, key: &str) -> Result<Conditions> {
        let keys = probe::keys(key);
        let put = |key: String, mode: PutMode| {
            async move {
                let options = PutOptions { mode, ..PutOptions::default() };
                match write::put(self, &key, "1".into(), &options).await {
                    Ok(metadata) => Ok(Some(metadata)),
                    Err(error @ Error::PermissionDenied { .. }) => Err(error),
                    Err(error) if error.retry() => Err(error),
                    Err(_) => Ok(None),
                }
            }
            .boxed()
        };
        let (patience, location) = (&*self.0.patience, self.url(key));
        let probe = Probe { keys: &keys, put: &put, patience, location };
        let found = probe::run(&probe, self.plan().says).await;
        for key in &keys {
            if let Err(error) = write::delete(self, key).await {
                tracing::warn!(%error, "what a probe wrote was left behind");
            }
        }
        let found = found?;
        if found != self.plan().says {
            tracing::warn!(store = %self, "the server does not keep the conditions of writes");
        }
        Ok(found)
    }

    async fn require(&self, key: &str, mode: &PutMode, operation: Operation) -> Result<()> {
        match mode {
            PutMode::Overwrite => Ok(()),
            _ => probe::require(self.kept(key).await?, self.url(key), mode, operation),
        }
    }
}

impl fmt::Display for DalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.root)
    }
}

impl fmt::Debug for DalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DalStore").field("root", &self.0.root).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for DalStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<Object> {
        self.check(key)?;
        read::get(self, key, options).await
    }

    async fn head(&self, key: &str) -> Result<Metadata> {
        self.check(key)?;
        Ok(read::head(self, key).await?.0)
    }

    async fn attributes(&self, key: &str) -> Result<Attributes> {
        self.check(key)?;
        Ok(read::head(self, key).await?.1)
    }

    fn keeps_attributes(&self) -> bool {
        self.plan().attributes.is_some()
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<Metadata> {
        self.check(key)?;
        self.require(key, &options.mode, Operation::Put).await?;
        write::put(self, key, body, &options).await
    }

    async fn writer(&self, key: &str, options: PutOptions) -> Result<Box<dyn Writer>> {
        self.check(key)?;
        self.require(key, &options.mode, Operation::Write).await?;
        Ok(match self.plan().is_streamed() {
            true => Box::new(Staged::new(self.clone(), key, options)),
            false => Box::new(Upload::new(self.clone(), key, options)),
        })
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.check(key)?;
        write::delete(self, key).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        keys.iter().try_for_each(|key| self.check(key))?;
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

    async fn copy(&self, from: &str, to: &str, options: PutOptions) -> Result<Metadata> {
        self.check(from)?;
        self.check(to)?;
        self.require(to, &options.mode, Operation::Copy).await?;
        write::copy(self, from, to, options).await
    }

    #[cfg(feature = "signed")]
    fn has_checksums(&self) -> bool {
        self.0.beyond.as_ref().is_some_and(|beyond| beyond.has_checksums())
    }

    #[cfg(feature = "signed")]
    async fn checksum(&self, key: &str, version: &Metadata) -> Result<Option<crate::Checksum>> {
        self.check(key)?;
        match &self.0.beyond {
            Some(beyond) => beyond.checksum(At { location: &self.url(key), key }, version).await,
            None => Ok(None),
        }
    }

    async fn presign(&self, key: &str, verb: Verb, expires: Duration) -> Result<String> {
        self.check(key)?;
        #[cfg(feature = "signed")]
        if let Some(beyond) = &self.0.beyond {
            let location = &*self.url(key);
            return beyond.presign(At { location, key }, verb, expires).await;
        }
        let can = self.service().capability_dyn();
        let range = BytesRange::default();
        let operation = match verb {
            Verb::Get if can.presign_read => PresignOperation::Read(range, OpRead::new()),
            Verb::Put if can.presign_write => {
                let options = WriteOptions::default();
                let asked = OpWrite::from_options(&can, options);
                let (write, _) = self.ask(key, async { asked }).await?;
                PresignOperation::Write(write)
            }
            _ => {
                let reason = "it presigns no such request, or has no credentials to do so";
                return Err(Error::unsupported(self.url(key), Operation::Presign, reason));
            }
        };
        // OpenDAL signs the key as it is, and needs it as it stands in a URL.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~/".contains(c);
        if !key.chars().all(is_plain) {
            let reason = "it presigns keys of letters, digits, `-`, `_`, `.`, `~` and `/` alone";
            return Err(Error::unsupported(self.url(key), Operation::Presign, reason));
        }
        let presign = OpPresign::new(operation, expires);
        let signed = self.service().presign_dyn(self.context(), key, presign);
        Ok(self.ask(key, signed).await?.into_presigned_request().uri().to_string())
    }

    #[cfg(feature = "signed")]
    async fn create(&self) -> Result<()> {
        let location = self.to_string();
        match &self.0.beyond {
            Some(beyond) => beyond.create(&location).await,
            None => Err(Error::unsupported(location, Operation::CreateBucket, NO_BUCKETS)),
        }
    }

    #[cfg(feature = "signed")]
    async fn remove(&self) -> Result<()> {
        let location = self.to_string();
        let Some(beyond) = &self.0.beyond else {
            return Err(Error::unsupported(location, Operation::RemoveBucket, NO_BUCKETS));
        };
        // Azure removes a container with all that is in it.
        self.0.listers.forget();
        if !list::page(self, "", &ListOptions::default().limit(1)).await?.entries.is_empty() {
            return Err(Error::Precondition { location, reason: "the bucket is not empty" });
        }
        beyond.remove(&location).await
    }

    async fn conditions(&self) -> Result<Conditions> {
        self.kept("").await
    }
}

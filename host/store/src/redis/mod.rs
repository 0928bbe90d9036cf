//! `redis://host:port/key`: values of Redis, and of what speaks its language; `rediss:` by TLS is
//! the setting `tls`.
//!
//! An object is a string under its key, as `GET` and `SET` have it. Keys of other types are no
//! objects.
//!
//! - The etag is the SHA-1 of the value, which the server computes. Writing the same bytes again is
//!   no change, so that there is no put-if-match: a version that came back is not told apart.
//! - Values pass through memory whole, here and in the server, up to [`OBJECT_BYTES_MAX`].
//! - Nothing is kept beside the value: no media type, no attributes, no time of modification. A
//!   put-if-absent leaves a hash of a few bytes for some minutes, under the object's key with a NUL
//!   and more behind it: by that a write that is made again, because its answer was lost, is told
//!   from another's of the same bytes.
//! - Listings read the names of the whole database, and sort them. There are no clusters.
//! - Whether a value outlives the server, its own settings decide.

mod list;
mod scripts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, TlsCertificates,
};
use tokio::sync::OnceCell;

use self::list::Kept;
use crate::adapters::{TICKET, UPLOAD_MIN};
use crate::error::redact;
use crate::{
    Attributes, Conditions, Directory, Error, GetOptions, Guard, ListOptions, Metadata, Object,
    Opening, Operation, Page, Patience, PutMode, PutOptions, Result, Row, Setting, Store, Writer,
    http, key,
};

/// The row of `redis:`.
pub(crate) const ROW: Row = Row {
    scheme: "redis",
    open,
    settings: SETTINGS,
    remote: true,
    program: None,
    doc: "values of Redis: redis://host:port/key",
};

const USERNAME: Setting =
    Setting { name: "username", variable: None, secret: false, doc: "as whom to log in" };
const PASSWORD: Setting = Setting {
    name: "password",
    variable: Some("REDISCLI_AUTH"),
    secret: true,
    doc: "the password to log in with",
};
const DB: Setting =
    Setting { name: "db", variable: None, secret: false, doc: "the number of the database" };
const TLS: Setting =
    Setting { name: "tls", variable: None, secret: false, doc: "whether to encrypt" };

const CA_FILE: Setting = Setting {
    name: "ca_file",
    variable: None,
    secret: false,
    doc: "certificates of authorities in PEM, in place of the system's, for servers with `tls`",
};

const SETTINGS: &[Setting] = &[USERNAME, PASSWORD, DB, TLS, CA_FILE];

/// Bytes of an object. The server copies it several times while it is written or read, and does
/// nothing else meanwhile.
const OBJECT_BYTES_MAX: usize = 64 << 20;

const TOO_LARGE: &str = "it takes objects of up to 64 MiB; write several, or to another store";

const PORT: u16 = 6379;

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// One database. Clones share its connection.
#[derive(Clone)]
struct RedisStore(Arc<Database>);

struct Database {
    /// With its final `/`.
    root: String,
    client: Client,
    connection: OnceCell<ConnectionManager>,
    patience: Arc<Patience>,
    kept: Kept,
}

/// An object that is gathered.
#[derive(Debug)]
struct Gathered {
    store: RedisStore,
    key: String,
    options: PutOptions,
    bytes: BytesMut,
}

fn open(opening: &Opening<'_>) -> Result<Arc<dyn Store>, String> {
    let (authority, options) = (opening.authority, opening.options);
    if authority.contains('@') {
        return Err("a user and a password stand in settings, not in the URL".to_owned());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            (host, port.parse().map_err(|_| format!("`{port}` is no port"))?)
        }
        _ => (authority, PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err("the host is missing: `redis://host:port/key`".to_owned());
    }
    let tls = options.flag(TLS.name)?;
    let address = match tls {
        Some(true) => {
            http::encrypted();
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    let mut login = RedisConnectionInfo::default();
    if let Some(db) = options.get(DB.name) {
        login = login.set_db(db.parse().map_err(|_| format!("`db` is `{db}`, and no number"))?);
    }
    if let Some(username) = options.get(USERNAME.name) {
        login = login.set_username(username);
    }
    if let Some(password) = options.value(&PASSWORD) {
        login = login.set_password(password);
    }
    let said = |error: RedisError| redact(&error.to_string());
    let info: ConnectionInfo = address.into_connection_info().map_err(said)?;
    let info = info.set_redis_settings(login);
    let client = match (tls, options.get(CA_FILE.name)) {
        (Some(true), Some(path)) => {
            let read = std::fs::read(path);
            let root_cert = Some(read.map_err(|error| format!("`ca_file` {path}: {error}"))?);
            Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
        }
        (_, Some(_)) => return Err("`ca_file` is of no use without `tls`".to_owned()),
        (_, None) => Client::open(info),
    };
    Ok(Arc::new(RedisStore(Arc::new(Database {
        root: format!("redis://{authority}/"),
        client: client.map_err(said)?,
        connection: OnceCell::new(),
        patience: Arc::clone(opening.patience),
        kept: Kept::default(),
    }))))
}

// === impl RedisStore ===

impl RedisStore {
    fn url(&self, key: &str) -> String {
        format!("{self}{key}")
    }

    async fn connection(&self) -> Result<ConnectionManager, RedisError> {
        // Patience is the guard's; answers to large values take as long as it allows.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(None);
        let connect = || ConnectionManager::new_with_config(self.0.client.clone(), config);
        self.0.connection.get_or_try_init(connect).await.cloned()
    }

    /// For how long a write of so many bytes may be asked for again.
    fn asked_for(&self, bytes: usize) -> Duration {
        let policy = self.0.patience.policy();
        let time = policy.answer + Duration::from_secs(bytes as u64 / UPLOAD_MIN);
        (time + policy.wait_max) * policy.attempts.max(1)
    }

    async fn put_if(&self, key: &str, body: &[u8], options: &PutOptions) -> Result<Metadata> {
        let location = self.url(key);
        if body.len() > OBJECT_BYTES_MAX {
            return Err(Error::unsupported(location, Operation::Put, TOO_LARGE));
        }
        let if_absent = match &options.mode {
            PutMode::Overwrite => false,
            PutMode::IfAbsent => true,
            PutMode::IfMatch(_) => {
                let reason = "it has no versions; write without the condition";
                return Err(Error::unsupported(location, Operation::Put, reason));
            }
        };
        let ticket = options.attributes.user.get(TICKET).filter(|_| if_absent);
        let ticket = ticket.map(|ticket| (ticket.clone(), self.asked_for(body.len())));
        let written = scripts::put(self, key, body, (if_absent, ticket)).await;
        self.0.kept.forget();
        match written.map_err(|error| failed(&location, &error))? {
            Some(etag) => Ok(Metadata { size: body.len() as u64, etag, modified_ms: None }),
            None => Err(Error::AlreadyExists { location }),
        }
    }
}

/// What an error of Redis is to us.
fn failed(location: &str, error: &RedisError) -> Error {
    let (location, operation) = (location.to_owned(), None);
    let source = redact(&error.to_string()).into();
    // A log-in that is refused has no code: the client says so in the server's place.
    if error.kind() == ErrorKind::AuthenticationFailed {
        return Error::PermissionDenied { location, operation, source };
    }
    match error.code().unwrap_or_default() {
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "READONLY" => {
            Error::PermissionDenied { location, operation, source }
        }
        "OOM" => Error::OutOfSpace { location, operation, source },
        "LOADING" | "BUSY" | "TRYAGAIN" | "MASTERDOWN" | "CLUSTERDOWN" => {
            Error::Unavailable { location, operation, source }
        }
        _ if error.is_io_error()
            || error.is_timeout()
            || error.is_connection_dropped()
            || error.is_connection_refusal() =>
        {
            Error::Unavailable { location, operation, source }
        }
        _ => Error::Generic { location, operation, source },
    }
}

impl fmt::Display for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.root)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("root", &self.0.root).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<Object> {
        key::check(self, key)?;
        let location = self.url(key);
        let asked = options.range.clone().unwrap_or(0..u64::MAX);
        let found = scripts::get(self, key, asked).await;
        let Some((size, etag, bytes)) = found.map_err(|error| failed(&location, &error))? else {
            return Err(Error::not_found(location));
        };
        if options.if_match.is_some_and(|wanted| wanted != etag) {
            return Err(Error::another_version(location));
        }
        let metadata = Metadata { size, etag, modified_ms: None };
        let range = GetOptions { range: options.range, ..GetOptions::default() }.range_within(size);
        let body = stream::iter(Some(Ok(Bytes::from(bytes))).filter(|_| !range.is_empty())).boxed();
        let attributes = Some(Attributes::default());
        Ok(Object { attributes, ..Object::new(metadata, range, body) })
    }

    async fn head(&self, key: &str) -> Result<Metadata> {
        key::check(self, key)?;
        let location = self.url(key);
        let keys = std::slice::from_ref(&key);
        let found = scripts::heads(self, keys).await.map_err(|error| failed(&location, &error))?;
        found.into_iter().next().flatten().ok_or_else(|| Error::not_found(location))
    }

    fn keeps_attributes(&self) -> bool {
        false
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<Metadata> {
        key::check(self, key)?;
        self.put_if(key, &body, &options).await
    }

    async fn writer(&self, key: &str, options: PutOptions) -> Result<Box<dyn Writer>> {
        key::check(self, key)?;
        if matches!(options.mode, PutMode::IfMatch(_)) {
            self.put_if(key, &[], &options).await?;
        }
        let (store, key) = (self.clone(), key.to_owned());
        Ok(Box::new(Gathered { store, key, options, bytes: BytesMut::new() }))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.delete_many(std::slice::from_ref(&key.to_owned())).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<()> {
        keys.iter().try_for_each(|key| key::check(self, key))?;
        for keys in keys.chunks(list::KEYS_AT_ONCE) {
            let removed = scripts::delete(self, keys).await;
            self.0.kept.forget();
            removed.map_err(|error| failed(&self.url(&keys[0]), &error))?;
        }
        Ok(())
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
        key::check(self, to)?;
        let bytes = self.get(from, GetOptions::default()).await?.bytes().await?;
        let guarded = Guard::new(Arc::new(self.clone()), Arc::clone(&self.0.patience));
        guarded.put(to, bytes, options).await
    }

    async fn conditions(&self) -> Result<Conditions> {
        Ok(Conditions::new(true, false))
    }
}

#[async_trait]
impl Writer for Gathered {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if self.bytes.len() + bytes.len() > OBJECT_BYTES_MAX {
            let url = self.store.url(&self.key);
            return Err(Error::unsupported(url, Operation::Write, TOO_LARGE));
        }
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Metadata> {
        let Self { store, key, options, bytes } = *self;
        let patience = Arc::clone(&store.0.patience);
        Guard::new(Arc::new(store), patience).put(&key, bytes.freeze(), options).await
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use crate::{Error, Locator, Policy, PutOptions, Settings};

    /// A server that lets others connect, and then says nothing.
    fn silent() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}/k", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = client.read(&mut bytes) {
                        let said = String::from_utf8_lossy(&bytes[..read]).into_owned();
                        let names = said.matches("SETINFO").count();
                        drop(client.write_all("+OK\r\n".repeat(names).as_bytes()));
                    }
                });
            }
        });
        url
    }

    #[test]
    fn a_writer_does_not_wait_for_ever() {
        let policy = Policy { attempts: 2, answer: Duration::from_millis(300), ..Policy::REMOTE };
        let at = Locator::default().with_policy(policy).open(&silent()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let written = runtime.block_on(async {
            let mut writer = at.store.writer(&at.key, PutOptions::default()).await.unwrap();
            writer.write("1".into()).await.unwrap();
            tokio::time::timeout(Duration::from_secs(60), writer.finish()).await.expect("it ends")
        });
        let error = written.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(error.in_full().contains("no answer within 300ms"), "{}", error.in_full());
    }

    #[test]
    fn what_names_no_server_is_refused() {
        let open = |url: &str| Locator::default().open(url).map(|location| location.url());
        assert_eq!(open("redis://h:1/a").unwrap(), "redis://h:1/a");
        assert_eq!(open("redis://[::1]:1/a").unwrap(), "redis://[::1]:1/a");
        for (url, reason) in [
            ("redis:///a", "the host is missing"),
            ("redis://h:x/a", "`x` is no port"),
            ("redis://me:hush@h/a", "stand in settings"),
        ] {
            assert!(open(url).unwrap_err().to_string().contains(reason), "{url}");
        }
        let settings = Settings::default().with("redis:", "db", "one");
        let locator = Locator::default().with_settings(settings);
        assert!(locator.open("redis://h/a").unwrap_err().to_string().contains("no number"));
    }
}

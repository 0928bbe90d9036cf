//! Log-ins by tokens: a service account's key and an application's secret are exchanged for one, at
//! a small server of our own, and what signs and what is signed stays out of errors and logs.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::RsaPublicKey;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::sha2::Sha256;
use rsa::signature::Verifier;
use samara_store::{Error, ListOptions, Locator, PutOptions, Settings, Store, StoreExt, Verb};
use samara_stores::Server;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::google::account;
use crate::{Check, secrets};

/// What is checked of Google's.
pub(crate) const GOOGLE: &[(&str, Check)] = &[
    ("gs_keys_are_exchanged_for_tokens", |server| Box::pin(exchanged(server))),
    ("gs_tokens_that_run_out_are_renewed", |server| Box::pin(renewed(server))),
    ("gs_refused_keys_are_errors_at_once", |server| Box::pin(refused_key(server))),
];

/// What is checked of Azure's.
pub(crate) const AZURE: &[(&str, Check)] = &[
    ("az_secrets_are_exchanged_for_tokens", |server| Box::pin(entra(server))),
    ("az_refused_secrets_are_errors_at_once", |server| Box::pin(refused_secret(server))),
    ("az_requests_are_signed_with_the_key", |server| Box::pin(shared_key(server))),
];

/// A request to a small server.
struct Asked {
    /// `POST /token HTTP/1.1`.
    line: String,
    /// By their names in lower case.
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// Status and body of an answer.
type Told = (u16, String);

/// A server that answers each request by a function; it stops when it is dropped.
struct Small {
    address: SocketAddr,
    asked: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

// === impl Small ===

impl Small {
    async fn start(answer: impl Fn(&Asked) -> Told + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (asked, answer) = (Arc::new(AtomicU64::new(0)), Arc::new(answer));
        let count = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (count, answer) = (Arc::clone(&count), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut client = BufReader::new(client);
                    let asked = Asked::read(&mut client).await?;
                    count.fetch_add(1, Ordering::Relaxed);
                    let (status, body) = answer(&asked);
                    let head = format!(
                        "HTTP/1.1 {status} It\r\nContent-Type: application/json\r\n\
                         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    client.write_all(head.as_bytes()).await
                });
            }
        });
        Self { address, asked, task }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Asked ===

impl Asked {
    async fn read(client: &mut BufReader<TcpStream>) -> io::Result<Self> {
        let mut line = String::new();
        client.read_line(&mut line).await?;
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            client.read_line(&mut header).await?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or_default()];
        client.read_exact(&mut body).await?;
        Ok(Self { line: line.trim_end().to_owned(), headers, body })
    }

    /// The fields of a form.
    fn form(&self) -> BTreeMap<String, String> {
        let text = std::str::from_utf8(&self.body).expect("UTF-8");
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), plain(value))).collect()
    }
}

/// What a field of a form says.
fn plain(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("a byte"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).expect("UTF-8")
}

#[allow(clippy::disallowed_methods, reason = "what is signed holds until a time of the day")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs()
}

/// What Google's documentation asks of the assertion of a service account.
fn check(asked: &Asked, (name, key): &(String, RsaPublicKey)) -> Result<(), String> {
    let is = |what: &str, holds: bool| holds.then_some(()).ok_or_else(|| what.to_owned());
    is("line", asked.line == "POST /private/token HTTP/1.1")?;
    let form = asked.form();
    is("type", form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer")?;
    let assertion = &form["assertion"];
    secrets::keep(assertion);
    let (signed, signature) = assertion.rsplit_once('.').ok_or("no signature")?;
    let (head, claims) = signed.split_once('.').ok_or("no claims")?;
    let of = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|error| error.to_string());
    let json = |text: &str| serde_json::from_slice::<Value>(&of(text)?).map_err(|e| e.to_string());
    let signature = Signature::try_from(&of(signature)?[..]).map_err(|error| error.to_string())?;
    let verified = VerifyingKey::<Sha256>::new(key.clone()).verify(signed.as_bytes(), &signature);
    is("signature", verified.is_ok())?;
    let (head, claims) = (json(head)?, json(claims)?);
    is("algorithm", head["alg"] == "RS256" && head["typ"] == "JWT")?;
    is("issuer", claims["iss"] == name.as_str())?;
    is("audience", claims["aud"] == "https://oauth2.googleapis.com/token")?;
    is("scope", claims["scope"] == "https://www.googleapis.com/auth/devstorage.read_write")?;
    let (from, until) = (claims["iat"].as_u64(), claims["exp"].as_u64());
    let (from, until) = (from.ok_or("no begin")?, until.ok_or("no end")?);
    is("times", from <= now() && now() < until && until - from <= 3_600)
}

/// Google's endpoint for tokens, which gives those that hold for so long.
async fn googles_tokens(server: &Server, (name, key): (&str, RsaPublicKey), seconds: u64) -> Small {
    let key = (name.to_owned(), key);
    let token = server.said["TOKEN"].clone();
    Small::start(move |asked| match check(asked, &key) {
        Ok(()) => {
            let told = serde_json::json!({
                "access_token": token, "expires_in": seconds, "token_type": "Bearer"
            });
            (200, told.to_string())
        }
        Err(what) => {
            let told = serde_json::json!({ "error": "invalid_grant", "error_description": what });
            (400, told.to_string())
        }
    })
    .await
}

/// The store of one who has a service account's key in a file.
fn googles(server: &Server, file: &str, tokens: &Small) -> Arc<dyn Store> {
    let place = server.url().trim_end_matches('/');
    let settings = Settings::default()
        .with(place, "endpoint", server.endpoint())
        .with(place, "credentials_file", file)
        .with(place, "token_endpoint", format!("{}/private/token", tokens.url()));
    Locator::default().with_settings(settings).open(server.url()).expect("the store").store
}

async fn exchanged(server: &Server) {
    let directory = tempfile::tempdir().expect("directory");
    let name = "exchanger@samara";
    let (file, key) = account(server, name, &directory);
    let tokens = googles_tokens(server, (name, key), 3_600).await;
    let store = googles(server, &file, &tokens);
    for n in 0..8 {
        let key = format!("exchanged/{n}");
        store.put(&key, key.clone().into(), PutOptions::default()).await.expect("put");
        assert_eq!(store.read(&key).await.expect("read"), key);
    }
    let mut writer = store.writer("exchanged/large", PutOptions::default()).await.expect("writer");
    writer.write(vec![7; 20 << 20].into()).await.expect("write");
    writer.finish().await.expect("finish");
    let page = store.list("exchanged/", ListOptions::default()).await.expect("list");
    assert_eq!(page.entries.len(), 9);
    assert_eq!(tokens.asked(), 1, "one token serves all requests");
    let signed = store.presign("exchanged/0", Verb::Get, Duration::from_hours(1)).await;
    let got = crate::stranger::stranger("GET", &signed.expect("signed by the key"), "").await;
    assert_eq!(got, (200, "exchanged/0".to_owned()));
    assert_eq!(tokens.asked(), 1, "the key signs without a token");
}

async fn renewed(server: &Server) {
    let directory = tempfile::tempdir().expect("directory");
    let name = "renewer@samara";
    let (file, key) = account(server, name, &directory);
    // It is renewed two minutes before its end.
    let tokens = googles_tokens(server, (name, key), 122).await;
    let store = googles(server, &file, &tokens);
    store.put("renewed/a", "1".into(), PutOptions::default()).await.expect("put");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(store.read("renewed/a").await.expect("read"), "1");
    assert!(tokens.asked() >= 2, "{} exchanges", tokens.asked());
}

/// A key that Google does not take is an error that says so, and an endpoint that is down is tried
/// again.
async fn refused_key(server: &Server) {
    let directory = tempfile::tempdir().expect("directory");
    let name = "refused@samara";
    let (_, known) = account(server, name, &directory);
    let (file, _) = account(server, name, &directory);
    let tokens = googles_tokens(server, (name, known), 3_600).await;
    let store = googles(server, &file, &tokens);
    let error = store.head("a").await.expect_err("another key signs");
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    let said = format!("{} {error:?} {store:?}", error.in_full());
    assert!(said.contains("gs://samara/a") && said.contains("rejected the source"), "{said}");
    assert!(!said.contains("eyJ"), "an assertion: {said}");
    assert_eq!(tokens.asked(), 1, "it is not asked again");

    let count = AtomicU64::new(0);
    let token = server.said["TOKEN"].clone();
    let shaky = Small::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => (503, "{}".to_owned()),
        1 => (500, "{}".to_owned()),
        _ => (200, serde_json::json!({"access_token": token, "expires_in": 3_600}).to_string()),
    });
    let shaky = shaky.await;
    let store = googles(server, &file, &shaky);
    store.put("refused/a", "1".into(), PutOptions::default()).await.expect("the third time");
    assert_eq!(shaky.asked(), 3);

    std::fs::write(directory.path().join("none.json"), "no key").expect("write");
    let file = directory.path().join("none.json");
    let store = googles(server, file.to_str().expect("UTF-8"), &shaky);
    let error = store.head("a").await.expect_err("it is no key");
    assert!(!error.retry(), "{error:?}");
    assert_eq!(shaky.asked(), 3, "nothing is sent");
}

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const CLIENT: &str = "66666666-7777-8888-9999-000000000000";

/// Microsoft's endpoint for tokens, for one application.
async fn microsofts_tokens(secret: &'static str, token: &'static str) -> Small {
    Small::start(move |asked| {
        let form = asked.form();
        let is_right = asked.line == format!("POST /{TENANT}/oauth2/v2.0/token HTTP/1.1")
            && form["grant_type"] == "client_credentials"
            && form["scope"] == "https://storage.azure.com/.default"
            && form["client_id"] == CLIENT
            && form["client_secret"] == secret;
        let told = serde_json::json!({
            "token_type": "Bearer", "expires_in": 3_599, "access_token": token
        });
        match is_right {
            true => (200, told.to_string()),
            false => (401, serde_json::json!({ "error": "invalid_client" }).to_string()),
        }
    })
    .await
}

/// Between a store and Azurite, which takes tokens by TLS alone: passes on what has the token, with
/// a signature of the account's owner in its place.
async fn gate(server: &Server, token: &'static str, signatures: (String, String)) -> Small {
    let behind = server.endpoint().to_owned();
    let address = behind.trim_start_matches("http://").split('/').next().expect("a host");
    let address = address.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let here = listener.local_addr().expect("address");
    let (asked, signatures) = (Arc::new(AtomicU64::new(0)), Arc::new(signatures));
    let count = Arc::clone(&asked);
    let task = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (count, address) = (Arc::clone(&count), address.clone());
            let signatures = Arc::clone(&signatures);
            tokio::spawn(async move {
                let mut client = BufReader::new(client);
                let asked = Asked::read(&mut client).await?;
                let authorization = asked.headers.get("authorization").map(String::as_str);
                if authorization != Some(&format!("Bearer {token}")) {
                    let refused =
                        "HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                    return client.write_all(refused.as_bytes()).await;
                }
                count.fetch_add(1, Ordering::Relaxed);
                pass(&asked, &address, &signatures, &mut client).await
            });
        }
    });
    Small { address: here, asked, task }
}

/// Passes a request on, and its answer back.
async fn pass(
    asked: &Asked,
    address: &str,
    (to_read, to_write): &(String, String),
    client: &mut BufReader<TcpStream>,
) -> io::Result<()> {
    let signature = if asked.line.starts_with("PUT") { to_write } else { to_read };
    let mut words = asked.line.split(' ');
    let (verb, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let sign = if target.contains('?') { '&' } else { '?' };
    let mut head = format!("{verb} {target}{sign}{signature} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in &asked.headers {
        if !["authorization", "connection", "host"].contains(&name.as_str()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str(&format!("Host: {address}\r\n\r\n"));
    let mut server = TcpStream::connect(address).await?;
    server.write_all(head.as_bytes()).await?;
    server.write_all(&asked.body).await?;
    tokio::io::copy(&mut server, client).await?;
    client.shutdown().await
}

fn application(url: &str, endpoint: &str, authority: &str, secret: &str) -> Arc<dyn Store> {
    let place = url.trim_end_matches('/');
    let settings = [
        ("endpoint", endpoint),
        ("account", "devstoreaccount1"),
        ("tenant_id", TENANT),
        ("client_id", CLIENT),
        ("client_secret", secret),
        ("authority_host", authority),
    ];
    let settings = settings
        .into_iter()
        .fold(Settings::default(), |settings, (name, value)| settings.with(place, name, value));
    Locator::default().with_settings(settings).open(url).expect("the store").store
}

async fn entra(server: &Server) {
    let (secret, token) = ("hush~of-the+application/=", "ey-a.token.of-microsoft");
    secrets::keep(secret);
    secrets::keep(token);
    let owner = server.locator().open(server.url()).expect("the store").store;
    let signed = |verb| {
        let owner = Arc::clone(&owner);
        async move {
            let url =
                owner.presign("entra/a", verb, Duration::from_hours(1)).await.expect("signed");
            url.split_once('?').expect("a signature").1.to_owned()
        }
    };
    let gate = gate(server, token, (signed(Verb::Get).await, signed(Verb::Put).await)).await;
    let tokens = microsofts_tokens(secret, token).await;
    let endpoint = format!("{}/devstoreaccount1", gate.url());
    let store = application(server.url(), &endpoint, &tokens.url(), secret);
    store.put("entra/a", "by a token".into(), PutOptions::default()).await.expect("put");
    assert_eq!(store.read("entra/a").await.expect("read"), "by a token");
    assert_eq!(owner.read("entra/a").await.expect("read"), "by a token");
    assert_eq!(store.head("entra/a").await.expect("head").size, 10);
    assert!(gate.asked() >= 3 && tokens.asked() == 1, "{} tokens", tokens.asked());
    let refused = store.presign("entra/a", Verb::Get, Duration::from_hours(1)).await;
    let refused = refused.expect_err("a token signs no URL");
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
    assert!(refused.to_string().contains("needs the account's key"), "{refused}");
}

/// A secret that is wrong is an error at once, which does not show it, and nothing is tried in its
/// place.
async fn refused_secret(server: &Server) {
    let wrong = "hush-hush-hush-hush-wrong";
    secrets::keep(wrong);
    let tokens = microsofts_tokens("another one", "none").await;
    let store = application(server.url(), server.endpoint(), &tokens.url(), wrong);
    let error = store.head("a").await.expect_err("refused");
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    let said = format!("{} {error:?} {store:?}", error.in_full());
    assert!(said.contains("az://samara/a") && said.contains("client secret token"), "{said}");
    assert!(!said.contains(wrong), "{said}");
    assert_eq!(tokens.asked(), 1);
    let settings =
        Settings::default().with("az:", "account", "me").with("az:", "client_secret", wrong);
    let error = Locator::default().with_settings(settings).open("az://c/a").expect_err("no tenant");
    assert!(error.to_string().contains("needs `tenant_id`"), "{error}");
    assert!(!error.to_string().contains(wrong), "{error}");
}

/// Azurite checks each signature: the account's key signs, and no other.
async fn shared_key(server: &Server) {
    let place = server.url().trim_end_matches('/');
    let store = |settings: Settings| {
        let locator = Locator::default().with_settings(server.settings().and(settings));
        locator.open(server.url()).expect("the store").store
    };
    let key = "signed by key/a b+ü%41";
    let owner = store(Settings::default());
    owner.put(key, "1".into(), PutOptions::default()).await.expect("put");
    assert_eq!(owner.read(key).await.expect("read"), "1");
    let wrong = "c29tZWJvZHkgZWxzZSdzIGtleSwgd3JvbmcgaGVyZQ==";
    secrets::keep(wrong);
    let stranger = store(Settings::default().with(place, "key", wrong));
    for error in [
        stranger.read(key).await.expect_err("read"),
        stranger.put(key, "2".into(), PutOptions::default()).await.expect_err("put"),
        stranger.list("", ListOptions::default()).await.map(drop).expect_err("list"),
    ] {
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
        let said = format!("{} {error:?} {stranger:?}", error.in_full());
        assert!(!said.contains(wrong) && !said.contains(&server.said["KEY"]), "{said}");
    }
    assert_eq!(owner.read(key).await.expect("read"), "1");
}

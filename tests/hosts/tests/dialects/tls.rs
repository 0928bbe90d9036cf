//! Hosts that speak TLS: the real binary, the real driver, and authorities of the tests' own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, date_time_ymd};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use rsa::sha2::{Digest as _, Sha256};
use rustls::version::{TLS12, TLS13};
use samara::{Builder, Component, Executor};
use samara_core::{Clock as _, SystemClock};
use samara_programs as programs;

use crate::authority::{Authority, For, HERE, Pair, client, connect, expired};
use crate::batch::{Done, Place};
use crate::host::{Host, TOKEN, refused};
use crate::http::Request;
use crate::pushed::post;

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("jobs_run_over_tls_of_a_private_authority", private_authority),
    ("certificates_say_who_may_run_tasks", mutual),
    ("a_host_that_is_not_who_it_says_gets_no_batch", hosts_are_checked),
    ("a_driver_without_a_good_certificate_is_refused_and_told_why", drivers_are_checked),
    ("another_host_is_taken_where_one_is_not_trusted", another_host),
    ("plain_http_and_tls_that_meet_are_told_so", strangers_meet),
    ("clients_choose_http_1_or_2_and_tls_12_or_13", versions),
    ("certificates_change_without_a_restart", rotates),
    ("bad_files_and_settings_are_named", bad_settings),
    ("a_drivers_bad_files_are_named", bad_files_of_drivers),
    ("the_commands_of_the_guide_make_what_hosts_and_drivers_take", guide),
];

/// What a fault may take to be told: nothing is tried again for it.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Longer than a host takes to look at its files again, twice.
const LOOKED: Duration = Duration::from_secs(12);

/// The guests under test, built once.
static APP: LazyLock<Component> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
    Component::from_crate(path).expect("the component")
});

/// Authorities for hosts and for drivers, and a store.
struct Ground {
    directory: tempfile::TempDir,
    hosts: Authority,
    drivers: Authority,
    app: Component,
}

// === impl Ground ===

impl Ground {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let hosts = Authority::new(directory.path(), "authority-of-hosts");
        let drivers = Authority::new(directory.path(), "authority-of-drivers");
        Self { directory, hosts, drivers, app: APP.clone() }
    }

    /// A driver that trusts nobody but whom the machine trusts.
    fn stranger(&self, runtime: &str) -> Builder {
        let store = self.directory.path().join("store");
        std::fs::create_dir_all(&store).unwrap();
        let builder = Executor::builder().runtime(runtime).token(TOKEN).progress(false);
        builder.store(store.to_str().expect("UTF-8"))
    }

    /// One that trusts the authority of hosts.
    fn driver(&self, host: &Host) -> Builder {
        self.stranger(&url(host)).tls_ca(self.hosts.file())
    }

    /// Runs tasks, and says how long it took where it came to nothing.
    fn adds(&self, builder: Builder) -> Result<(), String> {
        let clock = SystemClock::new();
        let executor = builder.build().map_err(|error| error.to_string())?;
        let before = clock.monotonic();
        let values = samara::block_on(async {
            let job = executor.map(&self.app, programs::reuse::adds_one, 0..100_u64).await?;
            job.values().await.map_err(samara::Error::from)
        });
        match values {
            Ok(values) => {
                assert!(values.into_iter().eq(1..=100));
                Ok(())
            }
            Err(error) => {
                let took = clock.monotonic() - before;
                assert!(took < AT_ONCE, "{took:?}: {error}");
                Err(error.to_string())
            }
        }
    }

    #[track_caller]
    fn refused(&self, builder: Builder, named: &[&str]) {
        let error = self.adds(builder).expect_err("it is refused");
        for named in named {
            assert!(error.contains(named), "{named}: {error}");
        }
    }
}

/// By a name: certificates are for names, first of all.
fn url(host: &Host) -> String {
    format!("https://{}", host.address.replace("127.0.0.1", "localhost"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of UTF-8")
}

/// A host that shows this certificate.
fn host(pair: &Pair, more: &[(&str, &str)]) -> Host {
    let variables = [
        ("SAMARA_HOST_AS", "http"),
        ("SAMARA_HOST_LISTEN", "127.0.0.1:0"),
        ("SAMARA_HOST_TOKENS", TOKEN),
        ("SAMARA_HOST_TLS_CERT", text(&pair.certificate)),
        ("SAMARA_HOST_TLS_KEY", text(&pair.key)),
    ];
    Host::start(&[&variables, more].concat())
}

fn private_authority() {
    let ground = Ground::new();
    // PKCS#8, as most programs write keys.
    let pair = ground.hosts.sign("pkcs8", For::Host);
    let first = host(&pair, &[]);
    for name in HERE {
        let url = format!("https://{}", first.address.replace("127.0.0.1", name));
        ground.adds(ground.stranger(&url).tls_ca(ground.hosts.file())).unwrap();
    }
    assert_eq!(first.stop().code, Some(0));
    // SEC1, which is what PKCS#8 has inside.
    let key = KeyPair::generate().unwrap();
    let sec1 = ground.hosts.sign_key("sec1", For::Host, &key, |_| ());
    let (before, within) = key.serialized_der().split_at(29);
    assert_eq!(before[27], 4, "an octet string");
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, within);
    let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{encoded}\n-----END EC PRIVATE KEY-----\n");
    std::fs::write(&sec1.key, pem).unwrap();
    // PKCS#1, of RSA.
    let private = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let pkcs8 = private.to_pkcs8_pem(LineEnding::LF).unwrap();
    let key = KeyPair::from_pkcs8_pem_and_sign_algo(&pkcs8, &PKCS_RSA_SHA256).unwrap();
    let pkcs1 = ground.hosts.sign_key("pkcs1", For::Host, &key, |_| ());
    std::fs::write(&pkcs1.key, private.to_pkcs1_pem(LineEnding::LF).unwrap()).unwrap();
    for pair in [sec1, pkcs1] {
        let host = host(&pair, &[]);
        ground.adds(ground.driver(&host)).unwrap();
        host.stop();
    }
}

fn mutual() {
    let ground = Ground::new();
    let pair = ground.hosts.sign("host", For::Host);
    let drivers = ground.drivers.file();
    // On every interface, and without tokens: who has no certificate comes nowhere.
    let host = Host::start(&[
        ("SAMARA_HOST_AS", "http"),
        ("SAMARA_HOST_LISTEN", "0.0.0.0:0"),
        ("SAMARA_HOST_TLS_CERT", text(&pair.certificate)),
        ("SAMARA_HOST_TLS_KEY", text(&pair.key)),
        ("SAMARA_HOST_TLS_CLIENT_CA", text(&drivers)),
        ("SAMARA_HOST_LOG", "warn,samara_runtimes=debug"),
    ]);
    let own = ground.drivers.sign("driver", For::Driver);
    let driver = ground.driver(&host).tls_cert(&own.certificate).tls_key(&own.key);
    ground.adds(driver).unwrap();
    ground.refused(ground.driver(&host), &["`tls-cert`"]);
    let ended = host.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // Who it was.
    let digest = Sha256::digest(own.der());
    let digest: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    let spoke = ended.stderr.lines().filter(|line| line.contains("a connection speaks TLS"));
    let spoke: Vec<&str> = spoke.collect();
    assert!(!spoke.is_empty() && spoke.iter().all(|line| line.contains(&digest)), "{ended:?}");
}

fn hosts_are_checked() {
    let ground = Ground::new();
    let good = ground.hosts.sign("good", For::Host);
    let first = host(&good, &[]);
    ground.refused(ground.stranger(&url(&first)), &["not trusted here", "`tls-ca`", "localhost"]);
    let others = ground.stranger(&url(&first)).tls_ca(ground.drivers.file());
    ground.refused(others, &["not trusted here", "`tls-ca`"]);
    drop(first.stop());
    type Change = fn(&mut CertificateParams);
    let cases: [(&str, Change, &[&str]); 4] = [
        ("expired", expired, &["has expired", "days ago"]),
        ("early", |params| params.not_before = date_time_ymd(4000, 1, 1), &["not good yet"]),
        (
            "another",
            |params| {
                let names = vec!["elsewhere.example".to_owned()];
                params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
            },
            &["another one's certificate", "elsewhere.example", "localhost"],
        ),
        (
            "purpose",
            |params| {
                params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
            },
            &["not trusted here"],
        ),
    ];
    for (name, change, named) in cases {
        let host = host(&ground.hosts.sign_with(name, For::Host, change), &[]);
        ground.refused(ground.driver(&host), named);
        host.stop();
    }
    // An authority's own certificate, as `openssl req -x509` makes one.
    let own = ground.hosts.file();
    let own = Pair { key: own.with_extension("key"), certificate: own };
    let host = host(&own, &[]);
    ground.refused(ground.driver(&host), &["an authority's own certificate"]);
    host.stop();
}

fn drivers_are_checked() {
    let ground = Ground::new();
    let good = ground.hosts.sign("host", For::Host);
    let drivers = ground.drivers.file();
    let host = host(&good, &[("SAMARA_HOST_TLS_CLIENT_CA", text(&drivers))]);
    let with = |pair: &Pair| ground.driver(&host).tls_cert(&pair.certificate).tls_key(&pair.key);
    // Again and again: what is heard of it is a race between the alert and the request.
    for _ in 0..10 {
        ground.refused(ground.driver(&host), &["wants a certificate", "`tls-cert`", "`tls-key`"]);
    }
    let others = ground.hosts.sign("others", For::Driver);
    ground.refused(with(&others), &["does not trust who issued", "SAMARA_HOST_TLS_CLIENT_CA"]);
    let late = ground.drivers.sign_with("late", For::Driver, expired);
    ground.refused(with(&late), &["has expired", "`tls-cert`"]);
    let purpose = ground.drivers.sign("purpose", For::Host);
    ground.refused(with(&purpose), &["does not take this driver's certificate"]);
    // By HTTP/1.1, and by TLS 1.2 where the client's certificate is looked at sooner.
    for version in [&TLS12, &TLS13] {
        let config = client(&ground.hosts, version, &["http/1.1"]);
        let asked = connect(&host.address, &config)
            .and_then(|stream| Request::new("GET", "/healthz").send_over(stream));
        let error = asked.expect_err("it is refused").to_string();
        assert!(error.contains("CertificateRequired"), "{version:?}: {error}");
    }
    ground.adds(with(&ground.drivers.sign("driver", For::Driver))).unwrap();
    // What strangers do is nothing to warn of.
    let ended = host.stop();
    assert_eq!((ended.code, ended.stderr.contains("TLS")), (Some(0), false), "{ended:?}");
}

fn another_host() {
    let ground = Ground::new();
    let good = host(&ground.hosts.sign("good", For::Host), &[]);
    let late = host(&ground.hosts.sign_with("late", For::Host, expired), &[]);
    let address = |host: &Host| host.address.replace("127.0.0.1", "localhost");
    for hosts in [[&good, &late], [&late, &good]] {
        let url = format!("https://{},{}", address(hosts[0]), address(hosts[1]));
        ground.adds(ground.stranger(&url).tls_ca(ground.hosts.file())).unwrap();
    }
    for host in [good, late] {
        assert_eq!(host.stop().code, Some(0));
    }
}

fn strangers_meet() {
    let ground = Ground::new();
    let safe = host(&ground.hosts.sign("host", For::Host), &[]);
    ground.refused(ground.stranger(&format!("http://{}", safe.address)), &["400", "say https://"]);
    let answer = Request::new("GET", "/healthz").send(&safe.address).unwrap();
    assert!(answer.status == 400 && answer.text().contains("TLS"), "{}", answer.text());
    // Others could listen in, which it says.
    let plain = Host::start(&[
        ("SAMARA_HOST_AS", "http"),
        ("SAMARA_HOST_LISTEN", "0.0.0.0:0"),
        ("SAMARA_HOST_TOKENS", TOKEN),
    ]);
    ground.refused(ground.driver(&plain), &["speaks no TLS", "say http://"]);
    ground.adds(ground.stranger(&format!("http://{}", plain.address))).unwrap();
    ground.adds(ground.driver(&safe)).unwrap();
    for (host, warns) in [(safe, false), (plain, true)] {
        let ended = host.stop();
        let warned = ended.stderr.contains("speaks no TLS: tickets and tokens can be read");
        assert_eq!((ended.code, warned), (Some(0), warns), "{ended:?}");
    }
}

/// The beginning of a handshake by a client that speaks no more than TLS 1.1.
fn hello_of_tls_11() -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    // No session, two suites, no compression.
    body.extend([0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0]);
    // Signatures by ECDSA with SHA-256, the group X25519.
    body.extend([0, 16, 0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 29]);
    let length = u8::try_from(body.len()).unwrap();
    let mut message = vec![1, 0, 0, length];
    message.extend(body);
    let length = u8::try_from(message.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length];
    record.extend(message);
    record
}

fn versions() {
    let ground = Ground::new();
    let place = Place::new();
    let host = host(&ground.hosts.sign("host", For::Host), &[]);
    let batch = post(&place.batch("adds_one", &[1]), false);
    for version in [&TLS12, &TLS13] {
        for (offered, chosen) in [
            (&["h2", "http/1.1"][..], Some("h2")),
            (&["http/1.1", "h2"], Some("h2")),
            (&["h2"], Some("h2")),
            (&["http/1.1"], Some("http/1.1")),
            (&[], None),
        ] {
            let config = client(&ground.hosts, version, offered);
            let stream = connect(&host.address, &config).unwrap();
            assert_eq!(stream.conn.protocol_version(), Some(version.version));
            let protocol = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
            assert_eq!(protocol.as_deref(), chosen.map(str::as_bytes), "{offered:?}");
            if chosen != Some("h2") {
                let answer = batch.send_over(stream).unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert_eq!(Done::read(&answer.body).numbers(), [(0, 2)]);
            }
        }
        let error = connect(&host.address, &client(&ground.hosts, version, &["smtp"]));
        let error = error.expect_err("nothing in common").to_string();
        assert!(error.contains("NoApplicationProtocol"), "{error}");
    }
    let mut stream = TcpStream::connect(&host.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(&hello_of_tls_11()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    // A fatal alert: `protocol_version`, or `handshake_failure`.
    assert!(answer[0] == 21 && matches!(answer[5..], [2, 70 | 40]), "{answer:?}");
    host.stop();
}

/// The certificate that a host shows now.
fn shown(ground: &Ground, host: &Host) -> Vec<u8> {
    let stream = connect(&host.address, &client(&ground.hosts, &TLS13, &[])).unwrap();
    stream.conn.peer_certificates().expect("a certificate")[0].to_vec()
}

fn rotates() {
    let ground = Ground::new();
    let pair = ground.hosts.sign("host", For::Host);
    let old = pair.der();
    let host = host(&pair, &[]);
    assert_eq!(shown(&ground, &host), old.to_vec());
    let healthy = "GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n";
    let mut open = connect(&host.address, &client(&ground.hosts, &TLS13, &["http/1.1"])).unwrap();
    let mut lives = || {
        open.write_all(healthy.as_bytes()).unwrap();
        let mut answer = [0; 15];
        open.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        let mut rest = [0; 1024];
        assert!(open.read(&mut rest).unwrap() > 0);
    };
    lives();
    // A broken file, and a key that is another's: nothing changes, and the log has it.
    let (whole, new) =
        (std::fs::read(&pair.certificate).unwrap(), ground.hosts.sign("new", For::Host));
    std::fs::write(&pair.certificate, "in the middle of writing").unwrap();
    std::thread::sleep(LOOKED);
    assert_eq!(shown(&ground, &host), old.to_vec());
    std::fs::write(&pair.certificate, whole).unwrap();
    std::fs::copy(&new.key, &pair.key).unwrap();
    std::thread::sleep(LOOKED);
    assert_eq!(shown(&ground, &host), old.to_vec());
    lives();
    new.replaces(&pair);
    let (clock, before) = (SystemClock::new(), SystemClock::new().monotonic());
    while shown(&ground, &host) != new.der().to_vec() {
        assert!(clock.monotonic().saturating_sub(before) < 5 * LOOKED, "it is not taken up");
        std::thread::sleep(Duration::from_millis(100));
    }
    lives();
    ground.adds(ground.driver(&host)).unwrap();
    let ended = host.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let said = |named: &str| ended.stderr.lines().filter(|line| line.contains(named)).count();
    let broken = format!("SAMARA_HOST_TLS_CERT names {}", pair.certificate.display());
    let wrong = format!("SAMARA_HOST_TLS_KEY names {}", pair.key.display());
    assert_eq!((said(&broken), said(&wrong)), (1, 1), "{ended:?}");
    assert!(!ended.stderr.contains("PRIVATE"), "{ended:?}");
}

fn bad_settings() {
    let ground = Ground::new();
    let (good, other) =
        (ground.hosts.sign("good", For::Host), ground.hosts.sign("other", For::Host));
    let garbage = ground.directory.path().join("garbage.pem");
    std::fs::write(&garbage, "no PEM at all").unwrap();
    let damaged = ground.directory.path().join("damaged.pem");
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&damaged, pem).unwrap();
    let locked = ground.directory.path().join("locked.key");
    let pem = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(&locked, pem).unwrap();
    let (certificate, key, ca) =
        ("SAMARA_HOST_TLS_CERT", "SAMARA_HOST_TLS_KEY", "SAMARA_HOST_TLS_CLIENT_CA");
    let (none, drivers) = (Path::new("/nowhere/at.all"), ground.drivers.file());
    let (good_certificate, good_key) = ((certificate, &*good.certificate), (key, &*good.key));
    type Case<'a> = (&'a [(&'a str, &'a Path)], &'a [&'a str]);
    let cases: [Case<'_>; 12] = [
        (&[good_certificate], &[certificate, key]),
        (&[good_key], &[key, certificate]),
        (&[(ca, &drivers)], &[ca, certificate]),
        (&[(certificate, none), good_key], &["SAMARA_HOST_TLS_CERT names /nowhere/at.all"]),
        (&[good_certificate, (key, none)], &["SAMARA_HOST_TLS_KEY names /nowhere/at.all"]),
        (&[(certificate, &garbage), good_key], &[certificate, "garbage.pem", "no certificate"]),
        (&[(certificate, &damaged), good_key], &[certificate, "damaged.pem", "damaged"]),
        (&[good_certificate, (key, &garbage)], &[key, "garbage.pem", "no private key"]),
        (&[good_certificate, (key, &locked)], &[key, "locked.key", "not encrypted"]),
        (&[good_certificate, (key, &other.key)], &[key, "other.key", "not the key of"]),
        (&[good_certificate, good_key, (ca, &damaged)], &[ca, "damaged.pem"]),
        // All at once.
        (
            &[(certificate, none), (key, &garbage), (ca, &damaged)],
            &["SAMARA_HOST_TLS_CERT names", "SAMARA_HOST_TLS_KEY names", "_TLS_CLIENT_CA names"],
        ),
    ];
    for (variables, named) in cases {
        let variables: Vec<_> = variables.iter().map(|(name, path)| (*name, text(path))).collect();
        let more = [("SAMARA_HOST_LISTEN", "127.0.0.1:0"), ("SAMARA_HOST_SLOTS", "none")];
        let (code, said) = refused(&[&variables[..], &more].concat());
        assert_eq!(code, Some(78), "{said}");
        for named in named.iter().chain(&["SAMARA_HOST_SLOTS"]) {
            assert!(said.contains(named), "{named}: {said}");
        }
        assert!(!said.contains("no PEM at all") && !said.contains("AAAA"), "{said}");
    }
    // Where nobody speaks TLS.
    let socket = format!("unix:{}/host.sock", text(ground.directory.path()));
    let api = ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1");
    let lambda = [api, ("AWS_LAMBDA_FUNCTION_NAME", "f"), ("AWS_LAMBDA_FUNCTION_VERSION", "1")];
    let lambda = [&lambda[..], &[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")]].concat();
    let tls = [(certificate, text(&good.certificate)), (key, text(&good.key))];
    for place in [
        &[("SAMARA_HOST_LISTEN", &*socket)][..],
        &[("FN_LISTENER", &*socket), ("SAMARA_HOST_TOKENS", TOKEN)],
        &lambda,
    ] {
        let (code, said) = refused(&[&tls, place].concat());
        assert_eq!((code, said.contains(certificate)), (Some(78), true), "{said}");
    }
    // One-way TLS says nothing about who may.
    let open = [("SAMARA_HOST_AS", "http"), ("SAMARA_HOST_LISTEN", "0.0.0.0:0")];
    let (code, said) = refused(&[&tls, &open[..]].concat());
    assert_eq!((code, said.contains(ca)), (Some(78), true), "{said}");
}

fn bad_files_of_drivers() {
    let ground = Ground::new();
    let own = ground.drivers.sign("own", For::Driver);
    let other = ground.drivers.sign("other", For::Driver);
    let garbage = ground.directory.path().join("garbage.pem");
    std::fs::write(&garbage, "no PEM at all").unwrap();
    let driver = || ground.stranger("https://localhost:1");
    for (builder, named) in [
        (driver().tls_ca("/nowhere/at.all"), &["`tls-ca` names /nowhere/at.all"][..]),
        (driver().tls_ca(&garbage), &["`tls-ca`", "garbage.pem"]),
        (driver().tls_cert(&own.certificate), &["`tls-cert` needs `tls-key`"]),
        (driver().tls_key(&own.key), &["`tls-key` needs `tls-cert`"]),
        (driver().tls_cert(&garbage).tls_key(&own.key), &["`tls-cert`", "garbage.pem"]),
        (driver().tls_cert(&own.certificate).tls_key(&garbage), &["`tls-key`", "garbage.pem"]),
        (driver().tls_cert(&own.certificate).tls_key(&other.key), &["`tls-key`", "not the key"]),
    ] {
        let error = builder.build().expect_err("bad files").to_string();
        for named in named {
            assert!(error.contains(named), "{named}: {error}");
        }
        assert!(!error.contains("no PEM at all"), "{error}");
    }
}

/// Whether this machine has what the guide's commands need.
pub(crate) fn has_openssl() -> bool {
    let mut openssl = std::process::Command::new("openssl");
    openssl.arg("version").output().is_ok_and(|output| output.status.success())
}

/// The first block of commands of a part of the guide.
fn commands() -> String {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/hosts.md"));
    let part = page.split("\n## TLS").nth(1).expect("a part about TLS");
    let block = part.split("```sh\n").nth(1).expect("commands");
    block.split("\n```").next().expect("its end").to_owned()
}

fn guide() {
    let ground = Ground::new();
    let directory = ground.directory.path().join("made");
    std::fs::create_dir_all(&directory).unwrap();
    let mut shell = std::process::Command::new("sh");
    let made = shell.args(["-euc", &commands()]).current_dir(&directory).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = |name: &str| directory.join(name);
    let pair = Pair { certificate: file("host.pem"), key: file("host.key") };
    let host = host(&pair, &[("SAMARA_HOST_TLS_CLIENT_CA", text(&file("ca.pem")))]);
    let trusts = || ground.stranger(&url(&host)).tls_ca(file("ca.pem"));
    ground.adds(trusts().tls_cert(file("driver.pem")).tls_key(file("driver.key"))).unwrap();
    ground.refused(trusts(), &["`tls-cert`"]);
    host.stop();
}

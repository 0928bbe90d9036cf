//! A host that knows tenants: the real binary, drivers with tickets, and strangers. Most of it also
//! with a process for each tenant, where nothing may be different.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use samara::{Access, Builder, Cause, Component, Error, Exceeded, Executor, Limits, Objects};
use samara_core::{Clock as _, ComponentId, ErrorKind, Outcome, SystemClock};
use samara_hosts::lambda::{Lambda, Settings};
use samara_programs as programs;
use samara_tenants::{Claims, KeyPair, Narrower, NarrowerObject, generate_keys, issue};

use crate::batch::{Done, batch, component, component_called};
use crate::host::{Host, binary, cache, refused, signal};
use crate::http::{Answer, Request, front_door};
use crate::isolate::soon;

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("a_tenant_has_what_is_its_own_and_nothing_else", own),
    ("a_component_runs_for_whom_it_was_stored_for_alone", components),
    ("strangers_are_refused_by_every_way_they_come", strangers),
    ("limits_and_secrets_are_the_tenants", limits),
    ("a_ticket_may_allow_less_than_the_tenant_may", narrower),
    ("the_audit_log_has_every_job_and_every_refusal", audit),
    ("the_audit_log_of_a_host_that_is_killed_is_whole", killed),
    ("the_audit_log_counts_every_refusal_of_a_flood", refusals),
    ("a_function_of_lambda_asks_for_tickets_too", lambda),
    ("a_flood_of_one_tenant_leaves_the_others_their_share", flood),
    ("a_tenant_that_sleeps_leaves_the_others_the_slots", sleepers),
    ("a_tenant_whose_store_is_slow_leaves_the_others_the_slots", fetches),
    ("a_tenant_has_no_more_memory_than_its_quota", memory),
    ("a_batch_goes_back_where_a_quota_ends", used_up),
    ("a_tenants_tasks_start_no_jobs_and_are_told_so", nested),
    ("a_host_that_is_too_old_or_has_a_faulty_file_does_not_start", does_not_start),
];

/// What holds with a process for each tenant too, by name.
pub(crate) const ISOLATED: &[(&str, fn())] = &[
    ("a_tenant_has_what_is_its_own_and_nothing_else", || isolated(own)),
    ("a_component_runs_for_whom_it_was_stored_for_alone", || isolated(components)),
    ("limits_and_secrets_are_the_tenants", || isolated(limits)),
    ("a_ticket_may_allow_less_than_the_tenant_may", || isolated(narrower)),
    ("the_audit_log_has_every_job_and_every_refusal", || isolated(audit)),
    ("a_function_of_lambda_asks_for_tickets_too", || isolated(lambda)),
    ("a_flood_of_one_tenant_leaves_the_others_their_share", || isolated(flood)),
    ("a_tenant_has_no_more_memory_than_its_quota", || isolated(memory)),
    ("a_batch_goes_back_where_a_quota_ends", || isolated(used_up)),
    ("a_tenants_tasks_start_no_jobs_and_are_told_so", || isolated(nested)),
];

thread_local! {
    /// Whether hosts of this thread have a process for each tenant.
    static ISOLATES: Cell<bool> = const { Cell::new(false) };
}

/// Runs a check of hosts that have a process for each tenant.
pub(crate) fn isolated(check: fn()) {
    ISOLATES.set(true);
    check();
}

/// How hosts of this thread isolate their tenants.
pub(crate) fn isolation() -> &'static str {
    if ISOLATES.get() { "tenant" } else { "none" }
}

const AUDIENCE: &str = "https://hosts.example";

/// Rounds of a short task: some 20 ms.
const COMPUTED: u64 = 20_000_000;

/// How long a ticket is good, in seconds.
const HOUR: u64 = 3600;

/// Two tenants, their keys and their stores, in a directory.
pub(crate) struct Ground {
    directory: tempfile::TempDir,
    pub(crate) acme: KeyPair,
    pub(crate) beta: KeyPair,
    pub(crate) app: Component,
}

// === impl Ground ===

impl Ground {
    pub(crate) fn new(more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (acme, beta) = (generate_keys().unwrap(), generate_keys().unwrap());
        for (name, pair) in [("acme", &acme), ("beta", &beta)] {
            std::fs::create_dir_all(directory.path().join(name)).unwrap();
            std::fs::write(directory.path().join(format!("{name}.pem")), &pair.public_pem).unwrap();
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
        let app = Component::from_crate(path).expect("the component");
        let ground = Self { directory, acme, beta, app };
        let root = ground.directory.path().display();
        let file = format!(
            "audience = \"{AUDIENCE}\"\naudit = \"audit.jsonl\"\n{more}\n\
             [tenants.acme]\nkeys = [\"acme.pem\"]\nsecrets = [\"partner\"]\n\
             objects = [{{ url = \"file://{root}/acme/\", access = \"read-write\" }},\n\
             {{ url = \"file://{root}/public/\", access = \"read\" }}]\n\
             [tenants.acme.limits]\nmemory = \"64MiB\"\n\
             [tenants.acme.quota]\nmemory = \"100MiB\"\n\
             [tenants.beta]\nkeys = [\"beta.pem\"]\n\
             objects = [{{ url = \"file://{root}/beta/\", access = \"read-write\" }}]\n"
        );
        std::fs::write(ground.file(), file).unwrap();
        ground
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("tenants.toml")
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn host(&self, more: &[(&str, &str)]) -> Host {
        let file = self.path("tenants.toml");
        let variables = [
            ("SAMARA_HOST_TENANTS", file.as_str()),
            ("SAMARA_HOST_LISTEN", "127.0.0.1:0"),
            ("SAMARA_HOST_AS", "http"),
            ("SAMARA_HOST_ISOLATE", isolation()),
        ];
        Host::start(&[&variables, more].concat())
    }

    /// A driver of a tenant's, with this ticket.
    pub(crate) fn driver(&self, host: &Host, ticket: &str, store: &str) -> Builder {
        Executor::builder()
            .runtime(format!("http://{}", host.address))
            .token(ticket)
            .store(self.path(store))
            .progress(false)
    }

    pub(crate) fn acmes(&self, host: &Host) -> Builder {
        self.driver(host, &ticket(&self.acme, "acme"), "acme")
    }

    pub(crate) fn betas(&self, host: &Host) -> Builder {
        self.driver(host, &ticket(&self.beta, "beta"), "beta")
    }

    /// A ticket of acme's.
    pub(crate) fn ticket(&self) -> String {
        ticket(&self.acme, "acme")
    }

    /// Changes the file of tenants.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.file()).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(self.file(), text.replace(from, to)).unwrap();
    }

    /// Lines of the audit log, of an event.
    pub(crate) fn audited(&self, event: &str) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.path("audit.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.filter(|line: &serde_json::Value| line["event"] == event).collect()
    }

    pub(crate) fn adds(&self, builder: Builder) -> Result<u64, Error> {
        let executor = builder.build().unwrap();
        samara::block_on(executor.call(&self.app, programs::reuse::adds_one, 41))
    }
}

pub(crate) fn claims(tenant: &str) -> Claims {
    let now = SystemClock::new().unix().as_secs();
    Claims {
        sub: tenant.to_owned(),
        aud: vec![AUDIENCE.to_owned()],
        exp: now + HOUR,
        nbf: None,
        iat: Some(now),
        jti: None,
        samara: None,
    }
}

pub(crate) fn ticket(pair: &KeyPair, tenant: &str) -> String {
    issue(&pair.private_pem, &claims(tenant)).unwrap()
}

#[track_caller]
pub(crate) fn denied(result: Result<impl std::fmt::Debug, Error>, named: &str) {
    let error = result.expect_err("it is not allowed").to_string();
    assert!(error.contains(named), "{error}");
}

/// A quota of tasks is of those that drivers send.
fn nested() {
    let ground = Ground::new("");
    let host = ground.host(&[]);
    let executor = ground.acmes(&host).build().unwrap();
    let leaves = executor.call(&ground.app, programs::nested::leaves, (1, 2));
    let said = samara::block_on(leaves).unwrap_err().to_string();
    assert!(said.contains("lets no task start jobs; start them from the driver"), "{said}");
}

fn own() {
    let ground = Ground::new("");
    let host = ground.host(&[]);
    assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42);
    assert_eq!(ground.adds(ground.betas(&host)).unwrap(), 42);
    let acme = ticket(&ground.acme, "acme");
    // Another's store, and above its own.
    denied(ground.adds(ground.driver(&host, &acme, "beta")), "not granted to write");
    denied(ground.adds(ground.driver(&host, &acme, "")), "not granted to write");
    denied(ground.adds(ground.driver(&host, &acme, "acmes")), "not granted to write");
    // Grants that are not its own.
    let others = ground.acmes(&host).grant(ground.path("beta"), Access::Read);
    denied(ground.adds(others), "not granted to read");
    let public = ground.acmes(&host).grant(ground.path("public"), Access::ReadWrite);
    denied(ground.adds(public), "not granted to write");
    let server = ground.acmes(&host).grant_http("https://example.com");
    denied(ground.adds(server), "https://example.com");
    denied(ground.adds(ground.acmes(&host).secret("A", "other")), "`other`");
    denied(ground.adds(ground.acmes(&host).precise_clock(true)), "precise");
    // Inputs that are another's.
    for (place, fine) in [("acme", true), ("public", true), ("beta", false)] {
        std::fs::create_dir_all(ground.path(place)).unwrap();
        std::fs::write(Path::new(&ground.path(place)).join("in.txt"), "a\nb\n").unwrap();
        let executor = ground.acmes(&host).build().unwrap();
        let input = format!("{}/in.txt", ground.path(place));
        let read = samara::block_on(async {
            let job = executor.map(&ground.app, programs::input::count_lines, Objects::at(input));
            let results = job.await?.results().await;
            results.into_iter().collect::<Result<Vec<_>, _>>().map_err(Error::from)
        });
        assert_eq!(read.is_ok(), fine, "{place}: {read:?}");
    }
    assert_eq!(host.stop().code, Some(0));
}

fn components() {
    let ground = Ground::new("");
    let host = ground.host(&[]);
    assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42);
    // The host has it now; beta's store has not.
    let ask = |pair: &KeyPair, tenant: &str| {
        let batch = batch(&ground.path(tenant), component(), ("adds_one", &[1]));
        let ticket = ticket(pair, tenant);
        let request = Request::new("POST", "/v1/batches").with("samara-token", &ticket);
        let answer = request.body(batch).send(&host.address).unwrap();
        assert_eq!(answer.status, 200);
        Done::read(&answer.body)
    };
    assert_eq!(ask(&ground.acme, "acme").numbers(), [(0, 2)]);
    let done = ask(&ground.beta, "beta");
    let Outcome::Platform(error) = &done.reports[0].outcome else { panic!("{done:?}") };
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    assert_eq!(ground.adds(ground.betas(&host)).unwrap(), 42, "a driver brings its own");
    host.stop();
}

fn strangers() {
    let ground = Ground::new("");
    let host = ground.host(&[]);
    let without = Executor::builder()
        .runtime(format!("http://{}", host.address))
        .store(ground.path("acme"))
        .progress(false);
    denied(ground.adds(without), "none was shown");
    let changed = |change: fn(&mut Claims)| {
        let mut claims = claims("acme");
        change(&mut claims);
        issue(&ground.acme.private_pem, &claims).unwrap()
    };
    let (head_and_claims, _) = ticket(&ground.acme, "acme")
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    for (ticket, named) in [
        ("garbage".to_owned(), "ticket"),
        (format!("{head_and_claims}."), "ticket"),
        (ticket(&ground.beta, "acme"), "ticket"),
        (ticket(&ground.acme, "beta"), "ticket"),
        (ticket(&ground.acme, "nobody"), "ticket"),
        (changed(|claims| claims.exp = 1_000_000_000), "ended"),
        (changed(|claims| claims.nbf = Some(claims.exp - 1)), "begins"),
        (changed(|claims| claims.aud = vec!["https://others.example".to_owned()]), "not for"),
        (changed(|claims| claims.exp += 100 * 24 * HOUR), "long"),
    ] {
        let result = ground.adds(ground.driver(&host, &ticket, "acme"));
        let error = result.expect_err("a stranger").to_string();
        assert!(error.contains(named), "{named}: {error}");
        assert!(!error.contains(&ticket) || ticket == "garbage", "the ticket is shown: {error}");
    }
    let ended = host.stop();
    assert!(!ended.stderr.contains(&head_and_claims), "a ticket is in the log");
}

fn limits() {
    let ground = Ground::new("");
    std::fs::create_dir_all(ground.path("secrets/acme")).unwrap();
    std::fs::create_dir_all(ground.path("secrets/beta")).unwrap();
    std::fs::write(ground.path("secrets/acme/partner"), "acmes own").unwrap();
    std::fs::write(ground.path("secrets/partner"), "nobodys").unwrap();
    let secrets = ground.path("secrets");
    let host = ground.host(&[("SAMARA_HOST_SECRETS", &secrets)]);
    let executor = ground.acmes(&host).secret("KEY", "partner").build().unwrap();
    let key = executor.call(&ground.app, programs::granted::variable, "KEY".to_owned());
    assert_eq!(samara::block_on(key).unwrap().as_deref(), Some("acmes own"));
    // It asks for a gigabyte, and has what its tenant may have.
    let executor = ground.acmes(&host).build().unwrap();
    let failed = samara::block_on(executor.call(&ground.app, programs::ends::allocates, 200 << 20));
    let exceeded = Cause::LimitExceeded(Exceeded::Memory { limit: 64 << 20 });
    assert_eq!(cause(failed), exceeded);
    host.stop();
}

#[track_caller]
fn cause(result: Result<impl std::fmt::Debug, Error>) -> Cause {
    match result {
        Err(Error::Task(error)) => error.into_cause(),
        other => panic!("{other:?}"),
    }
}

fn narrower() {
    let ground = Ground::new("");
    let host = ground.host(&[]);
    let ticket = |url: String, access| {
        let objects = vec![NarrowerObject { url, access }];
        let narrower = Narrower { objects, ..Narrower::default() };
        let claims = Claims { samara: Some(narrower), ..claims("acme") };
        issue(&ground.acme.private_pem, &claims).unwrap()
    };
    let nightly = format!("file://{}/", ground.path("acme/nightly"));
    let small = ticket(nightly, Access::ReadWrite);
    assert_eq!(ground.adds(ground.driver(&host, &small, "acme/nightly")).unwrap(), 42);
    denied(ground.adds(ground.driver(&host, &small, "acme")), "not granted");
    let large = ticket(format!("file://{}/", ground.path("")), Access::ReadWrite);
    denied(ground.adds(ground.driver(&host, &large, "acme")), "ticket");
    host.stop();
}

fn audit() {
    let ground = Ground::new("");
    let host = ground.host(&[]);
    let executor = ground.acmes(&host).build().unwrap();
    let job = samara::block_on(async {
        let job = executor.map(&ground.app, programs::reuse::adds_one, 0..100_u64).await.unwrap();
        let id = job.id().to_string();
        assert_eq!(job.results().await.len(), 100);
        id
    });
    denied(ground.adds(ground.driver(&host, "none", "acme")), "ticket");
    denied(ground.adds(ground.acmes(&host).precise_clock(true)), "precise");
    let strangers = || {
        let refused = ground.audited("refused");
        refused.iter().filter(|line| line["kind"] == "header").map(times).sum::<u64>()
    };
    assert_eq!(strangers(), 0);
    // A body that never comes: it is not waited for, and there is one refusal.
    let head = "POST /v1/batches HTTP/1.1\r\nhost: h\r\nsamara-token: a.b.c\r\ncontent-length: \
                1000000\r\n\r\n";
    let mut stream = std::net::TcpStream::connect(&host.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    // More tasks than a host takes together, twice.
    let long = batch(&ground.path("acme"), component(), ("adds_one", &[1; (16 << 10) + 1]));
    for _ in 0..2 {
        let token = ticket(&ground.acme, "acme");
        let request = Request::new("POST", "/v1/batches").with("samara-token", &token);
        assert_eq!(request.body(&long[..]).send(&host.address).unwrap().status, 413);
    }
    host.stop();
    assert_eq!(strangers(), 1);
    let turned_away = ground.audited("turned-away");
    assert_eq!(turned_away.iter().map(times).sum::<u64>(), 2, "{turned_away:?}");
    for line in &turned_away {
        let is_of = (&line["tenant"], &line["way"], &line["function"]);
        assert_eq!(is_of, (&"acme".into(), &"http".into(), &"adds_one".into()));
        assert!(line["reason"].as_str().unwrap().contains("has 16385 tasks"), "{line}");
    }
    let begun = ground.audited("job");
    assert_eq!(
        (begun.len(), &begun[0]["job"], &begun[0]["tenant"]),
        (1, &job.into(), &"acme".into())
    );
    let ended = ground.audited("ended");
    let succeeded: u64 = ended.iter().map(|line| line["succeeded"].as_u64().unwrap()).sum();
    assert_eq!(succeeded, 100, "{ended:?}");
    let refused = ground.audited("refused");
    let of = |tenant: Option<&str>| {
        let is_of = |line: &&serde_json::Value| line["tenant"].as_str() == tenant;
        refused.iter().filter(is_of).count()
    };
    assert!(of(None) >= 1 && of(Some("acme")) >= 1, "{refused:?}");
    for line in begun.iter().chain(&ended).chain(&refused) {
        assert_eq!(line["way"], "http", "{line}");
    }
}

/// For how many refusals a line stands.
pub(crate) fn times(line: &serde_json::Value) -> u64 {
    line["times"].as_u64().unwrap_or(1)
}

/// Refusals of tenants and of strangers, after which the host ends at once.
fn refusals() {
    const EACH: u64 = 150;
    let ground = Ground::new("");
    let host = ground.host(&[]);
    let store = ground.path("public");
    let body = batch(&store, component(), ("adds_one", &[1]));
    let tickets = [ticket(&ground.acme, "acme"), ticket(&ground.beta, "beta")];
    let ask = |token: &str, body: &[u8]| {
        let request = Request::new("POST", "/v1/batches").with("samara-token", token);
        request.body(body).send(&host.address).unwrap().status
    };
    // Each says something else of itself. A body would not be read.
    let stranger = |n: u64| {
        let head = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"{n}\"}}"));
        ask(&format!("{head}.b.c"), &[])
    };
    std::thread::scope(|scope| {
        for ticket in &tickets {
            scope.spawn(|| (0..EACH).for_each(|_| assert_eq!(ask(ticket, &body), 403)));
        }
        for _ in 0..2 {
            scope.spawn(|| (0..EACH).for_each(|n| assert_eq!(stranger(n), 401)));
        }
    });
    let ended = host.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines = ground.audited("refused");
    let of = |tenant: Option<&str>| {
        let of = lines.iter().filter(move |line| line["tenant"].as_str() == tenant);
        of.map(times).sum::<u64>()
    };
    assert_eq!((of(Some("acme")), of(Some("beta")), of(None)), (EACH, EACH, 2 * EACH));
    // Two lines for each quarter of a second and each of the three.
    assert!(lines.len() < 4 * usize::try_from(EACH).unwrap() / 2, "{} lines", lines.len());
}

fn lambda() {
    let ground = Ground::new("");
    let mut settings = Settings::new(binary());
    let cache = cache().to_str().expect("UTF-8").to_owned();
    settings.variables.push(("SAMARA_HOST_CACHE_DIR".to_owned(), cache));
    settings.variables.push(("SAMARA_HOST_TENANTS".to_owned(), ground.path("tenants.toml")));
    settings.variables.push(("SAMARA_HOST_ISOLATE".to_owned(), isolation().to_owned()));
    let lambda = Lambda::start(settings).expect("a port");
    let driver = |ticket: &str, store: &str| {
        let url = format!("{}&slots=2", lambda.url());
        let builder = Executor::builder().runtime(url).token(ticket).progress(false);
        builder.store(ground.path(store))
    };
    let acme = ticket(&ground.acme, "acme");
    assert_eq!(ground.adds(driver(&acme, "acme")).unwrap(), 42);
    denied(ground.adds(driver(&acme, "beta")), "not granted");
    denied(ground.adds(driver("none", "acme")), "ticket");
    let builder = Executor::builder().runtime(lambda.url()).store(ground.path("acme"));
    denied(ground.adds(builder.progress(false)), "none was shown");
    for event in ["job", "refused"] {
        let lines = ground.audited(event);
        assert!(!lines.is_empty() && lines.iter().all(|line| line["way"] == "lambda"), "{lines:?}");
    }
}

fn killed() {
    let ground = Ground::new("");
    let host = ground.host(&[]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..5).for_each(|_| assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42))
            });
        }
    });
    // One is under way.
    let executor = ground.acmes(&host).build().unwrap();
    let job = executor.map(&ground.app, programs::sandbox::sleeps, [600_000_u64]);
    let job = samara::block_on(job).unwrap();
    let is_written = || {
        let id = job.id().to_string();
        let begun = ground.audited("job").iter().any(|line| line["job"] == *id);
        begun && ground.audited("ended").len() == 20
    };
    soon("all of it is written down", is_written);
    signal(host.id(), "KILL");
    assert_eq!(host.ended().code, None);
    let text = std::fs::read_to_string(ground.path("audit.jsonl")).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    let (begun, ended) = (ground.audited("job"), ground.audited("ended"));
    assert_eq!(begun.len(), 21);
    assert_eq!(ended.len(), 20);
    assert!(ended.iter().all(|line| line["function"] == "adds_one"), "{ended:?}");
    job.cancel();
}

/// How long each of a tenant's short tasks took, one after the other.
fn shorts(ground: &Ground, executor: &Executor, count: usize) -> Vec<Duration> {
    let clock = SystemClock::new();
    let one = |_| {
        let before = clock.monotonic();
        let call = executor.call(&ground.app, programs::ends::computes, COMPUTED);
        samara::block_on(call).unwrap();
        clock.monotonic() - before
    };
    let mut all: Vec<Duration> = (0..count).map(one).collect();
    all.sort();
    all
}

fn flood() {
    let ground = Ground::new("");
    let host = ground.host(&[]);
    let quiet = ground.betas(&host).build().unwrap();
    // Twice, so that everything is warm.
    shorts(&ground, &quiet, 5);
    let alone = shorts(&ground, &quiet, 40);
    let mut limits = Limits::default();
    limits.memory_bytes = 32 << 20;
    let loud = ground.acmes(&host).limits(limits).build().unwrap();
    let spins = (0..1000_u64).map(|_| ());
    let flood = samara::block_on(loud.map(&ground.app, programs::ends::loops, spins)).unwrap();
    let beside = shorts(&ground, &quiet, 40);
    flood.cancel();
    // Behind a flood that is not held back it would be hours. Other tests run at the same time, so
    // the figures are the bench's.
    let (alone, beside) = (alone[20], beside[20]);
    assert!(beside < alone * 20 + Duration::from_secs(2), "{alone:?} alone, {beside:?} beside it");
    host.stop();
}

fn sleepers() {
    let ground = Ground::new("");
    let host = ground.host(&[("SAMARA_HOST_SLOTS", "2")]);
    let quiet = ground.betas(&host).build().unwrap();
    shorts(&ground, &quiet, 1);
    let loud = ground.acmes(&host).build().unwrap();
    let sleeps = [600_000_u64; 20];
    let job = samara::block_on(loud.map(&ground.app, programs::sandbox::sleeps, sleeps)).unwrap();
    // They have all slots by then.
    std::thread::sleep(Duration::from_secs(1));
    let slowest = shorts(&ground, &quiet, 20)[19];
    assert!(slowest < Duration::from_secs(60), "{slowest:?}: as long as they sleep");
    job.cancel();
    host.stop();
}

/// A component that lies in a store which does not answer until it may.
fn fetches() {
    let ground = Ground::new("");
    let bytes = component_called(&ground.path("new"));
    let component = ComponentId::of(&bytes);
    let (asked, lock) = (Arc::<AtomicUsize>::default(), Arc::new(RwLock::new(())));
    let closed = lock.write().unwrap();
    let door = (Arc::clone(&asked), Arc::clone(&lock));
    let port = front_door(Box::new(move |request| {
        door.0.fetch_add(1, Ordering::SeqCst);
        drop(door.1.read());
        let body = if request.method == "HEAD" { Vec::new() } else { bytes.clone() };
        Answer { status: 200, body, ..Answer::default() }
    }));
    let store = format!("http://127.0.0.1:{port}/acme/");
    ground.edit(
        "access = \"read\" }]",
        &format!("access = \"read\" }}, {{ url = {store:?}, access = \"read-write\" }}]"),
    );
    let host = ground.host(&[("SAMARA_HOST_SLOTS", "2")]);
    let quiet = ground.betas(&host).build().unwrap();
    shorts(&ground, &quiet, 1);
    let ask = || {
        let body = batch(&store, component, ("adds_one", &[41]));
        let request = Request::new("POST", "/v1/batches").with("samara-token", &ground.ticket());
        Done::read(&request.body(body).send(&host.address).unwrap().body)
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        soon("both slots wait for it", || asked.load(Ordering::SeqCst) >= 2);
        let slowest = shorts(&ground, &quiet, 20)[19];
        assert!(slowest < Duration::from_secs(30), "{slowest:?}: as long as the store takes");
        drop(closed);
        for one in all {
            assert_eq!(one.join().unwrap().numbers(), [(0, 42)]);
        }
    });
    assert_eq!(ground.adds(ground.betas(&host)).unwrap(), 42);
    host.stop();
}

fn used_up() {
    let ground = Ground::new("");
    ground.edit("quota]\n", "quota]\ncpu = \"100ms\"\nwindow = \"1h\"\n");
    let host = ground.host(&[]);
    assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42);
    let ask = |tasks: usize| {
        let numbers = vec![COMPUTED; tasks];
        let body = batch(&ground.path("acme"), component(), ("computes", &numbers));
        let request = Request::new("POST", "/v1/batches").with("samara-token", &ground.ticket());
        request.body(body).send(&host.address).unwrap()
    };
    // The quota is for five tasks or so, and was not used up when they came.
    let done = Done::read(&ask(300).body);
    let is_undone = |outcome: &Outcome| matches!(outcome, Outcome::Platform(error) if error.kind == ErrorKind::HandedBack);
    let undone = done.reports.iter().filter(|report| is_undone(&report.outcome)).count();
    assert!((100..300).contains(&undone) && done.reports.len() == 300, "{undone} went back");
    assert_eq!(ask(1).status, 429);
    host.stop();
}

fn memory() {
    let ground = Ground::new("");
    let host = ground.host(&[]);
    let executor = ground.acmes(&host).build().unwrap();
    // Two at once want 60 MiB each, and have 100 together: one of them waits for its turn, and that is
    // no attempt.
    let all = samara::block_on(async {
        let holds = [(50_usize << 20, 300_u64); 4];
        let retries = samara::Retries::default().attempts(1);
        let job = executor.map(&ground.app, programs::ends::holds, holds).retries(retries);
        job.await.unwrap().results().await
    });
    for result in all {
        result.unwrap();
    }
    host.stop();
}

fn does_not_start() {
    let ground = Ground::new("host-version-min = \"99.0.0\"");
    let file = ground.path("tenants.toml");
    let (code, said) = refused(&[("SAMARA_HOST_TENANTS", &file)]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("99.0.0"), "{said}");
    std::fs::write(&file, "audience = 7\n[tenants.acme]\nkeys = [\"none.pem\"]\ncolour = 1\n")
        .unwrap();
    let (code, said) = refused(&[("SAMARA_HOST_TENANTS", &file)]);
    assert_eq!(code, Some(78), "{said}");
    for named in ["audience", "colour", "tenants.toml"] {
        assert!(said.contains(named), "{named}: {said}");
    }
    let both = [("SAMARA_HOST_TENANTS", file.as_str()), ("SAMARA_HOST_TOKENS", "0123456789abcdef")];
    let (code, said) = refused(&both);
    assert_eq!(code, Some(78), "{said}");
    // Who may come from elsewhere has to be said.
    let open = [("SAMARA_HOST_AS", "http"), ("SAMARA_HOST_LISTEN", "0.0.0.0:0")];
    let (code, said) = refused(&open);
    assert_eq!((code, said.contains("SAMARA_HOST_TENANTS")), (Some(78), true), "{said}");
}

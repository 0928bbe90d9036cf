//! A process for each tenant: which there are, what each has given up, and what becomes of work when
//! they end.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landlock::{
    ABI, Access as _, AccessFs, LandlockStatus, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetStatus,
};
use samara::{Executor, Objects, Retries};
use samara_core::{Clock as _, SystemClock};
use samara_programs as programs;

use crate::batch::{batch, component};
use crate::host::{DONE, Host, TAKEN, checked, count, refused, signal};
use crate::http::Request;
use crate::tenants::Ground;

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("each_tenant_has_a_process", processes),
    ("a_process_has_given_up_what_it_does_not_need", given_up),
    ("what_is_another_tenants_is_not_within_reach", out_of_reach),
    ("links_lead_nowhere_else", links),
    ("what_the_machine_has_is_tried_and_said", said),
    ("a_killed_process_loses_nothing", killed),
    ("quotas_count_what_processes_use", quotas),
    ("processes_end_with_their_host_whatever_it_dies_of", ends),
    ("a_process_without_work_ends", idles),
    ("a_process_has_no_more_memory_than_it_may", bounded),
    ("a_process_that_exceeds_its_memory_dies_alone", exceeds),
    ("settings_of_isolation_are_checked", settings),
];

/// Names of what is tried.
const TRIED: [&str; 9] = [
    "tried reading the file of tenants",
    "tried writing a file beside it",
    "tried starting a program",
    "tried listening",
    "tried connecting without a grant",
    "tried UDP without a grant",
    "tried an abstract socket of the host",
    "tried a signal to the host",
    "tried having more memory than it may",
];

/// How long something may take that does so in a moment.
const SOON: Duration = Duration::from_secs(60);

const ISOLATED: (&str, &str) = ("SAMARA_HOST_ISOLATE", "tenant");

/// The processes of a host's tenants, in the order in which they were started.
fn children(host: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        let mut fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let (state, parent) = (fields.next().unwrap(), fields.next().unwrap());
        if parent == host.to_string() && state != "Z" {
            found.push((fields.nth(17).unwrap().parse::<u64>().unwrap(), id));
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, id)| id).collect()
}

fn is_there(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[track_caller]
pub(crate) fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    while !is_so() {
        assert!(clock.monotonic() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The version of Landlock that this machine has: found out without the host.
fn landlock_version() -> ABI {
    let restrict = || {
        let ruleset = Ruleset::default().handle_access(AccessFs::from_all(ABI::V1)).unwrap();
        let created = ruleset.create().unwrap();
        created.no_new_privs(true).restrict_self().unwrap()
    };
    // A thread that is restricted is good for nothing else.
    let status = std::thread::spawn(restrict).join().unwrap();
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => {
            assert_eq!(status.ruleset, RulesetStatus::FullyEnforced);
            effective_abi
        }
        _ => ABI::Unsupported,
    }
}

fn processes() {
    let ground = Ground::new("");
    let host = ground.host(&[ISOLATED]);
    assert_eq!(children(host.id()), <[u32; 0]>::default(), "nobody has work");
    assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42);
    let acmes = children(host.id());
    assert_eq!(acmes.len(), 1);
    assert_eq!(ground.adds(ground.betas(&host)).unwrap(), 42);
    let both = children(host.id());
    assert_eq!((both.len(), both[0]), (2, acmes[0]));
    // They stay, and the host has no engine's threads.
    assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42);
    assert_eq!(children(host.id()), both);
    let threads = |id: u32| {
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
        let name = |task: std::fs::DirEntry| {
            std::fs::read_to_string(task.path().join("comm")).unwrap_or_default()
        };
        tasks.map(|task| name(task.unwrap())).collect::<Vec<_>>()
    };
    let runs_guests = |id| threads(id).iter().any(|name| name.starts_with("samara-slot"));
    assert!(!runs_guests(host.id()), "{:?}", threads(host.id()));
    assert!(runs_guests(both[0]) && runs_guests(both[1]));
    assert_eq!(host.stop().code, Some(0));
    assert!(!both.iter().any(|id| is_there(*id)));
}

/// Whether the kernel filters system calls.
fn has_filters() -> bool {
    Path::new("/proc/sys/kernel/seccomp/actions_avail").exists()
}

fn given_up() {
    let ground = Ground::new("");
    // As whoever starts hosts may do it: a file is left open, and the environment is full of secrets.
    let left_open = File::open(ground.file()).unwrap();
    let left_open = nix::unistd::dup(&left_open).unwrap();
    let variables = [
        ISOLATED,
        ("AWS_SECRET_ACCESS_KEY", "everybodys key"),
        (
            "SAMARA_HOST_STORES",
            "{ \"s3:\" = { secret_access_key = \"hush\", access_key_id = \"i\" } }",
        ),
    ];
    let host = ground.host(&variables);
    drop(left_open);
    assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42);
    let id = children(host.id())[0];
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{id}/{name}")).unwrap();
    let status = read("status");
    assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    assert_eq!(status.contains("Seccomp:\t2\n"), has_filters(), "{status}");
    let limits = read("limits");
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let mut values = line[name.len()..].split_whitespace().map(str::to_owned);
        (values.next().unwrap(), values.next().unwrap())
    };
    let both = |value: &str| (value.to_owned(), value.to_owned());
    assert_eq!(limit("Max core file size"), both("0"));
    assert_eq!(limit("Max open files"), both("4096"));
    assert_eq!(read("oom_score_adj").trim(), "500");
    let opens = |id: u32| -> std::io::Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(format!("/proc/{id}/fd"))?;
        entries.map(|entry| std::fs::read_link(entry?.path())).collect()
    };
    let environment = std::fs::read_to_string(format!("/proc/{id}/environ"));
    match opens(id) {
        Ok(links) => {
            // Root alone sees it. That the file would be seen is shown by the host, which has it.
            let is_file = |path: &PathBuf| *path == ground.file();
            assert!(opens(host.id()).unwrap().iter().any(is_file), "it was left open");
            for link in links {
                let name = link.to_str().unwrap();
                let kinds = ["socket:", "pipe:", "anon_inode:", "/memfd:", "/dev/null"];
                assert!(kinds.iter().any(|kind| name.starts_with(kind)), "{name}");
            }
            assert_eq!(environment.unwrap(), "");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            assert_eq!(environment.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
    }
    let commands = read("cmdline");
    assert_eq!(commands, "/proc/self/exe\0--isolated\0");
    host.stop();
}

/// One tenant's compiled code lies apart, and neither the keys nor the file of tenants is where
/// processes may look.
fn out_of_reach() {
    use std::os::unix::fs::OpenOptionsExt as _;
    let ground = Ground::new("");
    let (cache, key) = (ground.path("cache"), ground.path("key"));
    let mut file = File::options();
    let mut file = file.create(true).truncate(true).write(true).mode(0o600).open(&key).unwrap();
    std::io::Write::write_all(&mut file, "5a".repeat(32).as_bytes()).unwrap();
    let variables =
        [ISOLATED, ("SAMARA_HOST_CACHE_DIR", &*cache), ("SAMARA_HOST_CACHE_KEY_FILE", &*key)];
    let host = ground.host(&variables);
    assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42);
    assert_eq!(ground.adds(ground.betas(&host)).unwrap(), 42);
    host.stop();
    let entry = |tenant: &str| {
        let root = PathBuf::from(format!("{cache}/tenants/{tenant}"));
        let engine = std::fs::read_dir(root).unwrap().next().unwrap().unwrap().path();
        let mut entries = std::fs::read_dir(engine).unwrap().map(|entry| entry.unwrap().path());
        let entry = entries.next().expect("compiled code");
        assert!(entries.next().is_none());
        entry
    };
    let (acmes, betas) = (entry("acme"), entry("beta"));
    assert_eq!(acmes.file_name(), betas.file_name());
    let read = |path: &PathBuf| std::fs::read(path).unwrap();
    assert_ne!(read(&acmes)[..32], read(&betas)[..32], "each is signed with another key");
    // Code that acme's process wrote is not used for beta.
    std::fs::remove_file(&betas).unwrap();
    std::fs::copy(&acmes, &betas).unwrap();
    let host = ground.host(&variables);
    assert_eq!(ground.adds(ground.betas(&host)).unwrap(), 42);
    let ended = host.stop();
    assert!(ended.stderr.contains("cached code is not used"), "{}", ended.stderr);
}

/// A link in a tenant's directory leads to no file outside of it, where the kernel sees to that.
fn links() {
    let ground = Ground::new("");
    for place in ["acme", "beta"] {
        std::fs::write(format!("{}/in.txt", ground.path(place)), "a\nb\n").unwrap();
    }
    let (target, link) = (ground.path("beta/in.txt"), format!("{}/link.txt", ground.path("acme")));
    std::os::unix::fs::symlink(target, &link).unwrap();
    let host = ground.host(&[ISOLATED]);
    let counts = |input: String| {
        let executor = ground.acmes(&host).build().unwrap();
        samara::block_on(async {
            let job = executor.map(&ground.app, programs::input::count_lines, Objects::at(input));
            job.await.unwrap().results().await
        })
    };
    assert!(counts(format!("{}/in.txt", ground.path("acme"))).iter().all(Result::is_ok));
    let followed = counts(link);
    let refused = format!("{followed:?}").contains("ermission denied");
    assert_eq!(refused, landlock_version() >= ABI::V1, "{followed:?}");
    host.stop();
}

fn said() {
    let ground = Ground::new("");
    let file = ground.path("tenants.toml");
    let tenants = ("SAMARA_HOST_TENANTS", file.as_str());
    let (code, said) = checked(&[tenants, ISOLATED]);
    assert_eq!(code, Some(0), "{said}");
    let line = |name: &str| {
        let found = said.lines().find(|line| line.starts_with(&format!("{name}: ")));
        found.unwrap_or_else(|| panic!("{name}: {said}")).to_owned()
    };
    for name in ["memory", "shortage", "limits", "privileges", "end", "inspection"] {
        assert!(line(name).starts_with(&format!("{name}: applied, ")), "{said}");
    }
    let version = landlock_version();
    let filters = has_filters();
    assert_eq!(line("calls").starts_with("calls: applied, "), filters, "{said}");
    // What is tried has to be refused from this version on; where a filter sees it, always.
    let filtered = |since: Option<ABI>| if filters { Some(ABI::Unsupported) } else { since };
    let since = [
        Some(ABI::V3),
        Some(ABI::V3),
        filtered(Some(ABI::V1)),
        filtered(Some(ABI::V4)),
        filtered(Some(ABI::V4)),
        filtered(None),
        Some(ABI::V6),
        filtered(Some(ABI::V6)),
        Some(ABI::Unsupported),
    ];
    for (name, since) in TRIED.iter().zip(since) {
        let refused = format!("{name}: applied, refused: Permission denied");
        let signal = format!("{name}: applied, refused: Operation not permitted");
        let memory = format!("{name}: applied, refused: out of memory");
        let is_refused = [refused, signal, memory].iter().any(|said| line(name).starts_with(said));
        let has_to = since.is_some_and(|since| version >= since);
        assert_eq!(is_refused, has_to, "Landlock {version}: {said}");
    }
    let named =
        [("files", ABI::V3), ("programs", ABI::V1), ("listening", ABI::V4), ("others", ABI::V6)];
    for (name, since) in named {
        let applied = line(name).starts_with(&format!("{name}: applied, "));
        assert_eq!(applied, version >= since, "Landlock {version}: {said}");
        assert!(applied || line(name).contains("Landlock"), "{said}");
    }
    // Who wants all or nothing has that.
    let (code, said) = checked(&[tenants, ("SAMARA_HOST_ISOLATE", "tenant,strict")]);
    let wanted = if version >= ABI::V6 && filters { 0 } else { 78 };
    assert_eq!(code, Some(wanted), "Landlock {version}: {said}");
    // A host says the same when it starts.
    let ended = ground.host(&[ISOLATED]).stop();
    for name in TRIED.iter().chain(&["privileges", "files"]) {
        assert!(ended.stderr.contains(&format!("\"protection\":\"{name}\"")), "{}", ended.stderr);
    }
}

fn killed() {
    let ground = Ground::new("");
    let host = ground.host(&[ISOLATED]);
    let retries = Retries::default().attempts(10).budget(1000.0);
    let acme = ground.acmes(&host).retries(retries).build().unwrap();
    let beta = ground.betas(&host).retries(Retries::default().attempts(1)).build().unwrap();
    let one = |executor: &Executor| {
        samara::block_on(executor.call(&ground.app, programs::reuse::adds_one, 41)).unwrap()
    };
    assert_eq!((one(&acme), one(&beta)), (42, 42));
    let [first, other] = children(host.id())[..] else { panic!("two") };
    let before = count(&host.address, DONE);
    let jobs = samara::block_on(async {
        let rounds = [20_000_000_u64; 60];
        let acmes = acme.map(&ground.app, programs::ends::computes, rounds).await.unwrap();
        let betas = beta.map(&ground.app, programs::ends::computes, rounds).await.unwrap();
        (acmes, betas)
    });
    soon("both are at work", || count(&host.address, DONE) > before);
    signal(first, "KILL");
    soon("another process", || {
        let now = children(host.id());
        now.len() == 2 && now.contains(&other) && !now.contains(&first)
    });
    let (acmes, betas) = samara::block_on(async {
        let acmes = jobs.0.results().await;
        (acmes, jobs.1.results().await)
    });
    let wanted = (0..20_000_000_u64).fold(0, |sum, round| sum ^ round);
    assert_eq!((acmes.len(), betas.len()), (60, 60));
    for result in acmes.into_iter().chain(betas) {
        assert_eq!(result.unwrap(), wanted);
    }
    assert!(is_there(other), "the other tenant's is the one that it was");
    let ended = host.stop();
    assert!(ended.stderr.contains("a tenant's process was lost"), "{}", ended.stderr);
    assert_eq!(ended.code, Some(0));
}

/// Processor time that a process has used for itself.
fn used(id: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let ticks = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(11).unwrap();
    // A hundred in a second.
    Duration::from_millis(ticks.parse::<u64>().unwrap() * 10)
}

fn quotas() {
    let ground = Ground::new("");
    ground.edit(
        "[tenants.acme.quota]\n",
        "[tenants.acme.quota]\ncpu = \"200ms\"\nwindow = \"1h\"\ntasks = 1\n",
    );
    let host = ground.host(&[ISOLATED]);
    // With two slots, and one task at a time.
    let acme = ground.acmes(&host).build().unwrap();
    let clock = SystemClock::new();
    let before = clock.monotonic();
    let results = samara::block_on(async {
        let holds = [(1_usize << 20, 200_u64); 4];
        acme.map(&ground.app, programs::ends::holds, holds).await.unwrap().results().await
    });
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let took = clock.monotonic() - before;
    assert!(took >= Duration::from_millis(800), "{took:?}");
    // Processor time is counted also of a task whose driver has gone, and is used up.
    let ask = |function: &str, number: u64| {
        let ticket = ground.ticket();
        let body = batch(&ground.path("acme"), component(), (function, &[number]));
        let request = Request::new("POST", "/v1/batches").with("samara-token", &ticket);
        request.body(body).send(&host.address).unwrap()
    };
    assert_eq!(ask("adds_one", 1).status, 200);
    let id = children(host.id())[0];
    let before = used(id);
    let spins = samara::block_on(acme.map(&ground.app, programs::ends::loops, [()])).unwrap();
    soon("it spins", || used(id) >= before + Duration::from_millis(300));
    spins.cancel();
    drop(spins);
    soon("the quota is used up", || ask("adds_one", 1).status == 429);
    let answer = ask("adds_one", 1);
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(said.contains("acme"), "{said}");
    assert_eq!(ground.adds(ground.betas(&host)).unwrap(), 42);
    host.stop();
    let ended = ground.audited("ended");
    assert!(ended.iter().any(|line| line["cpu_ms"].as_u64() > Some(100)), "{ended:?}");
}

fn ends() {
    let ground = Ground::new("");
    let loops = |host: &Host| {
        let acme = ground.acmes(host).build().unwrap();
        let job = samara::block_on(acme.map(&ground.app, programs::ends::loops, [(), ()])).unwrap();
        soon("a process", || children(host.id()).len() == 1);
        std::thread::sleep(Duration::from_millis(300));
        (job, children(host.id())[0])
    };
    // What is not done in time goes back.
    let host = ground.host(&[ISOLATED, ("SAMARA_HOST_GRACE", "200ms")]);
    let (job, id) = loops(&host);
    let ended = host.stop();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    soon("it ends with its host", || !is_there(id));
    job.cancel();
    // What is done in time is done.
    let host = ground.host(&[ISOLATED, ("SAMARA_HOST_GRACE", "30s")]);
    let acme = ground.acmes(&host).retries(Retries::default().attempts(1)).build().unwrap();
    let holds = acme.map(&ground.app, programs::ends::holds, [(1_usize << 20, 700_u64); 2]);
    let job = samara::block_on(holds).unwrap();
    soon("a process", || children(host.id()).len() == 1);
    let id = children(host.id())[0];
    // A group or a session may be told to end as a whole, at any moment: the host says when.
    for name in ["TERM", "INT", "HUP"] {
        signal(id, name);
    }
    let counted = |name| count(&host.address, name);
    soon("both were taken", || counted(DONE) + counted(TAKEN) >= 2);
    assert!(children(host.id()).contains(&id), "it is the one that it was");
    host.terminate();
    let results = samara::block_on(job.results());
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(host.ended().code, Some(0));
    soon("it ends with its host", || !is_there(id));
    // A host that is killed leaves nobody behind.
    let host = ground.host(&[ISOLATED]);
    let (job, id) = loops(&host);
    signal(host.id(), "KILL");
    soon("it ends with its host", || !is_there(id));
    job.cancel();
    drop(host);
}

fn idles() {
    let ground = Ground::new("");
    let host = ground.host(&[("SAMARA_HOST_ISOLATE", "tenant,idle=1s")]);
    assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42);
    soon("it is idle", || children(host.id()).is_empty());
    assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42);
    let ended = host.stop();
    assert!(!ended.stderr.contains("was lost"), "{}", ended.stderr);
}

/// The bytes that the kernel lets a process have of its own, and those that it has.
fn memory_of(id: u32) -> (Option<u64>, u64) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{id}/{name}")).unwrap();
    let (limits, status) = (read("limits"), read("status"));
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max data size")).unwrap();
    let [soft, hard, _] = limit.split_whitespace().collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!(soft, hard, "it cannot be raised");
    let has = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    (soft.parse().ok(), has.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10)
}

fn bounded() {
    let ground = Ground::new("");
    let host = ground.host(&[ISOLATED]);
    assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42);
    assert_eq!(ground.adds(ground.betas(&host)).unwrap(), 42);
    let [acmes, betas] = children(host.id())[..] else { panic!("two") };
    let (acme, beta) = (memory_of(acmes), memory_of(betas));
    let (acmes_most, betas_most) = (acme.0.unwrap(), beta.0.unwrap());
    // By limits and quotas: acme's tasks have 64 MiB each and 100 together, beta's a gigabyte each.
    assert!(betas_most > acmes_most + (10 << 30), "{acme:?} {beta:?}");
    assert!(acme.1 < 1 << 30, "what it begins with: {acme:?}");
    assert!(acmes_most < acme.1 + (3 << 30), "{acme:?}");
    let resident = |id: u32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    };
    // What tasks may have, they have, again and again and at the same moment.
    let executor = ground.betas(&host).build().unwrap();
    for _ in 0..3 {
        let results = samara::block_on(async {
            let holds = [(300_usize << 20, 10_u64); 6];
            executor.map(&ground.app, programs::ends::holds, holds).await.unwrap().results().await
        });
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
    assert!(memory_of(betas).1 < 2 << 30, "what they leave behind: {:?}", memory_of(betas));
    assert!(resident(betas) < 1 << 30, "what of it is there: {}", resident(betas));
    host.stop();
}

fn exceeds() {
    let ground = Ground::new("");
    let host = ground.host(&[("SAMARA_HOST_ISOLATE", "tenant,memory=64MiB")]);
    assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42);
    assert_eq!(ground.adds(ground.betas(&host)).unwrap(), 42);
    let [acmes, betas] = children(host.id())[..] else { panic!("two") };
    let retries = Retries::default().attempts(1);
    let beta = ground.betas(&host).retries(retries).build().unwrap();
    // What a guest is refused is the guest's to deal with, and its process goes on.
    let holds = beta.call(&ground.app, programs::ends::holds, (200_usize << 20, 1_u64));
    assert!(samara::block_on(holds).is_err(), "it may have a gigabyte, and the process has less");
    assert!(is_there(betas));
    let job = samara::block_on(async {
        beta.map(&ground.app, programs::ends::computes, [20_000_000_u64; 60]).await.unwrap()
    });
    let acme = ground.acmes(&host).retries(retries).build().unwrap();
    // What the process itself cannot do without ends it, and nobody else.
    let long = samara_guest::Bytes::from(vec![7; 60 << 20]);
    let echoes = acme.call(&ground.app, programs::values::echo_bytes, long);
    let error = samara::block_on(echoes).unwrap_err().to_string();
    soon("it ends", || !is_there(acmes));
    assert!(error.contains("process of tenant `acme`"), "{error}");
    for result in samara::block_on(job.results()) {
        result.expect("another tenant's");
    }
    assert!(is_there(betas), "the other tenant's is the one that it was");
    assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42, "there is another one");
    let ended = host.stop();
    assert!(ended.stderr.contains("memory allocation of"), "{}", ended.stderr);
}

fn settings() {
    let ground = Ground::new("");
    let file = ground.path("tenants.toml");
    let tenants = ("SAMARA_HOST_TENANTS", file.as_str());
    for (variables, named) in [
        (vec![ISOLATED], "SAMARA_HOST_TENANTS"),
        (vec![tenants, ("SAMARA_HOST_ISOLATE", "everybody")], "SAMARA_HOST_ISOLATE is `everybody`"),
        (vec![tenants, ("SAMARA_HOST_ISOLATE", "tenant,idle=x")], "no time"),
        (vec![tenants, ("SAMARA_HOST_ISOLATE", "tenant,memory=1MiB")], "less than 32MiB"),
    ] {
        let (code, said) = refused(&variables);
        assert_eq!((code, said.contains(named)), (Some(78), true), "{said}");
    }
}

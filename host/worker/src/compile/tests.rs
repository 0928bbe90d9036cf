//! The host's side, against processes that behave as no compiler should.

use std::sync::atomic::{AtomicU64, Ordering};

use samara_core::Retry;

use super::*;

/// A clock that tests move.
#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn unix(&self) -> Duration {
        self.monotonic()
    }
}

const LIMITS: Limits =
    Limits { cpu: Duration::from_secs(1), memory_bytes: 64 << 20, time: Duration::from_secs(20) };

/// A compiler that is a shell script.
fn scripted(script: &str, limits: Limits) -> Compiler {
    let program = ["/bin/sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    Compiler::with(program, limits, false, Arc::new(Hand::default()))
}

const READY_FIRST: &str = "echo 'samara-compile 1'; ";

fn error_of(script: &str, limits: Limits) -> Error {
    let error = scripted(&format!("{READY_FIRST}{script}"), limits).compile(b"x").unwrap_err();
    assert_eq!(error.retry, Retry::Never, "{error}");
    error
}

#[test]
fn orders_arrive_as_they_left() {
    let order = Order { cpu_seconds: 60, memory_bytes: 4 << 30, fuel: true };
    assert_eq!(order.to_string().parse(), Ok(order));
    for text in ["", "cpu=1", "cpu=1,memory=2", "cpu=x,memory=1,fuel=true", "cpu=1,memory=1,fuel=1"]
    {
        assert!(text.parse::<Order>().is_err(), "{text}");
    }
}

#[test]
fn an_answer_comes_back_and_the_component_went_there() {
    let compiler = scripted(&format!("{READY_FIRST} exec cat"), LIMITS);
    let component = vec![7; 3 << 20];
    let answer = compiler.compile(&component).unwrap();
    assert_eq!(answer, [&(3_u64 << 20).to_le_bytes()[..], &component].concat());
    assert_eq!(*compiler.running.lock().unwrap(), 0);
    let environment = scripted(&format!("{READY_FIRST} env; pwd; echo $1"), LIMITS);
    let said = String::from_utf8(environment.compile(b"x").unwrap()).unwrap();
    let ours = |line: &&str| !line.starts_with("PWD=") && !line.starts_with('_');
    let said: Vec<&str> = said.lines().filter(ours).filter(|l| !l.starts_with("SHLVL")).collect();
    assert_eq!(said, ["/", "cpu=1,memory=67108864,fuel=false"]);
}

#[test]
fn a_compiler_that_does_not_end_is_ended() {
    // Long enough for a shell to say that it is ready, on a machine that does much else.
    let limits = Limits { time: Duration::from_secs(4), ..LIMITS };
    let ends = |script: &str| {
        let error = error_of(script, limits);
        assert_eq!(error.kind, ErrorKind::Component, "{error}");
        assert!(error.message.contains("to compile it takes more than 4 s"), "{error}");
    };
    // One that reads nothing, one with a child, one that answered and stays, one that is not ready.
    thread::scope(|scope| {
        scope.spawn(|| ends("sleep 100"));
        scope.spawn(|| ends("sleep 100 & cat > /dev/null; wait"));
        scope.spawn(|| ends("while :; do echo x; sleep 0.01; done"));
    });
    let short = Limits { time: Duration::from_millis(300), ..LIMITS };
    let error = scripted("sleep 100", short).compile(&vec![0; 1 << 20]).unwrap_err();
    assert!(error.kind == ErrorKind::Internal && error.message.contains("too long"), "{error}");
    let stays = scripted(&format!("{READY_FIRST} exec >&- ; sleep 100"), LIMITS);
    let error = stays.compile(b"x").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Component, "{error}");
}

#[test]
fn an_end_says_which_limit_it_was_and_the_way_out() {
    for (script, wanted) in [
        ("kill -XCPU $$", "more than 1 s of processor time"),
        ("echo memory allocation of 99 bytes failed >&2; kill -ABRT $$", "64 MiB of address space"),
        ("kill -SEGV $$", "did not survive"),
        ("kill -KILL $$", "did not survive"),
        ("echo panicked >&2; exit 101", "panicked"),
    ] {
        let error = error_of(script, LIMITS);
        assert_eq!(error.kind, ErrorKind::Component, "{error}");
        assert!(error.message.contains(wanted), "{error}");
        assert!(error.message.contains("SAMARA_HOST_COMPILE=here"), "{error}");
    }
    let error = error_of("echo 'it is damaged: \u{1b}[1m' >&2; exit 65", LIMITS);
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Component, "it is damaged:  [1m"));
    // Not the component's fault.
    for script in ["exit 1", "echo something else; cat", "kill -ABRT $$"] {
        let error = scripted(script, LIMITS).compile(b"x").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal, "{error}");
    }
    let none = Compiler::with(vec!["/no/such".into()], LIMITS, false, Arc::new(Hand::default()));
    assert_eq!(none.compile(b"x").unwrap_err().kind, ErrorKind::Internal);
}

#[test]
fn what_was_refused_costs_no_second_process_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let count = dir.path().join("count");
    let script = format!("{READY_FIRST} echo x >> {}; kill -XCPU $$", count.display());
    let clock = Arc::new(Hand::default());
    let program = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
    let compiler = Compiler::with(program, LIMITS, false, Arc::clone(&clock) as _);
    let started = || std::fs::read_to_string(&count).unwrap().lines().count();
    let error = compiler.compile(b"x").unwrap_err();
    assert_eq!((compiler.compile(b"x").unwrap_err(), started()), (error, 1));
    assert_eq!((compiler.compile(b"y").is_err(), started()), (true, 2));
    clock.0.store(REFUSED_FOR.as_secs(), Ordering::Relaxed);
    assert_eq!((compiler.compile(b"x").is_err(), started()), (true, 3));
    for n in 0..=u8::try_from(REFUSED_MAX).unwrap() {
        assert!(compiler.compile(&[n]).is_err());
    }
    assert_eq!(compiler.refused.lock().unwrap().len(), REFUSED_MAX);
}

#[test]
fn only_so_many_compile_at_the_same_moment() {
    let dir = tempfile::tempdir().unwrap();
    // Each makes a directory while it runs, and says how many there were.
    let here = dir.path().display();
    let script =
        format!("{READY_FIRST} mkdir {here}/$$; ls {here} | wc -l; sleep 0.5; rmdir {here}/$$");
    let compiler = scripted(&script, LIMITS);
    let compile = |n: u8| compiler.compile(&[n]).unwrap();
    let compile = &compile;
    let most = thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|n| scope.spawn(move || compile(n))).collect();
        let said = all.into_iter().map(|one| String::from_utf8(one.join().unwrap()).unwrap());
        said.map(|said| said.trim().parse::<usize>().unwrap()).max().unwrap()
    });
    assert_eq!(most, PROCESSES_MAX);
}

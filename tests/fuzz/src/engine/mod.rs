//! Runs targets: the stored corpus first, then changed copies of it until the time is up.
//!
//! It knows nothing of the code below it, so it goes by what a target says of an input
//! ([`Seen`]): one that came to something new is kept and changed further.
//!
//! | file | does |
//! |---|---|
//! | `corpus.rs` | inputs: stored, and found on the way |
//! | `draw.rs` | choices out of an input's bytes, for targets that need a shape |
//! | `mutate.rs` | changes copies |
//! | `settings.rs` | how long, with which seed: the environment |
//! | `watch.rs` | notices panics, long times and much memory, and keeps the input at hand |

mod corpus;
mod draw;
mod mutate;
mod settings;
mod watch;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::time::Duration;

use samara_core::{Clock, SystemClock};

use self::corpus::Corpus;
pub use self::draw::Draw;
pub use self::mutate::Random;
pub use self::settings::Settings;
use self::watch::Watch;

/// How long a failing input may be made shorter.
const SHRINK_TIME: Duration = Duration::from_secs(5);

/// Something that reads strangers' bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: that of its directory in `corpus/`, and of its test.
    pub name: &'static str,
    /// Inputs made of real things, as the code now makes them. They come before the stored ones.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What its inputs often have in them.
    pub words: &'static [&'static str],
    /// Bytes of an input at most.
    pub bytes_max: usize,
    /// How long one input may take.
    pub time_max: Duration,
    /// Makes what takes inputs. It panics where a promise is broken.
    pub start: fn() -> Check,
}

/// Takes inputs, one after the other.
pub type Check = Box<dyn FnMut(&[u8]) -> Seen>;

/// What an input came to, roughly: two that come to the same are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen(u64);

// === impl Seen ===

impl Seen {
    /// It came to this.
    pub fn of(what: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// It came to an error with this text. What it quotes, and its numbers, do not count.
    pub fn text(text: &str) -> Self {
        let said = |(n, part): (usize, &str)| (n % 2 == 0).then(|| part.to_owned());
        let parts: String = text.split(['`', '"']).enumerate().filter_map(said).collect();
        let letters = parts.chars().filter(char::is_ascii_alphabetic).take(60);
        Self::of(letters.collect::<String>())
    }

    /// Both at once.
    #[must_use]
    pub fn and(self, other: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        (self.0, Self::of(other).0).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Runs a target as the environment says.
///
/// # Panics
///
/// Where an input breaks the target: with the input, and how to run it again.
pub fn run(target: &Target) {
    run_with(target, &Settings::from_env());
}

/// Runs a target.
///
/// # Panics
///
/// As [`run`].
pub fn run_with(target: &Target, settings: &Settings) {
    // First, so that a target that cannot even start is not taken for another one's fault.
    let mut watch = Watch::start(target);
    let mut check = (target.start)();
    if let Some(path) = &settings.input {
        let input = std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        return watch.one(&mut check, &input).map_or_else(|why| panic!("{why}"), drop);
    }
    let seed = settings.seed.unwrap_or_else(new_seed);
    let mut corpus = Corpus::read(target);
    let mut random = Random::new(seed);
    let clock = SystemClock::new();
    let mut ran = 0_u64;
    for input in corpus.stored() {
        take(target, &mut watch, &mut check, &mut corpus, &input);
        ran += 1;
    }
    let replayed = ran;
    // What the corpus took does not count: it is replayed whole in any case.
    let began = clock.monotonic();
    while clock.monotonic() - began < settings.time {
        let input = mutate::changed(&mut random, &corpus, target);
        take(target, &mut watch, &mut check, &mut corpus, &input);
        ran += 1;
    }
    watch.end().unwrap_or_else(|why| panic!("{}: {why}", target.name));
    let took = (clock.monotonic() - began).as_secs_f64();
    if settings.keep {
        corpus.keep();
    }
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = (ran - replayed) as f64 / took.max(0.001);
    say(&format!(
        "fuzz {}: {replayed} stored inputs, {} more in {took:.1} s ({rate:.0}/s), {} kinds, seed \
         {seed}\n",
        target.name,
        ran - replayed,
        corpus.kinds(),
    ));
}

/// Gives an input to a target, keeps it where it came to something new, and says how to run it again
/// where it broke something.
fn take(target: &Target, watch: &mut Watch, check: &mut Check, corpus: &mut Corpus, input: &[u8]) {
    match watch.one(check, input) {
        Ok(seen) => corpus.add(seen, input),
        Err(why) => {
            let short = shortest(watch, check, input);
            let path = corpus::keep_failure(target.name, &short);
            panic!(
                "{}: {why}\nthe input ({} bytes, of {}): {}\nrun it again: SAMARA_FUZZ_INPUT={} \
                 cargo test --workspace --test fuzz {}\nonce that is mended, put it into \
                 tests/fuzz/corpus/{}/",
                target.name,
                short.len(),
                input.len(),
                corpus::hex(&short),
                path.display(),
                target.name,
                target.name,
            );
        }
    }
}

/// An input as short as can be found that still breaks something.
fn shortest(watch: &mut Watch, check: &mut Check, input: &[u8]) -> Vec<u8> {
    let clock = SystemClock::new();
    let mut short = input.to_vec();
    let mut piece = short.len() / 2;
    while piece > 0 && clock.monotonic() < SHRINK_TIME {
        let mut at = 0;
        while at < short.len() && clock.monotonic() < SHRINK_TIME {
            let mut shorter = short.clone();
            shorter.drain(at..short.len().min(at + piece));
            match watch.one(check, &shorter) {
                Err(_) => short = shorter,
                Ok(_) => at += piece,
            }
        }
        piece /= 2;
    }
    short
}

/// Another one in each run; it is said at the end, and where something fails.
fn new_seed() -> u64 {
    let nanoseconds = SystemClock::new().unix().as_nanos();
    u64::try_from(nanoseconds % u128::from(u64::MAX)).unwrap_or(0)
}

/// Says something to whoever looks, also where the harness keeps what tests print.
pub(crate) fn say(text: &str) {
    let _nobody_looks = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Breaks at inputs that have a certain byte twice.
    const BREAKS: Target = Target {
        name: "engine-test",
        seeds: || vec![b"seven".to_vec()],
        words: &["77"],
        bytes_max: 100,
        time_max: Duration::from_secs(5),
        start: || {
            Box::new(|input| {
                assert!(input.iter().filter(|byte| **byte == b'7').count() < 2, "two sevens");
                Seen::of(input.len())
            })
        },
    };

    /// A panic of one test's other thread is everybody's: they take turns.
    static ALONE: Mutex<()> = Mutex::new(());

    fn caught(target: &'static Target, settings: Settings) -> Option<String> {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let ran = std::panic::catch_unwind(move || run_with(target, &settings));
        ran.err().map(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
    }

    #[test]
    fn what_breaks_is_found_and_made_short() {
        let settings = Settings { time: Duration::from_secs(20), ..Settings::default() };
        let said = caught(&BREAKS, settings).expect("it breaks");
        assert!(said.contains("two sevens"), "{said}");
        assert!(said.contains("(2 bytes, of ") && said.contains("3737"), "{said}");
        let path = said.split("SAMARA_FUZZ_INPUT=").nth(1).unwrap().split(' ').next().unwrap();
        let again = Settings { input: Some(path.into()), ..Settings::default() };
        assert!(caught(&BREAKS, again).expect("it breaks again").contains("two sevens"));
    }

    #[test]
    fn what_breaks_nothing_passes() {
        const PASSES: Target =
            Target { start: || Box::new(|input| Seen::of(input.len())), ..BREAKS };
        let settings = Settings { time: Duration::from_millis(50), ..Settings::default() };
        assert_eq!(caught(&PASSES, settings), None);
    }

    #[test]
    fn panics_of_other_threads_are_noticed() {
        const SPAWNS: Target = Target {
            start: || {
                Box::new(|input| {
                    let broken = input.len() > 3;
                    let other = std::thread::spawn(move || assert!(!broken, "in another thread"));
                    let _hidden = other.join();
                    Seen::of(0)
                })
            },
            ..BREAKS
        };
        let settings = Settings { time: Duration::from_millis(50), ..Settings::default() };
        let said = caught(&SPAWNS, settings).expect("it breaks");
        assert!(said.contains("in another thread"), "{said}");
    }

    #[test]
    fn long_times_are_noticed() {
        const SLEEPS: Target = Target {
            time_max: Duration::from_millis(5),
            start: || {
                Box::new(|_| {
                    std::thread::sleep(Duration::from_millis(20));
                    Seen::of(0)
                })
            },
            ..BREAKS
        };
        let said = caught(&SLEEPS, Settings::default()).expect("it is late");
        assert!(said.contains("longer than 5ms"), "{said}");
    }

    #[test]
    fn errors_are_alike_whatever_they_quote() {
        assert_eq!(Seen::text("`a` is no 7"), Seen::text("`b c` is no 12"));
        assert_ne!(Seen::text("`a` is no b"), Seen::text("`a` is a b"));
        assert_ne!(Seen::of(1).and(2), Seen::of(1).and(3));
    }
}

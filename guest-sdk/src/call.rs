//! From a call's encoded arguments to a function and back: what `#[function]` writes code against.
//!
//! Nothing here is meant for people; it is public, hidden, through `__private`.

use samara_wit::value::{self as encoding, ArgumentReader};
use samara_wit::{Given, Kind, Pulled};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Partition;

/// One `#[function]` of the component.
#[derive(Debug)]
pub struct Entry {
    /// Name within the component.
    pub name: &'static str,
    /// Documentation.
    pub doc: &'static str,
    /// Map or reduce.
    pub kind: Kind,
    /// Signature as the author wrote it.
    pub signature: &'static str,
    /// Number of arguments that are values.
    pub arity: u32,
    /// Whether one of the arguments is the partition.
    pub takes_partition: bool,
    /// Whether the author says that equal arguments give equal outputs.
    pub pure: bool,
    /// Where the function stands: file and line, which gives the list the author's order.
    pub place: (&'static str, u32),
    /// Decodes the arguments, calls the function, appends its encoded output to the bytes.
    pub call: fn(&mut Arguments<'_>, &mut Vec<u8>) -> Result<(), Failure>,
}

inventory::collect!(Entry);

/// Why a call came to no output: the `failure` of the contract.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The component has no function of that name, or more than one.
    NoSuchFunction(String),
    /// The arguments do not decode to the function's types.
    BadArguments(String),
    /// The output could not be encoded.
    BadOutput(String),
    /// The function returned an error: its message, then the messages of its causes.
    Failed(Vec<String>),
}

/// The arguments of one call, taken in the order of the signature.
#[derive(Debug)]
pub struct Arguments<'a> {
    reader: ArgumentReader<'a>,
    function: &'static str,
    position: u32,
}

/// A type that a function may take: every serde type, and [`Partition`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a function",
    label = "neither deserializable nor a `Partition`",
    note = "an argument's type implements `serde::de::DeserializeOwned`; \
            for a type of your own, derive `serde::Deserialize`"
)]
pub trait Take: Sized {
    /// Where its value comes from, for the driver.
    type Slot;

    /// How many values of the call's argument list it uses up: one, or none for the partition.
    const VALUES: u32;

    /// Takes it from a call, where the author wrote it as `text`.
    #[doc(hidden)]
    fn take(arguments: &mut Arguments<'_>, text: &'static str) -> Result<Self, Failure>;
}

/// A type that a function may return: every serde type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the output of a function",
    label = "not serializable",
    note = "an output's type implements `serde::Serialize`; \
            for a type of your own, derive it, and `serde::Deserialize` for the driver"
)]
pub trait Output {
    /// Encodes it at the end of `bytes`.
    #[doc(hidden)]
    fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), Failure>;
}

/// What a function returns: a value, or a `Result` of one.
#[diagnostic::on_unimplemented(
    message = "a function cannot return `{Self}`",
    label = "not a `Result` whose error converts into `anyhow::Error`",
    note = "a return type called `Result` is `core::result::Result<T, E>`, where `E` implements \
            `std::error::Error + Send + Sync + 'static` or is `samara_guest::Error`; \
            of a text, `anyhow!(…)` and `bail!(…)` make one"
)]
pub trait Outcome {
    /// The type of the value.
    type Value;

    /// The value, or why there is none.
    #[doc(hidden)]
    fn outcome(self) -> Result<Self::Value, Failure>;
}

/// The outcome of a function that cannot fail.
#[derive(Debug)]
pub struct Plain<T>(pub T);

/// Two types that have to be one.
#[diagnostic::on_unimplemented(
    message = "a reduce function combines two values of its output's type `{T}`",
    label = "this is not `{T}`",
    note = "`#[function(reduce)]` goes on `fn(T, T) -> T` or `fn(T, T) -> Result<T>`"
)]
pub trait SameAs<T> {
    /// Does nothing.
    #[doc(hidden)]
    fn same(value: T) -> Self;
}

// === impl Take ===

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> Take for T {
    type Slot = Given<T>;

    const VALUES: u32 = 1;

    fn take(arguments: &mut Arguments<'_>, text: &'static str) -> Result<Self, Failure> {
        arguments.position += 1;
        arguments.reader.take().map_err(|e| arguments.refuse(text, &e))
    }
}

impl Take for Partition {
    type Slot = Pulled;

    const VALUES: u32 = 0;

    fn take(arguments: &mut Arguments<'_>, _: &'static str) -> Result<Self, Failure> {
        arguments.position += 1;
        Ok(Self::of_the_task())
    }
}

// === impl Output, impl Outcome ===

#[diagnostic::do_not_recommend]
impl<T: Serialize> Output for T {
    fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), Failure> {
        encoding::encode_to(bytes, self).map_err(|e| Failure::BadOutput(e.to_string()))
    }
}

#[diagnostic::do_not_recommend]
impl<T, E: Into<anyhow::Error>> Outcome for Result<T, E> {
    type Value = T;

    fn outcome(self) -> Result<T, Failure> {
        self.map_err(|e| failed(&e.into()))
    }
}

impl<T> Outcome for Plain<T> {
    type Value = T;

    fn outcome(self) -> Result<T, Failure> {
        Ok(self.0)
    }
}

#[diagnostic::do_not_recommend]
impl<T> SameAs<T> for T {
    fn same(value: T) -> Self {
        value
    }
}

// === impl Arguments ===

impl<'a> Arguments<'a> {
    fn new(entry: &'static Entry, encoded: &'a [u8]) -> Result<Self, Failure> {
        let function = entry.name;
        let reader = ArgumentReader::new(encoded)
            .map_err(|e| Failure::BadArguments(format!("`{function}`: {e}")))?;
        Ok(Self { reader, function, position: 0 })
    }

    #[cold]
    fn refuse(&self, text: &str, error: &encoding::Error) -> Failure {
        let Self { function, position, .. } = self;
        let text = if text.is_empty() { String::new() } else { format!(" `{text}`") };
        Failure::BadArguments(format!("argument {position}{text} of `{function}`: {error}"))
    }
}

/// Folds the values of a call from left to right.
pub fn fold<T, O>(
    arguments: &mut Arguments<'_>,
    output: &mut Vec<u8>,
    combine: fn(T, T) -> O,
) -> Result<(), Failure>
where
    T: Take + Output,
    O: Outcome<Value = T>,
{
    let mut folded = T::take(arguments, "")?;
    while !arguments.reader.is_empty() {
        let next = T::take(arguments, "")?;
        folded = combine(folded, next).outcome()?;
    }
    folded.encode(output)
}

/// Whether one of a function's arguments is no value. Its compilation fails where two are not:
/// that is a second partition under another name.
///
/// ```compile_fail,E0080
/// use samara_guest::{Partition, function};
///
/// type Text = Partition;
///
/// #[function]
/// fn two(a: Text, b: Text) -> u64 {
///     a.length() + b.length()
/// }
/// ```
pub const fn takes_partition(arguments: u32, values: u32) -> bool {
    assert!(arguments - values <= 1, "a task has one partition, so a function takes at most one");
    arguments > values
}

#[cold]
fn failed(error: &anyhow::Error) -> Failure {
    Failure::Failed(error.chain().map(ToString::to_string).collect())
}

/// The component's functions in the order in which they were written.
pub fn listed() -> Vec<&'static Entry> {
    let mut entries: Vec<&'static Entry> = Vec::new();
    for entry in inventory::iter::<Entry> {
        // Sorting by insertion: `sort` would add a tenth to the size of a small component.
        let at = entries.partition_point(|before| before.place < entry.place);
        entries.insert(at, entry);
    }
    entries
}

/// Answers one call.
pub fn call(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Failure> {
    let entry = named(name)?;
    let mut output = Vec::new();
    enter(entry, arguments, &mut output)?;
    Ok(output)
}

/// What the calls of a batch came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The outputs, one after the other; that of a failed call is empty.
    pub outputs: Vec<u8>,
    /// Where each output ends.
    pub ends: Vec<u32>,
    /// The calls that failed, by position, and why.
    pub failures: Vec<(u32, Failure)>,
}

/// Answers a call for each of several tasks. Says before each which task it is for.
pub fn call_batch(
    name: &str,
    indices: &[u64],
    arguments: &[u8],
    ends: &[u32],
    mut begin: impl FnMut(u64),
) -> Result<Batch, Failure> {
    let entry = named(name)?;
    if indices.len() != ends.len() {
        return Err(unequal());
    }
    let mut batch = Batch::default();
    batch.ends.reserve(ends.len());
    // An output is mostly about as long as what it was made of.
    batch.outputs.reserve(arguments.len());
    let mut start = 0;
    for (&index, &end) in indices.iter().zip(ends) {
        let end = end as usize;
        let Some(one) = arguments.get(start..end) else { return Err(unequal()) };
        start = end;
        begin(index);
        let length = batch.outputs.len();
        if let Err(failure) = enter(entry, one, &mut batch.outputs) {
            batch.outputs.truncate(length);
            batch.failures.push((to_u32(batch.ends.len())?, failure));
        }
        let end = to_u32(batch.outputs.len())?;
        batch.ends.push(end);
    }
    Ok(batch)
}

fn to_u32(length: usize) -> Result<u32, Failure> {
    u32::try_from(length).map_err(|_| {
        Failure::BadOutput("the outputs of a batch are longer than 4 GiB together".to_owned())
    })
}

#[cold]
fn unequal() -> Failure {
    Failure::BadArguments("the batch's indices, arguments and ends do not fit".to_owned())
}

/// The one function of that name.
fn named(name: &str) -> Result<&'static Entry, Failure> {
    let mut named = inventory::iter::<Entry>.into_iter().filter(|entry| entry.name == name);
    match (named.next(), named.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => Err(no_such_function(name)),
        (Some(one), Some(other)) => Err(ambiguous(name, one, other)),
    }
}

fn enter(entry: &'static Entry, encoded: &[u8], output: &mut Vec<u8>) -> Result<(), Failure> {
    let mut arguments = Arguments::new(entry, encoded)?;
    let given = arguments.reader.len();
    let fits = match entry.kind {
        Kind::Reduce => given >= 2,
        _ => given == u64::from(entry.arity),
    };
    if fits { (entry.call)(&mut arguments, output) } else { Err(wrong_count(entry, given)) }
}

#[cold]
fn wrong_count(entry: &Entry, given: u64) -> Failure {
    let Entry { name, signature, arity, .. } = entry;
    let wanted = match (entry.kind, arity) {
        (Kind::Reduce, _) => "two or more values".to_owned(),
        (_, 0) => "no values".to_owned(),
        (_, 1) => "1 value".to_owned(),
        (_, n) => format!("{n} values"),
    };
    let partition = if entry.takes_partition { " beside the partition" } else { "" };
    Failure::BadArguments(format!("`{name}` takes {wanted}{partition}, not {given}: {signature}"))
}

#[cold]
fn no_such_function(name: &str) -> Failure {
    let names: Vec<String> = listed().iter().map(|entry| format!("`{}`", entry.name)).collect();
    Failure::NoSuchFunction(match names.len() {
        0 => format!("`{name}`: the component has no functions"),
        _ => format!("`{name}`: the component has {}", names.join(", ")),
    })
}

#[cold]
fn ambiguous(name: &str, one: &Entry, other: &Entry) -> Failure {
    let (file, line) = one.place.min(other.place);
    let (other_file, other_line) = one.place.max(other.place);
    Failure::NoSuchFunction(format!(
        "`{name}` is the name of two functions, at {file}:{line} and {other_file}:{other_line}; \
         rename one with #[function(name = \"…\")]"
    ))
}

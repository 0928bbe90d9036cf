//! What a job's inputs may be, checked by the compiler against the function's signature.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use samara_core::Task;
use samara_wit::value::encode_to;
use samara_wit::{Given, Pulled};
use serde::Serialize;

use crate::job::Shared;
use crate::objects::{Objects, WithArguments};
use crate::{Error, Job};

/// Inputs of a function whose argument slots are `A`, one per task.
///
/// | the function takes | its inputs are |
/// |---|---|
/// | one value | an iterator of it, or a [`stream`] |
/// | several values | an iterator of tuples, or a [`stream`] |
/// | nothing | an iterator of `()` |
/// | its partition | [`Objects`], or what makes some: a URL, a path; several in a vector |
/// | its partition and values | [`Objects::with`] a tuple of the values; several in a vector |
/// | the output of another job's function | that [`Job`] |
/// | such an output and values | [`Job::with`] a tuple of the values |
///
/// Iterators and streams are taken as the job needs their items, so there may be any number of
/// them; an iterator of more than some thousand runs on a thread of its own. One that panics there
/// ends the inputs: a last task stands for what was to come, and its error says so.
#[diagnostic::on_unimplemented(
    message = "these inputs do not fit the function",
    label = "not an iterator of the function's arguments, and not objects for its partition",
    note = "a function of one value takes an iterator of it, one of several takes tuples, one of a \
            `Partition` takes `Objects`, a URL or a path"
)]
pub trait Inputs<A> {
    /// Encodes the inputs, or says where they will come from.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] where an argument that all tasks share refuses to be encoded. An input that
    /// does so is its own task's error.
    fn into_plan(self) -> Result<Plan, Error>;
}

/// Encoded inputs, or where they come from.
///
/// ```
/// let one = bytes::Bytes::from_static(&[0x81, 21]); // CBOR for [21]
/// let plan = samara::Plan::values([one.clone(), one]);
/// assert_eq!(plan.task_count(), Some(2));
/// ```
#[derive(Debug)]
pub struct Plan(pub(crate) Source);

/// Where a job's inputs come from.
pub(crate) enum Source {
    /// All are here.
    Ready(Chunk),
    /// They are made one by one, on a thread of their own: an iterator may take its time.
    Iterator { next: NextChunk, expected: Option<usize> },
    /// They come from elsewhere.
    Stream(BoxStream<'static, Chunk>),
    /// Objects, and the arguments that every task gets beside its partition.
    Objects(Vec<(Objects, Bytes)>),
    /// The outputs of another job's tasks, each followed by the same further arguments.
    Outputs { job: Arc<Shared>, further: Vec<Bytes> },
}

/// Makes the next inputs; an empty chunk is the end.
pub(crate) type NextChunk = Box<dyn FnMut() -> Chunk + Send>;

/// Arguments of some tasks: CBOR arrays, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) arguments: Bytes,
    /// Where each task's array ends.
    pub(crate) ends: Vec<u32>,
    /// Positions in this chunk of inputs that refuse to be encoded, and why.
    pub(crate) refused: Vec<(usize, String)>,
}

/// Inputs in one chunk at most: the driver holds some chunks of them.
const CHUNK_INPUTS: usize = 4096;

/// Bytes in one chunk, when it is complete.
const CHUNK_BYTES: usize = 256 << 10;

/// Inputs that are encoded at once rather than on a thread of their own.
const READY_INPUTS: usize = 1024;

/// Inputs that come as a stream; made by [`stream`].
pub struct Streamed<S>(S);

/// Takes a job's inputs from an asynchronous stream, as the job needs them.
///
/// ```no_run
/// # use samara::{Component, Executor, function::{Function, Given, Kind}};
/// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
/// # async fn example(executor: Executor, app: Component) -> Result<(), samara::Error> {
/// let inputs = futures::stream::iter([1_u64, 2, 3]);
/// let doubled = executor.map(&app, double, samara::stream(inputs)).await?.values().await?;
/// # Ok(())
/// # }
/// ```
pub fn stream<S: Stream + Send + 'static>(stream: S) -> Streamed<S> {
    Streamed(stream)
}

/// Values that together are one call's arguments.
trait Arguments {
    /// Appends them to `bytes` as one CBOR array; else says why not.
    fn encode_to(&self, bytes: &mut Vec<u8>) -> Result<(), String>;

    fn encode(&self) -> Result<Bytes, Error> {
        let mut bytes = Vec::new();
        self.encode_to(&mut bytes).map_err(|message| Error::Input { index: 0, message })?;
        Ok(bytes.into())
    }
}

macro_rules! arguments {
    ($count:literal $($name:ident.$field:tt)*) => {
        impl<$($name: Serialize),*> Arguments for ($($name,)*) {
            fn encode_to(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
                array(bytes, $count);
                $(push(bytes, &self.$field, $field)?;)*
                Ok(())
            }
        }
    };
}

macro_rules! tuple_inputs {
    ($($name:ident)+) => {
        impl<$($name: Serialize,)+ I> Inputs<($(Given<$name>,)+)> for I
        where
            I: IntoIterator<Item = ($($name,)+), IntoIter: Send + 'static>,
        {
            fn into_plan(self) -> Result<Plan, Error> {
                Ok(encode_all(self.into_iter(), Arguments::encode_to))
            }
        }

        impl<$($name: Serialize,)+ S> Inputs<($(Given<$name>,)+)> for Streamed<S>
        where
            S: Stream<Item = ($($name,)+)> + Send + 'static,
        {
            fn into_plan(self) -> Result<Plan, Error> {
                Ok(encode_stream(self.0, Arguments::encode_to))
            }
        }
    };
}

macro_rules! object_inputs {
    ([$($before:ident)*] [$($after:ident)*]) => {
        impl<$($before: Serialize,)* $($after: Serialize,)*>
            Inputs<($(Given<$before>,)* Pulled, $(Given<$after>,)*)>
            for WithArguments<($($before,)* $($after,)*)>
        {
            fn into_plan(self) -> Result<Plan, Error> {
                Ok(Plan::objects(self.objects, self.arguments.encode()?))
            }
        }

        impl<$($before: Serialize,)* $($after: Serialize,)*>
            Inputs<($(Given<$before>,)* Pulled, $(Given<$after>,)*)>
            for Vec<WithArguments<($($before,)* $($after,)*)>>
        {
            fn into_plan(self) -> Result<Plan, Error> {
                let each = self.into_iter().map(|WithArguments { objects, arguments }| {
                    Ok((objects, arguments.encode()?))
                });
                Ok(Plan(Source::Objects(each.collect::<Result<_, Error>>()?)))
            }
        }
    };
}

arguments!(1 A.0);
arguments!(2 A.0 B.1);
arguments!(3 A.0 B.1 C.2);
arguments!(4 A.0 B.1 C.2 D.3);
arguments!(5 A.0 B.1 C.2 D.3 E.4);
arguments!(6 A.0 B.1 C.2 D.3 E.4 F.5);
arguments!(7 A.0 B.1 C.2 D.3 E.4 F.5 G.6);
arguments!(8 A.0 B.1 C.2 D.3 E.4 F.5 G.6 H.7);

tuple_inputs!(A B);
tuple_inputs!(A B C);
tuple_inputs!(A B C D);
tuple_inputs!(A B C D E);
tuple_inputs!(A B C D E F);
tuple_inputs!(A B C D E F G);
tuple_inputs!(A B C D E F G H);

// The partition at any place among one to seven values.
object_inputs!([][A]);
object_inputs!([A] []);
object_inputs!([] [A B]);
object_inputs!([A][B]);
object_inputs!([A B] []);
object_inputs!([] [A B C]);
object_inputs!([A] [B C]);
object_inputs!([A B] [C]);
object_inputs!([A B C] []);
object_inputs!([] [A B C D]);
object_inputs!([A] [B C D]);
object_inputs!([A B] [C D]);
object_inputs!([A B C] [D]);
object_inputs!([A B C D] []);
object_inputs!([] [A B C D E]);
object_inputs!([A] [B C D E]);
object_inputs!([A B] [C D E]);
object_inputs!([A B C] [D E]);
object_inputs!([A B C D] [E]);
object_inputs!([A B C D E] []);
object_inputs!([] [A B C D E F]);
object_inputs!([A] [B C D E F]);
object_inputs!([A B] [C D E F]);
object_inputs!([A B C] [D E F]);
object_inputs!([A B C D] [E F]);
object_inputs!([A B C D E] [F]);
object_inputs!([A B C D E F] []);
object_inputs!([] [A B C D E F G]);
object_inputs!([A] [B C D E F G]);
object_inputs!([A B] [C D E F G]);
object_inputs!([A B C] [D E F G]);
object_inputs!([A B C D] [E F G]);
object_inputs!([A B C D E] [F G]);
object_inputs!([A B C D E F] [G]);
object_inputs!([A B C D E F G] []);

impl<I: IntoIterator<Item = (), IntoIter: Send + 'static>> Inputs<()> for I {
    fn into_plan(self) -> Result<Plan, Error> {
        Ok(encode_all(self.into_iter(), Arguments::encode_to))
    }
}

impl Arguments for () {
    fn encode_to(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        array(bytes, 0);
        Ok(())
    }
}

impl<A, I> Inputs<(Given<A>,)> for I
where
    A: Serialize,
    I: IntoIterator<Item = A, IntoIter: Send + 'static>,
{
    fn into_plan(self) -> Result<Plan, Error> {
        Ok(encode_all(self.into_iter(), encode_one))
    }
}

impl<A: Serialize, S: Stream<Item = A> + Send + 'static> Inputs<(Given<A>,)> for Streamed<S> {
    fn into_plan(self) -> Result<Plan, Error> {
        Ok(encode_stream(self.0, encode_one))
    }
}

impl<O: Into<Objects>> Inputs<(Pulled,)> for O {
    fn into_plan(self) -> Result<Plan, Error> {
        Ok(Plan::objects(self.into(), ().encode()?))
    }
}

impl Inputs<(Pulled,)> for Vec<Objects> {
    fn into_plan(self) -> Result<Plan, Error> {
        let none = ().encode()?;
        Ok(Plan(Source::Objects(self.into_iter().map(|each| (each, none.clone())).collect())))
    }
}

impl<O> Inputs<(Given<O>,)> for Job<O> {
    fn into_plan(self) -> Result<Plan, Error> {
        Ok(Plan(Source::Outputs { job: self.shared, further: Vec::new() }))
    }
}

/// A job's outputs as inputs of the next job, with further arguments; made by [`Job::with`].
#[derive(Debug)]
pub struct Chained<O, T> {
    pub(crate) job: Job<O>,
    pub(crate) further: T,
}

macro_rules! chained_inputs {
    ($($name:ident.$field:tt)+) => {
        impl<O, $($name: Serialize),+> Inputs<(Given<O>, $(Given<$name>),+)>
            for Chained<O, ($($name,)+)>
        {
            fn into_plan(self) -> Result<Plan, Error> {
                let further = vec![$(item(&self.further.$field, $field + 1)?),+];
                Ok(Plan(Source::Outputs { job: self.job.shared, further }))
            }
        }
    };
}

chained_inputs!(A.0);
chained_inputs!(A.0 B.1);
chained_inputs!(A.0 B.1 C.2);

// === impl Plan ===

impl Plan {
    /// Encoded inputs: of each task, a CBOR array of its arguments.
    pub fn values(arguments: impl IntoIterator<Item = Bytes>) -> Self {
        let (mut all, mut ends) = (Vec::new(), Vec::new());
        for each in arguments {
            all.extend_from_slice(&each);
            ends.push(u32::try_from(all.len()).unwrap_or(u32::MAX));
        }
        Self(Source::Ready(Chunk { arguments: all.into(), ends, refused: Vec::new() }))
    }

    /// Number of tasks, where it is known before the objects are found or the inputs made.
    pub fn task_count(&self) -> Option<usize> {
        match &self.0 {
            Source::Ready(chunk) => Some(chunk.len()),
            Source::Iterator { expected, .. } => *expected,
            _ => None,
        }
    }

    /// Objects, and the arguments that every task gets beside its partition: a CBOR array.
    pub fn objects(objects: Objects, arguments: Bytes) -> Self {
        Self(Source::Objects(vec![(objects, arguments)]))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Iterator { .. } => "Iterator",
            Self::Stream(_) => "Stream",
            Self::Objects(_) => "Objects",
            Self::Outputs { .. } => "Outputs",
        })
    }
}

impl<S> fmt::Debug for Streamed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streamed")
    }
}

// === impl Chunk ===

impl Chunk {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The tasks of this chunk, the first of them with number `first`.
    pub(crate) fn tasks(&self, first: usize) -> impl Iterator<Item = Task> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = starts.zip(&self.ends).enumerate();
        ranges.map(move |(position, (start, end))| Task {
            index: (first + position) as u64,
            attempt: 0,
            arguments: self.arguments.slice(start as usize..*end as usize).into(),
            partition: None,
        })
    }
}

/// Encodes the next inputs of an iterator, at most `max` of them.
fn next_chunk<T>(
    inputs: &mut impl Iterator<Item = Result<T, String>>,
    encode: fn(&T, &mut Vec<u8>) -> Result<(), String>,
    max: usize,
) -> Chunk {
    let (mut bytes, mut chunk) = (Vec::new(), Chunk::default());
    while chunk.len() < max && bytes.len() < CHUNK_BYTES {
        let Some(input) = inputs.next() else { break };
        push_input(&input, encode, &mut bytes, &mut chunk);
    }
    chunk.arguments = bytes.into();
    chunk
}

/// An iterator's items, and behind the last of them why it panicked, if it did: nobody else would
/// know that more were to come.
fn until_panic<I: Iterator>(mut inputs: I) -> impl Iterator<Item = Result<I::Item, String>> {
    let mut panicked = false;
    std::iter::from_fn(move || {
        if panicked {
            return None;
        }
        // What panicked is not asked again.
        let next = std::panic::catch_unwind(AssertUnwindSafe(|| inputs.next()));
        panicked = next.is_err();
        next.map_err(|payload| panic_text(&*payload)).transpose()
    })
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!(
        "the inputs end here, because what makes them panicked: {}",
        text.unwrap_or("with something that is no text")
    )
}

fn push_input<T>(
    input: &Result<T, String>,
    encode: fn(&T, &mut Vec<u8>) -> Result<(), String>,
    bytes: &mut Vec<u8>,
    chunk: &mut Chunk,
) {
    let start = bytes.len();
    let encoded = match input {
        Ok(input) => encode(input, bytes),
        Err(why) => Err(why.clone()),
    };
    let fits = |()| match u32::try_from(bytes.len()) {
        Ok(_) => Ok(()),
        Err(_) => Err("it is larger than 4 GiB; put it in an object".to_owned()),
    };
    if let Err(why) = encoded.and_then(fits) {
        bytes.truncate(start);
        chunk.refused.push((chunk.ends.len(), why));
    }
    chunk.ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
}

fn encode_all<I: Iterator + Send + 'static>(
    mut inputs: I,
    encode: fn(&I::Item, &mut Vec<u8>) -> Result<(), String>,
) -> Plan {
    let (least, most) = inputs.size_hint();
    if most.is_some_and(|most| most <= READY_INPUTS) {
        return Plan(Source::Ready(next_chunk(
            &mut inputs.by_ref().take(READY_INPUTS).map(Ok),
            encode,
            READY_INPUTS,
        )));
    }
    let mut inputs = until_panic(inputs.fuse());
    let expected = most.filter(|most| *most == least);
    let next = Box::new(move || next_chunk(&mut inputs, encode, CHUNK_INPUTS));
    Plan(Source::Iterator { next, expected })
}

fn encode_stream<S: Stream + Send + 'static>(
    inputs: S,
    encode: fn(&S::Item, &mut Vec<u8>) -> Result<(), String>,
) -> Plan {
    let inputs = AssertUnwindSafe(inputs).catch_unwind();
    let inputs = inputs.map_err(|payload| panic_text(&*payload));
    let chunks = inputs.ready_chunks(CHUNK_INPUTS).map(move |inputs| {
        let (mut bytes, mut chunk) = (Vec::new(), Chunk::default());
        inputs.iter().for_each(|input| push_input(input, encode, &mut bytes, &mut chunk));
        chunk.arguments = bytes.into();
        chunk
    });
    Plan(Source::Stream(chunks.boxed()))
}

fn encode_one<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<(), String> {
    array(bytes, 1);
    push(bytes, value, 0)
}

/// The head of a CBOR array of less than 24 items (RFC 8949, 3.1).
fn array(bytes: &mut Vec<u8>, items: u8) {
    bytes.push(0x80 | items);
}

fn push(bytes: &mut Vec<u8>, value: &impl Serialize, position: usize) -> Result<(), String> {
    encode_to(bytes, value)
        .map_err(|error| format!("argument {} cannot be encoded: {error}", position + 1))
}

/// One value as one CBOR data item.
fn item(value: &impl Serialize, position: usize) -> Result<Bytes, Error> {
    let mut bytes = Vec::new();
    push(&mut bytes, value, position).map_err(|message| Error::Input { index: 0, message })?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(plan: Plan) -> Vec<Chunk> {
        match plan.0 {
            Source::Ready(chunk) => vec![chunk],
            Source::Iterator { mut next, .. } => {
                std::iter::from_fn(|| Some(next()).filter(|chunk| !chunk.is_empty())).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn inputs_are_encoded_alike_however_many_there_are() {
        for count in [0_usize, 1, READY_INPUTS, READY_INPUTS + 1, 3 * CHUNK_INPUTS + 7] {
            let plan = Inputs::<(Given<usize>,)>::into_plan(0..count).unwrap();
            let chunks = chunks(plan);
            let (mut all, mut first) = (Vec::new(), 0);
            for chunk in &chunks {
                all.extend(chunk.tasks(first));
                first += chunk.len();
            }
            assert_eq!(all.len(), count);
            for (index, task) in all.iter().enumerate() {
                let mut wanted = Vec::new();
                encode_one(&index, &mut wanted).unwrap();
                assert_eq!(task.arguments, wanted.into());
                assert_eq!(task.index, index as u64);
            }
        }
    }

    #[test]
    fn an_input_that_refuses_to_be_encoded_is_named_and_hides_no_other() {
        struct Odd(u8);
        impl Serialize for Odd {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self.0 {
                    1 => Err(serde::ser::Error::custom("not I")),
                    n => serializer.serialize_u8(n),
                }
            }
        }
        let plan = Inputs::<(Given<Odd>,)>::into_plan([Odd(0), Odd(1), Odd(2)]).unwrap();
        let chunk = chunks(plan).pop().unwrap();
        assert_eq!(chunk.ends, [2, 2, 4]);
        assert_eq!(chunk.refused.len(), 1);
        assert_eq!(chunk.refused[0].0, 1);
        assert!(chunk.refused[0].1.contains("argument 1 cannot be encoded: not I"));
    }

    #[test]
    fn inputs_that_panic_end_with_an_error_in_the_next_ones_place() {
        let panics = |n: usize| if n < 5_000 { n } else { panic!("no {n}") };
        let iterator = Inputs::<(Given<usize>,)>::into_plan((0..9_000).map(panics)).unwrap();
        let streamed = stream(futures::stream::iter((0..9_000).map(panics)));
        let streamed = Inputs::<(Given<usize>,)>::into_plan(streamed).unwrap();
        let Source::Stream(streamed) = streamed.0 else { panic!("a stream") };
        let streamed = futures::executor::block_on(streamed.collect::<Vec<_>>());
        for chunks in [chunks(iterator), streamed] {
            assert_eq!(chunks.iter().map(Chunk::len).sum::<usize>(), 5_001);
            let (position, why) = chunks.last().unwrap().refused.last().unwrap();
            assert_eq!(*position, 5_000 % CHUNK_INPUTS);
            assert!(why.ends_with("panicked: no 5000"), "{why}");
        }
    }

    #[test]
    fn an_iterator_is_taken_as_needed() {
        let endless = std::iter::repeat(7_u8);
        let plan = Inputs::<(Given<u8>,)>::into_plan(endless).unwrap();
        let Source::Iterator { mut next, expected } = plan.0 else { panic!("endless") };
        assert_eq!((next().len(), expected), (CHUNK_INPUTS, None));
    }
}

//! What a job's inputs may be, checked by the compiler against the function's signature.

use bytes::Bytes;
use samara_wit::value::ArgumentWriter;
use samara_wit::{Given, Pulled};
use serde::Serialize;

use crate::Error;
use crate::objects::{Objects, WithArguments};

/// Inputs of a function whose argument slots are `A`, one per task.
///
/// | the function takes | its inputs are |
/// |---|---|
/// | one value | an iterator of it |
/// | several values | an iterator of tuples |
/// | nothing | an iterator of `()` |
/// | its partition | [`Objects`], or what makes some: a URL, a path |
/// | its partition and values | [`Objects::with`] a tuple of the values |
#[diagnostic::on_unimplemented(
    message = "these inputs do not fit the function",
    label = "not an iterator of the function's arguments, and not objects for its partition",
    note = "a function of one value takes an iterator of it, one of several takes tuples, one of a \
            `Partition` takes `Objects`, a URL or a path"
)]
pub trait Inputs<A> {
    /// Encodes the inputs.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] where a value refuses to be encoded.
    fn into_plan(self) -> Result<Plan, Error>;
}

/// Encoded inputs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Plan {
    /// Each task's arguments: a CBOR array.
    Values(Vec<Bytes>),
    /// Objects, and the arguments that every task gets beside its partition.
    Objects {
        /// The objects.
        objects: Objects,
        /// A CBOR array.
        arguments: Bytes,
    },
}

/// Values that together are one call's arguments.
trait Arguments {
    fn encode(&self, index: u64) -> Result<Bytes, Error>;
}

/// One argument, so that it is not mistaken for a tuple of several.
struct One<T>(T);

macro_rules! arguments {
    ($count:literal $($name:ident.$field:tt)*) => {
        impl<$($name: Serialize),*> Arguments for ($($name,)*) {
            fn encode(&self, index: u64) -> Result<Bytes, Error> {
                let mut writer = ArgumentWriter::new($count);
                $(push(&mut writer, &self.$field, index, $field)?;)*
                Ok(writer.finish().into())
            }
        }
    };
}

macro_rules! tuple_inputs {
    ($($name:ident)+) => {
        impl<$($name: Serialize,)+ I> Inputs<($(Given<$name>,)+)> for I
        where
            I: IntoIterator<Item = ($($name,)+)>,
        {
            fn into_plan(self) -> Result<Plan, Error> {
                encode_all(self.into_iter())
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
                let arguments = self.arguments.encode(0)?;
                Ok(Plan::Objects { objects: self.objects, arguments })
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

impl<I: IntoIterator<Item = ()>> Inputs<()> for I {
    fn into_plan(self) -> Result<Plan, Error> {
        encode_all(self.into_iter())
    }
}

impl Arguments for () {
    fn encode(&self, _index: u64) -> Result<Bytes, Error> {
        Ok(ArgumentWriter::new(0).finish().into())
    }
}

impl<A: Serialize, I: IntoIterator<Item = A>> Inputs<(Given<A>,)> for I {
    fn into_plan(self) -> Result<Plan, Error> {
        encode_all(self.into_iter().map(One))
    }
}

impl<T: Serialize> Arguments for One<T> {
    fn encode(&self, index: u64) -> Result<Bytes, Error> {
        let mut writer = ArgumentWriter::new(1);
        push(&mut writer, &self.0, index, 0)?;
        Ok(writer.finish().into())
    }
}

impl<O: Into<Objects>> Inputs<(Pulled,)> for O {
    fn into_plan(self) -> Result<Plan, Error> {
        Ok(Plan::Objects { objects: self.into(), arguments: ().encode(0)? })
    }
}

fn encode_all(inputs: impl Iterator<Item = impl Arguments>) -> Result<Plan, Error> {
    let encoded = (0..).zip(inputs).map(|(index, input)| input.encode(index));
    Ok(Plan::Values(encoded.collect::<Result<_, _>>()?))
}

fn push(
    writer: &mut ArgumentWriter,
    value: &impl Serialize,
    index: u64,
    position: usize,
) -> Result<(), Error> {
    writer.push(value).map_err(|error| Error::Input {
        index,
        message: format!("argument {} cannot be encoded: {error}", position + 1),
    })
}

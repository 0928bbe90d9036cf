//! A function of a component as a typed value, so that the driver's compiler checks its calls.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::DeserializeOwned;

/// A function marked `#[function]`: callable like the plain function, and a handle to the same
/// function inside a component.
///
/// `F` is the plain function's pointer type, `A` the tuple of its argument slots ([`Given`] or
/// [`Pulled`]) and `O` the type of its output. The macro writes all three; nobody else has to.
pub struct Function<F, A, O> {
    name: &'static str,
    kind: Kind,
    plain: F,
    types: PhantomData<fn(A) -> O>,
}

/// What a function is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Called with the arguments of one task.
    Map,
    /// Combines values of one type; associative.
    Reduce,
}

/// The type of an argument of a `#[function]`.
///
/// Implemented for every serde type, which a caller gives, and by the guest SDK for its
/// `Partition`, which the task pulls from the host.
pub trait Argument {
    /// [`Given<Self>`] or [`Pulled`].
    type Slot;
}

/// The slot of an argument type.
pub type Slot<A> = <A as Argument>::Slot;

/// Slot of an argument that the caller gives as a value of type `T`.
pub struct Given<T>(PhantomData<fn(T)>);

/// Slot of the partition: planned by the driver from objects, pulled by the task.
#[derive(Debug)]
pub struct Pulled(());

// === impl Function ===

impl<F, A, O> Function<F, A, O> {
    /// Makes a handle. Called by the code that `#[function]` writes.
    pub const fn new(name: &'static str, kind: Kind, plain: F) -> Self {
        Self { name, kind, plain, types: PhantomData }
    }

    /// The function's name within its component.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What the function is for.
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}

impl<F: Copy, A, O> Clone for Function<F, A, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Copy, A, O> Copy for Function<F, A, O> {}

impl<F, A, O> Deref for Function<F, A, O> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.plain
    }
}

impl<F, A, O> fmt::Debug for Function<F, A, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).field("kind", &self.kind).finish()
    }
}

// === impl Argument ===

impl<T: DeserializeOwned> Argument for T {
    type Slot = Given<T>;
}

impl<T> fmt::Debug for Given<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::type_complexity, reason = "the macro writes it, nobody reads it")]
    #[expect(non_upper_case_globals, reason = "stands where the macro writes a function's name")]
    static double: Function<fn(u64) -> u64, (Given<u64>,), u64> =
        Function::new("double", Kind::Map, |n| n * 2);

    #[test]
    fn is_called_like_the_plain_function() {
        assert_eq!(double(21), 42);
    }

    #[test]
    fn is_a_handle_that_copies_out_of_a_static() {
        let handle = double;
        assert_eq!((handle.name(), handle.kind()), ("double", Kind::Map));
    }
}

//! A function of a component as one value, and what can be made of it: a service, a parallel
//! iterator.

use std::fmt;
use std::iter::{Once, once};
use std::marker::PhantomData;
use std::task::{Context, Poll};

use samara_wit::{Function, Given};

use crate::executor::Executor;
use crate::{Call, Component, Error, Inputs, Map, MapThenReduce, TaskError, Value, block_on};

/// A function of a component, made by [`Component::function`].
pub struct Bound<A, O> {
    component: Component,
    name: &'static str,
    types: PhantomData<fn(A) -> O>,
}

/// Calls a function for each request: a [`tower`](https://docs.rs/tower) service, made by
/// [`Executor::service`].
///
/// It is always ready; limits, time-outs and the like are tower's own layers.
pub struct FunctionService<A, O> {
    executor: Executor,
    function: Bound<A, O>,
}

/// Inputs on their way through a function, made by [`IntoSamara::into_samara`].
#[must_use = "nothing runs unless its values are taken"]
pub struct Parallel<O>(Map<O>);

/// Maps inputs over a function in the way of a parallel iterator.
///
/// ```no_run
/// # use samara::function::{Function, Given, Kind};
/// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
/// use samara::{Component, Executor, IntoSamara};
///
/// # fn main() -> Result<(), samara::Error> {
/// let (executor, app) = (Executor::new()?, Component::from_path("app.wasm")?);
/// let doubled: Vec<u64> = (1..=3_u64).into_samara(&executor, app.function(double)).collect()?;
/// assert_eq!(doubled, [2, 4, 6]);
/// # Ok(())
/// # }
/// ```
pub trait IntoSamara: Sized {
    /// The inputs, to be mapped over `function`.
    fn into_samara<A, O: Value>(self, executor: &Executor, function: Bound<A, O>) -> Parallel<O>
    where
        Self: Inputs<A>,
    {
        Parallel(executor.map_bound(&function, self))
    }
}

impl<I> IntoSamara for I {}

// === impl Component ===

impl Component {
    /// One of the component's functions, with the component.
    pub fn function<F, A, O>(&self, function: Function<F, A, O>) -> Bound<A, O> {
        Bound { component: self.clone(), name: function.name(), types: PhantomData }
    }
}

// === impl Executor ===

impl Executor {
    /// A [`tower_service::Service`] that calls a function once for each request.
    ///
    /// ```no_run
    /// # use samara::function::{Function, Given, Kind};
    /// # const double: Function<(), (Given<u64>,), u64> = Function::new("double", Kind::Map, ());
    /// use samara::{Component, Executor};
    /// use tower_service::Service;
    ///
    /// # async fn example() -> Result<(), samara::Error> {
    /// let (executor, app) = (Executor::new()?, Component::from_path("app.wasm")?);
    /// let mut service = executor.service(app.function(double));
    /// assert_eq!(service.call(21).await?, 42);
    /// # Ok(())
    /// # }
    /// ```
    pub fn service<A, O>(&self, function: Bound<A, O>) -> FunctionService<A, O> {
        FunctionService { executor: self.clone(), function }
    }

    fn map_bound<A, O: Value>(&self, function: &Bound<A, O>, inputs: impl Inputs<A>) -> Map<O> {
        let handle = Function::<(), A, O>::new(function.name, samara_wit::Kind::Map, ());
        self.map(&function.component, handle, inputs)
    }
}

// === impl FunctionService ===

impl<A, O: Value + 'static, X> tower_service::Service<X> for FunctionService<A, O>
where
    Once<X>: Inputs<A>,
{
    type Response = O;
    type Error = Error;
    type Future = Call<O>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, arguments: X) -> Call<O> {
        self.executor.map_bound(&self.function, once(arguments)).into_call()
    }
}

// === impl Parallel ===

impl<O: Value> Parallel<O> {
    /// Sets options of the job: `.options(|map| map.retries(Retries::none()))`.
    pub fn options(self, set: impl FnOnce(Map<O>) -> Map<O>) -> Self {
        Self(set(self.0))
    }

    /// Waits for the values, in the order of the inputs.
    ///
    /// # Errors
    ///
    /// Where the job cannot be submitted; else the error of the first task, in the order of the
    /// inputs, that came to no value.
    pub fn collect<C: FromIterator<O>>(self) -> Result<C, Error> {
        let results = block_on(async { Ok::<_, Error>(self.0.await?.results().await) })?;
        Ok(results.into_iter().collect::<Result<C, TaskError>>()?)
    }

    /// Waits for the results, in the order of the inputs: one failure hides nothing.
    ///
    /// # Errors
    ///
    /// Where the job cannot be submitted.
    pub fn results(self) -> Result<Vec<Result<O, TaskError>>, Error> {
        block_on(async { Ok(self.0.await?.results().await) })
    }

    /// Calls `look` with each value as it comes, in any order. Any number of inputs takes little
    /// memory.
    ///
    /// # Errors
    ///
    /// Where the job cannot be submitted; else the first error of a task, which ends the job.
    pub fn for_each(self, mut look: impl FnMut(usize, O)) -> Result<(), Error> {
        for (index, result) in crate::blocking::iter(block_on(self.0)?.as_completed()) {
            look(index, result?);
        }
        Ok(())
    }

    /// Combines the values with an associative function of the same component, in a tree, as they
    /// come; none without inputs.
    ///
    /// # Errors
    ///
    /// As [`collect`](Self::collect).
    pub fn reduce<G>(
        self,
        reduce: Function<G, (Given<O>, Given<O>), O>,
    ) -> Result<Option<O>, Error> {
        let reduced: MapThenReduce<O> = self.0.then_reduce(reduce.name());
        block_on(async { reduced.await?.value().await })
    }
}

impl<A, O> Clone for Bound<A, O> {
    fn clone(&self) -> Self {
        Self { component: self.component.clone(), name: self.name, types: PhantomData }
    }
}

impl<A, O> Clone for FunctionService<A, O> {
    fn clone(&self) -> Self {
        Self { executor: self.executor.clone(), function: self.function.clone() }
    }
}

impl<A, O> fmt::Debug for Bound<A, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound")
            .field("component", &self.component)
            .field("function", &self.name)
            .finish()
    }
}

impl<A, O> fmt::Debug for FunctionService<A, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionService").field("function", &self.function).finish_non_exhaustive()
    }
}

impl<O> fmt::Debug for Parallel<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parallel").field(&self.0).finish()
    }
}

//! What a case is given.

use std::sync::Arc;

use bytes::Bytes;
use samara::{Builder, Component, Executor};

use crate::place::Place;
use crate::suite::Inner;

/// What a case is given: a runtime, a store, the guests, and a place for its objects.
#[derive(Debug)]
pub struct Context {
    suite: Arc<Inner>,
    place: Place,
}

// === impl Context ===

impl Context {
    pub(crate) fn new(suite: Arc<Inner>, place: Place) -> Self {
        Self { suite, place }
    }

    /// The guests under test.
    pub fn programs(&self) -> &Component {
        &self.suite.programs
    }

    /// The executor that most cases share.
    pub fn executor(&self) -> &Executor {
        &self.suite.executor
    }

    /// The suite's settings, for an executor of the case's own.
    pub fn builder(&self) -> Builder {
        self.suite.builder.clone()
    }

    /// The URL of an object of this case. Each case has a place of its own, which is emptied when
    /// it has ended.
    pub fn url(&self, name: &str) -> String {
        // Names are put together here and not by the store, so that a case may try odd ones.
        format!("{}/{name}", self.place.url())
    }

    /// Writes an object of this case.
    ///
    /// # Panics
    ///
    /// Where the store does not take it.
    #[track_caller]
    pub fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        if let Err(error) = self.place.join(name).put(bytes.into()) {
            panic!("cannot put {name}: {error}");
        }
    }

    /// Reads an object of this case, if it is there.
    ///
    /// # Panics
    ///
    /// Where the store does not say.
    #[track_caller]
    pub fn read(&self, name: &str) -> Option<Bytes> {
        self.place.join(name).read().unwrap_or_else(|error| panic!("cannot read {name}: {error}"))
    }

    /// The names of all objects of this case, in order.
    ///
    /// # Panics
    ///
    /// Where the store does not say.
    #[track_caller]
    pub fn names(&self) -> Vec<String> {
        self.place.names().unwrap_or_else(|error| panic!("cannot list: {error}"))
    }
}

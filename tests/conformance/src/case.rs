//! What a case is, and the macro that lists those of a module.

use std::fmt;

use samara::Reach;

use crate::Context;

/// One thing that every runtime does on every store.
#[derive(Clone, Copy)]
pub struct Case {
    /// The room it belongs to: the module it is written in.
    pub room: &'static str,
    /// Its name: a sentence about what holds, in snake case.
    pub name: &'static str,
    /// What it cannot do without.
    pub needs: Needs,
    pub(crate) run: fn(&Context),
}

/// What a case cannot do without. Where it is not there the case is skipped, not failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Needs {
    /// Nothing but a runtime and a store.
    Nothing,
    /// So many tasks that run at the same moment.
    Slots(usize),
    /// Tasks that run no further away from the driver.
    Within(Reach),
}

/// Lists a module's cases; each is a private `fn(context: &Context)` of the module.
///
/// A case that is forgotten here is dead code to the compiler, and a failure of the test
/// `every_case_is_in_its_table`.
macro_rules! cases {
    ($room:ident: $($name:ident $(needs $needs:ident($count:tt))?,)*) => {
        /// The cases of this room.
        pub(super) const CASES: &[$crate::Case] = &[$($crate::Case {
            room: stringify!($room),
            name: stringify!($name),
            needs: $crate::case::needs!($($needs($count))?),
            run: $name,
        },)*];
    };
}

macro_rules! needs {
    () => {
        $crate::Needs::Nothing
    };
    (Slots($count:literal)) => {
        $crate::Needs::Slots($count)
    };
    (Within($reach:ident)) => {
        $crate::Needs::Within(samara::Reach::$reach)
    };
}

pub(crate) use {cases, needs};

// === impl Case ===

impl Case {
    /// Whether the case's name, `room::name`, contains any of the filters; without filters, it does.
    pub fn is_meant(&self, filters: &[String]) -> bool {
        let name = self.to_string();
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
    }
}

impl fmt::Display for Case {
    /// `room::name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.room, self.name)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.to_string()).finish()
    }
}

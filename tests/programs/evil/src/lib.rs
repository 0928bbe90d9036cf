//! Hostile guests: a file for each thing that a component may try, and must not get.
//!
//! Most are functions of one component, in `src`. What Rust cannot express is a core module in
//! `wat`, around which [`component`] puts a component of Samara's world. What is made by rule (a
//! thousand imports, a cut component) is in `made`.
//!
//! [`guests!`] is the only list of them. The host's tests expand it to one test for each name, so
//! that a guest without a test does not compile.

/// Hands the names of all guests to a macro: those in `src`, those in `wat`, those that are made.
#[macro_export]
macro_rules! guests {
    ($with:ident) => {
        $with! {
            functions:
            allocates,
            allocates_and_goes_on,
            asks_by_address,
            asks_by_name,
            asks_by_redirect,
            asks_without_end,
            climbs_out,
            exhausts_pollables,
            exhausts_writers,
            exits,
            fails_hugely,
            floods_stores,
            follows_links,
            hoards_fields,
            hoards_parts,
            ignores_cancellation,
            lists_a_million,
            logs_hugely,
            looks_around,
            looks_at_clocks,
            names_hugely,
            opens_sockets,
            paints,
            panics_hugely,
            panics_in_panic,
            polls_a_million,
            reads_environment,
            reads_files,
            reads_strange_ranges,
            recurses,
            returns_hugely,
            sleeps_for_ever,
            spins,
            starts_jobs,
            takes_random,
            traps_in_drop,
            waits_for_server,
            writes_zeroes;

            texts:
            answers_no_batch,
            boasts_of_functions,
            declares_much_memory,
            declares_much_table,
            fills_memory,
            forges_functions,
            forges_kinds,
            grows_memory_64,
            grows_tables,
            has_many_instances,
            has_many_memories,
            has_many_tables,
            lies_about_batches,
            makes_handles,
            overflows_stack,
            paints_tables,
            reallocates_out_of_bounds,
            returns_bad_case,
            returns_bad_text,
            returns_beyond_memory,
            returns_endless_list,
            returns_one_text_often,
            shares_memory,
            spins_in_batch,
            spins_in_list,
            spins_in_post_return,
            spins_in_realloc,
            spins_in_start,
            traps_in_post_return;

            made:
            bit_flipped,
            cut_short,
            deep_types,
            nested_components,
            oversized_exports,
            oversized_names,
            ten_thousand_functions,
            thousand_imports;
        }
    };
}

macro_rules! declare {
    (
        functions: $($function:ident),*;
        texts: $($text:ident),*;
        made: $($made:ident),*;
    ) => {
        $(pub mod $function;)*

        /// The guests in `src`.
        pub const FUNCTIONS: &[&str] = &[$(stringify!($function)),*];

        /// The guests in `wat`, with their texts.
        #[cfg(not(target_family = "wasm"))]
        pub const TEXTS: &[(&str, &str)] = &[
            $((stringify!($text), include_str!(concat!("../wat/", stringify!($text), ".wat")))),*
        ];

        #[cfg(not(target_family = "wasm"))]
        pub mod made {
            //! Components that are made by rule.

            $(pub mod $made;)*

            /// The guests that are made.
            pub const MADE: &[&str] = &[$(stringify!($made)),*];
        }
    };
}

guests!(declare);

#[cfg(not(target_family = "wasm"))]
mod shell;

#[cfg(not(target_family = "wasm"))]
pub use crate::shell::{around, component};

/// What came of something that must not be had: nothing, with the reason; or what was got.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Loot {
    /// It was refused, and why.
    Nothing(String),
    /// This was got.
    Got(String),
}

impl<T: std::fmt::Debug, E: std::fmt::Display> From<Result<T, E>> for Loot {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(got) => Self::Got(format!("{got:?}")),
            Err(error) => Self::Nothing(format!("{error:#}")),
        }
    }
}

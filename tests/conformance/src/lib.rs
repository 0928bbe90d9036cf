//! Any runtime against any store, with real guests: see `tests/`.

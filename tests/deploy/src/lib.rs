//! The tests are in `tests/`; this is what cargo asks for beside them.

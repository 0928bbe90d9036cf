//! Nothing but tests, which are in `tests/all`.

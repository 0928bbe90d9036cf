//! What a store is said to keep of conditional writes, in place of trying it out.

use crate::{Conditions, Setting};

/// The setting that spares a store the probe.
pub(crate) const SETTING: Setting = Setting {
    name: "conditional_writes",
    variable: None,
    secret: false,
    doc: "`trust` or `never`, in place of trying them out",
};

/// Refuses a value that [`SETTING`] does not have.
pub(crate) fn check(said: Option<&str>) -> Result<(), String> {
    match said {
        None | Some("trust" | "never" | "probe") => Ok(()),
        Some(other) => Err(format!(
            "`conditional_writes` is `{other}`, and should be one of trust, never, probe"
        )),
    }
}

/// What a store keeps without being asked.
pub(crate) fn said(said: Option<&str>) -> Option<Conditions> {
    let all = |kept| Conditions::new(kept, kept);
    match said {
        Some("trust") => Some(all(true)),
        Some("never") => Some(all(false)),
        _ => None,
    }
}

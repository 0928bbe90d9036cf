//! What an executor can say of the machine it is on.

use std::path::PathBuf;

use samara_core::Reach;

use crate::Executor;
use crate::environment::Environment;

impl Executor {
    /// How far from this program its tasks run. Functions can start jobs only where that is in
    /// this process.
    ///
    /// ```
    /// # fn main() -> Result<(), samara::Error> {
    /// let executor = samara::Executor::builder().runtime("local:1").build()?;
    /// assert_eq!(executor.reach(), samara::Reach::Process);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reach(&self) -> Reach {
        self.0.runtime.reach()
    }

    /// Whether this machine takes fresh instances from a pool. Without one, for lack of address
    /// space, a task starts several times as slowly. None where this driver has no engine.
    ///
    /// ```
    /// # fn main() -> Result<(), samara::Error> {
    /// let executor = samara::Executor::builder().slots(1).build()?;
    /// assert!(executor.has_pool().is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn has_pool(&self) -> Option<bool> {
        #[cfg(feature = "local")]
        let pool = self.0.handler.as_ref().map(|handler| handler.is_pooling());
        #[cfg(not(feature = "local"))]
        let pool = None;
        pool
    }
}

/// Where compiled code is kept unless a setting says otherwise: `samara/compiled` in the user's
/// cache directory. None where the user has none.
///
/// # Examples
///
/// ```
/// if let Some(dir) = samara::default_cache_dir() {
///     println!("compiled code is in {}", dir.display());
/// }
/// ```
pub fn default_cache_dir() -> Option<PathBuf> {
    Environment::read().cache_dir
}

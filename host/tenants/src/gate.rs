//! The gate: tickets and batches against what tenants may.

use std::any::Any;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use samara_core::{
    Access, Argument, Arguments, Batch, Caller, Clock, Error, ErrorKind, Gate, Grants, JobId,
    Limits, Payer, Tally,
};

use crate::Canonical;
use crate::audit::{Audit, Of, Who};
use crate::roster::{Member, Roster, Source};
use crate::ticket::{self, Kind, Verified, Whose, shown};

/// How often files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Hexadecimal digits of a hash.
const HASH_DIGITS: usize = 64;

/// The tenants of a host.
pub struct Tenants {
    source: Source,
    roster: RwLock<Arc<Roster>>,
    /// When files are looked at the next time.
    look: Mutex<Duration>,
    audit: Arc<Audit>,
}

/// Who shows a good ticket.
struct Holder {
    member: Arc<Member>,
    grants: Arc<Grants>,
    /// The ticket's name.
    ticket: Option<String>,
    /// By which way it came.
    way: &'static str,
    canonical: Canonical,
    audit: Arc<Audit>,
}

/// A batch's place, until it has ended.
struct Place {
    member: Arc<Member>,
    ticket: Option<String>,
    way: &'static str,
    job: JobId,
    /// What is said of it in the log.
    of: Of,
    audit: Arc<Audit>,
}

// === impl Tenants ===

impl Tenants {
    /// Reads the file of tenants, and opens its audit log.
    ///
    /// While the host runs, the file and the files of keys are looked at again every few seconds,
    /// when requests come. Then tenants, keys, grants, limits and quotas are as the files say; the
    /// audit log and `host-version-min` stay as they were.
    ///
    /// # Errors
    ///
    /// All that is wrong, each by its name and with what would be right.
    pub fn open(
        path: &Path,
        canonical: Canonical,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Vec<String>> {
        let next = clock.monotonic() + LOOK_EVERY;
        let source = Source { path: path.to_owned(), canonical, clock: Arc::clone(&clock) };
        let roster = Roster::open(&source)?;
        let audit = Audit::open(&roster.file.audit, clock)
            .map_err(|error| vec![format!("audit is {}: {error}", roster.file.audit)])?;
        Ok(Self {
            source,
            roster: RwLock::new(Arc::new(roster)),
            look: Mutex::new(next),
            audit: Arc::new(audit),
        })
    }

    /// Says why a host of this version may not run, if it may not: it is older than the file's
    /// `host-version-min`.
    pub fn refuses_version(&self, version: &str) -> Option<String> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner).file.refuses_version(version)
    }

    /// What a tenant may have, as the files say now; none where there is no such tenant.
    pub fn grants(&self, tenant: &str) -> Option<Arc<Grants>> {
        self.roster().member(tenant).map(|member| Arc::clone(&member.grants))
    }

    /// What one task of a tenant's may use, and how much memory all of them together, as the files say
    /// now; none where there is no such tenant.
    pub fn limits(&self, tenant: &str) -> Option<(Limits, u64)> {
        let member = self.roster().member(tenant)?;
        Some((member.limits, samara_core::Account::memory_max(&*member.account)))
    }

    /// What the files say now.
    fn roster(&self) -> Arc<Roster> {
        self.look_again();
        Arc::clone(&self.roster.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn look_again(&self) {
        let mut next = match self.look.try_lock() {
            Ok(next) => next,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody is at it. Until then what is known counts.
            Err(TryLockError::WouldBlock) => return,
        };
        let now = self.source.clock.monotonic();
        if now < *next {
            return;
        }
        *next = now + LOOK_EVERY;
        let known = Arc::clone(&self.roster.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(roster) = known.again(&self.source) {
            *self.roster.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roster);
        }
    }

    fn refuse(&self, way: &'static str, whose: &Whose, why: String) -> Error {
        match whose {
            Whose::Tenant(tenant) => {
                self.audit.refused(Who { tenant, ticket: None, way }, None, &why);
            }
            Whose::Stranger(kind) => self.audit.stranger(way, *kind, &why),
        }
        Error::new(ErrorKind::Denied, why)
    }
}

impl Gate for Tenants {
    fn identify(&self, way: &'static str, ticket: Option<&str>) -> Result<Arc<dyn Caller>, Error> {
        let Some(ticket) = ticket else {
            let why = "this host asks for a ticket, and none was shown".to_owned();
            return Err(self.refuse(way, &Whose::Stranger(Kind::NoTicket), why));
        };
        let now = self.source.clock.unix();
        match ticket::verify(&self.roster(), &*self.source.canonical, now, ticket) {
            Ok(Verified { member, grants, name, .. }) => Ok(Arc::new(Holder {
                member,
                grants,
                ticket: name,
                way,
                canonical: Arc::clone(&self.source.canonical),
                audit: Arc::clone(&self.audit),
            })),
            Err(bad) => Err(self.refuse(way, &bad.whose, format!("the ticket {}", bad.why))),
        }
    }

    fn close(&self) {
        self.audit.close();
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants").field("path", &self.source.path).finish_non_exhaustive()
    }
}

// === impl Holder ===

impl Caller for Holder {
    fn tenant(&self) -> &str {
        &self.member.name
    }

    fn admit(&self, batch: &mut Batch) -> Result<Box<dyn Any + Send + Sync>, Error> {
        let who = self.who();
        self.check(batch).inspect_err(|error| {
            self.audit.refused(who, Some(batch), &error.message);
        })?;
        batch.limits = batch.limits.at_most(&self.member.limits);
        let account = Arc::clone(&self.member.account);
        batch.payer = Payer::from(account as Arc<dyn samara_core::Account>);
        if self.member.jobs.begin(batch.job) {
            self.audit.job(who, batch);
        }
        Ok(Box::new(Place {
            member: Arc::clone(&self.member),
            ticket: self.ticket.clone(),
            way: self.way,
            job: batch.job,
            of: Of::batch(batch),
            audit: Arc::clone(&self.audit),
        }))
    }

    fn check_object(&self, url: &str, access: Access) -> Result<(), Error> {
        self.check_access(url, url, access).inspect_err(|error| {
            self.audit.refused(self.who(), None, &error.message);
        })
    }

    fn turned_away(&self, batch: Option<&Batch>, why: &str) {
        self.audit.turned_away(self.who(), batch, why);
    }

    fn ended(&self, job: JobId, tally: &Tally) {
        self.member.jobs.add(job, tally);
    }
}

impl Holder {
    fn who(&self) -> Who<'_> {
        Who { tenant: &self.member.name, ticket: self.ticket.as_deref(), way: self.way }
    }

    fn check(&self, batch: &Batch) -> Result<(), Error> {
        let name = &self.member.name;
        batch.grants.check()?;
        batch.limits.check()?;
        let wider = batch.grants.within(&self.grants);
        wider.map_err(|wider| self.denied(&shown(&wider.to_string())))?;
        self.check_store(&batch.store)?;
        for task in &batch.tasks {
            if let Some(partition) = &task.partition {
                self.check_access(&partition.object, &partition.object, Access::Read)?;
            }
            check_arguments(&task.arguments)?;
        }
        self.member.account.check().map_err(|used_up| {
            Error::new(ErrorKind::Throttled, format!("the tenant `{name}` {used_up}"))
        })
    }

    /// All that lies below the job's store is written and read for it.
    fn check_store(&self, store: &str) -> Result<(), Error> {
        let below = match store.ends_with('/') {
            true => store.to_owned(),
            false => format!("{store}/"),
        };
        self.check_access(&below, store, Access::ReadWrite)
    }

    fn check_access(&self, url: &str, said: &str, access: Access) -> Result<(), Error> {
        let url = (self.canonical)(url).map_err(|why| {
            Error::new(ErrorKind::Invalid, format!("`{}` is no URL: {}", shown(said), shown(&why)))
        })?;
        match self.grants.allow(&url, access) {
            true => Ok(()),
            false => Err(self.denied(&format!("to {access} {}", shown(said)))),
        }
    }

    fn denied(&self, what: &str) -> Error {
        let holder = match &self.ticket {
            Some(ticket) => format!(" with the ticket `{}`", shown(ticket)),
            None => String::new(),
        };
        let name = &self.member.name;
        let text = format!("the tenant `{name}`{holder} is not granted {what}");
        Error::new(ErrorKind::Denied, text)
    }
}

/// What is said of stored arguments becomes part of a key in the job's store.
fn check_arguments(arguments: &Arguments) -> Result<(), Error> {
    let Arguments::Parts(parts) = arguments else { return Ok(()) };
    let is_digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    let is_hash = |text: &str| text.len() == HASH_DIGITS && text.bytes().all(is_digit);
    for part in parts {
        if let Argument::Stored { content: Some(content), .. } = part
            && !is_hash(content)
        {
            let text = "the hash of a stored argument is not 64 lower-case hexadecimal digits";
            return Err(Error::new(ErrorKind::Invalid, text));
        }
    }
    Ok(())
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holder")
            .field("tenant", &self.member.name)
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(tally) = self.member.jobs.end(self.job) {
            let ticket = self.ticket.as_deref();
            let who = Who { tenant: &self.member.name, ticket, way: self.way };
            self.audit.ended(who, &self.of, &tally);
        }
    }
}

#[cfg(test)]
mod tests;

//! Whose batch begins next. Each tenant has a lane; where a host knows none there is one.
//!
//! A free slot goes to the tenant whose tasks hold the fewest; among those that hold as many, to the
//! one that was served longest ago. Within a lane the deepest batch goes first: somebody waits for
//! it.

use std::collections::{BTreeMap, VecDeque};

use super::Request;

/// Tasks that may be without a slot at the same moment, in the middle of their work, so that others have
/// their share. Each keeps its instance and its memory.
pub const PAUSED_MAX: usize = 32;

/// The lanes of all tenants.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<String, Lane>,
    /// Slots that were given away so far.
    served: u64,
    paused: usize,
    /// Batches that wait for something elsewhere, and have no slot because another tenant wants it.
    resting: usize,
}

/// The batches of one tenant.
#[derive(Default)]
struct Lane {
    /// By depth.
    levels: Vec<Level>,
    /// Batches under way that neither wait nor stand still.
    computing: usize,
    /// Batches that stand still.
    paused: usize,
    /// When it was given a slot last.
    served: u64,
    /// Batches under way at most.
    tasks_max: Option<usize>,
}

/// The batches of one depth.
#[derive(Default)]
struct Level {
    queue: VecDeque<Request>,
    /// Batches under way, also those that wait.
    running: usize,
}

/// What a free slot is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// The next batch of a tenant, of this depth.
    Begin(String, usize),
    /// A batch of a tenant that stands still.
    Resume(String),
}

// === impl Lanes ===

impl Lanes {
    pub(super) fn push(&mut self, request: Request) {
        let depth = request.batch.depth as usize;
        let payer = &request.batch.payer;
        let lane = match self.lanes.get_mut(payer.tenant()) {
            Some(lane) => lane,
            None => self.lanes.entry(payer.tenant().to_owned()).or_default(),
        };
        lane.tasks_max = payer.account().map(|account| account.tasks_max());
        if lane.levels.len() <= depth {
            lane.levels.resize_with(depth + 1, Level::default);
        }
        lane.levels[depth].queue.push_back(request);
    }

    /// What the next free slot is for.
    pub(super) fn next(&self, slots: usize) -> Option<Next> {
        let wanting = self.lanes.iter().filter(|(_, lane)| lane.wants(slots));
        let (tenant, lane) = wanting.min_by_key(|(_, lane)| (lane.computing, lane.served))?;
        Some(match lane.paused > 0 {
            // It began before those that have not.
            true => Next::Resume(tenant.clone()),
            false => Next::Begin(tenant.clone(), lane.depth_to_begin(slots)?),
        })
    }

    /// Takes the batch that [`next`](Self::next) named.
    pub(super) fn begin(&mut self, tenant: &str, depth: usize) -> Option<Request> {
        self.served += 1;
        let lane = self.lanes.get_mut(tenant)?;
        let level = lane.levels.get_mut(depth)?;
        let request = level.queue.pop_front()?;
        level.running += 1;
        lane.computing += 1;
        lane.served = self.served;
        Some(request)
    }

    /// A batch that computed has ended.
    pub(super) fn end(&mut self, tenant: &str, depth: usize) {
        let Some(lane) = self.lanes.get_mut(tenant) else { return };
        lane.computing -= 1;
        lane.levels[depth].running -= 1;
        if lane.is_idle() {
            self.lanes.remove(tenant);
        }
    }

    /// A batch that computed waits for a nested job, or does so no longer.
    pub(super) fn waits(&mut self, tenant: &str, waits: bool) {
        let Some(lane) = self.lanes.get_mut(tenant) else { return };
        match waits {
            true => lane.computing -= 1,
            false => lane.computing += 1,
        }
    }

    /// Whether a batch of this tenant has to stand still, because another tenant holds fewer slots
    /// than it and wants one.
    pub(super) fn owes(&self, tenant: &str, slots: usize) -> bool {
        if self.lanes.len() < 2 || self.is_full() {
            return false;
        }
        let own = self.lanes.get(tenant).map_or(0, |lane| lane.computing);
        let is_owed = |lane: &Lane| lane.computing < own && lane.wants(slots);
        self.lanes.iter().any(|(name, lane)| name != tenant && is_owed(lane))
    }

    fn is_full(&self) -> bool {
        self.paused + self.resting >= PAUSED_MAX
    }

    /// A batch that waits for something elsewhere has no slot any more, if another tenant wants it. Says
    /// whether that is so.
    pub(super) fn rest(&mut self, tenant: &str, slots: usize) -> bool {
        if self.lanes.len() < 2 || self.is_full() {
            return false;
        }
        let wants = |(name, lane): (&String, &Lane)| name != tenant && lane.wants(slots);
        let is_wanted = self.lanes.iter().any(wants);
        if is_wanted {
            self.resting += 1;
            self.waits(tenant, true);
        }
        is_wanted
    }

    /// A batch that had no slot while it waited goes on.
    pub(super) fn wake(&mut self, tenant: &str) {
        self.resting -= 1;
        self.waits(tenant, false);
    }

    /// Whether another tenant holds more slots than this one.
    pub(super) fn is_owed(&self, tenant: &str) -> bool {
        let own = self.lanes.get(tenant).map_or(0, |lane| lane.computing);
        let holds_more = |(name, lane): (&String, &Lane)| name != tenant && lane.computing > own;
        self.lanes.len() > 1 && self.lanes.iter().any(holds_more)
    }

    /// A batch stands still.
    pub(super) fn pause(&mut self, tenant: &str) {
        let Some(lane) = self.lanes.get_mut(tenant) else { return };
        lane.computing -= 1;
        lane.paused += 1;
        self.paused += 1;
    }

    /// A batch that stood still goes on.
    pub(super) fn resume(&mut self, tenant: &str) {
        self.served += 1;
        let Some(lane) = self.lanes.get_mut(tenant) else { return };
        lane.computing += 1;
        lane.paused -= 1;
        lane.served = self.served;
        self.paused -= 1;
    }

    /// Drops what has not begun.
    pub(super) fn clear(&mut self) {
        let levels = self.lanes.values_mut().flat_map(|lane| &mut lane.levels);
        levels.for_each(|level| level.queue.clear());
    }
}

// === impl Lane ===

impl Lane {
    /// Whether it has something for a slot.
    fn wants(&self, slots: usize) -> bool {
        self.paused > 0 || self.depth_to_begin(slots).is_some()
    }

    /// The depth of the batch that is to begin next, if one may.
    fn depth_to_begin(&self, slots: usize) -> Option<usize> {
        let running: usize = self.levels.iter().map(|level| level.running).sum();
        if self.tasks_max.is_some_and(|most| running >= most) {
            return None;
        }
        let may_begin = |level: &Level| !level.queue.is_empty() && level.running < slots;
        self.levels.iter().rposition(may_begin)
    }

    fn is_idle(&self) -> bool {
        self.levels.iter().all(|level| level.running == 0 && level.queue.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use samara_core::{Account, Batch, Cancel, Observer, Reports, SystemClock, Usage};

    use super::*;
    use crate::local::Pending;
    use crate::local::tests::batch;

    #[derive(Debug)]
    struct Tenant(&'static str);

    impl Account for Tenant {
        fn tenant(&self) -> &str {
            self.0
        }

        fn tasks_max(&self) -> usize {
            usize::MAX
        }

        fn memory_max(&self) -> u64 {
            u64::MAX
        }

        fn take_memory(&self, _: u64) -> bool {
            true
        }

        fn give_back_memory(&self, _: u64) {}

        fn spent(&self, _: Usage) {}
    }

    #[derive(Debug)]
    struct Nobody;

    impl Observer for Nobody {
        fn ended(&self, _: Reports) {}
    }

    fn request(tenant: &'static str) -> Request {
        let payer: Arc<dyn Account> = Arc::new(Tenant(tenant));
        let batch = Arc::new(Batch { payer: payer.into(), ..(*batch(0..1)).clone() });
        let (unsent, clock, observer) =
            (Mutex::default(), Arc::new(SystemClock::new()) as _, Arc::new(Nobody) as _);
        let (done, _) = tokio::sync::oneshot::channel();
        let pending = Arc::new(Pending { unsent, clock, observer });
        Request { batch, cancel: Cancel::default(), pending, done }
    }

    #[test]
    fn no_more_than_a_bound_stand_still() {
        const SLOTS: usize = 3 * PAUSED_MAX;
        let mut lanes = Lanes::default();
        for _ in 0..SLOTS {
            lanes.push(request("flood"));
            assert!(lanes.begin("flood", 0).is_some());
        }
        assert!(!lanes.owes("flood", SLOTS), "nobody else is there");
        for tenant in ["one", "other"] {
            (0..SLOTS).for_each(|_| lanes.push(request(tenant)));
        }
        let mut stood = 0;
        while lanes.owes("flood", SLOTS) {
            lanes.pause("flood");
            stood += 1;
            let Some(Next::Begin(tenant, depth)) = lanes.next(SLOTS) else { panic!("who is owed") };
            assert!(tenant != "flood" && lanes.begin(&tenant, depth).is_some());
        }
        // A fair share for three would be twice as many.
        assert_eq!(stood, PAUSED_MAX);
        lanes.end("one", 0);
        assert_eq!(lanes.next(SLOTS), Some(Next::Begin("one".to_owned(), 0)));
        lanes.resume("flood");
        assert!(lanes.owes("flood", SLOTS), "there is room for one more");
    }
}

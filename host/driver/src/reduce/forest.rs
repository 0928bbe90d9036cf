//! The shape in which values are combined: of each group a tree of neighbours, level by level.
//!
//! The shape depends on the groups' sizes alone, never on the order in which values come, so that
//! the same inputs give the same value, also with floating-point numbers.

use std::collections::BTreeMap;

use samara_core::Argument;

/// Values that one task combines. More make a tree flatter and its tasks longer; fewer let more of
/// them run beside the maps.
pub(super) const FAN_IN: usize = 8;

/// Where a value belongs: tree, level (0 is the maps'), position in the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    tree: usize,
    level: u32,
    index: usize,
}

/// Trees whose leaves are the maps' values, one group after the other.
#[derive(Debug)]
pub(super) struct Forest {
    /// Number of each tree's first leaf.
    firsts: Vec<usize>,
    /// Leaves of each tree; none while more may come.
    sizes: Vec<Option<usize>>,
    /// Values that wait for their neighbours; none stands for one that was left out.
    waiting: BTreeMap<Place, Option<Argument>>,
    roots: Vec<Option<Option<Argument>>>,
    rootless: usize,
    ready: Vec<(Place, Vec<Argument>)>,
    leaves: usize,
}

// === impl Forest ===

impl Forest {
    /// One tree of as many leaves as will come.
    pub(super) fn one() -> Self {
        Self::new(vec![0], vec![None])
    }

    /// A tree for each group.
    pub(super) fn of(sizes: &[usize]) -> Self {
        let mut next = 0;
        let first = |size: &usize| {
            next += size;
            next - size
        };
        let firsts = sizes.iter().map(first).collect();
        let mut forest = Self::new(firsts, sizes.iter().copied().map(Some).collect());
        for tree in (0..sizes.len()).filter(|tree| sizes[*tree] == 0) {
            forest.set_root(tree, None);
        }
        forest
    }

    fn new(firsts: Vec<usize>, sizes: Vec<Option<usize>>) -> Self {
        let trees = sizes.len();
        Self {
            firsts,
            sizes,
            waiting: BTreeMap::new(),
            roots: vec![None; trees],
            rootless: trees,
            ready: Vec::new(),
            leaves: 0,
        }
    }

    /// Enters a map's value; none leaves it out.
    pub(super) fn put_leaf(&mut self, index: usize, value: Option<Argument>) {
        self.leaves = self.leaves.max(index + 1);
        let Some(tree) = self.firsts.partition_point(|first| *first <= index).checked_sub(1) else {
            return;
        };
        let index = index - self.firsts[tree];
        self.put(Place { tree, level: 0, index }, value);
    }

    /// No more leaves come: groups that lack members for ever are as complete as they will be.
    pub(super) fn close(&mut self) {
        for tree in 0..self.sizes.len() {
            if self.sizes[tree].is_some() {
                continue;
            }
            self.sizes[tree] = Some(self.leaves);
            if self.leaves == 0 {
                self.set_root(tree, None);
                continue;
            }
            let mut level = 0;
            while let Some(last) = self.width(tree, level).and_then(|width| width.checked_sub(1)) {
                self.look(Place { tree, level, index: last });
                if last == 0 {
                    break;
                }
                level += 1;
            }
        }
    }

    /// Enters a value; where it completes a group, the group is ready to be combined.
    pub(super) fn put(&mut self, place: Place, value: Option<Argument>) {
        self.waiting.insert(place, value);
        self.look(place);
    }

    /// The groups that became ready: where their value belongs, and the values in order.
    pub(super) fn take_ready(&mut self) -> Vec<(Place, Vec<Argument>)> {
        std::mem::take(&mut self.ready)
    }

    /// The value of each tree, once all are there.
    pub(super) fn roots(&mut self) -> Option<Vec<Option<Argument>>> {
        (self.rootless == 0)
            .then(|| self.roots.iter_mut().map(|root| root.take().flatten()).collect())
    }

    /// Whether the group of `place` is complete; then it moves up.
    fn look(&mut self, place: Place) {
        let Place { tree, level, index } = place;
        let width = self.width(tree, level);
        if width == Some(1) {
            if let Some(value) = self.waiting.remove(&place) {
                self.set_root(tree, value);
            }
            return;
        }
        let start = index / FAN_IN * FAN_IN;
        let end = width.map_or(start + FAN_IN, |width| width.min(start + FAN_IN));
        let at = |index| Place { tree, level, index };
        if self.waiting.range(at(start)..at(end)).count() < end - start {
            return;
        }
        let members: Vec<Option<Argument>> =
            (start..end).filter_map(|index| self.waiting.remove(&at(index))).collect();
        let above = Place { tree, level: level + 1, index: index / FAN_IN };
        let mut values: Vec<Argument> = members.into_iter().flatten().collect();
        match values.len() {
            // A value alone goes up as it is.
            0 | 1 => self.put(above, values.pop()),
            _ => self.ready.push((above, values)),
        }
    }

    /// Values of a level; none while more leaves may come.
    fn width(&self, tree: usize, level: u32) -> Option<usize> {
        let mut width = self.sizes[tree]?;
        for _ in 0..level {
            width = width.div_ceil(FAN_IN);
        }
        Some(width)
    }

    fn set_root(&mut self, tree: usize, value: Option<Argument>) {
        if self.roots[tree].is_none() {
            self.rootless -= 1;
        }
        self.roots[tree] = Some(value);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn text(text: String) -> Argument {
        Argument::Inline(Bytes::from(text))
    }

    fn read(value: &Argument) -> String {
        let Argument::Inline(bytes) = value else { panic!("{value:?}") };
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// Combines numbers by writing their group down, so that a tree's shape can be read.
    fn run(forest: &mut Forest, leaves: impl IntoIterator<Item = usize>) -> (Vec<String>, usize) {
        leaves.into_iter().for_each(|leaf| forest.put_leaf(leaf, Some(text(leaf.to_string()))));
        forest.close();
        let mut tasks = 0;
        loop {
            let ready = forest.take_ready();
            if ready.is_empty() {
                break;
            }
            for (place, values) in ready {
                tasks += 1;
                let parts: Vec<String> = values.iter().map(read).collect();
                forest.put(place, Some(text(format!("({})", parts.join(" ")))));
            }
        }
        let roots = forest.roots().expect("complete");
        (roots.iter().map(|root| root.as_ref().map(read).unwrap_or_default()).collect(), tasks)
    }

    #[test]
    fn every_number_of_values_comes_to_one_in_their_order() {
        for count in 2..600 {
            let (roots, tasks) = run(&mut Forest::one(), 0..count);
            let flat = roots[0].replace(['(', ')'], "");
            let wanted: Vec<String> = (0..count).map(|n| n.to_string()).collect();
            assert_eq!(flat, wanted.join(" "), "{count} values");
            assert!(tasks >= (count - 1).div_ceil(FAN_IN - 1) && tasks < count, "{count}: {tasks}");
        }
    }

    #[test]
    fn no_value_and_one_value_need_no_task() {
        assert_eq!(run(&mut Forest::one(), []), (vec![String::new()], 0));
        assert_eq!(run(&mut Forest::one(), [0]), (vec!["0".to_owned()], 0));
    }

    #[test]
    fn the_shape_does_not_depend_on_the_order_or_on_knowing_the_number() {
        for count in [2, 7, 8, 9, 63, 64, 65, 72, 73, 100, 513] {
            let straight = run(&mut Forest::one(), 0..count);
            assert_eq!(straight, run(&mut Forest::one(), (0..count).rev()), "{count}");
            assert_eq!(straight, run(&mut Forest::of(&[count]), 0..count), "{count}");
        }
    }

    #[test]
    fn each_group_has_its_own_value() {
        let (roots, _) = run(&mut Forest::of(&[2, 0, 1, 9]), (0..12).rev());
        assert_eq!(roots, ["(0 1)", "", "2", "((3 4 5 6 7 8 9 10) 11)"]);
    }

    #[test]
    fn values_that_are_left_out_leave_the_rest() {
        let mut forest = Forest::of(&[3, 1]);
        forest.put_leaf(0, Some(text("a".to_owned())));
        forest.put_leaf(1, None);
        forest.put_leaf(2, None);
        forest.put_leaf(3, None);
        assert!(forest.take_ready().is_empty());
        let roots = forest.roots().unwrap();
        assert_eq!((roots[0].as_ref().map(read), roots[1].as_ref()), (Some("a".to_owned()), None));
    }

    #[test]
    fn groups_are_combined_before_all_values_are_there() {
        let mut forest = Forest::one();
        (0..FAN_IN).for_each(|leaf| forest.put_leaf(leaf, Some(text(leaf.to_string()))));
        assert_eq!(forest.take_ready().len(), 1);
    }
}

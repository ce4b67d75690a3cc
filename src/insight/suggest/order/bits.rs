//! Small sets of numbers.

/// A set of numbers below a limit that is given when it is made. Two sets are compared only with others of the same limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bits(Box<[u64]>);

impl Bits {
    /// The empty set of numbers below `limit`.
    pub fn new(limit: usize) -> Self {
        Self(vec![0; limit.div_ceil(64)].into())
    }

    /// Adds a number; one that is not below the limit is left out.
    pub fn insert(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    /// The same with one more.
    #[must_use]
    pub fn with(&self, at: usize) -> Self {
        let mut out = self.clone();
        out.insert(at);
        out
    }

    /// The same without one.
    #[must_use]
    pub fn without(&self, at: usize) -> Self {
        let mut out = self.clone();
        if let Some(word) = out.0.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
        out
    }

    /// Whether a number is in it.
    pub fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Whether all of another set are in it.
    pub fn has_all(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| other & !own == 0)
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own |= other;
        }
    }

    /// What both have together.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.extend(other);
        out
    }

    /// The numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.iter_with(self)
    }

    /// The numbers that are in either set, in order.
    pub fn iter_with<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        self.0.iter().zip(&other.0).enumerate().flat_map(|(at, (own, other))| {
            let mut rest = *own | *other;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros() as usize;
                (rest != 0).then(|| {
                    rest &= rest - 1;
                    at * 64 + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_in_and_come_out_in_order() {
        let mut set = Bits::new(130);
        [129, 0, 64, 63, 4000].into_iter().for_each(|at| set.insert(at));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert!(set.has(64) && !set.has(65) && !set.has(4000));
        assert!(set.has_all(&Bits::new(130).with(0).with(129)) && !Bits::new(130).with(0).has_all(&set));
        assert_eq!(set.without(63).without(7).iter().count(), 3);
    }
}

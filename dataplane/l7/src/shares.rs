//! Requests of a route with several backends, each by its share.

/// Whose turn it is among weighted backends: smoothly, as nginx does among servers, so that of weights 5, 1 and 1 the
/// heavy one does not get five requests in a row. Each gains its weight a turn, and who is ahead pays for all.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    /// By backend; their sum is 0.
    gained: Vec<i64>,
}

impl Shares {
    /// The place of the next backend; `None` where no weight is above 0.
    pub(crate) fn next(&mut self, weights: impl ExactSizeIterator<Item = u32>) -> Option<usize> {
        if self.gained.len() != weights.len() {
            self.gained = vec![0; weights.len()];
        }
        let (mut all, mut best): (i64, Option<usize>) = (0, None);
        for (place, weight) in weights.enumerate().filter(|(_, weight)| *weight > 0) {
            all += i64::from(weight);
            self.gained[place] += i64::from(weight);
            if best.is_none_or(|best| self.gained[place] > self.gained[best]) {
                best = Some(place);
            }
        }
        self.gained[best?] -= all;
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Shares;

    fn turns(weights: &[u32], count: usize) -> Vec<usize> {
        let mut shares = Shares::default();
        (0..count)
            .filter_map(|_| shares.next(weights.iter().copied()))
            .collect()
    }

    #[test]
    fn shares_are_smooth() {
        assert_eq!(turns(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns(&[0, 3], 3), [1, 1, 1]);
        assert!(turns(&[0, 0], 3).is_empty() && turns(&[], 3).is_empty());
    }

    proptest! {
        /// After as many turns as the weights' sum each has had exactly its share, and on the way none is more than
        /// one request ahead or behind for each backend.
        #[test]
        fn each_gets_its_share(weights in prop::collection::vec(0_u32..20, 1..6)) {
            let sum: u32 = weights.iter().sum();
            let turns = turns(&weights, sum as usize);
            let mut had = vec![0_u32; weights.len()];
            for (turn, place) in turns.iter().enumerate() {
                had[*place] += 1;
                for (had, weight) in had.iter().zip(&weights) {
                    let due = f64::from(*weight) * (turn + 1) as f64 / f64::from(sum);
                    prop_assert!((f64::from(*had) - due).abs() <= weights.len() as f64);
                }
            }
            prop_assert_eq!(had, weights);
        }
    }
}

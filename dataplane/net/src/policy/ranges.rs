//! Sets of ports: sorted ranges of [port keys](super::ports::port_key) that neither meet nor overlap.

/// First and last.
pub(super) type Range = (u32, u32);

/// Sorts ranges and joins those that meet or overlap.
pub(super) fn normalize(ranges: &mut Vec<Range>) {
    ranges.sort_unstable();
    let mut kept = 0;
    for i in 0..ranges.len() {
        let (first, last) = ranges[i];
        if i > 0 && first <= ranges[kept].1.saturating_add(1) {
            ranges[kept].1 = ranges[kept].1.max(last);
        } else {
            kept += usize::from(i > 0);
            ranges[kept] = (first, last);
        }
    }
    ranges.truncate(kept + 1);
}

/// What is in either.
pub(super) fn union(a: &[Range], b: &[Range]) -> Vec<Range> {
    let (mut i, mut j) = (0, 0);
    let mut either: Vec<Range> = Vec::with_capacity(a.len() + b.len());
    loop {
        let next = match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) if x <= y => (*x, &mut i),
            (_, Some(y)) => (*y, &mut j),
            (Some(x), None) => (*x, &mut i),
            (None, None) => return either,
        };
        let (range, taken) = next;
        *taken += 1;
        match either.last_mut() {
            Some(last) if range.0 <= last.1.saturating_add(1) => last.1 = last.1.max(range.1),
            _ => either.push(range),
        }
    }
}

/// What is in both.
pub(super) fn intersection(a: &[Range], b: &[Range]) -> Vec<Range> {
    let (mut i, mut j) = (0, 0);
    let mut common = Vec::new();
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let (first, last) = (x.0.max(y.0), x.1.min(y.1));
        if first <= last {
            common.push((first, last));
        }
        if x.1 < y.1 {
            i += 1;
        } else {
            j += 1;
        }
    }
    common
}

/// What is in `a` and not in `b`.
pub(super) fn difference(a: &[Range], b: &[Range]) -> Vec<Range> {
    let mut left = Vec::new();
    let mut taken = b.iter().peekable();
    for (first, last) in a {
        let mut first = *first;
        while taken.next_if(|t| t.1 < first).is_some() {}
        for t in taken.clone().take_while(|t| t.0 <= *last) {
            if first < t.0 {
                left.push((first, t.0 - 1));
            }
            first = t.1.saturating_add(1);
        }
        if first <= *last {
            left.push((first, *last));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges() -> impl Strategy<Value = Vec<Range>> {
        proptest::collection::vec((0_u32..64, 0_u32..12), 0..10).prop_map(|all| {
            let mut ranges = all
                .into_iter()
                .map(|(first, more)| (first, first + more))
                .collect();
            normalize(&mut ranges);
            ranges
        })
    }

    fn holds(ranges: &[Range], key: u32) -> bool {
        ranges.iter().any(|(first, last)| (*first..=*last).contains(&key))
    }

    fn is_normal(ranges: &[Range]) -> bool {
        ranges.iter().all(|r| r.0 <= r.1) && ranges.windows(2).all(|w| w[0].1 + 1 < w[1].0)
    }

    proptest! {
        #[test]
        fn algebra_holds_key_by_key(a in ranges(), b in ranges()) {
            let (either, both, left) = (union(&a, &b), intersection(&a, &b), difference(&a, &b));
            prop_assert!(is_normal(&a) && is_normal(&either) && is_normal(&both) && is_normal(&left));
            for key in 0..80 {
                let (in_a, in_b) = (holds(&a, key), holds(&b, key));
                prop_assert_eq!(holds(&either, key), in_a || in_b);
                prop_assert_eq!(holds(&both, key), in_a && in_b);
                prop_assert_eq!(holds(&left, key), in_a && !in_b);
            }
        }
    }
}

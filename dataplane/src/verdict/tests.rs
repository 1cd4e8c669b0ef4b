use std::collections::HashSet;

use headgate_ring::message::Direction;

use super::{Answer, Counters, Denials, Kernel, Reason, Verdict};

/// The position in `ALL` is the discriminant, which indexes the counters.
#[test]
fn lists_are_complete_and_in_order() {
    assert!(Reason::ALL.iter().enumerate().all(|(i, r)| *r as usize == i));
    assert!(Kernel::ALL.iter().enumerate().all(|(i, k)| *k as usize == i));
    assert!(Answer::ALL.iter().enumerate().all(|(i, a)| *a as usize == i));
    assert_eq!(
        Reason::ALL.map(Reason::name).iter().collect::<HashSet<_>>().len(),
        Reason::ALL.len()
    );
}

#[test]
fn each_ending_counts_once() {
    let mut counters = Counters::default();
    assert_eq!(counters.drop(Reason::NoFlow), Verdict::Drop(Reason::NoFlow));
    assert_eq!(counters.kernel(Kernel::Fragment), Verdict::ToKernel);
    assert_eq!(counters.answer(Answer::Echo), Verdict::Reply);
    assert_eq!(counters.dropped(Reason::NoFlow), 1);
    assert_eq!(counters.dropped(Reason::Denied), 0);
    assert_eq!(counters.to_kernel(Kernel::Fragment), 1);
    assert_eq!(counters.answered(Answer::Echo), 1);
}

#[test]
fn denials_outlive_a_renumbering() {
    let mut denials = Denials::default();
    denials.renumber([(0, "a/x", Direction::Ingress), (1, "a/y", Direction::Ingress)].into_iter());
    denials.count(1);
    // Indices have gaps, and need not be in the order of the names.
    denials.renumber([(3, "a/y", Direction::Ingress), (1, "a/z", Direction::Egress)].into_iter());
    denials.count(3);
    denials.count(1);
    denials.count(0);
    denials.count(7);
    let counts: Vec<_> = denials.iter().map(|(name, _, n)| (name, n)).collect();
    assert_eq!(counts, [("a/x", 0), ("a/y", 2), ("a/z", 1)]);
}

#[test]
fn denials_keep_their_policies_through_any_change() {
    const NAMES: [&str; 6] = ["a/a", "a/b", "b/a", "b/b", "c/a", "c/b"];
    let mut denials = Denials::default();
    let mut expected = std::collections::BTreeMap::new();
    for round in 0..64_usize {
        // Each round another subset is in force, in the order of the names.
        let chosen = NAMES
            .iter()
            .enumerate()
            .filter(|(i, _)| (round * 37) >> i & 1 == 1);
        let policies: Vec<_> = chosen
            .flat_map(|(_, name)| [(*name, Direction::Ingress), (*name, Direction::Egress)])
            .collect();
        let mut policies = policies;
        policies.sort_unstable();
        denials.renumber(
            (0..)
                .zip(&policies)
                .map(|(i, (name, direction))| (i, *name, *direction)),
        );
        for (index, policy) in policies.iter().enumerate() {
            denials.count(index);
            *expected.entry(*policy).or_insert(0) += 1;
        }
        let told: Vec<_> = denials.iter().collect();
        let expected: Vec<_> = expected.iter().map(|((p, d), n)| (*p, *d, *n)).collect();
        assert_eq!(told, expected);
    }
}

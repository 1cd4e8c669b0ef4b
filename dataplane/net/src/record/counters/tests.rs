use std::collections::HashSet;

use headgate_ring::message::Direction;

use super::{Counters, Denials};
use crate::counted::Id;
use crate::verdict::{Answer, Kernel, Reason, Verdict};

/// The position in the list is the discriminant, which indexes the counters.
#[test]
fn lists_are_complete_and_in_order() {
    fn check<I: Id + std::fmt::Debug>() {
        assert!(I::all().iter().enumerate().all(|(i, id)| id.index() == i));
        let names: HashSet<_> = I::all().iter().map(|id| id.name()).collect();
        assert_eq!(names.len(), I::all().len());
    }
    check::<Reason>();
    check::<Kernel>();
    check::<Answer>();
}

#[test]
fn each_ending_counts_once() {
    let counters = Counters::default();
    assert_eq!(counters.drop(Reason::NoFlow), Verdict::Drop(Reason::NoFlow));
    assert_eq!(counters.kernel(Kernel::Fragment), Verdict::ToKernel);
    assert_eq!(counters.answer(Answer::Echo), Verdict::Reply);
    assert_eq!(counters.dropped(Reason::NoFlow), 1);
    assert_eq!(counters.dropped(Reason::Denied), 0);
    assert_eq!(counters.to_kernel(Kernel::Fragment), 1);
    assert_eq!(counters.answered(Answer::Echo), 1);
}

/// Policies by their indices; those that are `None` are gone.
type State<'a> = &'a [Option<(&'a str, Direction)>];

fn count(denials: &mut Denials, publication: u64, state: State<'_>, index: usize) {
    denials.count(publication, index, || state.get(index).copied().flatten());
}

/// `a/x`, `y` and `a/x` again, whatever their indices are.
#[test]
fn denials_outlive_a_change_of_indices() {
    const IN: Direction = Direction::Ingress;
    let mut denials = Denials::default();
    let first: State<'_> = &[Some(("a/x", IN)), Some(("y", IN))];
    count(&mut denials, 1, first, 1);
    count(&mut denials, 1, first, 1);
    count(&mut denials, 1, first, 0);
    let second: State<'_> = &[None, Some(("a/x", IN)), None, Some(("y", Direction::Egress))];
    count(&mut denials, 2, second, 1);
    count(&mut denials, 2, second, 3);
    count(&mut denials, 2, second, 0);
    count(&mut denials, 2, second, 7);
    // Renamed: another policy at the same index.
    count(&mut denials, 3, &[None, Some(("a/z", IN))], 1);
    let counts: Vec<_> = denials.iter().collect();
    assert_eq!(
        counts,
        [
            ("y", IN, 2),
            ("a/x", IN, 2),
            ("y", Direction::Egress, 1),
            ("a/z", IN, 1)
        ]
    );
}

#[test]
fn a_known_policy_is_not_asked_for_its_name_again() {
    let mut denials = Denials::default();
    count(&mut denials, 1, &[Some(("a/x", Direction::Ingress))], 0);
    for _ in 0..9 {
        denials.count(1, 0, || panic!("it is known"));
    }
    assert_eq!(denials.iter().next(), Some(("a/x", Direction::Ingress, 10)));
}

#[test]
fn denials_keep_their_policies_through_any_change() {
    let mut denials = Denials::default();
    let mut expected = std::collections::BTreeMap::new();
    let names: Vec<String> = (0..200).map(|n| format!("namespace/policy-{n}")).collect();
    for round in 1..64_usize {
        // Each round another subset is in force, at other indices, many of which share their low bits.
        let policy = |index: usize| {
            let name = &names[(index * round) % names.len()];
            let direction = if index.is_multiple_of(2) {
                Direction::Ingress
            } else {
                Direction::Egress
            };
            (index % 7 != round % 7).then_some((name.as_str(), direction))
        };
        let state: Vec<_> = (0..500).map(policy).collect();
        for index in (0..500).step_by(round).chain(0..500) {
            count(&mut denials, round as u64, &state, index);
            if let Some(policy) = state[index] {
                *expected.entry((policy.0.to_owned(), policy.1)).or_insert(0) += 1;
            }
        }
    }
    let told: std::collections::BTreeMap<_, _> = denials
        .iter()
        .map(|(name, direction, n)| ((name.to_owned(), direction), n))
        .collect();
    assert_eq!(told, expected);
}

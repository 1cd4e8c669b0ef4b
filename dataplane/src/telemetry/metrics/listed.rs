//! Lists of what is counted as families of metrics.

use headgate_net::record::{Id, Snapshot};

use super::family::{Family, FamilyKind, LabelText, Value};

/// A family for each metric of a list, with what labels it; `by` is the label of the variants that share one.
pub(super) fn listed<I: Id>(
    kind: FamilyKind,
    labels: &[&'static str],
    by: Option<&'static str>,
    sets: &[(LabelText, &Snapshot<I>)],
) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    let all: Vec<_> = labels.iter().copied().chain(by).collect();
    for id in I::all() {
        let kind = if id.is_gauge() { FamilyKind::Gauge } else { kind };
        let new = Family::new(id.metric(), kind, id.help(), &all);
        let place = families.iter().position(|family| family.name == new.name);
        let place = place.unwrap_or_else(|| {
            families.push(new);
            families.len() - 1
        });
        let by = by.map(|by| (by, id.value()));
        for (labels, snapshot) in sets {
            families[place].push(labels, by, Value::Integer(snapshot[*id]));
        }
    }
    families
}

/// One list of each of several things.
pub(super) fn each<'a, T, I>(
    labelled: &[(LabelText, &'a T)],
    of: impl Fn(&'a T) -> &'a Snapshot<I>,
) -> Vec<(LabelText, &'a Snapshot<I>)> {
    let set = |(labels, thing): &(LabelText, &'a T)| (labels.clone(), of(thing));
    labelled.iter().map(set).collect()
}

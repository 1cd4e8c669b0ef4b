//! Who, why and by which rule.

use super::super::explain::{Explainer, States};
use super::*;

struct World {
    states: States,
    explainer: Explainer,
}

impl World {
    fn new() -> Self {
        let mut states = States::default();
        states.see(&Arc::new(tables(objects(), 1, None).1));
        Self {
            states,
            explainer: Explainer::default(),
        }
    }

    fn explain(&mut self, record: &Record) -> Flow {
        let time = "now".to_owned();
        self.explainer.explain(record, &self.states, time, 5, 1).unwrap()
    }
}

#[test]
fn a_denial_says_whom_and_by_which_policy() {
    let mut world = World::new();
    let flow = world.explain(&record(
        "192.0.2.200:40000",
        "10.244.1.10:8080",
        Event::FlowDenied,
    ));
    let line = serde_json::to_string(&flow).unwrap();
    assert_eq!(
        line,
        concat!(
            r#"{"type":"flow","time":"now","verdict":"denied","event":"new","layer":"L4","protocol":"TCP","#,
            r#""source":{"address":"192.0.2.200","port":40000,"namespace":null,"pod":null,"node":null,"others":0,"#,
            r#""labels":{}},"frontend":{"address":"198.51.100.10","port":80},"#,
            r#""destination":{"address":"10.244.1.10","port":8080,"namespace":"shop","pod":"web-1","node":null,"#,
            r#""others":0,"labels":{"app":"web","note":"a \"b\"\n"}},"#,
            r#""denied_by":"ingress","policies":["shop/web"],"reason":"no-rule-matches","egress":null,"#,
            r#""ingress":{"allowed":false,"policy":"shop/web","tier":"NetworkPolicy","rule":null,"rule_name":null,"#,
            r#""reason":"no-rule-matches"},"policies_changed":false,"publication":1,"worker":5,"count":1,"sample":1}"#
        )
    );
    let Line::Flow(parsed) = serde_json::from_str(&line).unwrap() else {
        panic!("{line}");
    };
    assert_eq!(*parsed, flow);
}

/// Whoever adds a field says what it means.
#[test]
fn every_field_is_documented() {
    const PAGE: &str = include_str!("../../../../../docs/flow-log.md");
    fn check(value: &serde_json::Value) {
        for (name, inner) in value.as_object().into_iter().flatten() {
            let told = PAGE.lines().any(|line| {
                let mut cells = line.split('|').skip(1);
                let first = cells.next().unwrap_or_default();
                first.split(',').any(|field| field.trim() == format!("`{name}`"))
            });
            assert!(told, "docs/flow-log.md has no row for `{name}`");
            if !matches!(name.as_str(), "labels" | "frontend") {
                check(inner);
            }
        }
    }
    let mut world = World::new();
    let flow = world.explain(&record("192.0.2.200:1", "10.244.1.10:8080", Event::FlowDenied));
    check(&serde_json::to_value(&flow).unwrap());
    let lost = Lost {
        time: "now".into(),
        reason: Loss::Rate,
        count: 1,
    };
    check(&serde_json::to_value(&lost).unwrap());
}

#[test]
fn the_rule_that_decides_is_named() {
    let mut world = World::new();
    let flow = world.explain(&record("192.0.2.7:1", "10.244.1.10:8080", Event::FlowAllowed));
    let word = flow.ingress.unwrap();
    assert_eq!((word.rule, word.reason), (Some(3), Reason::AcceptRule));
    assert_eq!(
        (flow.reason, &flow.policies[..]),
        (Reason::AcceptRule, &["shop/web".to_owned()][..])
    );

    let flow = world.explain(&record("198.18.0.7:1", "10.244.1.11:5432", Event::RequestDenied));
    let word = flow.ingress.unwrap();
    assert_eq!((word.tier, word.rule), (Tier::Admin, Some(0)));
    assert_eq!(word.rule_name.as_deref(), Some("no benchmarks"));
    assert_eq!(
        (flow.reason, flow.denied_by, flow.layer),
        (Reason::DenyRule, Some(Side::Ingress), Layer::L7)
    );

    let flow = world.explain(&record("192.0.2.7:1", "10.244.1.11:5432", Event::FlowAllowed));
    assert_eq!((flow.reason, flow.ingress), (Reason::NoPolicy, None));
    assert!(flow.policies.is_empty());
}

#[test]
fn addresses_that_several_have_are_said_to_be_so() {
    let mut world = World::new();
    let mut who = |client: &str| {
        world
            .explain(&record(client, "10.244.1.10:8080", Event::FlowAllowed))
            .source
    };
    let shared = who("192.0.2.1:1");
    assert_eq!(shared.pod.as_deref(), Some("agent-1"));
    assert_eq!((shared.others, shared.labels.0.len()), (2, 1));
    let node = who("192.0.2.2:1");
    assert_eq!((node.node.as_deref(), node.pod), (Some("node-2"), None));
    let nobody = who("192.0.2.3:1");
    assert_eq!((nobody.node, nobody.pod, nobody.namespace), (None, None, None));
}

/// The objects without the policy that isolates `shop/web-1`.
fn open() -> Vec<Object> {
    let mut objects = objects();
    objects.retain(|object| !matches!(object, Object::Policy(p) if p.name == "shop/web"));
    objects
}

#[test]
fn a_record_of_an_older_state_is_explained_by_that_state() {
    let mut world = World::new();
    let (mut state, first) = tables(objects(), 1, None);
    world.states = States::default();
    world.states.see(&Arc::new(first.clone()));
    let second = tables(open(), 2, Some((&mut state, &first))).1;
    world.states.see(&Arc::new(second));
    let denied = record("192.0.2.200:1", "10.244.1.10:8080", Event::FlowDenied);
    let flow = world.explain(&denied);
    assert_eq!(
        (&flow.policies[..], flow.policies_changed),
        (&["shop/web".to_owned()][..], false)
    );
    // By then it was allowed.
    let allowed = Record {
        publication: 2,
        event: Event::FlowAllowed,
        ..denied
    };
    let flow = world.explain(&allowed);
    assert_eq!((flow.reason, flow.policies_changed), (Reason::NoPolicy, false));
}

#[test]
fn what_cannot_be_known_any_more_is_not_made_up() {
    let mut world = World::new();
    world.states = States::default();
    world.states.see(&Arc::new(tables(open(), 9, None).1));
    let old = Record {
        publication: 4,
        ..record("192.0.2.200:1", "10.244.1.10:8080", Event::FlowDenied)
    };
    let flow = world.explain(&old);
    assert_eq!(
        (flow.verdict, flow.reason, flow.policies_changed),
        (Verdict::Denied, Reason::PoliciesChanged, true)
    );
    assert_eq!((flow.egress, flow.ingress, flow.denied_by), (None, None, None));
    assert!(flow.policies.is_empty());
    // What still holds is told, and that it is of a later state.
    let old = Record {
        client: socket("198.18.0.7:1"),
        ..old
    };
    let flow = world.explain(&old);
    assert_eq!((flow.reason, flow.policies_changed), (Reason::DenyRule, true));
}

#[test]
fn a_change_of_something_else_changes_no_policies() {
    let (mut state, first) = tables(objects(), 1, None);
    let mut services = objects();
    services.remove(0);
    let third = tables(services, 3, Some((&mut state, &first))).1;
    assert!(Arc::ptr_eq(&first.policy, &third.policy));
    let mut world = World::new();
    world.states = States::default();
    world.states.see(&Arc::new(first));
    world.states.see(&Arc::new(third));
    // A publication between the two that the log's thread has not seen.
    let between = Record {
        publication: 2,
        ..record("192.0.2.200:1", "10.244.1.10:8080", Event::FlowDenied)
    };
    let flow = world.explain(&between);
    assert_eq!(
        (flow.reason, flow.policies_changed),
        (Reason::NoRuleMatches, false)
    );
}

#[test]
fn filters() {
    let mut world = World::new();
    let flow = world.explain(&record(
        "192.0.2.200:40000",
        "10.244.1.10:8080",
        Event::FlowDenied,
    ));
    let takes = |text: &str| {
        let query: Query = serde_json::from_str(&format!(r#"{{"filter":{text}}}"#)).unwrap();
        query.filter.takes(&flow)
    };
    for text in [
        "{}",
        r#"{"verdict":"denied"}"#,
        r#"{"from":["192.0.2.128/25"],"to":["shop"]}"#,
        r#"{"from":["10.0.0.0/8","192.0.2.200"]}"#,
        r#"{"to":["shop/web-1"],"ports":[8080],"protocols":["tcp"]}"#,
        r#"{"to":["10.244.1.10"],"ports":[80]}"#,
        r#"{"policies":["web"]}"#,
        r#"{"policies":["other","shop/web"],"labels":["app=web"]}"#,
        r#"{"labels":["note"]}"#,
    ] {
        assert!(takes(text), "{text}");
    }
    for text in [
        r#"{"verdict":"allowed"}"#,
        r#"{"from":["shop"]}"#,
        r#"{"to":["192.0.2.200"]}"#,
        r#"{"to":["shop/db-1"]}"#,
        r#"{"ports":[40000]}"#,
        r#"{"protocols":["UDP"]}"#,
        r#"{"policies":["shop"]}"#,
        r#"{"labels":["app=db"]}"#,
        r#"{"to":["shop"],"from":["10.0.0.0/8"]}"#,
    ] {
        assert!(!takes(text), "{text}");
    }
}

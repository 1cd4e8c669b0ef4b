//! What the streams say, and what follows from it.

use serde_json::{Value, json};

use crate::intake::{Intake, Order, Reaction};
use crate::reflector::Said;
use crate::reply::Failure;
use crate::writing::Seen;
use headgate_controlplane::model::{Id, Kind, ObjectName};
use headgate_controlplane::problem::Version;
use headgate_controlplane::source::{Change, Scope};

/// An intake, and what it has ordered so far.
struct Bench {
    intake: Intake,
    running: Vec<Scope>,
    fetches: Vec<Id>,
    complete: bool,
    troubles: Vec<String>,
    changes: Vec<String>,
    /// Of which who writes status was told that they are gone.
    gone: Vec<String>,
}

impl Bench {
    fn new(namespaces: &[&str], named: &[Id]) -> Self {
        let namespaces: Vec<_> = namespaces.iter().map(ToString::to_string).collect();
        let (intake, first) = Intake::new(&namespaces, named.iter().cloned());
        let mut bench = Self {
            intake,
            running: Vec::new(),
            fetches: Vec::new(),
            complete: false,
            troubles: Vec::new(),
            changes: Vec::new(),
            gone: Vec::new(),
        };
        bench.note(first);
        bench
    }

    fn note(&mut self, reaction: Reaction) {
        for order in reaction.orders {
            match order {
                Order::Start(scope, _) => self.running.push(scope),
                Order::Stop(scope) => self.running.retain(|running| *running != scope),
                Order::Fetch(id) => self.fetches.push(id),
            }
        }
        for seen in reaction.seen {
            if let Seen::Gone(id) = seen {
                self.gone.push(id.to_string());
            }
        }
        for change in reaction.changes {
            match change {
                Change::Complete => self.complete = true,
                Change::Troubles(troubles) => {
                    self.troubles = troubles.iter().map(ToString::to_string).collect();
                }
                Change::Object(version, _) => self.changes.push(format!("+ {}", version.id)),
                Change::Deleted(id) => self.changes.push(format!("- {id}")),
                Change::Listing(_) | Change::Listed(_) | Change::Inquiry(_) => {}
                Change::File(..) => panic!("a cluster has no files"),
            }
        }
    }

    fn say(&mut self, scope: &Scope, said: Said) {
        let reaction = self.intake.take(scope, said);
        self.note(reaction);
    }

    /// A list of these objects.
    fn list(&mut self, scope: &Scope, objects: &[Value]) {
        self.say(scope, Said::Listing);
        for object in objects {
            self.say(scope, there(scope.kind, object));
        }
        self.say(scope, Said::Listed);
    }

    /// Lists of nothing, but for these kinds.
    fn list_all_but(&mut self, kinds: &[Kind]) {
        for scope in self.running.clone() {
            if !kinds.contains(&scope.kind) {
                self.list(&scope, &[]);
            }
        }
    }

    fn runs(&self, scope: &Scope) -> bool {
        self.running.contains(scope)
    }

    fn take_changes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.changes)
    }
}

fn there(kind: Kind, object: &Value) -> Said {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let version = Version {
        id: Id::new(kind, ObjectName::new(text("namespace"), text("name"))),
        uid: "u".into(),
        resource_version: "1".into(),
    };
    Said::Object(version, object.into())
}

fn ingress(name: &str, secrets: &[&str]) -> Value {
    let tls: Vec<_> = secrets.iter().map(|name| json!({ "secretName": name })).collect();
    json!({ "metadata": { "namespace": "shop", "name": name }, "spec": { "tls": tls } })
}

fn object(name: &str) -> Value {
    json!({ "metadata": { "namespace": "shop", "name": name } })
}

fn secret(name: &str) -> Id {
    Id::new(Kind::Secret, ObjectName::new("shop", name))
}

const INGRESSES: Scope = Scope::all(Kind::Ingress);
const SECRETS: Scope = Scope::all(Kind::Secret);

fn forbidden(what: &str) -> Said {
    Said::Trouble(Failure::Forbidden(format!(
        "{what} is forbidden: User \"u\" cannot list"
    )))
}

#[test]
fn of_secrets_those_are_kept_that_ingresses_name() {
    let mut bench = Bench::new(&[], &[]);
    bench.list_all_but(&[Kind::Ingress]);
    assert!(
        !bench.runs(&SECRETS) && !bench.complete,
        "it is not known which are named"
    );
    bench.list(
        &INGRESSES,
        &[ingress("a", &["one", "two"]), ingress("b", &["one"])],
    );
    assert!(bench.runs(&SECRETS) && !bench.complete);
    bench.take_changes();
    bench.list(&SECRETS, &[object("one"), object("other"), object("two")]);
    assert_eq!(bench.take_changes(), ["+ Secret shop/one", "+ Secret shop/two"]);
    assert!(bench.complete);

    // One that is not named any more goes, one that is named again is asked for.
    bench.say(&INGRESSES, there(Kind::Ingress, &ingress("a", &["three"])));
    assert_eq!(bench.take_changes(), ["- Secret shop/two", "+ Ingress shop/a"]);
    assert_eq!(bench.fetches, [secret("three")]);
    bench.say(&SECRETS, there(Kind::Secret, &object("two")));
    bench.say(&SECRETS, Said::Deleted(secret("other")));
    assert_eq!(bench.take_changes(), Vec::<String>::new(), "nobody names them");
}

#[test]
fn what_was_asked_for_does_not_undo_what_the_watch_has_said_meanwhile() {
    let mut bench = Bench::new(&[], &[]);
    bench.list_all_but(&[]);
    bench.list(&SECRETS, &[]);
    bench.say(&INGRESSES, there(Kind::Ingress, &ingress("a", &["one", "two"])));
    bench.take_changes();
    bench.say(&SECRETS, Said::Deleted(secret("one")));
    let one = there(Kind::Secret, &object("one"));
    let Said::Object(version, value) = one else {
        unreachable!("an object was made")
    };
    bench.say(&Scope::one(&secret("one")), Said::Fetched(Some((version, value))));
    assert_eq!(bench.take_changes(), ["- Secret shop/one"]);
    bench.say(&Scope::one(&secret("two")), Said::Fetched(None));
    assert_eq!(bench.take_changes(), ["- Secret shop/two"]);
}

/// A role with `list` and `watch`, and without `get`.
#[test]
fn a_secret_that_may_not_be_asked_for_is_followed() {
    let mut bench = Bench::new(&[], &[]);
    bench.list_all_but(&[]);
    bench.say(&INGRESSES, there(Kind::Ingress, &ingress("a", &["one"])));
    assert_eq!(bench.fetches, [secret("one")]);
    let one = Scope::one(&secret("one"));
    bench.say(&one, forbidden("secrets"));
    assert!(bench.runs(&one) && bench.runs(&SECRETS));
    bench.say(&one, forbidden("secrets \"one\""));
    assert!(bench.troubles[0].contains("cannot list"), "{:?}", bench.troubles);
    bench.say(&INGRESSES, there(Kind::Ingress, &ingress("a", &[])));
    assert!(!bench.runs(&one));
}

#[test]
fn secrets_that_are_forbidden_together_are_followed_one_by_one() {
    let mut bench = Bench::new(&[], &[secret("default")]);
    bench.list_all_but(&[Kind::Ingress]);
    bench.list(&INGRESSES, &[ingress("a", &["one"])]);
    bench.say(&SECRETS, forbidden("secrets"));
    let (one, default) = (Scope::one(&secret("one")), Scope::one(&secret("default")));
    assert!(!bench.runs(&SECRETS) && bench.runs(&one) && bench.runs(&default));
    assert_eq!(bench.troubles, Vec::<String>::new(), "nothing is missing yet");
    bench.list(&one, &[object("one")]);
    assert!(!bench.complete);
    bench.say(&default, forbidden("secrets \"default\""));
    assert!(bench.complete, "the rest is served");
    assert_eq!(
        bench.troubles,
        [
            "Secret shop/default: secrets \"default\" is forbidden: User \"u\" cannot list; certificates that are not known \
          are not served"
        ]
    );
    // Named later, followed by name.
    bench.say(&INGRESSES, there(Kind::Ingress, &ingress("b", &["two"])));
    assert!(bench.runs(&Scope::one(&secret("two"))));
    bench.say(
        &INGRESSES,
        Said::Deleted(Id::new(Kind::Ingress, ObjectName::new("shop", "a"))),
    );
    assert!(!bench.runs(&one));
}

#[test]
fn an_ingress_that_a_new_list_lacks_names_nothing_any_more() {
    let mut bench = Bench::new(&[], &[]);
    bench.list_all_but(&[Kind::Ingress]);
    bench.list(&INGRESSES, &[ingress("a", &["one"]), ingress("b", &["two"])]);
    bench.list(&SECRETS, &[object("one"), object("two")]);
    bench.take_changes();
    bench.list(&INGRESSES, &[ingress("b", &["two"])]);
    assert_eq!(bench.take_changes(), ["+ Ingress shop/b", "- Secret shop/one"]);
}

/// Also of what names nothing, and of Services.
#[test]
fn who_writes_status_hears_of_what_a_new_list_lacks() {
    let mut bench = Bench::new(&[], &[]);
    let mut balancer = object("balancer");
    balancer["spec"] = json!({ "type": "LoadBalancer" });
    let services = Scope::all(Kind::Service);
    bench.list(&INGRESSES, &[ingress("a", &[]), ingress("b", &[])]);
    bench.list(&services, &[balancer.clone(), object("other")]);
    bench.gone.clear();
    bench.list(&INGRESSES, &[ingress("b", &[])]);
    bench.list(&services, &[balancer]);
    assert_eq!(bench.gone, ["Ingress shop/a"]);
    bench.list(&services, &[]);
    assert_eq!(bench.gone, ["Ingress shop/a", "Service shop/balancer"]);
}

#[test]
fn what_is_forbidden_is_told_and_does_not_hold_up_the_rest() {
    let mut bench = Bench::new(&[], &[]);
    bench.list_all_but(&[Kind::NetworkPolicy, Kind::ClusterNetworkPolicy]);
    bench.list(&SECRETS, &[]);
    bench.say(
        &Scope::all(Kind::ClusterNetworkPolicy),
        Said::Trouble(Failure::Missing),
    );
    assert!(
        !bench.complete && bench.troubles.is_empty(),
        "a cluster may lack these"
    );
    bench.say(&Scope::all(Kind::NetworkPolicy), forbidden("networkpolicies"));
    assert!(bench.complete);
    assert_eq!(
        bench.troubles,
        [
            "networkpolicies is forbidden: User \"u\" cannot list; policies that are not known do not hold: what they forbid \
          is allowed"
        ]
    );
    bench.say(&Scope::all(Kind::NetworkPolicy), Said::Fine);
    assert_eq!(bench.troubles, Vec::<String>::new());
}

#[test]
fn an_outage_is_one_line_whoever_meets_it() {
    let mut bench = Bench::new(&[], &[]);
    let unreachable = |text: &str| Said::Trouble(Failure::Unreachable(text.to_owned()));
    bench.say(&INGRESSES, unreachable("connection refused"));
    bench.say(&Scope::all(Kind::Pod), unreachable("timed out"));
    let line = "the API server cannot be reached: connection refused; all that was known stays in force";
    assert_eq!(bench.troubles, [line]);
    bench.say(&INGRESSES, Said::Fine);
    assert_eq!(bench.troubles, [line]);
    bench.say(&Scope::all(Kind::Pod), Said::Fine);
    assert_eq!(bench.troubles, Vec::<String>::new());
    bench.list_all_but(&[Kind::Pod]);
    bench.list(&SECRETS, &[]);
    assert!(!bench.complete, "pods are not known yet");
}

#[test]
fn some_namespaces_are_followed_each_for_itself() {
    let map = Id::new(Kind::ConfigMap, ObjectName::new("edge", "tcp"));
    let mut bench = Bench::new(&["shop", "blog"], &[secret("default"), map.clone()]);
    let of = |kind, namespace: &str| Scope {
        namespace: Some(namespace.into()),
        ..Scope::all(kind)
    };
    for namespace in ["shop", "blog"] {
        assert!(bench.runs(&of(Kind::Pod, namespace)) && bench.runs(&of(Kind::Ingress, namespace)));
    }
    assert!(bench.runs(&Scope::all(Kind::Node)) && !bench.runs(&Scope::all(Kind::Pod)));
    assert!(
        bench.runs(&Scope::one(&map)),
        "by its name, in whatever namespace"
    );
    bench.list_all_but(&[]);
    assert!(bench.runs(&of(Kind::Secret, "shop")) && !bench.runs(&Scope::one(&secret("default"))));
    bench.list(&of(Kind::Secret, "shop"), &[object("default")]);
    assert_eq!(
        bench.take_changes().last().map(String::as_str),
        Some("+ Secret shop/default")
    );
    assert!(!bench.complete);
    bench.list(&of(Kind::Secret, "blog"), &[]);
    assert!(bench.complete);
}

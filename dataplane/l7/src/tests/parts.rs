//! A configuration that follows changes is the one that is made from nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use headgate_net::number::Number;
use headgate_net::routes;
use headgate_ring::message::{Certificate, PathMatch, PrivateKey, UpstreamProtocol, VirtualHost};
use proptest::prelude::*;

use super::world::{Objects, endpoint, host, upstream};
use crate::Config;
use crate::tls::Preference;

/// What is at each of a few keys.
#[derive(Clone, Debug, Default)]
struct Model {
    /// By host: the paths, and the upstreams that they go to.
    hosts: BTreeMap<usize, Vec<(usize, usize)>>,
    /// By name: the pods.
    upstreams: BTreeMap<usize, Vec<u8>>,
    /// By name: which key pair, and the hosts.
    certificates: BTreeMap<usize, (usize, Vec<usize>)>,
}

#[derive(Clone, Debug)]
enum Step {
    Host(usize, Option<Vec<(usize, usize)>>),
    Upstream(usize, Option<Vec<u8>>),
    Certificate(usize, Option<(usize, Vec<usize>)>),
}

const HOSTS: [&str; 4] = ["", "a.example", "b.example", "*.example"];
const PATHS: [&str; 3] = ["/", "/x", "/x/y"];

fn step() -> impl Strategy<Value = Step> {
    let routes = prop::collection::vec((0..PATHS.len(), 0..3_usize), 1..4);
    let pods = prop::collection::btree_set(10..20_u8, 0..4).prop_map(|pods| pods.into_iter().collect());
    let served = prop::collection::btree_set(0..HOSTS.len(), 1..3);
    let certificate = (0..2_usize, served.prop_map(|hosts| hosts.into_iter().collect()));
    prop_oneof![
        (0..HOSTS.len(), prop::option::of(routes)).prop_map(|(host, now)| Step::Host(host, now)),
        (0..3_usize, prop::option::of(pods)).prop_map(|(name, now)| Step::Upstream(name, now)),
        (0..3_usize, prop::option::of(certificate)).prop_map(|(name, now)| Step::Certificate(name, now)),
    ]
}

impl Model {
    fn take(&mut self, step: Step) {
        match step {
            Step::Host(key, now) => put(&mut self.hosts, key, now),
            Step::Upstream(key, now) => put(&mut self.upstreams, key, now),
            Step::Certificate(key, now) => {
                // A host stands in one certificate only.
                if let Some((_, taken)) = &now {
                    for (_, hosts) in self.certificates.values_mut() {
                        hosts.retain(|host| !taken.contains(host));
                    }
                }
                put(&mut self.certificates, key, now);
            }
        }
    }

    /// The objects, those that did not change since `before` the same ones.
    fn objects(&self, pairs: &[(Vec<u8>, PrivateKey)], before: &Objects) -> Objects {
        let hosts = self.hosts.iter().map(|(key, routes)| {
            let routes: Vec<_> = routes
                .iter()
                .map(|(path, upstream)| (PATHS[*path], UPSTREAMS[*upstream]))
                .collect();
            same(&before.hosts, host(HOSTS[*key], &routes))
        });
        let certificates = self.certificates.iter().map(|(key, (pair, hosts))| {
            let (chain, key_bytes) = pairs[*pair].clone();
            let made = Certificate {
                name: format!("ns/{key}"),
                hosts: hosts.iter().map(|host| HOSTS[*host].to_owned()).collect(),
                chain: vec![chain],
                key: key_bytes,
            };
            same(&before.certificates, Arc::new(made))
        });
        Objects {
            hosts: hosts.collect(),
            upstreams: self
                .upstreams
                .iter()
                .map(|(key, pods)| upstream(UPSTREAMS[*key], pods))
                .collect(),
            certificates: certificates.collect(),
            balancers: Vec::new(),
        }
    }
}

const UPSTREAMS: [&str; 3] = ["u0", "u1", "u2"];

fn put<V>(map: &mut BTreeMap<usize, V>, key: usize, now: Option<V>) {
    match now {
        Some(now) => drop(map.insert(key, now)),
        None => drop(map.remove(&key)),
    }
}

fn same<T: PartialEq>(before: &[Arc<T>], now: Arc<T>) -> Arc<T> {
    before
        .iter()
        .find(|before| ***before == *now)
        .cloned()
        .unwrap_or(now)
}

struct Get;

impl routes::Head for Get {
    fn method(&self) -> &str {
        "GET"
    }

    fn any_header(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }

    fn query(&self) -> Option<&str> {
        None
    }
}

/// All that requests and handshakes can see.
fn known<'c>(config: &'c Config, upstream: &Number) -> Option<(UpstreamProtocol, &'c [SocketAddr])> {
    let known = config.upstreams.of(upstream)?;
    Some((known.protocol, &known.endpoints))
}

fn seen(config: &Config, objects: &Objects) -> Vec<String> {
    let mut seen = Vec::new();
    for name in ["", "a.example", "b.example", "c.example", "d.c.example"] {
        for path in ["/", "/x", "/x/y/z", "/xy"] {
            let found = config.routes.find(name, path, &Get).map(|route| {
                let PathMatch::Prefix(path) = &route.definition().matches.path else {
                    unreachable!("there are no others")
                };
                let upstream = &route.backends()[0].upstream;
                format!("{} {path} {:?}", route.host(), known(config, upstream))
            });
            seen.push(format!("{name}{path}: {found:?}"));
        }
        let asked = Some(name).filter(|name| !name.is_empty());
        let certificate = config.tls.find(asked, Preference::Ours);
        let of =
            |object: &&Arc<Certificate>| certificate.is_some_and(|found| config.tls.is_of(found, object));
        let found = objects.certificates.iter().find(of).map(|object| &object.name);
        assert_eq!(found.is_some(), certificate.is_some());
        seen.push(format!("{name}: {found:?}"));
    }
    for name in UPSTREAMS {
        let number = config.routes.upstream(name);
        seen.push(format!("{name}: {:?}", known(config, &number)));
        let has = (10..20).filter(|pod| config.upstreams.has(&number, endpoint(*pod)));
        seen.push(format!("{:?}", has.collect::<Vec<_>>()));
    }
    seen
}

fn pairs() -> Vec<(Vec<u8>, PrivateKey)> {
    let pair = |name: &str| {
        let pair = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let key = PrivateKey(pair.signing_key.serialize_der().into());
        (pair.cert.der().to_vec(), key)
    };
    vec![pair("a.example"), pair("b.example")]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn following_changes_is_building_from_nothing(
        transactions in prop::collection::vec(prop::collection::vec(step(), 1..4), 1..20),
    ) {
        let pairs = pairs();
        let (mut model, mut before) = (Model::default(), Objects::default());
        let mut config = before.build(None).unwrap();
        for steps in transactions {
            steps.into_iter().for_each(|step| model.take(step));
            let objects = model.objects(&pairs, &before);
            config = objects.build(Some((&before, &config))).unwrap();
            let anew = objects.build(None).unwrap();
            prop_assert_eq!(seen(&config, &objects), seen(&anew, &objects));
            before = objects;
        }
    }
}

#[test]
fn an_endpoint_that_comes_touches_its_upstream_alone() {
    let hosts: Vec<Arc<VirtualHost>> = (0..200)
        .map(|n| host(&format!("h{n}.example"), &[("/", "web")]))
        .collect();
    let mut objects = Objects {
        hosts,
        upstreams: (0..200).map(|n| upstream(&format!("u{n}"), &[10, 11])).collect(),
        certificates: Vec::new(),
        balancers: Vec::new(),
    };
    let before = objects.build(None).unwrap();
    let known = objects.clone();
    objects.upstreams = vec![upstream("u7", &[10, 11, 12])];
    let changes = crate::Changes {
        upstreams: vec![("u7", Some(&objects.upstreams[0]))],
        ..crate::Changes::default()
    };
    let after = before.with(&changes).unwrap();
    assert!(Arc::ptr_eq(&before.routes, &after.routes));
    assert!(Arc::ptr_eq(&before.tls, &after.tls));
    assert!(Arc::ptr_eq(&before.listeners, &after.listeners));
    for known in &known.upstreams {
        let number = before.routes.upstream(&known.name);
        let (old, new) = (before.upstreams.of(&number), after.upstreams.of(&number));
        assert_eq!(
            Arc::ptr_eq(&old.unwrap().endpoints, &new.unwrap().endpoints),
            known.name != "u7"
        );
    }
    let known = after.upstreams.of(&after.routes.upstream("u7")).unwrap();
    assert_eq!(known.endpoints.len(), 3);
}

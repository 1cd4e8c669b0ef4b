use headgate_ring::message::PathRule;
use proptest::prelude::*;

use super::*;

fn rule(kind: PathKind, path: &str, upstream: usize) -> PathRule {
    PathRule {
        kind,
        path: path.into(),
        ingress: "ns/i".into(),
        upstream: upstream.to_string(),
    }
}

fn routes(hosts: &[VirtualHost]) -> Routes {
    Routes::build(hosts, |name| name.parse().ok()).unwrap()
}

/// The rules in their order, one after the other, by the words of the Ingress API.
fn reference(hosts: &[VirtualHost], host: &str, path: &str) -> Option<usize> {
    let named = |name: &str| hosts.iter().find(|h| h.host == name && !name.is_empty());
    let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    let specific = named(host).or_else(|| named(&wildcard?));
    let any = hosts.iter().find(|h| h.host.is_empty());
    let elements = |path: &str| {
        path.split('/')
            .filter(|e| !e.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let matches = |rule: &&PathRule| match rule.kind {
        PathKind::Exact => rule.path == path,
        PathKind::Prefix => elements(path).starts_with(&elements(&rule.path)),
    };
    let found = specific
        .into_iter()
        .chain(any)
        .find_map(|h| h.rules.iter().find(matches));
    found.map(|rule| rule.upstream.parse().unwrap())
}

fn hosts() -> impl Strategy<Value = Vec<VirtualHost>> {
    let path = "(/[ab]{1,2}){0,3}/?".prop_map(|p| if p.is_empty() { "/".to_owned() } else { p });
    let kind = prop_oneof![Just(PathKind::Exact), Just(PathKind::Prefix)];
    let rules = proptest::collection::vec((kind, path), 0..12);
    let rules = || {
        rules.clone().prop_map(|rules| {
            rules
                .iter()
                .enumerate()
                .map(|(n, (kind, path))| rule(*kind, path, n))
                .collect::<Vec<_>>()
        })
    };
    let host = move |name: &'static str| {
        rules().prop_map(move |rules| VirtualHost {
            host: name.into(),
            rules,
        })
    };
    let all = (host("x.y"), host("*.y"), host("*.x.y"), host(""));
    (all, any::<[bool; 4]>()).prop_map(|((a, b, c, d), kept)| {
        let mut hosts = vec![a, b, c, d];
        let mut kept = kept.into_iter();
        hosts.retain(|_| kept.next().unwrap());
        for (n, host) in hosts.iter_mut().enumerate() {
            for rule in &mut host.rules {
                rule.upstream = (rule.upstream.parse::<usize>().unwrap() + 100 * n).to_string();
            }
        }
        hosts
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn finds_what_the_reference_finds(
        hosts in hosts(),
        host in prop_oneof![Just("x.y"), Just("z.y"), Just("y"), Just("a.x.y"), Just("a.b.x.y"), Just("")],
        path in "(/[ab]{1,2}){0,4}/?".prop_map(|p| if p.is_empty() { "/".to_owned() } else { p }),
    ) {
        let found = routes(&hosts).find(host, &path).map(|t| t.upstream.unwrap());
        prop_assert_eq!(found, reference(&hosts, host, &path));
    }

    #[test]
    fn normal_paths_stay_as_they_are_and_hold_nothing_to_resolve(path in "/[a-c./%2eEfF0-9]{0,20}") {
        if let Ok(once) = normal(&path) {
            prop_assert!(once.starts_with('/'));
            prop_assert!(!once.contains("//"));
            prop_assert!(once.split('/').all(|e| e != "." && e != ".."), "{}", once);
        }
    }
}

#[test]
fn prefixes_match_by_element() {
    // The table of the Ingress documentation.
    for (kind, rule_path, path, matches) in [
        (PathKind::Prefix, "/", "/foo", true),
        (PathKind::Exact, "/foo", "/foo", true),
        (PathKind::Exact, "/foo", "/bar", false),
        (PathKind::Exact, "/foo", "/foo/", false),
        (PathKind::Exact, "/foo/", "/foo", false),
        (PathKind::Prefix, "/foo", "/foo", true),
        (PathKind::Prefix, "/foo", "/foo/", true),
        (PathKind::Prefix, "/foo/", "/foo", true),
        (PathKind::Prefix, "/foo/", "/foo/", true),
        (PathKind::Prefix, "/aaa/bb", "/aaa/bbb", false),
        (PathKind::Prefix, "/aaa/bbb", "/aaa/bbb", true),
        (PathKind::Prefix, "/aaa/bbb/", "/aaa/bbb", true),
        (PathKind::Prefix, "/aaa/bbb", "/aaa/bbb/", true),
        (PathKind::Prefix, "/aaa/bbb", "/aaa/bbb/ccc", true),
        (PathKind::Prefix, "/aaa/bbb", "/aaa/bbbxyz", false),
    ] {
        let hosts = [VirtualHost {
            host: "h".into(),
            rules: vec![rule(kind, rule_path, 0)],
        }];
        assert_eq!(
            routes(&hosts).find("h", path).is_some(),
            matches,
            "{kind:?} {rule_path} {path}"
        );
    }
}

#[test]
fn paths_are_compared_in_their_normal_form() {
    for (path, expected) in [
        ("/", Some("/")),
        ("/a/b", Some("/a/b")),
        ("/a/./b/", Some("/a/b/")),
        ("/a/../b", Some("/b")),
        ("/a/b/..", Some("/a/")),
        ("/a/.", Some("/a/")),
        ("/..", None),
        ("/a/../../b", None),
        ("/%2e%2E/x", None),
        ("//a///b", Some("/a/b")),
        ("/a%2Fb", Some("/a/b")),
        ("/a%2f..%2fb", Some("/b")),
        ("/%61%20b", Some("/a b")),
        ("/%E2%82%AC", Some("/€")),
        ("/%ff", Some("/\u{fffd}")),
        ("/%", None),
        ("/%4", None),
        ("/%4g", None),
        ("/%00", None),
        ("/...", Some("/...")),
        ("/.hidden", Some("/.hidden")),
        ("/a%252e", Some("/a%2e")),
    ] {
        assert_eq!(normal(path).ok().as_deref(), expected, "{path}");
    }
}

#[test]
fn objects_that_are_wrong_are_named() {
    let host = |host: &str, path: &str| VirtualHost {
        host: host.into(),
        rules: vec![rule(PathKind::Prefix, path, 0)],
    };
    let error = |hosts: &[VirtualHost]| Routes::build(hosts, |_| None).unwrap_err().to_string();
    assert!(error(&[host("a", "nope")]).contains("\"a\", ingress ns/i"));
    assert!(error(&[host("A", "/")]).contains("\"A\""));
    assert!(error(&[host("a", "/"), host("a", "/")]).contains("\"a\""));
    assert!(error(&[host("", "/"), host("", "/")]).contains("\"\""));
    for bad in ["*", "*.", ".a", "a.", "a b", "*.*.a", "a/b"] {
        assert!(
            matches!(
                Routes::build(&[host(bad, "/")], |_| None),
                Err(ConfigError::Host { .. })
            ),
            "{bad}"
        );
    }
}

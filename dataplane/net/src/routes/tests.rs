use std::sync::Arc;

use headgate_ring::message::{
    PathMatch, Route as Definition, RouteKind, RouteMatch, RouteOrigin, TextMatch, ValueMatch, VirtualHost,
    WeightedBackend,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// The head of a request.
#[derive(Clone, Debug, Default)]
struct Asked {
    method: String,
    headers: Vec<(String, String)>,
    query: Option<String>,
}

impl Head for Asked {
    fn method(&self) -> &str {
        &self.method
    }

    fn any_header(&self, name: &str, is: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.headers
            .iter()
            .any(|(n, value)| n == name && is(value.as_bytes()))
    }

    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

fn get() -> Asked {
    Asked {
        method: "GET".into(),
        ..Asked::default()
    }
}

fn matching(path: PathMatch) -> RouteMatch {
    RouteMatch {
        path,
        method: None,
        headers: Vec::new(),
        query: Vec::new(),
    }
}

fn route(matches: RouteMatch, upstream: &str) -> Definition {
    Definition {
        matches,
        filters: None,
        backends: vec![WeightedBackend {
            upstream: upstream.into(),
            weight: 1,
        }],
        origin: RouteOrigin {
            kind: RouteKind::Ingress,
            name: "ns/i".into(),
            rule: "spec.rules[0].http.paths[0]".into(),
        },
    }
}

fn prefix(path: &str, upstream: &str) -> Definition {
    route(matching(PathMatch::Prefix(path.into())), upstream)
}

fn host(host: &str, routes: impl IntoIterator<Item = Definition>) -> Arc<VirtualHost> {
    Arc::new(VirtualHost {
        host: host.into(),
        routes: routes.into_iter().collect(),
    })
}

fn routes(hosts: &[Arc<VirtualHost>]) -> Routes {
    Routes::default().with(hosts).unwrap()
}

/// The upstream of a GET.
fn upstream(routes: &Routes, host: &str, path: &str) -> Option<String> {
    let route = routes.find(host, &normal(path).ok()?, &get())?;
    Some(route.definition().backends[0].upstream.clone())
}

fn any_path() -> impl Strategy<Value = String> {
    "(/[ab]{1,2}){0,3}/?".prop_map(|p| if p.is_empty() { "/".to_owned() } else { p })
}

fn any_text() -> impl Strategy<Value = TextMatch> {
    prop_oneof![
        select(&["1", "2", "a b"][..]).prop_map(|t| TextMatch::Exact(t.into())),
        select(&["^1", "[a-c]", "."][..]).prop_map(|t| TextMatch::Regex(t.into())),
    ]
}

fn any_value() -> impl Strategy<Value = Vec<ValueMatch>> {
    let value = (select(&["x", "y"][..]), any_text()).prop_map(|(name, value)| ValueMatch {
        name: name.into(),
        value,
    });
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(value, 1..3)]
}

fn any_match() -> impl Strategy<Value = RouteMatch> {
    let path = prop_oneof![
        4 => any_path().prop_map(PathMatch::Exact),
        6 => any_path().prop_map(PathMatch::Prefix),
        1 => select(&["^/a", "b$", "/[ab]/", "(?i)^/A/b"][..]).prop_map(|p| PathMatch::Regex(p.into())),
    ];
    let method =
        prop_oneof![3 => Just(None), 1 => select(&["GET", "POST"][..]).prop_map(|m| Some(m.to_owned()))];
    (path, method, any_value(), any_value()).prop_map(|(path, method, headers, query)| RouteMatch {
        path,
        method,
        headers,
        query,
    })
}

fn any_hosts() -> impl Strategy<Value = Vec<Arc<VirtualHost>>> {
    let host = |name: &'static str| {
        let routes = prop::collection::vec(any_match(), 0..12);
        prop::option::of(routes.prop_map(move |routes| host(name, routes.into_iter().map(|m| route(m, "u")))))
    };
    (host("x.y"), host("*.y"), host("*.x.y"), host(""))
        .prop_map(|(a, b, c, d)| [a, b, c, d].into_iter().flatten().collect())
}

fn any_head() -> impl Strategy<Value = Asked> {
    let header = (select(&["x", "y"][..]), select(&["1", "2", "a b", "z"][..]));
    let query = select(
        &[
            "x=1",
            "y=2",
            "x=a+b",
            "y=a%20b",
            "x",
            "%78=1&y=1",
            "x=2&x=1",
            "x=%zz",
        ][..],
    );
    (
        select(&["GET", "POST", "PUT"][..]),
        prop::collection::vec(header, 0..3),
        prop::option::of(query),
    )
        .prop_map(|(method, headers, query)| Asked {
            method: method.into(),
            headers: headers
                .into_iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            query: query.map(str::to_owned),
        })
}

/// Where the route stands in what it was made of.
fn place(hosts: &[Arc<VirtualHost>], route: &Route) -> (usize, usize) {
    let h = hosts.iter().position(|h| h.host == route.host()).unwrap();
    let is = |r: &Definition| std::ptr::eq(r, route.definition());
    (h, hosts[h].routes.iter().position(is).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn finds_what_the_reference_finds(
        hosts in any_hosts(),
        host in select(&["x.y", "z.y", "y", "a.x.y", "a.b.x.y", ""][..]),
        path in any_path(),
        head in any_head(),
    ) {
        let routes = routes(&hosts);
        let found = routes.find(host, &path, &head).map(|route| place(&hosts, route));
        prop_assert_eq!(found, reference::find(&hosts, host, &path, &head));
    }

    /// Whatever hosts were there before.
    #[test]
    fn changes_end_where_a_build_from_nothing_does(
        before in any_hosts(),
        after in any_hosts(),
        host in select(&["x.y", "z.y", "a.x.y", ""][..]),
        path in any_path(),
        head in any_head(),
    ) {
        let mut changed = routes(&before);
        before.iter().for_each(|host| changed.remove(&host.host));
        prop_assert_eq!(changed.iter().count(), 0);
        before.iter().chain(&after).for_each(|host| changed.put(host).unwrap());
        for gone in before.iter().filter(|b| after.iter().all(|a| a.host != b.host)) {
            changed.remove(&gone.host);
        }
        let found = changed.find(host, &path, &head).map(|route| place(&after, route));
        prop_assert_eq!(found, reference::find(&after, host, &path, &head));
    }

    #[test]
    fn normal_paths_stay_as_they_are_and_hold_nothing_to_resolve(path in "/[a-c./%2eE5cC;\\\\fF0-9]{0,20}") {
        if let Ok(once) = normal(&path) {
            prop_assert!(once.starts_with('/'));
            prop_assert!(!once.contains("//"));
            for element in once.split('/').flat_map(|e| e.split('\\')) {
                let name = element.split(';').next().unwrap();
                prop_assert!(name != "." && name != "..", "{}", once);
            }
        }
    }
}

#[test]
fn prefixes_match_by_element() {
    // The table of the Ingress documentation.
    let exact = |path: &str| matching(PathMatch::Exact(path.into()));
    let prefix = |path: &str| matching(PathMatch::Prefix(path.into()));
    for (matches, path, expected) in [
        (prefix("/"), "/foo", true),
        (exact("/foo"), "/foo", true),
        (exact("/foo"), "/bar", false),
        (exact("/foo"), "/foo/", false),
        (exact("/foo/"), "/foo", false),
        (prefix("/foo"), "/foo", true),
        (prefix("/foo"), "/foo/", true),
        (prefix("/foo/"), "/foo", true),
        (prefix("/foo/"), "/foo/", true),
        (prefix("/aaa/bb"), "/aaa/bbb", false),
        (prefix("/aaa/bbb"), "/aaa/bbb", true),
        (prefix("/aaa/bbb/"), "/aaa/bbb", true),
        (prefix("/aaa/bbb"), "/aaa/bbb/", true),
        (prefix("/aaa/bbb"), "/aaa/bbb/ccc", true),
        (prefix("/aaa/bbb"), "/aaa/bbbxyz", false),
    ] {
        let text = format!("{matches:?} {path}");
        let routes = routes(&[host("h", [route(matches, "u")])]);
        assert_eq!(upstream(&routes, "h", path).is_some(), expected, "{text}");
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
fn dots_that_only_some_servers_see_are_refused_in_every_spelling() {
    for bad in [
        "/foo/..;/exact",
        "/foo/..;",
        "/foo/..;a=b;c/exact",
        "/foo/.;/exact",
        "/foo/%2e%2e;/exact",
        "/foo/.%2E%3b/exact",
        "/foo/..%3Bx/exact",
        "/foo/%5c..%5cexact",
        "/foo/%5C..%5Cexact",
        "/foo/\\..\\exact",
        "/foo\\..\\..\\exact",
        "/foo/..%5cexact",
        "/foo/x%5c..",
        "/foo/x%5C%2e%2E%3b%5cexact",
        "/foo/%5c.",
    ] {
        assert_eq!(normal(bad), Err(BadPath), "{bad}");
    }
    for (fine, expected) in [
        ("/foo;v=1/bar", "/foo;v=1/bar"),
        ("/foo/;/bar", "/foo/;/bar"),
        ("/foo/...;/bar", "/foo/...;/bar"),
        ("/foo/a..;b", "/foo/a..;b"),
        ("/foo%5cbar", "/foo\\bar"),
        ("/foo\\.hidden", "/foo\\.hidden"),
        ("/foo;..", "/foo;.."),
    ] {
        assert_eq!(normal(fine).as_deref(), Ok(expected), "{fine}");
    }
}

#[test]
fn rules_are_read_in_normal_form_too() {
    for (rule, path, expected) in [
        ("/p%C3%A9", "/p%C3%A9", true),
        ("/p%c3%a9", "/p%C3%A9/x", true),
        ("/pé", "/p%C3%A9", true),
        ("/sp%20ace", "/sp%20ace", true),
        ("/sp ace", "/sp%20ace", true),
        ("/%61", "/a", true),
        ("/a%2525", "/a%2525", true),
        ("/a%25", "/a%2525", false),
        ("/a//b/../c", "/a/c", true),
        // A percent sign that is no escape stands for itself.
        ("/100%", "/100%25", true),
        ("/%zz", "/%25zz", true),
        ("/..", "/", false),
        ("/%ff", "/%ff", false),
    ] {
        let routes = routes(&[host("h", [prefix(rule, "u")])]);
        assert_eq!(upstream(&routes, "h", path).is_some(), expected, "{rule} {path}");
    }
}

#[test]
fn a_number_stays_with_its_route_and_is_used_again_when_nobody_holds_it() {
    let before = routes(&[host("h", [prefix("/a", "a"), prefix("/b", "b")])]);
    let held = |routes: &Routes, path: &str| Arc::clone(routes.find("h", path, &get()).unwrap());
    let (a, b) = (held(&before, "/a").number().clone(), held(&before, "/b"));
    let mut after = before.clone();
    after
        .put(&host("h", [prefix("/c", "c"), prefix("/a", "other")]))
        .unwrap();
    assert_eq!(
        *held(&after, "/a").number(),
        a,
        "the same match of the same object"
    );
    let c = held(&after, "/c").number().clone();
    assert!(![&a, b.number()].map(Number::index).contains(&c.index()));
    drop(before);
    let (index, birth) = (b.number().index(), b.number().birth());
    after.put(&host("i", [prefix("/", "i")])).unwrap();
    let i = Arc::clone(after.find("i", "/", &get()).unwrap());
    assert_ne!(i.number().index(), index, "a request holds it still");
    drop(b);
    after.put(&host("j", [prefix("/", "j")])).unwrap();
    let j = after.find("j", "/", &get()).unwrap().number();
    assert_eq!(j.index(), index);
    assert_ne!(j.birth(), birth);
}

#[test]
fn an_upstream_has_one_number_by_whatever_route() {
    let mut routes = routes(&[
        host("h", [prefix("/a", "u"), prefix("/b", "v")]),
        host("", [prefix("/", "u")]),
    ]);
    let of = |routes: &Routes, host: &str, path: &str| {
        routes.find(host, path, &get()).unwrap().backends()[0]
            .upstream
            .clone()
    };
    let u = routes.upstream("u");
    assert_eq!(of(&routes, "h", "/a"), u);
    assert_eq!(of(&routes, "i", "/"), u);
    assert_ne!(of(&routes, "h", "/b"), u);
    routes.remove("h");
    routes.remove("");
    assert_eq!(routes.upstream("u"), u, "held here");
    let (index, birth) = (u.index(), u.birth());
    drop(u);
    let again = (0..300)
        .map(|n| routes.upstream(&format!("n{n}")))
        .collect::<Vec<_>>();
    assert!(
        again
            .iter()
            .any(|number| number.index() == index && number.birth() != birth)
    );
}

#[test]
fn a_host_that_did_not_change_is_taken_over() {
    let hosts = [
        host("h", [prefix("/", "u")]),
        host("*.h", [prefix("/", "u")]),
        host("", [prefix("/", "u")]),
    ];
    let before = routes(&hosts);
    let changed = [
        Arc::clone(&hosts[0]),
        host("*.h", [prefix("/", "v")]),
        Arc::clone(&hosts[2]),
    ];
    let after = before.with(&changed).unwrap();
    let same = |host: &str| {
        let find = |routes: &Routes| Arc::as_ptr(routes.find(host, "/", &get()).unwrap());
        find(&before) == find(&after)
    };
    assert_eq!((same("h"), same("x.h"), same("z")), (true, false, true));
    assert_eq!(before.with(&changed[..1]).unwrap().iter().count(), 1);
}

#[test]
fn expressions_that_are_none_or_too_large_are_named() {
    let refused = |matches: RouteMatch| {
        let hosts = [host("h", [prefix("/", "u"), route(matches, "u")])];
        let (_, fault) = Routes::default().with(&hosts).unwrap_err();
        let key = headgate_ring::message::Key::VirtualHost("h".into());
        crate::config::ConfigError::new(&key, fault).to_string()
    };
    let error = refused(matching(PathMatch::Regex("(".into())));
    assert!(
        error.starts_with("VirtualHost \"h\": routes[1].matches.path: \"(\" is not a regular"),
        "{error}"
    );
    let error = refused(matching(PathMatch::Regex(r"(\w{100}){100}".into())));
    assert!(error.contains("takes more than 1048576 bytes"), "{error}");
    let value = ValueMatch {
        name: "x".into(),
        value: TextMatch::Regex("[".into()),
    };
    let error = refused(RouteMatch {
        headers: vec![value],
        ..matching(PathMatch::Prefix("/".into()))
    });
    assert!(error.contains("routes[1].matches.headers[0].value: "), "{error}");
}

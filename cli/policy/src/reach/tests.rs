use clap::Parser;

use super::matrix::{Cell, Extent, Matrix};
use super::*;
use crate::snapshot::PolicySnapshot;
use crate::testing::{DENY, SHOP, snapshot};
use headgate_net::policy::Question;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    options: ReachOptions,
}

/// The matrix that these flags ask for.
fn reach(snapshot: &PolicySnapshot, flags: &str) -> Result<Matrix> {
    let words = std::iter::once("reach").chain(flags.split_whitespace());
    Matrix::new(snapshot, &Line::try_parse_from(words).unwrap().options)
}

fn cell<'a>(matrix: &'a Matrix, from: &str, to: &str) -> &'a Cell {
    let place = |name: &str| {
        let found = matrix.groups.iter().position(|group| group.name == name);
        found.unwrap_or_else(|| panic!("{name} in {:?}", matrix.groups))
    };
    &matrix.cells[place(from)][place(to)]
}

/// A pod of the namespace `many`.
fn pod(name: &str, labels: &str, address: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: many, name: {name}, labels: {{{labels}}}}}\n\
         status: {{podIP: 10.9.{}.{}}}\n",
        address / 256,
        address % 256
    )
}

#[test]
fn cells_say_how_much_is_allowed() {
    let shop = snapshot(&[SHOP]);
    let matrix = reach(&shop, "").unwrap();
    let allowed = |from, to| cell(&matrix, from, to).allowed;
    assert_eq!(allowed("shop/web", "shop/web"), Extent::Itself);
    assert_eq!(allowed("shop/db", "shop/web"), Extent::All);
    assert_eq!(allowed("10.9.0.0/16", "shop/db"), Extent::None);
    assert_eq!(allowed("other IPv4", "blog/six"), Extent::Void);
    assert_eq!(allowed("other IPv4", "10.9.0.0/16"), Extent::Void);
    let partly = cell(&matrix, "shop/web", "shop/db");
    assert_eq!(
        (partly.allowed, partly.words().as_str()),
        (Extent::Some, "UDP 5433 [TCP 5432]")
    );
}

#[test]
fn every_cell_is_what_single_questions_say() {
    let shop = snapshot(&[SHOP, DENY]);
    for (flags, ports) in [
        ("", [1, 5432, 5433, 65535]),
        ("--port 5432 --port udp:5433", [5432, 5433, 5432, 5433]),
    ] {
        let matrix = reach(&shop, flags).unwrap();
        for from in &shop.endpoints {
            for to in shop.endpoints.iter().filter(|to| to.name != from.name) {
                let cell = cell(&matrix, &from.name, &to.name);
                for (protocol, port) in crate::ports::PROTOCOLS
                    .into_iter()
                    .flat_map(|p| ports.map(|n| (p, n)))
                {
                    if !matrix.ports.contains(protocol, port) {
                        continue;
                    }
                    let pairs = from
                        .addresses
                        .iter()
                        .flat_map(|a| to.addresses.iter().map(move |b| (*a, *b)));
                    let pairs = pairs.filter(|(a, b)| a.is_ipv4() == b.is_ipv4());
                    let said = pairs.map(|(from, to)| {
                        let connection = Question {
                            from,
                            to,
                            protocol,
                            port,
                        };
                        shop.decide(connection).unwrap().is_allowed()
                    });
                    let said: Vec<bool> = said.collect();
                    assert_eq!(
                        cell.ports.contains(protocol, port),
                        said.iter().all(|x| *x),
                        "{cell:?}"
                    );
                    let some = said.iter().any(|x| *x) && !said.iter().all(|x| *x);
                    assert_eq!(cell.partly.contains(protocol, port), some, "{cell:?}");
                }
            }
        }
    }
}

#[test]
fn pods_are_grouped_by_workload_and_namespace() {
    let pods = [
        pod("web-5d4f-a", "app: web, pod-template-hash: 5d4f", 1),
        pod("web-7c9b-b", "app: web, pod-template-hash: 7c9b", 2),
        pod("lone", "app: lone", 3),
        pod("bare-1", "", 4),
        pod("bare-2", "", 5),
    ];
    let documents: Vec<&str> = [SHOP]
        .into_iter()
        .chain(pods.iter().map(String::as_str))
        .collect();
    let shop = snapshot(&documents);
    let names = |flags| {
        let matrix = reach(&shop, flags).unwrap();
        let inside = matrix.groups[..matrix.inside()].iter();
        inside
            .map(|g| format!("{} {}", g.name, g.pods))
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(names("--by namespace"), "blog 1, many 5, shop 2");
    assert_eq!(
        names("--by workload --namespace many"),
        "many/bare-1 1, many/bare-2 1, many/lone 1, many/web-* 2"
    );
    let matrix = reach(&shop, "--by namespace").unwrap();
    // The pods of a namespace speak with each other, and only one of the shop's two takes all.
    assert_eq!(cell(&matrix, "many", "many").allowed, Extent::All);
    let to_shop = cell(&matrix, "many", "shop");
    assert_eq!(
        (to_shop.allowed, to_shop.words().as_str()),
        (Extent::Some, "[all ports]")
    );
    let error = reach(&shop, "--namespace nobody").unwrap_err().to_string();
    assert!(error.contains("--namespace nobody"), "{error}");
}

#[test]
fn many_pods_are_grouped_unless_somebody_asks_for_more_than_there_is_room_for() {
    let pods: Vec<String> = (0..300)
        .map(|n| pod(&format!("p-{n}"), &format!("n: x{n}"), n))
        .collect();
    let many = snapshot(&pods.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(
        reach(&many, "").unwrap().caption(),
        "300 pods, by namespace; all TCP, UDP and SCTP ports"
    );
    let error = reach(&many, "--by pod").unwrap_err().to_string();
    assert!(
        error.contains("301 rows") && error.contains("--by namespace"),
        "{error}"
    );
    assert_eq!(reach(&many, "--by pod --format json").unwrap().inside(), 300);
}

#[test]
fn the_table_is_legible() {
    let shop = snapshot(&[SHOP]);
    let text = table::render(&reach(&shop, "--namespace shop --port 5432").unwrap());
    assert_eq!(
        text,
        "\
2 pods; TCP 5432

from \\ to                        1 2 3 4 5 6
1 shop/db                        = # # # # #
2 shop/web                       + = # # # #
3 other IPv4                     . #
4 10.0.0.0/8 except 10.9.0.0/16  # #
5 10.9.0.0/16                    . #
6 any IPv6                       . #

#  allowed   +  in part   .  denied   =  itself

Allowed in part; [in brackets] not to all of them, or by one family of addresses:
  shop/web  to shop/db  [TCP 5432]
"
    );
}

#[test]
fn pictures_are_well_formed_whatever_names_hold() {
    let shop = snapshot(&[SHOP]);
    let mut matrix = reach(&shop, "").unwrap();
    matrix.groups[0].name = "<script>\"&'\u{1}</script>/x".to_owned();
    for picture in [svg::document(&matrix), html::render(&matrix)] {
        assert!(
            !picture.contains("<script") && !picture.contains('\u{1}'),
            "{picture}"
        );
        assert!(picture.contains("&lt;script&gt;&quot;&amp;&#39;\u{fffd}&lt;/script&gt;/x"));
        assert!(
            !picture.contains("href") && !picture.contains("url(http"),
            "nothing is loaded"
        );
        // A cell for each pair but those that cannot speak, and the legend's.
        let said = matrix
            .cells
            .iter()
            .flatten()
            .filter(|c| c.allowed != Extent::Void)
            .count();
        let rects = ["a", "s", "d", "i"].map(|c| picture.matches(&format!("<rect class=\"{c}\"")).count());
        assert_eq!(rects.iter().sum::<usize>(), said + 4);
    }
    let svg = svg::document(&matrix);
    for tag in ["svg", "text", "title", "pattern", "defs", "style"] {
        let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
        assert_eq!(svg.matches(&open).count(), svg.matches(&close).count(), "{tag}");
    }
}

#[test]
fn programs_get_groups_and_cells() {
    let shop = snapshot(&[SHOP]);
    let value = serde_json::to_value(reach(&shop, "").unwrap()).unwrap();
    assert_eq!(
        (&value["by"], &value["ports"]),
        (&"pod".into(), &"all ports".into())
    );
    assert_eq!(value["groups"][1]["name"], "shop/db");
    let cell = serde_json::json!({"allowed": "some", "ports": "UDP 5433", "partly": "TCP 5432"});
    assert_eq!(value["cells"][2][1], cell);
}

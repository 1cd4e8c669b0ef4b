//! Requests at the edge of the grammar through Headgate, nginx and haproxy: `tests/framing` has them, and what must come.

mod answers;
mod exchange;
mod gateways;
mod pod;
mod wire;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use headgate_lab::{Gateway, Lab, tls::Authority, wait_until};

use crate::framing_table::{Outcome, REQUESTS, RESPONSES, Row, rows};
use crate::support::lab;
use exchange::Front;
use gateways::{Gateways, headgate};
use wire::client_of;

/// Where it is set, the columns of the peers and `today` are written anew from what is seen.
const RECORD: &str = "HEADGATE_RECORD";
/// Where it is set, only rows with this in their name are tried.
const ONLY: &str = "HEADGATE_ROWS";

/// Bytes that are sent at once, and whether with TLS.
const WAYS: [(usize, bool); 5] = [
    (usize::MAX, false),
    (1, false),
    (7, false),
    (usize::MAX, true),
    (7, true),
];
/// For connections that end one after the other.
const PATIENCE: Duration = Duration::from_secs(20);

/// What each gateway did: Headgate, nginx, haproxy.
type Seen = [Outcome; 3];

#[test]
fn requests_are_framed_as_the_table_says() {
    let pages = REQUESTS.map(|(page, _)| format!("requests/{page}.txt"));
    try_all(&pages);
}

#[test]
fn responses_are_framed_as_the_table_says() {
    let pages = RESPONSES.map(|(page, _)| format!("{page}.txt"));
    try_all(&pages);
}

/// Rows whose outcome is another when some of it comes later: 100 is said where a body is not there yet, and a head is looked
/// at whenever a line of it has ended, which CR alone does not do.
const BY_TIME: [&str; 2] = ["Expect and a body at once", "CR alone ends every line of a head"];

/// Rows whose pod says more than its response. What of it comes later than the response, when the connection carries another
/// one, is taken for a part of that: no gateway can tell. So these are sent in one piece.
const SURPLUS: [&str; 7] = [
    "more than Content-Length",
    "another response behind the first",
    "more behind the last chunk",
    "204 with a body",
    "204 with a chunked body",
    "304 with a body",
    "HEAD and a body",
];

#[test]
fn neither_cuts_nor_what_is_below_change_what_comes_of_a_row() {
    let [requests, responses] = [&REQUESTS[..], &RESPONSES[..]].map(|pages| {
        let rows = pages.iter().flat_map(|(_, text)| rows(text).unwrap());
        let rows = rows.filter(|row| !BY_TIME.contains(&row.name.as_str()));
        rows.collect::<Vec<Row>>()
    });
    let authority = Authority::new("framing").expect("an authority");
    let tls = Arc::new(client_of(&authority));
    let mut wrong = Vec::new();
    for on_sockets in [true, false] {
        let Some((lab, _turn)) = lab() else { return };
        let (mut front, gateway) = headgate(&lab, on_sockets, Some(&authority)).expect("Headgate");
        let mut try_each = |rows: &[Row]| {
            for (piece, with_tls) in WAYS {
                front.piece = piece;
                front.tls = with_tls.then(|| Arc::clone(&tls));
                let on = if on_sockets { "sockets" } else { "packets" };
                let here = |what| format!("on {on}, pieces of {piece}, TLS {with_tls}, {what}");
                let whole = piece == usize::MAX;
                let rows = rows
                    .iter()
                    .filter(|row| whole || !SURPLUS.contains(&row.name.as_str()));
                wrong.extend(rows.filter_map(|row| differs(&front, &lab, row)).map(here));
            }
        };
        try_each(&requests);
        nobody_is_blamed(&gateway, &requests);
        try_each(&responses);
        let blamed = counter(&gateway, "bad_responses");
        assert!(blamed > 0, "what pods do wrong is told");
        nothing_is_left(&gateway);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What Headgate does otherwise than the row says.
fn differs(front: &Front, lab: &Lab, row: &Row) -> Option<String> {
    let expected = expected(row);
    let seen = front.exchange(&lab.clients, row, expected);
    let differs = !expected.contains(&seen);
    differs.then(|| format!("{}: not {}, but {seen}", row.name, expected[0]))
}

/// After requests alone: what was wrong with them is the fault of no pod, and no error of the server's.
fn nobody_is_blamed(gateway: &Gateway, requests: &[Row]) {
    assert_eq!(counter(gateway, "bad_responses"), 0);
    let of_server = |row: &&Row| {
        expected(row)[0]
            .answers
            .iter()
            .any(|status| status.starts_with('5'))
    };
    let told = requests.iter().filter(of_server).count() * WAYS.len();
    assert_eq!(
        counter(gateway, "requests/server_error"),
        told as u64,
        "501 where a coding is not understood"
    );
}

fn counter(gateway: &Gateway, name: &str) -> u64 {
    let pointer = format!("/workers/0/l7/counters/{name}");
    gateway.count(&pointer).expect("a status")
}

fn nothing_is_left(gateway: &Gateway) {
    for what in ["clients", "active", "upstream_busy"] {
        let left = || gateway.count(&format!("/workers/0/l7/{what}")).expect("a status");
        wait_until("all connections have ended", PATIENCE, || left() == 0).expect(what);
    }
}

#[allow(
    clippy::print_stdout,
    reason = "what is not as wanted yet is for whoever runs it with --nocapture"
)]
fn try_all(pages: &[String]) {
    let Some((lab, _turn)) = lab() else { return };
    let gateways = Gateways::start(&lab).expect("the gateways");
    let record = std::env::var_os(RECORD).is_some();
    let only = std::env::var(ONLY).unwrap_or_default();
    let mut wrong = Vec::new();
    let mut wanted = Vec::new();
    for page in pages {
        let text = fs::read_to_string(file(page)).unwrap();
        let rows = rows(&text).unwrap_or_else(|error| panic!("{page}:{error}"));
        let rows = rows.iter().filter(|row| row.name.contains(&only));
        let seen: BTreeMap<&str, Seen> = rows
            .clone()
            .map(|row| (row.name.as_str(), see(&lab, &gateways, row)))
            .collect();
        if record {
            write(page, &text, &seen);
            continue;
        }
        for row in rows {
            let seen = &seen[row.name.as_str()];
            let here = |what: String| format!("{page}, {}: {what}", row.name);
            wrong.extend(faults(row, seen).into_iter().map(here));
            if !row.today.is_empty() {
                wanted.push(here(format!("is to be {}, is {}", row.ours, seen[0])));
            }
        }
    }
    let report = format!("{}\nnot as wanted yet:\n{}", wrong.join("\n"), wanted.join("\n"));
    println!("{report}");
    assert!(wrong.is_empty(), "{} faults:\n{report}", wrong.len());
}

/// Through each gateway in turn.
fn see(lab: &Lab, gateways: &Gateways, row: &Row) -> Seen {
    let mut expected = [expected(row), &row.nginx, &row.haproxy].into_iter();
    let fronts = gateways.fronts.each_ref();
    fronts.map(|front| front.exchange(&lab.clients, row, expected.next().unwrap_or_default()))
}

/// What Headgate does now.
fn expected(row: &Row) -> &[Outcome] {
    match row.today.as_slice() {
        [] => std::slice::from_ref(&row.ours),
        today => today,
    }
}

/// What a row says that is not so.
fn faults(row: &Row, [ours, nginx, haproxy]: &Seen) -> Vec<String> {
    let mut faults = Vec::new();
    let mut compare = |who: &str, said: &[Outcome], seen: &Outcome| {
        if !said.contains(seen) {
            let said: String = said.iter().map(|said| format!("\n    {said}")).collect();
            faults.push(format!("{who} does not{said}, but\n    {seen}"));
        }
    };
    compare("nginx", &row.nginx, nginx);
    compare("haproxy", &row.haproxy, haproxy);
    if row.today.is_empty() {
        compare("Headgate", std::slice::from_ref(&row.ours), ours);
    } else if *ours != row.ours || row.today.contains(ours) {
        compare("today's Headgate", &row.today, ours);
    } else {
        faults.push("`today` is out of date: it is as wanted".to_owned());
    }
    if row.stands_alone() && row.reason.is_empty() {
        faults.push("both peers agree, ours differs, and no reason is given".to_owned());
    }
    faults
}

/// Writes what was seen into a page, where it does not say so already.
fn write(page: &str, text: &str, seen: &BTreeMap<&str, Seen>) {
    let rows = rows(text).unwrap_or_default();
    let mut written = String::new();
    let mut found: Option<(&Row, &Seen)> = None;
    for text in text.lines() {
        if let Some(name) = text.strip_prefix("# ") {
            let row = rows.iter().find(|row| row.name == name);
            found = row.zip(seen.get(name));
        }
        let word = text.split(' ').next().unwrap_or_default();
        if found.is_some() && ["nginx", "haproxy", "today"].contains(&word) {
            continue;
        }
        written += &format!("{text}\n");
        if let (Some((row, [ours, nginx, haproxy])), "ours") = (found, word) {
            written += &line("nginx", &row.nginx, nginx);
            written += &line("haproxy", &row.haproxy, haproxy);
            if *ours != row.ours {
                written += &line("today", &row.today, ours);
            }
        }
    }
    fs::write(file(page), written).expect("a page that can be written");
}

/// The line of a column.
fn line(name: &str, said: &[Outcome], seen: &Outcome) -> String {
    let new = [seen.clone()];
    let said = if said.contains(seen) { said } else { &new };
    let all: Vec<String> = said.iter().map(Outcome::to_string).collect();
    format!("{name:<7} {}\n", all.join(" or "))
}

fn file(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/framing")
        .join(page)
}

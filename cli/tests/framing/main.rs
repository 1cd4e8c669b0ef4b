//! What holds of the table of requests without a single one sent, and that `docs/framing.md` says what it says.

#[allow(dead_code, reason = "some of it is for tests that send requests")]
mod table;

use std::{fs, path::Path};

use table::{Act, Outcome, REQUESTS, RESPONSES, Row, rows};

/// Where it is set, the documentation is written anew.
const RECORD: &str = "HEADGATE_RECORD";
/// A row and the page that it is from.
type Placed = (&'static str, Row);

fn all(pages: &[(&'static str, &'static str)]) -> Vec<Placed> {
    let page = |&(page, text): &(&'static str, &str)| {
        let rows = rows(text).unwrap_or_else(|error| panic!("{page}.txt:{error}"));
        rows.into_iter().map(move |row| (page, row))
    };
    pages.iter().flat_map(page).collect()
}

#[test]
fn every_row_says_all_that_it_must() {
    let (requests, responses) = (all(&REQUESTS), all(&RESPONSES));
    assert!(requests.len() >= 110 && responses.len() >= 30);
    assert!(responses.iter().all(|(_, row)| row.is_about_response()));
    for (page, row) in requests.iter().chain(&responses) {
        let here = format!("{page}.txt, {}", row.name);
        assert!(row.rule.starts_with("RFC "), "{here}: about which section?");
        assert!(
            !row.nginx.is_empty() && !row.haproxy.is_empty(),
            "{here}: what do the peers?"
        );
        assert!(matches!(row.acts[0], Act::Send(_)), "{here}: what is sent?");
        assert!(
            !row.stands_alone() || !row.reason.is_empty(),
            "{here}: both peers agree, Headgate differs: why?"
        );
    }
}

#[test]
fn the_documentation_says_where_headgate_stands_alone() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/framing.md");
    let page = fs::read_to_string(&path).unwrap();
    let new = with_table(&page, "requests", &all(&REQUESTS));
    let new = with_table(&new, "responses", &all(&RESPONSES));
    if std::env::var_os(RECORD).is_some() {
        fs::write(&path, new).unwrap();
    } else {
        assert!(page == new, "{RECORD}=1 writes docs/framing.md anew:\n{new}");
    }
}

/// The page with what its table of `what` must be, between two comments.
fn with_table(page: &str, what: &str, rows: &[Placed]) -> String {
    let begin = format!("<!-- {what} of the table -->\n");
    let end = "<!-- end -->\n";
    let (before, rest) = page.split_once(&begin).expect("the mark before the table");
    let (_, after) = rest.split_once(end).expect("the mark behind the table");
    format!("{before}{begin}{}{end}{after}", text(what, rows))
}

fn text(what: &str, rows: &[Placed]) -> String {
    let mut alone: Vec<&Row> = rows
        .iter()
        .map(|(_, row)| row)
        .filter(|row| row.stands_alone())
        .collect();
    // Those with the same reason together, where the first of them stands.
    let places: Vec<&str> = alone.iter().map(|row| row.reason.as_str()).collect();
    let place = |row: &&Row| places.iter().position(|reason| *reason == row.reason);
    alone.sort_by_cached_key(place);
    let with = |peer: fn(&Row) -> &[Outcome]| {
        let alike = |row: &Row| {
            peer(row)
                .iter()
                .any(|theirs| theirs.in_short() == row.ours.in_short())
        };
        rows.iter().filter(|(_, row)| alike(row)).count()
    };
    let (nginx, haproxy) = (with(|row| &row.nginx), with(|row| &row.haproxy));
    let mut text = format!(
        "Of {} {what} Headgate treats {nginx} as nginx does and {haproxy} as haproxy does. In {} both agree and it does not:\n\n\
         | {what} | nginx and haproxy | Headgate | why |\n|---|---|---|---|\n",
        rows.len(),
        alone.len(),
    );
    for like in alone.chunk_by(|a, b| cells(a) == cells(b)) {
        let names: Vec<&str> = like.iter().map(|row| row.name.as_str()).collect();
        text += &format!("| {} | {} |\n", names.join("; "), cells(like[0]).join(" | "));
    }
    text
}

/// Of a line of the documentation, without the first.
fn cells(row: &Row) -> [String; 3] {
    [told(&row.nginx[0]), told(&row.ours), row.reason.clone()]
}

/// An outcome in a cell of the documentation.
fn told(outcome: &Outcome) -> String {
    match (outcome.answers.join(", "), outcome.end == "open") {
        (none, true) if none.is_empty() => "wait for more".to_owned(),
        (none, false) if none.is_empty() => "close without an answer".to_owned(),
        (answers, _) => answers,
    }
}

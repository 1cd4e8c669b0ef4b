//! `docs/tour.md` names functions; they must be where it says.

use std::{fs, path::Path};

/// `(name, file)` of each link of the form [`name`](file).
fn links(text: &str) -> Vec<(&str, &str)> {
    text.split("[`")
        .skip(1)
        .filter_map(|rest| {
            let (name, rest) = rest.split_once("`](")?;
            Some((name, rest.split_once(')')?.0))
        })
        .collect()
}

/// Whether `text` defines the last part of `name`: a function, a type, a trait, a variant.
fn defines(text: &str, name: &str) -> bool {
    let last = name.rsplit("::").next().unwrap_or(name);
    let keyword = ["fn ", "struct ", "enum ", "trait "].iter().any(|keyword| {
        let definition = format!("{keyword}{last}");
        text.match_indices(&definition).any(|(at, found)| {
            !text[at + found.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
        })
    });
    let variant = || {
        text.lines()
            .any(|line| line.trim().trim_end_matches([',', ' ', '{']).split('(').next() == Some(last))
    };
    keyword || variant()
}

#[test]
fn what_the_tour_names_is_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let text = fs::read_to_string(docs.join("tour.md")).unwrap();
    let links = links(&text);
    assert!(links.len() > 40, "{}", links.len());
    let missing: Vec<_> = links
        .iter()
        .filter(|(name, file)| {
            let Ok(source) = fs::read_to_string(docs.join(file)) else {
                return true;
            };
            !file.ends_with(name) && !defines(&source, name)
        })
        .collect();
    assert!(missing.is_empty(), "not where docs/tour.md says: {missing:#?}");
}

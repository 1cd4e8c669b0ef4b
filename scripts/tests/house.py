#!/usr/bin/env python3
"""Tests of scripts/house: a small tree of which every figure is known."""

import importlib.machinery
import importlib.util
import pathlib
import tempfile
import unittest

HOUSE = pathlib.Path(__file__).resolve().parent.parent / "house"
LOADER = importlib.machinery.SourceFileLoader("house", str(HOUSE))
house = importlib.util.module_from_spec(importlib.util.spec_from_loader("house", LOADER))
LOADER.exec_module(house)

TREE = {
    "Cargo.toml": 'members = [\n    "low",\n    "high",\n]\n',
    "Cargo.lock": '[[package]]\nname = "quick"\ndependencies = [\n "slow 1.0",\n]\n\n[[package]]\nname = "slow"\n',
    "low/Cargo.toml": '[package]\nname = "headgate-low"\n\n[dependencies]\nquick.workspace = true\n',
    "high/Cargo.toml": '[package]\nname = "headgate-high"\n\n[dependencies]\nheadgate-low.workspace = true\n',
    "low/src/lib.rs": """\
//! Text.
mod left;
mod right;
mod apart;
#[cfg(test)]
mod checks;
pub use right::Named;
""",
    "low/src/left.rs": """\
use super::Named; // by way of the parent
use std::{fmt, io::{self, Read}};

/// Documented. fn in_a_comment() {
#[derive(Debug)]
#[error(
    "of several lines"
)]
pub struct Entry {
    text: &'static str,
}

pub fn undocumented() -> &'static str {
    "fn in_a_text() { unsafe { struct Hidden"
}

#[cfg(test)]
mod tests {
    struct Entry;
    fn long() {
        loop {}
    }
}
""",
    "low/src/right.rs": """\
/// Documented.
pub struct Named;
enum Entry {}
fn back() {
    crate::left::undocumented();
}
""",
    "low/src/apart.rs": "struct Entry;\nfn body(array: [u8; 4]) -> u8 {\n" + "    work();\n" * 70 + "}\nfn none();\n",
    "low/src/checks.rs": "fn of_tests() { unsafe { wrong() } }\n",
    "high/src/main.rs": "mod left;\nfn main() {\n" + "".join(f"    step({n});\n" for n in range(6)) + "}\n",
    "high/src/left.rs": "fn again() {\n" + "".join(f"    step({n});\n" for n in range(6)) + "    more();\n}\n",
}
TABLES = """\
# Contributing

## Where things are

| folder | what | may use of ours | never |
|---|---|---|---|
| `low/` | the floor | – | {never} |
| `high/` | the roof | {uses} | – |

## What the tree holds itself to

| figure | at most |
|---|---|
{limits}
"""


class House(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        for path, text in TREE.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)
        self.files = house.product(self.root)

    def file(self, path):
        return next(file for file in self.files if str(file.path) == path)

    def test_tests_are_no_product(self):
        self.assertEqual([str(f.path) for f in self.files if f.module == ("checks",)], [])
        self.assertEqual([name for _, name, _ in self.file("low/src/left.rs").functions()], ["undocumented"])

    def test_functions_have_the_lines_of_their_bodies(self):
        self.assertEqual(list(self.file("low/src/apart.rs").functions()), [(72, "body", 2)])

    def test_homes_are_definitions_in_code(self):
        homes = {name: len(where) for name, where in house.homes(self.files).items()}
        self.assertEqual(homes, {"Entry": 3, "Named": 1})

    def test_circles_are_found_through_what_a_parent_exports(self):
        [(crate, parent, names, inside)] = house.circles(self.files)
        self.assertEqual((crate, parent, names), ("low", (), ["left", "right"]))
        paths = [("left", "right", "low/src/left.rs: super::Named"), ("right", "left", "low/src/right.rs: crate::left::undocumented")]
        self.assertEqual(inside, paths)

    def test_no_circle_without_the_way_back(self):
        (self.root / "low/src/right.rs").write_text("/// Documented.\npub struct Named;\n")
        self.assertEqual(house.circles(house.product(self.root)), [])

    def test_a_parent_and_its_children_may_know_each_other(self):
        (self.root / "low/src/right.rs").write_text("/// Documented.\npub struct Named;\nuse super::apart;\n")
        (self.root / "low/src/apart.rs").write_text("use crate::Missing;\n")
        self.assertEqual(house.circles(house.product(self.root)), [])

    def test_clones_are_runs_of_six_lines(self):
        found = house.clones(self.files)
        self.assertEqual([clone[0] for clone in found if str(clone[1]) != str(clone[3])], [6])

    def test_unsafe_is_counted_in_tests_and_not_in_texts(self):
        self.assertEqual(list(house.stray_unsafe(self.root)), [("low/src/checks.rs", 1)])

    def test_comments_of_public_items_stand_before_attributes(self):
        self.assertEqual([name for file in self.files for name, _ in file.undocumented()], ["undocumented"])

    def test_use_trees(self):
        self.assertEqual(
            list(house.expand("std::{fmt, io::{self, Read as R}}")),
            [("fmt", ["std", "fmt"]), ("io", ["std", "io"]), ("R", ["std", "io", "Read"])],
        )

    def faults(self, uses="low", never="–", change=lambda limits: None):
        limits = house.figures(self.root, self.files)
        change(limits)
        rows = "\n".join(f"| {name} | {limit} |" for name, limit in limits.items())
        (self.root / "CONTRIBUTING.md").write_text(TABLES.format(uses=uses, never=never, limits=rows))
        return list(house.faults(self.root, self.files))

    def test_what_holds_has_no_faults(self):
        self.assertEqual(self.faults(), [])

    def test_a_figure_above_its_limit(self):
        found = self.faults(change=lambda limits: limits.update({"lines of the longest function": 60}))
        self.assertEqual(found, ["lines of the longest function: 72, at most 60"])

    def test_a_figure_without_a_limit(self):
        self.assertEqual(len(self.faults(change=lambda limits: limits.pop("clones"))), 1)

    def test_a_crate_that_uses_what_it_may_not(self):
        self.assertEqual(self.faults(uses="–"), ["high/ uses low; CONTRIBUTING.md does not say that it may"])

    def test_a_crate_that_needs_what_it_never_does(self):
        self.assertEqual(self.faults(never="slow"), ["low/ needs slow, and CONTRIBUTING.md says that it never does"])


if __name__ == "__main__":
    unittest.main()

//! The matrix as a page: the picture, and what it leaves open in words.

use std::fmt::Write;

use super::matrix::{Extent, Matrix};
use super::svg::{self, escape};

const STYLE: &str = "\
body{margin:1.5em;font:14px/1.4 'DejaVu Sans','Liberation Sans',Arial,sans-serif;color:#1a1a1a;background:#fff}\
figure{margin:0;overflow-x:auto}h2{font-size:1.1em;margin:1.5em 0 .5em}\
table{border-collapse:collapse}th,td{text-align:left;padding:.2em .8em;border-bottom:1px solid #ccc;vertical-align:top}\
@media print{figure{overflow:visible}svg{max-width:100%;height:auto}}";

pub(super) fn render(matrix: &Matrix) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Who may connect to whom</title>\n\
         <style>{STYLE}</style>\n<figure>\n{}</figure>\n",
        svg::element(matrix)
    );
    let mut rows = String::new();
    for (from, cells) in matrix.groups.iter().zip(&matrix.cells) {
        for (to, cell) in matrix
            .groups
            .iter()
            .zip(cells)
            .filter(|(_, c)| c.allowed == Extent::Some)
        {
            let _infallible = writeln!(
                rows,
                "<tr><td>{}<td>{}<td>{}<td>{}",
                escape(&from.name),
                escape(&to.name),
                escape(&cell.ports.to_string()),
                if cell.partly.is_empty() {
                    String::new()
                } else {
                    escape(&cell.partly.to_string())
                }
            );
        }
    }
    if !rows.is_empty() {
        page += "<h2>Allowed in part</h2>\n<table>\n<tr><th>From<th>To<th>Ports<th>Ports for some of them, or by one family of \
                 addresses\n";
        page += &rows;
        page += "</table>\n";
    }
    page += "</html>\n";
    page
}

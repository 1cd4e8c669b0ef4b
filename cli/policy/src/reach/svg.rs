//! The matrix as a picture: self-contained, legible in print and to the colour-blind, since the kinds of cells differ
//! in lightness and pattern too.

use std::fmt::Write;

use super::matrix::{Cell, Extent, Matrix};

/// Edge of a cell.
const CELL: usize = 16;

/// Space around everything.
const MARGIN: usize = 16;

/// Height of title, caption and legend.
const HEAD: usize = 84;

/// Longer names are cut; the whole name is in the tooltip.
const NAME_CHARS: usize = 44;

/// About the width of a character at the labels' size, in tenths.
const CHAR_TENTHS: usize = 66;

const STYLE: &str = "\
text{font:11px 'DejaVu Sans','Liberation Sans',Arial,sans-serif;fill:#1a1a1a}\
.t{font-size:16px;font-weight:bold}.c{fill:#555}.n{fill:#888}\
.a{fill:#1f4e8c}.s{fill:url(#hatch)}.d{fill:#fff}.i{fill:#d9d9d9}\
rect.a,rect.s,rect.d,rect.i{stroke:#b5b5b5;stroke-width:.6}\
.b{stroke:#1a1a1a;stroke-width:1.4;fill:none}.h{stroke:#8a8a8a;stroke-width:.8}";

/// Light orange with dark stripes: neither as dark as what is allowed nor as light as what is denied.
const HATCH: &str = "\
<pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
<rect width=\"5\" height=\"5\" fill=\"#fbd9a5\"/><rect width=\"2\" height=\"5\" fill=\"#c05a00\"/></pattern>";

/// A whole document.
pub(super) fn document(matrix: &Matrix) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", element(matrix))
}

/// The picture alone, as it can stand in a page.
pub(super) fn element(matrix: &Matrix) -> String {
    let count = matrix.groups.len();
    let labels = label_pixels(matrix);
    let (left, top) = (MARGIN + labels + 28, HEAD + labels);
    let side = count * CELL;
    // The last labels lean out to the right.
    let (width, height) = (
        (left + side + MARGIN + labels * 6 / 10).max(620),
        top + side + MARGIN,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\">\n<title>Who may connect to whom</title>\n<style>{STYLE}</style>\n<defs>{HATCH}</defs>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    head(&mut svg, matrix);
    for (index, group) in matrix.groups.iter().enumerate() {
        label(&mut svg, &group.name, index, (left, top));
    }
    cells(&mut svg, matrix, (left, top));
    borders(&mut svg, matrix, (left, top));
    svg += "</svg>\n";
    svg
}

fn label_pixels(matrix: &Matrix) -> usize {
    let chars = matrix
        .groups
        .iter()
        .map(|group| shown(&group.name).chars().count());
    chars.max().unwrap_or(0) * CHAR_TENTHS / 10 + 8
}

fn shown(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS {
        return name.to_owned();
    }
    name.chars().take(NAME_CHARS - 1).chain(['…']).collect()
}

fn head(svg: &mut String, matrix: &Matrix) {
    let _infallible = writeln!(
        svg,
        "<text class=\"t\" x=\"{MARGIN}\" y=\"30\">Who may connect to whom</text>\n\
         <text class=\"c\" x=\"{MARGIN}\" y=\"48\">{}; rows connect, columns are connected to</text>",
        escape(&matrix.caption())
    );
    let mut x = MARGIN;
    for (class, word) in [
        ("a", "allowed"),
        ("s", "in part"),
        ("d", "denied"),
        ("i", "itself"),
    ] {
        let _infallible = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{x}\" y=\"58\" width=\"14\" height=\"14\"/><text x=\"{}\" y=\"69\">{word}</text>",
            x + 20
        );
        x += 90;
    }
}

/// A row's label on the left, and the same for its column, leaning.
fn label(svg: &mut String, name: &str, index: usize, (left, top): (usize, usize)) {
    let (row, column) = (top + index * CELL + 12, left + index * CELL + 12);
    let (shown, whole) = (escape(&shown(name)), escape(name));
    let number = index + 1;
    let _infallible = writeln!(
        svg,
        "<text text-anchor=\"end\" x=\"{}\" y=\"{row}\">{shown}<title>{whole}</title></text>\
         <text class=\"n\" text-anchor=\"end\" x=\"{}\" y=\"{row}\">{number}</text>\
         <text transform=\"translate({column},{}) rotate(-55)\">{shown}<title>{whole}</title></text>",
        left - 30,
        left - 6,
        top - 6
    );
}

fn cells(svg: &mut String, matrix: &Matrix, (left, top): (usize, usize)) {
    for (row, (from, cells)) in matrix.groups.iter().zip(&matrix.cells).enumerate() {
        for (column, (to, cell)) in matrix.groups.iter().zip(cells).enumerate() {
            let class = match cell.allowed {
                Extent::All => "a",
                Extent::Some => "s",
                Extent::None => "d",
                Extent::Itself => "i",
                Extent::Void => continue,
            };
            let _infallible = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{CELL}\" height=\"{CELL}\"><title>{} → {}: {}</title></rect>",
                left + column * CELL,
                top + row * CELL,
                escape(&from.name),
                escape(&to.name),
                escape(&tooltip(cell))
            );
        }
    }
}

fn tooltip(cell: &Cell) -> String {
    match cell.allowed {
        Extent::Itself | Extent::Void => "itself".to_owned(),
        Extent::None => "denied".to_owned(),
        Extent::All | Extent::Some => cell.words(),
    }
}

/// Lines between namespaces, and a thick one around pods and nodes.
fn borders(svg: &mut String, matrix: &Matrix, (left, top): (usize, usize)) {
    let side = matrix.groups.len() * CELL;
    let changes = matrix
        .groups
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0].namespace != pair[1].namespace);
    for (index, _) in changes {
        let at = (index + 1) * CELL;
        let _infallible = writeln!(
            svg,
            "<path class=\"h\" d=\"M{} {}h{}M{} {}v{}\"/>",
            MARGIN,
            top + at,
            left + side - MARGIN,
            left + at,
            top - 4,
            side + 4
        );
    }
    let inside = matrix.inside() * CELL;
    for edge in [inside, side] {
        let _infallible = writeln!(
            svg,
            "<rect class=\"b\" x=\"{left}\" y=\"{top}\" width=\"{edge}\" height=\"{edge}\"/>"
        );
    }
}

/// As text of XML and HTML can hold it: names come from whoever writes manifests.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

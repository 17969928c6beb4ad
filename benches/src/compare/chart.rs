//! One chart of lines over the number of hubs, as SVG that is light or dark as its reader's screen is.

use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;
use std::io;

/// A runtime's line: its name, its place among all runtimes (which decides its colour), and a value for some numbers
/// of hubs.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) place: usize,
    pub(crate) points: Vec<(usize, f64)>,
}

const SIZE: (u32, u32) = (560, 340);

/// Stands for the colour of text and axes, which the reader's screen decides.
const INK: RGBColor = RGBColor(1, 2, 3);
const INK_IN_SVG: &str = "\"#010203\"";

/// Readable on light and dark ground.
const COLOURS: &[RGBColor] = &[
    RGBColor(22, 163, 74),
    RGBColor(101, 193, 60),
    RGBColor(59, 130, 246),
    RGBColor(234, 88, 12),
    RGBColor(168, 85, 247),
    RGBColor(136, 136, 136),
    RGBColor(236, 72, 153),
    RGBColor(6, 182, 212),
    RGBColor(202, 138, 4),
];

const STYLE: &str = "<style>svg{color:#222;background:#fff}@media (prefers-color-scheme:dark){svg{color:#ddd;\
                     background:#161616}}</style>";

/// Where the names of the lines stand: where there are likely to be no lines.
pub(crate) enum Names {
    /// Of lines that rise.
    Above,
    /// Of lines that stay up.
    Below,
}

/// Draws it; values go from zero.
pub(crate) fn draw(title: &str, values: &str, names: &Names, lines: &[Line]) -> io::Result<String> {
    let mut svg = String::new();
    draw_into(SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), title, values, names, lines)
        .map_err(|error| io::Error::other(format!("the chart {title:?}: {error}")))?;
    Ok(adapt(&svg))
}

fn draw_into(
    area: DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    values: &str,
    names: &Names,
    lines: &[Line],
) -> Result<(), Box<dyn Error>> {
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let least = points().map(|(hubs, _)| *hubs).min().unwrap_or(1);
    let most = points().map(|(hubs, _)| *hubs).max().unwrap_or(1).max(least + 1);
    let top = points().map(|(_, value)| *value).fold(0.0, f64::max);
    let top = if top > 0.0 { top * 1.1 } else { 1.0 };
    let text = |size: u32| ("sans-serif", size).into_font().color(&INK);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, text(16))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(least..most, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("hubs")
        .y_desc(values)
        .x_labels((most - least + 1).min(16))
        .y_label_formatter(&|value| short(*value))
        .axis_style(INK)
        .bold_line_style(INK.mix(0.18))
        .light_line_style(INK.mix(0.0))
        .label_style(text(12))
        .draw()?;
    for line in lines {
        let colour = COLOURS[line.place % COLOURS.len()];
        let style = colour.stroke_width(if line.place < 2 { 3 } else { 2 });
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), style).point_size(3))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart
        .configure_series_labels()
        .position(match names {
            Names::Above => SeriesLabelPosition::UpperLeft,
            Names::Below => SeriesLabelPosition::LowerLeft,
        })
        .border_style(INK.mix(0.2))
        .label_font(text(11))
        .draw()?;
    area.present()?;
    Ok(())
}

/// A number in a few characters.
fn short(value: f64) -> String {
    match value.abs() {
        least if least >= 1e6 => format!("{:.1}M", value / 1e6).replace(".0", ""),
        least if least >= 1e3 => format!("{:.1}k", value / 1e3).replace(".0", ""),
        least if least >= 10.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

/// Lets the reader's screen choose the ink.
fn adapt(svg: &str) -> String {
    let svg = svg.replace(INK_IN_SVG, "\"currentColor\"");
    match svg.find("<svg").and_then(|start| svg[start..].find('>').map(|end| start + end + 1)) {
        Some(inside) => format!("{}{STYLE}{}", &svg[..inside], &svg[inside..]),
        None => svg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_names_its_lines_and_leaves_the_ink_to_the_screen() {
        let line = Line { name: "greenhub".into(), place: 0, points: vec![(1, 1e6), (2, 1.9e6)] };
        let svg = draw("yield", "per second", &Names::Above, &[line]).expect("it can be drawn");
        assert!(
            svg.contains("greenhub") && svg.contains("currentColor") && svg.contains("prefers-color-scheme")
        );
        assert!(!svg.contains(INK_IN_SVG));
    }

    #[test]
    fn numbers_on_an_axis_are_short() {
        assert_eq!([short(2e6), short(1500.0), short(20.0), short(0.5)], ["2M", "1.5k", "20", "0.50"]);
    }
}

//! What more hubs are worth: throughput and efficiency over their number, as charts and a page.

use super::case::{self, Case, Figure};
use super::chart::{Line, Names, draw};
use super::results::Results;
use super::table::table;
use std::fs;
use std::io;
use std::path::Path;

/// The numbers of hubs to measure if none are given: all up to eight, then on in steps of about a quarter, and always
/// the last.
pub(crate) fn steps(most: usize) -> Vec<usize> {
    let mut steps = vec![1];
    while let Some(&last) = steps.last()
        && last < most
    {
        steps.push((last + (last / 4).max(1)).min(most));
    }
    steps
}

/// How much is done in a second, as far as a figure says so; quantiles and sizes do not.
fn throughput(figure: &Figure, value: f64) -> Option<f64> {
    match figure.key {
        "ns" => Some(1e9 / value),
        "ms" => Some(1e3 / value),
        "rps" => Some(value),
        _ => None,
    }
    .filter(|throughput| throughput.is_finite())
}

fn unit(figure: &Figure) -> &'static str {
    match figure.key {
        "ms" => "runs per second",
        "rps" => "requests per second",
        _ => "operations per second",
    }
}

/// Throughput of one workload, a line a runtime.
fn lines(results: &Results, case: &Case, figure: &Figure) -> Vec<Line> {
    let line = |(place, name): (usize, &String)| {
        let point = |hubs| {
            let value = results.value(case.name, name, hubs, figure.key)?;
            Some((hubs, throughput(figure, value.median)?))
        };
        let points: Vec<_> = results.hubs(case.name).into_iter().filter_map(point).collect();
        (!points.is_empty()).then(|| Line { name: name.clone(), place, points })
    };
    let names: Vec<_> = results.runtimes.iter().map(|runtime| &runtime.name).cloned().collect();
    names.iter().enumerate().filter_map(line).collect()
}

/// Of a line of throughput: which share of their number its hubs are worth, measured by its first point.
fn efficiency(line: &Line) -> Option<Line> {
    let &(first, base) = line.points.first()?;
    let each = base / first as f64;
    let points = line.points.iter().map(|&(hubs, value)| (hubs, value / (each * hubs as f64))).collect();
    Some(Line { name: line.name.clone(), place: line.place, points })
}

/// Writes the charts, a page that shows them all, and the results.
pub(crate) fn report(results: &Results, folder: &Path) -> io::Result<()> {
    let named = |error: io::Error| io::Error::other(format!("{}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(named)?;
    results.write(&folder.join("results.json"))?;
    let mut charts = String::new();
    for case in case::ALL {
        for figure in case.figures {
            let throughput = lines(results, case, figure);
            if throughput.is_empty() {
                continue;
            }
            let efficiency: Vec<_> = throughput.iter().filter_map(efficiency).collect();
            charts += &format!("<section><h2>{}</h2><p>{}</p>\n", case.name, case.what);
            for (kind, values, names, lines) in [
                ("throughput", unit(figure), Names::Above, throughput),
                ("efficiency", "share of the hubs' number", Names::Below, efficiency),
            ] {
                let svg = draw(&format!("{}: {kind}", case.name), values, &names, &lines)?;
                fs::write(folder.join(format!("{}-{kind}.svg", case.name)), &svg).map_err(named)?;
                charts += &format!("<figure>{svg}</figure>\n");
            }
            charts += "</section>\n";
        }
    }
    fs::write(folder.join("index.html"), page(results, &charts)).map_err(named)
}

fn page(results: &Results, charts: &str) -> String {
    let versions: Vec<_> =
        results.runtimes.iter().map(|runtime| format!("{} {}", runtime.name, runtime.version)).collect();
    let notes: String = results.notes.iter().map(|note| format!("<li>{}</li>\n", escape(note))).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>Scale report</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<style>\n\
         :root{{color-scheme:light dark}}\n\
         body{{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}}\n\
         @media (prefers-color-scheme:dark){{body{{color:#ddd;background:#161616}}}}\n\
         section{{margin:2rem 0}} h2{{margin:0}} figure{{display:inline-block;margin:0;max-width:100%}}\n\
         svg{{max-width:100%;height:auto}} pre{{overflow-x:auto;font-size:12px}}\n</style></head><body>\n\
         <h1>Scale report</h1>\n<p>{}</p>\n<p>{}</p>\n<ul>{notes}</ul>\n{charts}\
         <details><summary>The numbers</summary><pre>{}</pre></details>\n</body></html>\n",
        escape(&results.machine.line()),
        escape(&versions.join(", ")),
        escape(&table(results)),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_begin_at_one_and_end_at_the_last() {
        assert_eq!(steps(1), [1]);
        assert_eq!(steps(6), [1, 2, 3, 4, 5, 6]);
        assert_eq!(steps(16), [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 16]);
        assert!(steps(256).len() < 30);
    }

    #[test]
    fn efficiency_is_one_where_it_begins() {
        let line = Line { name: String::new(), place: 0, points: vec![(2, 10.0), (4, 15.0)] };
        assert_eq!(efficiency(&line).expect("it has points").points, [(2, 1.0), (4, 0.75)]);
    }
}

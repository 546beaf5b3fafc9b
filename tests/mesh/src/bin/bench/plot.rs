//! A drawing of how a cost grows, as SVG: readable on light and dark pages, without scripts or fonts of its own.

use std::fmt::Write as _;

use crate::spread::Spread;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 52.0;

/// What is drawn.
pub struct Plot {
    pub title: String,
    /// What grows.
    pub x: String,
    /// What is measured.
    pub y: String,
    /// How many there are, and the cost.
    pub points: Vec<(usize, Spread)>,
    /// Something to compare with: its name and cost.
    pub reference: Option<(String, f64)>,
}

impl Plot {
    /// The drawing. Counts are drawn by their logarithm, medians joined by a line, least and most round as bars.
    pub fn svg(&self) -> String {
        let top = self.top();
        let y = |value: f64| HEIGHT - BOTTOM - (value.clamp(0.0, top) / top) * (HEIGHT - TOP - BOTTOM);
        let logs: Vec<f64> = self.points.iter().map(|(count, _)| (*count as f64).max(1.0).log10()).collect();
        let last = logs.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let x = |log: f64| LEFT + 24.0 + log / last * (WIDTH - LEFT - RIGHT - 48.0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"15\" fill=\"#1f2328\">{title}</text>\n",
            title = escape(&self.title),
        );
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#d1d9e0\"/><text x=\"{text}\" y=\"{base:.1}\" text-anchor=\"end\" \
                 fill=\"#59636e\">{value}</text>",
                at = y(value),
                right = WIDTH - RIGHT,
                text = LEFT - 8.0,
                base = y(value) + 4.0,
            );
        }
        if let Some((name, value)) = &self.reference {
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#9a6700\" stroke-dasharray=\"6 4\"/><text x=\"{right}\" y=\"{base:.1}\" \
                 text-anchor=\"end\" fill=\"#9a6700\">{name}</text>",
                at = y(*value),
                right = WIDTH - RIGHT,
                base = y(*value) - 6.0,
                name = escape(name),
            );
        }
        let line: Vec<String> =
            self.points.iter().zip(&logs).map(|((_, spread), log)| format!("{:.1} {:.1}", x(*log), y(spread.median))).collect();
        let _ = writeln!(svg, "<path d=\"M{}\" fill=\"none\" stroke=\"#0969da\" stroke-width=\"2\"/>", line.join("L"));
        for ((count, spread), log) in self.points.iter().zip(&logs) {
            let _ = writeln!(
                svg,
                "<path d=\"M{at:.1} {low:.1}V{high:.1}\" stroke=\"#0969da\"/><circle cx=\"{at:.1}\" cy=\"{median:.1}\" r=\"4\" \
                 fill=\"#0969da\"><title>{count}: {value:.1}</title></circle><text x=\"{at:.1}\" y=\"{base}\" text-anchor=\"middle\" \
                 fill=\"#59636e\">{count}</text>",
                at = x(*log),
                low = y(spread.least),
                high = y(spread.most),
                median = y(spread.median),
                value = spread.median,
                base = HEIGHT - BOTTOM + 18.0,
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{middle}\" y=\"{bottom}\" text-anchor=\"middle\" fill=\"#1f2328\">{x}</text>\n<text x=\"16\" y=\"{height}\" \
             text-anchor=\"middle\" fill=\"#1f2328\" transform=\"rotate(-90 16 {height})\">{y}</text>\n</svg>",
            middle = (LEFT + WIDTH - RIGHT) / 2.0,
            bottom = HEIGHT - 12.0,
            x = escape(&self.x),
            y = escape(&self.y),
            height = (TOP + HEIGHT - BOTTOM) / 2.0,
        );
        svg
    }

    /// A round number above all that is drawn.
    fn top(&self) -> f64 {
        let values = self.points.iter().map(|(_, spread)| spread.most).chain(self.reference.as_ref().map(|(_, value)| *value));
        let most = values.filter(|value| value.is_finite()).fold(1.0, f64::max);
        let unit = 10f64.powf(most.log10().floor());
        [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0, 10.0].map(|step| step * unit).into_iter().find(|top| *top >= most).unwrap_or(most)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_points_are_inside_of_the_drawing_and_text_is_escaped() {
        let spread = |median: f64| Spread::of([median - 1.0, median, median + 1.0]).unwrap();
        let points = vec![(1, spread(6.3)), (10, spread(7.0)), (1000, spread(65.5))];
        let svg =
            Plot { title: "a < b".into(), x: "agents".into(), y: "µs".into(), points, reference: Some(("native".into(), 25.0)) }.svg();
        let places: Vec<(f64, f64)> = svg
            .match_indices("<circle cx=\"")
            .map(|(at, found)| {
                let mut numbers = svg[at + found.len()..].split('"');
                let x = numbers.next().unwrap().parse().unwrap();
                (x, numbers.nth(1).unwrap().parse().unwrap())
            })
            .collect();
        assert_eq!(places.len(), 3);
        assert!(places.iter().all(|(x, y)| (LEFT..=WIDTH - RIGHT).contains(x) && (TOP..=HEIGHT - BOTTOM).contains(y)), "{places:?}");
        assert!(places.is_sorted_by(|a, b| a.0 < b.0 && a.1 > b.1), "more to the right, dearer above: {places:?}");
        assert!(svg.contains("a &lt; b") && !svg.contains("a < b") && svg.ends_with("</svg>\n"));
    }
}

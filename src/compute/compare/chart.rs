//! Charts: one measure over one axis, a mark per instance and a line through the means, as SVG.
//! Never needs colour to be read: lines differ by their marks and dashes too.

use super::{Field, Instance, values};
use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 56.0;
/// Places on the axis that get a label; more would run into each other.
const LABELS_MAX: usize = 16;
/// Lines that are told apart; more share the look of the last.
const LOOKS: [Look; 6] = [
    Look { colour: "#0b5394", dash: "", mark: Mark::Circle },
    Look { colour: "#b45f06", dash: "6 3", mark: Mark::Square },
    Look { colour: "#38761d", dash: "2 3", mark: Mark::Triangle },
    Look { colour: "#741b47", dash: "8 3 2 3", mark: Mark::Diamond },
    Look { colour: "#351c75", dash: "12 4", mark: Mark::Cross },
    Look { colour: "#444444", dash: "1 2", mark: Mark::Circle },
];

/// How one line looks.
#[derive(Clone, Copy)]
struct Look {
    colour: &'static str,
    dash: &'static str,
    mark: Mark,
}

#[derive(Clone, Copy)]
enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
}

/// The measures along an axis.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// Round steps (1, 2 or 5 times a power of ten), about five of them, around all values.
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let span = if high > low { high - low } else { low.abs().max(1.0) / 10.0 };
        let mut power = 1.0f64;
        while power > span / 5.0 && power > 1e-300 {
            power /= 10.0;
        }
        while power * 10.0 <= span / 5.0 {
            power *= 10.0;
        }
        let steps = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
        let step = steps.into_iter().find(|step| *step >= span / 5.0).unwrap_or(power);
        // What is a step but for rounding counts as one.
        let low = (low / step + 1e-9).floor() * step;
        let high = (high / step - 1e-9).ceil() * step;
        Self { low, high: if high > low { high } else { low + step }, step }
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
    }

    fn ticks(&self) -> Vec<f64> {
        (0..=20u32)
            .map(|i| self.low + f64::from(i) * self.step)
            .filter(|tick| *tick <= self.high + self.step / 2.0)
            .collect()
    }

    /// As many decimal places as tell two ticks apart.
    fn text(&self, value: f64) -> String {
        let places = (0..=9).find(|places| self.step >= 0.1f64.powi(*places) * 0.999);
        format!("{value:.*}", usize::try_from(places.unwrap_or(9)).unwrap_or(9))
    }
}

/// Draws the field along `axis`, or instance by instance where there is none.
pub(super) fn draw(field: &Field, axis: Option<&str>, series: Option<&str>) -> String {
    let place = |instance: &Instance| match axis {
        Some(axis) => instance.on(axis).unwrap_or("-").to_owned(),
        None => instance.name.clone(),
    };
    let places: Vec<String> = match axis {
        Some(axis) => {
            let known = values(field, axis).into_iter().map(str::to_owned);
            let odd = field.instances.iter().any(|instance| instance.on(axis).is_none());
            known.chain(odd.then(|| "-".to_owned())).collect()
        }
        None => field.instances.iter().map(|instance| instance.name.clone()).collect(),
    };
    let at: BTreeMap<&str, usize> =
        places.iter().enumerate().map(|(i, place)| (place.as_str(), i)).collect();
    let room = (WIDTH - LEFT - RIGHT) / places.len().max(1) as f64;
    let x = |i: usize| LEFT + room * (i as f64 + 0.5);
    let measured = |instance: &Instance| {
        let value = instance.measures.get(&field.metric).copied()?;
        Some((at.get(place(instance).as_str()).copied()?, value))
    };
    let scale = Scale::over(field.instances.iter().filter_map(measured).map(|(_, value)| value));
    let mut svg = frame(field, axis.unwrap_or("instance"), &scale);
    labels(&mut svg, &places, x);
    let lines: Vec<Option<&str>> = match series {
        Some(series) => values(field, series).into_iter().map(Some).collect(),
        None => vec![None],
    };
    for (i, line) in lines.iter().enumerate() {
        let is_on = |instance: &&Instance| {
            line.is_none() || series.and_then(|series| instance.on(series)) == *line
        };
        let points: Vec<(usize, f64)> =
            field.instances.iter().filter(is_on).filter_map(measured).collect();
        let look = LOOKS.get(i).or(LOOKS.last()).copied().unwrap_or(LOOKS[0]);
        if axis.is_some() {
            means(&mut svg, look, &points, x, &scale);
        }
        for (at, value) in points {
            mark(&mut svg, look, x(at), scale.y(value));
        }
        if let (Some(series), Some(value)) = (series, line) {
            let y = TOP + 8.0 + 20.0 * i as f64;
            mark(&mut svg, look, WIDTH - RIGHT + 20.0, y);
            let text = format!("{series} = {value}");
            label(&mut svg, (WIDTH - RIGHT + 32.0, y + 4.0), "start", &text);
        }
    }
    if let Some((best, (at, value))) =
        field.instances.first().and_then(|best| Some((best, measured(best)?)))
    {
        let (x, y) = (x(at), scale.y(value));
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\" fill=\"none\" stroke=\"#000\"/>"
        );
        let text = format!("best: {} ({value:.4})", best.name);
        label(&mut svg, (LEFT, TOP - 10.0), "start", &text);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Background, axes, ticks and titles.
fn frame(field: &Field, axis: &str, scale: &Scale) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n\
         <title>{0} by {1}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n",
        escaped(&field.metric),
        escaped(axis),
    );
    for tick in scale.ticks() {
        let y = scale.y(tick);
        let end = WIDTH - RIGHT;
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{end}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>"
        );
        label(&mut svg, (LEFT - 8.0, y + 4.0), "end", &scale.text(tick));
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    label(&mut svg, (middle, HEIGHT - 12.0), "middle", axis);
    let goal = if field.is_max_best { "higher is better" } else { "lower is better" };
    label(&mut svg, (LEFT, 18.0), "start", &field.metric);
    label(&mut svg, (WIDTH - RIGHT, 18.0), "end", goal);
    svg
}

/// The places along the axis, evenly thinned out where there are many.
fn labels(svg: &mut String, places: &[String], x: impl Fn(usize) -> f64) {
    let every = places.len().div_ceil(LABELS_MAX).max(1);
    let chars_max = (12 * LABELS_MAX / places.len().clamp(1, LABELS_MAX)).clamp(6, 40);
    for (i, place) in places.iter().enumerate().step_by(every) {
        let mut text: String = place.chars().take(chars_max).collect();
        if text.len() < place.len() {
            text.push('…');
        }
        label(svg, (x(i), HEIGHT - BOTTOM + 18.0), "middle", &text);
    }
}

/// A line through the mean of each place, in the order of the places.
fn means(
    svg: &mut String,
    look: Look,
    points: &[(usize, f64)],
    x: impl Fn(usize) -> f64,
    scale: &Scale,
) {
    let mut sums: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (at, value) in points {
        let (sum, count) = sums.entry(*at).or_default();
        (*sum, *count) = (*sum + value, *count + 1.0);
    }
    let corner = |(at, (sum, count)): (usize, (f64, f64))| {
        format!("{:.1},{:.1}", x(at), scale.y(sum / count))
    };
    let corners: Vec<String> = sums.into_iter().map(corner).collect();
    let Look { colour, dash, .. } = look;
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" \
         stroke-dasharray=\"{dash}\"/>",
        corners.join(" ")
    );
}

fn mark(svg: &mut String, look: Look, x: f64, y: f64) {
    let path = match look.mark {
        Mark::Circle => format!("M{:.1} {y:.1}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", x - 4.0),
        Mark::Square => format!("M{:.1} {:.1}h7v7h-7z", x - 3.5, y - 3.5),
        Mark::Triangle => format!("M{:.1} {:.1}l4.5 8h-9z", x, y - 5.0),
        Mark::Diamond => format!("M{:.1} {:.1}l5 5l-5 5l-5 -5z", x, y - 5.0),
        Mark::Cross => format!("M{:.1} {:.1}l8 8m0 -8l-8 8", x - 4.0, y - 4.0),
    };
    let colour = look.colour;
    let _ = writeln!(
        svg,
        "<path d=\"{path}\" fill=\"{colour}\" fill-opacity=\"0.6\" stroke=\"{colour}\"/>"
    );
}

fn label(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}

/// Text as XML 1.0 wants it; what XML cannot hold is left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c < ' ' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[f64], ticks: &[&str]) {
        let scale = Scale::over(values.iter().copied());
        let texts: Vec<String> = scale.ticks().into_iter().map(|tick| scale.text(tick)).collect();
        assert_eq!(texts, ticks);
    }

    #[test]
    fn ticks_are_round_and_around_all_values() {
        check(&[0.7, 0.9], &["0.70", "0.75", "0.80", "0.85", "0.90"]);
        check(&[0.0, 100.0], &["0", "20", "40", "60", "80", "100"]);
        check(&[0.5], &["0.50", "0.52"]);
        check(&[], &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    }
}

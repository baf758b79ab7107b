//! Scalars: whether one value fits its type, and what to say where it does not.
//! Never looks at lists, mappings or other values.

use super::super::diagnostic::{is_steering, list, suggest};
use super::super::form::{Object, Range, Type, Unit};
use super::super::kind::KIND_NAMES;
use super::super::node::{Kind, Node};
use super::super::quantity::{
    Misfit, bytes, decimal, duration_ms, is_dns_label, is_identifier, is_label_value, is_mark,
    range,
};
use super::{Site, Walk, cut, place_of};
use crate::base::amount::Ohc;

impl Walk<'_> {
    /// One value; the caller has dealt with all types that are made of others.
    pub(super) fn scalar(&mut self, ty: &'static Type, site: Site<'_>) {
        let Site { node, what, .. } = site;
        match ty {
            Type::Text(max) => self.text(*max, is_steering, site),
            Type::Lines(max) => self.text(*max, |c| c != '\n' && is_steering(c), site),
            Type::Word(words) => self.word(words, site),
            Type::WordOr(words, object) => self.word_or(words, object, site),
            Type::Bool => self.holds(matches!(node.kind, Kind::Bool(_)), site, || {
                (
                    format!("{what} must be `true` or `false`, not {}", described(node)),
                    String::new(),
                )
            }),
            Type::Integer { min, max } => self.integer(*min, *max, site),
            Type::Real(range) => self.real(range, site),
            Type::DnsLabel => self.holds(node.text().is_some_and(is_dns_label), site, || {
                (
                    format!("{what} must be lower-case letters, digits and inner `-`, at most 63"),
                    "such as `iris-2`".to_owned(),
                )
            }),
            Type::Name => self.holds(node.text().is_some_and(is_identifier), site, || {
                (
                    format!("{what} must be a name"),
                    "a letter, then letters, digits, `-` and `_`, at most 63".to_owned(),
                )
            }),
            Type::Share { places } => self.share(*places, site),
            Type::Amount => self.amount(site),
            Type::Duration { min_ms, max_ms } => {
                let ms = node.text().and_then(duration_ms);
                self.holds(ms.is_some_and(|ms| (*min_ms..=*max_ms).contains(&ms)), site, || {
                    let least = if *min_ms > 0 { "from 1s to 30 days" } else { "up to 30 days" };
                    (
                        format!("{what} must be a duration {least}"),
                        "such as `500ms`, `15m` or `1h30m`".to_owned(),
                    )
                });
            }
            Type::Range(unit) => self.range(*unit, site),
            Type::Amounts { rows, bytes } => self.amounts(*rows, *bytes, site),
            Type::Mark { or } => self.mark(or, site),
            Type::AxisValue => {
                let is_good = node.kind.scalar_text().is_some_and(is_label_value);
                self.holds(is_good, site, || {
                    (
                        format!("{what} must be a number, a boolean or a short word"),
                        "letters, digits and `._+-/` can stand in the label of an instance".into(),
                    )
                });
            }
            // All others are made of others, and have been dealt with.
            _ => self.holds(node.kind.scalar_text().is_some(), site, || {
                let noun = node.kind.noun();
                (format!("{what} must be a number, text or a boolean, not {noun}"), String::new())
            }),
        }
    }

    fn amounts(&mut self, rows: u64, (min, max): (u64, u64), site: Site<'_>) {
        let Site { node, what, .. } = site;
        let count = node.text().and_then(bytes);
        let is_bytes = count.is_some_and(|count| (min..=max).contains(&count));
        let is_rows = node.integer().is_some_and(|n| (1..=i128::from(rows)).contains(&n));
        self.holds(is_bytes || is_rows, site, || {
            let most = max >> 20;
            let message = format!("{what} must be 1 to {rows} rows, or {min}B to {most}MiB");
            (message, "such as `250000` or `64MiB`".to_owned())
        });
    }

    fn mark(&mut self, or: &str, site: Site<'_>) {
        let is_good = site.node.text().is_some_and(|text| text == or || is_mark(text));
        self.holds(is_good, site, || {
            let message = format!("{} must be one ASCII character, or `{or}`", site.what);
            (message, "no letter, digit or line break; in quotes, such as `\";\"`".to_owned())
        });
    }

    fn word_or(&mut self, words: &[&'static str], object: &Object, site: Site<'_>) {
        let Site { node, what, .. } = site;
        if node.text().is_some_and(|text| words.contains(&text)) {
            return;
        }
        let known: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
        let hint = node.text().and_then(|text| suggest(text, words.iter().copied()));
        let hint = hint.filter(|hint| hint.starts_with("did"));
        let hint = hint.unwrap_or(format!("such as `{{ {}: … }}`", known.join(", ")));
        let message = format!("{what} must be {} or a mapping", list(words));
        self.faults.advise(place_of(site), message, hint);
    }

    fn share(&mut self, places: usize, site: Site<'_>) {
        let one = 10u64.pow(u32::try_from(places).unwrap_or(0));
        let share = site.node.number().and_then(|text| decimal(text, places));
        self.holds(share.is_some_and(|share| (1..=one).contains(&share)), site, || {
            let hint = format!("a decimal such as 0.25, with at most {places} places");
            let hint = unquote(site.node).unwrap_or(hint);
            (format!("{} must be above 0 and at most 1", site.what), hint)
        });
    }

    fn range(&mut self, unit: Unit, site: Site<'_>) {
        let what = site.what;
        let given = site.node.kind.scalar_text().unwrap_or_default();
        let Err(misfit) = range(given, unit) else { return };
        let example = match unit {
            Unit::Bytes => "such as `8GiB`, `8GiB..` or `8GiB..32GiB`",
            Unit::Some | Unit::Any => "such as `4`, `2..`, `2..8` or `..8`",
        };
        let (message, hint) = match misfit {
            Misfit::Form => {
                let of = if unit == Unit::Bytes { "bytes with a unit" } else { "whole numbers" };
                (format!("{what} must be a range of {of}"), example)
            }
            Misfit::Backwards => (
                format!("{what} can never be met: it begins above its end"),
                "the smaller one comes first",
            ),
            Misfit::Nothing => (
                format!("{what} can never be met: a job needs some"),
                "leave it away where any worker will do",
            ),
            Misfit::Beyond => (format!("{what} is more than any worker has"), example),
        };
        self.faults.advise(place_of(site), message, hint.to_owned());
    }

    fn text(&mut self, max: usize, is_unseen: fn(char) -> bool, site: Site<'_>) {
        let Site { node, what, .. } = site;
        match node.text() {
            Some(text) if text.chars().any(is_unseen) => {
                self.faults
                    .add(place_of(site), format!("{what} has characters that cannot be seen"));
            }
            Some(text) if (1..=max).contains(&text.len()) => {}
            Some(_) => {
                self.faults.add(place_of(site), format!("{what} must have 1 to {max} bytes"));
            }
            None => {
                let hint = node.kind.scalar_text().map(|text| format!("quote it: \"{text}\""));
                let message = format!("{what} must be text, not {}", node.kind.noun());
                self.faults.advise(place_of(site), message, hint);
            }
        }
    }

    fn word(&mut self, words: &'static [&'static str], site: Site<'_>) {
        let Site { node, what, .. } = site;
        match node.text() {
            Some(text) if words.contains(&text) => {}
            Some(text) => {
                let message = format!("{what} cannot be `{}`", cut(text));
                self.faults.advise(place_of(site), message, suggest(text, words.iter().copied()));
            }
            None => {
                let message = format!("{what} must be one of {}", list(words));
                let hint = (words == KIND_NAMES).then(|| "what does the stage do?".to_owned());
                self.faults.advise(place_of(site), message, hint);
            }
        }
    }

    fn integer(&mut self, min: i128, max: i128, site: Site<'_>) {
        let Site { node, what, .. } = site;
        match node.integer() {
            Some(value) if (min..=max).contains(&value) => {}
            Some(value) => {
                let message = format!("{what} must be {min} to {max}, not {value}");
                self.faults.add(place_of(site), message);
            }
            None => {
                let message = format!("{what} must be an integer, not {}", described(node));
                self.faults.advise(place_of(site), message, unquote(node));
            }
        }
    }

    fn real(&mut self, range: &'static Range, site: Site<'_>) {
        let Site { node, what, .. } = site;
        match node.real() {
            Some(value) if range.has(value) => {}
            Some(_) => {
                let message = format!("{what} must be {}", range.words());
                self.faults.add(place_of(site), message);
            }
            None => {
                let message = format!("{what} must be a number, not {}", described(node));
                self.faults.advise(place_of(site), message, unquote(node));
            }
        }
    }

    fn amount(&mut self, site: Site<'_>) {
        let Site { node, what, .. } = site;
        let example = "quoted decimal text of OhC, such as \"5.00\"".to_owned();
        match node.text().map(str::parse::<Ohc>) {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                self.faults.advise(place_of(site), format!("{what} is {error}"), example);
            }
            None => {
                let message = format!("{what} must be text, not {}", node.kind.noun());
                let quoted = node.number().map(|text| format!("quote it: \"{text}\""));
                self.faults.advise(place_of(site), message, quoted.unwrap_or(example));
            }
        }
    }

    fn holds(&mut self, holds: bool, site: Site<'_>, fault: impl FnOnce() -> (String, String)) {
        if !holds {
            let (message, hint) = fault();
            self.faults.advise(place_of(site), message, (!hint.is_empty()).then_some(hint));
        }
    }
}

impl Range {
    /// Whether a number is in it.
    fn has(&self, value: f64) -> bool {
        (value > self.min || (self.min_allowed && value == self.min))
            && (value < self.max || (self.max_allowed && value == self.max))
    }

    fn words(&self) -> String {
        let from = if self.min_allowed { "at least" } else { "above" };
        let to = if self.max_allowed { "at most" } else { "below" };
        format!("{from} {} and {to} {}", self.min, self.max)
    }
}

/// The scalar itself where it is short, the noun otherwise.
fn described(node: &Node) -> String {
    match &node.kind {
        Kind::Number(text) => text.clone(),
        Kind::Text(text) => format!("the text \"{}\"", cut(text)),
        other => other.noun().to_owned(),
    }
}

fn unquote(node: &Node) -> Option<String> {
    let text = node.text()?;
    text.parse::<f64>().ok().map(|_| format!("without the quotes: {}", cut(text)))
}

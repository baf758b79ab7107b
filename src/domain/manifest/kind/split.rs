//! `uses: split`: its settings, inputs and outputs, and its spec.
//! Reports only what does not fit together: all else has been checked before it is read.

use super::{seed, wide, word};
use crate::domain::job::{Dealing, Reading, Spec, Split};
use crate::domain::manifest::diagnostic::Faults;
use crate::domain::manifest::form::{
    Good, Object, Port, StageKind, Type, default, optional, required,
};
use crate::domain::manifest::node::Node;
use crate::domain::manifest::quantity::decimal;

/// Parts of one split.
const PARTS_MAX: usize = 16;
/// Decimal places of a share.
const SHARE_PLACES: usize = 9;

/// `uses: split`
pub(super) static SPLIT: StageKind = StageKind {
    name: "split",
    doc: "Divides the rows of a table into named parts.",
    with: Object {
        name: "split",
        doc: "How the rows of a table are divided.",
        fields: &[
            required(
                "ratios",
                Type::Map {
                    of: &Type::Share { places: SHARE_PLACES },
                    noun: "part",
                    min: 2,
                    max: PARTS_MAX,
                },
                "Parts and their shares, which add up to 1; each part is an output.",
                "{ train: 0.8, test: 0.2 }",
            ),
            optional(
                "stratify",
                Type::Text(256),
                "The column whose values are to be equally frequent in every part.",
                "species",
            ),
            optional(
                "by",
                Type::Text(256),
                "The column whose values stay together, such as a customer with many rows: no \
                 value is in two parts, and parts are as near to their shares as that allows. Rows \
                 without a value stay together too.",
                "customer",
            ),
            default(
                "order",
                Type::Word(&["lot", "kept"]),
                "lot",
                "Whether a lot decides which rows come into a part, or their order: with `kept` \
                 the first rows make the first part, as text and time series need it.",
                "kept",
            ),
            seed("Seed of the lot by which rows, or values, come into a part."),
        ],
    },
    inputs: Some(&[Port {
        name: "table",
        good: Good::Table,
        many: false,
        optional: false,
        doc: "The table to divide.",
    }]),
    outputs: None,
    spec: read,
    sound,
    metrics: &[],
};

fn read(with: &Node, _: Option<&Reading>) -> Option<Spec> {
    Some(Spec::Split(Split {
        ratios: ratios(with.get("ratios")?)?,
        dealing: match (with.get("stratify"), with.get("by"), word(with, "order", "lot")?) {
            (Some(column), None, "lot") => Dealing::Stratified(column.text()?.to_owned()),
            (None, Some(column), "lot") => Dealing::Grouped(column.text()?.to_owned()),
            (None, None, "lot") => Dealing::Rows,
            (None, None, "kept") => Dealing::InOrder,
            _ => return None,
        },
        seed: wide(with, "seed", 0)?,
    }))
}

fn ratios(node: &Node) -> Option<Vec<(String, f64)>> {
    let each = node.entries().iter();
    each.map(|(key, share)| Some((key.text.clone(), share.real()?))).collect()
}

fn sound(with: &Node, _: &Node, faults: &mut Faults) {
    whole_ratios(with, faults);
    if let (Some(_), Some(by)) = (with.get("stratify"), with.get("by")) {
        let message = "`by` and `stratify` do not go together".to_owned();
        let hint = "values that stay together cannot be equally frequent in every part: keep one";
        faults.advise(by.place, message, hint.to_owned());
    }
    let by_value = with.get("stratify").or_else(|| with.get("by"));
    if let (Some(order), Some(_)) = (with.get("order"), by_value)
        && order.text() == Some("kept")
    {
        let hint = "a column cannot decide where the order does: keep one of them".to_owned();
        faults.advise(order.place, "`order: kept` does not go with `by` or `stratify`", hint);
    }
}

/// Shares add up to exactly one: they are summed as integers of their text.
fn whole_ratios(with: &Node, faults: &mut Faults) {
    let Some(ratios) = with.get("ratios") else { return };
    if let Some((sum, one)) = ratio_sum(ratios).filter(|(sum, one)| sum != one) {
        let (whole, fraction) = (sum / one, sum % one);
        let text = format!("{whole}.{fraction:09}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let message = format!("the shares of `ratios` add up to {text}, not to 1");
        faults.advise(ratios.place, message, "such as { train: 0.8, test: 0.2 }".to_owned());
    }
}

/// The sum of all shares in units of 10⁻⁹, and that of a whole; `None` if one is no share.
fn ratio_sum(node: &Node) -> Option<(u64, u64)> {
    let mut shares = node.entries().iter().map(|(_, share)| decimal(share.number()?, SHARE_PLACES));
    let sum = shares.try_fold(0u64, |sum, share| sum.checked_add(share?))?;
    Some((sum, decimal("1", SHARE_PLACES)?))
}

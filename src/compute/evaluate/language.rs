//! Language: how well the tokens of a text are foretold, each from those before it in its row.
//! Never holds what a model says of more than a few rows at once.

use super::largest;
use crate::compute::exact;
use crate::compute::examples::{Examples, Truth};
use crate::compute::predictor::Predictor;
use crate::compute::{Fault, quote};
use crate::domain::job::Metric;

/// Rows that are measured at once.
const ROWS_AT_ONCE: usize = 64;

/// What who knows nothing but how frequent each token of the held-out text is would do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Baseline {
    /// Nats of each token.
    pub(super) loss: f64,
    /// The share of the most frequent token.
    pub(super) accuracy: f64,
}

/// The measures of a model on rows of tokens.
pub(super) fn measure(
    name: &str,
    model: &Predictor,
    examples: &Examples,
) -> Result<(Vec<(Metric, f64)>, Baseline), Fault> {
    let Truth::Tokens { vocabulary, context, of } = &examples.truth else {
        return Err(Fault::new("the rows are no tokens", "connect a text, or its tokens"));
    };
    let (vocabulary, width) = ((*vocabulary).max(1), (*context).max(1));
    if of.is_empty() {
        return Err(Fault::new(
            format!("the text has fewer than {} tokens", width + 1),
            "a row of the model is as long as its context: hold out more text",
        ));
    }
    let values = examples.values.all()?;
    let rows = values.chunks(ROWS_AT_ONCE * width).zip(of.chunks(ROWS_AT_ONCE * width));
    let (mut nats, mut right) = (0.0, 0u64);
    for (values, of) in rows {
        let outputs = model.raw_outputs(values, values.len() / width)?;
        for (outputs, token) in outputs.chunks_exact(vocabulary).zip(of) {
            nats += surprise(outputs, *token);
            right += u64::from(largest(outputs) == *token);
        }
    }
    if !nats.is_finite() {
        return Err(Fault::new(
            format!("model {} does not give a finite number for every token", quote(name)),
            "its training went astray: lower the learning rate, or clip the gradient",
        ));
    }
    let loss = nats / of.len() as f64;
    let measures = vec![
        (Metric::Accuracy, right as f64 / of.len() as f64),
        (Metric::Loss, loss),
        (Metric::Perplexity, exact::exp(loss)),
    ];
    Ok((measures, baseline(of, vocabulary)))
}

/// Minus the logarithm of how likely a token was said to be.
pub(in crate::compute) fn surprise(outputs: &[f32], token: u32) -> f64 {
    let most = f64::from(outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let total: f64 = outputs.iter().map(|x| exact::exp_of_nonpositive(f64::from(*x) - most)).sum();
    let said = outputs.get(token as usize).copied().unwrap_or(f32::NAN);
    exact::ln(total) + most - f64::from(said)
}

fn baseline(of: &[u32], vocabulary: usize) -> Baseline {
    let mut counts = vec![0u64; vocabulary];
    for token in of {
        counts.get_mut(*token as usize).into_iter().for_each(|count| *count += 1);
    }
    let all = of.len().max(1) as f64;
    let shares = || counts.iter().filter(|count| **count > 0).map(|count| *count as f64 / all);
    Baseline {
        loss: shares().map(|share| -share * exact::ln(share)).sum(),
        accuracy: shares().fold(0.0, f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_surprises_by_the_logarithm_of_its_chance() {
        let even = surprise(&[5.0; 8], 3);
        assert!((even - 8f64.ln()).abs() < 1e-12, "{even}");
        assert_eq!(surprise(&[1e30, -1e30], 0), 0.0);
        assert!(surprise(&[0.0, f32::NAN], 0).is_nan() && surprise(&[0.0], 1).is_nan());
    }

    #[test]
    fn the_baseline_knows_how_frequent_each_token_is_and_no_more() {
        let known = baseline(&[0, 0, 2, 0], 3);
        let entropy = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        assert!((known.loss - entropy).abs() < 1e-12 && known.accuracy == 0.75);
        assert_eq!(baseline(&[1, 1], 3), Baseline { loss: 0.0, accuracy: 1.0 });
    }
}

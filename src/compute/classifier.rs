//! Classifiers: a trained model as a safetensors file, and what it predicts.
//! Never trusts a file: sizes, names and shapes are checked before a number is used.
//!
//! The file holds `layers.NN.weight` (inputs × outputs), `layers.NN.bias`, for scaled features
//! `scaling.mean` and `scaling.scale`, and one metadata key `ohc` with a JSON object. One key,
//! because the order of several would differ from write to write.

use super::Fault;
use super::kernel::Engine;
use super::kernel::dense::Dense;
use super::model::{Shape, fault};
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::domain::job::{Activation, Model};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

const FORMAT: &str = "ohc/model/1";
const KEY: &str = "ohc";
const MEAN: &str = "scaling.mean";
const SCALE: &str = "scaling.scale";
/// Rows that are computed at once: bounds the memory of a prediction.
const ROWS: usize = 256;

/// The metadata of a model file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    activation: String,
    hidden: Vec<u32>,
    target: String,
    features: Vec<String>,
    classes: Vec<String>,
}

/// How features are scaled before they reach the model: (x − mean) · scale.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scales {
    /// What is subtracted from every feature; empty where nothing is scaled.
    pub mean: Vec<f32>,
    /// What every feature is then multiplied with; empty where nothing is scaled.
    pub scale: Vec<f32>,
}

impl Scales {
    /// Appends a row of features to `out`, scaled.
    pub fn append(&self, row: &[f32], out: &mut Vec<f32>) {
        if self.mean.is_empty() {
            out.extend_from_slice(row);
        } else {
            let scales = self.mean.iter().zip(&self.scale);
            out.extend(row.iter().zip(scales).map(|(x, (mean, scale))| (x - mean) * scale));
        }
    }
}

/// A trained classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Classifier {
    target: String,
    features: Vec<String>,
    classes: Vec<String>,
    model: Model,
    scales: Scales,
    layers: Vec<Dense>,
    /// Weights and bias of every layer in turn.
    parameters: Vec<Vec<f32>>,
}

/// What a classifier tells the world besides its parameters.
pub(super) struct Labels {
    pub target: String,
    pub features: Vec<String>,
    pub classes: Vec<String>,
}

impl Classifier {
    /// From its parts; `parameters` are in the order of [`Shape::parameters`].
    pub(super) fn new(
        engine: Engine,
        model: &Model,
        labels: Labels,
        scales: Scales,
        parameters: Vec<Vec<f32>>,
    ) -> Result<Self, Fault> {
        let Labels { target, features, classes } = labels;
        let shape = Shape::new(model, features.len(), classes.len())?;
        let lengths = shape.parameters();
        let fits = parameters.iter().zip(&lengths).all(|(xs, (_, len))| xs.len() == *len);
        let scaled = scales.mean.len();
        if !fits
            || parameters.len() != lengths.len()
            || scales.scale.len() != scaled
            || (scaled != 0 && scaled != features.len())
        {
            return Err(refused("its tensors do not fit its shape"));
        }
        let numbers = parameters.iter().chain([&scales.mean, &scales.scale]);
        if !numbers.flatten().all(|x| x.is_finite()) {
            return Err(refused("it holds numbers that are not finite"));
        }
        let layers = shape.layers(engine);
        let model = model.clone();
        Ok(Self { target, features, classes, model, scales, layers, parameters })
    }

    /// The column that is predicted.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The names of the features, in order.
    #[must_use]
    pub fn features(&self) -> &[String] {
        &self.features
    }

    /// The names of the classes; a prediction is an index into them.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The bytes of the model file: the same for the same classifier, always.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        let Model::Mlp { hidden, activation } = &self.model;
        let header = Header {
            format: FORMAT.to_owned(),
            activation: word(*activation).to_owned(),
            hidden: hidden.clone(),
            target: self.target.clone(),
            features: self.features.clone(),
            classes: self.classes.clone(),
        };
        let header = serde_json::to_string(&header).map_err(|_| refused("it cannot be written"))?;
        let bytes = |xs: &[f32]| xs.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for (i, (dense, pair)) in
            self.layers.iter().zip(self.parameters.chunks_exact(2)).enumerate()
        {
            let [weights, bias] = pair else { continue };
            let shape = vec![dense.inputs, dense.outputs];
            tensors.push((format!("layers.{i:02}.weight"), shape, bytes(weights)));
            tensors.push((format!("layers.{i:02}.bias"), vec![dense.outputs], bytes(bias)));
        }
        if !self.scales.mean.is_empty() {
            for (name, xs) in [(MEAN, &self.scales.mean), (SCALE, &self.scales.scale)] {
                tensors.push((name.to_owned(), vec![xs.len()], bytes(xs)));
            }
        }
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name, view))
            })
            .collect::<Result<Vec<_>, _>>();
        let metadata = [(KEY.to_owned(), header)].into_iter().collect();
        views
            .and_then(|views| safetensors::serialize(views, Some(metadata)))
            .map_err(|_| refused("it cannot be written"))
    }

    /// Reads a model file, for one thread.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > ARTIFACT_BYTES_MAX {
            return Err(refused("it is larger than an artifact may be"));
        }
        let damaged = |_| refused("it is not a safetensors file");
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let header = metadata.metadata().as_ref().and_then(|map| map.get(KEY));
        let header = header.ok_or_else(|| refused("it has no `ohc` metadata"))?;
        let header: Header =
            serde_json::from_str(header).map_err(|_| refused("its metadata is damaged"))?;
        if header.format != FORMAT {
            return Err(refused("its format is of another version"));
        }
        let activation =
            activation(&header.activation).ok_or_else(|| refused("its activation is unknown"))?;
        let model = Model::Mlp { hidden: header.hidden, activation };
        let shape = Shape::new(&model, header.features.len(), header.classes.len())?;
        let scaled = tensors.tensor(MEAN).is_ok();
        let mut parameters = Vec::new();
        for (i, dense) in shape.layers(Engine::default()).iter().enumerate() {
            let (inputs, outputs) = (dense.inputs, dense.outputs);
            parameters.push(read(&tensors, &format!("layers.{i:02}.weight"), &[inputs, outputs])?);
            parameters.push(read(&tensors, &format!("layers.{i:02}.bias"), &[outputs])?);
        }
        let mut scales = Scales::default();
        if scaled {
            let width = [header.features.len()];
            scales.mean = read(&tensors, MEAN, &width)?;
            scales.scale = read(&tensors, SCALE, &width)?;
        }
        if tensors.len() != parameters.len() + if scaled { 2 } else { 0 } {
            return Err(refused("it holds tensors that no model has"));
        }
        let Header { target, features, classes, .. } = header;
        let labels = Labels { target, features, classes };
        Self::new(Engine::default(), &model, labels, scales, parameters)
    }

    /// The logits of `rows` rows of raw features: `rows × classes`.
    ///
    /// # Panics
    /// If `values` is not `rows × features`.
    #[must_use]
    pub fn logits(&self, values: &[f32], rows: usize) -> Vec<f32> {
        assert_eq!(values.len(), rows * self.features.len(), "a value per feature and row");
        let mut logits = Vec::with_capacity(rows * self.classes.len());
        let width = self.features.len().max(1);
        for values in values.chunks(ROWS * width) {
            let rows = values.len() / width;
            let mut y = Vec::with_capacity(values.len());
            values.chunks_exact(width).for_each(|row| self.scales.append(row, &mut y));
            for (dense, pair) in self.layers.iter().zip(self.parameters.chunks_exact(2)) {
                let [weights, bias] = pair else { continue };
                y = dense.forward(rows, &y, weights, bias);
            }
            logits.extend(y);
        }
        logits
    }

    /// The class of each row: the largest logit, the first of equals.
    ///
    /// # Panics
    /// If `values` is not `rows × features`.
    #[must_use]
    pub fn predict(&self, values: &[f32], rows: usize) -> Vec<u32> {
        let logits = self.logits(values, rows);
        let largest = |row: &[f32]| {
            let mut best = (0u32, f32::NEG_INFINITY);
            for (class, &x) in (0u32..).zip(row) {
                best = if x > best.1 { (class, x) } else { best };
            }
            best.0
        };
        logits.chunks_exact(self.classes.len().max(1)).map(largest).collect()
    }
}

fn read(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, Fault> {
    let view = tensors.tensor(name).map_err(|_| refused("a tensor is missing"))?;
    if view.dtype() != Dtype::F32 || view.shape() != shape {
        return Err(refused("a tensor does not have the shape that its metadata promise"));
    }
    let value = |b: &[u8]| b.try_into().map(f32::from_le_bytes).unwrap_or(f32::NAN);
    Ok(view.data().chunks_exact(4).map(value).collect())
}

const fn word(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "relu",
        Activation::Tanh => "tanh",
    }
}

fn activation(text: &str) -> Option<Activation> {
    [Activation::Relu, Activation::Tanh].into_iter().find(|a| word(*a) == text)
}

fn refused(why: &str) -> Fault {
    fault(format!("this is not a model: {why}"), "give the `model` output of a train stage")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn classifier() -> Classifier {
        let model = Model::Mlp { hidden: vec![3], activation: Activation::Relu };
        let names = |n: usize| (0..n).map(|i| format!("n{i}")).collect::<Vec<_>>();
        let labels = Labels { target: "species".to_owned(), features: names(2), classes: names(4) };
        let scales = Scales { mean: vec![1.0, 2.0], scale: vec![0.5, 0.1] };
        let parameters = Shape::new(&model, 2, 4).unwrap().initial(5);
        Classifier::new(Engine::default(), &model, labels, scales, parameters).unwrap()
    }

    #[test]
    fn a_model_reads_back_from_its_bytes_which_are_always_the_same() {
        let (first, second) = (classifier().to_bytes().unwrap(), classifier().to_bytes().unwrap());
        assert_eq!(first, second);
        let read = Classifier::from_bytes(&first).unwrap();
        assert_eq!(read, classifier());
        assert_eq!(read.to_bytes().unwrap(), first);
        assert_eq!(read.features(), ["n0", "n1"]);
    }

    #[test]
    fn rows_do_not_influence_each_other() {
        let classifier = classifier();
        let values: Vec<f32> = (0..1000).map(|i| (i % 37) as f32 / 7.0).collect();
        let together = classifier.logits(&values, 500);
        let alone: Vec<f32> = values.chunks(2).flat_map(|row| classifier.logits(row, 1)).collect();
        assert_eq!(together, alone);
        let predicted = classifier.predict(&values, 500);
        for (row, &class) in together.chunks(4).zip(&predicted) {
            assert!(row.iter().all(|x| *x <= row[class as usize]));
        }
    }

    proptest! {
        #[test]
        fn r13_no_bytes_panic_the_reader(at in 0usize..1200, with: u8, cut in 0usize..1200) {
            let mut bytes = classifier().to_bytes().unwrap();
            let (at, cut) = (at % bytes.len(), cut % bytes.len());
            bytes[at] = with;
            let _ = Classifier::from_bytes(&bytes);
            prop_assert!(Classifier::from_bytes(&bytes[..cut]).is_err());
        }
    }
}

//! Predictors: a trained model as a safetensors file, and what it says of rows.
//! Never trusts a file: sizes, names and shapes are checked before a number is used.
//!
//! The file holds the parameters of the network by name (of a perceptron `layers.NN.weight`, inputs
//! × outputs, and `layers.NN.bias`), for scaled features
//! `scaling.mean` and `scaling.scale`, for a predicted number `target.mean` and `target.deviation`,
//! and one metadata key `ohc` with a JSON object. One key, because the order of several would
//! differ from write to write. In it are the names of features, targets and classes, and the
//! recipe by which raw rows become rows of features: a model takes raw rows.

mod decoder;
mod encoder;
mod images;
mod meaning;

use super::Fault;
use super::backing::Room;
use super::examples::{Examples, matrix};
use super::kernel::Engine;
use super::model::{Memory, Network, ParameterShape, Reads, Shape, fault};
use super::recipe::Recipe;
use super::table::{Column, Table};
use super::tokenizer::Tokenizer;
use crate::base::canon::{Decode, Encode};
use crate::base::limits::{ARTIFACT_BYTES_MAX, COLUMNS_MAX};
use crate::domain::job::{Activation, Model, Task};
use decoder::Decoder;
use encoder::Encoder;
use images::Images;
pub use meaning::Predictions;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

const FORMAT: &str = "ohc/model/1";
const KEY: &str = "ohc";
const MLP: &str = "mlp";
const LINEAR: &str = "linear";
const GPT: &str = "gpt";
const CNN: &str = "cnn";
const TEXT: &str = "text";
const MEAN: &str = "scaling.mean";
const SCALE: &str = "scaling.scale";
const TARGET_MEAN: &str = "target.mean";
const TARGET_DEVIATION: &str = "target.deviation";

/// A tensor of a model file: its name, type, dimensions and bytes.
type Stored = (String, Dtype, Vec<usize>, Vec<u8>);

/// The metadata of a model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    task: String,
    model: String,
    /// Numbers of the vector of a token, of a model that reads tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    hidden: Vec<u32>,
    activation: Option<String>,
    /// Of a language model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decoder: Option<Decoder>,
    /// Of a model that reads texts in their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoder: Option<Encoder>,
    /// Of a network for images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    images: Option<Images>,
    targets: Vec<String>,
    features: Vec<String>,
    classes: Vec<String>,
    /// Canonical bytes in hexadecimal digits.
    recipe: String,
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

/// How the output of a model becomes a number of its target: y · deviation + mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    /// The mean of the target over the training rows.
    pub mean: f64,
    /// Its standard deviation; 1 if it never changes.
    pub deviation: f64,
}

impl Default for Unit {
    fn default() -> Self {
        Self { mean: 0.0, deviation: 1.0 }
    }
}

/// The fault of a language model that is asked about rows.
pub(super) fn says_nothing() -> Fault {
    fault("a language model says nothing of rows", "let it write: a stage `uses: generate`")
}

/// What a predictor is called and made for, besides its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// What it says of a row.
    pub task: Task,
    /// The columns that are predicted: one, or for multi-label every label.
    pub targets: Vec<String>,
    /// The columns that it reads, in order.
    pub features: Vec<String>,
    /// The classes, ascending; empty unless it tells classes apart.
    pub classes: Vec<String>,
    /// How many tokens there are; 0 unless it tells tokens.
    pub tokens: usize,
    /// How its rows are made from raw ones.
    pub recipe: Recipe,
}

impl About {
    /// What a model reads of a row.
    fn reads(&self) -> Reads {
        let vocabulary = self.recipe.tokenizer().map_or(0, Tokenizer::size);
        Reads { features: self.features.len(), vocabulary }
    }

    /// How many numbers the model gives of a row.
    fn outputs(&self) -> usize {
        match self.task {
            Task::Classification => self.classes.len(),
            Task::Regression => 1,
            Task::MultiLabel => self.targets.len(),
            Task::Language => self.tokens,
        }
    }

    fn is_sound(&self) -> bool {
        let one = self.targets.len() == 1;
        match self.task {
            Task::Classification => one && self.classes.len() >= 2,
            Task::Regression => one && self.classes.is_empty(),
            Task::Language => one && self.classes.is_empty() && self.tokens > 0,
            Task::MultiLabel => !self.targets.is_empty() && self.classes.is_empty(),
        }
    }
}

/// A trained model.
#[derive(Debug, Clone)]
pub struct Predictor {
    about: About,
    model: Model,
    scales: Scales,
    unit: Unit,
    network: Network,
}

impl Predictor {
    /// From its parts; `parameters` are in the order of [`Shape::parameters`].
    pub(super) fn new(
        engine: Engine,
        model: &Model,
        about: About,
        (scales, unit): (Scales, Unit),
        parameters: Vec<Vec<f32>>,
    ) -> Result<Self, Fault> {
        if !about.is_sound() {
            return Err(refused("its targets and classes do not fit its task"));
        }
        let shape = Shape::new(model, about.reads(), about.outputs())?;
        let shapes = shape.parameters();
        let fits = parameters.iter().zip(shapes).all(|(xs, shape)| xs.len() == shape.len());
        let scaled = scales.mean.len();
        if matches!(model, Model::Gpt(_)) != (about.task == Task::Language) {
            return Err(refused("its network does not fit its task"));
        }
        if !fits
            || parameters.len() != shapes.len()
            || scales.scale.len() != scaled
            || (scaled != 0 && scaled != about.features.len())
        {
            return Err(refused("its tensors do not fit its shape"));
        }
        let numbers = parameters.iter().chain([&scales.mean, &scales.scale]);
        if !numbers.flatten().all(|x| x.is_finite())
            || !unit.mean.is_finite()
            || !unit.deviation.is_finite()
        {
            return Err(refused("it holds numbers that are not finite"));
        }
        let network = Network::predicting(engine, &shape, parameters)?;
        Ok(Self { about, model: model.clone(), scales, unit, network })
    }

    /// What it says of a row.
    #[must_use]
    pub fn task(&self) -> Task {
        self.about.task
    }

    /// The columns that are predicted: one, or for multi-label every label.
    #[must_use]
    pub fn targets(&self) -> &[String] {
        &self.about.targets
    }

    /// The names of the features, in order: columns of the rows that its recipe makes.
    #[must_use]
    pub fn features(&self) -> &[String] {
        &self.about.features
    }

    /// What its outputs stand for: the classes, the labels, or nothing where it is a number.
    #[must_use]
    pub fn vocabulary(&self) -> &[String] {
        match self.about.task {
            Task::Classification => &self.about.classes,
            Task::Regression | Task::Language => &[],
            Task::MultiLabel => &self.about.targets,
        }
    }

    /// How rows of features are made from raw ones.
    #[must_use]
    pub fn recipe(&self) -> &Recipe {
        &self.about.recipe
    }

    /// The shape of the network.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How many numbers it learned.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.network.shape().parameters().iter().map(ParameterShape::len).sum()
    }

    /// Numbers of one row that goes in: its features, or as many tokens as it sees at once.
    #[must_use]
    pub fn width(&self) -> usize {
        self.network.shape().features()
    }

    /// How many tokens there are; 0 unless it tells tokens.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.about.tokens
    }

    /// What the network gives for `rows` rows of features, `rows × outputs`: the logits of classes
    /// or labels, or the number in deviations from the mean of the target; of tokens the logits of
    /// that which follows each.
    ///
    /// # Panics
    /// If `values` is not `rows × width`.
    pub fn raw_outputs(&self, values: &[f32], rows: usize) -> Result<Vec<f32>, Fault> {
        let width = self.width();
        assert_eq!(values.len(), rows * width, "a value per feature and row");
        self.network.shape().takes(values, 0)?;
        let mut scaled = Vec::with_capacity(values.len());
        values.chunks_exact(width).for_each(|row| self.scales.append(row, &mut scaled));
        self.network.outputs(&scaled)
    }

    /// What [`Predictor::raw_outputs`] give for the last of some tokens that follow those of a
    /// memory, to the bit; they are then in it. Only a language model goes on, and no further than
    /// its width.
    pub fn go_on(&self, tokens: &[u32], memory: &mut Memory) -> Result<Vec<f32>, Fault> {
        let tokens: Vec<f32> = tokens.iter().map(|token| *token as f32).collect();
        self.network.go_on(tokens, memory)
    }

    /// The raw outputs of the rows of a table: raw ones, or ones that have gone through the first
    /// steps of its recipe.
    pub fn answers(&self, table: &Table) -> Result<Vec<f32>, Fault> {
        if self.about.task == Task::Language {
            return Err(says_nothing());
        }
        let rows = self.recipe_for(table)?.bring_toward(table, self.features())?;
        let values = matrix(&rows, self.features(), 0)?;
        self.raw_outputs(&values, rows.rows())
    }

    /// The raw columns that its features are made from, each of the widest kind that is read.
    pub fn reads(&self) -> Result<Vec<Column>, Fault> {
        match self.takes_numbers() {
            true => self.recipe().reads(self.features()),
            false => self.recipe().needs(self.features()),
        }
    }

    /// The steps that bring the rows of a table to its features.
    pub fn recipe_for(&self, table: &Table) -> Result<Cow<'_, Recipe>, Fault> {
        match self.takes_numbers() {
            true => self.recipe().read_as(table, self.features()),
            false => Ok(Cow::Borrowed(self.recipe())),
        }
    }

    /// Whether its features are any numbers, and not the indices of tokens.
    const fn takes_numbers(&self) -> bool {
        matches!(self.model, Model::Mlp { .. } | Model::Linear | Model::Cnn(_))
    }

    /// What [`Predictor::answers`] mean.
    pub fn predict(&self, table: &Table) -> Result<Predictions, Fault> {
        self.meaning(&self.answers(table)?).ok_or_else(says_nothing)
    }

    /// The columns that it is measured by: its features, where it has any, and what is true.
    #[must_use]
    pub fn wanted(&self) -> Vec<String> {
        let of_rows = (self.about.task != Task::Language).then_some(&self.about.features);
        of_rows.into_iter().flatten().chain(&self.about.targets).cloned().collect()
    }

    /// The rows of a table with what is true of them, to measure it on.
    pub fn examples(&self, table: &Table) -> Result<Examples, Fault> {
        let About { task, targets, features, classes, recipe, tokens } = &self.about;
        if let (Task::Language, [name]) = (task, targets.as_slice()) {
            let rows = recipe.bring_toward(table, targets)?;
            let (room, known) = (Room::MEMORY, Some(*tokens));
            return Examples::of_stream(&rows, room, name, self.width(), known);
        }
        let rows = self.recipe_for(table)?.bring_toward(table, &self.wanted())?;
        Examples::for_model(&rows, Room::MEMORY, *task, targets, (features, classes))
    }

    /// The bytes of the model file: the same for the same predictor, always.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        let unwritable = "it cannot be written";
        let header = serde_json::to_string(&self.header()).map_err(|_| refused(unwritable))?;
        let tensors = self.tensors()?;
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| {
                TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name, view))
            })
            .collect::<Result<Vec<_>, _>>();
        let metadata = [(KEY.to_owned(), header)].into_iter().collect();
        views
            .and_then(|views| safetensors::serialize(views, Some(metadata)))
            .map_err(|_| refused(unwritable))
    }

    fn header(&self) -> Header {
        let (model, width, activation) = match &self.model {
            Model::Mlp { activation, .. } => (MLP, None, Some(activation)),
            Model::Linear => (LINEAR, None, None),
            Model::Gpt(_) => (GPT, None, None),
            Model::Text { width, activation, .. } => (TEXT, Some(*width), Some(activation)),
            Model::Cnn(cnn) => (CNN, None, Some(&cnn.activation)),
            Model::Reader(reader) => (TEXT, Some(reader.width), Some(&reader.activation)),
        };
        let activation = activation.map(|activation| activation.word().to_owned());
        let About { task, targets, features, classes, recipe, tokens } = self.about.clone();
        Header {
            format: FORMAT.to_owned(),
            task: task.word().to_owned(),
            model: model.to_owned(),
            width,
            hidden: self.model.hidden().to_vec(),
            activation,
            decoder: match &self.model {
                Model::Gpt(gpt) => Some(Decoder::of(gpt, tokens)),
                _ => None,
            },
            encoder: match &self.model {
                Model::Reader(reader) => Some(Encoder::of(reader)),
                _ => None,
            },
            images: match &self.model {
                Model::Cnn(cnn) => Some(Images::of(cnn)),
                _ => None,
            },
            targets,
            features,
            classes,
            recipe: hex(&recipe.to_bytes()),
        }
    }

    /// Every tensor.
    fn tensors(&self) -> Result<Vec<Stored>, Fault> {
        let f32s = |name: String, shape: Vec<usize>, xs: &[f32]| {
            (name, Dtype::F32, shape, xs.iter().flat_map(|x| x.to_le_bytes()).collect())
        };
        let mut tensors = Vec::new();
        for (shape, values) in self.network.shape().parameters().iter().zip(self.network.values()?)
        {
            tensors.push(f32s(shape.name.clone(), shape.dims.clone(), &values));
        }
        if !self.scales.mean.is_empty() {
            let Scales { mean, scale } = &self.scales;
            tensors.push(f32s(MEAN.to_owned(), vec![mean.len()], mean));
            tensors.push(f32s(SCALE.to_owned(), vec![scale.len()], scale));
        }
        if self.about.task == Task::Regression {
            let numbers = [(TARGET_MEAN, self.unit.mean), (TARGET_DEVIATION, self.unit.deviation)];
            let each = numbers
                .map(|(name, x)| (name.to_owned(), Dtype::F64, vec![1], x.to_le_bytes().to_vec()));
            tensors.extend(each);
        }
        Ok(tensors)
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
        let activation = header.activation.as_deref().map(Activation::from_word);
        let tokens = header.decoder.as_ref().map_or(0, |decoder| decoder.tokens as usize);
        let (width, hidden) = (header.width, header.hidden);
        let own = (header.decoder, header.images, header.encoder);
        let model = match (header.model.as_str(), width, activation, own) {
            (MLP, None, Some(Some(activation)), (None, None, None)) => {
                Some(Model::Mlp { hidden, activation })
            }
            (LINEAR, None, None, (None, None, None)) if hidden.is_empty() => Some(Model::Linear),
            (TEXT, Some(width), Some(Some(activation)), (None, None, None)) => {
                Some(Model::Text { width, hidden, activation })
            }
            (TEXT, Some(width), Some(Some(activation)), (None, None, Some(encoder))) => {
                Some(Model::Reader(encoder.network(width, hidden, activation)))
            }
            (GPT, None, None, (Some(decoder), None, None)) => decoder.network().map(Model::Gpt),
            (CNN, None, Some(Some(activation)), (None, Some(images), None)) => {
                images.network(hidden, activation).map(Model::Cnn)
            }
            _ => None,
        };
        let model = model.filter(|_| header.features.len() <= COLUMNS_MAX);
        let model = model.ok_or_else(|| refused("its shape is unknown"))?;
        let about = About {
            task: Task::from_word(&header.task).ok_or_else(|| refused("its task is unknown"))?,
            targets: header.targets,
            features: header.features,
            classes: header.classes,
            tokens,
            recipe: unhex(&header.recipe)
                .and_then(|bytes| <Recipe as Decode>::from_bytes(&bytes).ok())
                .ok_or_else(|| refused("its recipe is damaged"))?,
        };
        let shape = Shape::new(&model, about.reads(), about.outputs())?;
        let parameters = shape.parameters().iter();
        let parameters = parameters.map(|shape| read(&tensors, &shape.name, &shape.dims));
        let parameters = parameters.collect::<Result<Vec<_>, _>>()?;
        let mut scales = Scales::default();
        let scaled = tensors.tensor(MEAN).is_ok();
        if scaled {
            let width = [about.features.len()];
            scales.mean = read(&tensors, MEAN, &width)?;
            scales.scale = read(&tensors, SCALE, &width)?;
        }
        let regression = about.task == Task::Regression;
        let mut unit = Unit::default();
        if regression {
            unit.mean = real(&tensors, TARGET_MEAN)?;
            unit.deviation = real(&tensors, TARGET_DEVIATION)?;
        }
        if tensors.len() != parameters.len() + 2 * (usize::from(scaled) + usize::from(regression)) {
            return Err(refused("it holds tensors that no model has"));
        }
        Self::new(Engine::default(), &model, about, (scales, unit), parameters)
    }
}

fn read(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, Fault> {
    let value = |b: &[u8]| b.try_into().map(f32::from_le_bytes).unwrap_or(f32::NAN);
    Ok(data(tensors, name, Dtype::F32, shape)?.chunks_exact(4).map(value).collect())
}

fn real(tensors: &SafeTensors<'_>, name: &str) -> Result<f64, Fault> {
    let data = data(tensors, name, Dtype::F64, &[1])?;
    Ok(data.try_into().map(f64::from_le_bytes).unwrap_or(f64::NAN))
}

fn data<'a>(
    tensors: &SafeTensors<'a>,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<&'a [u8], Fault> {
    let view = tensors.tensor(name).map_err(|_| refused("a tensor is missing"))?;
    if view.dtype() != dtype || view.shape() != shape {
        return Err(refused("a tensor does not have the shape that its metadata promise"));
    }
    Ok(view.data())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let nibble = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |[high, low]: &[u8; 2]| Some(nibble(*high)? << 4 | nibble(*low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

fn refused(why: &str) -> Fault {
    fault(format!("this is not a model: {why}"), "give the `model` output of a train stage")
}

#[cfg(test)]
mod tests;

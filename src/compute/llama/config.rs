//! What config.json or the head of a GGUF file says of a Llama: its measures.
//! Never guesses: what is not of the one family that is run is refused with what is.

use super::gguf::Gguf;
use crate::compute::encoder::{CONFIG, Folder, json};
use crate::compute::{Fault, exact, quote};
use serde::Deserialize;
use serde_json::Value;

const LAYERS_MAX: usize = 256;
const WIDTH_MAX: usize = 16_384;
const INNER_MAX: usize = 65_536;
const POSITIONS_MAX: usize = 16_777_216;
const VOCABULARY_MAX: usize = 2_000_000;
/// The base of the angles by which positions rotate, where nothing is said of it.
const BASE: f64 = 10_000.0;

const FAMILY: &str = "only `model_type: llama` with `hidden_act: silu` and no biases is run, such \
                      as Llama 2 and 3, TinyLlama or SmolLM; not mistral, qwen2, gemma or phi3";
const DAMAGED: &str = "the file is damaged: fetch it again";

/// The measures of the network.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Config {
    /// Width of a token.
    pub(super) width: usize,
    /// Width between the two layers of a perceptron.
    pub(super) inner: usize,
    /// Blocks.
    pub(super) layers: usize,
    /// Heads of queries.
    pub(super) heads: usize,
    /// Heads of keys and values.
    pub(super) keys: usize,
    /// Columns of a head.
    pub(super) columns: usize,
    /// Tokens of a window at the most.
    pub(super) positions: usize,
    /// Tokens that there are.
    pub(super) vocabulary: usize,
    /// What is added to the mean of the squares.
    pub(super) epsilon: f32,
    /// By how much each pair of columns turns from one position to the next.
    pub(super) speeds: Vec<f64>,
    /// Whether the table of the tokens is the head too.
    pub(super) is_tied: bool,
}

/// config.json.
#[derive(Deserialize)]
struct Said {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    vocab_size: usize,
    rms_norm_eps: f32,
    rope_theta: Option<f64>,
    rope_scaling: Option<Rope>,
    rope_parameters: Option<Rope>,
    tie_word_embeddings: Option<bool>,
}

/// How positions rotate, where it is not as in the first Llama.
#[derive(Deserialize, Clone, Default)]
struct Rope {
    rope_type: Option<String>,
    r#type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

impl Config {
    /// Reads config.json.
    pub(super) fn read(folder: &Folder<&[u8]>) -> Result<Self, Fault> {
        let bytes = folder.need(CONFIG)?;
        let value: Value = json(CONFIG, bytes)?;
        let is = |key: &str, known: &str| match value.get(key).and_then(Value::as_str) {
            Some(word) if word == known => Ok(()),
            word => {
                let word = word.map_or("nothing".to_owned(), quote);
                Err(Fault::new(format!("config.json says {word} of `{key}`"), FAMILY))
            }
        };
        is("model_type", "llama")?;
        is("hidden_act", "silu")?;
        for key in ["attention_bias", "mlp_bias"] {
            if value.get(key).and_then(Value::as_bool) == Some(true) {
                return Err(Fault::new(format!("config.json says `{key}: true`"), FAMILY));
            }
        }
        let said: Said = json(CONFIG, bytes)?;
        let rope = said.rope_parameters.or(said.rope_scaling).unwrap_or_default();
        let heads = said.num_attention_heads;
        let columns = said.head_dim.or(said.hidden_size.checked_div(heads)).unwrap_or(0);
        let base = rope.rope_theta.or(said.rope_theta).unwrap_or(BASE);
        let config = Self {
            width: said.hidden_size,
            inner: said.intermediate_size,
            layers: said.num_hidden_layers,
            heads,
            keys: said.num_key_value_heads.unwrap_or(heads),
            columns,
            positions: said.max_position_embeddings,
            vocabulary: said.vocab_size,
            epsilon: said.rms_norm_eps,
            speeds: Vec::new(),
            is_tied: said.tie_word_embeddings.unwrap_or(false),
        };
        config.check()?;
        let speeds = speeds(base, columns)?;
        let speeds: Option<Vec<f64>> = speeds.into_iter().map(|speed| rope.scaled(speed)).collect();
        let speeds = speeds.ok_or_else(|| {
            let hint = "of `rope_scaling` only `linear` and `llama3` are run";
            Fault::new("config.json has positions that rotate in another way", hint)
        })?;
        Ok(Self { speeds, ..config })
    }

    /// Reads the head of a GGUF file.
    pub(super) fn of_gguf(file: &Gguf<'_>) -> Result<Self, Fault> {
        let family = file.text("general.architecture").unwrap_or_default();
        if family != "llama" {
            let message = format!("the file has a model of the family {}", quote(family));
            return Err(Fault::new(message, "only GGUF files of the architecture `llama` are run"));
        }
        let need = |key: &str| {
            file.count(&format!("llama.{key}")).ok_or_else(|| {
                Fault::new(format!("the file does not say its `llama.{key}`"), DAMAGED)
            })
        };
        if file.count("llama.expert_count").is_some_and(|count| count > 0) {
            return Err(Fault::new("the file has a mixture of experts", FAMILY));
        }
        let (width, heads) = (need("embedding_length")?, need("attention.head_count")?);
        let even = width.checked_div(heads).unwrap_or(0);
        let columns = file.count("llama.attention.key_length").unwrap_or(even);
        let epsilon = file.real("llama.attention.layer_norm_rms_epsilon");
        let config = Self {
            width,
            inner: need("feed_forward_length")?,
            layers: need("block_count")?,
            heads,
            keys: file.count("llama.attention.head_count_kv").unwrap_or(heads),
            columns,
            positions: need("context_length")?,
            vocabulary: file.texts("tokenizer.ggml.tokens").len(),
            epsilon: epsilon.unwrap_or(1e-5) as f32,
            speeds: Vec::new(),
            is_tied: !file.has("output.weight"),
        };
        config.check()?;
        if file.count("llama.rope.dimension_count").is_some_and(|turned| turned != columns) {
            return Err(Fault::new("the file has heads of which only a part rotates", FAMILY));
        }
        let speeds = speeds(file.real("llama.rope.freq_base").unwrap_or(BASE), columns)?;
        let linear = match file.text("llama.rope.scaling.type") {
            None | Some("none") => 1.0,
            Some("linear") => file.real("llama.rope.scaling.factor").unwrap_or(f64::NAN),
            Some(other) => {
                let message = format!("the file has positions that rotate by {}", quote(other));
                return Err(Fault::new(message, "of scalings only `linear` is run"));
            }
        };
        let factors = file.rotation(columns / 2)?;
        let scaled = |(pair, speed): (usize, f64)| {
            speed / linear / f64::from(factors.get(pair).copied().unwrap_or(1.0))
        };
        let speeds: Vec<f64> = speeds.into_iter().enumerate().map(scaled).collect();
        if speeds.iter().all(|speed| speed.is_finite()) {
            Ok(Self { speeds, ..config })
        } else {
            Err(Fault::new("the file has positions that rotate by no number", DAMAGED))
        }
    }

    fn check(&self) -> Result<(), Fault> {
        let bounds = [
            ("width", self.width, WIDTH_MAX),
            ("inner width", self.inner, INNER_MAX),
            ("layers", self.layers, LAYERS_MAX),
            ("heads", self.heads, WIDTH_MAX),
            ("heads of keys", self.keys, self.heads),
            ("columns of a head", self.columns, 1_024),
            ("positions", self.positions, POSITIONS_MAX),
            ("vocabulary", self.vocabulary, VOCABULARY_MAX),
        ];
        for (name, value, most) in bounds {
            if value == 0 || value > most {
                let message = format!("the model says that its {name}: {value}");
                return Err(Fault::new(message, format!("it may be 1 to {most}")));
            }
        }
        let Self { heads, keys, columns, .. } = *self;
        if !heads.is_multiple_of(keys)
            || !columns.is_multiple_of(2)
            || heads * columns > 2 * WIDTH_MAX
        {
            let message =
                format!("{heads} heads of {columns} columns do not share {keys} heads of keys");
            return Err(Fault::new(message, DAMAGED));
        }
        if self.epsilon.is_finite() && self.epsilon >= 0.0 {
            Ok(())
        } else {
            Err(Fault::new("the epsilon of the norm is no small number", DAMAGED))
        }
    }
}

/// By how much each pair of columns turns: base^(−2i / columns).
fn speeds(base: f64, columns: usize) -> Result<Vec<f64>, Fault> {
    if !(base.is_finite() && base > 1.0) {
        let message = format!("positions rotate by a base of {base}");
        return Err(Fault::new(message, DAMAGED));
    }
    let speed = |pair: usize| exact::exp(-(2.0 * pair as f64) / columns as f64 * exact::ln(base));
    Ok((0..columns / 2).map(speed).collect())
}

impl Rope {
    /// The speed of a pair after scaling; none where the scaling is not known.
    fn scaled(&self, speed: f64) -> Option<f64> {
        let positive = |x: Option<f64>| x.filter(|x| x.is_finite() && *x > 0.0);
        match self.rope_type.as_deref().or(self.r#type.as_deref()) {
            None | Some("default") => Some(speed),
            Some("linear") => Some(speed / positive(self.factor)?),
            Some("llama3") => {
                let (factor, low) = (positive(self.factor)?, positive(self.low_freq_factor)?);
                let high = positive(self.high_freq_factor).filter(|high| *high > low)?;
                let positions = positive(self.original_max_position_embeddings)?;
                let waves = positions * speed / (2.0 * std::f64::consts::PI);
                // Slow pairs are slowed down, fast ones not, those between in proportion.
                let share = ((waves - low) / (high - low)).clamp(0.0, 1.0);
                Some((1.0 - share) * speed / factor + share * speed)
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    fn read(text: &str) -> Result<Config, Fault> {
        let mut folder = Folder::new();
        folder.add(CONFIG, text.as_bytes())?;
        Config::read(&folder)
    }

    #[track_caller]
    fn refused(from: &str, to: &str, message: &str) {
        let text = example::config();
        assert!(text.contains(from), "{from}");
        let fault = read(&text.replace(from, to)).unwrap_err();
        assert!(fault.message.contains(message), "{fault}");
        assert!(!fault.hint.is_empty());
    }

    #[test]
    fn what_is_not_of_the_family_is_refused_with_what_is() {
        let config = read(&example::config()).unwrap();
        assert_eq!((config.heads, config.keys, config.columns), (4, 2, 8));
        refused(r#""llama""#, r#""gemma""#, "gemma");
        refused(r#""silu""#, r#""gelu""#, "gelu");
        refused(r#""hidden_act""#, r#""mlp_bias": true, "hidden_act""#, "mlp_bias");
        refused(r#""num_key_value_heads": 2"#, r#""num_key_value_heads": 3"#, "do not share 3");
        refused(r#""num_key_value_heads": 2"#, r#""num_key_value_heads": 5"#, "heads of keys: 5");
        refused(r#""hidden_size": 32"#, r#""hidden_size": 4"#, "do not share");
        refused(r#""num_attention_heads": 4"#, r#""num_attention_heads": 0"#, ": 0");
        refused(r#""hidden_act""#, r#""rope_theta": 0.5, "hidden_act""#, "a base of 0.5");
        refused(r#""rms_norm_eps": 1e-5"#, r#""rms_norm_eps": -1"#, "epsilon");
        let yarn = r#""rope_scaling": {"rope_type": "yarn", "factor": 2.0}, "hidden_act""#;
        refused(r#""hidden_act""#, yarn, "another way");
    }

    #[test]
    fn slow_pairs_are_slowed_down_as_llama_3_says() {
        let rope = Rope {
            rope_type: Some("llama3".into()),
            factor: Some(8.0),
            low_freq_factor: Some(1.0),
            high_freq_factor: Some(4.0),
            original_max_position_embeddings: Some(8_192.0),
            ..Rope::default()
        };
        let pi = std::f64::consts::PI;
        // Wave lengths of 1000, 8192 and 4096 positions: fast, slow and between.
        for (length, factor) in [(1_000.0, 1.0), (8_192.0, 0.125), (4_096.0, 1.0 / 3.0 * 0.875)] {
            let speed = 2.0 * pi / length;
            let expect = if length == 4_096.0 { 0.125 + factor } else { factor };
            assert!((rope.scaled(speed).unwrap() / speed - expect).abs() < 1e-12, "{length}");
        }
        let linear = Rope { r#type: Some("linear".into()), factor: Some(4.0), ..Rope::default() };
        assert_eq!(linear.scaled(2.0), Some(0.5));
        assert_eq!(Rope { factor: Some(0.0), ..linear }.scaled(2.0), None);
    }
}

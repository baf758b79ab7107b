//! What the files of a folder say of an encoder: its measures, and what becomes of its tokens.
//! Never guesses: what is not of the one family that is run is refused with the names of others.

use super::folder::{self, Folder};
use crate::compute::{Fault, quote};
use crate::domain::job::Pooling;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const LAYERS_MAX: usize = 64;
const WIDTH_MAX: usize = 4_096;
const INNER_MAX: usize = 16_384;
const POSITIONS_MAX: usize = 8_192;
const VOCABULARY_MAX: usize = 2_000_000;

const FAMILY: &str = "only `model_type: bert` with `hidden_act: gelu` and absolute positions is \
                      run, such as all-MiniLM-L6-v2, bge-small-en-v1.5 or e5-small-v2; not \
                      roberta, distilbert, mpnet, albert, deberta, modernbert or t5";

/// The measures of the network, as config.json names them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Config {
    /// Width of a token.
    #[serde(rename = "hidden_size")]
    pub(super) width: usize,
    /// Width between the two layers of a block.
    #[serde(rename = "intermediate_size")]
    pub(super) inner: usize,
    /// Blocks.
    #[serde(rename = "num_hidden_layers")]
    pub(super) layers: usize,
    /// Heads of the attention of a block.
    #[serde(rename = "num_attention_heads")]
    pub(super) heads: usize,
    /// Tokens of a text at the most.
    #[serde(rename = "max_position_embeddings")]
    pub(super) positions: usize,
    /// Tokens that there are.
    #[serde(rename = "vocab_size")]
    pub(super) vocabulary: usize,
    /// Kinds of a token: of the first text, of the second.
    #[serde(rename = "type_vocab_size")]
    pub(super) kinds: usize,
    /// What is added to a variance.
    #[serde(rename = "layer_norm_eps")]
    pub(super) epsilon: f32,
}

impl Config {
    /// Reads config.json.
    pub(super) fn read<B: AsRef<[u8]>>(folder: &Folder<B>) -> Result<Self, Fault> {
        let bytes = folder.need(folder::CONFIG)?;
        let value: Value = json(folder::CONFIG, bytes)?;
        let is = |key: &str, word: &str, is_needed: bool| match value.get(key) {
            None if !is_needed => Ok(()),
            Some(Value::String(text)) if text == word => Ok(()),
            other => {
                let said = match other {
                    None => "nothing".to_owned(),
                    Some(Value::String(text)) => quote(text),
                    Some(other) => quote(&other.to_string()),
                };
                Err(Fault::new(format!("config.json says {said} of `{key}`"), FAMILY))
            }
        };
        is("model_type", "bert", true)?;
        is("hidden_act", "gelu", true)?;
        is("position_embedding_type", "absolute", false)?;
        for key in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
            if value.get(key).and_then(Value::as_bool) == Some(true) {
                return Err(Fault::new(format!("config.json says `{key}: true`"), FAMILY));
            }
        }
        let config: Self = json(folder::CONFIG, bytes)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Fault> {
        let bounds = [
            ("hidden_size", self.width, WIDTH_MAX),
            ("intermediate_size", self.inner, INNER_MAX),
            ("num_hidden_layers", self.layers, LAYERS_MAX),
            ("num_attention_heads", self.heads, self.width),
            ("max_position_embeddings", self.positions, POSITIONS_MAX),
            ("vocab_size", self.vocabulary, VOCABULARY_MAX),
            ("type_vocab_size", self.kinds, 16),
        ];
        for (name, value, most) in bounds {
            if value == 0 || value > most {
                let message = format!("config.json says `{name}: {value}`");
                return Err(Fault::new(message, format!("it may be 1 to {most}")));
            }
        }
        if !self.width.is_multiple_of(self.heads) {
            let message = format!("{} heads do not divide a width of {}", self.heads, self.width);
            return Err(Fault::new(message, "config.json is damaged: fetch it again"));
        }
        let is_small = self.epsilon.is_finite() && self.epsilon >= 0.0;
        if is_small {
            Ok(())
        } else {
            Err(Fault::new("`layer_norm_eps` is no small number", FAMILY))
        }
    }
}

/// What sentence-transformers' files say; nothing where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Habits {
    /// Tokens of a text.
    pub(super) length: Option<usize>,
    /// How tokens become one vector: a word where it is none that is run.
    pub(super) pooling: Option<Result<Pooling, &'static str>>,
    /// Whether a vector is divided by its length.
    pub(super) normalize: bool,
    /// Whether a text is put into lower case before all else.
    pub(super) lower_case: bool,
}

#[derive(Deserialize)]
struct Module {
    r#type: String,
}

#[derive(Deserialize)]
struct Sentences {
    max_seq_length: Option<usize>,
    do_lower_case: Option<bool>,
}

impl Habits {
    /// Reads the files of sentence-transformers, where there are any.
    pub(super) fn read<B: AsRef<[u8]>>(folder: &Folder<B>) -> Result<Self, Fault> {
        let mut habits = Self::default();
        if let Some(bytes) = folder.get(folder::SENTENCES) {
            let said: Sentences = json(folder::SENTENCES, bytes)?;
            habits.length = said.max_seq_length;
            habits.lower_case = said.do_lower_case.unwrap_or(false);
        }
        if let Some(bytes) = folder.get(folder::POOLING) {
            habits.pooling = Some(pooling(&json(folder::POOLING, bytes)?));
        }
        if let Some(bytes) = folder.get(folder::MODULES) {
            let modules: Vec<Module> = json(folder::MODULES, bytes)?;
            for Module { r#type } in &modules {
                match r#type.rsplit('.').next().unwrap_or_default() {
                    "Transformer" | "Pooling" => {}
                    "Normalize" => habits.normalize = true,
                    other => {
                        let message = format!("modules.json has a module {}", quote(other));
                        let hint = "after the network only Pooling and Normalize are run";
                        return Err(Fault::new(message, hint));
                    }
                }
            }
        }
        Ok(habits)
    }
}

/// The one mode that is on; the mean if none is named.
fn pooling(said: &Value) -> Result<Pooling, &'static str> {
    let is = |key: &str| said.get(key).and_then(Value::as_bool) == Some(true);
    let others = [
        ("pooling_mode_max_tokens", "max"),
        ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"),
        ("pooling_mode_weightedmean_tokens", "weightedmean"),
        ("pooling_mode_lasttoken", "lasttoken"),
    ];
    if let Some((_, other)) = others.into_iter().find(|(key, _)| is(key)) {
        return Err(other);
    }
    match (is("pooling_mode_cls_token"), is("pooling_mode_mean_tokens")) {
        (true, true) => Err("cls and mean side by side"),
        (true, false) => Ok(Pooling::Cls),
        (false, _) => Ok(Pooling::Mean),
    }
}

/// A JSON file of the folder.
pub(in crate::compute) fn json<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| {
        let why: String = error.to_string().chars().take(200).collect();
        Fault::new(format!("{name} cannot be read: {why}"), "fetch it again from where it came")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, text: &str) -> Folder<Vec<u8>> {
        let mut folder = Folder::new();
        folder.add(name, text.as_bytes().to_vec()).unwrap();
        folder
    }

    const MINILM: &str = r#"{ "model_type": "bert", "hidden_act": "gelu", "hidden_size": 384,
        "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 12,
        "max_position_embeddings": 512, "vocab_size": 30522, "type_vocab_size": 2,
        "layer_norm_eps": 1e-12, "position_embedding_type": "absolute" }"#;

    #[track_caller]
    fn refused(from: &str, to: &str, message: &str, hint: &str) {
        assert!(MINILM.contains(from));
        let fault = Config::read(&folder(folder::CONFIG, &MINILM.replace(from, to))).unwrap_err();
        assert!(fault.message.contains(message), "{fault}");
        assert!(fault.hint.contains(hint), "{}", fault.hint);
    }

    #[test]
    fn a_config_of_the_family_is_read() {
        let config = Config::read(&folder(folder::CONFIG, MINILM)).unwrap();
        assert_eq!((config.width, config.layers, config.heads), (384, 6, 12));
        assert_eq!(config.epsilon, 1e-12);
    }

    #[test]
    fn what_is_not_of_the_family_is_refused_with_what_is() {
        refused(r#""bert""#, r#""roberta""#, "roberta", "model_type: bert");
        refused(r#""gelu""#, r#""gelu_new""#, "gelu_new", "hidden_act: gelu");
        refused(r#""absolute""#, r#""relative_key""#, "relative_key", "absolute positions");
        refused(r#""vocab_size""#, r#""is_decoder": true, "vocab_size""#, "is_decoder", "bert");
        refused("384", "385", "12 heads do not divide a width of 385", "fetch");
        refused(": 6,", ": 65,", "num_hidden_layers", "1 to 64");
        refused(r#""hidden_size""#, r#""hidden""#, "missing field `hidden_size`", "fetch");
        refused("1e-12", "-1.0", "layer_norm_eps", "bert");
    }

    #[test]
    fn habits_are_those_of_the_folder() {
        assert_eq!(Habits::read(&folder("other", "")).unwrap(), Habits::default());
        let pooled = |text: &str| Habits::read(&folder(folder::POOLING, text)).unwrap().pooling;
        assert_eq!(pooled(r#"{"pooling_mode_cls_token": true}"#), Some(Ok(Pooling::Cls)));
        assert_eq!(pooled(r#"{"pooling_mode_mean_tokens": true}"#), Some(Ok(Pooling::Mean)));
        assert_eq!(pooled(r#"{"pooling_mode_max_tokens": true}"#), Some(Err("max")));
        let modules = r#"[{"type": "sentence_transformers.models.Normalize"}]"#;
        assert!(Habits::read(&folder(folder::MODULES, modules)).unwrap().normalize);
        let fault = Habits::read(&folder(folder::MODULES, r#"[{"type": "a.Dense"}]"#)).unwrap_err();
        assert!(fault.message.contains("Dense"), "{fault}");
        let said = r#"{"max_seq_length": 256, "do_lower_case": true}"#;
        let habits = Habits::read(&folder(folder::SENTENCES, said)).unwrap();
        assert_eq!((habits.length, habits.lower_case), (Some(256), true));
    }
}

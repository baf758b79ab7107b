//! The settings of a training: from nodes that fit the grammar to a spec, and what the grammar
//! does not tell. Never reports what does: that is reported already.

use super::parallel;
use crate::domain::job::{
    Activation, ClassWeights, Cnn, Convolution, Decay, EarlyStopping, Gpt, Image, ImageNorm,
    Misfit, Mode, Model, Norm, Optimizer, Padding, Part, Positions, Reader, Reading, Scaling,
    Schedule, Spec, Task, Train,
};
use crate::domain::manifest::diagnostic::{Faults, Place};
use crate::domain::manifest::kind::{narrow, wide, word};
use crate::domain::manifest::node::{Kind, Node};
use std::collections::BTreeSet;

/// Passes over the rows, and the learning rate of AdamW, with which a linear model comes near its
/// one optimum on tables of hundreds to thousands of rows.
const LINEAR_EPOCHS: u32 = 100;
const LINEAR_LR: f64 = 0.01;

/// The column of a stream of tokens.
const TOKEN: &str = "token";

pub(super) fn spec(with: &Node, _: Option<&Reading>) -> Option<Spec> {
    train(with).map(Spec::Train)
}

fn train(with: &Node) -> Option<Train> {
    let optional = |key: &str| match with.get(key) {
        Some(value) => value.real().map(Some),
        None => Some(None),
    };
    let model = model(with.get("model")?)?;
    let is_linear = model == Model::Linear;
    let epochs = if is_linear && with.get("parallel").is_none() { LINEAR_EPOCHS } else { 0 };
    // Tokens are no quantities.
    let scaling = if matches!(model, Model::Gpt(_)) { "none" } else { "standard" };
    Some(Train {
        task: task(with)?,
        model,
        targets: targets(with)?,
        features: with.get("features").map_or(Some(None), |node| names(node).map(Some))?,
        class_weights: class_weights(with.get("classWeights"))?,
        epochs: narrow(with, "epochs", epochs)?,
        batch: narrow(with, "batch", 32)?,
        accumulate: narrow(with, "accumulate", 1)?,
        optimizer: optimizer(with.get("optimizer"), is_linear)?,
        schedule: schedule(with.get("schedule"))?,
        clip: optional("clip")?,
        validation: optional("validation")?,
        early_stopping: match with.get("earlyStopping") {
            Some(node) => Some(EarlyStopping {
                patience: narrow(node, "patience", 1)?,
                min_delta: real(Some(node), "minDelta", 0.0)?,
            }),
            None => None,
        },
        seed: wide(with, "seed", 0)?,
        scaling: match word(with, "scaling", scaling)? {
            "standard" => Scaling::Standard,
            "none" => Scaling::None,
            _ => return None,
        },
        part: Part::WHOLE,
        segments: 1,
        mode: Mode::from_word(word(with, "mode", Mode::Exact.word())?)?,
        parallel: parallel::parallel(with)?,
    })
}

fn task(with: &Node) -> Option<Task> {
    Task::from_word(word(with, "task", Task::Classification.word())?)
}

fn targets(with: &Node) -> Option<Vec<String>> {
    match (with.get("target"), with.get("targets")) {
        (None, None) if task(with)? == Task::Language => Some(vec![TOKEN.to_owned()]),
        (Some(target), None) => Some(vec![target.text()?.to_owned()]),
        (None, Some(targets)) => names(targets),
        _ => None,
    }
}

fn names(node: &Node) -> Option<Vec<String>> {
    node.items().iter().map(|name| Some(name.text()?.to_owned())).collect()
}

pub(super) fn real(node: Option<&Node>, key: &str, default: f64) -> Option<f64> {
    node.and_then(|node| node.get(key)).map_or(Some(default), Node::real)
}

fn truth(node: &Node, key: &str, default: bool) -> Option<bool> {
    match node.get(key).map(|node| &node.kind) {
        Some(Kind::Bool(truth)) => Some(*truth),
        None => Some(default),
        Some(_) => None,
    }
}

fn model(node: &Node) -> Option<Model> {
    match node.get("kind")?.text()? {
        "mlp" => {
            let (hidden, activation) = layers(node)?;
            Some(Model::Mlp { hidden, activation })
        }
        "text" => {
            let ((hidden, activation), width) = (layers(node)?, narrow(node, "width", 32)?);
            match node.get("encoder") {
                None => Some(Model::Text { width, hidden, activation }),
                Some(encoder) => Some(Model::Reader(Reader {
                    width,
                    blocks: narrow(encoder, "blocks", 2)?,
                    heads: narrow(encoder, "heads", 4)?,
                    dropout: real(Some(encoder), "dropout", 0.0)?,
                    hidden,
                    activation,
                })),
            }
        }
        "logistic" | "linear" => Some(Model::Linear),
        "gpt" => Some(Model::Gpt(Gpt {
            blocks: narrow(node, "blocks", 4)?,
            heads: narrow(node, "heads", 4)?,
            width: narrow(node, "width", 128)?,
            context: narrow(node, "context", 64)?,
            positions: Positions::from_word(word(node, "positions", "learned")?)?,
            tied: truth(node, "tied", true)?,
            dropout: real(Some(node), "dropout", 0.0)?,
            norm: Norm::from_word(word(node, "norm", "layer")?)?,
        })),
        "cnn" => cnn(node).map(Model::Cnn),
        _ => None,
    }
}

/// Widths of hidden layers, and what bends between them.
fn layers(node: &Node) -> Option<(Vec<u32>, Activation)> {
    let widths = node.get("hidden").map(Node::items).unwrap_or_default().iter();
    let widths = widths.map(|width| u32::try_from(width.integer()?).ok());
    let activation = Activation::from_word(word(node, "activation", "relu")?)?;
    Some((widths.collect::<Option<_>>()?, activation))
}

fn cnn(node: &Node) -> Option<Cnn> {
    let of = |node: &Node| u32::try_from(node.integer()?).ok();
    let image: Vec<u32> = node.get("image")?.items().iter().map(of).collect::<Option<_>>()?;
    let &[height, width, ref channels @ ..] = image.as_slice() else { return None };
    let convolutions = node.get("convolutions")?.items().iter();
    let hidden = node.get("hidden").map(Node::items).unwrap_or_default().iter();
    Some(Cnn {
        image: Image { height, width, channels: channels.first().copied().unwrap_or(1) },
        convolutions: convolutions.map(convolution).collect::<Option<_>>()?,
        hidden: hidden.map(of).collect::<Option<_>>()?,
        activation: Activation::from_word(word(node, "activation", "relu")?)?,
        dropout: real(Some(node), "dropout", 0.0)?,
    })
}

fn convolution(node: &Node) -> Option<Convolution> {
    Some(Convolution {
        filters: narrow(node, "filters", 0)?,
        kernel: narrow(node, "kernel", 3)?,
        padding: Padding::from_word(word(node, "padding", "same")?)?,
        norm: match (node.get("norm").map(Node::text), node.get("groupNorm")) {
            (None, None) => None,
            (None, Some(_)) => Some(ImageNorm::Groups(narrow(node, "groupNorm", 1)?)),
            (Some(Some("batch")), None) => Some(ImageNorm::Batch),
            (Some(_), _) => return None,
        },
        pool: narrow(node, "pool", 1)?,
    })
}

fn class_weights(node: Option<&Node>) -> Option<ClassWeights> {
    let Some(node) = node else { return Some(ClassWeights::Even) };
    match node.text() {
        Some("even") => Some(ClassWeights::Even),
        Some("balanced") => Some(ClassWeights::Balanced),
        Some(_) => None,
        None => {
            let each =
                node.entries().iter().map(|(key, value)| Some((key.text.clone(), value.real()?)));
            each.collect::<Option<_>>().map(ClassWeights::Of)
        }
    }
}

fn optimizer(node: Option<&Node>, is_linear: bool) -> Option<Optimizer> {
    let lr = if is_linear { LINEAR_LR } else { 0.001 };
    match node.map_or(Some("adamw"), |node| word(node, "kind", "adamw"))? {
        "adamw" => Some(Optimizer::AdamW {
            lr: real(node, "lr", lr)?,
            beta1: real(node, "beta1", 0.9)?,
            beta2: real(node, "beta2", 0.999)?,
            eps: real(node, "eps", 1e-8)?,
            weight_decay: real(node, "weightDecay", 0.01)?,
        }),
        "sgd" => Some(Optimizer::Sgd {
            lr: real(node, "lr", 0.01)?,
            momentum: real(node, "momentum", 0.0)?,
            nesterov: node.map_or(Some(false), |node| truth(node, "nesterov", false))?,
            weight_decay: real(node, "weightDecay", 0.0)?,
        }),
        "lion" => Some(Optimizer::Lion {
            lr: real(node, "lr", 0.0001)?,
            beta1: real(node, "beta1", 0.9)?,
            beta2: real(node, "beta2", 0.99)?,
            weight_decay: real(node, "weightDecay", 0.0)?,
        }),
        _ => None,
    }
}

fn schedule(node: Option<&Node>) -> Option<Schedule> {
    let decay = match node.map_or(Some("constant"), |node| word(node, "kind", "constant"))? {
        "constant" => Decay::Constant,
        "cosine" => Decay::Cosine,
        "linear" => Decay::Linear,
        _ => return None,
    };
    let end = if decay == Decay::Constant { 1.0 } else { 0.0 };
    Some(Schedule { decay, warmup: real(node, "warmup", 0.0)?, end: real(node, "final", end)? })
}

/// Settings that do not fit together: the task with targets, model and weights; validation with
/// what needs it and with the inputs; a warm-up with the epochs.
pub(super) fn sound(with: &Node, stage: &Node, faults: &mut Faults) {
    let given = stage.entries().iter().find(|(key, _)| key.text == "with");
    let at = given.map_or(stage.place, |(key, _)| key.place);
    if let Some(task) = task(with) {
        sound_targets(task, with, at, faults);
        sound_task(task, with, faults);
    }
    sound_columns(with, faults);
    if let Some(model) = with.get("model") {
        sound_images(model, with.get("features"), faults);
    }
    let kind = with.get("model").and_then(|model| model.get("kind")).and_then(Node::text);
    let is_linear = matches!(kind, Some("logistic" | "linear"));
    if with.get("epochs").is_none() && with.get("parallel").is_none() && !is_linear {
        faults.advise(at, "`with` needs `epochs`", "such as `epochs: 60`".to_owned());
    }
    parallel::sound(with, stage, faults);
    let input = stage.get("inputs").and_then(|inputs| inputs.get("validation"));
    match (with.get("validation"), input, with.get("earlyStopping")) {
        (Some(_), Some(input), _) => {
            let message = "rows to validate on come from the input `validation` and from `data`";
            let hint = "leave out the input, or the setting `validation`";
            faults.advise(input.place, message, hint.to_owned());
        }
        (None, None, Some(stopping)) => {
            let message = "early stopping needs rows to validate on";
            let hint =
                "hold some out, such as `validation: 0.1`, or connect the input `validation`";
            faults.advise(stopping.place, message, hint.to_owned());
        }
        _ => {}
    }
    let mode = with.get("mode").filter(|mode| mode.text() == Some(Mode::Fast.word()));
    if let (Some(mode), Some(_)) = (mode, with.get("earlyStopping")) {
        let message = "when a fast training stops depends on the machine";
        let hint = "leave `earlyStopping` out, or train with `mode: exact`";
        faults.advise(mode.place, message, hint.to_owned());
    }
    let pieces = with.get("accumulate");
    if let (Some(node), Some(batch)) = (pieces, narrow(with, "batch", 32))
        && narrow(with, "accumulate", 1).is_some_and(|pieces| pieces > batch)
    {
        let message = format!("more pieces than the {batch} rows of a step");
        faults.advise(node.place, message, "`batch` counts the rows of all pieces".to_owned());
    }
    let warmup = with.get("schedule").and_then(|schedule| schedule.get("warmup"));
    if let (Some(warmup), Some(epochs)) =
        (warmup, with.get("epochs").and_then(|_| narrow(with, "epochs", 1)))
        && warmup.real().is_some_and(|rises| rises > f64::from(epochs))
    {
        let message = format!("the warm-up is longer than the {epochs} epochs of the training");
        faults.advise(warmup.place, message, "`warmup` counts epochs".to_owned());
    }
    let sgd = with.get("optimizer");
    let nesterov = sgd.and_then(|node| node.get("nesterov"));
    if let Some(nesterov) = nesterov.filter(|node| node.kind == Kind::Bool(true))
        && real(sgd, "momentum", 0.0) == Some(0.0)
    {
        let hint = "add `momentum: 0.9`".to_owned();
        faults.advise(nesterov.place, "`nesterov` without momentum changes nothing", hint);
    }
}

fn sound_targets(task: Task, with: &Node, at: Place, faults: &mut Faults) {
    let (needed, other, hint) = match task {
        // The column `token` of a stream.
        Task::Language => {
            for key in ["target", "targets", "features"] {
                if let Some(node) = with.get(key) {
                    let message = format!("`{key}` does not go with `task: language`");
                    let hint = "what is learned are the tokens of a stream: leave it out";
                    faults.advise(node.place, message, hint.to_owned());
                }
            }
            return;
        }
        Task::MultiLabel => ("targets", "target", "such as `targets: [sports, politics]`"),
        Task::Classification | Task::Regression => {
            ("target", "targets", "such as `target: species`")
        }
    };
    if let Some(node) = with.get(other) {
        let message = format!("`{other}` does not go with `task: {}`", task.word());
        let hint = match task {
            Task::MultiLabel => "list the labels under `targets`",
            _ => "name one column as `target`, or set `task: multi-label`",
        };
        faults.advise(node.place, message, hint.to_owned());
    } else if with.get(needed).is_none() {
        let message = format!("`{}` needs `{needed}`", task.word());
        faults.advise(at, message, hint.to_owned());
    }
}

fn sound_task(task: Task, with: &Node, faults: &mut Faults) {
    let kind = with.get("model").and_then(|model| model.get("kind"));
    let wrong = match (task, kind.and_then(Node::text)) {
        (Task::Regression, Some("logistic")) => Some(("logistic", "linear")),
        (Task::Classification | Task::MultiLabel, Some("linear")) => Some(("linear", "logistic")),
        (Task::Language, Some(kind)) if kind != "gpt" => Some((kind, "gpt")),
        (Task::Regression, Some("gpt")) => Some(("gpt", "linear")),
        (Task::Classification | Task::MultiLabel, Some("gpt")) => Some(("gpt", "logistic")),
        _ => None,
    };
    let gpt = with.get("model").filter(|_| kind.and_then(Node::text) == Some("gpt"));
    let reader = with.get("model").filter(|_| kind.and_then(Node::text) == Some("text"));
    let of_reader = reader.and_then(|node| Some((node, node.get("encoder")?, 32)));
    if let Some((node, blocks, usual)) = gpt.map(|node| (node, node, 128)).or(of_reader)
        && let (Some(heads), Some(width)) =
            (narrow(blocks, "heads", 4), narrow(node, "width", usual))
        && !width.is_multiple_of(heads.max(1))
    {
        let message = format!("{heads} heads do not divide a width of {width}");
        faults.advise(node.place, message, "make `width` a multiple of `heads`".to_owned());
    }
    if let Some(scaling) = with.get("scaling").filter(|node| node.text() == Some("standard"))
        && gpt.is_some()
    {
        let message = "tokens are not scaled";
        faults.advise(scaling.place, message, "leave `scaling` out".to_owned());
    }
    if let (Some((is, instead)), Some(kind)) = (wrong, kind) {
        let message = format!("a {is} model does not learn `task: {}`", task.word());
        faults.advise(kind.place, message, format!("use `kind: {instead}`"));
    }
    if let Some(weights) = with.get("classWeights").filter(|_| task != Task::Classification) {
        let message = format!("`task: {}` has no classes to weigh", task.word());
        faults.advise(weights.place, message, "leave `classWeights` out".to_owned());
    }
}

/// Convolutions that cannot be of the image that they are given, and features that are not one.
fn sound_images(model: &Node, features: Option<&Node>, faults: &mut Faults) {
    let kind = model.get("kind").and_then(Node::text);
    let convolutions = model.get("convolutions").map(Node::items).unwrap_or_default();
    for twice in convolutions.iter().filter(|node| node.get("norm").is_some()) {
        if let Some(groups) = twice.get("groupNorm") {
            let message = "a convolution has one norm: over groups, or over the batch";
            let hint = "leave `groupNorm` or `norm` out".to_owned();
            faults.advise(groups.place, message, hint);
        }
    }
    let Some(cnn) = cnn(model).filter(|_| kind == Some("cnn")) else { return };
    let pixels = cnn.image.len();
    if let Some(features) = features.filter(|node| node.items().len() as u64 != pixels) {
        let message =
            format!("{} features, but the image has {pixels} values", features.items().len());
        let hint = "`image` is its height, width and channels".to_owned();
        faults.advise(features.place, message, hint);
    }
    let Err(Misfit { at, key, image }) = cnn.images() else { return };
    let node = model.get("convolutions").and_then(|list| list.items().get(at));
    let Some(node) = node else { return };
    let place = node.get(key).map_or(node.place, |node| node.place);
    let size = format!("{} by {}", image.height, image.width);
    let (message, hint) = match key {
        "kernel" => {
            ("the kernel does not fit its image", format!("odd, and not larger than {size}"))
        }
        "groupNorm" => ("the groups do not divide the filters", "such as 8 of 32".to_owned()),
        _ => ("the squares to pool do not fit their image", format!("that image is {size}")),
    };
    faults.advise(place, message, hint);
}

/// Columns that are named twice, or as feature and target.
fn sound_columns(with: &Node, faults: &mut Faults) {
    let target = with.get("target");
    let listed = |key: &str| with.get(key).map(Node::items).unwrap_or_default();
    let mut targets: BTreeSet<&str> = target.and_then(Node::text).into_iter().collect();
    let mut features = BTreeSet::new();
    for node in listed("targets") {
        if node.text().is_some_and(|name| !targets.insert(name)) {
            faults.add(node.place, "a label that is listed twice");
        }
    }
    for node in listed("features") {
        let Some(name) = node.text() else { continue };
        if targets.contains(name) {
            let hint = "a model that reads the answer learns nothing".to_owned();
            faults.advise(node.place, "a feature that is also what is predicted", hint);
        } else if !features.insert(name) {
            faults.add(node.place, "a feature that is listed twice");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::job::{Spec, Train};
    use crate::domain::manifest::compile;
    use std::collections::BTreeMap;

    /// A training as a manifest with these settings has it.
    fn written(with: &str) -> Train {
        let text = format!(
            "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: {{ name: t }}\nspec:\n  sources: \
             {{ s: {{ url: s.csv, format: csv }} }}\n  stages:\n    t: {{ uses: ingest, inputs: {{ \
             rows: sources.s }} }}\n    m: {{ uses: train, inputs: {{ data: t.table }}, with: {{ \
             target: y, {with} }} }}\n"
        );
        let (manifest, faults) = compile(&text, &BTreeMap::new());
        let manifest = manifest.unwrap_or_else(|| panic!("{faults:?}"));
        match &manifest.stages["m"].instances[0].spec {
            Spec::Train(train) => train.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn linear_models_have_defaults_of_their_own_and_what_is_said_goes_before() {
        let check = |with: &str, epochs: u32, lr: f64| {
            let train = written(with);
            assert_eq!(
                (train.epochs, train.optimizer.lr(), train.batch),
                (epochs, lr, 32),
                "{with}"
            );
        };
        check("model: { kind: logistic }", 100, 0.01);
        check("task: regression, model: { kind: linear }", 100, 0.01);
        check("model: { kind: logistic }, epochs: 3", 3, 0.01);
        check("model: { kind: logistic }, optimizer: { kind: adamw, lr: 0.5 }", 100, 0.5);
        check("model: { kind: logistic }, optimizer: { kind: sgd }", 100, 0.01);
        check("model: { kind: logistic }, optimizer: { kind: lion }", 100, 0.0001);
        check("model: { kind: mlp, hidden: [] }, epochs: 1", 1, 0.001);
        let spread = "parallel: { shards: 2, rounds: 3, localSteps: 4 }";
        check(&format!("model: {{ kind: logistic }}, {spread}"), 0, 0.01);
    }
}

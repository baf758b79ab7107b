//! Laws of compilation: it is total, it gives the same every time, and what it gives is in bounds.
//! What it says about broken manifests is in `tests/golden`.

use super::*;
use crate::domain::job::{Activation, Metric, Model, Optimizer, Scaling};
use crate::domain::terms::{Amounts, Backoff, CacheMode, Cause, Condition, OnFailure};
use crate::domain::verdict::Verification;
use proptest::prelude::*;

/// The manifest of the design, as it is printed there.
const DESIGN: &str = include_str!("../../../tests/data/design.yaml");

const HEAD: &str =
    "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: { name: t }\nspec:\n  stages:\n";

#[track_caller]
fn sound(text: &str, params: &[(&str, &str)]) -> Manifest {
    let params = params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let (manifest, faults) = compile(text, &params);
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert!(manifest.is_some() && faults.is_empty(), "{}", faults.join("\n"));
    manifest.unwrap()
}

#[track_caller]
fn refused(text: &str, params: &[(&str, &str)], expect: &str) {
    let params = params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let (manifest, faults) = compile(text, &params);
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert!(manifest.is_none() && faults.join("\n").contains(expect), "{}", faults.join("\n"));
}

fn trains(manifest: &Manifest) -> Vec<(&str, &crate::domain::job::Train)> {
    let each = manifest.stages["train"].instances.iter();
    each.map(|instance| match &instance.spec {
        Spec::Train(train) => (instance.label.as_str(), train),
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn the_manifest_of_the_design_compiles_as_printed() {
    let manifest = sound(DESIGN, &[]);
    assert_eq!(manifest.budget, "5.00".parse().ok());
    assert_eq!(manifest.sources["flowers"].url, "data/iris.csv");
    let trains = trains(&manifest);
    let labels: Vec<_> = trains.iter().map(|(label, _)| *label).collect();
    let expect = ["width=16,seed=1", "width=16,seed=2", "width=32,seed=1", "width=32,seed=2"];
    assert_eq!(labels, expect);
    let (_, train) = trains[3];
    assert_eq!(train.model, Model::Mlp { hidden: vec![32], activation: Activation::Relu });
    assert_eq!((train.epochs, train.batch, train.seed), (60, 32, 2));
    assert_eq!(train.scaling, Scaling::Standard);
    let want =
        Optimizer::AdamW { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
    assert_eq!(train.optimizer, want);
    let stage = &manifest.stages["train"];
    assert_eq!(stage.terms.verification, Verification::Audit { rate_ppm: 250_000, segments: 1 });
    assert_eq!((stage.terms.retry.attempts_max, stage.terms.timeout_ms), (4, 900_000));
    assert_eq!(stage.terms.retry.backoff, Backoff { initial_ms: 1000, factor: 2, max_ms: 300_000 });
}

#[test]
fn a_training_is_spread_as_it_says_and_as_usual_where_it_does_not() {
    use crate::domain::job::{Deltas, Merge, Parallel, Rounds, Rule};
    let text = |parallel: &str| {
        format!(
            "{HEAD}    data: {{ uses: ingest, inputs: {{ rows: sources.s }} }}\n    train:\n      \
             uses: train\n      inputs: {{ data: data.table }}\n      onFailure: continue\n      \
             with: {{ model: {{ kind: logistic }}, target: y, parallel: {{ shards: 9, rounds: 3, \
             localSteps: 20{parallel} }} }}\n  sources: {{ s: {{ url: s.csv, format: csv }} }}\n"
        )
    };
    let check = |parallel: &str, merge: Merge| {
        let (manifest, faults) = compile(&text(parallel), &BTreeMap::new());
        let manifest = manifest.unwrap_or_else(|| panic!("{faults:?}"));
        let rounds = Rounds {
            shards: 9,
            rounds: 3,
            local_steps: 20,
            merge,
            grace_ms: None,
            deltas: Deltas::Whole,
            alone: 0,
        };
        assert_eq!(trains(&manifest)[0].1.parallel, Some(Parallel::Whole(rounds)), "{parallel}");
    };
    let usual = Merge { rule: Rule::Mean, quorum: 9, lr: 1.0, momentum: 0.0 };
    check("", usual);
    let trimmed = |trim| Merge { rule: Rule::TrimmedMean { trim }, ..usual };
    check(", merge: { rule: trimmed-mean }", trimmed(2));
    check(", merge: { rule: trimmed-mean, trim: 3 }", trimmed(3));
    let median = Merge { rule: Rule::Median, quorum: 6, lr: 0.7, momentum: 0.9 };
    check(", merge: { rule: median, quorum: 6 }, outer: { lr: 0.7, momentum: 0.9 }", median);
    let (manifest, _) = compile(&text(", deltas: int8, alone: 2"), &BTreeMap::new());
    let manifest = manifest.unwrap();
    let Some(Parallel::Whole(rounds)) = &trains(&manifest)[0].1.parallel else { unreachable!() };
    assert_eq!((rounds.deltas, rounds.alone, rounds.jobs()), (Deltas::Int8, 2, 2 + 2 + 10));
    let (_, faults) = compile(&text(", alone: 3"), &BTreeMap::new());
    assert!(faults[0].to_string().contains("3 of 3 rounds alone"), "{faults:?}");
}

#[test]
fn parameters_are_overridden_by_text_of_their_type() {
    let manifest = sound(DESIGN, &[("epochs", "90")]);
    assert_eq!(trains(&manifest)[0].1.epochs, 90);
    refused(DESIGN, &[("epochs", "many")], "7:5: parameter `epochs` cannot be set to `many`");
    refused(DESIGN, &[("epochs", "0")], "its minimum is 1");
    refused(DESIGN, &[("epoch", "1")], "did you mean `epochs`?");
}

#[test]
fn stages_take_what_they_do_not_say_from_the_defaults() {
    let text = format!(
        "{HEAD}    a: {{ uses: noop }}\n    b: {{ uses: noop, verification: none, retry: \
         {{ maxAttempts: 2 }} }}\n  defaults: {{ verification: full, timeout: 2s, retry: \
         {{ backoff: {{ factor: 3 }} }} }}\n"
    );
    let manifest = sound(&text, &[]);
    let (a, b) = (&manifest.stages["a"].terms, &manifest.stages["b"].terms);
    assert_eq!((a.verification, b.verification), (Verification::Full, Verification::None));
    assert_eq!((a.retry.attempts_max, b.retry.attempts_max), (4, 2));
    assert_eq!((a.retry.backoff.factor, b.retry.backoff.factor), (3, 3));
    assert_eq!((a.timeout_ms, b.timeout_ms), (2000, 2000));
}

#[test]
fn every_term_is_read() {
    let text = format!(
        "{HEAD}    a:
      uses: noop
      matrix: {{ axes: {{ n: [1, 2] }}, maxParallel: 3 }}
      retry: {{ retryOn: [timeout, worker-lost] }}
      deadline: 2h
      resources: {{ cpu: 2.., memory: 8GiB..32GiB, gpu: 1 }}
      budget: {{ total: \"1.50\" }}
      cache: {{ maxAge: 1d }}
      onFailure: continue
    b: {{ uses: noop, cache: off, matrix: {{ axes: {{ n: [1] }}, failFast: false }} }}
  defaults: {{ cache: private, resources: {{ cpu: 1, gpu: 2 }} }}
  budget: {{ total: \"2\", onExhausted: fail }}
  run: {{ deadline: 8h }}
"
    );
    let manifest = sound(&text, &[]);
    let (a, b) = (&manifest.stages["a"].terms, &manifest.stages["b"].terms);
    assert_eq!(a.retry.on, [Cause::WorkerLost, Cause::Timeout].into());
    assert_eq!(b.retry.on.len(), Cause::ALL.len());
    assert_eq!((a.deadline_ms, b.deadline_ms), (Some(7_200_000), None));
    assert_eq!(a.resources.cpu, Amounts { min: 2, max: None });
    assert_eq!(b.resources.cpu, Amounts { min: 1, max: Some(1) });
    assert_eq!(a.resources.memory, Amounts { min: 8 << 30, max: Some(32 << 30) });
    assert_eq!(a.resources.gpu, Amounts { min: 1, max: Some(1) });
    assert_eq!((a.budget, b.budget), ("1.50".parse().ok(), None));
    assert_eq!((a.cache.mode, a.cache.age_max_ms), (CacheMode::Private, Some(86_400_000)));
    assert_eq!((b.cache.mode, b.cache.age_max_ms), (CacheMode::Off, None));
    assert_eq!((a.on_failure, b.on_failure), (OnFailure::Continue, OnFailure::Fail));
    assert_eq!((a.parallel_max, b.parallel_max), (Some(3), None));
    assert_eq!((a.fail_fast, b.fail_fast), (false, false));
    assert_eq!(manifest.on_exhausted, OnExhausted::Fail);
    assert_eq!(manifest.deadline_ms, Some(28_800_000));
}

#[test]
fn the_goal_follows_the_metric_where_none_is_given() {
    let text = DESIGN.replace("{ metric: accuracy, goal: max }", "{ metric: loss }");
    let manifest = sound(&text, &[]);
    let Spec::Evaluate(evaluate) = &manifest.stages["evaluate"].instances[0].spec else {
        panic!("not an evaluation");
    };
    assert_eq!(evaluate.select, Some(Metric::Loss.best()));
}

#[test]
fn excluded_combinations_have_no_instance() {
    let text = DESIGN.replace("seed: [1, 2] } }", "seed: [1, 2] }, exclude: [{ width: 32 }] }");
    let labels: Vec<_> = trains(&sound(&text, &[])).iter().map(|(l, _)| (*l).to_owned()).collect();
    assert_eq!(labels, ["width=16,seed=1", "width=16,seed=2"]);
}

fn labels(manifest: &Manifest, stage: &str) -> Vec<String> {
    manifest.stages[stage].instances.iter().map(|instance| instance.label.clone()).collect()
}

fn tags(manifest: &Manifest, stage: &str) -> Vec<u64> {
    let tag = |instance: &Instance| match &instance.spec {
        Spec::Noop(noop) => noop.tag,
        other => panic!("{other:?}"),
    };
    manifest.stages[stage].instances.iter().map(tag).collect()
}

#[test]
fn inclusions_add_names_or_cells_after_exclusions() {
    let text = format!(
        "{HEAD}    a:
      uses: noop
      with: {{ tag: \"${{{{ matrix.w * 10 + matrix.x }}}}\" }}
      matrix:
        axes: {{ w: [1, 2], s: [1, 2] }}
        exclude: [{{ w: 2, s: 2 }}]
        include: [{{ x: 5 }}, {{ w: 2, x: 6 }}, {{ x: 7, w: 4 }}]
"
    );
    let manifest = sound(&text, &[]);
    assert_eq!(labels(&manifest, "a"), ["w=1,s=1", "w=1,s=2", "w=2,s=1", "w=4,x=7"]);
    assert_eq!(tags(&manifest, "a"), [15, 15, 26, 47]);
    let gap = text.replace("{ x: 5 }, ", "");
    refused(&gap, &[], "`matrix.x` has no value in some instances\n  hint: give it one");
}

#[test]
fn a_foreach_is_a_matrix_of_one_axis_over_a_list_or_a_parameter() {
    let text = format!(
        "{HEAD}    a: {{ uses: noop, foreach: {{ as: n, in: \"${{{{ params.sizes }}}}\" }}, with: \
         {{ tag: \"${{{{ item.n + 1 }}}}\" }} }}\n    b: {{ uses: noop, needs: [a] }}\n  params: \
         {{ sizes: {{ type: list, of: integer, default: [1, 2], maximum: 50 }} }}\n"
    );
    let manifest = sound(&text, &[]);
    assert_eq!(labels(&manifest, "a"), ["n=1", "n=2"]);
    assert_eq!(tags(&manifest, "a"), [2, 3]);
    assert_eq!(tags(&sound(&text, &[("sizes", "7,8,40")]), "a"), [8, 9, 41]);
    refused(&text, &[("sizes", "7,x")], "cannot be set to `7,x`\n  hint: it is of type list of");
    refused(&text, &[("sizes", "7,51")], "its maximum is 50");
    refused(&text, &[("sizes", "")], "`in` must have 1 to 200000 entries, not 0");
    refused(&text, &[("sizes", "7,7")], "axis `n` has the value 7 twice");
}

#[test]
fn a_condition_waits_for_the_stages_that_it_reads() {
    let text = format!(
        "{DESIGN}    more: {{ uses: noop, when: \"${{{{ metrics.evaluate.accuracy > 0.9 && \
         params.epochs > 3 }}}}\" }}\n"
    );
    let text = text.replacen("  outputs:\n    model", "  outputs:\n    # \n    model", 1);
    let (head, tail) = text.split_once("  outputs:").unwrap();
    let (outputs, more) = tail.split_once("    more:").unwrap();
    let text = format!("{head}    more:{more}  outputs:{outputs}");
    let manifest = sound(&text, &[]);
    let more = &manifest.stages["more"];
    assert_eq!(more.needs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["evaluate"]);
    let when = more.terms.when.as_ref().unwrap();
    assert_eq!(when.metrics(), [("evaluate", "accuracy")]);
    assert!(when.holds(&|_, _| Some(0.95)) && !when.holds(&|_, _| Some(0.9)));
    let never = sound(&text, &[("epochs", "3")]);
    assert_eq!(never.stages["more"].terms.when, Some(Condition::Constant(false)));
    refused(&text.replace("evaluate.acc", "evalute.acc"), &[], "did you mean `evaluate`?");
    refused(&text.replace("e.accuracy >", "e.acuracy >"), &[], "did you mean `accuracy`?");
    refused(&text.replace("s.evaluate.", "s.train."), &[], "`metrics.train` is ambiguous");
}

#[test]
fn the_order_of_inputs_in_the_text_changes_nothing() {
    let turned = "inputs: { data: split.test, models: \"train.*.model\" }";
    let text = DESIGN.replace("inputs: { models: \"train.*.model\", data: split.test }", turned);
    assert_ne!(text, DESIGN);
    let names = |manifest: &Manifest| -> Vec<String> {
        manifest.stages["evaluate"].inputs.iter().map(|(name, ..)| name.clone()).collect()
    };
    assert_eq!(names(&sound(&text, &[])), names(&sound(DESIGN, &[])));
}

#[test]
fn one_instance_is_never_ambiguous() {
    let text = DESIGN.replace("width: [16, 32], seed: [1, 2]", "width: [16], seed: [1]");
    sound(&text.replace("\"train.*.model\"", "train.model"), &[]);
}

/// A pipeline that reads one source.
fn reading(source: &str) -> String {
    let head = HEAD.replace("stages:\n", "");
    let stage = "  stages: { rows: { uses: ingest, inputs: { rows: sources.s } } }\n";
    format!("{head}sources: {{ s: {source} }}\n{stage}")
}

#[test]
fn rows_that_are_made_are_neither_read_nor_more_than_there_are() {
    let text = reading("{ generate: { task: addition, digits: 2, rows: 10000, seed: 7 } }");
    let made = sound(&text, &[]).sources["s"].made;
    assert_eq!(made, Some(crate::domain::job::Made { digits: 2, rows: 10_000, seed: 7 }));
    for (source, expect) in [
        ("{ generate: { task: addition, digits: 2, rows: 10001 } }", "only 10000 different sums"),
        ("{ generate: { task: addition, digits: 2 } }", "needs `rows`"),
        ("{ generate: { task: division, digits: 2, rows: 1 } }", "division"),
        ("{ generate: { task: addition, digits: 0, rows: 1 } }", "digits"),
        ("{ generate: { task: addition, digits: 1, rows: 1 }, url: a.csv }", "`url` says nothing"),
        ("{ format: csv }", "source `s` needs `url`"),
        ("{ url: a.csv }", "source `s` needs `format`"),
    ] {
        refused(&reading(source), &[], expect);
    }
}

#[test]
fn a_prompt_may_have_several_lines_and_no_other_unseen_character() {
    let written = |prompt: &str| {
        let train = "train: { uses: train, inputs: { data: rows.table }, with: { task: language, \
                     model: { kind: gpt }, epochs: 1 } }";
        let with = format!("with: {{ prompt: {prompt} }}");
        let story =
            format!("story: {{ uses: generate, inputs: {{ model: train.model }}, {with} }}");
        let all = reading("{ url: a.txt, format: text }");
        let stages = format!("inputs: {{ rows: sources.s }} }}, {train}, {story} }}");
        all.replace("inputs: { rows: sources.s } } }", &stages)
    };
    let manifest = sound(&written(r#""ROMEO:\nBut""#), &[]);
    match &manifest.stages["story"].instances[0].spec {
        Spec::Generate(generate) => assert_eq!(generate.prompt, "ROMEO:\nBut"),
        other => panic!("{other:?}"),
    }
    refused(&written(r#""a\tb""#), &[], "characters that cannot be seen");
}

#[test]
fn images_are_read_as_their_source_says() {
    use crate::domain::job::{Format, Images, Label};
    let format = |png: &str| {
        let text = reading(&format!("{{ url: a/, format: png{png} }}"));
        sound(&text, &[]).sources["s"].reading.format
    };
    let images = |label, channels| Format::Png(Images { label, channels });
    assert_eq!(format(""), images(Label::Folder, None));
    assert_eq!(format(", png: { pixels: grey }"), images(Label::Folder, Some(1)));
    assert_eq!(format(", png: { label: first }"), images(Label::First(b'_'), None));
    let last = ", png: { label: last, mark: \"-\", pixels: rgb }";
    assert_eq!(format(last), images(Label::Last(b'-'), Some(3)));
    assert_eq!(format(", png: { label: none }"), images(Label::None, None));
    for (source, expect) in [
        ("{ url: a/, format: png, png: { mark: \"-\" } }", "`mark` says nothing"),
        ("{ url: a/, format: csv, png: { label: none } }", "`png` says nothing about"),
        ("{ url: a/, format: png, nulls: [x] }", "pixels have none"),
        ("{ url: a/, format: png, columns: { x: number } }", "pixels have none"),
        ("{ url: a/, format: png, png: { pixels: blue } }", "blue"),
    ] {
        refused(&reading(source), &[], expect);
    }
}

#[test]
fn a_model_of_texts_with_an_encoder_reads_their_order() {
    use crate::domain::job::Model;
    let of = |model: &str| {
        let train = format!(
            "train: {{ uses: train, inputs: {{ data: rows.table }}, with: {{ target: y, epochs: \
             1, model: {model} }} }} }}"
        );
        reading("{ url: a.csv, format: csv }").replace(
            "inputs: { rows: sources.s } } }",
            &format!("inputs: {{ rows: sources.s }} }}, {train}"),
        )
    };
    let model = |text: &str| trains(&sound(&of(text), &[]))[0].1.model.clone();
    assert!(matches!(model("{ kind: text }"), Model::Text { width: 32, .. }));
    let Model::Reader(reader) = model("{ kind: text, encoder: { heads: 2 }, hidden: [7] }") else {
        panic!("no reader");
    };
    assert_eq!((reader.width, reader.blocks, reader.heads), (32, 2, 2));
    assert_eq!(reader.hidden, [7]);
    let odd = "{ kind: text, width: 30, encoder: { heads: 4 } }";
    refused(&of(odd), &[], "4 heads do not divide a width of 30");
    refused(&of("{ kind: text, encoder: { blocks: 0 } }"), &[], "blocks");
    refused(&of("{ kind: mlp, encoder: {} }"), &[], "encoder");
}

#[test]
fn texts_are_foretold_by_a_network_and_by_no_rows() {
    let measured = |format: &str, with: &str| {
        let measure = format!(
            "measure: {{ uses: perplexity, inputs: {{ table: rows.table, model: sources.m }}, \
             with: {{ {with} }} }} }}"
        );
        let all = reading("{ url: a.txt, format: text }, m: { url: m, format: FORMAT }");
        all.replace("FORMAT", format).replace(
            "inputs: { rows: sources.s } } }",
            &format!("inputs: {{ rows: sources.s }} }}, {measure}"),
        )
    };
    for (format, with, expect) in [
        ("gguf", "", (true, 512, 256)),
        ("huggingface", "texts: apart, length: 9", (false, 9, 4)),
        ("gguf", "length: 2, stride: 1", (true, 2, 1)),
    ] {
        let manifest = sound(&measured(format, with), &[]);
        match &manifest.stages["measure"].instances[0].spec {
            Spec::Perplexity(it) => assert_eq!((it.joined, it.length, it.stride), expect),
            other => panic!("{other:?}"),
        }
    }
    refused(&measured("text", ""), &[], "takes a language model, but `sources.m` is a source");
    refused(&measured("gguf", "length: 8, stride: 8"), &[], "a stride of 8");
    refused(&measured("gguf", "length: 1"), &[], "length");
    refused(&measured("gguf", "texts: all"), &[], "all");
    let rows = reading("{ url: a.txt, format: gguf, onBadRow: skip }");
    refused(&rows, &[], "`onBadRow` is of rows, and a network has none");
    refused(&reading("{ url: a, format: gguf }"), &[], "`sources.s` is a language model");
}

#[test]
fn a_text_beyond_the_bound_is_refused_before_it_is_read() {
    let text = format!("# {}\n{DESIGN}", "x".repeat(crate::base::limits::MANIFEST_BYTES_MAX));
    refused(&text, &[], "a manifest has at most 262144 bytes");
}

#[test]
fn faults_of_a_hostile_manifest_are_bounded() {
    let stages: String = (0..1000).map(|n| format!("    s{n}: {{ uses: noop, x: 1 }}\n")).collect();
    let (manifest, faults) = compile(&format!("{HEAD}{stages}"), &BTreeMap::new());
    assert!(manifest.is_none());
    assert_eq!(faults.len(), FAULTS_MAX);
}

/// A sound manifest with some of its bytes exchanged for others that mean something to YAML.
fn mutated() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "",
        "{",
        "}",
        "[",
        "]",
        ":",
        "- ",
        "\n",
        "\n  ",
        "&a ",
        "*a",
        "<<: ",
        "${{ ",
        " }}",
        "\"",
        "'",
        "!!binary ",
        "~",
        "0",
        "-1",
        "1e999",
        ".inf",
        "é",
        "\u{0}",
        "sources",
        ".*.",
        "matrix",
        "train",
        "99999999999999999999999999",
        "#",
        "|",
        ">",
        "? ",
        "%",
        "\t",
    ]);
    prop::collection::vec((0..DESIGN.len(), 0usize..12, words), 0..6).prop_map(|edits| {
        edits.iter().fold(DESIGN.to_owned(), |text, (at, length, word)| {
            let boundary =
                |at: usize| (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i));
            let from = boundary(*at).unwrap_or(0);
            let to = boundary(from + length).unwrap_or(from).max(from);
            format!("{}{word}{}", &text[..from], &text[to..])
        })
    })
}

/// Whatever the text: no panic, the same answer twice, and either a manifest or faults in order.
fn check_total(text: &str) -> Result<(), TestCaseError> {
    let (manifest, faults) = compile(text, &BTreeMap::new());
    prop_assert_eq!(manifest.is_some(), !faults.iter().any(Diagnostic::is_error));
    prop_assert!(faults.is_sorted() && faults.iter().all(|fault| fault.place.line > 0));
    let of = |place: Place| text.get(place.offset..place.offset + place.length);
    let is_inside = faults.iter().all(|fault| of(fault.place).is_some());
    prop_assert!(is_inside);
    prop_assert_eq!(compile(text, &BTreeMap::new()), (manifest, faults));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn r13_any_text_is_answered(text in "\\PC{0,200}") {
        check_total(&text)?;
    }

    #[test]
    fn r13_any_yaml_like_text_is_answered(
        text in "[a-c:{}\\[\\],&*!|>'\"#?~<\\-\\. \n\t$0-9]{0,120}",
    ) {
        check_total(&text)?;
    }

    #[test]
    fn r13_any_expression_is_answered(
        inside in "(params|matrix|run|metrics)?[a-z0-9.()!<>=&|+*/%' -]{0,40}",
    ) {
        let text = DESIGN.replace("${{ matrix.seed }}", &format!("${{{{ {inside} }}}}"));
        check_total(&text)?;
    }

    #[test]
    fn r13_any_mutation_of_a_manifest_is_answered(text in mutated()) {
        check_total(&text)?;
    }
}

/// A stage with a matrix of `a × b` cells.
fn fan(name: &str, (a, b): (usize, usize), rest: &str) -> String {
    let axis = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    let axes = format!("{{ a: [{}], b: [{}] }}", axis(a), axis(b));
    format!("    {name}:\n      matrix: {{ axes: {axes} }}\n      {rest}\n")
}

#[test]
fn a_matrix_does_not_multiply_a_long_list_without_end() {
    let limits = "spec:\n  run: { limits: { instances: 200000 } }\n";
    let head = HEAD.replacen("spec:\n", limits, 1);
    let names: Vec<String> = (0..4_000).map(|i| format!("f{i}")).collect();
    let long = format!("[{}]", names.join(", "));
    let with = |features: &str| {
        format!(
            "uses: train\n      inputs: {{ data: t.table }}\n      with: {{ epochs: 1, task: \
             regression, target: y, features: {features}, model: {{ kind: linear }} }}"
        )
    };
    let rest = "    t: { uses: ingest, inputs: { rows: sources.d } }\n  \
                sources: { d: { url: d.csv, format: csv } }\n";
    let of = |cells, features: &str| format!("{head}{}{rest}", fan("s", cells, &with(features)));
    let expect = "labels and settings of all instances are over 16 MiB";
    refused(&of((100, 40), &long), &[], expect);
    // The same list once, and as many cells with a short one.
    let (manifest, _) = compile(&of((1, 1), &long), &BTreeMap::new());
    let (fanned, _) = compile(&of((100, 40), "[f1, f2]"), &BTreeMap::new());
    assert_eq!(manifest.map(|manifest| manifest.stages["s"].instances.len()), Some(1));
    assert_eq!(fanned.map(|manifest| manifest.stages["s"].instances.len()), Some(4_000));
}

#[test]
fn the_matrices_of_all_stages_are_gone_through_together() {
    let axes = |n: u8| {
        let axes: Vec<String> =
            (b'a'..b'a' + n).map(|a| format!("{}: [0, 1]", char::from(a))).collect();
        format!("matrix: {{ axes: {{ {} }} }}", axes.join(", "))
    };
    let stages: String =
        (0..100).map(|i| format!("    s{i}: {{ uses: noop, {} }}\n", axes(17))).collect();
    let (_, faults) = compile(&format!("{HEAD}{stages}"), &BTreeMap::new());
    let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
    let expect = "the matrices of this manifest have too many combinations and rules";
    let count = told.iter().filter(|fault| fault.contains(expect)).count();
    assert_eq!(count, 97, "{told:?}");
}

#[test]
fn as_many_inclusions_as_there_may_be_fit_the_usual_number_of_instances() {
    let values: Vec<String> = (0..256).map(|i| i.to_string()).collect();
    let include: Vec<String> = values
        .iter()
        .map(|i| format!("{{ a: {i}, lr: {i}.5, seed: {i}, width: {i}, depth: {i} }}"))
        .collect();
    let matrix =
        format!("axes: {{ a: [{}] }}, include: [{}]", values.join(", "), include.join(", "));
    let manifest = sound(&format!("{HEAD}    s: {{ uses: noop, matrix: {{ {matrix} }} }}\n"), &[]);
    assert_eq!(manifest.stages["s"].instances.len(), 256);
}

#[test]
fn expressions_of_all_stages_are_counted_together() {
    let limits = "spec:\n  run: { limits: { instances: 200000 } }\n";
    let head = HEAD.replacen("spec:\n", limits, 1);
    let long: Vec<String> = (0..12).map(|i| format!("\"${{{{ matrix.a }}}}-{i}\"")).collect();
    let with = format!(
        "uses: ingest\n      inputs: {{ rows: sources.d }}\n      with: {{ columns: [{}] }}",
        long.join(", ")
    );
    let of = |stages: usize| {
        let stages: String =
            (0..stages).map(|i| fan(&format!("s{i}"), (200, 200), &with)).collect();
        format!("{head}{stages}  sources: {{ d: {{ url: d.csv, format: csv }} }}\n")
    };
    let expect = "12 expressions in each of 40000 instances";
    refused(&of(3), &[], expect);
    let told = compile(&of(2), &BTreeMap::new()).1;
    assert!(!told.iter().any(|fault| fault.message.contains(expect)), "{told:?}");
}

//! The grammar as a JSON Schema (draft-07), for editors and for people who write tools.
//! Never decides anything: it is printed from the same table that manifests are checked against.

use super::diagnostic::Faults;
use super::form::{Field, Good, Need, Object, OneOf, Port, Range, StageKind, Tagged, Type, Unit};
use super::grammar::{MANIFEST, PARAM, STAGE};
use super::kind::KINDS;
use super::node::{self, Key, Kind, Node};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The schema as JSON text, ending in a line break.
#[must_use]
pub fn json_schema() -> String {
    let mut definitions = BTreeMap::new();
    let mut fields = vec![
        ("$schema", Json::text("http://json-schema.org/draft-07/schema#")),
        ("title", Json::text("ohc pipeline, ohc/v1alpha1")),
    ];
    fields.extend(object(&MANIFEST, &mut definitions));
    for kind in KINDS {
        define(&kind.with, &format!("with-{}", kind.name), &mut definitions);
    }
    definitions.insert("expression".to_owned(), expression());
    let definitions = definitions.into_iter().collect();
    fields.push(("definitions", Json::Object(definitions)));
    let mut text = String::new();
    Json::object(fields).print(0, &mut text);
    text.push('\n');
    text
}

type Definitions = BTreeMap<String, Json>;
type Fields = Vec<(&'static str, Json)>;

/// A JSON value; numbers are carried as text.
#[derive(Clone)]
enum Json {
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn number(number: impl std::fmt::Display) -> Self {
        Self::Number(number.to_string())
    }

    fn words(words: &[&str]) -> Self {
        Self::List(words.iter().map(|word| Self::text(word)).collect())
    }

    fn object(fields: Fields) -> Self {
        Self::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    fn print(&self, depth: usize, out: &mut String) {
        match self {
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) => out.push_str(text),
            Self::Text(text) => quote(text, out),
            Self::List(items) => {
                let print = |item: &Self, out: &mut String| item.print(depth + 1, out);
                block(('[', ']'), items, depth, out, print);
            }
            Self::Object(fields) => {
                block(('{', '}'), fields, depth, out, |(key, value), out| {
                    quote(key, out);
                    out.push_str(": ");
                    value.print(depth + 1, out);
                });
            }
        }
    }
}

fn block<T>(
    (open, close): (char, char),
    items: &[T],
    depth: usize,
    out: &mut String,
    print: impl Fn(&T, &mut String),
) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(depth + 1));
        print(item, out);
    }
    if !items.is_empty() {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    }
    out.push(close);
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Writing to a `String` cannot fail.
            c if c.is_control() => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The reference to an object, which is defined on the way.
fn define(object_: &'static Object, name: &str, definitions: &mut Definitions) -> Json {
    define_as(name, definitions, |definitions| object(object_, definitions))
}

/// The reference to a definition, which is made unless it is there.
fn define_as(
    name: &str,
    definitions: &mut Definitions,
    fields: impl FnOnce(&mut Definitions) -> Fields,
) -> Json {
    if !definitions.contains_key(name) {
        // Taken before its fields are visited, so that no object is visited twice.
        definitions.insert(name.to_owned(), Json::Bool(true));
        let defined = Json::object(fields(definitions));
        definitions.insert(name.to_owned(), defined);
    }
    reference(name)
}

fn reference(name: &str) -> Json {
    Json::object(vec![("$ref", Json::text(&format!("#/definitions/{name}")))])
}

fn object(object: &'static Object, definitions: &mut Definitions) -> Fields {
    let required = object.fields.iter().filter(|field| matches!(field.need, Need::Required));
    let required: Vec<&str> = required.map(|field| field.name).collect();
    // The envelope and the parameters are read before any expression is.
    let is_literal = [&MANIFEST, &PARAM].iter().any(|literal| std::ptr::eq(object, *literal));
    let each = object.fields.iter();
    let properties =
        each.map(|field| (field.name.to_owned(), self::field(field, is_literal, definitions)));
    let properties = properties.collect();
    let mut fields = vec![
        ("description", Json::text(object.doc)),
        ("type", Json::text("object")),
        ("additionalProperties", Json::Bool(false)),
    ];
    if !required.is_empty() {
        fields.push(("required", Json::words(&required)));
    }
    let unless = object.fields.iter().filter_map(|field| match field.need {
        Need::Unless(other) => Some((field.name, other)),
        _ => None,
    });
    let (names, others): (Vec<&str>, Vec<&str>) = unless.unzip();
    if let Some(other) = others.first() {
        let required = |names: &[&str]| Json::object(vec![("required", Json::words(names))]);
        fields.push(("anyOf", Json::List(vec![required(&names), required(&[other])])));
    }
    fields.push(("properties", Json::Object(properties)));
    if std::ptr::eq(object, &STAGE) {
        fields.push(("allOf", Json::List(KINDS.iter().map(|kind| by_kind(kind)).collect())));
    }
    fields
}

fn field(field: &'static Field, is_literal: bool, definitions: &mut Definitions) -> Json {
    let doc = match field.need {
        Need::Default(value) => format!("{} Default: {value}.", field.doc),
        Need::Required | Need::Unless(_) | Need::Optional => field.doc.to_owned(),
    };
    let mut fields = vec![("description", Json::text(&doc))];
    if !field.example.is_empty() {
        fields.push(("examples", Json::List(vec![example(field.example)])));
    }
    // Draft-07 ignores what stands beside `$ref`: the description needs an `allOf` between.
    let ty = match &field.ty {
        Type::Word(words) if is_literal => word(words),
        other => self::ty(other, definitions),
    };
    match ty {
        Json::Object(inner) if inner.iter().any(|(key, _)| key == "$ref") => {
            fields.push(("allOf", Json::List(vec![Json::Object(inner)])));
            Json::object(fields)
        }
        Json::Object(inner) => {
            let outer = fields.into_iter().map(|(key, value)| (key.to_owned(), value));
            Json::Object(outer.chain(inner).collect())
        }
        other => other,
    }
}

/// An example of the table as a value: its text is YAML.
fn example(text: &str) -> Json {
    match node::parse(text, &mut Faults::default()) {
        Some(node) => value(&node.kind),
        None => Json::text(text),
    }
}

fn value(kind: &Kind) -> Json {
    match kind {
        Kind::Null | Kind::Fault => Json::text(""),
        Kind::Bool(value) => Json::Bool(*value),
        Kind::Number(text) => Json::number(text),
        Kind::Text(text) => Json::text(text),
        Kind::Seq(items) => Json::List(items.iter().map(|item| value(&item.kind)).collect()),
        Kind::Map(entries) => {
            let entry = |(key, node): &(Key, Node)| (key.text.clone(), value(&node.kind));
            Json::Object(entries.iter().map(entry).collect())
        }
    }
}

fn ty(ty: &'static Type, definitions: &mut Definitions) -> Json {
    let typed = |name: &str| vec![("type", Json::text(name))];
    match ty {
        Type::Object(object) => define(object, object.name, definitions),
        Type::WordOr(words, object) => {
            let reference = define(object, object.name, definitions);
            Json::object(vec![("anyOf", Json::List(vec![word(words), reference]))])
        }
        Type::Map { of, min, max, .. } => {
            let mut fields = typed("object");
            fields.push(("minProperties", Json::number(min)));
            fields.push(("maxProperties", Json::number(max)));
            fields.push(("propertyNames", Json::object(vec![("pattern", Json::text(NAME))])));
            fields.push(("additionalProperties", self::ty(of, definitions)));
            Json::object(fields)
        }
        Type::Columns { of, min, max, .. } => Json::object(vec![
            ("type", Json::text("object")),
            ("minProperties", Json::number(min)),
            ("maxProperties", Json::number(max)),
            ("additionalProperties", self::ty(of, definitions)),
        ]),
        Type::Either(types) => {
            let each = types.iter().map(|each| self::ty(each, definitions));
            Json::object(vec![("anyOf", Json::List(each.collect()))])
        }
        Type::Tagged(tagged) => tagged_by(tagged, definitions),
        Type::OneOf(one_of) => one_key(one_of, definitions),
        Type::List { of, min, max } => {
            let mut fields = typed("array");
            fields.push(("minItems", Json::number(min)));
            fields.push(("maxItems", Json::number(max)));
            fields.push(("items", self::ty(of, definitions)));
            or_expression(Json::object(fields))
        }
        Type::With => Json::object(typed("object")),
        Type::Word(words) => or_expression(word(words)),
        Type::Text(max) | Type::Lines(max) => {
            let mut fields = typed("string");
            fields.push(("minLength", Json::number(1)));
            fields.push(("maxLength", Json::number(max)));
            Json::object(fields)
        }
        Type::Condition => or_expression(Json::object(typed("boolean"))),
        Type::Name => pattern(NAME),
        Type::DnsLabel => pattern("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"),
        Type::Amount => or_expression(pattern("^[0-9]+(\\.[0-9]{1,9})?$")),
        Type::Duration { .. } => or_expression(pattern("^([0-9]+(ms|s|m|h|d))+$")),
        Type::Range(unit) => or_expression(range(*unit)),
        Type::Amounts { rows, .. } => or_expression(amounts(*rows)),
        Type::Mark { or } => pattern(&format!("^([\\t !-/:-@\\[-`{{-~]|{or})$")),
        Type::Bool => or_expression(Json::object(typed("boolean"))),
        Type::Integer { min, max } => {
            let mut fields = typed("integer");
            fields.push(("minimum", Json::number(min)));
            fields.push(("maximum", Json::number(max)));
            or_expression(Json::object(fields))
        }
        Type::Real(range) => or_expression(real(range)),
        Type::Share { .. } => or_expression(Json::object(vec![
            ("type", Json::text("number")),
            ("exclusiveMinimum", Json::number(0)),
            ("maximum", Json::number(1)),
        ])),
        Type::Scalar | Type::AxisValue => {
            Json::object(vec![("type", Json::words(&["string", "number", "boolean"]))])
        }
    }
}

/// A number of rows, or of bytes with a unit.
fn amounts(rows: u64) -> Json {
    let count = Json::object(vec![
        ("type", Json::text("integer")),
        ("minimum", Json::number(1)),
        ("maximum", Json::number(rows)),
    ]);
    Json::object(vec![("anyOf", Json::List(vec![count, pattern(&format!("^{BYTES}$"))]))])
}

/// What the schema says about expressions.
const EXPRESSION: &str =
    "A text with an expression: names of params, matrix, item, run or metrics, and operators.";
/// A name, as a regular expression.
const NAME: &str = "^[A-Za-z][A-Za-z0-9_-]{0,62}$";
/// A number of bytes, as a regular expression.
const BYTES: &str = "[0-9]+(\\.[0-9]{1,3})?([KMGT]iB|[kMGT]?B)";

/// A range such as `2..8`; a plain number is one too where nothing but the number is counted.
fn range(unit: Unit) -> Json {
    let one = if unit == Unit::Bytes { BYTES } else { "[0-9]+" };
    let text = pattern(&format!("^({one}|{one}\\.\\.({one})?|\\.\\.{one})$"));
    if unit == Unit::Bytes {
        return text;
    }
    let min = Json::number(u8::from(unit == Unit::Some));
    let number = vec![("type", Json::text("integer")), ("minimum", min)];
    Json::object(vec![("anyOf", Json::List(vec![text, Json::object(number)]))])
}

/// Objects that a field chooses between.
fn tagged_by(tagged: &'static Tagged, definitions: &mut Definitions) -> Json {
    define_as(tagged.name, definitions, |definitions| {
        let variants = tagged.variants.iter().map(|variant| {
            let tag = Json::object(vec![
                ("description", Json::text(variant.doc)),
                ("examples", Json::words(&[variant.name])),
                ("const", Json::text(variant.name)),
            ]);
            let mut fields = object(variant, definitions);
            for (key, value) in &mut fields {
                if let ("properties", Json::Object(properties)) = (*key, value) {
                    properties.insert(0, (tagged.tag.to_owned(), tag.clone()));
                }
            }
            let mut required: Vec<&str> = variant
                .fields
                .iter()
                .filter(|field| matches!(field.need, Need::Required))
                .map(|field| field.name)
                .collect();
            if tagged.default != Some(variant.name) {
                required.insert(0, tagged.tag);
            }
            fields.retain(|(key, _)| *key != "required");
            if !required.is_empty() {
                fields.push(("required", Json::words(&required)));
            }
            Json::object(fields)
        });
        let mut variants: Vec<Json> = variants.collect();
        // An expression may choose: then nothing is known of the rest.
        let chosen = Json::object(vec![
            ("description", Json::text(tagged.doc)),
            ("examples", Json::words(&["${{ params.kind }}"])),
            ("allOf", Json::List(vec![reference("expression")])),
        ]);
        let tag = vec![(tagged.tag.to_owned(), chosen)];
        variants.push(Json::object(vec![
            ("properties", Json::Object(tag)),
            ("required", Json::words(&[tagged.tag])),
        ]));
        vec![
            ("description", Json::text(tagged.doc)),
            ("type", Json::text("object")),
            ("anyOf", Json::List(variants)),
        ]
    })
}

/// Mappings with one key, which says what they are.
fn one_key(one_of: &'static OneOf, definitions: &mut Definitions) -> Json {
    define_as(one_of.name, definitions, |definitions| {
        let each = one_of.variants.iter();
        let properties = each
            .map(|variant| (variant.name.to_owned(), field(variant, false, definitions)))
            .collect();
        vec![
            ("description", Json::text(one_of.doc)),
            ("type", Json::text("object")),
            ("minProperties", Json::number(1)),
            ("maxProperties", Json::number(1)),
            ("additionalProperties", Json::Bool(false)),
            ("properties", Json::Object(properties)),
        ]
    })
}

fn word(words: &[&str]) -> Json {
    Json::object(vec![("enum", Json::words(words))])
}

fn pattern(pattern: &str) -> Json {
    Json::object(vec![("type", Json::text("string")), ("pattern", Json::text(pattern))])
}

fn real(range: &Range) -> Json {
    let min = if range.min_allowed { "minimum" } else { "exclusiveMinimum" };
    let max = if range.max_allowed { "maximum" } else { "exclusiveMaximum" };
    Json::object(vec![
        ("type", Json::text("number")),
        (min, Json::number(range.min)),
        (max, Json::number(range.max)),
    ])
}

/// Wherever a scalar that is not plain text may stand, an expression may stand too.
fn or_expression(value: Json) -> Json {
    Json::object(vec![("anyOf", Json::List(vec![value, reference("expression")]))])
}

fn expression() -> Json {
    Json::object(vec![
        ("description", Json::text(EXPRESSION)),
        ("type", Json::text("string")),
        ("pattern", Json::text("\\$\\{\\{.*\\}\\}")),
    ])
}

/// What an input of a stage takes.
fn port(port: &Port) -> Json {
    let example = match (port.good, port.many) {
        (Good::Source, _) => "sources.flowers",
        (Good::Encoder, _) => "sources.encoder",
        (Good::Decoder, _) => "sources.llama",
        (Good::Table, _) => "split.train",
        (Good::Model, true) => "train.*.model",
        (Good::Model, false) => "evaluate.best",
        (Good::Report, _) => "evaluate.report",
        (Good::Recipe, _) => "features.fitted",
        (Good::Text, _) => "story.text",
        (Good::Tokenizer, _) => "tokens.tokenizer",
        (Good::Chart, _) => "compare.chart",
        (Good::Card, _) => "export.card",
        (Good::Token, _) => "first.done",
    };
    Json::object(vec![
        ("description", Json::text(port.doc)),
        ("examples", Json::words(&[example])),
        ("type", Json::text("string")),
    ])
}

/// What `uses` decides: the settings and the inputs of a stage.
fn by_kind(kind: &'static StageKind) -> Json {
    let uses = Json::object(vec![("const", Json::text(kind.name))]);
    let condition = vec![
        ("properties", Json::Object(vec![("uses".to_owned(), uses)])),
        ("required", Json::words(&["uses"])),
    ];
    let with = format!("#/definitions/with-{}", kind.name);
    let mut properties = vec![("with".to_owned(), Json::object(vec![("$ref", Json::text(&with))]))];
    let mut required = Vec::new();
    if let Some(ports) = kind.inputs {
        let each = ports.iter().map(|each| (each.name.to_owned(), port(each))).collect();
        let needed = ports.iter().filter(|port| !port.optional);
        let names: Vec<&str> = needed.map(|port| port.name).collect();
        let inputs = vec![
            ("additionalProperties", Json::Bool(false)),
            ("required", Json::words(&names)),
            ("properties", Json::Object(each)),
        ];
        properties.push(("inputs".to_owned(), Json::object(inputs)));
        required.push("inputs");
    }
    if kind.with.fields.iter().any(|field| matches!(field.need, Need::Required)) {
        required.push("with");
    }
    let mut then =
        vec![("description", Json::text(kind.doc)), ("properties", Json::Object(properties))];
    if !required.is_empty() {
        then.push(("required", Json::words(&required)));
    }
    Json::object(vec![("if", Json::object(condition)), ("then", Json::object(then))])
}

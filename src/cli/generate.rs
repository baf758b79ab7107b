//! `ohc generate`: what a language model writes. Needs no network, no home and no money.

use super::Context;
use super::args::Generate;
use super::exit::{Exit, Stop};
use crate::node::generate::{self, Choice, GenerateError, Request};
use crate::node::predict::{self, PredictError};
use std::io::{self, Read};

/// Bytes of a prompt from the standard input.
const PROMPT_BYTES_MAX: u64 = 1 << 20;

pub(super) fn generate(args: &Generate, context: &mut Context) -> Result<Exit, Stop> {
    let model = predict::model(&args.model).map_err(|error| stop(error.into()))?;
    let prompt = match args.prompt.as_deref() {
        None => "\n".to_owned(),
        Some("-") => {
            let mut prompt = String::new();
            io::stdin().lock().take(PROMPT_BYTES_MAX).read_to_string(&mut prompt)?;
            prompt
        }
        Some(prompt) => prompt.to_owned(),
    };
    let choice = Choice { temperature: args.temperature, top_k: args.top_k };
    let (tokens, line, seed) = (args.tokens, args.line, args.seed);
    let request = Request { prompt, tokens, choice, line, seed };
    let mut take = |text: &str| {
        context.screen.bytes(text)?;
        context.screen.flush()
    };
    generate::run(&request, &model, &mut take).map_err(stop)?;
    Ok(Exit::Done)
}

fn stop(error: GenerateError) -> Stop {
    match error {
        GenerateError::Taken(source) => source.into(),
        GenerateError::NoModel(PredictError::Altered(_)) => Stop::because(Exit::Unverified, &error),
        other => Stop::because(Exit::Failed, &other),
    }
}

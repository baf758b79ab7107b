//! What is wrong with a command line that nobody understands, for people and for programs.
//! Never knows what the command would have done.

use super::args::{Color, Format};
use super::exit::{Exit, Stop};
use super::report::Screen;
use clap::ValueEnum;
use clap::error::ErrorKind;
use std::ffi::OsString;

/// Prints help, the version or what is wrong with the command line.
pub(super) fn complain(error: &clap::Error, args: &[OsString]) -> Exit {
    let is_asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !is_asked_for {
        Screen::new(Color::Never).answer(&stop(error), asked(args));
    }
    // A reader that has gone away does not want to know.
    let _ = error.print();
    if is_asked_for { Exit::Done } else { Exit::Usage }
}

/// The same without the usage, which follows from the command.
fn stop(error: &clap::Error) -> Stop {
    let text = error.render().to_string();
    let mut parts = text.split("\n\n").map(str::trim).filter(|part| !part.is_empty());
    let message = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing".to_owned(),
        _ => one_line(parts.next().unwrap_or_default()),
    };
    let message = message.trim_start_matches("error: ").to_owned();
    let tips: Vec<String> =
        parts.filter_map(|part| part.strip_prefix("tip: ")).map(one_line).collect();
    let hint = match tips.as_slice() {
        [] => "`--help` says what there is".to_owned(),
        tips => tips.join("; "),
    };
    Stop::Error { exit: Exit::Usage, message, hint: Some(hint) }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How it was to be reported, as far as that can be made out.
fn asked(args: &[OsString]) -> Format {
    let args: Vec<&str> = args.iter().map_while(|arg| arg.to_str()).collect();
    let args = args.split(|arg| *arg == "--").next().unwrap_or_default();
    let of = |text: &str| Format::from_str(text, false).ok();
    let at = |at: usize| args.get(at).copied().unwrap_or_default();
    let said = (0..args.len()).find_map(|place| match at(place) {
        "-o" | "--output" => of(at(place + 1)),
        arg => {
            let long = arg.strip_prefix("--output=");
            let found = long.or_else(|| arg.strip_prefix("-o=")).or_else(|| arg.strip_prefix("-o"));
            found.and_then(of)
        }
    });
    said.unwrap_or(Format::Table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;

    fn args(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_format_is_made_out_wherever_it_stands() {
        for line in ["ohc -o json", "ohc x -ojson", "ohc x --output=json y", "ohc x --output json"]
        {
            assert_eq!(asked(&args(line)), Format::Json, "{line}");
        }
        assert_eq!(asked(&args("ohc get -o yaml --nothing")), Format::Yaml);
        for line in ["ohc get", "ohc get -o", "ohc get -o jsn", "ohc predict --format json"] {
            assert_eq!(asked(&args(line)), Format::Table, "{line}");
        }
        assert_eq!(asked(&args("ohc init -- -o json")), Format::Table);
    }

    #[test]
    fn what_is_wrong_is_one_line_and_the_advice_another() {
        let said = |line: &str| {
            let Err(error) = Cli::read(args(line)) else { panic!("{line} is understood") };
            let Stop::Error { message, hint, .. } = stop(&error) else { panic!("no error") };
            (message, hint.unwrap())
        };
        let (message, hint) = said("ohc apply x.yaml --detahc");
        assert_eq!(message, "unexpected argument '--detahc' found");
        assert_eq!(hint, "a similar argument exists: '--detach'");
        let (message, hint) = said("ohc apply");
        assert!(message.contains("not provided: <MANIFEST>"), "{message}");
        assert_eq!(hint, "`--help` says what there is");
        assert_eq!(said("ohc network").0, "a command is missing");
    }
}

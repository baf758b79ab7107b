//! The command line: what can be asked for, with one line about it and one example each.
//! Never does anything; verbs do.

mod generate;
mod inspect;
mod machine;
mod network;
mod output;
mod pipeline;
mod predict;
mod stake;
mod validator;
mod wallet;
mod worker;

pub(crate) use generate::Generate;
pub(crate) use inspect::{
    Describe, Get, Ledger, LedgerFormat, Listed, LogVerb, Logs, RunName, Verify, Why,
};
pub(crate) use machine::{Bench, Completions, Doctor, Explain, Gc, Learner, Man, Measured};
pub(crate) use network::{Dev, Found, NetworkVerb};
pub(crate) use output::{Findings, Format, Output};
pub(crate) use pipeline::{
    Again, Apply, Diff, Files, Init, Params, Plan, Raise, Resume, SchemaKind, Tended, Validate,
};
pub(crate) use predict::{Predict, Written};
pub(crate) use stake::{StakeVerb, Staked};
pub(crate) use validator::Validator;
pub(crate) use wallet::{Transfer, WalletVerb};
pub(crate) use worker::Worker;

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

/// How wide help is at the most.
const HELP_COLUMNS: usize = 80;

/// The verbs in the order in which people meet them.
pub(crate) const GROUPS: &[(&str, &[&str])] = &[
    (
        "Pipelines",
        &["init", "validate", "plan", "diff", "apply", "predict", "generate", "explain", "schema"],
    ),
    ("Runs", &["get", "describe", "logs", "why", "verify", "cancel", "pause", "resume"]),
    ("Network", &["dev", "validator", "worker", "network", "wallet", "stake", "ledger", "log"]),
    ("This machine", &["doctor", "gc", "bench", "completions", "man"]),
];

/// What `ohc` was asked for.
#[derive(Debug, Parser)]
#[command(
    name = "ohc",
    version,
    about = "A job market for machine learning whose minutes are a hash chain",
    after_help = "Example:\n  ohc apply manifests/iris.yaml\n\n\
        Exit codes: 0 done, 1 failed, 2 changes (plan --detailed-exitcode), 3 verification failed, \
        4 budget or no bids, 5 timed out, 6 cancelled, 64 usage, 130 interrupted.",
    max_term_width = HELP_COLUMNS
)]
pub(crate) struct Cli {
    /// Folder of the embedded network: its keys, log and artifacts [default: .ohc at the root of
    /// the manifest's git repository]
    #[arg(long, global = true, env = "OHC_HOME", value_name = "DIR", hide_env_values = true)]
    pub(crate) home: Option<PathBuf>,
    /// The network that is meant: a name that `ohc network list` shows, the path of its files, or
    /// embedded for the one in this process [default: what `ohc network use` said]
    #[arg(
        long,
        global = true,
        env = "OHC_NETWORK",
        value_name = "NAME|PATH",
        hide_env_values = true
    )]
    pub(crate) network: Option<String>,
    /// Whether to write in colour
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// When to write in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a pipeline: train, verify, settle, and write its outputs
    #[command(after_help = "Example:\n  ohc apply manifests/iris.yaml -p epochs=90\n\n\
        Applying again what has not changed runs nothing and spends nothing. Ctrl-C is safe: the \
        next apply goes on from the log.")]
    Apply(Apply),
    /// Show what apply would run, why, and what it would cost
    #[command(after_help = "Example:\n  ohc plan manifests/iris.yaml --out iris.plan\n\n\
        CAUGHT is how likely a worker is found out that lies in every block of the stage.")]
    Plan(Plan),
    /// Show what differs from what was applied last: 0 nothing, 1 something, 2 cannot be told
    #[command(after_help = "Example:\n  ohc diff manifests/iris.yaml\n\n\
        OHC_EXTERNAL_DIFF names a program that is given both manifests instead, such as \
        \"diff -u\".")]
    Diff(Diff),
    /// End a run: what is delivered is settled, what is not spent comes back
    #[command(after_help = "Example:\n  ohc cancel run-1")]
    Cancel(Tended),
    /// Let a run stand still: what workers hold is settled, nothing else is begun
    #[command(after_help = "Example:\n  ohc pause run-1")]
    Pause(Tended),
    /// Let a run go on, or run what of it was not settled
    #[command(after_help = "Example:\n  ohc resume run-1 --budget +2.50\n\n\
        A run that stands still or was interrupted is followed to its end. Of one that is over, \
        what has no settled result is run again, on the sources of then; with --from, that stage \
        and all after it too.")]
    Resume(Resume),
    /// Say what a model predicts of rows as they are in the source
    #[command(
        after_help = "Example:\n  ohc predict out/iris manifests/data/iris.csv --keep species\n\n\
        What was done to the rows of the training is done to these first: it travels with the \
        model. Columns of CSV that the model does not need are text, and are written as such."
    )]
    Predict(Predict),
    /// Let a language model write, token by token
    #[command(after_help = "Example:\n  ohc generate out/writer/model --prompt hello \
        --temperature 0.7\n\n\
        The same model, prompt, settings and seed write the same text on every machine.")]
    Generate(Generate),
    /// Check manifests, and report every fault at its place
    #[command(after_help = "Example:\n  ohc validate manifests/*.yaml --format github")]
    Validate(Validate),
    /// Print the JSON Schema of a kind of document
    #[command(after_help = "Example:\n  ohc schema pipeline > pipeline.v1alpha1.json")]
    Schema {
        /// Which
        #[arg(value_enum)]
        kind: SchemaKind,
    },
    /// List runs, stages, blocks, jobs, artifacts, accounts or workers
    #[command(after_help = "Example:\n  ohc get blocks run-1 -o json")]
    Get(Get),
    /// Show everything about a run, block, job, account or worker
    #[command(after_help = "Example:\n  ohc describe latest")]
    Describe(Describe),
    /// Show what the jobs of a run said, and what became of them
    #[command(after_help = "Example:\n  ohc logs latest train -f\n\n\
        With -f the exit code is that of the run.")]
    Logs(Logs),
    /// Explain a block, a job or an account: from the offer to the payment, or from the parts of a
    /// cache key
    #[command(after_help = "Example:\n  ohc why run-1/0")]
    Why(Why),
    /// Say whether a published file is what its card and the log say
    #[command(after_help = "Example:\n  ohc verify out/iris\n\n\
        The digest of the file is computed and compared with the card beside it, and both with the \
        log of the home or network, where that is the one that settled it. Exits with 3 if \
        something is not what it should be. `ohc log verify` checks the log itself.")]
    Verify(Verify),
    /// Show how money moved, and where all of it lies
    #[command(after_help = "Example:\n  ohc ledger client --run latest")]
    Ledger(Ledger),
    /// Make and show keys, and move money
    #[command(after_help = "Example:\n  ohc wallet balance")]
    Wallet {
        #[command(subcommand)]
        verb: WalletVerb,
    },
    /// Become a validator of a network, or stop being one
    #[command(after_help = "Example:\n  ohc stake status --network lab")]
    Stake {
        #[command(subcommand)]
        verb: StakeVerb,
    },
    /// Run a whole network on this machine until Ctrl-C: validators, workers and NATS
    #[command(after_help = "Example:\n  ohc dev --validators 4 --workers 2\n\n\
        Needs a nats-server on the PATH, or OHC_NATS_SERVER. What is in the folder is used again \
        the next time.")]
    Dev(Dev),
    /// Found networks of several machines, show them, choose one
    #[command(after_help = "Example:\n  ohc network init --out lab")]
    Network {
        #[command(subcommand)]
        verb: NetworkVerb,
    },
    /// Run a validator of a network until it is stopped: it agrees on the log, and checks receipts
    #[command(after_help = "Example:\n  ohc validator --config lab/validator-1\n\n\
        It can be stopped and started at any time: the log goes on while validators with more \
        than 2/3 of the stake are there.")]
    Validator(Validator),
    /// Work on a network: compute what is leased, and be paid
    #[command(after_help = "Example:\n  ohc worker --config lab/worker-1\n\n\
        SIGTERM or Ctrl-C lets it finish what it holds; a second one ends it at once. It can be \
        killed: when it starts again it goes on with what it was leased.")]
    Worker(Worker),
    /// Read and verify the log
    #[command(after_help = "Example:\n  ohc log verify -o json")]
    Log {
        #[command(subcommand)]
        verb: LogVerb,
    },
    /// Write a first manifest for a data file, with comments that teach
    #[command(after_help = "Example:\n  ohc init manifests/data/iris.csv --out flowers.yaml")]
    Init(Init),
    /// Say what may stand under a key of a manifest, and what it means
    #[command(after_help = "Example:\n  ohc explain stages.train.with.optimizer")]
    Explain(Explain),
    /// Say what is wrong with this machine and this home, and what to do
    #[command(
        after_help = "Example:\n  ohc doctor -o json\n\nExits with 1 if something does not work."
    )]
    Doctor(Doctor),
    /// Delete what nobody needs any more: first show it, then --yes
    #[command(after_help = "Examples:\n  ohc gc\n  ohc gc --keep-runs 3 --yes\n\n\
        The log and the keys stay. What a later run asks for after all is computed again.")]
    Gc(Gc),
    /// Print a script that completes command lines
    #[command(after_help = "Example:\n  ohc completions bash > ~/.bash_completion.d/ohc")]
    Completions(Completions),
    /// Print the manual page, or write the pages of all verbs
    #[command(after_help = "Example:\n  ohc man --out ~/.local/share/man/man1")]
    Man(Man),
    /// Measure this machine with what docs/benchmarks.md claims
    #[command(after_help = "Example:\n  ohc bench settle --jobs 1000 -o json")]
    Bench(Bench),
}

/// The command line as a tree.
pub(crate) fn command() -> Command {
    let command = Cli::command();
    let template = [
        "{about-with-newline}\n{usage-heading} {usage}\n",
        &groups(&command),
        "\nOptions:\n{options}{after-help}",
    ];
    command.help_template(template.concat())
}

/// The verbs by groups, each with the line about it.
fn groups(command: &Command) -> String {
    let styles = command.get_styles();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let verbs = GROUPS.iter().flat_map(|(_, verbs)| *verbs);
    let width = verbs.map(|verb| verb.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (group, verbs) in GROUPS {
        let _ = writeln!(text, "\n{header}{group}:{header:#}");
        for verb in verbs.iter().filter_map(|verb| command.find_subcommand(verb)) {
            let name = verb.get_name();
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            // Its own help says all of it.
            let is_long = about.chars().count() + width + 4 > HELP_COLUMNS;
            let about = about.split(": ").next().filter(|_| is_long).unwrap_or(&about);
            let _ = writeln!(text, "  {literal}{name:width$}{literal:#}  {about}");
        }
    }
    text
}

impl Cli {
    /// Reads a command line.
    pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = command();
        let mut matches = command.try_get_matches_from_mut(args)?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    }
}

impl Verb {
    /// How its answer, and what goes wrong, are to be reported; people read what says nothing.
    pub(crate) fn format(&self) -> Format {
        let output: Option<&Output> = match self {
            Self::Apply(apply) => Some(&apply.output),
            Self::Plan(plan) => Some(&plan.output),
            Self::Diff(diff) => Some(&diff.output),
            Self::Cancel(tended) | Self::Pause(tended) => Some(&tended.output),
            Self::Resume(resume) => Some(&resume.output),
            Self::Bench(bench) => Some(&bench.output),
            Self::Gc(gc) => Some(&gc.output),
            Self::Doctor(doctor) => Some(&doctor.output),
            Self::Get(get) => Some(&get.output),
            Self::Describe(describe) => Some(&describe.output),
            Self::Logs(logs) => Some(&logs.output),
            Self::Validator(validator) => Some(&validator.output),
            Self::Worker(worker) => Some(&worker.output),
            Self::Why(why) => Some(&why.output),
            Self::Verify(verify) => Some(&verify.output),
            Self::Ledger(ledger) => {
                return match ledger.output {
                    LedgerFormat::Shown(format) => format,
                    LedgerFormat::Csv => Format::Table,
                };
            }
            Self::Wallet { verb } => Some(verb.output()),
            Self::Stake { verb } => Some(verb.output()),
            Self::Network { verb } => Some(verb.output()),
            Self::Dev(dev) => Some(&dev.output),
            Self::Log { verb: LogVerb::Show { output, .. } | LogVerb::Verify { output } } => {
                Some(output)
            }
            Self::Validate(validate) if validate.format == Findings::Json => {
                return Format::Json;
            }
            Self::Predict(predict) if predict.output == Written::Json => return Format::Json,
            Self::Validate(_)
            | Self::Predict(_)
            | Self::Generate(_)
            | Self::Schema { .. }
            | Self::Init(_)
            | Self::Explain(_)
            | Self::Completions(_)
            | Self::Man(_) => None,
        };
        output.map_or(Format::Table, |output| output.format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use proptest::prelude::*;

    #[test]
    fn every_command_has_a_line_about_it_and_an_example() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} says nothing about itself");
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let is_given =
                ["Example:\n  ohc ", "Examples:\n  ohc "].map(|head| example.contains(head));
            assert!(is_given.contains(&true), "{name} has no example");
            command.get_subcommands().for_each(check);
        }
        let command = Cli::command();
        command.clone().debug_assert();
        check(&command);
    }

    #[test]
    fn every_verb_stands_in_one_group() {
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, verbs)| *verbs).copied().collect();
        let command = Cli::command();
        let mut verbs: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
        grouped.sort_unstable();
        verbs.sort_unstable();
        assert_eq!(grouped, verbs);
    }

    #[test]
    fn every_help_says_what_each_argument_is_in_80_columns() {
        fn check(command: &mut Command) {
            let name = command.get_bin_name().unwrap_or_default().to_owned();
            for help in [command.render_help(), command.render_long_help()] {
                for line in help.to_string().lines() {
                    assert!(line.chars().count() <= HELP_COLUMNS, "{name}: {line}");
                }
            }
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{name}: nothing about {}", arg.get_id());
            }
            command.get_subcommands_mut().for_each(check);
        }
        let mut command = command();
        command.build();
        check(&mut command);
    }

    #[test]
    fn examples_are_command_lines() {
        fn examples(command: &clap::Command, all: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines = help.lines().filter_map(|line| line.strip_prefix("  "));
            let lines = lines.filter(|line| line.starts_with("ohc "));
            all.extend(
                lines.map(|line| {
                    line.split(['<', '>']).next().unwrap_or_default().trim().to_owned()
                }),
            );
            command.get_subcommands().for_each(|sub| examples(sub, all));
        }
        let mut all = Vec::new();
        examples(&Cli::command(), &mut all);
        for example in all {
            let parsed = Cli::try_parse_from(example.split(' '));
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }

    /// What can stand on a command line: every verb and option there is, and values of all kinds.
    fn words() -> Vec<OsString> {
        fn gather(command: &Command, words: &mut Vec<OsString>) {
            words.push(command.get_name().into());
            for option in command.get_arguments() {
                if let Some(long) = option.get_long() {
                    words.extend([format!("--{long}").into(), format!("--{long}=").into()]);
                    words.push(format!("--{long}=9").into());
                }
                words.extend(option.get_short().map(|short| format!("-{short}").into()));
                let values = option.get_possible_values().into_iter();
                words.extend(values.map(|value| value.get_name().into()));
            }
            command.get_subcommands().for_each(|verb| gather(verb, words));
        }
        let mut words = Vec::new();
        gather(&Cli::command(), &mut words);
        let values =
            ["", "-", "--", "---", "=", "-1", "0", "1.5", "1e999", "NaN", "a=b", "a=", "=b"];
        words.extend(values.map(OsString::from));
        let values =
            ["iris.yaml", "stage/train[0]", "run:1", "5 OhC", "\u{202e}", "\0", "-äö", "10s"];
        words.extend(values.map(OsString::from));
        words.extend(["9".repeat(40).into(), "x".repeat(5_000).into()]);
        words
    }

    proptest! {
        #[test]
        fn r13_no_command_line_panics(
            picked in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
            wild in prop::collection::vec("\\PC{0,12}", 0..3),
            verb: prop::sample::Index,
            bytes: Vec<u8>,
        ) {
            let words = words();
            let command = Cli::command();
            let verbs: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
            let mut args: Vec<OsString> = vec!["ohc".into(), (*verb.get(&verbs)).into()];
            args.extend(picked.iter().map(|index| index.get(&words).clone()));
            args.extend(wild.into_iter().map(OsString::from));
            #[cfg(unix)]
            args.push(std::os::unix::ffi::OsStringExt::from_vec(bytes));
            for from in [0, 1] {
                for to in [args.len() - 1, args.len()] {
                    if let Err(error) = Cli::read(args[from..to].to_vec()) {
                        prop_assert!(!error.render().to_string().is_empty());
                    }
                }
            }
        }
    }
}

//! L4, words to people: the command line. Decides nothing that a layer below decides, and is the
//! only layer that writes to the terminal.

mod apply;
mod args;
mod bench;
mod completions;
mod consent;
mod curves;
mod describe;
mod dev;
mod diff;
mod doctor;
mod documents;
mod exit;
mod explain;
mod gc;
mod generate;
mod get;
pub mod handbook;
mod home;
mod init;
mod ledger;
mod lines;
mod log;
mod logs;
mod man;
mod names;
mod network;
mod outcome;
mod plan;
mod predict;
mod report;
mod signals;
mod stake;
mod subject;
mod tend;
mod usage;
mod validate;
mod validator;
mod verify;
mod wallet;
mod why;
mod worker;

pub use exit::Exit;

use crate::node::work;
use args::{Cli, SchemaKind, Verb};
use exit::Stop;
use report::Screen;
use std::ffi::OsString;
use std::path::PathBuf;

/// What every verb is given.
struct Context {
    /// `--home`
    home: Option<PathBuf>,
    /// `--network`
    network: Option<String>,
    /// Where to write.
    screen: Screen,
    /// Ends the process at once.
    quit: fn(u8) -> !,
}

/// `cpu` has fast jobs run as on a graphics card where there is none.
const FAST_ON: &str = "OHC_FAST_ON";

/// Does what a command line asks for and gives the exit code. `quit` ends the process at once, for
/// a second Ctrl-C.
#[must_use]
pub fn run(args: impl Iterator<Item = OsString>, quit: fn(u8) -> !) -> u8 {
    if std::env::var_os(FAST_ON).is_some_and(|device| device == "cpu") {
        work::rehearse_fast_on_cpu();
    }
    let mut args: Vec<OsString> = args.collect();
    // `arg_required_else_help` would take what the environment sets for an argument.
    let is_bare = args.len() == 1;
    args.extend(is_bare.then(|| "--help".into()));
    let Cli { home, network, color, verb } = match Cli::read(args.clone()) {
        Ok(cli) => cli,
        Err(error) => {
            let exit = usage::complain(&error, &args);
            return if is_bare { Exit::Usage } else { exit }.code();
        }
    };
    let format = verb.format();
    let mut context = Context { home, network, screen: Screen::new(color), quit };
    let ended = dispatch(verb, &mut context);
    let ended = ended.and_then(|exit| Ok(context.screen.flush().map(|()| exit)?));
    let exit = match &ended {
        Ok(exit) => *exit,
        Err(stop) => {
            // If the complaint cannot be written either, the exit code has to do.
            let _ = context.screen.complain(stop, format);
            stop.exit()
        }
    };
    exit.code()
}

fn dispatch(verb: Verb, context: &mut Context) -> Result<Exit, Stop> {
    match verb {
        Verb::Apply(args) => apply::apply(&args, context),
        Verb::Diff(args) => diff::diff(&args, context),
        Verb::Cancel(args) => tend::cancel(&args, context),
        Verb::Pause(args) => tend::pause(&args, context),
        Verb::Resume(args) => tend::resume(&args, context),
        Verb::Plan(args) => plan::plan(&args, context),
        Verb::Predict(args) => predict::predict(&args, context),
        Verb::Generate(args) => generate::generate(&args, context),
        Verb::Verify(args) => verify::verify(&args, context),
        Verb::Validate(args) => validate::validate(&args, context),
        Verb::Schema { kind: SchemaKind::Pipeline } => {
            context.screen.text(crate::domain::manifest::json_schema())?;
            Ok(Exit::Done)
        }
        Verb::Get(args) => get::get(&args, context),
        Verb::Stake { verb } => stake::stake(&verb, context),
        Verb::Wallet { verb } => wallet::wallet(&verb, context),
        Verb::Dev(args) => dev::dev(&args, context),
        Verb::Network { verb } => network::network(&verb, context),
        Verb::Validator(args) => validator::validator(&args, context),
        Verb::Worker(args) => worker::worker(&args, context),
        Verb::Log { verb } => log::log(&verb, context),
        Verb::Describe(args) => describe::describe(&args, context),
        Verb::Logs(args) => logs::logs(&args, context),
        Verb::Why(args) => why::why(&args, context),
        Verb::Ledger(args) => ledger::ledger(&args, context),
        Verb::Init(args) => init::init(&args, context),
        Verb::Explain(args) => explain::explain(&args, context),
        Verb::Completions(args) => completions::completions(&args, context),
        Verb::Man(args) => man::man(&args, context),
        Verb::Doctor(args) => doctor::doctor(&args, context),
        Verb::Gc(args) => gc::gc(&args, context),
        Verb::Bench(args) => bench::bench(&args, context),
    }
}

//! `ohc doctor`: says what is wrong with this machine and this home, and what to do about it.
//! Decides nothing: `node::doctor` does.

use super::Context;
use super::args::{Doctor, Format};
use super::exit::{Exit, Stop};
use super::home;
use super::report::Paint;
use super::report::json;
use super::report::prose::count;
use super::report::size::size;
use crate::node::doctor::{self, Finding, Verdict};
use serde_json::json;

pub(super) fn doctor(args: &Doctor, context: &mut Context) -> Result<Exit, Stop> {
    let home = home::wanted(context)?;
    let found = doctor::examine(&home, home.membership());
    let worst = found.iter().map(Finding::verdict).max().unwrap_or(Verdict::Good);
    let (screen, format) = (&mut context.screen, args.output.format);
    match format {
        Format::Json | Format::Yaml => {
            let item = |finding: &Finding| {
                let Prose { check, found, hint } = prose(finding);
                json!({"check": check, "verdict": word(finding.verdict()), "found": found,
                    "hint": hint})
            };
            let items: Vec<_> = found.iter().map(item).collect();
            let fields = json!({"ok": worst != Verdict::Bad, "items": items});
            screen.data(&json::object("CheckUp", fields), format)?;
        }
        Format::Name => {
            for finding in found.iter().filter(|finding| finding.verdict() != Verdict::Good) {
                screen.line(prose(finding).check)?;
            }
        }
        Format::Table | Format::Wide => {
            let paint = screen.paint;
            for finding in &found {
                let Prose { check, found, hint } = prose(finding);
                let verdict = painted(finding.verdict(), paint);
                screen.line(format!("{verdict}  {check}: {found}"))?;
                if let Some(hint) = hint {
                    screen.line(format!("      hint: {hint}"))?;
                }
            }
        }
    }
    Ok(if worst == Verdict::Bad { Exit::Failed } else { Exit::Done })
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "ok",
        Verdict::Doubtful => "warn",
        Verdict::Bad => "fail",
    }
}

fn painted(verdict: Verdict, paint: Paint) -> String {
    let text = format!("{:<4}", word(verdict));
    match verdict {
        Verdict::Good => paint.green(&text),
        Verdict::Doubtful => paint.bold(&text),
        Verdict::Bad => paint.red(&text),
    }
}

/// What people are told about a finding.
struct Prose {
    check: String,
    found: String,
    hint: Option<String>,
}

/// The hint stands only where something is not as it should be.
fn prose(finding: &Finding) -> Prose {
    let (check, found, hint) = match finding {
        Finding::Key(entry) | Finding::KeyOfOther(entry) => {
            return key(finding, &entry.name, entry.key.as_ref().map(|key| key.short()));
        }
        Finding::Disk(_) | Finding::Write(_) | Finding::Clock(_) => disk(finding),
        Finding::Log { .. } | Finding::LogBusy | Finding::LogBad(_) => log(finding),
        Finding::Socket(path) => {
            let found = format!("{} is left of a process that was killed", path.display());
            ("socket", found, "nothing: the next apply takes its place".to_owned())
        }
        Finding::Artifacts { .. } | Finding::ArtifactsBad(_) => artifacts(finding),
        Finding::Program { version, ops } => {
            ("program", format!("ohc {version}, arithmetic {ops}"), String::new())
        }
        Finding::Processor(features) => {
            let list = |has: bool| {
                let names = features.iter().filter(|(_, is)| *is == has).map(|(name, _)| *name);
                names.collect::<Vec<_>>().join(", ")
            };
            let (has, lacks) = (list(true), list(false));
            let lacks = if lacks.is_empty() { lacks } else { format!("; not {lacks}") };
            let hint = "results are the same, but computing or verifying takes longer";
            ("processor", format!("has {has}{lacks}"), hint.to_owned())
        }
        Finding::Cores(cores) => {
            let hint = "one worker at a time; more cores run more blocks at once";
            ("cores", cores.to_string(), hint.to_owned())
        }
        Finding::Memory(0) => ("memory", "the system does not say".into(), String::new()),
        Finding::Memory(bytes) => {
            let hint = "tables and models lie in memory: close other programs, or use less data";
            ("memory", size(*bytes), hint.to_owned())
        }
        Finding::Files(None) => ("open files", "no limit".into(), String::new()),
        Finding::Files(Some(max)) => {
            ("open files", format!("at most {max}"), "raise it: `ulimit -n 1024`".to_owned())
        }
        Finding::Home(path) => ("home", path.display().to_string(), String::new()),
        Finding::NoHome(path) => {
            let hint = "`ohc apply MANIFEST` begins one; `--home DIR` or OHC_HOME names another";
            ("home", format!("no network in {}", path.display()), hint.to_owned())
        }
        Finding::Git(true) => ("git", "leaves the home alone".into(), String::new()),
        Finding::Git(false) => {
            let hint = "secret keys lie in the home: write a line `*` into its .gitignore";
            ("git", "would take the home into its repository".into(), hint.to_owned())
        }
        Finding::KeyGone(name, path) => {
            let found = format!("there is no file {}", path.display());
            let hint = "restore it from a copy: without it this log cannot go on".to_owned();
            return told(finding, format!("key {name}"), found, hint);
        }
    };
    told(finding, check.to_owned(), found, hint)
}

fn told(finding: &Finding, check: String, found: String, hint: String) -> Prose {
    let is_needed = finding.verdict() != Verdict::Good && !hint.is_empty();
    Prose { check, found, hint: is_needed.then_some(hint) }
}

/// An error of a lower layer: what is wrong, and the advice that it ends in.
fn parts(error: &dyn std::error::Error) -> (String, String) {
    let text = error.to_string();
    match text.split_once("; hint: ") {
        Some((found, hint)) => (found.to_owned(), hint.to_owned()),
        None => (text, String::new()),
    }
}

fn key(finding: &Finding, name: &str, key: Result<String, &impl std::error::Error>) -> Prose {
    let (found, hint) = match key {
        Ok(key) => {
            let other = matches!(finding, Finding::KeyOfOther(_));
            let owner = if other { ", but the file is another user's" } else { "" };
            (format!("{key}…{owner}"), "run ohc as the user whose home it is".to_owned())
        }
        Err(error) => parts(error),
    };
    told(finding, format!("key {name}"), found, hint)
}

fn disk(finding: &Finding) -> (&'static str, String, String) {
    match finding {
        Finding::Disk(Ok(room)) => {
            let found = format!("{} free of {}", size(room.free), size(room.total));
            ("disk", found, "free some; `ohc gc` shows what of the home nobody needs".to_owned())
        }
        Finding::Write(Ok(ms)) => {
            let hint = "each slot of the log waits for the disk: choose a faster one with --home";
            ("durable writes", format!("{ms} ms"), hint.to_owned())
        }
        Finding::Clock(Some(ms)) => {
            let hint = "set both clocks: sources over https and in object stores depend on it";
            ("clock", format!("{ms} ms from that of the file system"), hint.to_owned())
        }
        Finding::Clock(None) => {
            let hint = "set it: sources over https and in object stores depend on it";
            ("clock", "not set".into(), hint.to_owned())
        }
        Finding::Disk(Err(error)) => {
            ("disk", error.to_string(), "check the folder of the home".to_owned())
        }
        Finding::Write(Err(error)) => {
            let hint = "check the permissions of the home's folder, or choose another with --home";
            ("durable writes", error.to_string(), hint.to_owned())
        }
        _ => ("disk", String::new(), String::new()),
    }
}

fn log(finding: &Finding) -> (&'static str, String, String) {
    match finding {
        Finding::Log { slots, cut: 0 } => {
            ("log", format!("{slots} slots, and the signatures of the last hold"), String::new())
        }
        Finding::Log { slots, cut } => {
            let hint = "a crash interrupted it: nobody had been told of it, and nothing is lost";
            let found = format!("{slots} slots; an unfinished write of {cut} bytes was cut off");
            ("log", found, hint.to_owned())
        }
        Finding::LogBad(error) => {
            let (found, hint) = parts(error);
            ("log", found, hint)
        }
        _ => ("log", "in use by another ohc".into(), "look again when that is over".to_owned()),
    }
}

fn artifacts(finding: &Finding) -> (&'static str, String, String) {
    match finding {
        Finding::Artifacts { files, bytes, hashed, damaged, strays } => {
            let files = count(*files as usize, "file");
            let stored = format!("{files}, {}; {hashed} hashed", size(*bytes));
            match (damaged.first(), strays) {
                (Some(path), _) => {
                    let found = format!("{stored}, {} damaged: {}", damaged.len(), path.display());
                    let hint = "check the disk; what is damaged is computed again when needed";
                    ("artifacts", found, hint.to_owned())
                }
                (None, 0) => ("artifacts", stored, String::new()),
                (None, strays) => {
                    let found = format!("{stored}; {strays} set aside or half written");
                    ("artifacts", found, "`ohc gc --yes` takes them away".to_owned())
                }
            }
        }
        Finding::ArtifactsBad(error) => {
            let (found, hint) = parts(error);
            ("artifacts", found, hint)
        }
        _ => ("artifacts", String::new(), String::new()),
    }
}

//! What a person sees at a terminal: lines that are redrawn, questions, and a terminal that cannot
//! do either. Never looks inside: the program is run on a pseudo terminal.

use crate::site::Site;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::Stdio;

/// Runs the program at a terminal of a kind, where `types` is typed. Gives its exit code and all
/// that it showed.
fn at(site: &Site, term: &str, args: &[&str], types: &str) -> (Option<i32>, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let open = || OpenOptions::new().read(true).write(true).open(&name).unwrap();
    let mut command = site.command(args);
    command.env_remove("NO_COLOR").env("TERM", term).env("COLUMNS", "100");
    command.stdin(open()).stdout(Stdio::from(open())).stderr(Stdio::from(open()));
    let mut child = command.spawn().unwrap();
    // The terminal is gone once nobody has it: this process must not.
    drop(command);
    let mut screen = File::from(master);
    screen.write_all(types.as_bytes()).unwrap();
    let (mut shown, mut bytes) = (Vec::new(), [0; 4096]);
    // A terminal that nobody has any more gives an error rather than an end.
    while let Ok(read @ 1..) = screen.read(&mut bytes) {
        shown.extend(bytes[..read].iter());
    }
    (child.wait().unwrap().code(), String::from_utf8_lossy(&shown).into_owned())
}

/// All amounts that a bar showed as spent.
fn spent(shown: &str) -> Vec<f64> {
    let before = shown.split(" OhC spent").collect::<Vec<_>>();
    let last = |text: &&str| text.split_whitespace().last()?.parse().ok();
    before[..before.len() - 1].iter().filter_map(last).collect()
}

#[test]
fn a_bar_counts_what_a_run_had_cost_before_it_was_watched() {
    let site = Site::new();
    let short = site.run(&["apply", "iris.yaml", "--budget", "0.66"]);
    assert_eq!(short.code(), Some(4), "{}", short.err());
    let runs = site.json(&["get", "runs", "-o", "json"]);
    let amount = |of: &str| runs["items"][0][of].as_str().unwrap().parse::<f64>().unwrap();
    let was = amount("reward") + amount("gas");
    let resume = ["resume", "run-1", "--budget", "+2"];
    let (code, shown) = at(&site, "xterm", &resume, "");
    assert_eq!(code, Some(0), "{shown}");
    let seen = spent(&shown);
    assert!(!seen.is_empty() && was > 0.1, "{shown}");
    assert!(seen.iter().all(|spent| *spent >= was - 1e-9), "{was}: {seen:?}");
}

#[test]
fn a_terminal_that_cannot_be_redrawn_gets_plain_lines() {
    let site = Site::new();
    let (code, shown) = at(&site, "dumb", &["apply", "iris.yaml"], "");
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains('\x1b'), "{shown}");
    assert!(shown.contains("settled  run-1/0"), "{shown}");
    let (_, shown) = at(&site, "xterm", &["apply", "iris.yaml", "--no-cache"], "");
    assert!(shown.contains("\x1b[1m") && !shown.contains("settled  run-2/0"), "{shown}");
}

#[test]
fn a_question_takes_yes_in_any_case_and_says_what_comes_of_no() {
    let site = Site::new();
    site.vary("free.yaml", "  budget:", "  # budget:");
    let apply = ["apply", "free.yaml"];
    for no in ["\n", "n\n", "yess\n"] {
        let (code, shown) = at(&site, "dumb", &apply, no);
        assert_eq!(code, Some(6), "{shown}");
        assert!(shown.contains("[y/N]") && shown.contains("nothing was done"), "{shown}");
    }
    for (number, yes) in ["y\n", " Yes\n", "YES\n"].into_iter().enumerate() {
        let (code, shown) = at(&site, "dumb", &[&apply[..], &["--no-cache"]].concat(), yes);
        assert_eq!(code, Some(0), "{shown}");
        assert!(shown.contains(&format!("settled  run-{}  ", number + 1)), "{shown}");
    }
}

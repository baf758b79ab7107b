//! Clocks that leap by hours, and processes that stand still: what a suspended machine, a debugger
//! or somebody who sets the clock does. Never a result that depends on it.

use super::perils::Case;
use super::{APPLY, each, json, judge, site, sound, undisturbed};
use crate::site::{Ran, Site};
use ohc::effects::perils::Peril;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The variable that makes the clocks of a process leap.
const LEAPS: &str = "OHC_CLOCK_LEAPS";

#[test]
fn r14_clocks_that_leap_change_no_result_and_lose_no_coin() {
    let expect = undisturbed(&APPLY);
    let seeds: Vec<u64> = (1..=16).collect();
    each(
        &seeds,
        |seed| format!("{LEAPS}={seed}"),
        |seed| {
            let (site, how) = (site(), format!("{LEAPS}={seed}"));
            let leaping = |args: &[&str]| -> Command {
                let mut command = site.command(args);
                command.env(LEAPS, seed.to_string()).stdin(Stdio::null());
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                command
            };
            if seed % 2 == 0 {
                // Killed in the middle: the next process has clocks of its own.
                let case = Case { peril: Peril::SlotAppended, passing: 2 + seed / 2 };
                case.strike_with(leaping(&APPLY));
            }
            let ran = Ran::of(leaping(&APPLY).spawn().unwrap());
            assert_eq!(ran.code(), Some(0), "{how}: {}{}", ran.out(), ran.err());
            judge(&site, &APPLY, &expect, &how);
            assert_eq!(lapsed(&site), 0, "{how}: nobody was silent by the clock of the log");
            // Whatever time it is: what a run needs is not taken away.
            let swept = Ran::of(leaping(&["gc", "--yes", "-o", "json"]).spawn().unwrap());
            assert_eq!(swept.code(), Some(0), "{how}: {}", swept.err());
            judge(&site, &APPLY, &expect, &how);
        },
    );
}

/// How many leases lapsed.
fn lapsed(site: &Site) -> usize {
    site.run(&["log", "show", "-o", "json"]).out().matches("\"kind\":\"lapsed\"").count()
}

#[test]
fn a_process_that_stands_still_for_a_while_goes_on() {
    let site = site();
    let mut apply = site.slow(&["-p", "epochs=600"]).spawn().unwrap();
    let id = apply.id().to_string();
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    };
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(200));
        signal("-STOP");
        std::thread::sleep(Duration::from_millis(700));
        signal("-CONT");
    }
    let ended = apply.wait().unwrap();
    assert!(ended.success(), "{ended}");
    sound(&site, "stopped and continued");
    let runs = json(&site, &["get", "runs", "-o", "json"], "stopped and continued");
    assert_eq!(runs["items"][0]["status"], "settled");
}

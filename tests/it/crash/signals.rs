//! Being asked to end: Ctrl-C and SIGTERM at any moment, twice in a row, and a reader of the output
//! that goes away. Never an end that the next apply could not go on from.

use super::{APPLY, Dice, each, judge, site, undisturbed};
use crate::site::{Ran, Site};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often each signal is sent.
const MOMENTS: u64 = 12;
/// Longer than an apply takes.
const MOMENT_MS_MAX: u64 = 600;
/// What `kill` calls the signals, and their numbers.
const SIGNALS: [(&str, i32); 2] = [("-INT", 2), ("-TERM", 15)];

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    // A process that has ended meanwhile gets none.
    let sent = Command::new("kill").args([name, &id]).stderr(Stdio::null()).status();
    sent.unwrap();
}

#[test]
fn whoever_is_asked_to_end_at_any_moment_ends_in_order() {
    let expect = undisturbed(&APPLY);
    let mut dice = Dice::thrown("OHC_CRASH_SEED");
    let seed = dice.0;
    let mut cases = Vec::new();
    for (name, number) in SIGNALS {
        for nth in 0..MOMENTS {
            cases.push((name, number, dice.below(MOMENT_MS_MAX), nth % 4 == 3));
        }
    }
    let name = |case: &(&str, i32, u64, bool)| format!("{case:?} of OHC_CRASH_SEED={seed}");
    each(&cases, name, |case| {
        let ((asked, number, wait, is_twice), site, how) = (*case, site(), name(case));
        let apply = site.spawn(&APPLY);
        std::thread::sleep(Duration::from_millis(wait));
        signal(&apply, asked);
        if is_twice {
            signal(&apply, asked);
        }
        let ended = Ran::of(apply);
        match ended.code() {
            // It had come to its end.
            Some(0) => {}
            Some(130) => {
                let said = ended.err();
                assert!(
                    is_twice || said.is_empty() || said.contains("interrupted"),
                    "{how}: {said}"
                );
            }
            // It had not begun to listen.
            None => assert_eq!(ended.signal(), Some(number), "{how}"),
            Some(code) => panic!("{how}: {code}: {}", ended.err()),
        }
        judge(&site, &APPLY, &expect, &how);
    });
}

/// The output of an apply, of which so many lines are read before its reader goes away.
fn read_lines(site: &Site, args: &[&str], lines: usize) -> Ran {
    let mut apply = site.spawn(args);
    let mut out = BufReader::new(apply.stdout.take().unwrap());
    for _ in 0..lines {
        out.read_line(&mut String::new()).unwrap();
    }
    drop(out);
    Ran::of(apply)
}

#[test]
fn a_reader_that_goes_away_stops_no_run() {
    let expect = undisturbed(&APPLY);
    let text = &APPLY[..2];
    let cases: Vec<(usize, bool)> = (0..10).flat_map(|n| [(n, true), (n, false)]).collect();
    each(
        &cases,
        |case| format!("{case:?}"),
        |case| {
            let ((lines, is_json), site, how) = (*case, site(), format!("{case:?}"));
            let ended = read_lines(&site, if is_json { &APPLY } else { text }, lines);
            assert_eq!(ended.code(), Some(0), "{how}: {}", ended.err());
            assert_eq!(ended.err(), "", "{how}");
            judge(&site, &APPLY, &expect, &how);
        },
    );
}

//! Deaths: validators that are killed again and again, and such as may have lost what they said.
//! Never lets one of them lie.

use super::{CALM, Council, Temper};
use ohc::base::time::Height;
use std::collections::BTreeSet;

#[test]
fn r6_who_may_have_forgotten_what_it_said_says_nothing_for_a_while() {
    let mut council = Council::new(1, &[Temper::Honest; 4], CALM, 6);
    council.seats[2].silent_before = Height(4);
    council.live(60_000).unwrap();
    assert!(council.is_done(), "three of four agree");
    let key = council.seats[2].key();
    let said: BTreeSet<Height> = council
        .votes
        .keys()
        .filter(|(who, ..)| *who == key)
        .map(|(_, height, ..)| *height)
        .collect();
    assert_eq!(said, (4..=6).map(Height).collect());
}

#[test]
fn validators_that_live_for_a_second_each_agree_between_their_deaths() {
    // The first seconds are so bad that a height may come to a late round, whose time-outs are
    // longer than a life.
    let lasts = |seed| {
        let mut council = Council::new(seed, &[Temper::Honest; 4], CALM, 6);
        council.weather.loss = 80;
        council.lives = Some((700, 450));
        council.live(30_000).unwrap();
        council.weather.loss = 0;
        council.live(60_000).unwrap();
        council.is_done()
    };
    let stuck: Vec<u64> = (1..=20).filter(|seed| !lasts(*seed)).collect();
    assert!(stuck.is_empty(), "seeds {stuck:?}");
}

//! Numbers that somebody else used up: two processes may sign with one key. Never does a command
//! twice that may have been done.

use crate::fold::{CLIENT, Fold, WORKER, one};
use crate::ground::ohc;
use crate::roles::{folds, says};
use ohc::base::ids::RunId;
use ohc::domain::command::Command;
use ohc::role::{Folded, Signer, client};
#[test]
fn what_is_asked_of_a_run_is_asked_again_when_somebody_else_took_its_number() {
    let mut fold = Fold::new(1);
    fold.submit(&one(), ohc(5));
    let pause = Command::Pause { run: RunId(1) };
    let mut client = client::Client::about(Signer::new(CLIENT.secret()), RunId(1), Some(pause));
    let said = says(&mut client, &fold, 0, client::Input::Wake);
    let [client::Output::Send(order)] = &said[..] else { panic!("{said:?}") };
    let other = fold.sign(CLIENT, Command::Transfer { to: WORKER.key(), amount: ohc(1) });
    assert_eq!(other.body.nonce, order.body.nonce);
    // Whether its own comes as well, or does not.
    let input = folds(&mut fold, &[other, order.clone()]);
    let said = says(&mut client, &fold, 1, input);
    let [client::Output::Send(again)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(again.body.command, Command::Pause { run: RunId(1) });
    let input = folds(&mut fold, std::slice::from_ref(again));
    let said = says(&mut client, &fold, 2, input);
    let ends =
        matches!(said[..], [client::Output::Following(_), client::Output::Finished(RunId(1))]);
    assert!(ends, "{said:?}");
}

#[test]
fn what_a_slot_that_was_passed_over_may_have_held_is_not_asked_for_again() {
    let mut fold = Fold::new(1);
    fold.submit(&one(), ohc(5));
    let more = Command::Resume { run: RunId(1), added: ohc(1) };
    let mut client = client::Client::about(Signer::new(CLIENT.secret()), RunId(1), Some(more));
    let said = says(&mut client, &fold, 0, client::Input::Wake);
    assert!(matches!(said[..], [client::Output::Send(_)]), "{said:?}");
    // Its number is used up, and nobody saw by what.
    fold.send(CLIENT, Command::Transfer { to: WORKER.key(), amount: ohc(1) });
    let mut folded = Folded::default();
    folded.pass_over();
    let said = says(&mut client, &fold, 1, client::Input::Folded(folded));
    assert!(matches!(said[..], [client::Output::Following(RunId(1))]), "{said:?}");
}

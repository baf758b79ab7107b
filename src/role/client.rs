//! The client: submits a pipeline and follows its run to the end, or does one thing about a run
//! that is there. Never looks at progress or prose: what people see is made of events.

use super::{Folded, Machine, Signer};
use crate::base::amount::Ohc;
use crate::base::ids::RunId;
use crate::base::keys::PublicKey;
use crate::base::time::Millis;
use crate::domain::command::{Command, SignedOrder, Submission};
use crate::domain::event::{Pause, Reject};
use crate::domain::state::State;
use crate::domain::state::run::{Run, Status};

/// A message that was not folded after so long is sent again.
const RESEND_MS: u64 = 2_000;

/// What can happen to a client.
#[derive(Debug)]
pub enum Input {
    /// Slots were folded, which held this of ours.
    Folded(Folded),
    /// Stop the run.
    Cancel,
    /// Somebody else who may speak for this client asks for something: it gets the next number,
    /// for two that number for themselves would take the same.
    Ask(Command),
    /// The deadline has come.
    Wake,
}

/// What a client wants to happen.
#[derive(Debug)]
pub enum Output {
    /// This goes to the validators.
    Send(SignedOrder),
    /// The run that it follows is known.
    Following(RunId),
    /// The run is over, or stands still and nothing of it is under way.
    Finished(RunId),
    /// What was asked for first was refused.
    Refused(Reject),
}

#[derive(Debug)]
enum Step {
    /// Earlier runs of the same pipeline are being cancelled, one after the other.
    Clearing { sent: Option<(RunId, Box<SignedOrder>, Millis)> },
    /// The submission is on its way; runs up to this one are not ours.
    Submitting { order: Box<SignedOrder>, sent: Millis, before: Option<RunId> },
    /// A command about a run that is there is on its way.
    Asking { order: Box<SignedOrder>, sent: Millis, run: RunId },
    /// The run is known.
    Following(RunId),
    /// The run is known, and is to be stopped.
    Cancelling { run: RunId, order: Box<SignedOrder>, sent: Millis },
    /// There is nothing left to do.
    Finished,
}

/// Whether a run is already doing what a submission asks for: then it is joined, not begun again.
/// One that counts on results which are lost by now would wait for them for ever.
#[must_use]
pub fn goes_on(run: &Run, submission: &Submission) -> bool {
    run.status == Status::Running
        && run.subject == submission.subject()
        && submission.fresh.iter().all(|lost| run.fresh.contains(lost))
}

/// What a run that stands still must be given so that it goes on with what a submission asks for;
/// none if it cannot. A budget that was used up must grow, or the run would stand still at once.
#[must_use]
pub fn lacks(run: &Run, submission: &Submission) -> Option<Ohc> {
    let Status::Paused(reason) = &run.status else { return None };
    let added = submission.budget.checked_sub(run.budget)?;
    let is_used_up = matches!(reason, Pause::Budget | Pause::StageBudget { .. });
    let same = run.subject == submission.subject()
        && submission.fresh.iter().all(|lost| run.fresh.contains(lost));
    (same && (added > Ohc::ZERO || !is_used_up)).then_some(added)
}

/// One client and what it wants.
#[derive(Debug)]
pub struct Client {
    signer: Signer,
    want: Want,
    step: Step,
}

/// What a client is there for.
#[derive(Debug)]
enum Want {
    /// A pipeline of this name is to be run.
    Pipeline(String, Box<Submission>),
    /// This is to be done about a run, if anything; then it is followed.
    Run(RunId, Option<Command>),
}

impl Client {
    /// A client that wants `submission` run; `name` is the manifest's.
    #[must_use]
    pub fn new(signer: Signer, name: String, submission: Submission) -> Self {
        let want = Want::Pipeline(name, Box::new(submission));
        Self { signer, want, step: Step::Clearing { sent: None } }
    }

    /// A client that wants one thing done about a run of its own, or nothing, and then follows it.
    #[must_use]
    pub fn about(signer: Signer, run: RunId, command: Option<Command>) -> Self {
        Self { signer, want: Want::Run(run, command), step: Step::Clearing { sent: None } }
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.signer.public()
    }

    /// A run of the same pipeline that is not over.
    fn open_run<'a>(&self, state: &'a State, name: &str) -> Option<&'a Run> {
        let me = self.key();
        let ours = |run: &&Run| run.client == me && run.name == name && !run.is_over();
        state.runs().values().rev().find(ours)
    }

    /// Clears the way: an open run of the same subject is joined, one that stands still for want
    /// of what there is now is resumed, any other of the same pipeline is cancelled first, so that
    /// no escrow is forgotten.
    fn begin(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        let (name, submission) = match &self.want {
            Want::Pipeline(name, submission) => (name, submission),
            Want::Run(run, command) => {
                return match (*run, command.clone()) {
                    (run, Some(command)) => self.ask(run, command, now, state, out),
                    (run, None) => self.follow(run, now, state, out),
                };
            }
        };
        let Some(run) = self.open_run(state, name) else { return self.submit(now, state, out) };
        if goes_on(run, submission) {
            return self.follow(run.id, now, state, out);
        }
        if let Some(added) = lacks(run, submission) {
            let run = run.id;
            return self.ask(run, Command::Resume { run, added }, now, state, out);
        }
        let (run, is_cancelling) = (run.id, matches!(run.status, Status::Draining(_)));
        let order = match &self.step {
            Step::Clearing { sent: Some((before, order, at)) } if *before == run => {
                if now < at.after(RESEND_MS) {
                    return;
                }
                self.signer.again(state, order.as_ref().clone())
            }
            _ => self.signer.order(state, Command::Cancel { run }),
        };
        // What is heard is not said again.
        out.extend((!is_cancelling).then(|| Output::Send(order.clone())));
        self.step = Step::Clearing { sent: Some((run, Box::new(order), now)) };
    }

    fn ask(
        &mut self,
        run: RunId,
        command: Command,
        now: Millis,
        state: &State,
        out: &mut Vec<Output>,
    ) {
        let order = self.signer.order(state, command);
        out.push(Output::Send(order.clone()));
        self.step = Step::Asking { order: Box::new(order), sent: now, run };
    }

    fn follow(&mut self, run: RunId, now: Millis, state: &State, out: &mut Vec<Output>) {
        out.push(Output::Following(run));
        self.step = Step::Following(run);
        self.advance(now, state, out);
    }

    /// Goes on from the log.
    fn advance(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        match &self.step {
            Step::Clearing { .. } => self.begin(now, state, out),
            // Somebody else's command took its number: what it is about may look different now.
            Step::Asking { order, .. } if !self.signer.may_count(state, order) => {
                self.step = Step::Clearing { sent: None };
                self.begin(now, state, out);
            }
            Step::Asking { sent, .. } => {
                if now >= sent.after(RESEND_MS) {
                    self.resend(now, out);
                }
            }
            Step::Submitting { order, sent, before } => {
                let is_overtaken = !self.signer.may_count(state, order);
                let is_late = now >= sent.after(RESEND_MS);
                match self.newest(state) {
                    Some(run) if Some(run.id) > *before => self.follow(run.id, now, state, out),
                    // Its number is used up, so it can never count: only now is another one safe.
                    _ if is_overtaken => self.submit(now, state, out),
                    // The same number again: whichever copy comes first counts, and once.
                    _ if is_late => self.resend(now, out),
                    _ => {}
                }
            }
            Step::Following(id) => {
                let Some(run) = state.runs().get(id) else { return };
                // What is leased or delivered when a run comes to stand still is settled first.
                let stands = matches!(run.status, Status::Paused(_)) && run.blocks_live.is_empty();
                if stands || run.is_over() {
                    self.finish(*id, out);
                }
            }
            Step::Cancelling { run, order, sent } => {
                let (run, is_late) = (*run, now >= sent.after(RESEND_MS));
                match state.runs().get(&run).map(|run| &run.status) {
                    Some(Status::Ended { .. }) => self.finish(run, out),
                    Some(Status::Running | Status::Paused(_)) if is_late => {
                        let order = self.signer.again(state, order.as_ref().clone());
                        self.cancel(run, order, now, out);
                    }
                    // It is heard; what is delivered is settled first.
                    Some(Status::Draining(_)) if is_late => {
                        let order = order.clone();
                        self.step = Step::Cancelling { run, order, sent: now };
                    }
                    _ => {}
                }
            }
            Step::Finished => {}
        }
    }

    /// The newest run of this client with this subject: it may be over within one slot.
    fn newest<'a>(&self, state: &'a State) -> Option<&'a Run> {
        let Want::Pipeline(_, submission) = &self.want else { return None };
        let (me, subject) = (self.key(), submission.subject());
        state.runs().values().rev().find(|run| run.client == me && run.subject == subject)
    }

    /// Goes on from what became of the command that is on its way.
    fn folded(&mut self, folded: &Folded, now: Millis, state: &State, out: &mut Vec<Output>) {
        let fate = match &self.step {
            Step::Submitting { order, .. } | Step::Asking { order, .. } => folded.fate(order),
            _ => None,
        };
        match (&self.step, fate) {
            // A slot that was passed over may have held it: what it adds is not added twice.
            (Step::Asking { run, order, .. }, None)
                if folded.has_gap() && !self.signer.may_count(state, order) =>
            {
                self.follow(*run, now, state, out);
            }
            (Step::Submitting { before, .. }, Some(Err(_)))
                if self.newest(state).is_some_and(|run| Some(run.id) > *before) =>
            {
                self.advance(now, state, out);
            }
            (_, Some(Err(reject))) => {
                out.push(Output::Refused(reject));
                self.step = Step::Finished;
            }
            (Step::Asking { run, .. }, Some(Ok(()))) => self.follow(*run, now, state, out),
            _ => self.advance(now, state, out),
        }
    }

    fn submit(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        let Want::Pipeline(_, submission) = &self.want else { return };
        let command = Command::Submit(submission.clone());
        let order = self.signer.order(state, command);
        out.push(Output::Send(order.clone()));
        let before = state.runs().last_key_value().map(|(id, _)| *id);
        self.step = Step::Submitting { order: Box::new(order), sent: now, before };
    }

    fn resend(&mut self, now: Millis, out: &mut Vec<Output>) {
        if let Step::Submitting { order, sent, .. } | Step::Asking { order, sent, .. } =
            &mut self.step
        {
            *sent = now;
            out.push(Output::Send(order.as_ref().clone()));
        }
    }

    fn cancel(&mut self, run: RunId, order: SignedOrder, now: Millis, out: &mut Vec<Output>) {
        out.push(Output::Send(order.clone()));
        self.step = Step::Cancelling { run, order: Box::new(order), sent: now };
    }

    fn finish(&mut self, run: RunId, out: &mut Vec<Output>) {
        out.push(Output::Finished(run));
        self.step = Step::Finished;
    }
}

impl Machine for Client {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Millis, state: &State, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Folded(folded) => self.folded(&folded, now, state, out),
            Input::Wake => self.advance(now, state, out),
            Input::Ask(command) => out.push(Output::Send(self.signer.order(state, command))),
            Input::Cancel => {
                if let Step::Following(run) = self.step {
                    let order = self.signer.order(state, Command::Cancel { run });
                    self.cancel(run, order, now, out);
                }
            }
        }
    }

    fn deadline(&self, _: &State) -> Option<Millis> {
        match &self.step {
            Step::Clearing { sent: None } => Some(Millis(0)),
            Step::Clearing { sent: Some((_, _, at)) }
            | Step::Submitting { sent: at, .. }
            | Step::Asking { sent: at, .. }
            | Step::Cancelling { sent: at, .. } => Some(at.after(RESEND_MS)),
            Step::Following(_) | Step::Finished => None,
        }
    }
}

//! The client: submits a pipeline and follows its run to the end.
//! Never looks at progress or prose: what people see is made of events.

use super::{Machine, Signer};
use crate::base::ids::RunId;
use crate::base::keys::PublicKey;
use crate::base::time::Millis;
use crate::domain::command::{Command, SignedOrder, Submission};
use crate::domain::event::Reject;
use crate::domain::state::State;
use crate::domain::state::run::{Run, Status};

/// A message that was not folded after so long is sent again.
const RESEND_MS: u64 = 2_000;

/// What can happen to a client.
#[derive(Debug)]
pub enum Input {
    /// A slot was folded; if it rejected a command of ours, this is why.
    Folded(Option<Reject>),
    /// Stop the run.
    Cancel,
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
    /// The run is over, or stands still.
    Finished(RunId),
    /// The submission was refused.
    Refused(Reject),
}

#[derive(Debug)]
enum Step {
    /// Earlier runs of the same pipeline are being cancelled.
    Clearing { sent: Option<Millis> },
    /// The submission is on its way; runs up to this one are not ours.
    Submitting { order: Box<SignedOrder>, sent: Millis, before: Option<RunId> },
    /// The run is known.
    Following(RunId),
    /// The run is known, and is to be stopped.
    Cancelling { run: RunId, sent: Millis },
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

/// One client and the pipeline that it wants.
#[derive(Debug)]
pub struct Client {
    signer: Signer,
    name: String,
    submission: Submission,
    step: Step,
}

impl Client {
    /// A client that wants `submission` run; `name` is the manifest's.
    #[must_use]
    pub fn new(signer: Signer, name: String, submission: Submission) -> Self {
        Self { signer, name, submission, step: Step::Clearing { sent: None } }
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.signer.public()
    }

    /// A run of the same pipeline that is not over.
    fn open_run<'a>(&self, state: &'a State) -> Option<&'a Run> {
        let me = self.key();
        let ours = |run: &&Run| run.client == me && run.name == self.name && !run.is_over();
        state.runs().values().rev().find(ours)
    }

    /// Goes on from the log: an open run of the same subject is joined, any other of the same
    /// pipeline is cancelled first, so that no escrow is forgotten.
    fn advance(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        match &self.step {
            Step::Clearing { sent } => {
                let sent = *sent;
                match self.open_run(state) {
                    Some(run) if self.is_wanted(run) => {
                        out.push(Output::Following(run.id));
                        self.step = Step::Following(run.id);
                        self.advance(now, state, out);
                    }
                    Some(run) => {
                        let cancelling = matches!(run.status, Status::Draining(_));
                        if sent.is_none_or(|at| now >= at.after(RESEND_MS)) {
                            let command = Command::Cancel { run: run.id };
                            let order = self.signer.order(state, command);
                            out.extend((!cancelling).then_some(Output::Send(order)));
                            self.step = Step::Clearing { sent: Some(now) };
                        }
                    }
                    None => self.submit(now, state, out),
                }
            }
            Step::Submitting { order, sent, before } => {
                let is_overtaken = state.nonce(&self.key()) >= order.body.nonce;
                let is_late = now >= sent.after(RESEND_MS);
                match self.newest(state) {
                    Some(run) if Some(run.id) > *before => {
                        out.push(Output::Following(run.id));
                        self.step = Step::Following(run.id);
                        self.advance(now, state, out);
                    }
                    // Its number is used up, so it can never count: only now is another one safe.
                    _ if is_overtaken => self.submit(now, state, out),
                    // The same number again: whichever copy comes first counts, and once.
                    _ if is_late => self.resubmit(now, out),
                    _ => {}
                }
            }
            Step::Following(run) => {
                let status = state.runs().get(run).map(|run| &run.status);
                if matches!(status, Some(Status::Ended { .. } | Status::Paused(_))) {
                    self.finish(*run, out);
                }
            }
            Step::Cancelling { run, sent } => {
                let (run, is_late) = (*run, now >= sent.after(RESEND_MS));
                match state.runs().get(&run).map(|run| &run.status) {
                    Some(Status::Ended { .. }) => self.finish(run, out),
                    Some(Status::Running | Status::Paused(_)) if is_late => {
                        self.cancel(run, now, state, out);
                    }
                    _ => {}
                }
            }
            Step::Finished => {}
        }
    }

    fn is_wanted(&self, run: &Run) -> bool {
        goes_on(run, &self.submission)
    }

    /// The newest run of this client with this subject: it may be over within one slot.
    fn newest<'a>(&self, state: &'a State) -> Option<&'a Run> {
        let (me, subject) = (self.key(), self.submission.subject());
        state.runs().values().rev().find(|run| run.client == me && run.subject == subject)
    }

    /// Whether the submission was folded and made no run.
    fn is_refused(&self, state: &State) -> bool {
        let Step::Submitting { order, before, .. } = &self.step else { return false };
        let is_folded = state.nonce(&self.key()) >= order.body.nonce;
        is_folded && self.newest(state).is_none_or(|run| Some(run.id) <= *before)
    }

    fn submit(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        let command = Command::Submit(Box::new(self.submission.clone()));
        let order = self.signer.order(state, command);
        out.push(Output::Send(order.clone()));
        let before = state.runs().last_key_value().map(|(id, _)| *id);
        self.step = Step::Submitting { order: Box::new(order), sent: now, before };
    }

    fn resubmit(&mut self, now: Millis, out: &mut Vec<Output>) {
        if let Step::Submitting { order, sent, .. } = &mut self.step {
            *sent = now;
            out.push(Output::Send(order.as_ref().clone()));
        }
    }

    fn cancel(&mut self, run: RunId, now: Millis, state: &State, out: &mut Vec<Output>) {
        out.push(Output::Send(self.signer.order(state, Command::Cancel { run })));
        self.step = Step::Cancelling { run, sent: now };
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
            // A replay refuses a copy or a number, never what is asked for: `advance` sees which.
            Input::Folded(Some(reject)) if reject != Reject::Replayed && self.is_refused(state) => {
                out.push(Output::Refused(reject));
                self.step = Step::Finished;
            }
            Input::Folded(_) | Input::Wake => self.advance(now, state, out),
            Input::Cancel => {
                if let Step::Following(run) = self.step {
                    self.cancel(run, now, state, out);
                }
            }
        }
    }

    fn deadline(&self, _: &State) -> Option<Millis> {
        match self.step {
            Step::Clearing { sent: None } => Some(Millis(0)),
            Step::Clearing { sent: Some(at) }
            | Step::Submitting { sent: at, .. }
            | Step::Cancelling { sent: at, .. } => Some(at.after(RESEND_MS)),
            Step::Following(_) | Step::Finished => None,
        }
    }
}

//! Says that a job fails for every honest worker, to be paid for nothing.
//! Never computes.

use ohc::domain::receipt::{Flaw, Outcome};
use ohc::domain::state::Assignment;

pub fn distort(assignment: &Assignment) -> Outcome {
    let job = assignment.tasks[assignment.tasks.len() - 1].job;
    let (message, hint) = ("impossible".to_owned(), "pay me".to_owned());
    Outcome::Failed { job, message, hint, flaw: Flaw::Job }
}

//! Says that a job fails for every honest worker, to be paid for nothing.
//! Never computes.

use ohc::domain::receipt::Outcome;
use ohc::domain::state::Assignment;

pub fn distort(assignment: &Assignment) -> Outcome {
    let job = assignment.tasks[assignment.tasks.len() - 1].job;
    Outcome::Failed { job, message: "impossible".to_owned(), hint: "pay me".to_owned() }
}

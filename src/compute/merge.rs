//! Merges: of the states that the shards of a training give, the one from which all go on.
//! Never trusts a state: they must all be of one training, at one step, and finite.
//!
//! Parameters and moments are merged alike, number by number; the moments are those of the
//! optimiser, never begun anew. Then the shared parameters follow the way to the merged ones, with
//! Nesterov's momentum; the ways before are kept in front of the state, for merges alone. What a
//! network keeps of its batches (running means and variances) is merged as moments are: it never
//! goes beyond what the shards have, so that no variance becomes negative.

use super::delta;
use super::kernel::Isa;
use super::kernel::merge::{Pace, follow, mean, trimmed_mean};
use super::state::{Course, Floats, Moving, State, read_shared, shared};
use super::{Done, Fault, Metrics, Named};
use crate::domain::job::{Merge, Rule};

/// Merges the states of some shards (by name, in their order), which all began at `from`.
pub fn run(spec: &Merge, from: &[u8], shards: &[(&str, &[u8])]) -> Result<Done, Fault> {
    let (ways, from) = read_shared(from).ok_or_else(|| refused("state", "its head is damaged"))?;
    let state = State::of_any("state", from)?;
    let shards: Vec<(&str, State)> = shards
        .iter()
        .map(|(name, bytes)| Ok((*name, State::of_any(name, bytes)?)))
        .collect::<Result<_, Fault>>()?;
    let Merged { state, ways, metrics } = merge(spec, ways, state, &shards)?;
    let state = state.into_bytes();
    let bytes = if spec.momentum > 0.0 { shared(&ways, &state) } else { state };
    let outputs = vec![Named { name: "state".to_owned(), bytes }];
    Ok(Done { outputs, metrics })
}

/// The same of what shards say of their states. The ways before are an input and an output of their
/// own, which no shard takes.
pub fn run_deltas(
    spec: &Merge,
    from: &[u8],
    ways: Option<&[u8]>,
    shards: &[(&str, &[u8])],
) -> Result<Done, Fault> {
    let damaged = || refused("ways", "they are damaged");
    let ways = ways.map(|ways| match read_shared(ways) {
        Some((Some(ways), [])) => Ok(ways),
        _ => Err(damaged()),
    });
    let from = State::of_any("state", &delta::plain(from)?)?;
    let shards: Vec<(&str, State)> = shards
        .iter()
        .map(|(name, bytes)| Ok((*name, delta::heard(name, bytes, Some(&from))?)))
        .collect::<Result<_, Fault>>()?;
    let Merged { state, ways, metrics } = merge(spec, ways.transpose()?, from, &shards)?;
    let mut outputs = vec![Named { name: "state".to_owned(), bytes: delta::of_merge(&state) }];
    if spec.momentum > 0.0 {
        outputs.push(Named { name: "ways".to_owned(), bytes: shared(&ways, &[]) });
    }
    Ok(Done { outputs, metrics })
}

/// What a merge comes to.
struct Merged {
    state: State,
    ways: Vec<Floats>,
    metrics: Metrics,
}

fn merge(
    spec: &Merge,
    ways: Option<Vec<Floats>>,
    mut state: State,
    shards: &[(&str, State)],
) -> Result<Merged, Fault> {
    let ways = ways.unwrap_or_else(|| {
        state.parameters.iter().map(|p| Floats(vec![0.0; p.theta.0.len()])).collect()
    });
    let Some((_, first)) = shards.first() else {
        return Err(Fault::new("there is no shard to merge", "connect at least one"));
    };
    if ways.len() != state.parameters.len()
        || !ways.iter().zip(&state.parameters).all(|(way, p)| way.0.len() == p.theta.0.len())
        || ways.iter().any(|way| way.0.iter().any(|x| !x.is_finite()))
    {
        return Err(refused("state", "its ways are not those of its parameters"));
    }
    if 2 * u64::from(spec.rule.trim(count(shards))) >= u64::from(count(shards)) {
        return Err(Fault::new(
            format!("`trim: {}` leaves nothing of {}", spec.rule.trim(1), shards.len()),
            "trim fewer, or ask for a `quorum` of more shards",
        ));
    }
    for (name, shard) in shards {
        if !is_like(shard, first) || !has_shape_of(shard, &state) || shard.step <= state.step {
            return Err(refused(name, "it is not of the same training, or not at the same step"));
        }
    }
    let losses = shards.iter().map(|(_, shard)| shard.course.loss);
    let loss = losses.sum::<f64>() / shards.len() as f64;
    (state.step, state.powers) = (first.step, first.powers);
    state.course = Course { loss, ..Course::default() };
    let ways = merged(spec, &mut state, ways, shards);
    let is_finite = state.is_finite() && ways.iter().all(|w| w.0.iter().all(|x| x.is_finite()));
    if !is_finite {
        return Err(Fault::new(
            format!("the merged state is not finite after {} steps", state.step),
            "lower `outer.lr` or the learning rate, or merge by `rule: trimmed-mean`",
        ));
    }
    let metrics = vec![("loss".to_owned(), loss), ("shards".to_owned(), shards.len() as f64)];
    Ok(Merged { state, ways, metrics })
}

/// Puts what is merged into the state, parameter by parameter, and gives the ways that it went.
fn merged(
    spec: &Merge,
    state: &mut State,
    mut ways: Vec<Floats>,
    shards: &[(&str, State)],
) -> Vec<Floats> {
    let isa = Isa::best();
    let pace = Pace { lr: spec.lr, momentum: spec.momentum };
    let of = |slices: &[&[f32]], out: &mut [f64]| match spec.rule {
        Rule::Mean => mean(isa, slices, out),
        rule => trimmed_mean(isa, slices, rule.trim(count(shards)) as usize, out),
    };
    for (at, (moving, way)) in state.parameters.iter_mut().zip(&mut ways).enumerate() {
        let all: Vec<&Moving> = shards.iter().filter_map(|(_, s)| s.parameters.get(at)).collect();
        let mut to = vec![0.0f64; moving.theta.0.len()];
        let thetas: Vec<&[f32]> = all.iter().map(|shard| shard.theta.0.as_slice()).collect();
        of(&thetas, &mut to);
        follow(isa, pace, &mut moving.theta.0, &mut way.0, &to);
        for (which, moment) in moving.moments.iter_mut().enumerate() {
            let moments = all.iter().filter_map(|shard| shard.moments.get(which));
            let moments: Vec<&[f32]> = moments.map(|moment| moment.0.as_slice()).collect();
            // What is kept of batches has moments without a theta.
            to.resize(moment.0.len(), 0.0);
            of(&moments, &mut to);
            for (x, to) in moment.0.iter_mut().zip(&to) {
                *x = *to as f32;
            }
        }
    }
    ways
}

fn count(shards: &[(&str, State)]) -> u32 {
    u32::try_from(shards.len()).unwrap_or(u32::MAX)
}

/// Whether two shards are of one training and at one step.
fn is_like(shard: &State, other: &State) -> bool {
    shard.step == other.step && shard.powers == other.powers && shard.course.total == 0.0
}

/// Whether a state has the parameters and moments that another has.
fn has_shape_of(shard: &State, state: &State) -> bool {
    let lengths = |p: &Moving| {
        let moments = p.moments.iter().map(|moment| moment.0.len());
        [p.theta.0.len(), p.best.0.len()].into_iter().chain(moments).collect::<Vec<_>>()
    };
    let all = |state: &State| state.parameters.iter().map(lengths).collect::<Vec<_>>();
    all(shard) == all(state)
}

fn refused(name: &str, why: &str) -> Fault {
    Fault::new(
        format!("the input `{name}` cannot be merged: {why}"),
        "a merge takes the states of shards of one round, and the state from which they began",
    )
}

#[cfg(test)]
mod tests;

//! The gauge: how much work this machine does in a second, found by doing some. Never decides a
//! price: that is for whoever pays for the machine.

use crate::compute::bench::pace;
use crate::compute::kernel::Engine;
use crate::domain::cost::FLOP_PER_UNIT;
use crate::effects::clock::Clock;

/// So long it trains.
const SECONDS: f64 = 0.1;

/// Units of work in a second that so many threads do together, side by side as they will work. None
/// where the machine cannot train at all: then its first job says why.
pub(super) fn measure(threads: usize) -> Option<u64> {
    let clock = Clock::start();
    let one = move || pace(Engine::new(1), SECONDS, &mut || clock.seconds()).ok();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(one)).collect();
        let paces = all.into_iter().map(|thread| thread.join().ok().flatten());
        Some(paces.sum::<Option<u64>>()? / FLOP_PER_UNIT)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_does_some_work_in_a_second() {
        assert!(super::measure(1).is_some_and(|units| units > 10));
    }
}

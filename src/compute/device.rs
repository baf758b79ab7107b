//! Graphics cards that fast jobs run on.
//! Never used for what must be exact.

use candle_core::Device;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

static ON_CPU: AtomicBool = AtomicBool::new(false);

/// From now on fast jobs run as they would on a card even where there is none: in candle's own
/// operations on the CPU, slower than the exact kernels. For rehearsals.
pub fn rehearse_on_cpu() {
    ON_CPU.store(true, Ordering::Relaxed);
}

/// A graphics card, in turns where there are several; none where there is none, or where this build
/// is one without the feature `cuda`.
#[must_use]
pub fn gpu() -> Option<Device> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let all = found();
    let gpu = all.get(TURN.fetch_add(1, Ordering::Relaxed) % all.len().max(1));
    gpu.cloned().or_else(|| ON_CPU.load(Ordering::Relaxed).then_some(Device::Cpu))
}

#[cfg(feature = "cuda")]
fn found() -> &'static [Device] {
    static ALL: std::sync::OnceLock<Vec<Device>> = std::sync::OnceLock::new();
    ALL.get_or_init(|| (0..).map_while(|ordinal| Device::new_cuda(ordinal).ok()).collect())
}

#[cfg(not(feature = "cuda"))]
const fn found() -> &'static [Device] {
    &[]
}

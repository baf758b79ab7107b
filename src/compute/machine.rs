//! What a job runs on: the exact kernels, or candle's own operations on a device.
//! Never a choice of who checks one: that is always done with the exact kernels.

use super::device;
use super::kernel::Engine;
use crate::domain::job::Spec;
use candle_core::Device;

/// What a job runs on.
#[derive(Debug, Clone)]
pub enum Machine {
    /// The exact kernels.
    Exact(Engine),
    /// candle's own operations on this device: about the same numbers.
    Fast(Device),
}

impl Default for Machine {
    fn default() -> Self {
        Self::Exact(Engine::default())
    }
}

impl Machine {
    /// What a job is to run on here: a fast one on a graphics card, if there is one that this
    /// build can use. Without one the exact kernels are the fastest.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let device = if spec.is_fast() { device::gpu() } else { None };
        device.map_or_else(Self::default, Self::Fast)
    }

    /// Whether another may give other bits.
    #[must_use]
    pub const fn is_fast(&self) -> bool {
        matches!(self, Self::Fast(_))
    }

    /// What the exact parts of it run with.
    pub(super) fn engine(&self) -> Engine {
        match self {
            Self::Exact(engine) => *engine,
            Self::Fast(_) => Engine::default(),
        }
    }
}

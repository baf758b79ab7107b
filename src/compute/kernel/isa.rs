//! Instruction sets: which ones this CPU has, and one piece of plain Rust compiled for each.
//! Never names an instruction set that the CPU lacks: an [`Isa`] is the proof that it has it.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "a function compiled for AVX is called where detection proved it"
    )
)]

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What every CPU of the architecture has; `mul_add` in software where there is no FMA.
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// An instruction set that this CPU has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Kind);

impl Isa {
    /// What every CPU of the architecture has.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// All that this CPU has, slowest first.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut found = vec![Self::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 {
                found.push(Self(Kind::Avx2));
            }
            if avx2 && is_x86_feature_detected!("avx512f") {
                found.push(Self(Kind::Avx512));
            }
        }
        found
    }

    /// The fastest that this CPU has.
    #[must_use]
    pub fn best() -> Self {
        Self::all().pop().unwrap_or(Self::PORTABLE)
    }

    pub(super) const fn kind(self) -> Kind {
        self.0
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "AVX-512",
        })
    }
}

/// Plain Rust to be compiled once per instruction set. `run` must be `#[inline(always)]` to profit
/// from it; without that it is slower but gives the same bits.
pub(super) trait Body {
    type Out;
    fn run(self) -> Self::Out;
}

/// Runs `body` compiled for `isa`.
#[inline]
pub(super) fn on<B: Body>(isa: Isa, body: B) -> B::Out {
    match isa.0 {
        Kind::Portable => body.run(),
        // SAFETY: an `Isa` of this kind is only made after both features were detected.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { avx2(body) },
        // SAFETY: an `Isa` of this kind is only made after all three features were detected.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { avx512(body) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<B: Body>(body: B) -> B::Out {
    body.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f")]
fn avx512<B: Body>(body: B) -> B::Out {
    body.run()
}

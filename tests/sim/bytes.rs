//! What travels, damaged: its readers answer whatever they are given, and believe one form only.
//! Never asks what a damaged thing means: that it is refused or read as what it says is enough.

use crate::swarm;
use ohc::base::canon::{Decode, Encode};
use ohc::domain::command::SignedOrder;
use ohc::domain::slot::Slot;
use proptest::prelude::*;
use proptest::sample::Index;

/// One thing that goes wrong with bytes.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    /// The rest is missing.
    Cut(Index),
    /// Bytes that are all one, as a length that lies.
    Fill(Index, u8, usize),
    /// A part comes twice.
    Double(Index, usize),
    /// The rest is that of something else.
    Splice(Index, Index),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        (any::<Index>(), 1u8..).prop_map(|(at, with)| Damage::Flip(at, with)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), prop_oneof![Just(0), Just(0xff), Just(0x7f)], 1usize..9)
            .prop_map(|(at, with, length)| Damage::Fill(at, with, length)),
        (any::<Index>(), 1usize..200).prop_map(|(at, length)| Damage::Double(at, length)),
        any::<(Index, Index)>().prop_map(|(at, from)| Damage::Splice(at, from)),
    ];
    prop::collection::vec(one, 1..4)
}

fn damaged(bytes: &[u8], other: &[u8], damage: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for one in damage {
        // There is always a place: that behind the last byte.
        let place = |at: &Index| at.index(bytes.len() + 1);
        match one {
            Damage::Flip(at, with) => {
                let at = place(at);
                bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= with);
            }
            Damage::Cut(at) => bytes.truncate(place(at)),
            Damage::Fill(at, with, length) => {
                let at = place(at);
                bytes[at..].iter_mut().take(*length).for_each(|byte| *byte = *with);
            }
            Damage::Double(at, length) => {
                let at = place(at);
                let part: Vec<u8> = bytes[at..].iter().take(*length).copied().collect();
                bytes.splice(at..at, part);
            }
            Damage::Splice(at, from) => {
                bytes.truncate(place(at));
                bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
            }
        }
    }
    bytes
}

/// What is read of bytes is written as these bytes.
fn check<T: Decode + Encode>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(read) = T::from_bytes(bytes) {
        prop_assert!(read.to_bytes() == bytes, "two forms of one thing are read");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn r13_damage_to_what_travels_is_refused_or_read_as_it_says(
        seed in 0u64..8,
        (picked, other) in any::<(Index, Index)>(),
        damages in prop::collection::vec(damage(), 1..24),
    ) {
        let world = swarm::world(seed);
        let slots: Vec<Vec<u8>> = world.slots().map(Encode::to_bytes).collect();
        let orders: Vec<Vec<u8>> =
            world.slots().flat_map(|slot| &slot.commands).map(Encode::to_bytes).collect();
        for damage in damages {
            for (all, is_slot) in [(&slots, true), (&orders, false)] {
                let (one, other) = (picked.get::<Vec<u8>>(all), other.get::<Vec<u8>>(all));
                let bytes = damaged(one, other, &damage);
                if is_slot { check::<Slot>(&bytes)? } else { check::<SignedOrder>(&bytes)? }
            }
        }
    }
}

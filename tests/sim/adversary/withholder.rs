//! Computes honestly, but keeps its artifacts to itself: nobody can use or check what it sold.
//! Never answers; so any validator may object, audited or not.

use super::Nature;

pub fn stores(nature: Nature) -> bool {
    nature != Nature::Withholder
}

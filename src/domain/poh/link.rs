//! The links of the chain: SHA-256 of 32 bytes, one compression each, several chains at a time.
//! Gives the same words on every machine, whichever instructions compute them.

use crate::base::canon::Digest;
use sha2::block_api::compress256;

/// A hash as the eight words that SHA-256 computes with.
pub(super) type Words = [u32; 8];

/// The initial state of SHA-256 (FIPS 180-4, 5.3.3).
pub(super) const START: Words = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// How many chains [`run`] is given at a time where many are to be computed.
pub(super) const LANES: usize = 16;

/// The words of a digest.
pub(super) fn words(digest: &Digest) -> Words {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(digest.0.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

/// The digest of words.
pub(super) fn digest(words: &Words) -> Digest {
    let mut digest = Digest::default();
    for (bytes, word) in digest.0.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// Moves every chain on by `links` links.
pub(super) fn run(chains: &mut [Words], links: u64) {
    #[cfg(target_arch = "x86_64")]
    let chains = {
        // Many at once where that is faster; what is left of them one beside the other.
        let done = super::avx512::run(chains, links);
        let left = chains.get_mut(done..).unwrap_or_default();
        if left.is_empty() || super::sha_ni::run(left, links) {
            return;
        }
        left
    };
    run_portable(chains, links);
}

/// The same through `sha2`, which has the instructions of other machines.
fn run_portable(chains: &mut [Words], links: u64) {
    for chain in chains {
        for _ in 0..links {
            *chain = hash(chain, None);
        }
    }
}

/// One link that takes a mixin in.
pub(super) fn mix(chain: Words, mixin: &Digest) -> Words {
    hash(&chain, Some(mixin))
}

/// SHA-256 of the chain's 32 bytes, or of them and the mixin's.
fn hash(chain: &Words, mixin: Option<&Digest>) -> Words {
    let mut block = [0; 64];
    let (left, right) = block.split_at_mut(32);
    left.copy_from_slice(&digest(chain).0);
    let mut state = START;
    match mixin {
        None => {
            right.copy_from_slice(&padding::<32>(256));
            compress256(&mut state, &[block]);
        }
        Some(mixin) => {
            right.copy_from_slice(&mixin.0);
            compress256(&mut state, &[block, padding::<64>(512)]);
        }
    }
    state
}

/// What follows a message of `bits` bits: a one, zeros, and the length (FIPS 180-4, 5.1.1).
fn padding<const N: usize>(bits: u16) -> [u8; N] {
    let mut padding = [0; N];
    if let [first, .., high, low] = padding.as_mut_slice() {
        *first = 0x80;
        [*high, *low] = bits.to_be_bytes();
    }
    padding
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    fn sha256(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    #[test]
    fn a_link_is_sha256_of_32_bytes() {
        for seed in 0..100u8 {
            let start = Digest::of(&[seed]);
            let mut chain = words(&start);
            run_portable(std::slice::from_mut(&mut chain), 1);
            assert_eq!(digest(&chain), sha256(&start.0));
        }
    }

    #[test]
    fn a_mixin_is_sha256_of_64_bytes() {
        let (start, mixin) = (Digest::of(b"start"), Digest::of(b"mixin"));
        let expect = sha256(&[start.0, mixin.0].concat());
        assert_eq!(digest(&mix(words(&start), &mixin)), expect);
    }

    #[test]
    fn any_number_of_chains_gives_the_bits_of_sha2() {
        for count in [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 33] {
            for links in [0, 1, 2, 3, 10, 257] {
                let start: Vec<Words> = (0..count).map(|n| words(&Digest::of(&[n]))).collect();
                let (mut chains, mut expect) = (start.clone(), start);
                run(&mut chains, links);
                run_portable(&mut expect, links);
                assert_eq!(chains, expect, "{count} chains, {links} links");
            }
        }
    }
}

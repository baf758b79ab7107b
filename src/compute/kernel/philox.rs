//! Random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
//! 1, 2, 3", SC 2011). Never keeps a state: a number is a function of its key and its index.

/// What the numbers of one seed are drawn for: streams of different purposes never meet.
pub mod purpose {
    /// Initial parameters; the stream is the index of the parameter.
    pub const INITIAL: u32 = 1;
    /// The order of the rows of an epoch; the stream is the epoch.
    pub const ORDER: u32 = 2;
    /// Synthetic data of measurements.
    pub const SYNTHETIC: u32 = 3;
    /// The division of a table's rows into parts.
    pub const SPLIT: u32 = 4;
    /// The order of the rows of a shuffled table.
    pub const SHUFFLE: u32 = 5;
    /// The rows of a sample.
    pub const SAMPLE: u32 = 6;
    /// The rows that a training holds out; the stream is the class.
    pub const VALIDATION: u32 = 7;
    /// The values that a layer leaves out; the stream is the layer.
    pub const DROPOUT: u32 = 8;
    /// The division of the rows of a training among its shards.
    pub const DEAL: u32 = 10;
    /// The seed of a shard; the stream is the shard.
    pub const SHARD: u32 = 11;
    /// The tokens of a written text; the stream is its number.
    pub const GENERATE: u32 = 12;
    /// Rows of a source that are made.
    pub const MADE: u32 = 13;
}

/// Blocks that are made at once where many are needed: one AVX-512 or two AVX2 registers of each
/// word.
pub(super) const LANES: usize = 16;

/// A stream of 2^66 random words: the key is the seed, the counter is (index, stream, purpose).
#[derive(Debug, Clone, Copy)]
pub struct Philox {
    key: [u32; 2],
    purpose: u32,
    stream: u32,
}

const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// The golden ratio and the square root of 3, less one, as fractions of 2^32.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: u32 = 10;

/// The Philox4x32-10 bijection.
fn bijection(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut a, mut b, mut c, mut d], [mut k0, mut k1]) = (counter, key);
    for _ in 0..ROUNDS {
        let (p, q) = (MULTIPLIERS[0] * u64::from(a), MULTIPLIERS[1] * u64::from(c));
        (a, b, c, d) = ((q >> 32) as u32 ^ b ^ k0, q as u32, (p >> 32) as u32 ^ d ^ k1, p as u32);
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [a, b, c, d]
}

impl Philox {
    /// The stream `stream` of `seed` for one [`purpose`].
    #[must_use]
    pub const fn new(seed: u64, purpose: u32, stream: u32) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], purpose, stream }
    }

    /// Four random words: the words `4·block .. 4·block + 4` of the stream.
    #[must_use]
    pub fn block(&self, block: u64) -> [u32; 4] {
        let counter = [block as u32, (block >> 32) as u32, self.stream, self.purpose];
        bijection(counter, self.key)
    }

    /// The four words of each of [`LANES`] blocks from `first` on: word w of block l is `[w][l]`.
    #[inline(always)]
    pub(super) fn blocks(&self, first: u64) -> [[u32; LANES]; 4] {
        let (mut a, mut b) = ([0; LANES], [0; LANES]);
        let (mut c, mut d) = ([self.stream; LANES], [self.purpose; LANES]);
        for ((a, b), block) in a.iter_mut().zip(&mut b).zip(first..) {
            (*a, *b) = (block as u32, (block >> 32) as u32);
        }
        let [mut k0, mut k1] = self.key;
        for _ in 0..ROUNDS {
            for (((a, b), c), d) in a.iter_mut().zip(&mut b).zip(&mut c).zip(&mut d) {
                let (p, q) = (MULTIPLIERS[0] * u64::from(*a), MULTIPLIERS[1] * u64::from(*c));
                (*a, *b) = ((q >> 32) as u32 ^ *b ^ k0, q as u32);
                (*c, *d) = ((p >> 32) as u32 ^ *d ^ k1, p as u32);
            }
            k0 = k0.wrapping_add(WEYL[0]);
            k1 = k1.wrapping_add(WEYL[1]);
        }
        [a, b, c, d]
    }

    /// Word `index` of the stream.
    #[must_use]
    pub fn word(&self, index: u64) -> u32 {
        let [a, b, c, d] = self.block(index / 4);
        match index % 4 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        }
    }

    /// A multiple of 2^-24 in [0, 1).
    #[must_use]
    pub fn uniform(&self, index: u64) -> f32 {
        (self.word(index) >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Fills `out` with `low + (high - low)·u`, u the uniforms of the stream from 0 on.
    pub fn fill(&self, low: f32, high: f32, out: &mut [f32]) {
        for (block, out) in (0u64..).zip(out.chunks_mut(4)) {
            for (value, word) in out.iter_mut().zip(self.block(block)) {
                let uniform = (word >> 8) as f32 * (1.0 / 16_777_216.0);
                *value = (high - low).mul_add(uniform, low);
            }
        }
    }

    /// A permutation of `0..n`, every one equally likely (Fisher and Yates, from the end; bounded
    /// draws by Lemire, arXiv 1805.10941).
    #[must_use]
    pub fn permutation(&self, n: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n).collect();
        let mut words = (0u64..).flat_map(|block| self.block(block));
        for i in (1..n).rev() {
            let bound = u64::from(i) + 1;
            // 2^32 mod bound: the low products below it would make some draws likelier.
            let biased = (1u64 << 32) % bound;
            let drawn = words
                .by_ref()
                .map(|word| u64::from(word) * bound)
                .find(|product| (product & 0xFFFF_FFFF) >= biased);
            order.swap(i as usize, (drawn.unwrap_or_default() >> 32) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::canon::Digest;
    use proptest::prelude::*;

    /// The known-answer vectors of the Random123 distribution (`kat_vectors`, philox4x32 10).
    #[test]
    fn the_known_answers_of_random123_hold() {
        #[track_caller]
        fn check(counter: [u32; 4], key: [u32; 2], expect: [u32; 4]) {
            assert_eq!(bijection(counter, key), expect);
        }
        check([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        check([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        check(
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        );
    }

    #[test]
    fn the_stream_is_golden() {
        let philox = Philox::new(0x0123_4567_89ab_cdef, purpose::INITIAL, 3);
        let bytes: Vec<u8> = (0..4096).flat_map(|i| philox.word(i).to_le_bytes()).collect();
        let order = philox.permutation(1000);
        let order: Vec<u8> = order.iter().flat_map(|i| i.to_le_bytes()).collect();
        let digests = [Digest::of(&bytes).short(), Digest::of(&order).short()];
        assert_eq!(digests, ["b7a590245757", "d92d7fe92211"]);
    }

    #[test]
    fn blocks_made_at_once_are_the_same_blocks() {
        let philox = Philox::new(5, 6, 7);
        let first = (1 << 32) - 3;
        let [a, b, c, d] = philox.blocks(first);
        for (block, (((a, b), c), d)) in (first..).zip(a.into_iter().zip(b).zip(c).zip(d)) {
            assert_eq!(philox.block(block), [a, b, c, d]);
        }
    }

    #[test]
    fn fill_and_uniform_are_the_same_numbers() {
        let philox = Philox::new(5, 6, 7);
        let mut filled = [0.0; 11];
        philox.fill(0.0, 1.0, &mut filled);
        for (i, value) in (0..).zip(filled) {
            assert_eq!(value, philox.uniform(i));
        }
    }

    proptest! {
        #[test]
        fn a_permutation_has_every_row_once(seed: u64, epoch: u32, n in 0u32..500) {
            let mut order = Philox::new(seed, purpose::ORDER, epoch).permutation(n);
            order.sort_unstable();
            prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_order_is_about_equally_likely() {
        let mut count = std::collections::BTreeMap::new();
        for seed in 0..6_000 {
            *count.entry(Philox::new(seed, purpose::SPLIT, 0).permutation(3)).or_insert(0) += 1;
        }
        assert_eq!(count.len(), 6);
        // 1000 expected, standard deviation 29: six deviations either way, the seeds are fixed.
        assert!(count.values().all(|n| (826..1174).contains(n)), "{count:?}");
    }
}

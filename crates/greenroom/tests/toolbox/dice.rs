//! Numbers drawn from a seed.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// Up to ten milliseconds, often none.
    pub(crate) fn time(&mut self) -> Duration {
        Duration::from_millis(self.below(20).saturating_sub(9))
    }

    /// Another stream of numbers.
    pub(crate) fn split(&mut self) -> Dice {
        Dice(self.below(u64::MAX))
    }
}

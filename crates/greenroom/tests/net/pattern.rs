//! Chance from a seed: bytes that nobody could mistake for others, and choices.
//!
//! Knows nothing of what they are sent through.

/// A small generator: splitmix64, in which any two seeds give unrelated streams.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// `length` bytes that are like no others.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A sum over bytes in which their order counts (FNV-1a).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksum(u64);

impl Checksum {
    pub(crate) fn new() -> Checksum {
        Checksum(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub(crate) fn of(bytes: &[u8]) -> Checksum {
        let mut sum = Checksum::new();
        sum.add(bytes);
        sum
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

/// The seeds of one test: `few`, or so many times as many as `GREENROOM_SOAK_SEEDS` says.
pub(crate) fn seeds(few: u64) -> std::ops::Range<u64> {
    let factor = match std::env::var("GREENROOM_SOAK_SEEDS") {
        Ok(text) => text.parse().expect("GREENROOM_SOAK_SEEDS is a whole number"),
        Err(_) => 1,
    };
    0..few * factor
}

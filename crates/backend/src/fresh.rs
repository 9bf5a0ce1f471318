//! Fresh ids, tokens and secrets: the only place where randomness enters.

use printmill_domain::Timestamp;
use printmill_domain::ids::Id;
use uuid::{NoContext, Uuid};

/// A new id that sorts by its time.
pub fn id<T: Id>(now: Timestamp) -> T {
    let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
    let time = uuid::Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos());
    T::from_uuid(Uuid::new_v7(time))
}

/// A new token for a lease. Tokens are random so that no holder can guess another's; 53 bits, so
/// that they survive JSON.
pub fn token() -> u64 {
    u64::from_le_bytes(bytes()) >> 11
}

/// Fresh random bytes from the operating system.
///
/// # Panics
///
/// When the operating system has no randomness, in which case nothing can be made safely.
#[expect(clippy::expect_used, reason = "without randomness no key or token would be safe")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A random number in 0..=1000, for jitter.
pub fn jitter() -> u16 {
    (u16::from_le_bytes(bytes()) as u32 * 1001 / 65536) as u16
}

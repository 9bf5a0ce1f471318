//! Fresh ids, tokens and secrets: the only place where randomness enters.

use printmill_domain::Timestamp;
use printmill_domain::ids::Id;
use std::cell::RefCell;
use std::marker::PhantomData;
use uuid::Builder;

/// A new id that sorts by its time.
pub fn id<T: Id>(now: Timestamp) -> T {
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    T::from_uuid(Builder::from_unix_timestamp_millis(millis, &bytes()).into_uuid())
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
    if !drawn_from_source(&mut bytes) {
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    }
    bytes
}

/// A random number in 0..=1000, for jitter.
pub fn jitter() -> u16 {
    (u16::from_le_bytes(bytes()) as u32 * 1001 / 65536) as u16
}

/// What fills a slice with bytes in the operating system's stead.
type Source = Box<dyn FnMut(&mut [u8])>;

thread_local! {
    static SOURCE: RefCell<Option<Source>> = const { RefCell::new(None) };
}

fn drawn_from_source(bytes: &mut [u8]) -> bool {
    SOURCE.with_borrow_mut(|source| source.as_mut().map(|source| source(bytes)).is_some())
}

/// Draws everything that is fresh on this thread from `source`, until the guard is dropped, so
/// that a simulation can be repeated exactly. Nothing that is made meanwhile is secret: clippy
/// refuses a call of this outside of the simulation.
pub fn drawn_from(source: impl FnMut(&mut [u8]) + 'static) -> DrawnFrom {
    SOURCE.set(Some(Box::new(source)));
    DrawnFrom(PhantomData)
}

/// While it lives, its thread draws from the source that it was made with.
#[must_use]
pub struct DrawnFrom(PhantomData<*const ()>);

impl Drop for DrawnFrom {
    fn drop(&mut self) {
        SOURCE.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use printmill_domain::ids::OrderId;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "this is what it is for")]
    fn a_source_serves_its_own_thread_until_its_guard_is_dropped() {
        let now = Timestamp::from_timestamp(1_767_268_800, 0).unwrap();
        let counting = || {
            let mut next = 0..=u8::MAX;
            move |bytes: &mut [u8]| bytes.fill_with(|| next.next().unwrap_or_default())
        };
        let drawn = move || (id::<OrderId>(now), token(), bytes::<4>(), jitter());
        let (first, elsewhere) = {
            let _source = drawn_from(counting());
            (drawn(), std::thread::spawn(move || drawn().0).join().unwrap())
        };
        let again = {
            let _source = drawn_from(counting());
            drawn()
        };
        assert_eq!(first, again);
        assert_ne!(first.0, elsewhere);
        assert_ne!(first.0, id::<OrderId>(now));
        assert!(first.0.to_string() < id::<OrderId>(now + chrono::TimeDelta::days(1)).to_string());
    }
}

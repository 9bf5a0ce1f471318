//! Request bodies, read whole within limits that hold for all requests together.

use crate::errors;
use crate::options::MESSAGE_BYTES_MAX;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use printmill_domain::problem::Problem;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all bodies being read or answered may take together, in bytes. What exceeds it is refused
/// at once, since whoever sends slowly would let the others wait.
const ALL_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A larger body waits for a turn: read into messages it can take fifty times its size.
const SMALL_BYTES_MAX: usize = 64 * 1024;
/// Large bodies that are being answered at the same time.
const LARGE_MAX: usize = 2;

/// The limits, shared by all requests.
#[derive(Clone)]
pub(crate) struct Bodies {
    bytes: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A body that arrived, and its share of the limits until it is dropped.
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Arc::new(Semaphore::new(ALL_BYTES_MAX)),
            large: Arc::new(Semaphore::new(LARGE_MAX)),
        }
    }

    /// Reads a body that must be here, and have its turn, within `timeout`.
    pub(crate) async fn read(&self, body: Body, timeout: Duration) -> Result<Whole, Problem> {
        let read = tokio::time::timeout(timeout, self.receive(body)).await;
        read.map_err(|_| errors::out_of_time())?
    }

    async fn receive(&self, mut body: Body) -> Result<Whole, Problem> {
        let mut bytes = BytesMut::new();
        let mut share: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| errors::unreadable("the body broke off"))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > MESSAGE_BYTES_MAX {
                return Err(errors::too_large());
            }
            let count = u32::try_from(data.len()).map_err(|_| errors::too_large())?;
            let more = self.bytes.clone().try_acquire_many_owned(count);
            let more = more.map_err(|_| errors::busy())?;
            match &mut share {
                Some(share) => share.merge(more),
                None => share = Some(more),
            }
            // Copied, since each frame keeps the whole buffer alive that it came in.
            bytes.extend_from_slice(&data);
        }
        let turn = match bytes.len() > SMALL_BYTES_MAX {
            true => self.large.clone().acquire_owned().await.ok(),
            false => None,
        };
        Ok(Whole { bytes: bytes.freeze(), _share: share, _turn: turn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use printmill_domain::problem::Code;

    const LONG: Duration = Duration::from_secs(30);

    fn body(length: usize) -> Body {
        Body::from(vec![b'x'; length])
    }

    #[tokio::test]
    async fn what_exceeds_the_limit_of_all_is_refused_and_fits_again_later() -> Result<(), Problem>
    {
        let bodies = Bodies::new();
        let mut held = vec![];
        for _ in 0..ALL_BYTES_MAX / SMALL_BYTES_MAX {
            held.push(bodies.read(body(SMALL_BYTES_MAX), LONG).await?);
        }
        let refused = bodies.read(body(1), LONG).await.err().map(|problem| problem.code);
        assert_eq!(refused, Some(Code::Unavailable));
        held.pop();
        assert_eq!(bodies.read(body(1), LONG).await?.bytes.len(), 1);
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn large_ones_wait_for_a_turn_and_small_ones_do_not() -> Result<(), Problem> {
        let bodies = Bodies::new();
        let mut held = vec![];
        for _ in 0..LARGE_MAX {
            held.push(bodies.read(body(SMALL_BYTES_MAX + 1), LONG).await?);
        }
        let waited = bodies.read(body(SMALL_BYTES_MAX + 1), LONG).await;
        assert_eq!(waited.err().map(|problem| problem.code), Some(Code::Cancelled));
        assert!(bodies.read(body(SMALL_BYTES_MAX), LONG).await.is_ok());
        held.pop();
        assert!(bodies.read(body(SMALL_BYTES_MAX + 1), LONG).await.is_ok());
        Ok(())
    }

    #[tokio::test]
    async fn one_that_is_too_large_is_refused() {
        let refused = Bodies::new().read(body(MESSAGE_BYTES_MAX + 1), LONG).await.err();
        assert_eq!(refused.map(|problem| problem.code), Some(Code::RequestTooLarge));
    }
}

//! gRPC's framing: length-prefixed messages in a body, and the status at its end.

use crate::errors;
use axum::body::Body;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use printmill_domain::problem::Problem;
use tonic::Status;

/// Before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// A message in its frame.
pub(super) fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

/// Reads messages out of the body of an answer.
pub(super) struct Messages {
    body: Body,
    buffer: BytesMut,
    ended: bool,
}

impl Messages {
    /// The messages of an answer's body.
    pub(super) fn new(body: Body) -> Self {
        Self { body, buffer: BytesMut::new(), ended: false }
    }

    /// The next message; nothing after the last one, or the refusal that ended the stream.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Problem>> {
        loop {
            if let Some(message) = self.buffered() {
                return Some(Ok(message));
            }
            if self.ended {
                return None;
            }
            match self.body.frame().await {
                None => self.ended = true,
                Some(Err(_)) => {
                    self.ended = true;
                    return Some(Err(errors::internal()));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        self.ended = true;
                        if let Some(problem) = refusal(&trailers) {
                            return Some(Err(problem));
                        }
                    }
                },
            }
        }
    }

    fn buffered(&mut self) -> Option<Bytes> {
        let prefix = self.buffer.get(..PREFIX_BYTES)?;
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        if self.buffer.len() < PREFIX_BYTES + length {
            return None;
        }
        self.buffer.advance(PREFIX_BYTES);
        Some(self.buffer.split_to(length).freeze())
    }
}

/// The refusal in headers or trailers, if there is one.
pub(super) fn refusal(headers: &http::HeaderMap) -> Option<Problem> {
    let status = Status::from_header_map(headers)?;
    (status.code() != tonic::Code::Ok).then(|| errors::problem(&status))
}

//! An answer that streams, read message by message, on gRPC and REST alike.

use crate::world::World;
use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use printmill_domain::problem::Code;
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::Value;
use std::time::Duration;
use tonic_types::StatusExt;

const LIMIT: Duration = Duration::from_secs(20);
/// So many bytes may be on the way to a client of gRPC that does not read.
const WINDOW: u32 = 65_535;

/// How a stream is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// gRPC.
    Grpc,
    /// REST, with a line of JSON for each message.
    Rest,
}

impl Protocol {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Grpc, Self::Rest];
}

/// A stream that goes on.
pub(crate) struct Stream {
    body: Body,
    buffer: BytesMut,
    /// What its messages are, on gRPC.
    kind: Option<MessageDescriptor>,
}

impl Stream {
    /// Opens a method of `WorkService`, as in `StreamWork`. A refusal is given at once.
    pub(crate) async fn open(
        world: &World,
        protocol: Protocol,
        method: &str,
        key: &str,
        message: Value,
    ) -> Result<Self, Code> {
        let address = world.wire.address;
        let authorization = format!("Bearer {key}");
        if protocol == Protocol::Rest {
            let verb = method.trim_end_matches("Work").to_lowercase();
            let request = http::Request::post(format!("http://{address}/v1/work:{verb}"))
                .header("authorization", authorization)
                .header("content-type", "application/json")
                .body(Full::from(message.to_string()));
            let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
            let answer = client.request(request.unwrap()).await.unwrap();
            if answer.status() != 200 {
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                let body: Value = serde_json::from_slice(&body).unwrap();
                return Err(Code::parse(body["code"].as_str().unwrap()).unwrap());
            }
            let body = Body::new(answer.into_body());
            return Ok(Self { body, buffer: BytesMut::new(), kind: None });
        }
        let found = world.wire.methods().find(|it| it.name() == method).unwrap();
        let message = DynamicMessage::deserialize(found.input(), message).unwrap().encode_to_vec();
        let mut frame = vec![0];
        frame.extend((message.len() as u32).to_be_bytes());
        frame.extend(message);
        let path = format!("/{}/{method}", found.parent_service().full_name());
        let request = http::Request::post(format!("http://{address}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", authorization)
            .body(Full::from(frame));
        let mut client = Client::builder(TokioExecutor::new());
        client.http2_only(true).http2_initial_stream_window_size(WINDOW);
        let client = client.build_http::<Full<Bytes>>();
        let answer = client.request(request.unwrap()).await.unwrap();
        if let Some(status) = tonic::Status::from_header_map(answer.headers()) {
            return Err(code(&status));
        }
        let (body, kind) = (Body::new(answer.into_body()), Some(found.output()));
        Ok(Self { body, buffer: BytesMut::new(), kind })
    }

    /// The next message, or the refusal that ends it.
    pub(crate) async fn next(&mut self) -> Result<Value, Code> {
        tokio::time::timeout(LIMIT, self.read()).await.expect("a message comes")
    }

    /// The next message that has a field.
    pub(crate) async fn next_with(&mut self, field: &str) -> Result<Value, Code> {
        loop {
            let message = self.next().await?;
            if message[field].is_object() {
                return Ok(message);
            }
        }
    }

    async fn read(&mut self) -> Result<Value, Code> {
        loop {
            if let Some(message) = self.buffered() {
                let problem = &message["problem"]["code"];
                return match problem.as_str() {
                    Some(code) => Err(Code::parse(code).unwrap()),
                    None => Ok(message),
                };
            }
            let frame = self.body.frame().await.expect("it ends with a reason").unwrap();
            match frame.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(trailers) => {
                    let trailers = trailers.into_trailers().unwrap();
                    return Err(code(&tonic::Status::from_header_map(&trailers).unwrap()));
                }
            }
        }
    }

    fn buffered(&mut self) -> Option<Value> {
        let Some(kind) = &self.kind else {
            let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
            let line = self.buffer.split_to(end + 1);
            return Some(serde_json::from_slice(&line).unwrap());
        };
        let prefix = self.buffer.get(..5)?;
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize;
        if self.buffer.len() < 5 + length {
            return None;
        }
        self.buffer.advance(5);
        let message = DynamicMessage::decode(kind.clone(), self.buffer.split_to(length).freeze());
        Some(serde_json::to_value(message.unwrap()).unwrap())
    }
}

fn code(status: &tonic::Status) -> Code {
    let details = status.get_error_details();
    Code::parse(&details.error_info().expect("a refusal of ours").reason).unwrap()
}

//! Requests as bytes: REST by HTTP/1.1, and gRPC by HTTP/2 with messages written as JSON.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use printmill_domain::problem::Code;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use serde_json::Value;
use std::net::SocketAddr;
use tonic_types::StatusExt;

/// Connections to the edge.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    pub(crate) pool: DescriptorPool,
    one: Client<HttpConnector, Full<Bytes>>,
    two: Client<HttpConnector, Full<Bytes>>,
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// A header's text; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a refusal, after checking that it has the shape of one.
    pub(crate) fn code(&self) -> Code {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status);
        for field in ["type", "title", "detail", "code", "advice", "traceparent"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {body}");
        }
        let code = Code::parse(body["code"].as_str().unwrap()).unwrap();
        assert_eq!(body["type"], format!("docs/errors/{code}.md"));
        code
    }
}

/// A refusal by gRPC.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) status: tonic::Status,
}

impl Wire {
    /// Connections to an address.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let pool = DescriptorPool::decode(printmill_proto::FILE_DESCRIPTOR_SET).unwrap();
        let client = Client::builder(TokioExecutor::new());
        let mut second = Client::builder(TokioExecutor::new());
        Self {
            address,
            pool,
            one: client.build(HttpConnector::new()),
            two: second.http2_only(true).build(HttpConnector::new()),
        }
    }

    /// Sends a request by HTTP/1.1. A path that begins with `/` is the edge's.
    pub(crate) async fn send(&self, mut request: Request<Full<Bytes>>) -> Answer {
        if request.uri().host().is_none() {
            let url = format!("http://{}{}", self.address, request.uri());
            *request.uri_mut() = url.parse().unwrap();
        }
        let response = self.one.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        assert_eq!(parts.version, Version::HTTP_11);
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// `GET` with a key; without one when it is empty.
    pub(crate) async fn get(&self, path: &str, key: &str) -> Answer {
        self.get_with(path, key, &[]).await
    }

    /// `GET` with a key and more headers.
    pub(crate) async fn get_with(&self, path: &str, key: &str, more: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::default()).unwrap()).await
    }

    /// `POST` of JSON.
    pub(crate) async fn post(&self, path: &str, key: &str, body: Value) -> Answer {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json");
        self.send(request.body(Full::from(body.to_string())).unwrap()).await
    }

    /// `PUT` of bytes to a link.
    pub(crate) async fn put(&self, url: &str, bytes: &'static [u8]) -> Answer {
        self.send(Request::put(url).body(Full::from(bytes)).unwrap()).await
    }

    /// All methods of the contract.
    pub(crate) fn methods(&self) -> impl Iterator<Item = MethodDescriptor> {
        self.pool
            .services()
            .filter(|service| service.full_name().starts_with("printmill."))
            .flat_map(|service| service.methods().collect::<Vec<_>>())
    }

    /// Calls a method by gRPC, named as in `OrderService/GetOrder`; gives all its messages.
    pub(crate) async fn call(
        &self,
        method: &str,
        key: &str,
        message: Value,
    ) -> Result<Vec<Value>, Refusal> {
        let method = format!("printmill.v1.{method}");
        let descriptor = self
            .methods()
            .find(|it| format!("{}/{}", it.parent_service().full_name(), it.name()) == method)
            .unwrap_or_else(|| panic!("there is no method {method}"));
        let message = DynamicMessage::deserialize(descriptor.input(), message).unwrap();
        let answer = self.grpc(&format!("/{method}"), key, &message.encode_to_vec()).await?;
        let read = |bytes: Bytes| {
            let message = DynamicMessage::decode(descriptor.output(), bytes).unwrap();
            serde_json::to_value(message).unwrap()
        };
        Ok(answer.into_iter().map(read).collect())
    }

    /// Sends an encoded message to a path by gRPC.
    pub(crate) async fn grpc(
        &self,
        path: &str,
        key: &str,
        message: &[u8],
    ) -> Result<Vec<Bytes>, Refusal> {
        let mut frame = vec![0];
        frame.extend((message.len() as u32).to_be_bytes());
        frame.extend(message);
        let mut request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let request = request.body(Full::from(frame)).unwrap();
        let response = self.two.request(request).await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
        let head = response.headers().clone();
        let body = response.into_body().collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let status = tonic::Status::from_header_map(&trailers)
            .or_else(|| tonic::Status::from_header_map(&head))
            .expect("every answer has a status");
        if status.code() != tonic::Code::Ok {
            let details = status.get_error_details();
            let info = details.error_info().unwrap_or_else(|| panic!("no details: {status:?}"));
            assert_eq!(info.domain, "printmill");
            assert!(!info.metadata["advice"].is_empty());
            let code = Code::parse(&info.reason).unwrap();
            assert_eq!(details.help().unwrap().links[0].url, format!("docs/errors/{code}.md"));
            return Err(Refusal { code, status });
        }
        let mut bytes = BytesMut::from(&body.to_bytes()[..]);
        let mut messages = vec![];
        while !bytes.is_empty() {
            bytes.advance(1);
            let length = bytes.get_u32() as usize;
            messages.push(bytes.split_to(length).freeze());
        }
        Ok(messages)
    }
}

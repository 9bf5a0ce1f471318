//! REST: each method of the contract by its `google.api.http` rule, in canonical proto3 JSON.
//!
//! A request is turned into a gRPC message and sent to the very same services in this process, so
//! that authentication, limits and errors cannot differ between the two.

mod answer;
mod frames;
pub(crate) mod openapi;
mod request;
pub(crate) mod rules;

use crate::bodies::Bodies;
use crate::errors;
use crate::grpc::Grpc;
use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use printmill_domain::problem::Problem;
use prost::Message;
use rules::{Found, Rules};
use std::sync::Arc;
use std::time::Duration;

/// The method that served a request, for metrics.
#[derive(Debug, Clone)]
pub(crate) struct Served(pub(crate) String);

/// Headers of a REST request that the services get to see.
const PASSED: [HeaderName; 1] = [HeaderName::from_static("traceparent")];

/// Answers REST requests from the gRPC services.
pub(crate) struct Rest {
    rules: Rules,
    grpc: Arc<Grpc>,
    bodies: Bodies,
    timeout: Duration,
}

impl Rest {
    /// A gateway to services, by the rules of the contract.
    /// A body must arrive within `timeout`.
    pub(crate) fn new(rules: Rules, grpc: Arc<Grpc>, bodies: Bodies, timeout: Duration) -> Self {
        Self { rules, grpc, bodies, timeout }
    }

    /// A message of the contract as JSON.
    pub(crate) fn json<M: Message>(&self, name: &str, message: &M) -> Result<String, Problem> {
        let kind = self.rules.pool().get_message_by_name(name).ok_or_else(errors::internal)?;
        answer::json(&kind, &message.encode_to_vec())
    }

    /// Answers a request.
    pub(crate) async fn call(&self, request: Request<Body>) -> Response<Body> {
        let traceparent = crate::grpc::trace(request.extensions());
        let traceparent = traceparent.map(|trace| trace.own.clone()).unwrap_or_default();
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        match self.rules.find(&method, &path) {
            Found::Rule(rule, variables) => {
                let served = Served(rule.grpc_path.clone());
                let answer = self.transcode(rule, variables, request, &traceparent).await;
                let mut response =
                    answer.unwrap_or_else(|problem| errors::response(&problem, &traceparent));
                response.extensions_mut().insert(served);
                response
            }
            Found::OtherMethods(allowed) => {
                let problem = errors::unknown_method(&format!("{method} {path}"));
                let mut response = errors::method_not_allowed(&problem, &traceparent);
                if let Ok(allowed) = HeaderValue::from_str(&allowed) {
                    response.headers_mut().insert(header::ALLOW, allowed);
                }
                response
            }
            Found::Nothing => {
                let problem = errors::unknown_method(&format!("{method} {path}"));
                errors::response(&problem, &traceparent)
            }
        }
    }

    async fn transcode(
        &self,
        rule: &rules::Rule,
        variables: Vec<(String, String)>,
        request: Request<Body>,
        traceparent: &str,
    ) -> Result<Response<Body>, Problem> {
        let (mut parts, body) = request.into_parts();
        self.grpc.admit(&rule.grpc_path, &parts.headers, &mut parts.extensions).await?;
        let whole = self.bodies.read(body, self.timeout).await?;
        let message = request::message(rule, variables, &parts, &whole.bytes)?;
        let mut call = Request::new(Body::from(frames::frame(&message)));
        *call.method_mut() = Method::POST;
        *call.uri_mut() = rule.grpc_path.parse().map_err(|_| errors::internal())?;
        *call.extensions_mut() = parts.extensions;
        let headers = call.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        for name in PASSED {
            if let Some(value) = parts.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let answer = self.grpc.call_admitted(call).await;
        if rule.streams {
            answer::stream(rule, &parts.headers, answer, traceparent.to_owned())
        } else {
            answer::unary(rule, answer).await
        }
    }
}

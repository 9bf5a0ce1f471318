//! The `google.api.http` rules of the contract, and which of them a request meets.

use http::Method;
use percent_encoding::percent_decode_str;
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor, ReflectMessage, Value};

/// A method of the contract and how it is reached.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// The HTTP method.
    pub(crate) method: Method,
    /// The path as the rule writes it, as in `/v1/orders/{order_id}:pay`.
    pub(crate) template: String,
    /// Whether the message comes in the body.
    pub(crate) body: bool,
    /// Where the method is on gRPC.
    pub(crate) grpc_path: String,
    /// Whether it answers a stream.
    pub(crate) streams: bool,
    /// The method itself.
    pub(crate) descriptor: MethodDescriptor,
    segments: Vec<Segment>,
    verb: String,
}

#[derive(Debug, Clone)]
enum Segment {
    Literal(String),
    Variable(String),
}

/// What was found for a method and path.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// This rule, with the values of its variables.
    Rule(&'a Rule, Vec<(String, String)>),
    /// The path exists, with these methods.
    OtherMethods(String),
    /// Nothing.
    Nothing,
}

/// All rules.
#[derive(Debug)]
pub(crate) struct Rules {
    pool: DescriptorPool,
    rules: Vec<Rule>,
}

/// The contract's descriptors are not as they should be; a fault of the build.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the contract cannot be served: {detail}")]
pub struct ContractError {
    /// What is wrong.
    pub detail: String,
}

impl Rules {
    /// The rules of an encoded descriptor set.
    pub(crate) fn read(descriptors: &'static [u8]) -> Result<Self, ContractError> {
        let pool = DescriptorPool::decode(descriptors)
            .map_err(|error| ContractError { detail: error.to_string() })?;
        let mut rules = vec![];
        for service in pool.services().filter(|it| it.full_name().starts_with("printmill.")) {
            for method in service.methods() {
                rules.push(rule(&pool, method)?);
            }
        }
        Ok(Self { pool, rules })
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// The descriptors.
    pub(crate) fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The gRPC paths of all methods.
    pub(crate) fn grpc_paths(&self) -> impl Iterator<Item = String> {
        self.rules.iter().map(|rule| rule.grpc_path.clone())
    }

    /// The full names of all services.
    pub(crate) fn services(&self) -> impl Iterator<Item = String> {
        let services = self.pool.services().map(|service| service.full_name().to_owned());
        services.filter(|name| name.starts_with("printmill."))
    }

    /// What serves a request.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let mut others: Vec<&str> = vec![];
        for rule in &self.rules {
            let Some(variables) = rule.matches(path) else {
                continue;
            };
            if rule.method == *method {
                return Found::Rule(rule, variables);
            }
            others.push(rule.method.as_str());
        }
        if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others.join(", ")) }
    }
}

impl Rule {
    /// The request's type.
    pub(crate) fn input(&self) -> MessageDescriptor {
        self.descriptor.input()
    }

    /// The answer's type.
    pub(crate) fn output(&self) -> MessageDescriptor {
        self.descriptor.output()
    }

    /// The names of the variables in the path.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Variable(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    fn matches(&self, path: &str) -> Option<Vec<(String, String)>> {
        let path = path.strip_prefix('/')?;
        let path = match self.verb.as_str() {
            "" => path,
            verb => path.strip_suffix(verb)?.strip_suffix(':')?,
        };
        let given: Vec<_> = path.split('/').collect();
        if given.len() != self.segments.len() {
            return None;
        }
        let mut variables = vec![];
        for (segment, given) in self.segments.iter().zip(given) {
            match segment {
                Segment::Literal(literal) if literal == given => {}
                Segment::Variable(name) if !given.is_empty() && !given.contains(':') => {
                    let value = percent_decode_str(given).decode_utf8().ok()?;
                    variables.push((name.clone(), value.into_owned()));
                }
                _ => return None,
            }
        }
        Some(variables)
    }
}

fn rule(pool: &DescriptorPool, descriptor: MethodDescriptor) -> Result<Rule, ContractError> {
    let wrong =
        |detail: &str| ContractError { detail: format!("{}: {detail}", descriptor.full_name()) };
    let extension = pool.get_extension_by_name("google.api.http");
    let extension = extension.ok_or_else(|| wrong("google.api.http is not known"))?;
    let options = descriptor.options();
    if !options.has_extension(&extension) {
        return Err(wrong("it has no google.api.http rule"));
    }
    let value = options.get_extension(&extension).into_owned();
    let Value::Message(http) = value else {
        return Err(wrong("its google.api.http rule is no message"));
    };
    let pattern = http.descriptor().oneofs().find(|oneof| oneof.name() == "pattern");
    let chosen = pattern.and_then(|oneof| oneof.fields().find(|field| http.has_field(field)));
    let chosen = chosen.ok_or_else(|| wrong("its rule has no path"))?;
    let method = Method::from_bytes(chosen.name().to_uppercase().as_bytes());
    let method = method.map_err(|_| wrong("its rule has an unknown method"))?;
    let template = http.get_field(&chosen).as_str().unwrap_or_default().to_owned();
    let body = http.get_field_by_name("body");
    let body = body.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
    if !matches!(body, "" | "*") {
        return Err(wrong("only whole bodies are supported"));
    }
    let (path, verb) = match template.rsplit_once(':') {
        Some((path, verb)) if !verb.contains(['}', '/']) => (path, verb),
        _ => (template.as_str(), ""),
    };
    let segments = path.trim_start_matches('/').split('/').map(segment).collect();
    Ok(Rule {
        method,
        body: body == "*",
        grpc_path: format!("/{}/{}", descriptor.parent_service().full_name(), descriptor.name()),
        streams: descriptor.is_server_streaming(),
        segments,
        verb: verb.to_owned(),
        template: template.clone(),
        descriptor,
    })
}

fn segment(text: &str) -> Segment {
    match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some(name) => Segment::Variable(name.to_owned()),
        None => Segment::Literal(text.to_owned()),
    }
}

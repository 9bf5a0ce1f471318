//! Who asks, and what they may: API keys on gRPC and REST alike.

use http::{HeaderMap, header};
use printmill_backend::database::Scope as Reads;
use printmill_backend::{Database, DatabaseExt};
use printmill_domain::api_key::{ApiKey, PresentedKey, Scope};
use printmill_domain::ids::{FacilityId, KeyId, MerchantId};
use printmill_domain::problem::{Code, Problem};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The most keys that are remembered.
const CACHED_MAX: usize = 1_024;

/// Who asks, as handlers find it in the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Which key was sent.
    pub(crate) key: KeyId,
    /// What the key is good for.
    pub(crate) scope: Scope,
}

impl Caller {
    /// The merchant, for calls that only merchants make.
    pub(crate) fn merchant(&self) -> Result<MerchantId, Problem> {
        match &self.scope {
            Scope::Merchant(merchant) => Ok(*merchant),
            _ => Err(denied("a merchant's key")),
        }
    }

    /// Whether an operator asks, for calls that only operators make.
    pub(crate) fn operator(&self) -> Result<(), Problem> {
        match &self.scope {
            Scope::Operator => Ok(()),
            _ => Err(denied("an operator's key")),
        }
    }

    /// The facility, for calls that only facilities make.
    pub(crate) fn facility(&self) -> Result<FacilityId, Problem> {
        match &self.scope {
            Scope::Facility(facility) => Ok(*facility),
            _ => Err(denied("a facility's key")),
        }
    }
}

/// Checks that a caller may use a gRPC service at all; handlers check the rest.
pub(crate) fn permit(caller: &Caller, service: &str) -> Result<(), Problem> {
    match service {
        "printmill.v1.FacilityService" => caller.facility().map(drop),
        "printmill.v1.WorkService" => match caller.scope {
            Scope::Merchant(_) | Scope::Operator => Err(denied("a facility's or a worker's key")),
            Scope::Facility(_) | Scope::Worker { .. } => Ok(()),
        },
        "printmill.v1.OperationsService" => caller.operator(),
        _ => caller.merchant().map(drop),
    }
}

/// Looks keys up, and believes what it found for a few seconds.
pub(crate) struct Keys {
    database: Arc<dyn Database>,
    life: Duration,
    found: Mutex<HashMap<KeyId, (Instant, Option<ApiKey>)>>,
}

impl Keys {
    /// Keys of a database, each believed for `life`.
    pub(crate) fn new(database: Arc<dyn Database>, life: Duration) -> Self {
        Self { database, life, found: Mutex::default() }
    }

    /// Who sends a request with these headers.
    pub(crate) async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let presented = bearer(headers)?;
        let stored = self.look_up(presented.id).await?;
        let key = stored.filter(|key| key.matches(&presented)).ok_or_else(unknown)?;
        refuse_revoked(&key)?;
        Ok(Caller { key: key.id, scope: key.scope })
    }

    async fn look_up(&self, id: KeyId) -> Result<Option<ApiKey>, Problem> {
        let now = Instant::now();
        if let Some((until, key)) = self.lock().get(&id)
            && *until > now
        {
            return Ok(key.clone());
        }
        let scope = Reads::Merchant(MerchantId::PLATFORM);
        let found = self.database.find::<ApiKey>(scope, &id.to_string()).await?;
        let key = found.map(|found| found.value);
        let mut cached = self.lock();
        if cached.len() >= CACHED_MAX {
            cached.retain(|_, (until, _)| *until > now);
        }
        if cached.len() < CACHED_MAX {
            cached.insert(id, (now + self.life, key.clone()));
        }
        Ok(key)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<KeyId, (Instant, Option<ApiKey>)>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks that a key with which a stream was opened is still good.
pub(crate) async fn still_good(database: &dyn Database, key: KeyId) -> Result<(), Problem> {
    let scope = Reads::Merchant(MerchantId::PLATFORM);
    let found = database.find::<ApiKey>(scope, &key.to_string()).await?;
    refuse_revoked(&found.ok_or_else(unknown)?.value)
}

fn refuse_revoked(key: &ApiKey) -> Result<(), Problem> {
    if key.revoked_at.is_none() {
        return Ok(());
    }
    Err(Problem::new(
        Code::KeyRevoked,
        format!("the key '{}' was revoked", key.name),
        "ask the operator for a new key",
    ))
}

fn bearer(headers: &HeaderMap) -> Result<PresentedKey, Problem> {
    let header = headers.get(header::AUTHORIZATION).ok_or_else(|| {
        Problem::new(
            Code::Unauthenticated,
            "the request has no API key",
            "send the header 'authorization: Bearer pmk_…'",
        )
    })?;
    let text = header.to_str().ok().and_then(|text| text.split_once(' '));
    let (scheme, key) = text.ok_or_else(unknown)?;
    let key = Some(key.trim()).filter(|_| scheme.eq_ignore_ascii_case("bearer"));
    key.and_then(PresentedKey::parse).ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::new(
        Code::Unauthenticated,
        "the API key is mistyped or not one of ours",
        "send the whole key, from pmk_ on, as 'authorization: Bearer pmk_…'",
    )
}

/// The key is good, but for something else.
pub(crate) fn denied(needed: &str) -> Problem {
    Problem::new(
        Code::PermissionDenied,
        "the key's scope does not cover this call",
        format!("use {needed}"),
    )
}

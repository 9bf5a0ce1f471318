//! What a new node needs before it can serve: facilities, a signing key, a merchant with a key.

use crate::config::{Config, Flags, Settings};
use crate::failure::{Failure, Outcome};
use printmill_backend::database::{Page, Scope};
use printmill_backend::{Change, CommitError, Database, DatabaseExt, fresh};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Aggregate, Decided, Versioned};
use printmill_domain::api_key::{ApiKey, PresentedKey, Scope as KeyScope};
use printmill_domain::facility::{Facility, starter_facilities};
use printmill_domain::ids::MerchantId;
use printmill_domain::merchant::Merchant;
use printmill_domain::problem::Code;
use printmill_domain::schedule::Schedule;
use printmill_engine::housekeeping;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Records of the platform itself are read in parts of this size.
const PART: u32 = 500;
const PLATFORM: Scope = Scope::Merchant(MerchantId::PLATFORM);

/// Adds the starter facilities that are not there yet.
pub(crate) async fn seed_facilities(database: &dyn Database, now: Timestamp) -> Outcome {
    loop {
        let known = facilities(database).await?;
        let missing: Vec<Facility> = starter_facilities(now)
            .into_iter()
            .filter(|starter| known.iter().all(|known| known.id != starter.id))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut change = Change::new(MerchantId::PLATFORM, now);
        for facility in missing {
            change = change.create(Decided::quiet(facility));
        }
        match database.commit(change).await {
            Ok(()) => return Ok(()),
            // Another process was first.
            Err(CommitError::Stale { .. }) => {}
            Err(error) => return Err(uncommitted(error)),
        }
    }
}

/// Makes the built-in schedules, or lets them follow the settings.
pub(crate) async fn seed_schedules(
    settings: &Settings,
    database: &dyn Database,
    now: Timestamp,
) -> Outcome {
    let cron = &settings.housekeeping_cron;
    let definition = housekeeping::definition(cron, &settings.housekeeping_zone);
    let id = Schedule::id_of(&definition.name).to_string();
    loop {
        let known: Option<Versioned<Schedule>> = database.find(PLATFORM, &id).await?;
        let change = Change::new(MerchantId::PLATFORM, now);
        let change = match &known {
            Some(known) => change.update(known, known.redefine(&definition, now)?),
            None => change.create(Schedule::create(definition.clone(), now)?),
        };
        if change.is_empty() {
            return Ok(());
        }
        match database.commit(change).await {
            Ok(()) => return Ok(()),
            // Another process was first.
            Err(CommitError::Stale { .. }) => {}
            Err(error) => return Err(uncommitted(error)),
        }
    }
}

/// The merchant of `printmill demo`, who does not count as the first.
pub(crate) const DEMO_MERCHANT: &str = "Demo";

/// Makes the first merchant and its key, if there is no merchant yet but the demo's.
pub(crate) async fn first_merchant(
    database: &dyn Database,
    now: Timestamp,
) -> Outcome<Option<(Merchant, PresentedKey)>> {
    let known = merchants(database).await?;
    if known.iter().any(|known| known.name != DEMO_MERCHANT) {
        return Ok(None);
    }
    new_merchant(database, "First merchant", "first key", now).await.map(Some)
}

/// A key of the demo's merchant, who is made when there is none.
pub(crate) async fn demo_key(database: &dyn Database, now: Timestamp) -> Outcome<PresentedKey> {
    let known = merchants(database).await?;
    match known.iter().find(|known| known.name == DEMO_MERCHANT) {
        Some(demo) => new_key(database, "demo", KeyScope::Merchant(demo.id), now).await,
        None => Ok(new_merchant(database, DEMO_MERCHANT, "demo", now).await?.1),
    }
}

/// Makes a merchant with a key, both or none.
pub(crate) async fn new_merchant(
    database: &dyn Database,
    name: &str,
    key_name: &str,
    now: Timestamp,
) -> Outcome<(Merchant, PresentedKey)> {
    let merchant = Merchant { id: fresh::id(now), name: name.to_owned(), created_at: now };
    let presented = PresentedKey::mint(fresh::id(now), fresh::bytes());
    let key = ApiKey::new(&presented, key_name, KeyScope::Merchant(merchant.id), now);
    let change = Change::new(MerchantId::PLATFORM, now)
        .create(Decided::quiet(merchant.clone()))
        .create(Decided::quiet(key));
    database.commit(change).await.map_err(uncommitted)?;
    Ok((merchant, presented))
}

/// Makes a key. It is shown once: only its hash is stored.
pub(crate) async fn new_key(
    database: &dyn Database,
    name: &str,
    scope: KeyScope,
    now: Timestamp,
) -> Outcome<PresentedKey> {
    let presented = PresentedKey::mint(fresh::id(now), fresh::bytes());
    let key = ApiKey::new(&presented, name, scope, now);
    let change = Change::new(MerchantId::PLATFORM, now).create(Decided::quiet(key));
    database.commit(change).await.map_err(uncommitted)?;
    Ok(presented)
}

/// Where `up` leaves an operator's key for the commands of the same machine.
const OPERATOR_KEY: &str = "operator.key";

/// Makes an operator's key in the data folder, for this user only, unless there is one.
pub(crate) async fn local_operator_key(
    settings: &Settings,
    database: &dyn Database,
    now: Timestamp,
) -> Outcome {
    let path = settings.data.join(OPERATOR_KEY);
    let stored = std::fs::read_to_string(&path).ok();
    if let Some(key) = stored.as_deref().and_then(|text| PresentedKey::parse(text.trim()))
        && let Some(known) = database.find::<ApiKey>(PLATFORM, &key.id.to_string()).await?
        && known.matches(&key)
        && known.revoked_at.is_none()
    {
        return Ok(());
    }
    let key = new_key(database, "operator on this machine", KeyScope::Operator, now).await?;
    let failed = |error: std::io::Error| Failure::io("write", &path, &error);
    let draft = draft(&path, key.reveal().as_bytes()).map_err(failed)?;
    std::fs::rename(&draft, &path).map_err(failed)
}

/// The operator's key that `up` left in the configured data folder.
pub(crate) fn stored_operator_key(file: Option<&Path>) -> Outcome<String> {
    let path = Config::load(file, &Flags::default())?.settings.data.join(OPERATOR_KEY);
    let read = std::fs::read_to_string(&path).map(|text| text.trim().to_owned());
    read.map_err(|_| {
        Failure::new(
            Code::Unauthenticated,
            format!("this needs an operator's key, and there is none in {}", path.display()),
            "set PRINTMILL_OPERATOR_KEY to one of `printmill keys create --operator`, or run this \
             where `printmill up` runs",
        )
    })
}

/// Revokes a key. One that is revoked already stays so.
pub(crate) async fn revoke_key(
    database: &dyn Database,
    id: &str,
    now: Timestamp,
) -> Outcome<ApiKey> {
    loop {
        let found: Option<Versioned<ApiKey>> = database.find(PLATFORM, id).await?;
        let found = found.ok_or_else(|| {
            let advice = "see `printmill keys list` for the ids of all keys";
            Failure::new(Code::NotFound, format!("there is no key {id}"), advice)
        })?;
        if found.revoked_at.is_some() {
            return Ok(found.value);
        }
        let mut revoked = found.value.clone();
        revoked.revoked_at = Some(now);
        let change =
            Change::new(MerchantId::PLATFORM, now).update(&found, Decided::quiet(revoked.clone()));
        match database.commit(change).await {
            Ok(()) => return Ok(revoked),
            Err(CommitError::Stale { .. }) => {}
            Err(error) => return Err(uncommitted(error)),
        }
    }
}

/// All facilities, oldest first.
pub(crate) async fn facilities(database: &dyn Database) -> Outcome<Vec<Facility>> {
    all(database).await
}

/// All keys, oldest first.
pub(crate) async fn keys(database: &dyn Database) -> Outcome<Vec<ApiKey>> {
    all(database).await
}

/// All merchants, oldest first.
pub(crate) async fn merchants(database: &dyn Database) -> Outcome<Vec<Merchant>> {
    all(database).await
}

async fn all<A: Aggregate>(database: &dyn Database) -> Outcome<Vec<A>> {
    let mut found: Vec<A> = vec![];
    loop {
        let before = found.last().map(Aggregate::id);
        let page = Page { before, limit: PART, state: None };
        let part: Vec<Versioned<A>> = database.page(PLATFORM, page).await?;
        let is_last = part.len() < PART as usize;
        found.extend(part.into_iter().map(|found| found.value));
        if is_last {
            found.reverse();
            return Ok(found);
        }
    }
}

fn uncommitted(error: CommitError) -> Failure {
    match error {
        CommitError::Backend(error) => error.into(),
        other => Failure::new(Code::Conflict, other.to_string(), "try again"),
    }
}

/// The secret that signs links: from the configuration, or from the data folder, where the first
/// start puts it.
pub(crate) fn signing_key(settings: &Settings) -> Outcome<[u8; 32]> {
    let wrong = |place: &str| {
        Failure::configuration(
            format!("{place} holds no signing key"),
            "it must be 64 hexadecimal digits; remove it to get a new one, which ends all links",
        )
    };
    if let Some(text) = &settings.signing_key {
        return decode(text).ok_or_else(|| wrong("the setting 'signing_key'"));
    }
    let path = settings.data.join("signing.key");
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_secret(&path)?,
        read => read.map_err(|error| Failure::io("read", &path, &error))?,
    };
    decode(text.trim()).ok_or_else(|| wrong(&path.display().to_string()))
}

/// Writes a fresh secret whole, for this user only; if another process was first, its secret.
fn make_secret(path: &Path) -> Outcome<String> {
    let failed = |error: std::io::Error| Failure::io("write", path, &error);
    let secret = hex::encode(fresh::bytes::<32>());
    let draft = draft(path, secret.as_bytes()).map_err(failed)?;
    let linked = std::fs::hard_link(&draft, path);
    let removed = std::fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        linked => linked.and(removed).map_err(failed)?,
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// Writes a secret, for this user only, beside where it shall be.
fn draft(path: &Path, secret: &[u8]) -> std::io::Result<PathBuf> {
    let draft = path.with_extension(hex::encode(fresh::bytes::<4>()));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(secret).and_then(|()| file.sync_all())?;
    Ok(draft)
}

fn decode(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use printmill_adapter_memory::MemoryDatabase;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_signing_key_is_made_once_and_for_this_user_only() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { data: folder.path().into(), ..Settings::default() };
        let first = signing_key(&settings).unwrap();
        assert_eq!(signing_key(&settings).unwrap(), first);
        let mode = folder.path().join("signing.key").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::write(folder.path().join("signing.key"), "short").unwrap();
        assert_eq!(signing_key(&settings).unwrap_err().code, "CONFIGURATION_INVALID");
    }

    #[tokio::test]
    async fn the_first_start_makes_what_later_ones_find() {
        let database = MemoryDatabase::new();
        let now = Timestamp::UNIX_EPOCH;
        for _ in 0..2 {
            seed_facilities(&database, now).await.unwrap();
        }
        assert_eq!(facilities(&database).await.unwrap().len(), starter_facilities(now).len());
        let (merchant, key) = first_merchant(&database, now).await.unwrap().unwrap();
        assert!(first_merchant(&database, now).await.unwrap().is_none());
        let stored = keys(&database).await.unwrap();
        assert_eq!(stored.len(), 1);
        assert!(stored[0].matches(&key));
        assert_eq!(stored[0].scope, KeyScope::Merchant(merchant.id));
    }

    #[tokio::test]
    async fn built_in_schedules_are_made_once_and_follow_the_settings() {
        let (database, now) = (MemoryDatabase::new(), Timestamp::UNIX_EPOCH);
        let mut settings = Settings::default();
        let id = Schedule::id_of("housekeeping").to_string();
        for (cron, version, next) in [("30 3 * * *", 1, 12_600), ("0 4 * * *", 2, 14_400)] {
            settings.housekeeping_cron = cron.into();
            for _ in 0..2 {
                seed_schedules(&settings, &database, now).await.unwrap();
            }
            let found: Option<Versioned<Schedule>> = database.find(PLATFORM, &id).await.unwrap();
            let found = found.unwrap();
            assert_eq!((found.version, found.next_tick.timestamp()), (version, next));
        }
    }

    #[tokio::test]
    async fn a_revoked_key_stays_revoked_and_a_wrong_id_is_not_found() {
        let database = MemoryDatabase::new();
        let now = Timestamp::UNIX_EPOCH;
        let (_, key) = first_merchant(&database, now).await.unwrap().unwrap();
        let id = key.id.to_string();
        for _ in 0..2 {
            assert!(revoke_key(&database, &id, now).await.unwrap().revoked_at.is_some());
        }
        assert_eq!(revoke_key(&database, "key_x", now).await.unwrap_err().code, "NOT_FOUND");
    }
}

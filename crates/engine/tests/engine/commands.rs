//! Commands: decided again when something changed, and answered once for each request id.

use crate::site::{Site, merchant};
use printmill_backend::database::Scope;
use printmill_backend::{Change, Database, DatabaseExt, fresh};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::{Decided, Versioned};
use printmill_domain::event::Stream;
use printmill_domain::ids::MerchantId;
use printmill_domain::merchant::Merchant;
use printmill_domain::problem::{Code, Problem};
use printmill_engine::command::{Answer, Commands, Context, Proposal, RequestKey};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn asking(id: &str, fingerprint: &str) -> Context {
    let key = RequestKey { id: id.into(), fingerprint: fingerprint.into() };
    Context { request: Some(key), ..Context::of(merchant()) }
}

fn commands(site: &Site) -> Commands {
    Commands::new(site.database.clone(), site.clock.clone())
}

/// Proposes something new, with an event and an id of its own.
async fn make(now: Timestamp) -> Result<Proposal<MerchantId>, Problem> {
    let id: MerchantId = fresh::id(now);
    let made = Merchant { id, name: "made".into(), created_at: now };
    let mut sequence = 0;
    let mut stream = Stream::new(id, &mut sequence);
    stream.push("thing.made", id, serde_json::json!({}));
    let decided = Decided { state: made, events: stream.finish(), tickets: vec![] };
    // Others get their turn between the decision and its commit.
    tokio::task::yield_now().await;
    let change = Change::new(merchant(), now).create(decided);
    Ok(Proposal { change, outcome: id.to_string(), value: id })
}

fn refuse<T>() -> Result<Proposal<T>, Problem> {
    Err(Problem::invalid_state("too late", "nothing"))
}

#[tokio::test(start_paused = true)]
async fn the_same_request_again_is_answered_as_before() {
    let site = Site::new();
    let (commands, context) = (commands(&site), asking("r1", "f1"));
    let Answer::Fresh(made) = commands.run(&context, make).await.unwrap() else {
        panic!("nobody asked before")
    };
    let again = commands.run(&context, make).await.unwrap();
    assert_eq!(again, Answer::Replayed(made.to_string()));
    assert_eq!(site.effects().await.len(), 1);
    // Also when it would be refused by now, for what it did itself.
    let refused = commands.run::<MerchantId, _, _>(&context, |_| async { refuse() }).await;
    assert_eq!(refused, Ok(Answer::Replayed(made.to_string())));
}

#[tokio::test(start_paused = true)]
async fn another_request_with_the_same_id_is_refused() {
    let site = Site::new();
    let commands = commands(&site);
    commands.run(&asking("r1", "f1"), make).await.unwrap();
    let other = commands.run(&asking("r1", "f2"), make).await.unwrap_err();
    assert_eq!(other.code, Code::RequestIdReused);
    let other = asking("r1", "f2");
    let refused = commands.run::<MerchantId, _, _>(&other, |_| async { refuse() });
    assert_eq!(refused.await.unwrap_err().code, Code::RequestIdReused);
    assert_eq!(site.effects().await.len(), 1);
    // Ids are each merchant's own.
    let neighbour = Context { merchant: fresh::id(site.now()), ..asking("r1", "f2") };
    let theirs = commands.run(&neighbour, |now| {
        let merchant = neighbour.merchant;
        async move {
            let mut proposal = make(now).await?;
            proposal.change.merchant = merchant;
            Ok(proposal)
        }
    });
    assert!(matches!(theirs.await, Ok(Answer::Fresh(_))));
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_not_remembered() {
    let site = Site::new();
    let (commands, context) = (commands(&site), asking("r1", "f1"));
    let refused = commands.run::<MerchantId, _, _>(&context, |_| async { refuse() }).await;
    assert_eq!(refused.unwrap_err().code, Code::InvalidState);
    assert!(matches!(commands.run(&context, make).await, Ok(Answer::Fresh(_))));
}

#[tokio::test(start_paused = true)]
async fn to_validate_only_commits_nothing() {
    let site = Site::new();
    let commands = commands(&site);
    let context = Context { validate_only: true, ..asking("r1", "f1") };
    let commits = site.database.commits();
    assert!(matches!(commands.run(&context, make).await, Ok(Answer::Fresh(_))));
    assert!(!commits.has_changed().unwrap());
    assert_eq!(site.effects().await, vec![]);
    assert_eq!(site.database.request(merchant(), "r1").await.unwrap(), None);
    assert!(matches!(commands.run(&asking("r1", "f1"), make).await, Ok(Answer::Fresh(_))));
}

#[tokio::test(start_paused = true)]
async fn fifty_who_ask_the_same_at_once_make_one_thing() {
    let site = Site::new();
    let commands = commands(&site);
    let asked = (0..50).map(|_| {
        let commands = commands.clone();
        tokio::spawn(async move { commands.run(&asking("r1", "f1"), make).await.unwrap() })
    });
    let answers: Vec<_> = futures::future::try_join_all(asked.collect::<Vec<_>>()).await.unwrap();
    let made = site.effects().await;
    assert_eq!(made.len(), 1);
    let id = made[0].id;
    let fresh = answers.iter().filter(|answer| **answer == Answer::Fresh(id)).count();
    let replayed =
        answers.iter().filter(|answer| **answer == Answer::Replayed(id.to_string())).count();
    assert_eq!((fresh, replayed), (1, 49));
    site.database.sequence(100).await.unwrap();
    assert_eq!(site.database.head().await.unwrap(), 1, "and it happened once");
}

/// Proposes to add a letter to the name of a merchant, and lets a rival be faster a few times.
async fn append(
    site: Arc<Site>,
    now: Timestamp,
    rival: bool,
) -> Result<Proposal<Versioned<Merchant>>, Problem> {
    let scope = Scope::Merchant(MerchantId::PLATFORM);
    let id = merchant().to_string();
    let before: Versioned<Merchant> = site.database.find(scope, &id).await?.expect("memory");
    let with = |letter: &str| {
        let name = format!("{}{letter}", before.name);
        Decided::quiet(Merchant { name, ..before.value.clone() })
    };
    if rival {
        let change = Change::new(merchant(), now).update(&before, with("r"));
        site.database.commit(change).await.expect("memory");
    }
    let change = Change::new(merchant(), now).update(&before, with("w"));
    Ok(Proposal { change, outcome: id, value: before })
}

async fn with_merchant() -> Arc<Site> {
    let site = Site::new();
    let made = Merchant { id: merchant(), name: String::new(), created_at: site.now() };
    let change = Change::new(merchant(), site.now()).create(Decided::quiet(made));
    site.database.commit(change).await.expect("memory");
    Arc::new(site)
}

#[tokio::test(start_paused = true)]
async fn what_changed_in_between_is_decided_again() {
    let site = with_merchant().await;
    let decisions = AtomicU32::new(0);
    let answer = commands(&site)
        .run(&asking("r1", "f1"), |now| {
            append(site.clone(), now, decisions.fetch_add(1, Ordering::SeqCst) < 3)
        })
        .await;
    assert!(matches!(answer, Ok(Answer::Fresh(_))));
    assert_eq!(decisions.load(Ordering::SeqCst), 4);
    assert_eq!(site.effects().await[0].name, "rrrw");
}

#[tokio::test(start_paused = true)]
async fn what_changes_all_the_time_is_refused_as_a_conflict_that_may_be_tried_again() {
    let site = with_merchant().await;
    let context = asking("r1", "f1");
    let refused = commands(&site).run(&context, |now| append(site.clone(), now, true)).await;
    let code = refused.unwrap_err().code;
    assert!(code == Code::Conflict && code.retryable());
    assert!(!site.effects().await[0].name.contains('w'));
    let later = commands(&site).run(&context, |now| append(site.clone(), now, false)).await;
    assert!(matches!(later, Ok(Answer::Fresh(_))));
}

//! `EventService`.

use super::event_watch::{Watching, watch};
use super::{Edge, answer, merchant};
use crate::convert::events::{after, count, event, kinds, seq, since};
use crate::{errors, page};
use printmill_backend::DatabaseExt;
use printmill_backend::database::{EventQuery, Page, Scope};
use printmill_domain::aggregate::Kind;
use printmill_domain::event::stream_uuid;
use printmill_domain::event_count::EventCount;
use printmill_domain::ids::{MerchantId, OrderId};
use printmill_domain::problem::Problem;
use printmill_engine::subscription::expired;
use printmill_proto::v1;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::event_service_server::EventService for Edge {
    type WatchStream = Watching;

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let found = async {
            let (merchant, wanted) = (merchant(&request)?, request.get_ref());
            let limit = page::page::<OrderId>(wanted.page_size, "", None)?.limit;
            let query = self.query(merchant, &wanted.kinds, &wanted.stream).await?;
            let from = match (wanted.after_seq, &wanted.since) {
                (0, Some(time)) => From::Time(time),
                (seq, None) => From::Seq(seq),
                _ => return Err(both()),
            };
            let after = self.place(from).await?;
            let head = self.services.database.head().await?;
            let query = EventQuery { after, until: Some(head), limit, ..query };
            let events = self.services.database.events(query).await?;
            let last = events.last().map(|event| event.seq);
            let through = last.filter(|_| events.len() >= limit as usize).unwrap_or(head);
            Ok(v1::ListEventsResponse {
                events: events.into_iter().map(event).collect(),
                seq: seq(through),
                more: through < head,
            })
        };
        answer(found.await)
    }

    async fn watch(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Watching>, Status> {
        let watching = async {
            let (merchant, wanted) = (merchant(&request)?, request.get_ref());
            let query = self.query(merchant, &wanted.kinds, &wanted.stream).await?;
            let after = match (wanted.after_seq, &wanted.since) {
                (None, Some(time)) => self.place(From::Time(time)).await?,
                (Some(seq), None) => self.place(From::Seq(seq)).await?,
                (None, None) => self.services.database.head().await?,
                _ => return Err(both()),
            };
            let place = self.streams.clone().try_acquire_owned().map_err(|_| errors::busy())?;
            Ok(watch(self, EventQuery { after, ..query }, place))
        };
        answer(watching.await)
    }

    async fn list_event_counts(
        &self,
        request: Request<v1::ListEventCountsRequest>,
    ) -> Result<Response<v1::ListEventCountsResponse>, Status> {
        let found = async {
            let (merchant, wanted) = (merchant(&request)?, request.get_ref());
            let limit = page::page::<OrderId>(wanted.page_size, "", None)?.limit;
            let before = match wanted.page_token.as_str() {
                "" => None,
                token => Some(token.parse().map_err(|_| {
                    let what = "must be the next_page_token of the last answer";
                    Problem::invalid_field("page_token", what)
                })?),
            };
            let before = before.map(|day| EventCount::id_of(merchant, day));
            let page = Page { before, limit, state: None };
            let scope = Scope::Merchant(merchant);
            let days = self.services.database.page::<EventCount>(scope, page).await?;
            let last = days.last().map(|count| count.day.to_string());
            Ok(v1::ListEventCountsResponse {
                next_page_token: last.filter(|_| days.len() >= limit as usize).unwrap_or_default(),
                days: days.iter().map(|found| count(found)).collect(),
            })
        };
        answer(found.await)
    }
}

/// Where reading begins.
enum From<'a> {
    Seq(i64),
    Time(&'a pbjson_types::Timestamp),
}

impl Edge {
    /// What a merchant wants to read. A stream that is not the merchant's is not found.
    async fn query(
        &self,
        merchant: MerchantId,
        wanted: &[String],
        stream: &str,
    ) -> Result<EventQuery, Problem> {
        let kinds = kinds(wanted)?;
        let query = EventQuery { merchant: Some(merchant), kinds, ..EventQuery::default() };
        if stream.is_empty() {
            return Ok(query);
        }
        let kind = match stream.split_once('_').filter(|_| stream_uuid(stream).is_some()) {
            Some(("ast", _)) => Kind::Asset,
            Some(("prt", _)) => Kind::Print,
            Some(("quo", _)) => Kind::Quote,
            Some(("ord", _)) => Kind::Order,
            _ => {
                let description = "must be the id of an asset, print, quote or order";
                return Err(Problem::invalid_field("stream", description));
            }
        };
        let found = self.services.database.get(Scope::Merchant(merchant), kind, stream).await?;
        found.ok_or_else(|| Problem::not_found(kind.name(), stream))?;
        Ok(EventQuery { stream: Some(stream.to_owned()), ..query })
    }

    /// The place in the log after which reading begins, if what follows it is kept.
    async fn place(&self, from: From<'_>) -> Result<u64, Problem> {
        let database = &self.services.database;
        let place = match from {
            From::Time(time) => return Ok(database.seq_at(since(time)?).await?),
            From::Seq(place) => after(place)?,
        };
        let (oldest, head) = (database.oldest().await?, database.head().await?);
        if place == 0 {
            return Ok(oldest.saturating_sub(1));
        }
        if place > head {
            let description = "must be a place that an answer named: the log has not come so far";
            return Err(Problem::invalid_field("after_seq", description));
        }
        if place + 1 < oldest { Err(expired(place, oldest)) } else { Ok(place) }
    }
}

fn both() -> Problem {
    Problem::invalid_field("since", "must not be given together with after_seq")
}

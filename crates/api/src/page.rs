//! Pages of lists: sizes, and opaque tokens that say where the next page begins.

use crate::options::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use printmill_backend::database::Page;
use printmill_domain::Timestamp;
use printmill_domain::ids::{Id, TicketId};
use printmill_domain::problem::Problem;
use printmill_domain::ticket::Ticket;

/// How many entries a request asks for.
pub(crate) fn size(size: i32) -> Result<u32, Problem> {
    match size {
        0 => Ok(PAGE_SIZE_DEFAULT),
        1..=i32::MAX if size as u32 <= PAGE_SIZE_MAX => Ok(size as u32),
        _ => {
            let description = format!("must be 1 to {PAGE_SIZE_MAX}, or absent");
            Err(Problem::invalid_field("page_size", description))
        }
    }
}

/// A place in a list of tickets: when the last one seen was due, and its id.
pub(crate) fn ticket_place(token: &str) -> Result<Option<(Timestamp, TicketId)>, Problem> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let (micros, id) = text.split_once(' ')?;
        let due_at = Timestamp::from_timestamp_micros(micros.parse().ok()?)?;
        Some((due_at, TicketId::parse(id).ok()?))
    };
    read().map(Some).ok_or_else(|| {
        Problem::invalid_field("page_token", "must be the next_page_token of the last answer")
    })
}

/// The token of the page after these tickets, if there may be one.
pub(crate) fn after_tickets(tickets: &[Ticket], limit: u32) -> String {
    match tickets.last() {
        Some(last) if tickets.len() >= limit as usize => {
            let place = format!("{} {}", last.due_at.timestamp_micros(), last.id);
            URL_SAFE_NO_PAD.encode(place)
        }
        _ => String::new(),
    }
}

/// The page that a request asks for, of a list of things with ids like `T`.
pub(crate) fn page<T: Id>(
    size: i32,
    token: &str,
    state: Option<&'static str>,
) -> Result<Page, Problem> {
    let limit = self::size(size)?;
    let before = match token {
        "" => None,
        token => Some(read::<T>(token).ok_or_else(|| {
            Problem::invalid_field("page_token", "must be the next_page_token of the last answer")
        })?),
    };
    Ok(Page { before, limit, state: state.map(str::to_owned) })
}

/// The token of the page after a full one; empty when there is none.
pub(crate) fn next(page: &Page, found: usize, last: Option<String>) -> String {
    match last {
        Some(id) if found >= page.limit as usize => URL_SAFE_NO_PAD.encode(id),
        _ => String::new(),
    }
}

fn read<T: Id>(token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    T::parse(&text).ok().map(|id| id.to_string())
}

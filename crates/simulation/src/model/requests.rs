//! Requests: each has one effect, and the same answer however often it is asked.

use super::Findings;
use crate::ending::Ending;
use crate::history::{Asked, What, Wish};
use printmill_domain::ids::OrderId;
use printmill_domain::order::OrderState;
use printmill_domain::problem::Code;
use std::collections::{BTreeMap, BTreeSet};

/// What a request was answered.
#[derive(Default)]
struct Answers {
    orders: BTreeSet<OrderId>,
    refused: Option<Code>,
}

pub(crate) fn check(ending: &Ending, findings: &mut Findings) {
    let requests = requests(ending);
    for (asked, answers) in &requests {
        findings.unless(answers.orders.len() <= 1, || {
            format!("{asked} was answered differently: {:?}", answers.orders)
        });
        refusal(asked, answers, findings);
        for order in &answers.orders {
            effect(ending, asked, *order, findings);
        }
    }
    let mut references = BTreeMap::new();
    let mut quotes = BTreeMap::new();
    for order in &ending.orders {
        if let Some(other) = references.insert((order.merchant, &order.reference), order.id) {
            findings.add(format!("{} and {other} are of one request", order.id));
        }
        if let Some(other) = order.quote.and_then(|quote| quotes.insert(quote, order.id)) {
            findings.add(format!("{} and {other} are of one quote", order.id));
        }
        let mut wishes = requests.keys().filter(|asked| {
            asked.merchant == order.merchant && asked.request.starts_with(&order.reference)
        });
        findings.unless(wishes.clone().any(|asked| asked.request == order.reference), || {
            format!("nobody asked for {}", order.id)
        });
        let pays = |asked: &&&Asked| matches!(asked.wish, Wish::Pay | Wish::PlaceAndPay);
        let (payments, asked) = (order.payments.len(), wishes.by_ref().filter(pays).count());
        findings.unless(payments <= asked, || {
            format!("{} was to be paid {asked} times, and has {payments} payments", order.id)
        });
    }
}

fn requests(ending: &Ending) -> BTreeMap<&Asked, Answers> {
    let mut requests: BTreeMap<&Asked, Answers> = BTreeMap::new();
    for entry in &ending.history {
        match &entry.what {
            What::Asked(asked) => drop(requests.entry(asked).or_default()),
            What::Answered(asked, order) => {
                requests.entry(asked).or_default().orders.insert(*order);
            }
            What::Refused(asked, code) => {
                requests.entry(asked).or_default().refused = Some(*code);
            }
            _ => {}
        }
    }
    requests
}

fn refusal(asked: &Asked, answers: &Answers, findings: &mut Findings) {
    let answered = !answers.orders.is_empty();
    let sound = match (asked.wish, answers.refused) {
        (Wish::Misuse, refused) => !answered && refused == Some(Code::RequestIdReused),
        (_, None) => answered,
        // What was answered once is never refused afterwards.
        (Wish::PlaceAndPay, Some(Code::QuoteUsed)) => !answered,
        (Wish::Pay | Wish::Cancel, Some(Code::InvalidState)) => !answered,
        (_, Some(_)) => false,
    };
    findings.unless(sound, || {
        format!("{asked} was answered {:?} and refused {:?}", answers.orders, answers.refused)
    });
}

fn effect(ending: &Ending, asked: &Asked, order: OrderId, findings: &mut Findings) {
    let Some(order) = ending.orders.iter().find(|known| known.id == order) else {
        return findings.add(format!("{asked} was answered {order}, which is not there"));
    };
    let seen = match asked.wish {
        Wish::Place | Wish::PlaceAndPay => order.reference == asked.request,
        Wish::Pay => !order.payments.is_empty(),
        Wish::Cancel => order.state == OrderState::Cancelled,
        Wish::Misuse => true,
    };
    findings.unless(seen && order.merchant == asked.merchant, || {
        format!("{asked} was answered, and {} shows nothing of it", order.id)
    });
}

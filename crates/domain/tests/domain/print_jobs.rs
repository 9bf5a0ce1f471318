//! Random lives of print jobs.

use crate::cases;
use crate::fixtures::{at, bad_tracking, blob, id, merchant, recipient, tracking};
use crate::history::{History, Life};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Decided;
use printmill_domain::lane::Lane;
use printmill_domain::print_job::{MAKE, PrintJob, PrintJobCommand, PrintJobState};
use printmill_domain::problem::Problem;
use proptest::prelude::*;

impl Life for PrintJob {
    type Command = PrintJobCommand;

    fn decide(&self, command: PrintJobCommand, now: Timestamp) -> Result<Decided<Self>, Problem> {
        PrintJob::decide(self, command, now)
    }

    fn sequence(&self) -> Option<u64> {
        None
    }

    fn check(&self) {
        assert_eq!(self.file.is_some(), self.state >= PrintJobState::Ready, "{self:?}");
        assert_eq!(self.tracking.is_some(), self.state == PrintJobState::Shipped, "{self:?}");
    }

    fn check_step(&self, next: &Self) {
        assert!(self.state.may_become(next.state), "{:?} to {:?}", self.state, next.state);
        assert!(self.state < next.state);
        if self.file.is_some() {
            assert_eq!(self.file, next.file, "what is printed does not change");
        }
        let work = |job: &PrintJob| {
            (job.order, job.item, job.sku.clone(), job.pages, job.quantity, job.recipient.clone())
        };
        assert_eq!(work(self), work(next));
    }
}

fn preparing() -> PrintJob {
    PrintJob {
        class: Default::default(),
        id: PrintJob::id_for(id(2)),
        merchant: merchant(),
        order: id(1),
        item: id(2),
        facility: id(3),
        sku: "photobook-a4-hard".into(),
        pages: 24,
        quantity: 2,
        recipient: recipient("NL"),
        state: PrintJobState::Preparing,
        file: None,
        tracking: None,
        created_at: at(0),
    }
}

fn command() -> impl Strategy<Value = PrintJobCommand> {
    prop_oneof![
        3 => (0..3u8).prop_map(|number| PrintJobCommand::Attach(blob(number))),
        3 => Just(PrintJobCommand::Accept),
        2 => Just(PrintJobCommand::StartPrinting),
        2 => (0..3u8).prop_map(|number| PrintJobCommand::Ship(tracking(number))),
        1 => Just(PrintJobCommand::Ship(bad_tracking())),
    ]
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn no_life_of_a_print_job_breaks_its_rules(
        commands in prop::collection::vec((0..900i64, command()), 0..24),
    ) {
        let mut history = History::begin(Decided::quiet(preparing()), at(0));
        for (seconds, command) in commands {
            history.apply(command, at(seconds));
            let ready = history.state.state >= PrintJobState::Ready;
            prop_assert_eq!(history.tickets.len(), usize::from(ready), "leased from Ready on, once");
        }
        for ticket in history.tickets.values() {
            prop_assert_eq!(&ticket.lane, &Lane::facility(&history.state.facility));
            prop_assert_eq!((ticket.kind.as_str(), ticket.id), (MAKE, PrintJob::ticket_id(history.state.id)));
        }
    }
}

#[test]
fn bad_tracking_is_refused_and_nothing_moves() {
    let job = PrintJob { state: PrintJobState::Printing, file: Some(blob(1)), ..preparing() };
    let refused = PrintJob::decide(&job, PrintJobCommand::Ship(bad_tracking()), at(0)).unwrap_err();
    let fields: Vec<_> = refused.violations.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["tracking.carrier", "tracking.url"]);
}

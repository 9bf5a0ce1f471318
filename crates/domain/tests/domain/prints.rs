//! Random lives of prints.

use crate::cases;
use crate::fixtures::{at, contents, id, merchant};
use crate::history::{History, Life};
use printmill_domain::Timestamp;
use printmill_domain::aggregate::Decided;
use printmill_domain::catalogue::product;
use printmill_domain::print::{
    PLACEMENTS_MAX, Print, PrintCommand, PrintState, REVISIONS_MAX, Revision,
};
use printmill_domain::problem::Problem;
use proptest::prelude::*;

impl Life for Print {
    type Command = PrintCommand;

    fn decide(&self, command: PrintCommand, now: Timestamp) -> Result<Decided<Self>, Problem> {
        Print::decide(self, command, now)
    }

    fn sequence(&self) -> Option<u64> {
        Some(self.sequence)
    }

    fn check(&self) {
        assert!((1..=REVISIONS_MAX).contains(&self.revisions.len()));
        for (index, revision) in self.revisions.iter().enumerate() {
            let number = index as u32 + 1;
            assert_eq!(revision.number, number);
            assert_eq!(self.revision(Some(number)).as_ref(), Ok(&revision));
            assert_eq!(self.orderable(Some(number)).is_ok(), self.state == PrintState::Active);
            check_revision(revision);
        }
        assert_eq!(self.revision(None).ok(), self.revisions.last());
        assert!(self.revision(Some(0)).is_err());
        assert!(self.revision(Some(self.revisions.len() as u32 + 1)).is_err());
    }

    fn check_step(&self, next: &Self) {
        assert!(self.state <= next.state);
        assert!(next.revisions.starts_with(&self.revisions), "a revision never changes");
        let more = next.revisions.len() - self.revisions.len();
        assert_eq!(more, usize::from(next.state == PrintState::Active));
    }

    /// The same content again is another revision; what makes it one is the request's id.
    fn repeats_quietly(command: &PrintCommand) -> bool {
        matches!(command, PrintCommand::Archive)
    }
}

/// What a press may rely on.
fn check_revision(revision: &Revision) {
    let product = product(&revision.sku).expect("only what is sold is designed");
    assert!(product.check_pages(revision.pages.len()).is_ok());
    for placement in revision.pages.iter().flat_map(|page| {
        assert!(page.placements.len() <= PLACEMENTS_MAX);
        &page.placements
    }) {
        assert!(revision.sources.contains_key(&placement.asset), "a picture without a source");
        let Some(frame) = placement.frame else { continue };
        let bleed = i128::from(product.bleed_um);
        for (start, length, trim) in [
            (frame.x_um, frame.width_um, product.trim_width_um),
            (frame.y_um, frame.height_um, product.trim_height_um),
        ] {
            let (start, length) = (i128::from(start), i128::from(length));
            assert!(length > 0 && -bleed <= start, "{frame:?}");
            assert!(start + length <= i128::from(trim) + bleed, "{frame:?}");
        }
    }
}

fn commands() -> impl Strategy<Value = Vec<PrintCommand>> {
    let one = prop_oneof![
        6 => contents().prop_map(PrintCommand::Revise),
        1 => Just(PrintCommand::Archive),
    ];
    prop::collection::vec(one, 0..6)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn no_life_of_a_print_breaks_its_rules(first in contents(), commands in commands()) {
        let Ok(made) = Print::create(id(1), merchant(), first, at(0)) else { return Ok(()) };
        let mut history = History::begin(made, at(0));
        for (index, command) in commands.into_iter().enumerate() {
            history.apply(command, at(index as i64));
        }
        prop_assert!(history.tickets.is_empty());
    }
}

#[test]
fn there_is_a_last_revision() {
    let content = crate::fixtures::white("magazine-a5-stapled", 8);
    let made = Print::create(id(1), merchant(), content.clone(), at(0)).unwrap();
    let mut state = made.state;
    for _ in 1..REVISIONS_MAX {
        state = Life::decide(&state, PrintCommand::Revise(content.clone()), at(1)).unwrap().state;
    }
    assert!(Life::decide(&state, PrintCommand::Revise(content), at(2)).is_err());
    assert!(Life::decide(&state, PrintCommand::Archive, at(3)).is_ok());
}

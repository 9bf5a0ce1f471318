//! Whose turn it is, with random merchants, classes and ages.

use crate::cases;
use crate::fixtures::{at, id};
use printmill_domain::Timestamp;
use printmill_domain::fairness::{AGEING, Group, Turns};
use printmill_domain::ids::MerchantId;
use printmill_domain::lane::Class;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet, VecDeque};

/// A ticket here: whose, of which class, and its place in its group.
type Name = (MerchantId, Class, usize);

const NOW: i64 = 100_000;

fn group(merchant: u64, class: Class, weight: u32, ages: Vec<i64>) -> Group<Name> {
    let merchant = id(merchant);
    let mut due: Vec<Timestamp> = ages.into_iter().map(|age| at(NOW - age)).collect();
    due.sort();
    let named = due.into_iter().enumerate();
    let waiting: VecDeque<_> = named.map(|(place, due)| (due, (merchant, class, place))).collect();
    Group { merchant, class, weight, waiting }
}

fn groups(age_max: i64) -> impl Strategy<Value = Vec<Group<Name>>> {
    let class = prop::sample::select(Class::ALL.to_vec());
    let one = (class, 1..5u32, prop::collection::vec(0..age_max, 0..12));
    let of_merchants = prop::collection::btree_map((0..5u64, 0..3u8), one, 0..10);
    of_merchants.prop_map(|found| {
        let mut seen = HashSet::new();
        let groups = found.into_iter().filter_map(|((merchant, _), (class, weight, ages))| {
            seen.insert((merchant, class)).then(|| group(merchant, class, weight, ages))
        });
        groups.collect()
    })
}

fn total(groups: &[Group<Name>]) -> usize {
    groups.iter().map(|group| group.waiting.len()).sum()
}

fn shares(taken: &[Name]) -> BTreeMap<MerchantId, usize> {
    let mut shares = BTreeMap::new();
    for (merchant, ..) in taken {
        *shares.entry(*merchant).or_default() += 1;
    }
    shares
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn as_many_as_fit_are_taken_each_once_and_in_the_order_of_its_group(
        groups in groups(2_000),
        count in 0..80usize,
    ) {
        let all = total(&groups);
        let taken = Turns::default().take(groups, count, at(NOW), |_| true);
        prop_assert_eq!(taken.len(), count.min(all));
        let mut next: BTreeMap<(MerchantId, Class), usize> = BTreeMap::new();
        for (merchant, class, place) in taken {
            let expected = next.entry((merchant, class)).or_default();
            prop_assert_eq!(place, *expected);
            *expected += 1;
        }
    }

    #[test]
    fn the_more_urgent_go_first_as_long_as_nobody_waits_for_long(
        groups in groups(AGEING.num_seconds()),
        count in 0..80usize,
    ) {
        let taken = Turns::default().take(groups, count, at(NOW), |_| true);
        prop_assert!(taken.is_sorted_by_key(|(_, class, _)| class.rank()));
    }

    #[test]
    fn merchants_get_their_shares_however_much_each_has(
        weights in prop::collection::vec(1..6u32, 2..6),
        sizes in prop::collection::vec(1..20usize, 1..200),
    ) {
        // Everybody has more than is ever taken, and it is taken in parts of any size.
        let mut turns = Turns::default();
        let mut taken: Vec<Name> = vec![];
        for count in sizes {
            let groups = weights.iter().zip(0..).map(|(weight, merchant)| {
                group(merchant, Class::Standard, *weight, vec![0; 20])
            });
            taken.extend(turns.take(groups.collect(), count, at(NOW), |_| true));
        }
        let shares = shares(&taken);
        let round: u32 = weights.iter().sum();
        let rounds = taken.len() / round as usize;
        for (weight, merchant) in weights.iter().zip(0..) {
            let share = shares.get(&id(merchant)).copied().unwrap_or_default();
            let (least, most) = (rounds * *weight as usize, (rounds + 1) * *weight as usize);
            prop_assert!((least..=most).contains(&share), "{share} of {} at {weight}", taken.len());
        }
    }

    #[test]
    fn what_has_waited_for_long_moves_whatever_else_comes(
        class in prop::sample::select(Class::ALL.to_vec()),
        others in 1..5u64,
        weight in 1..5u32,
    ) {
        let patience = AGEING.num_seconds() * i64::from(class.rank());
        let mut groups = vec![group(0, class, 1, vec![patience])];
        groups.extend((1..=others).map(|other| {
            group(other, Class::Urgent, weight, vec![0; 100])
        }));
        let round = others as usize * weight as usize + 1;
        let taken = Turns::default().take(groups, round, at(NOW), |_| true);
        prop_assert!(taken.contains(&(id(0), class, 0)), "{taken:?}");
    }

    #[test]
    fn who_is_turned_away_keeps_nobody_else_waiting(groups in groups(2_000), away in 0..5u64) {
        let away: MerchantId = id(away);
        let others = groups.iter().filter(|group| group.merchant != away);
        let others: usize = others.map(|group| group.waiting.len()).sum();
        let taken =
            Turns::default().take(groups, usize::MAX, at(NOW), |(merchant, ..)| *merchant != away);
        prop_assert_eq!(taken.len(), others);
    }
}

#[test]
fn a_crowd_of_one_merchant_does_not_keep_another_waiting() {
    let groups = vec![
        group(1, Class::Standard, 1, vec![200; 10_000]),
        group(2, Class::Standard, 1, vec![0]),
    ];
    let taken = Turns::default().take(groups, 2, at(NOW), |_| true);
    assert_eq!(shares(&taken).len(), 2, "{taken:?}");
}

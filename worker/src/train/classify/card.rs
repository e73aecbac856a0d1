//! Arrays of heads on a card.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use rayon::prelude::*;

use super::{
    plan::{Plan, restore_stats, save_stats},
    samples::Samples,
};
use crate::{
    cuda::{
        Buffer, CudaError, Stream,
        heads::{HeadArray, HeadMember, HeadSizes, HeadSpan, HeadState, Samples as Rows},
    },
    error::Result,
    execute::{Job, Reporter},
    protocol::Outcome,
    task::Target,
    train::{
        batched::{self, Batched, Made, Pace, Slots},
        course::{Course, Past, Quality},
        features::Features,
        sizing,
        weights::{self, Saved},
    },
};

/// Most steps of a trial of an array's size.
const TRIAL: u64 = 8;
/// Heads whose best weights are on the host at once, to be written.
const WRITTEN: usize = 64;
/// Most steps without looking at the host.
const MOST_STEPS: u64 = 1024;

/// Trains and tests `plans`, each with its member's number, on a card.
///
/// Members of an array are in lock-step and their batches have equal sizes, so they have equal numbers of training samples. Members with
/// other numbers are trained one group after another.
pub(super) fn run(
    stream: &Arc<dyn Stream>,
    plans: Vec<(usize, Plan<'_>)>,
    job: &Job,
    reporter: &dyn Reporter,
    pace: Pace,
) -> Result<()> {
    let mut groups: Vec<Vec<(usize, Plan<'_>)>> = Vec::new();
    for (member, plan) in plans {
        let key = |plan: &Plan<'_>| (plan.shape, plan.splits.train.images.len());
        match groups.iter_mut().find(|group| key(&group[0].1) == key(&plan)) {
            Some(group) => group.push((member, plan)),
            None => groups.push(vec![(member, plan)]),
        }
    }
    for mut group in groups {
        // Neighbours share a table of features, so that an array needs few of them.
        group.sort_by_key(|(member, plan)| (Arc::as_ptr(&plan.features).addr(), *member));
        run_group(stream, &group, job, reporter, pace)?;
    }
    Ok(())
}

fn run_group(
    stream: &Arc<dyn Stream>,
    group: &[(usize, Plan<'_>)],
    job: &Job,
    reporter: &dyn Reporter,
    pace: Pace,
) -> Result<()> {
    let plans: Vec<&Plan<'_>> = group.iter().map(|(_, plan)| plan).collect();
    let sizes = sizes(&plans);
    let bytes = |members: usize| sizes.bytes_needed(members) + Tables::of(&plans[..members]).bytes();
    let fit = sizing::fits(plans.len(), stream.memory()?.free, bytes);
    let shape = format!("heads {:?} {} {}", sizes.shape, sizes.batch, stream.name());
    let most = sizing::choose(&shape, plans.len(), fit, |members| trial(stream, plans[0], sizes, members))?;
    let places: HashMap<usize, usize> = group.iter().map(|(member, _)| *member).zip(0..).collect();
    let members = group.iter().map(|(member, _)| *member).collect();
    batched::run(members, most, reporter, pace, |members, pasts| {
        let plans = members.iter().map(|member| plans[places[member]]).collect();
        Heads::new(stream, plans, sizes, members, pasts, job, reporter)
    });
    Ok(())
}

/// Sizes of an array of such members; there is at least one.
fn sizes(plans: &[&Plan<'_>]) -> HeadSizes {
    let first = plans[0];
    let train = first.splits.train.images.len();
    let evaluated = plans.iter().map(|plan| plan.splits.valid.images.len().max(plan.splits.test.images.len()));
    HeadSizes {
        shape: first.shape,
        binary: first.task.target == Target::Binary,
        dropout: first.task.dropout,
        batch: first.task.batch_size.min(train),
        train,
        evaluated: evaluated.max().unwrap_or(0),
        steps: first.steps_an_epoch.min(MOST_STEPS) as usize,
    }
}

/// Steps a second of all members of an array together, by a few steps of copies of one member.
fn trial(stream: &Arc<dyn Stream>, plan: &Plan<'_>, sizes: HeadSizes, members: usize) -> Result<f64, CudaError> {
    let features = Tables::of(&[plan]).upload(stream)?;
    let mut array = HeadArray::new(stream, sizes, members, features)?;
    let (task, state) = (plan.task, HeadState::new(plan.shape, plan.task.seed));
    let member = HeadMember { seed: task.seed, weight_decay: task.weight_decay, table: 0 };
    let spans = (0..members).map(|_| {
        let slot = array.push(member, &state)?;
        Ok(HeadSpan { slot, step: 0, learning_rate: 0.0, list: 0 })
    });
    let spans = spans.collect::<Result<Vec<_>, CudaError>>()?;
    let lists = [Arc::new(rows(&plan.features, &plan.splits.train))];
    let steps = plan.steps_an_epoch.min(TRIAL) as usize;
    let end = (steps * sizes.batch).min(sizes.train);
    // The first time modules are loaded.
    array.train(&spans, &lists, 0, end, || {})?;
    let begin = Instant::now();
    array.train(&spans, &lists, 0, end, || {})?;
    Ok((members * steps) as f64 / begin.elapsed().as_secs_f64().max(1e-9))
}

/// Rows of `samples` in their table of features, and their classes.
fn rows(features: &Features, samples: &Samples) -> Rows {
    // Samples without features are in no split.
    let rows = samples.images.iter().filter_map(|&image| features.place(image)).map(|row| row as u32);
    Rows { rows: rows.collect(), classes: samples.classes.clone() }
}

/// Tables of features, each once.
struct Tables<'a> {
    tables: Vec<&'a Arc<Features>>,
    /// First row of the table of each member.
    starts: Vec<usize>,
}

impl<'a> Tables<'a> {
    fn of(plans: &[&'a Plan<'_>]) -> Self {
        let (mut tables, mut firsts, mut starts, mut end) = (Vec::new(), HashMap::new(), Vec::new(), 0);
        for plan in plans {
            let start = *firsts.entry(Arc::as_ptr(&plan.features)).or_insert_with(|| {
                tables.push(&plan.features);
                let start = end;
                end += plan.features.values().len() / plan.features.width;
                start
            });
            starts.push(start);
        }
        Self { tables, starts }
    }

    fn bytes(&self) -> usize {
        self.tables.iter().map(|table| size_of_val(table.values())).sum()
    }

    fn upload(&self, stream: &Arc<dyn Stream>) -> Result<Arc<Buffer<f32>>, CudaError> {
        let mut buffer = Buffer::undefined(stream, self.bytes() / size_of::<f32>())?;
        let mut start = 0;
        for table in &self.tables {
            buffer.upload(start, table.values())?;
            start += table.values().len();
        }
        Ok(Arc::new(buffer))
    }
}

/// Lists of samples that members share, each once.
#[derive(Default)]
struct Lists {
    lists: Vec<Rows>,
    /// Which of them each member has.
    of: Vec<usize>,
}

impl Lists {
    fn new(plans: &[&Plan<'_>], of: impl Fn(&Plan<'_>) -> Rows) -> Self {
        let mut all = Self::default();
        let mut known: HashMap<Rows, usize> = HashMap::new();
        for plan in plans {
            let list = of(plan);
            let at = *known.entry(list).or_insert_with_key(|list| {
                all.lists.push(list.clone());
                all.lists.len() - 1
            });
            all.of.push(at);
        }
        all
    }
}

/// What an order of training samples depends on: the list, the seed and the epoch.
type Order = (usize, u64, u32);

/// Heads on a card, members of one array.
struct Heads<'a> {
    plans: Vec<&'a Plan<'a>>,
    array: HeadArray,
    sizes: HeadSizes,
    /// The member in each slot.
    slots: Slots,
    train: Lists,
    valid: Lists,
    test: Lists,
    /// Samples in the order of some epochs.
    orders: BTreeMap<Order, Arc<Rows>>,
}

impl<'a> Heads<'a> {
    fn new<'j>(
        stream: &Arc<dyn Stream>,
        plans: Vec<&'a Plan<'a>>,
        sizes: HeadSizes,
        members: &[usize],
        pasts: &[Past],
        job: &'j Job,
        reporter: &'j dyn Reporter,
    ) -> Result<(Self, Vec<Course<'j>>), Made> {
        let tables = Tables::of(&plans);
        let mut array = HeadArray::new(stream, sizes, plans.len(), tables.upload(stream)?)?;
        let mut courses = Vec::new();
        for (i, plan) in plans.iter().enumerate() {
            let begin = || {
                let (course, state) = plan.begin(job, members[i], reporter, &pasts[i])?;
                let state = match state {
                    Some(mut state) => {
                        let [p, m, v, best] = weights::restore(&mut state, plan.shape.parameters())?;
                        let [stats, best_stats] = restore_stats(&mut state)?;
                        HeadState { p, m, v, best, stats, best_stats }
                    }
                    None => HeadState::new(plan.shape, plan.task.seed),
                };
                Ok((course, state))
            };
            let (course, state) = begin().map_err(|error| Made::Member(i, error))?;
            let (seed, weight_decay) = (plan.task.seed, plan.task.weight_decay);
            array.push(HeadMember { seed, weight_decay, table: tables.starts[i] }, &state)?;
            courses.push(course);
        }
        let heads = Self {
            slots: Slots::new(plans.len()),
            train: Lists::new(&plans, |plan| rows(&plan.features, &plan.splits.train)),
            valid: Lists::new(&plans, |plan| rows(&plan.features, &plan.splits.valid)),
            test: Lists::new(&plans, |plan| rows(&plan.features, &plan.splits.test)),
            orders: BTreeMap::new(),
            array,
            sizes,
            plans,
        };
        Ok((heads, courses))
    }

    fn order_of(&self, member: usize, epoch: u32) -> Order {
        (self.train.of[member], self.plans[member].task.seed, epoch)
    }

    /// Samples in the order of each of `orders` that is not there yet. `member` of each has that list and seed.
    fn arrange(&mut self, orders: &BTreeMap<Order, usize>) {
        arrange(&mut self.orders, orders, &self.plans, &self.train.lists);
    }

    fn evaluate(&mut self, members: &[usize], test: bool) -> Result<Vec<Vec<f32>>, CudaError> {
        let slots = self.slots.all(members);
        let lists = if test { &self.test } else { &self.valid };
        let of = slots.into_iter().zip(members).map(|(slot, &member)| (slot, lists.of[member])).collect::<Vec<_>>();
        self.array.evaluate(&of, &lists.lists, test)
    }
}

/// Adds those of `wanted` that are not in `orders`, over all cores.
fn arrange(
    orders: &mut BTreeMap<Order, Arc<Rows>>,
    wanted: &BTreeMap<Order, usize>,
    plans: &[&Plan<'_>],
    lists: &[Rows],
) {
    let new: Vec<(Order, usize)> = wanted
        .iter()
        .filter(|(order, _)| !orders.contains_key(order))
        .map(|(&order, &member)| (order, member))
        .collect();
    let made: Vec<(Order, Arc<Rows>)> = new
        .into_par_iter()
        .map(|(order, member)| {
            let list = &lists[order.0];
            let places = plans[member].order(order.2);
            let pick = |from: &[u32]| places.iter().map(|&place| from[place as usize]).collect();
            (order, Arc::new(Rows { rows: pick(&list.rows), classes: pick(&list.classes) }))
        })
        .collect();
    orders.extend(made);
}

impl Batched for Heads<'_> {
    fn train(&mut self, members: &[usize], courses: &[Course<'_>], steps: u64) -> Result<Vec<Vec<f32>>, CudaError> {
        let HeadSizes { batch, train, .. } = self.sizes;
        let at = |member: usize| courses[member].at;
        let orders = |later: u32| {
            let order = |&member: &usize| (self.order_of(member, at(member).epoch + later), member);
            members.iter().map(order).collect::<BTreeMap<Order, usize>>()
        };
        let (now, next) = (orders(0), orders(1));
        self.orders.retain(|order, _| now.contains_key(order));
        self.arrange(&now);
        let lists: Vec<Arc<Rows>> = now.keys().map(|order| Arc::clone(&self.orders[order])).collect();
        let places: HashMap<Order, usize> = now.keys().copied().zip(0..).collect();
        let slots = self.slots.all(members);
        let spans: Vec<HeadSpan> = members
            .iter()
            .zip(slots)
            .map(|(&member, slot)| HeadSpan {
                slot,
                step: at(member).step,
                learning_rate: self.plans[member].learning_rate(at(member).epoch),
                list: places[&self.order_of(member, at(member).epoch)],
            })
            .collect();
        let first = at(members[0]).epoch_step as usize * batch;
        let end = (first + steps as usize * batch).min(train);
        let Self { array, orders, plans, train, .. } = self;
        // The next epoch's orders are drawn while the card works on this one.
        array.train(&spans, &lists, first, end, || arrange(orders, &next, plans, &train.lists))
    }

    fn most_steps(&self) -> u64 {
        self.sizes.steps as u64
    }

    fn validate(&mut self, members: &[usize], _: &[Course<'_>]) -> Result<Vec<Quality>, CudaError> {
        let outputs = self.evaluate(members, false)?;
        let qualities = members.par_iter().zip(outputs).map(|(&member, logits)| self.plans[member].quality(logits));
        Ok(qualities.collect())
    }

    fn keep_best(&mut self, members: &[usize]) -> Result<(), CudaError> {
        self.array.keep_best(&self.slots.all(members))
    }

    fn saved(&mut self, member: usize) -> Result<Saved<'static>, CudaError> {
        let HeadState { p, m, v, best, stats, best_stats } = self.array.state(self.slots.of(member))?;
        let mut saved = Saved::owned([p, m, v, best]);
        save_stats(&mut saved, Cow::Owned(stats), Cow::Owned(best_stats));
        Ok(saved)
    }

    fn finish(&mut self, members: &[usize], courses: &[Course<'_>]) -> Result<Vec<Result<Outcome>>, CudaError> {
        let mut logits = self.evaluate(members, true)?.into_iter();
        let mut results = Vec::new();
        for part in members.chunks(WRITTEN) {
            let best = self.slots.all(part).into_iter().map(|slot| self.array.best(slot));
            let best = best.collect::<Result<Vec<_>, CudaError>>()?;
            let heads: Vec<_> = part.iter().copied().zip(best).zip(&mut logits).collect();
            let heads = heads.into_par_iter();
            // Over all cores, as most of the time goes into waiting for the disk.
            let outcomes = heads.map(|((member, (best, stats)), logits)| {
                self.plans[member].finish(&courses[member], &best, &stats, logits)
            });
            results.extend(outcomes.collect::<Vec<_>>());
        }
        Ok(results)
    }

    fn leave(&mut self, members: &[usize]) -> Result<(), CudaError> {
        self.slots.leave(members, |slot| self.array.remove(slot))
    }
}

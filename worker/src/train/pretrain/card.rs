//! Arrays of Adaptors on a card.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use super::{
    pairs::{Pair, Pairs},
    plan::Plan,
};
use crate::{
    cache::Embeddings,
    cuda::{AdaptorArray, Arithmetic, CudaError, Kind, Member, Orders, Segment, State, Stream, Table},
    error::Result,
    execute::{Job, Reporter},
    id::TrialId,
    model::Dims,
    protocol::Outcome,
    task::Precision,
    train::{
        batched::{self, Batched, Made, Pace, Slots},
        course::{Course, Past, Quality},
        sizing,
        weights::{self, Saved},
    },
};

/// Steps of a trial of an array's size.
const TRIAL: usize = 6;
/// Most steps without looking at the host.
const MOST_STEPS: u64 = 4096;

/// A member of a job, and what it trains on.
pub(super) struct Trainee<'a> {
    /// Its number in the job.
    pub(super) member: usize,
    pub(super) plan: Plan<'a>,
}

/// Trains and tests `trainees` on a card.
///
/// Members of an array take steps together, so that their epochs have equal numbers of steps: pairs left out for want of an embedding
/// may make a difference. Members with other numbers are trained one group after another.
pub(super) fn run(
    stream: &Arc<dyn Stream>,
    trainees: Vec<Trainee<'_>>,
    job: &Job,
    reporter: &dyn Reporter,
    pace: Pace,
) -> Result<()> {
    let mut groups: BTreeMap<(usize, u64, bool), Vec<Trainee<'_>>> = BTreeMap::new();
    for trainee in trainees {
        let Plan { batch, steps_an_epoch, task, .. } = &trainee.plan;
        let halves = arithmetic(task.precision) == Arithmetic::Bf16;
        groups.entry((*batch, *steps_an_epoch, halves)).or_default().push(trainee);
    }
    for group in groups.into_values() {
        run_group(stream, &group, job, reporter, pace)?;
    }
    Ok(())
}

fn run_group(
    stream: &Arc<dyn Stream>,
    group: &[Trainee<'_>],
    job: &Job,
    reporter: &dyn Reporter,
    pace: Pace,
) -> Result<()> {
    let plans: Vec<&Plan<'_>> = group.iter().map(|trainee| &trainee.plan).collect();
    let dims: Vec<Dims> = plans.iter().map(|plan| plan.shape.into()).collect();
    let sizes = Sizes::of(plans[0]);
    // A shape that the kernels do not take is one for any number.
    sizes.bytes(&dims[..1])?;
    let bytes = |members: usize| {
        sizes.bytes(&dims[..members]).unwrap_or(usize::MAX).saturating_add(Tables::bytes(&plans[..members]))
    };
    let fit = sizing::fits(plans.len(), stream.memory()?.free, bytes);
    let widths = (dims.iter().map(|dims| dims.image_width).max(), dims.iter().map(|dims| dims.text_width).max());
    let shape = format!("adaptors {widths:?} {} {:?} {}", sizes.batch, sizes.arithmetic, stream.name());
    let most = sizing::choose(&shape, plans.len(), fit, |members| trial(stream, &plans[..members], sizes))?;
    let places: HashMap<usize, usize> = group.iter().map(|trainee| trainee.member).zip(0..).collect();
    let members = group.iter().map(|trainee| trainee.member).collect();
    let mut tables = Tables::default();
    batched::run(members, most, reporter, pace, |members, pasts| {
        let plans = members.iter().map(|member| plans[places[member]]).collect();
        Adaptors::new(stream, &mut tables, plans, sizes, members, pasts, job, reporter)
    });
    Ok(())
}

/// What the members of an array have in common.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    steps: usize,
    arithmetic: Arithmetic,
}

impl Sizes {
    fn of(plan: &Plan<'_>) -> Self {
        Self {
            batch: plan.batch,
            steps: plan.steps_an_epoch.clamp(TRIAL as u64, MOST_STEPS) as usize,
            arithmetic: arithmetic(plan.task.precision),
        }
    }

    fn bytes(&self, members: &[Dims]) -> Result<usize, CudaError> {
        AdaptorArray::bytes_needed(members, self.batch, self.steps, self.arithmetic)
    }
}

const fn arithmetic(precision: Precision) -> Arithmetic {
    match precision {
        Precision::F32 => Arithmetic::F32,
        Precision::Bf16 => Arithmetic::Bf16,
    }
}

/// Steps a second of all of these members together, by a few steps on their first pairs.
fn trial(stream: &Arc<dyn Stream>, plans: &[&Plan<'_>], sizes: Sizes) -> Result<f64, CudaError> {
    let mut tables = Tables::default();
    let mut states: HashMap<Dims, State> = HashMap::new();
    let mut members = Vec::new();
    // A few rows are enough to measure.
    let rows = sizes.batch;
    for plan in plans {
        let (images, texts) = tables.parts(stream, plan, rows)?;
        members.push(member(plan, images, texts));
    }
    // There may be fewer reports than images.
    let least = members.iter().map(|member| member.images.rows().min(member.texts.rows())).min().unwrap_or(1);
    let mut array = AdaptorArray::new(stream, members, sizes.batch, sizes.steps, sizes.arithmetic)?;
    for (i, plan) in plans.iter().enumerate() {
        let state = states.entry(plan.shape.into()).or_insert_with(|| State::new(plan.shape.init(plan.task.seed)));
        array.set_state(i, state)?;
    }
    let pairs: Vec<(u32, u32)> =
        (0..TRIAL * sizes.batch).map(|row| (row % least) as u32).map(|row| (row, row)).collect();
    let pairs = Arc::new(crate::cuda::Pairs::upload(stream, &pairs)?);
    let order = Orders::new(stream).get(0, 0, pairs.len())?;
    let segment = |_| Segment {
        pairs: Arc::clone(&pairs),
        order: Arc::clone(&order),
        start: 0,
        first_step: 0,
        learning_rates: vec![0.0; TRIAL],
    };
    let segments: Vec<Segment> = plans.iter().map(segment).collect();
    // The first time modules are loaded.
    array.train(&segments)?;
    let begin = Instant::now();
    array.train(&segments)?;
    Ok((plans.len() * TRIAL) as f64 / begin.elapsed().as_secs_f64().max(1e-9))
}

fn member(plan: &Plan<'_>, images: Arc<Table>, texts: Arc<Table>) -> Member {
    let task = plan.task;
    Member {
        dims: plan.shape.into(),
        images,
        texts,
        seed: task.seed,
        dropout: task.dropout,
        i2t_weight: task.i2t_weight,
        weight_decay: task.weight_decay,
    }
}

/// Embeddings on the card, each once for the members that read it.
#[derive(Default)]
struct Tables(HashMap<TrialId, Arc<Table>>);

impl Tables {
    fn kind(plan: &Plan<'_>) -> Kind {
        arithmetic(plan.task.precision).kind()
    }

    /// Bytes of the tables of `plans`.
    fn bytes(plans: &[&Plan<'_>]) -> usize {
        let size = |plan: &Plan<'_>, rows: &Embeddings| Table::bytes(Self::kind(plan), rows.len(), rows.width());
        let sizes = plans.iter().flat_map(|plan| {
            let Pairs { images, texts, .. } = plan.pairs;
            [(plan.task.image, size(plan, images)), (plan.task.text, size(plan, texts))]
        });
        sizes.collect::<HashMap<TrialId, usize>>().values().sum()
    }

    /// Forgets what none of `plans` reads.
    fn keep(&mut self, plans: &[&Plan<'_>]) {
        self.0.retain(|id, _| plans.iter().any(|plan| [plan.task.image, plan.task.text].contains(id)));
    }

    /// Images and texts of a member: the first `most` rows.
    fn parts(
        &mut self,
        stream: &Arc<dyn Stream>,
        plan: &Plan<'_>,
        most: usize,
    ) -> Result<(Arc<Table>, Arc<Table>), CudaError> {
        let Pairs { images, texts, .. } = plan.pairs;
        let mut get = |id, rows: &Embeddings| {
            if let Some(table) = self.0.get(&id) {
                return Ok(Arc::clone(table));
            }
            let append = |row: usize, out: &mut Vec<f32>| rows.append(row, out);
            let count = rows.len().min(most);
            let table = Arc::new(Table::upload(stream, Self::kind(plan), count, rows.width(), append)?);
            self.0.insert(id, Arc::clone(&table));
            Ok::<_, CudaError>(table)
        };
        Ok((get(plan.task.image, images)?, get(plan.task.text, texts)?))
    }
}

/// What a member reads in each split.
struct Splits {
    train: Arc<crate::cuda::Pairs>,
    valid: Arc<crate::cuda::Pairs>,
    test: Arc<crate::cuda::Pairs>,
}

/// Adaptors on a card, members of one array.
struct Adaptors<'a> {
    plans: Vec<&'a Plan<'a>>,
    array: AdaptorArray,
    /// The member in each slot.
    slots: Slots,
    splits: Vec<Splits>,
    orders: Orders,
}

impl<'a> Adaptors<'a> {
    #[expect(clippy::too_many_arguments, reason = "all that an array is made of")]
    fn new<'j>(
        stream: &Arc<dyn Stream>,
        tables: &mut Tables,
        plans: Vec<&'a Plan<'a>>,
        sizes: Sizes,
        members: &[usize],
        pasts: &[Past],
        job: &'j Job,
        reporter: &'j dyn Reporter,
    ) -> Result<(Self, Vec<Course<'j>>), Made> {
        tables.keep(&plans);
        let (mut parts, mut splits) = (Vec::new(), Vec::new());
        for plan in &plans {
            let (images, texts) = tables.parts(stream, plan, usize::MAX)?;
            parts.push(member(plan, images, texts));
            let upload = |pairs: &[Pair]| {
                let rows: Vec<(u32, u32)> = pairs.iter().map(|&(image, text)| (image as u32, text as u32)).collect();
                crate::cuda::Pairs::upload(stream, &rows).map(Arc::new)
            };
            splits.push(Splits { train: upload(&plan.train)?, valid: upload(&plan.valid)?, test: upload(&plan.test)? });
        }
        let mut array = AdaptorArray::new(stream, parts, sizes.batch, sizes.steps, sizes.arithmetic)?;
        let mut courses = Vec::new();
        for (i, plan) in plans.iter().enumerate() {
            let begin = || {
                let (course, state) = plan.begin(job, members[i], reporter, &pasts[i])?;
                let state = match state {
                    Some(mut state) => {
                        let [p, m, v, best] = weights::restore(&mut state, plan.shape.parameters())?;
                        State { p, m, v, best }
                    }
                    None => State::new(plan.shape.init(plan.task.seed)),
                };
                Ok((course, state))
            };
            let (course, state) = begin().map_err(|error| Made::Member(i, error))?;
            array.set_state(i, &state)?;
            courses.push(course);
        }
        let slots = Slots::new(plans.len());
        Ok((Self { plans, array, slots, splits, orders: Orders::new(stream) }, courses))
    }

    /// Mean losses a pair of all that are in the array, by slot.
    fn losses(&mut self, of: impl Fn(&Splits) -> &Arc<crate::cuda::Pairs>) -> Result<Vec<f64>, CudaError> {
        let pairs: Vec<_> = self.slots.members().iter().map(|&member| Arc::clone(of(&self.splits[member]))).collect();
        self.array.losses(&pairs)
    }
}

impl Batched for Adaptors<'_> {
    fn train(&mut self, members: &[usize], courses: &[Course<'_>], steps: u64) -> Result<Vec<Vec<f32>>, CudaError> {
        let mut segments = Vec::new();
        for (slot, &member) in self.slots.members().iter().enumerate() {
            let (plan, at) = (self.plans[member], courses[member].at);
            // Who waits for others goes along without being changed.
            if members.contains(&member) {
                self.array.thaw(slot);
            } else {
                self.array.freeze(slot);
            }
            segments.push(Segment {
                pairs: Arc::clone(&self.splits[member].train),
                order: self.orders.get(plan.task.seed, at.epoch, plan.train.len())?,
                start: at.epoch_step as usize * plan.batch,
                first_step: at.step,
                learning_rates: (at.step..at.step + steps).map(|step| plan.learning_rate(step)).collect(),
            });
        }
        let mut losses = self.array.train(&segments)?;
        Ok(members.iter().map(|&member| std::mem::take(&mut losses[self.slots.of(member)])).collect())
    }

    fn most_steps(&self) -> u64 {
        MOST_STEPS
    }

    fn validate(&mut self, members: &[usize], courses: &[Course<'_>]) -> Result<Vec<Quality>, CudaError> {
        let losses = self.losses(|splits| &splits.valid)?;
        let quality = |&member: &usize| Quality::Loss {
            val_loss: losses[self.slots.of(member)],
            learning_rate: self.plans[member].learning_rate(courses[member].at.step - 1),
        };
        Ok(members.iter().map(quality).collect())
    }

    fn keep_best(&mut self, members: &[usize]) -> Result<(), CudaError> {
        members.iter().try_for_each(|&member| self.array.keep_best(self.slots.of(member)))
    }

    fn saved(&mut self, member: usize) -> Result<Saved<'static>, CudaError> {
        let State { p, m, v, best } = self.array.state(self.slots.of(member))?;
        Ok(Saved::owned([p, m, v, best]))
    }

    fn finish(&mut self, members: &[usize], courses: &[Course<'_>]) -> Result<Vec<Result<Outcome>>, CudaError> {
        // They leave after this, so that what they were is not needed any more.
        for &member in members {
            self.array.use_best(self.slots.of(member))?;
        }
        let losses = if members.iter().all(|&member| self.splits[member].test.is_empty()) {
            Vec::new()
        } else {
            self.losses(|splits| &splits.test)?
        };
        let mut outcomes = Vec::new();
        for &member in members {
            let slot = self.slots.of(member);
            let test_loss = (!self.splits[member].test.is_empty()).then(|| losses[slot]);
            let best = self.array.state(slot)?.best;
            outcomes.push(self.plans[member].finish(&courses[member], &best, test_loss));
        }
        Ok(outcomes)
    }

    fn leave(&mut self, members: &[usize]) -> Result<(), CudaError> {
        self.slots.leave(members, |slot| self.array.remove(slot))
    }
}

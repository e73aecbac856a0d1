//! What members read, resident on the card: embeddings, which of them are pairs, and in which order those are taken.

use std::{collections::HashMap, sync::Arc};

use half::bf16;

use super::{
    buffer::Buffer,
    error::Result,
    stream::{Kind, Stream},
    values::Values,
};
use crate::random::{Key, Purpose};

/// Embeddings, [rows, width], each row filled up with zeros to a multiple of 8 elements.
#[derive(Debug)]
pub struct Table {
    pub(super) values: Values,
    rows: usize,
    width: usize,
}

/// Elements to which rows are filled up.
const ROW: usize = 8;
/// Rows that are sent at once.
const SENT: usize = 4096;

impl Table {
    /// Sends `rows` embeddings to the card, row by row; `row` appends one to a vector. A table of bf16 takes half the memory.
    ///
    /// # Errors
    /// [`super::CudaError::OutOfMemory`], or when the device fails.
    ///
    /// # Panics
    /// When a row has another length than `width`.
    pub fn upload(
        stream: &Arc<dyn Stream>,
        kind: Kind,
        rows: usize,
        width: usize,
        mut row: impl FnMut(usize, &mut Vec<f32>),
    ) -> Result<Self> {
        let wide = width.next_multiple_of(ROW);
        let mut values = Values::undefined(stream, kind, rows * wide)?;
        let (mut filled, mut narrow) = (Vec::new(), Vec::new());
        for start in (0..rows).step_by(SENT) {
            filled.clear();
            for (i, number) in (start..rows.min(start + SENT)).enumerate() {
                row(number, &mut filled);
                assert_eq!(filled.len(), i * wide + width, "an embedding of another width than {width}");
                filled.resize((i + 1) * wide, 0.0);
            }
            match &mut values {
                Values::F32(buffer) => buffer.upload(start * wide, &filled)?,
                Values::Bf16(buffer) => {
                    narrow.clear();
                    narrow.extend(filled.iter().map(|&value| bf16::from_f32(value)));
                    buffer.upload(start * wide, &narrow)?;
                }
            }
        }
        Ok(Self { values, rows, width })
    }

    /// Sends [rows, width] values, row-major.
    ///
    /// # Errors
    /// As [`Self::upload`].
    ///
    /// # Panics
    /// When `values` are no whole rows.
    pub fn from_rows(stream: &Arc<dyn Stream>, kind: Kind, width: usize, values: &[f32]) -> Result<Self> {
        assert!(values.len().is_multiple_of(width), "{} elements are no rows of {width}", values.len());
        let row = |row: usize, out: &mut Vec<f32>| out.extend_from_slice(&values[row * width..(row + 1) * width]);
        Self::upload(stream, kind, values.len() / width, width, row)
    }

    /// Number of embeddings.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Bytes on the card of a table of that size.
    pub fn bytes(kind: Kind, rows: usize, width: usize) -> usize {
        rows * width.next_multiple_of(ROW) * kind.bytes()
    }

    /// Elements from row to row.
    pub(super) fn row(&self) -> usize {
        self.width.next_multiple_of(ROW)
    }
}

/// Images and reports that belong together: of each pair the row of its image's embedding and of its report's.
#[derive(Debug)]
pub struct Pairs {
    pub(super) images: Buffer<u32>,
    pub(super) texts: Buffer<u32>,
    /// One more than the highest row.
    pub(super) rows: (usize, usize),
}

impl Pairs {
    /// Sends pairs of (image row, text row).
    ///
    /// # Errors
    /// [`super::CudaError::OutOfMemory`], or when the device fails.
    pub fn upload(stream: &Arc<dyn Stream>, pairs: &[(u32, u32)]) -> Result<Self> {
        let images: Vec<u32> = pairs.iter().map(|pair| pair.0).collect();
        let texts: Vec<u32> = pairs.iter().map(|pair| pair.1).collect();
        let rows = |rows: &[u32]| rows.iter().max().map_or(0, |&row| row as usize + 1);
        let rows = (rows(&images), rows(&texts));
        Ok(Self { images: Buffer::from_slice(stream, &images)?, texts: Buffer::from_slice(stream, &texts)?, rows })
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }
}

/// The order in which a member takes its pairs in one epoch: each number below `len` once.
#[derive(Debug)]
pub struct Order(pub(super) Buffer<u32>);

/// Orders on the card. Members of equal seed share theirs.
#[derive(Debug)]
pub struct Orders {
    stream: Arc<dyn Stream>,
    /// By (seed, epoch, pairs).
    orders: HashMap<(u64, u32, usize), Arc<Order>>,
}

impl Orders {
    /// None yet.
    pub fn new(stream: &Arc<dyn Stream>) -> Self {
        Self { stream: Arc::clone(stream), orders: HashMap::new() }
    }

    /// The order of `pairs` pairs in epoch `epoch` of a trial with that seed: the CPU's.
    ///
    /// # Errors
    /// [`super::CudaError::OutOfMemory`], or when the device fails.
    pub fn get(&mut self, seed: u64, epoch: u32, pairs: usize) -> Result<Arc<Order>> {
        if let Some(order) = self.orders.get(&(seed, epoch, pairs)) {
            return Ok(Arc::clone(order));
        }
        // Those that nobody uses any more make room.
        self.orders.retain(|_, order| Arc::strong_count(order) > 1);
        let order = Key::new(seed, Purpose::Order, u64::from(epoch)).permutation(pairs);
        let order = Arc::new(Order(Buffer::from_slice(&self.stream, &order)?));
        self.orders.insert((seed, epoch, pairs), Arc::clone(&order));
        Ok(order)
    }
}

//! Where the tensors of a member lie on a card.
//!
//! Members lie one after another, `stride` elements apart. First comes what is trained, then queries and keys: with one token
//! a sample they get no gradient (paper, section 2.1) and only decay, so they need neither moments nor a gradient. Every tensor
//! starts at a multiple of 8 elements. Members of different widths share an array: rows of a projection are filled up with
//! zeros, and as what they meet is zero too, they stay zero.

use std::ops::Range;

use super::error::{CudaError, Result};
use crate::model::Dims;

/// Elements to which tensors are aligned: 16 bytes of bf16, as tensor cores want them.
const ALIGNED: usize = 8;
/// Elements to which members are aligned.
const MEMBER: usize = 64;
/// Most threads of a block, each with 4 columns.
const MOST_COLUMNS: usize = 4 * 1024;
/// Elements of masks of heads that a block keeps (`HEAD_MASKS` in `layer.cuh`).
const MOST_HEADS: usize = 2048;

/// Where the tensors of a member lie, in elements from its first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    /// Sizes of the array; embeddings are as wide as the widest member's, rounded up.
    pub dims: Dims,
    /// From member to member.
    pub stride: usize,
    /// What is trained; queries and keys come after it.
    pub trained: usize,
    /// [width, image width].
    pub image_projection: usize,
    /// [width, text width].
    pub text_projection: usize,
    pub layers: Vec<LayerPlaces>,
    pub logit_scale: usize,
}

/// Where a layer's tensors lie.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LayerPlaces {
    pub value_weight: usize,
    pub value_bias: usize,
    pub out_weight: usize,
    pub out_bias: usize,
    pub first_weight: usize,
    pub first_bias: usize,
    pub second_weight: usize,
    pub second_bias: usize,
    pub norm1_weight: usize,
    pub norm1_bias: usize,
    pub norm2_weight: usize,
    pub norm2_bias: usize,
    /// [2 width, width]: queries, then keys.
    idle_weight: usize,
    idle_bias: usize,
}

/// Rows of a tensor, here and in the CPU's flat buffer.
struct Piece {
    /// In the CPU's buffer.
    cpu: Range<usize>,
    /// Elements of a row there.
    columns: usize,
    /// The first element here.
    place: usize,
    /// Elements from row to row here.
    row: usize,
}

impl Layout {
    /// For members of the given sizes, which differ in the widths of embeddings alone.
    pub fn new(members: &[Dims]) -> Result<Self> {
        let first = members.first().ok_or_else(|| CudaError::Sizes("an array needs a member".to_owned()))?;
        let widest =
            |width: fn(&Dims) -> usize| members.iter().map(width).max().unwrap_or_default().next_multiple_of(ALIGNED);
        let dims =
            Dims { image_width: widest(|dims| dims.image_width), text_width: widest(|dims| dims.text_width), ..*first };
        let same = |other: &Dims| Dims { image_width: dims.image_width, text_width: dims.text_width, ..*other } == dims;
        if !members.iter().all(same) {
            return Err(CudaError::Sizes(
                "members of an array differ in more than the widths of embeddings".to_owned(),
            ));
        }
        let Dims { image_width, text_width, width, heads, hidden, .. } = dims;
        if !width.is_multiple_of(4) || !hidden.is_multiple_of(4) {
            return Err(CudaError::Sizes(format!("on a card widths are multiples of 4, not {width} and {hidden}")));
        }
        if width.max(image_width).max(text_width) > MOST_COLUMNS || heads > MOST_HEADS {
            return Err(CudaError::Sizes(format!(
                "on a card embeddings and tokens have at most {MOST_COLUMNS} elements, and {MOST_HEADS} heads"
            )));
        }
        let mut end = 0;
        let mut push = |elements: usize| {
            let place = end;
            end = (place + elements).next_multiple_of(ALIGNED);
            place
        };
        let image_projection = push(width * image_width);
        let text_projection = push(width * text_width);
        let mut layers: Vec<LayerPlaces> = (0..dims.layers)
            .map(|_| LayerPlaces {
                value_weight: push(width * width),
                value_bias: push(width),
                out_weight: push(width * width),
                out_bias: push(width),
                first_weight: push(hidden * width),
                first_bias: push(hidden),
                second_weight: push(width * hidden),
                second_bias: push(width),
                norm1_weight: push(width),
                norm1_bias: push(width),
                norm2_weight: push(width),
                norm2_bias: push(width),
                idle_weight: 0,
                idle_bias: 0,
            })
            .collect();
        let logit_scale = push(1);
        let trained = end.next_multiple_of(MEMBER);
        end = trained;
        let mut push = |elements: usize| {
            let place = end;
            end = (place + elements).next_multiple_of(ALIGNED);
            place
        };
        for layer in &mut layers {
            layer.idle_weight = push(2 * width * width);
            layer.idle_bias = push(2 * width);
        }
        let stride = end.next_multiple_of(MEMBER);
        Ok(Self { dims, stride, trained, image_projection, text_projection, layers, logit_scale })
    }

    fn pieces(&self, member: Dims) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut add = |cpu: Range<usize>, columns: usize, place: usize, row: usize| {
            pieces.push(Piece { cpu, columns, place, row });
        };
        for slot in member.layout() {
            let range = slot.range;
            // A vector is one row.
            let columns = if slot.shape.len() == 2 { slot.shape[1] } else { range.len() };
            let (layer, name) = match slot.name.strip_prefix("layers.").and_then(|name| name.split_once('.')) {
                Some((layer, name)) => (layer.parse::<usize>().ok().and_then(|layer| self.layers.get(layer)), name),
                None => (None, slot.name.as_str()),
            };
            let Some(layer) = layer else {
                match name {
                    "image_projection.weight" => add(range, columns, self.image_projection, self.dims.image_width),
                    "text_projection.weight" => add(range, columns, self.text_projection, self.dims.text_width),
                    "logit_scale" => add(range, 1, self.logit_scale, 1),
                    other => unreachable!("an Adaptor has no `{other}`"),
                }
                continue;
            };
            let place = match name {
                "self_attn.in_proj_weight" | "self_attn.in_proj_bias" => {
                    // Queries and keys, then values.
                    let values = range.start + range.len() / 3 * 2;
                    let (idle, value) = if name.ends_with("weight") {
                        (layer.idle_weight, layer.value_weight)
                    } else {
                        (layer.idle_bias, layer.value_bias)
                    };
                    for (part, place) in [(range.start..values, idle), (values..range.end, value)] {
                        let columns = if slot.shape.len() == 2 { columns } else { part.len() };
                        add(part, columns, place, columns);
                    }
                    continue;
                }
                "self_attn.out_proj.weight" => layer.out_weight,
                "self_attn.out_proj.bias" => layer.out_bias,
                "linear1.weight" => layer.first_weight,
                "linear1.bias" => layer.first_bias,
                "linear2.weight" => layer.second_weight,
                "linear2.bias" => layer.second_bias,
                "norm1.weight" => layer.norm1_weight,
                "norm1.bias" => layer.norm1_bias,
                "norm2.weight" => layer.norm2_weight,
                "norm2.bias" => layer.norm2_bias,
                other => unreachable!("a layer has no `{other}`"),
            };
            add(range, columns, place, columns);
        }
        pieces
    }

    /// From the CPU's order to this one: parameters ([`Self::stride`]), or what only trained ones have ([`Self::trained`]).
    pub fn pack(&self, member: Dims, cpu: &[f32], len: usize) -> Vec<f32> {
        let mut packed = vec![0.0; len];
        for piece in self.pieces(member).into_iter().filter(|piece| piece.place < len) {
            for (i, from) in cpu[piece.cpu].chunks_exact(piece.columns).enumerate() {
                let start = piece.place + i * piece.row;
                packed[start..start + piece.columns].copy_from_slice(from);
            }
        }
        packed
    }

    /// The inverse of [`Self::pack`]; what is not there is 0.
    pub fn unpack(&self, member: Dims, packed: &[f32]) -> Vec<f32> {
        let mut cpu = vec![0.0; member.parameters()];
        for piece in self.pieces(member).into_iter().filter(|piece| piece.place < packed.len()) {
            for (i, to) in cpu[piece.cpu].chunks_exact_mut(piece.columns).enumerate() {
                let start = piece.place + i * piece.row;
                to.copy_from_slice(&packed[start..start + piece.columns]);
            }
        }
        cpu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: Dims = Dims { image_width: 6, text_width: 5, width: 8, heads: 2, hidden: 12, layers: 2 };

    #[test]
    fn packing_keeps_every_element_once() {
        let narrow = Dims { image_width: 3, ..DIMS };
        let layout = Layout::new(&[DIMS, narrow]).unwrap();
        assert_eq!((layout.dims.image_width, layout.dims.text_width), (8, 8));
        for dims in [DIMS, narrow] {
            let p: Vec<f32> = (1..=dims.parameters()).map(|i| i as f32).collect();
            let packed = layout.pack(dims, &p, layout.stride);
            assert_eq!(packed.iter().sum::<f32>(), p.iter().sum::<f32>());
            assert_eq!(layout.unpack(dims, &packed), p);
            // Moments: queries and keys have none.
            let moments = layout.pack(dims, &p, layout.trained);
            assert_eq!(moments[..], packed[..layout.trained]);
            let idle = 2 * 2 * (8 * 8 + 8);
            assert_eq!(layout.unpack(dims, &moments).iter().filter(|&&x| x == 0.0).count(), idle);
        }
    }

    #[test]
    fn sizes_that_kernels_cannot_take_are_refused() {
        for members in [
            vec![],
            vec![DIMS, Dims { hidden: 16, ..DIMS }],
            vec![Dims { hidden: 13, ..DIMS }],
            vec![Dims { image_width: 5000, ..DIMS }],
        ] {
            assert!(matches!(Layout::new(&members), Err(CudaError::Sizes(_))), "{members:?}");
        }
    }

    #[test]
    fn the_papers_members_are_aligned() {
        let wide = crate::model::AdaptorShape { image_width: 768, text_width: 768 };
        let layout = Layout::new(&[wide.into()]).unwrap();
        // 2 layers of queries and keys are a fifth of the parameters.
        assert_eq!(layout.trained, (wide.parameters() - 4 * (768 * 768 + 768)).next_multiple_of(64));
        assert!(layout.stride.is_multiple_of(64) && layout.stride - wide.parameters() < 256);
    }
}

//! PyTorch's default initial distributions, drawn from the program's own generator.

use super::shape::{Dims, Places, Slot};
use crate::random::{Key, Purpose};

/// The initial `logit_scale`: a temperature of about 0.07 (paper, section 2.2).
const LOGIT_SCALE: f32 = 2.6592;

pub(super) fn adaptor(dims: Dims, seed: u64) -> Vec<f32> {
    let places = Places::new(dims);
    let mut p = vec![0.0; dims.parameters()];
    for (index, slot) in places.slots.iter().enumerate() {
        let values = &mut p[slot.range.clone()];
        let name = slot.name.as_str();
        if name == "logit_scale" {
            values.fill(LOGIT_SCALE);
        } else if name.ends_with("in_proj_weight") {
            // Xavier over the three projections taken as one matrix, as `nn.MultiheadAttention` does.
            uniform(values, seed, index, (6.0 / (slot.shape[0] + slot.shape[1]) as f64).sqrt());
        } else if name.contains("norm") {
            values.fill(if name.ends_with("weight") { 1.0 } else { 0.0 });
        } else if !name.contains("self_attn") || name.ends_with("weight") {
            linear(&places.slots, index, values, seed);
        }
        // What is left are the attention's biases: zero.
    }
    p
}

/// `nn.Linear`: weight and bias uniform in +-1/sqrt(inputs). A bias follows its weight in the layout.
pub(super) fn linear(slots: &[Slot], index: usize, values: &mut [f32], seed: u64) {
    let shape = &slots[index].shape;
    let inputs = if shape.len() == 2 { shape[1] } else { slots[index - 1].shape[1] };
    uniform(values, seed, index, 1.0 / (inputs as f64).sqrt());
}

fn uniform(values: &mut [f32], seed: u64, index: usize, bound: f64) {
    Key::new(seed, Purpose::Init, 0).stream(index as u32).fill_uniform(values, -bound as f32, bound as f32);
}

#[cfg(test)]
mod tests {
    use crate::model::AdaptorShape;

    #[test]
    fn distributions_are_pytorchs() {
        let shape = AdaptorShape { image_width: 384, text_width: 768 };
        let p = shape.init(1);
        for slot in shape.layout() {
            let values = &p[slot.range.clone()];
            let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(low, high), &x| (low.min(x), high.max(x)));
            let expected = match slot.name.rsplit_once('.').map_or(slot.name.as_str(), |(_, last)| last) {
                "logit_scale" => (2.6592, 2.6592),
                "in_proj_weight" => (-(6.0_f32 / 3072.0).sqrt(), (6.0_f32 / 3072.0).sqrt()),
                "in_proj_bias" => (0.0, 0.0),
                _ if slot.name.ends_with("out_proj.bias") => (0.0, 0.0),
                "weight" if slot.name.contains("norm") => (1.0, 1.0),
                "bias" if slot.name.contains("norm") => (0.0, 0.0),
                "bias" if slot.name.contains("linear2") => (-(1.0_f32 / 2048.0).sqrt(), (1.0_f32 / 2048.0).sqrt()),
                "bias" => (-(1.0_f32 / 768.0).sqrt(), (1.0_f32 / 768.0).sqrt()),
                _ => {
                    let bound = (1.0 / slot.shape[1] as f32).sqrt();
                    (-bound, bound)
                }
            };
            assert!(low >= expected.0 && high <= expected.1, "{}: {low} {high}, not {expected:?}", slot.name);
            assert!(high - low >= 0.98 * (expected.1 - expected.0), "{}: {low} {high}", slot.name);
        }
        assert_eq!(p, shape.init(1));
        assert_ne!(p, shape.init(2));
    }
}

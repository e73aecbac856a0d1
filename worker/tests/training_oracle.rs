//! The hand-written gradients against candle's autograd, in f64, with nothing but plain tensor operations.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var, backprop::GradStore};
use permafrost_worker::{
    model::{AdaptorStep, Dims, Dropout, HeadShape, HeadStep, RunningStats, Slot, Targets},
    random::{Key, Purpose},
};

const TOLERANCE: f64 = 1e-4;

fn uniform(stream: u32, n: usize, low: f32, high: f32) -> Vec<f32> {
    let mut values = vec![0.0; n];
    Key::new(77, Purpose::Init, 9).stream(stream).fill_uniform(&mut values, low, high);
    values
}

fn tensor(values: &[f32], shape: &[usize]) -> Result<Tensor> {
    let values: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// A dropout mask with its factor, from the documented layout of the sequences.
fn mask(dropout: Option<Dropout>, stream: u32, rows: usize, columns: usize) -> Result<Tensor> {
    let Some(Dropout { p, seed, step }) = dropout else {
        return Tensor::ones((rows, columns), DType::F64, &Device::Cpu);
    };
    let mut bits = vec![0; rows * columns];
    Key::new(seed, Purpose::Dropout, step).stream(stream).bits(&mut bits);
    let keep = |bits: &u32| if f64::from(*bits) < (p * 2_f64.powi(32)).round() { 0.0 } else { 1.0 / (1.0 - p) };
    Tensor::from_vec(bits.iter().map(keep).collect::<Vec<f64>>(), (rows, columns), &Device::Cpu)
}

/// Variables by PyTorch's names.
struct Model(BTreeMap<String, Var>);

impl Model {
    fn new(layout: &[Slot], p: &[f32]) -> Result<Self> {
        let var =
            |slot: &Slot| Ok((slot.name.clone(), Var::from_tensor(&tensor(&p[slot.range.clone()], &slot.shape)?)?));
        Ok(Self(layout.iter().map(var).collect::<Result<_>>()?))
    }

    fn get(&self, name: &str) -> &Tensor {
        self.0[name].as_tensor()
    }

    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let y = x.matmul(&self.get(&format!("{name}.weight")).t()?)?;
        match self.0.get(&format!("{name}.bias")) {
            Some(bias) => y.broadcast_add(bias.as_tensor()),
            None => Ok(y),
        }
    }

    fn norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let x = x.broadcast_sub(&x.mean_keepdim(1)?)?;
        let x = x.broadcast_div(&(x.sqr()?.mean_keepdim(1)? + 1e-5)?.sqrt()?)?;
        x.broadcast_mul(self.get(&format!("{name}.weight")))?.broadcast_add(self.get(&format!("{name}.bias")))
    }

    /// Real attention with one key: queries and keys are computed.
    fn attention(&self, own: &Tensor, query: &Tensor, name: &str, dims: Dims, mask: &Tensor) -> Result<Tensor> {
        let (batch, width) = own.dims2()?;
        let (weight, bias) = (self.get(&format!("{name}.in_proj_weight")), self.get(&format!("{name}.in_proj_bias")));
        let third = |x: &Tensor, i: usize| {
            x.matmul(&weight.narrow(0, i * width, width)?.t()?)?
                .broadcast_add(&bias.narrow(0, i * width, width)?)?
                .reshape((batch, dims.heads, width / dims.heads))
        };
        let (q, k, v) = (third(query, 0)?, third(own, 1)?, third(own, 2)?);
        let scores = ((q * k)?.sum_keepdim(2)? / ((width / dims.heads) as f64).sqrt())?.exp()?;
        let probabilities = (scores.broadcast_div(&scores)? * mask.reshape((batch, dims.heads, 1))?)?;
        let mixed = v.broadcast_mul(&probabilities)?.reshape((batch, width))?;
        self.linear(&mixed, &format!("{name}.out_proj"))
    }

    fn layer(
        &self,
        own: &Tensor,
        query: &Tensor,
        layer: usize,
        modality: usize,
        dims: Dims,
        dropout: Option<Dropout>,
    ) -> Result<Tensor> {
        let site = |site: usize, columns: usize| {
            mask(dropout, ((4 * layer + site) * 2 + modality) as u32, own.dim(0)?, columns)
        };
        let name = |part: &str| format!("layers.{layer}.{part}");
        let attended = self.attention(own, query, &name("self_attn"), dims, &site(0, dims.heads)?)?;
        let middle = self.norm(&(own + (attended * site(1, dims.width)?)?)?, &name("norm1"))?;
        let hidden = (self.linear(&middle, &name("linear1"))?.relu()? * site(2, dims.hidden)?)?;
        let branch = (self.linear(&hidden, &name("linear2"))? * site(3, dims.width)?)?;
        self.norm(&(middle + branch)?, &name("norm2"))
    }
}

fn unit(x: &Tensor) -> Result<Tensor> {
    x.broadcast_div(&x.sqr()?.sum_keepdim(1)?.sqrt()?)
}

/// Mean cross entropy of rows against `targets`, which is one-hot.
fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let sums = logits.exp()?.sum(1)?.log()?;
    (sums - (logits * targets)?.sum(1)?)?.mean_all()
}

fn adaptor_loss(
    model: &Model,
    dims: Dims,
    images: &Tensor,
    texts: &Tensor,
    i2t: f64,
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    let mut x = unit(&model.linear(images, "image_projection")?)?;
    let mut t = unit(&model.linear(texts, "text_projection")?)?;
    for layer in 0..dims.layers {
        x = model.layer(&x, &t, layer, 0, dims, dropout)?;
        t = model.layer(&t, &x, layer, 1, dims, dropout)?;
    }
    let logits = unit(&x)?.matmul(&unit(&t)?.t()?)?.broadcast_mul(&model.get("logit_scale").exp()?)?;
    let pairs = Tensor::eye(images.dim(0)?, DType::F64, &Device::Cpu)?;
    (cross_entropy(&logits, &pairs)? * i2t)? + (cross_entropy(&logits.t()?, &pairs)? * (1.0 - i2t))?
}

/// Compares every gradient. Rows of queries and keys must have none, all else must have one.
fn compare(model: &Model, gradients: &GradStore, layout: &[Slot], g: &[f32]) -> Result<()> {
    for slot in layout {
        let found = &g[slot.range.clone()];
        let expected = gradients.get(&model.0[&slot.name]).unwrap_or_else(|| panic!("{} has no gradient", slot.name));
        let expected = expected.flatten_all()?.to_vec1::<f64>()?;
        let idle = if slot.name.contains("in_proj") { 2 * found.len() / 3 } else { 0 };
        assert!(found[..idle].iter().all(|&x| x == 0.0), "{}: queries and keys move", slot.name);
        assert!(expected[..idle].iter().all(|x| x.abs() < 1e-12), "{}: they should move", slot.name);
        let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
        assert!(found[idle..].iter().any(|&x| x != 0.0), "{} stands still", slot.name);
        for (i, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
            let error = (f64::from(found) - expected).abs();
            assert!(error <= TOLERANCE * largest, "{}[{i}]: {found}, not {expected}", slot.name);
        }
    }
    Ok(())
}

fn check_adaptor(dims: Dims, batch: usize, i2t: f64, dropout: Option<Dropout>) -> Result<()> {
    let layout = dims.layout();
    let mut p = dims.init(3);
    // Biases and norms start at 0 and 1, which would hide mistakes.
    for (value, noise) in p.iter_mut().zip(uniform(1, dims.parameters(), -0.2, 0.2)) {
        *value += noise;
    }
    let images = uniform(2, batch * dims.image_width, -1.0, 1.5);
    let texts = uniform(3, batch * dims.text_width, -1.5, 1.0);
    let mut g = vec![f32::NAN; p.len()];
    let loss = AdaptorStep::new(dims, batch).forward_backward(&p, &mut g, &images, &texts, batch, dropout, i2t, 1);
    let model = Model::new(&layout, &p)?;
    let (images, texts) = (tensor(&images, &[batch, dims.image_width])?, tensor(&texts, &[batch, dims.text_width])?);
    let expected = adaptor_loss(&model, dims, &images, &texts, i2t, dropout)?;
    let value = expected.to_scalar::<f64>()?;
    assert!((f64::from(loss) - value).abs() < 1e-5 * value, "{loss}, not {value}");
    compare(&model, &expected.backward()?, &layout, &g)
}

#[test]
fn the_adaptors_gradients_are_candles() {
    let dims = Dims { image_width: 9, text_width: 7, width: 12, heads: 2, hidden: 10, layers: 2 };
    let dropout = Some(Dropout { p: 0.3, seed: 4, step: 1 << 33 });
    check_adaptor(dims, 5, 0.75, None).unwrap();
    check_adaptor(dims, 5, 0.25, dropout).unwrap();
    // More rows than a block, rows that straddle blocks, another number of layers.
    check_adaptor(Dims { layers: 1, ..dims }, 150, 1.0, dropout).unwrap();
    check_adaptor(Dims { layers: 3, width: 20, heads: 5, hidden: 33, ..dims }, 67, 0.0, dropout).unwrap();
}

fn head_loss(model: &Model, x: &Tensor, labels: &[u32], classes: usize, dropout: Option<Dropout>) -> Result<Tensor> {
    let (batch, width) = x.dims2()?;
    let hidden = model.linear(&(x * mask(dropout, 0, batch, width)?)?, "hidden")?;
    let centred = hidden.broadcast_sub(&hidden.mean_keepdim(0)?)?;
    let normal = centred.broadcast_div(&(centred.sqr()?.mean_keepdim(0)? + 1e-5)?.sqrt()?)?;
    let normal = normal.broadcast_mul(model.get("norm.weight"))?.broadcast_add(model.get("norm.bias"))?;
    let active = (normal.relu()? * mask(dropout, 1, batch, normal.dim(1)?)?)?;
    let logits = model.linear(&active, "output")?;
    if classes == 1 {
        let labels = tensor(&labels.iter().map(|&label| label as f32).collect::<Vec<_>>(), &[batch, 1])?;
        // ln(1 + exp(z)) - z y
        return ((logits.exp()? + 1.0)?.log()? - (logits * labels)?)?.mean_all();
    }
    let one_hot: Vec<f32> =
        labels.iter().flat_map(|&label| (0..classes as u32).map(move |c| f32::from(u8::from(c == label)))).collect();
    cross_entropy(&logits, &tensor(&one_hot, &[batch, classes])?)
}

fn check_head(shape: HeadShape, batch: usize, dropout: Option<Dropout>) -> Result<()> {
    let mut p = shape.init(3);
    for (value, noise) in p.iter_mut().zip(uniform(4, shape.parameters(), -0.2, 0.2)) {
        *value += noise;
    }
    let x = uniform(5, batch * shape.width, -1.0, 1.0);
    let kinds = shape.classes.max(2) as u32;
    let labels: Vec<u32> = Key::new(1, Purpose::Sample, 0).permutation(batch).iter().map(|i| i % kinds).collect();
    let binary: Vec<f32> = labels.iter().map(|&label| label as f32).collect();
    let targets = if shape.classes == 1 { Targets::Binary(&binary) } else { Targets::Classes(&labels) };
    let mut g = vec![f32::NAN; p.len()];
    let mut stats = RunningStats::new(shape.hidden);
    let loss = HeadStep::new(shape, batch).forward_backward(&p, &mut g, &mut stats, &x, targets, batch, dropout);
    let model = Model::new(&shape.layout(), &p)?;
    let expected = head_loss(&model, &tensor(&x, &[batch, shape.width])?, &labels, shape.classes, dropout)?;
    let value = expected.to_scalar::<f64>()?;
    assert!((f64::from(loss) - value).abs() < 1e-5 * value, "{loss}, not {value}");
    compare(&model, &expected.backward()?, &shape.layout(), &g)
}

#[test]
fn the_heads_gradients_are_candles() {
    let dropout = Some(Dropout { p: 0.2, seed: 8, step: 2 });
    for classes in [1, 2, 3] {
        check_head(HeadShape { width: 13, hidden: 11, classes }, 9, None).unwrap();
        check_head(HeadShape { width: 20, hidden: 40, classes }, 70, dropout).unwrap();
    }
}

// Arrays of classification heads: dropout, linear without bias, batch normalisation, ReLU, dropout, linear (paper, section 2.3).
// The linear layers are matrix products; the rest is here. Every kernel leaves a member that is not active as it is.
#include "dropout.cuh"

// As PyTorch's nn.BatchNorm1d.
#define EPS 1e-5f
#define MOMENTUM 0.1f

// A block of the norm's kernels works on COLUMNS columns of one member: LANES rows at once, a thread on 4 neighbours.
#define COLUMNS 32
#define LANES 32

// The purpose of the random numbers, as in random.rs.
#define DROPOUT 3

// Dropout's factors, 0 or `scale`, of the four elements from `at`, a multiple of 4, on: those of model/dropout.rs. Where `dropped` is 0,
// all are kept.
DEVICE Quad keep(u64 seed, u64 step, u32 stream, u32 at, u32 dropped, float scale) {
  Quad factors;
  u32 counter[4] = {at / 4, DROPOUT + 256 * stream, (u32)step, (u32)(step >> 32)};
  if (dropped) philox(counter, (u32)seed, (u32)(seed >> 32));
  for (u32 i = 0; i < 4; i++) factors.v[i] = dropped && counter[i] < dropped ? 0 : scale;
  return factors;
}

// `x` [members, most, width] = dropout(features) of the rows that `list` names. Members of one list (`list` [members]) read the
// same samples, each from its own table, which starts at row `table` [members] of `features` [rows, width].
// `lists` is [lists, length]; the batch begins at `first` of it. `seeds` and `steps` [members] are of the dropout; where
// `dropped` is 0, nothing is dropped. Threads: 4 elements each, x: over a member's batch, y: members.
KERNEL(head_gather, float* x, const float* features, const u32* lists, const u32* list, const u32* table, const u32* active,
       const u64* seeds, const u64* steps, u32 most, u32 width, u32 length, u32 first, u32 rows, u32 step, u32 dropped,
       float scale) {
  u32 member = blockIdx.y, at = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
  if (!active[member] || at >= rows * width) return;
  const u32* samples = lists + (u64)list[member] * length + first;
  x += (u64)member * most * width + at;
  features += (u64)table[member] * width;
  Quad factors = keep(seeds[member], steps[member] + step, 0, at, dropped, scale);
  if (width % 4 == 0) {
    Quad values = load(features + (u64)samples[at / width] * width + at % width);
    for (u32 i = 0; i < 4; i++) values.v[i] *= factors.v[i];
    store(x, values);
    return;
  }
  for (u32 i = 0; i < 4 && at + i < rows * width; i++) {
    x[i] = features[(u64)samples[(at + i) / width] * width + (at + i) % width] * factors.v[i];
  }
}

// The sum of `part` over the block's rows for each of its columns, in a fixed order; every thread gets those of its own.
DEVICE Quad column_sums(const Quad& part, float (*shared)[COLUMNS + 1]) {
  __syncthreads();
  for (u32 i = 0; i < 4; i++) shared[threadIdx.y][4 * threadIdx.x + i] = part.v[i];
  __syncthreads();
  if (threadIdx.y == 0) {
    for (u32 i = 0; i < 4; i++) {
      float sum = 0;
      for (u32 lane = 0; lane < LANES; lane++) sum += shared[lane][4 * threadIdx.x + i];
      shared[LANES][4 * threadIdx.x + i] = sum;
    }
  }
  __syncthreads();
  Quad sums;
  for (u32 i = 0; i < 4; i++) sums.v[i] = shared[LANES][4 * threadIdx.x + i];
  return sums;
}

// Batch normalisation with the batch's own statistics, ReLU and dropout. `h` [members, most, hidden] becomes the normalised
// values, `relu` of the same size the result; `inverse` [members, hidden] one over the standard deviation. `running`
// [members, 2, hidden], means and variances, move towards the batch's. `weight` and `offset` are the first member's, `stride`
// apart. Block: (COLUMNS / 4, LANES), grid: (hidden / COLUMNS, members).
KERNEL(head_norm, float* h, float* relu, float* inverse, float* running, const float* weight, const float* offset, u32 stride,
       const u32* active, const u64* seeds, const u64* steps, u32 most, u32 hidden, u32 rows, u32 step, u32 dropped,
       float scale) {
  __shared__ float shared[LANES + 1][COLUMNS + 1];
  u32 member = blockIdx.y, column = COLUMNS * blockIdx.x + 4 * threadIdx.x;
  if (!active[member]) return;
  h += (u64)member * most * hidden + column;
  relu += (u64)member * most * hidden + column;
  Quad part = {{0, 0, 0, 0}};
  for (u32 row = threadIdx.y; row < rows; row += LANES) {
    Quad value = load(h + (u64)row * hidden);
    for (u32 i = 0; i < 4; i++) part.v[i] += value.v[i];
  }
  Quad mean = column_sums(part, shared);
  for (u32 i = 0; i < 4; i++) {
    mean.v[i] /= (float)rows;
    part.v[i] = 0;
  }
  for (u32 row = threadIdx.y; row < rows; row += LANES) {
    Quad value = load(h + (u64)row * hidden);
    for (u32 i = 0; i < 4; i++) part.v[i] += (value.v[i] - mean.v[i]) * (value.v[i] - mean.v[i]);
  }
  Quad squares = column_sums(part, shared);
  Quad factor, gain = load(weight + (u64)member * stride + column), shift = load(offset + (u64)member * stride + column);
  for (u32 i = 0; i < 4; i++) factor.v[i] = 1.0f / sqrtf(squares.v[i] / (float)rows + EPS);
  if (threadIdx.y == 0) {
    float* means = running + (u64)member * 2 * hidden + column;
    Quad old_mean = load(means), old_variance = load(means + hidden);
    for (u32 i = 0; i < 4; i++) {
      old_mean.v[i] += MOMENTUM * (mean.v[i] - old_mean.v[i]);
      old_variance.v[i] += MOMENTUM * (squares.v[i] / ((float)rows - 1.0f) - old_variance.v[i]);
    }
    store(means, old_mean);
    store(means + hidden, old_variance);
    store(inverse + (u64)member * hidden + column, factor);
  }
  for (u32 row = threadIdx.y; row < rows; row += LANES) {
    Quad value = load(h + (u64)row * hidden), out;
    Quad factors = keep(seeds[member], steps[member] + step, 1, row * hidden + column, dropped, scale);
    for (u32 i = 0; i < 4; i++) {
      value.v[i] = (value.v[i] - mean.v[i]) * factor.v[i];
      float normal = value.v[i] * gain.v[i] + shift.v[i];
      // Lets NaN through, so that a diverged step shows in the loss.
      out.v[i] = (normal < 0 ? 0 : normal) * factors.v[i];
    }
    store(h + (u64)row * hidden, value);
    store(relu + (u64)row * hidden, out);
  }
}

// Evaluation: `h` [members, most, hidden] becomes ReLU of its batch normalisation with the running statistics. Threads: 4
// elements each, x: over a member's rows, y: members.
KERNEL(head_evaluate, float* h, const float* running, const float* weight, const float* offset, u32 stride, u32 most,
       u32 hidden, u32 rows) {
  u32 member = blockIdx.y, at = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
  if (at >= rows * hidden) return;
  u32 column = at % hidden;
  h += (u64)member * most * hidden + at;
  running += (u64)member * 2 * hidden + column;
  Quad value = load(h), mean = load(running), variance = load(running + hidden);
  Quad gain = load(weight + (u64)member * stride + column), shift = load(offset + (u64)member * stride + column);
  for (u32 i = 0; i < 4; i++) {
    float normal = (value.v[i] - mean.v[i]) * (gain.v[i] / sqrtf(variance.v[i] + EPS)) + shift.v[i];
    value.v[i] = normal < 0 ? 0 : normal;
  }
  store(h, value);
}

// The output's bias, `stride` apart from member to member, into `rows` rows of `outputs` [members, length, classes] from `first` on;
// a product is added to it. Threads: x: over a member's elements, y: members.
KERNEL(head_bias, float* outputs, const float* bias, u32 stride, u32 length, u32 classes, u32 first, u32 rows) {
  u32 member = blockIdx.y, at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= rows * classes) return;
  outputs[((u64)member * length + first) * classes + at] = bias[(u64)member * stride + at % classes];
}

// The sum of `part` over the block, in a fixed order; all threads get it. `shared` has a place for each thread.
DEVICE double sum_of_all(double part, double* shared) {
  __syncthreads();
  shared[threadIdx.x] = part;
  __syncthreads();
  for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  return shared[0];
}

// The mean loss of a batch: of one output the binary cross entropy (`binary`), else the cross entropy. `logits` [members, most,
// classes], without bias, become their gradient; `gradient` (of the first member, `stride` apart) gets that of the bias.
// `classes_of` [lists, length] has the true classes. The loss goes to `losses` [members, steps] at `step`. A member whose loss
// is not finite is active no more, from its update in this step on. Block: 256 threads, grid: (1, members).
KERNEL(head_loss, float* logits, float* gradient, const float* bias, u32 stride, const u32* classes_of, const u32* list,
       u32* active, float* losses, u32 steps, u32 step, u32 most, u32 classes, u32 length, u32 first, u32 rows, u32 binary) {
  __shared__ double shared[256];
  u32 member = blockIdx.y;
  if (!active[member]) return;
  const u32* truth = classes_of + (u64)list[member] * length + first;
  logits += (u64)member * most * classes;
  gradient += (u64)member * stride;
  bias += (u64)member * stride;
  float share = 1.0f / (float)rows;
  double total = 0;
  for (u32 row = threadIdx.x; row < rows; row += blockDim.x) {
    float* outputs = logits + (u64)row * classes;
    u32 label = truth[row];
    if (binary) {
      float z = outputs[0] + bias[0], tail = expf(-fabsf(z));
      total += (z < 0 ? 0 : z) - z * (float)label + log1pf(tail);
      outputs[0] = ((z < 0 ? tail : 1.0f) / (1.0f + tail) - (float)label) * share;
      continue;
    }
    float largest = -INFINITY, sum = 0;
    for (u32 i = 0; i < classes; i++) {
      outputs[i] += bias[i];
      largest = fmaxf(largest, outputs[i]);
    }
    float chosen = outputs[label] - largest;
    for (u32 i = 0; i < classes; i++) {
      outputs[i] = expf(outputs[i] - largest);
      sum += outputs[i];
    }
    total += logf(sum) - chosen;
    for (u32 i = 0; i < classes; i++) outputs[i] *= share / sum;
    outputs[label] -= share;
  }
  float loss = (float)(sum_of_all(total, shared) / rows);
  for (u32 i = 0; i < classes; i++) {
    double part = 0;
    for (u32 row = threadIdx.x; row < rows; row += blockDim.x) part += logits[(u64)row * classes + i];
    double sum = sum_of_all(part, shared);
    if (threadIdx.x == 0) gradient[i] = (float)sum;
  }
  if (threadIdx.x == 0) {
    losses[(u64)member * steps + step] = loss;
    if (!isfinite(loss)) active[member] = 0;
  }
}

// From the logits' gradient [members, most, classes] back through the output layer, dropout, ReLU and batch normalisation.
// `relu` [members, most, hidden] becomes the gradient of the norm's input. `output` is the output's weight [classes, hidden],
// and `norm` the norm's, of the first member; `norm_gradient` and `offset_gradient` are places in its gradient; all `stride` apart.
// Block and grid as head_norm.
KERNEL(head_norm_back, float* relu, const float* normalised, const float* logits, const float* inverse, const float* output,
       const float* norm, float* norm_gradient, float* offset_gradient, u32 stride, const u32* active, u32 most, u32 hidden,
       u32 classes, u32 rows, float scale) {
  __shared__ float shared[LANES + 1][COLUMNS + 1];
  u32 member = blockIdx.y, column = COLUMNS * blockIdx.x + 4 * threadIdx.x;
  if (!active[member]) return;
  relu += (u64)member * most * hidden + column;
  normalised += (u64)member * most * hidden + column;
  logits += (u64)member * most * classes;
  output += (u64)member * stride + column;
  Quad offset = {{0, 0, 0, 0}}, slope = {{0, 0, 0, 0}};
  for (u32 row = threadIdx.y; row < rows; row += LANES) {
    Quad kept = load(relu + (u64)row * hidden), normal = load(normalised + (u64)row * hidden);
    Quad gradient = {{0, 0, 0, 0}};
    for (u32 c = 0; c < classes; c++) {
      float of_logit = logits[(u64)row * classes + c];
      Quad weight = load(output + (u64)c * hidden);
      for (u32 i = 0; i < 4; i++) gradient.v[i] += of_logit * weight.v[i];
    }
    for (u32 i = 0; i < 4; i++) {
      gradient.v[i] = kept.v[i] > 0 ? gradient.v[i] * scale : 0;
      offset.v[i] += gradient.v[i];
      slope.v[i] += gradient.v[i] * normal.v[i];
    }
    store(relu + (u64)row * hidden, gradient);
  }
  offset = column_sums(offset, shared);
  slope = column_sums(slope, shared);
  Quad factor = load(inverse + (u64)member * hidden + column), gain = load(norm + (u64)member * stride + column);
  if (threadIdx.y == 0) {
    store(norm_gradient + (u64)member * stride + column, slope);
    store(offset_gradient + (u64)member * stride + column, offset);
  }
  for (u32 row = threadIdx.y; row < rows; row += LANES) {
    Quad gradient = load(relu + (u64)row * hidden), normal = load(normalised + (u64)row * hidden);
    for (u32 i = 0; i < 4; i++) {
      gradient.v[i] = (gradient.v[i] - (offset.v[i] + normal.v[i] * slope.v[i]) / (float)rows) * factor.v[i] * gain.v[i];
    }
    store(relu + (u64)row * hidden, gradient);
  }
}

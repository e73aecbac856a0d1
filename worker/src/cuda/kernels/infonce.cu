// InfoNCE both ways (paper, Eq. 4) with its gradient (model/infonce.rs).
//
// `cosines` is [members, batch, batch], row: image, column: text. A logit is exp(logit scale) times a cosine; it is never
// stored. The scale of each member is `p` [members, stride] at `scale`.
#include "common.cuh"

// `row_sums` [members, batch]: logarithm of the sum of exponentials of each row; `pairs` [members, batch]: the logits of the
// pairs. One row a block.
KERNEL(infonce_rows, const float* cosines, float* row_sums, float* pairs, const float* p, u32 stride, u32 scale,
       u32 batch) {
  __shared__ float shared[2][64];
  u32 row = blockIdx.x, member = blockIdx.y;
  float factor = expf(p[(u64)member * stride + scale]);
  cosines += ((u64)member * batch + row) * batch;
  float largest = -INFINITY, sum = 0;
  for (u32 column = threadIdx.x; column < batch; column += blockDim.x) {
    largest = cosines[column] > largest ? cosines[column] : largest;
  }
  largest = factor * block_max(largest, shared[0]);
  for (u32 column = threadIdx.x; column < batch; column += blockDim.x) sum += expf(factor * cosines[column] - largest);
  sum = block_sum(sum, shared[1]);
  if (threadIdx.x == 0) {
    row_sums[(u64)member * batch + row] = largest + logf(sum);
    pairs[(u64)member * batch + row] = factor * cosines[row];
  }
}

// `column_sums` [members, batch], likewise. A block has 32 columns; its rows share them, each with a running maximum (Milakov
// and Gimelshein, "Online normalizer calculation for softmax", 2018), so that the cosines are read once.
KERNEL(infonce_columns, const float* cosines, float* column_sums, const float* p, u32 stride, u32 scale, u32 batch) {
  __shared__ float maxima[32][32];
  __shared__ float totals[32][32];
  u32 column = 32 * blockIdx.x + threadIdx.x, member = blockIdx.y;
  float factor = expf(p[(u64)member * stride + scale]);
  cosines += (u64)member * batch * batch + column;
  float largest = -INFINITY, sum = 0;
  for (u32 row = threadIdx.y; row < batch && column < batch; row += blockDim.y) {
    float cosine = cosines[(u64)row * batch];
    if (cosine > largest) {
      sum = sum * expf(factor * (largest - cosine)) + 1.0f;
      largest = cosine;
    } else {
      sum += expf(factor * (cosine - largest));
    }
  }
  maxima[threadIdx.y][threadIdx.x] = largest;
  totals[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= batch) return;
  for (u32 i = 1; i < blockDim.y; i++) largest = maxima[i][threadIdx.x] > largest ? maxima[i][threadIdx.x] : largest;
  sum = 0;
  for (u32 i = 0; i < blockDim.y && i < batch; i++) {
    sum += totals[i][threadIdx.x] * expf(factor * (maxima[i][threadIdx.x] - largest));
  }
  column_sums[(u64)member * batch + column] = factor * largest + logf(sum);
}

// The sum over a block of 256 threads, in a fixed order, in f64 as the CPU's.
DEVICE double wide_sum(double value, double* shared) {
  shared[threadIdx.x] = value;
  __syncthreads();
  for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  return shared[0];
}

// losses[member, position] = the loss. In training (`active` is there) a member whose loss is not finite is no longer active,
// before anything of it is updated. One block of 256 threads a member.
KERNEL(infonce_loss, const float* row_sums, const float* column_sums, const float* pairs, const double* i2t_weights,
       float* losses, const u32* position, u32 steps, u32 batch, u32* active) {
  __shared__ double shared[2][256];
  u32 member = blockIdx.x;
  u64 first = (u64)member * batch;
  double to_text = 0, to_image = 0;
  for (u32 i = threadIdx.x; i < batch; i += blockDim.x) {
    to_text += (double)row_sums[first + i] - (double)pairs[first + i];
    to_image += (double)column_sums[first + i] - (double)pairs[first + i];
  }
  to_text = wide_sum(to_text, shared[0]) / batch;
  to_image = wide_sum(to_image, shared[1]) / batch;
  if (threadIdx.x != 0) return;
  double weight = i2t_weights[member];
  float loss = (float)(weight * to_text + (1.0 - weight) * to_image);
  losses[(u64)member * steps + *position] = loss;
  if (active && !isfinite(loss)) active[member] = 0;
}

// g[member, scale] = the gradient of the logit scale, from `products` [members, batch]. One block of 256 threads a member.
KERNEL(infonce_scale_gradient, const float* products, float* g, u32 stride, u32 scale, u32 batch) {
  __shared__ double shared[256];
  u32 member = blockIdx.x;
  double sum = 0;
  for (u32 i = threadIdx.x; i < batch; i += blockDim.x) sum += (double)products[(u64)member * batch + i];
  sum = wide_sum(sum, shared);
  if (threadIdx.x == 0) g[(u64)member * stride + scale] = (float)sum;
}

// Cosines become their gradient, in place: a row of bf16 takes the first half of its row of floats, so that rows are always
// `batch` floats apart. `products` [members, batch] gets, of each row, the sum of the logits times their gradients: a logit is
// its own derivative by the scale. One row a block.
template <typename Out>
DEVICE void logit_gradient_row(float* cosines, const float* row_sums, const float* column_sums, float* products,
                               const double* i2t_weights, const float* p, u32 stride, u32 scale, u32 batch,
                               float* shared) {
  u32 row = blockIdx.x, member = blockIdx.y;
  float factor = expf(p[(u64)member * stride + scale]);
  double weight = i2t_weights[member];
  float row_weight = (float)(weight / batch), column_weight = (float)((1.0 - weight) / batch);
  u64 line = (u64)member * batch + row;
  cosines += line * batch;
  column_sums += (u64)member * batch;
  float row_sum = row_sums[line], product = 0;
  Out* out = (Out*)cosines;
  for (u32 start = 0; start < batch; start += blockDim.x) {
    u32 column = start + threadIdx.x;
    float logit = column < batch ? factor * cosines[column] : 0.0f;
    // What is written below was read by then: it lies no further on than what was read up to here.
    if (sizeof(Out) < sizeof(float)) __syncthreads();
    if (column >= batch) continue;
    float share = row_weight * expf(logit - row_sum) + column_weight * expf(logit - column_sums[column]);
    if (column == row) share -= row_weight + column_weight;
    product += logit * share;
    narrow(factor * share, out[column]);
  }
  product = block_sum(product, shared);
  if (threadIdx.x == 0) products[line] = product;
}

KERNEL(infonce_gradient_f32, float* cosines, const float* row_sums, const float* column_sums, float* products,
       const double* i2t_weights, const float* p, u32 stride, u32 scale, u32 batch) {
  __shared__ float shared[64];
  logit_gradient_row<float>(cosines, row_sums, column_sums, products, i2t_weights, p, stride, scale, batch, shared);
}

KERNEL(infonce_gradient_bf16, float* cosines, const float* row_sums, const float* column_sums, float* products,
       const double* i2t_weights, const float* p, u32 stride, u32 scale, u32 batch) {
  __shared__ float shared[64];
  logit_gradient_row<bf16>(cosines, row_sums, column_sums, products, i2t_weights, p, stride, scale, batch, shared);
}

// A layer between its matrix products (model/layer.rs): bias, dropout, residual, LayerNorm, ReLU, and their gradients.
//
// Activations are [members, rows, columns], columns a multiple of 4; `images` rows come first, then texts. A row is worked
// on by one block, four neighbouring columns a thread. `p` [members, stride] are parameters, of which `bias` and so on are
// places. Sums over rows are taken over 32 rows a block into `sums` [members, blocks, columns], which `column_sums` adds up.

#ifndef LAYER_ROWS
#define LAYER_ROWS 32
// Elements of masks of heads that a block keeps.
#define HEAD_MASKS 2048
#endif

// value = (value + bias) * mask, one element of the mask a head. One row a block.
KERNEL(NAME(head_drop), real* value, const float* p, u32 stride, u32 bias, const Member* members, const u32* position,
       u32 site, u32 rows, u32 images, u32 columns, u32 heads) {
  __shared__ float mask[HEAD_MASKS];
  u32 row = blockIdx.x, member = blockIdx.y, column = 4 * threadIdx.x;
  Masks masks = masks_of(members, position, member);
  Place place = place_of(row, images, site);
  for (u32 head = threadIdx.x; head < heads; head += blockDim.x) mask[head] = factor(masks, place, heads, head);
  __syncthreads();
  if (column >= columns) return;
  value += ((u64)member * rows + row) * columns + column;
  Quad quad = load(value), biases = load(p + (u64)member * stride + bias + column);
  for (u32 i = 0; i < 4; i++) quad.v[i] = (quad.v[i] + biases.v[i]) * mask[(column + i) / (columns / heads)];
  store(value, quad);
}

// The gradient of head_drop, in place, and the partial sums of that of the bias. 32 rows a block.
KERNEL(NAME(head_drop_gradient), real* gradient, float* sums, const Member* members, const u32* position, u32 site,
       u32 rows, u32 images, u32 columns, u32 heads) {
  __shared__ float mask[HEAD_MASKS];
  u32 member = blockIdx.y, column = 4 * threadIdx.x;
  u32 first = blockIdx.x * LAYER_ROWS, count = rows - first < LAYER_ROWS ? rows - first : LAYER_ROWS;
  Masks masks = masks_of(members, position, member);
  // As many rows at a time as there is room for.
  u32 together = HEAD_MASKS / heads;
  Quad sum = {{0, 0, 0, 0}};
  for (u32 start = 0; start < count; start += together) {
    u32 some = count - start < together ? count - start : together;
    __syncthreads();
    for (u32 i = threadIdx.x; i < some * heads; i += blockDim.x) {
      mask[i] = factor(masks, place_of(first + start + i / heads, images, site), heads, i % heads);
    }
    __syncthreads();
    for (u32 i = 0; i < some && column < columns; i++) {
      real* here = gradient + ((u64)member * rows + first + start + i) * columns + column;
      Quad quad = load(here);
      for (u32 j = 0; j < 4; j++) {
        quad.v[j] *= mask[i * heads + (column + j) / (columns / heads)];
        sum.v[j] += quad.v[j];
      }
      store(here, quad);
    }
  }
  if (column < columns) store(sums + ((u64)member * gridDim.x + blockIdx.x) * columns + column, sum);
}

// out = LayerNorm(residual + dropout(branch + bias)); `normalised` is that before weight and offset, `inverse` [members,
// rows] one over the standard deviation. One row a block.
KERNEL(NAME(residual_norm), const real* residual, const real* branch, real* normalised, float* inverse, real* out,
       const float* p, u32 stride, u32 bias, u32 weight, u32 offset, const Member* members, const u32* position, u32 site,
       u32 rows, u32 images, u32 columns) {
  __shared__ float shared[2][64];
  u32 row = blockIdx.x, member = blockIdx.y, column = 4 * threadIdx.x;
  bool inside = column < columns;
  u64 at = ((u64)member * rows + row) * columns + column;
  p += (u64)member * stride + column;
  Quad x = {{0, 0, 0, 0}};
  if (inside) {
    Quad mask = factors(masks_of(members, position, member), place_of(row, images, site), columns, column);
    Quad from = load(residual + at), add = load(branch + at), biases = load(p + bias);
    for (int i = 0; i < 4; i++) x.v[i] = from.v[i] + (add.v[i] + biases.v[i]) * mask.v[i];
  }
  float mean = block_sum((x.v[0] + x.v[1]) + (x.v[2] + x.v[3]), shared[0]) / columns;
  float square = 0;
  for (int i = 0; i < 4 && inside; i++) square += (x.v[i] - mean) * (x.v[i] - mean);
  float root = 1.0f / sqrtf(block_sum(square, shared[1]) / columns + 1e-5f);
  if (threadIdx.x == 0) inverse[(u64)member * rows + row] = root;
  if (!inside) return;
  Quad weights = load(p + weight), offsets = load(p + offset), y;
  for (int i = 0; i < 4; i++) {
    x.v[i] = (x.v[i] - mean) * root;
    y.v[i] = x.v[i] * weights.v[i] + offsets.v[i];
  }
  store(normalised + at, x);
  store(out + at, y);
}

// The gradient of residual_norm. `gradient`, always f32, comes in as that of the output and leaves as that of the residual;
// `branch` gets that of the branch. `sums` are [members, blocks, 3, columns]: of the gradients of weight, offset and bias.
KERNEL(NAME(residual_norm_gradient), float* gradient, real* branch, const real* normalised, const float* inverse,
       float* sums, const float* p, u32 stride, u32 weight, const Member* members, const u32* position, u32 site, u32 rows,
       u32 images, u32 columns) {
  __shared__ float shared[2][64];
  u32 member = blockIdx.y, column = 4 * threadIdx.x;
  bool inside = column < columns;
  u32 first = blockIdx.x * LAYER_ROWS, count = rows - first < LAYER_ROWS ? rows - first : LAYER_ROWS;
  Masks masks = masks_of(members, position, member);
  Quad weights = {{0, 0, 0, 0}}, weight_sum = weights, offset_sum = weights, bias_sum = weights;
  if (inside) weights = load(p + (u64)member * stride + weight + column);
  for (u32 i = 0; i < count; i++) {
    u64 line = (u64)member * rows + first + i, at = line * columns + column;
    Quad g = {{0, 0, 0, 0}}, n = g;
    if (inside) {
      g = load(gradient + at);
      n = load(normalised + at);
    }
    float mean = 0, slope = 0;
    for (int j = 0; j < 4; j++) {
      weight_sum.v[j] += g.v[j] * n.v[j];
      offset_sum.v[j] += g.v[j];
      g.v[j] *= weights.v[j];
      mean += g.v[j];
      slope += g.v[j] * n.v[j];
    }
    // Two places in turn, so that one barrier a row is enough.
    block_sums(mean, slope, shared[i % 2]);
    if (!inside) continue;
    mean /= columns;
    slope /= columns;
    Quad mask = factors(masks, place_of(first + i, images, site), columns, column), through;
    float root = inverse[line];
    for (int j = 0; j < 4; j++) {
      g.v[j] = (g.v[j] - mean - n.v[j] * slope) * root;
      through.v[j] = g.v[j] * mask.v[j];
      bias_sum.v[j] += through.v[j];
    }
    store(gradient + at, g);
    store(branch + at, through);
  }
  if (!inside) return;
  sums += ((u64)member * gridDim.x + blockIdx.x) * 3 * columns + column;
  store(sums, weight_sum);
  store(sums + columns, offset_sum);
  store(sums + 2 * columns, bias_sum);
}

// value = dropout(relu(value + bias)).
KERNEL(NAME(relu_drop), real* value, const float* p, u32 stride, u32 bias, const Member* members, const u32* position,
       u32 site, u32 rows, u32 images, u32 columns) {
  u32 quads = columns / 4, member = blockIdx.y;
  u32 quad_number = blockIdx.x * blockDim.x + threadIdx.x;
  u32 row = quad_number / quads, column = 4 * (quad_number % quads);
  if (row >= rows) return;
  value += ((u64)member * rows + row) * columns + column;
  Quad quad = load(value), biases = load(p + (u64)member * stride + bias + column);
  Quad mask = factors(masks_of(members, position, member), place_of(row, images, site), columns, column);
  for (int i = 0; i < 4; i++) {
    float sum = quad.v[i] + biases.v[i];
    // Lets NaN through: a diverged step must show in the loss.
    quad.v[i] = (sum < 0.0f ? 0.0f : sum) * mask.v[i];
  }
  store(value, quad);
}

// The gradient of relu_drop, in place: an output of zero was dropped or negative. 32 rows a block, and 4 columns a thread of
// blockIdx.z's share.
KERNEL(NAME(relu_drop_gradient), real* gradient, const real* relu, float* sums, const Member* members, u32 rows,
       u32 columns) {
  u32 member = blockIdx.y, column = 4 * (blockIdx.z * blockDim.x + threadIdx.x);
  if (column >= columns) return;
  u32 first = blockIdx.x * LAYER_ROWS, count = rows - first < LAYER_ROWS ? rows - first : LAYER_ROWS;
  float scale = members ? members[member].scale : 1.0f;
  Quad sum = {{0, 0, 0, 0}};
  for (u32 i = 0; i < count; i++) {
    u64 at = ((u64)member * rows + first + i) * columns + column;
    Quad g = load(gradient + at), kept = load(relu + at);
    for (int j = 0; j < 4; j++) {
      g.v[j] = kept.v[j] > 0.0f ? g.v[j] * scale : 0.0f;
      sum.v[j] += g.v[j];
    }
    store(gradient + at, g);
  }
  store(sums + ((u64)member * gridDim.x + blockIdx.x) * columns + column, sum);
}

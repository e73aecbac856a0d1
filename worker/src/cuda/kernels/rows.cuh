// Gathering of embeddings, and L2 normalisation (model/norm.rs) with its gradient. One row a block, 4 columns a thread.

// What a member reads on one side, as the host lays it out: 5 words of 64 bits.
#ifndef ROWS_SOURCE
#define ROWS_SOURCE
struct Source {
  // [rows, width] of floats, or of bf16.
  const void* table;
  // Of each pair its row in the table; null: the pair's number.
  const u32* rows;
  // Pairs in the order in which they are taken; null: as they come.
  const u32* order;
  // Elements of a row of the table, a multiple of 4.
  u64 width;
  // Whether the table holds bf16.
  u64 halves;
};
#endif

// out[member, row, 0..columns] = the embedding of pair `start + position * step + row`, filled up with zeros. Members' rows
// are `stride` elements apart.
KERNEL(NAME(gather), real* out, const Source* sources, const u32* position, u32 step, u32 start, u32 columns, u32 stride) {
  u32 row = blockIdx.x, member = blockIdx.y, column = 4 * threadIdx.x;
  if (column >= columns) return;
  Source source = sources[member];
  u32 pair = start + row + (position ? *position * step : 0);
  if (source.order) pair = source.order[pair];
  u64 line = source.rows ? source.rows[pair] : pair;
  Quad quad = {{0, 0, 0, 0}};
  if (column < source.width) {
    u64 at = line * source.width + column;
    quad = source.halves ? load((const bf16*)source.table + at) : load((const float*)source.table + at);
  }
  store(out + (u64)member * stride + (u64)row * columns + column, quad);
}

// Rows [members, rows, columns] divided by their length, in place; `lengths` is [members, rows].
KERNEL(NAME(unit), real* values, float* lengths, u32 rows, u32 columns) {
  __shared__ float shared[64];
  u32 column = 4 * threadIdx.x;
  bool inside = column < columns;
  u64 line = (u64)blockIdx.y * rows + blockIdx.x;
  values += line * columns + column;
  Quad quad = {{0, 0, 0, 0}};
  if (inside) quad = load(values);
  float square = 0;
  for (int i = 0; i < 4; i++) square += quad.v[i] * quad.v[i];
  // As PyTorch's F.normalize.
  float length = fmaxf(sqrtf(block_sum(square, shared)), 1e-12f);
  if (threadIdx.x == 0) lengths[line] = length;
  if (!inside) return;
  float inverse = 1.0f / length;
  for (int i = 0; i < 4; i++) quad.v[i] *= inverse;
  store(values, quad);
}

#ifndef ROWS_UNIT_GRADIENT
#define ROWS_UNIT_GRADIENT
template <typename Unit, typename Out>
DEVICE void unit_gradient_row(const float* gradient, Out* out, const Unit* unit, const float* lengths, u32 rows,
                              u32 columns, float* shared) {
  u32 column = 4 * threadIdx.x;
  bool inside = column < columns;
  u64 line = (u64)blockIdx.y * rows + blockIdx.x, at = line * columns + column;
  Quad g = {{0, 0, 0, 0}}, u = g;
  if (inside) {
    g = load(gradient + at);
    u = load(unit + at);
  }
  float along = 0;
  for (int i = 0; i < 4; i++) along += g.v[i] * u.v[i];
  along = block_sum(along, shared);
  if (!inside) return;
  float factor = 1.0f / lengths[line];
  for (int i = 0; i < 4; i++) g.v[i] = (g.v[i] - u.v[i] * along) * factor;
  store(out + at, g);
}
#endif

// The gradient of unit, in place. `unit` are its results.
KERNEL(NAME(unit_gradient), float* gradient, const real* unit, const float* lengths, u32 rows, u32 columns) {
  __shared__ float shared[64];
  unit_gradient_row(gradient, gradient, unit, lengths, rows, columns, shared);
}

// The same, to where a matrix product takes it from.
KERNEL(NAME(unit_gradient_to), const float* gradient, real* out, const real* unit, const float* lengths, u32 rows,
       u32 columns) {
  __shared__ float shared[64];
  unit_gradient_row(gradient, out, unit, lengths, rows, columns, shared);
}

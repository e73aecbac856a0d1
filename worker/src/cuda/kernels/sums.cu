// Second stage of sums over rows.
#include "common.cuh"

// g[member, place + column] = the sum over blocks of `sums` [members, blocks, columns], in order. The columns fall into up to
// three parts of `width`, each with a place of its own in `g` [members, stride].
KERNEL(column_sums, const float* sums, float* g, u32 blocks, u32 columns, u32 width, u32 stride, u32 place0, u32 place1,
       u32 place2) {
  u32 column = blockIdx.x * blockDim.x + threadIdx.x, member = blockIdx.y;
  if (column >= columns) return;
  sums += (u64)member * blocks * columns + column;
  float sum = 0;
#pragma unroll 8
  for (u32 block = 0; block < blocks; block++) sum += sums[(u64)block * columns];
  u32 part = column / width;
  u32 place = part == 0 ? place0 : part == 1 ? place1 : place2;
  g[(u64)member * stride + place + column % width] = sum;
}

// One more step was done.
KERNEL(advance, u32* position) {
  if (blockIdx.x == 0 && threadIdx.x == 0) *position += 1;
}

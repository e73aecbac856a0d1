// AdamW (Loshchilov and Hutter, ICLR 2019) over the flat parameters of all members, in PyTorch's semantics.
#include "common.cuh"

// Members' parameters are [members, stride], the first `trained` of which have a gradient and moments, [members, trained].
// The rest, queries and keys, have a gradient of zero: they only decay. `constants` is [members, steps, 3]: what decay keeps,
// the root of the second bias correction, and the learning rate over the first. A member that is not active is left alone.
// `halves` [members, trained] gets a bf16 copy, if it is there. All counts are multiples of 4.
KERNEL(adamw, float* p, const float* g, float* m, float* v, bf16* halves, u32 stride, u32 trained, const float* constants,
       const u32* position, u32 steps, const u32* active, float blend1, float beta2, float blend2, float eps) {
  u32 member = blockIdx.y;
  u32 at = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
  if (!active[member] || at >= stride) return;
  const float* constant = constants + 3 * ((u64)member * steps + *position);
  float keep = constant[0], root = constant[1], size = constant[2];
  p += (u64)member * stride + at;
  Quad parameters = load(p);
  if (at >= trained) {
    for (int i = 0; i < 4; i++) parameters.v[i] *= keep;
    store(p, parameters);
    return;
  }
  u64 place = (u64)member * trained + at;
  Quad gradient = load(g + place), first = load(m + place), second = load(v + place);
  for (int i = 0; i < 4; i++) {
    first.v[i] += blend1 * (gradient.v[i] - first.v[i]);
    second.v[i] = beta2 * second.v[i] + blend2 * gradient.v[i] * gradient.v[i];
    parameters.v[i] = parameters.v[i] * keep - size * (first.v[i] / (sqrtf(second.v[i]) / root + eps));
  }
  store(p, parameters);
  store(m + place, first);
  store(v + place, second);
  if (halves) store(halves + place, parameters);
}

// The bf16 copy of the parameters of members `first..first + gridDim.y`.
KERNEL(narrow_parameters, const float* p, bf16* halves, u32 stride, u32 trained, u32 first) {
  u32 member = first + blockIdx.y;
  u32 at = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
  if (at < trained) store(halves + (u64)member * trained + at, load(p + (u64)member * stride + at));
}

// What all kernels share. Everything compiles for a card and, through emulation.h, for the processor.
#pragma once

#ifdef PERMAFROST_EMULATION
#include "emulation.h"
#else
// A kernel, by its plain name, which may be a macro.
#define KERNEL(name, ...) KERNEL_OF(name, __VA_ARGS__)
#define KERNEL_OF(name, ...) extern "C" __global__ void name(__VA_ARGS__)
#endif

#define DEVICE static __device__ __forceinline__

typedef unsigned int u32;
typedef unsigned long long u64;

// The upper half of a float.
struct bf16 {
  unsigned short bits;
};

DEVICE float widen(float value) { return value; }
DEVICE float widen(bf16 value) { return __uint_as_float((u32)value.bits << 16); }

// To the nearest, ties to even, as `half` on the host does it; NaN stays NaN.
DEVICE void narrow(float value, float& out) { out = value; }
DEVICE void narrow(float value, bf16& out) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out.bits) : "f"(value));
#else
  u32 bits = __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    out.bits = (unsigned short)(bits >> 16 | 0x40u);
  } else {
    out.bits = (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
  }
#endif
}

// Four neighbours, read and written at once: their address is a multiple of their size.
struct Quad {
  float v[4];
};
struct alignas(16) RawFloats {
  float v[4];
};
struct alignas(8) RawHalves {
  bf16 v[4];
};

DEVICE Quad load(const float* from) {
  RawFloats raw = *(const RawFloats*)from;
  Quad quad;
  for (int i = 0; i < 4; i++) quad.v[i] = raw.v[i];
  return quad;
}
DEVICE Quad load(const bf16* from) {
  RawHalves raw = *(const RawHalves*)from;
  Quad quad;
  for (int i = 0; i < 4; i++) quad.v[i] = widen(raw.v[i]);
  return quad;
}
DEVICE void store(float* to, const Quad& quad) {
  RawFloats raw;
  for (int i = 0; i < 4; i++) raw.v[i] = quad.v[i];
  *(RawFloats*)to = raw;
}
DEVICE void store(bf16* to, const Quad& quad) {
  RawHalves raw;
  for (int i = 0; i < 4; i++) narrow(quad.v[i], raw.v[i]);
  *(RawHalves*)to = raw;
}

// The sums of `a` and of `b` over a block of at most 1024 threads, a multiple of 32 in one dimension, in a fixed order; all
// threads get them. `shared` is 64 floats; a call must not take the same as the call before it.
DEVICE void block_sums(float& a, float& b, float* shared) {
  for (int lane = 16; lane > 0; lane /= 2) {
    a += __shfl_xor_sync(0xffffffffu, a, lane);
    b += __shfl_xor_sync(0xffffffffu, b, lane);
  }
  if (blockDim.x <= 32) return;
  if (threadIdx.x % 32 == 0) {
    shared[threadIdx.x / 32] = a;
    shared[32 + threadIdx.x / 32] = b;
  }
  __syncthreads();
  a = b = 0;
  for (u32 warp = 0; warp < blockDim.x / 32; warp++) {
    a += shared[warp];
    b += shared[32 + warp];
  }
}

DEVICE float block_sum(float value, float* shared) {
  float nothing = 0;
  block_sums(value, nothing, shared);
  return value;
}

// The largest value, in the same way; NaN is not seen.
DEVICE float block_max(float value, float* shared) {
  for (int lane = 16; lane > 0; lane /= 2) {
    float other = __shfl_xor_sync(0xffffffffu, value, lane);
    value = other > value ? other : value;
  }
  if (blockDim.x <= 32) return value;
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  float largest = shared[0];
  for (u32 warp = 1; warp < blockDim.x / 32; warp++) largest = shared[warp] > largest ? shared[warp] : largest;
  return largest;
}

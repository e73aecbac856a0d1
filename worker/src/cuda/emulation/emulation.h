// The part of CUDA C++ that the kernels use, for the processor.
//
// Threads of a block are fibers. They run one at a time and are switched where they wait, in an order drawn from a seed, so
// that a missing barrier shows. Blocks run one after another, in a drawn order too.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

struct Index3 {
  unsigned x, y, z;
};
extern Index3 threadIdx, blockIdx, blockDim, gridDim;

#define __device__
#define __forceinline__ inline
// One copy for all fibers, in a section of its own that is filled with NaN before each block.
#define __shared__ static __attribute__((section("emulated_shared")))
#define __restrict__

// Wait for the whole block, and for the 32 threads of a warp.
void __syncthreads();
void __syncwarp(unsigned mask = 0xffffffffu);

// What a thread shows to the others of its warp.
extern uint32_t emulated_lanes[1024];

template <typename T>
static inline T __shfl_xor_sync(unsigned, T value, int lane) {
  static_assert(sizeof(T) == 4, "only 32 bits are shuffled");
  std::memcpy(&emulated_lanes[threadIdx.x], &value, 4);
  __syncwarp();
  T other;
  std::memcpy(&other, &emulated_lanes[threadIdx.x ^ (unsigned)lane], 4);
  __syncwarp();
  return other;
}

static inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
static inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
static inline uint32_t __umulhi(uint32_t a, uint32_t b) { return (uint32_t)((uint64_t)a * b >> 32); }

using std::isfinite;

// Calls a kernel with arguments behind pointers, as the driver does.
template <typename... A, size_t... I>
static inline void emulated_call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
  kernel(*(A*)arguments[I]...);
}
template <typename... A>
static inline void emulated_call(void (*kernel)(A...), void** arguments) {
  emulated_call(kernel, arguments, std::index_sequence_for<A...>{});
}
template <typename... A>
static constexpr unsigned emulated_count(void (*)(A...)) {
  return sizeof...(A);
}

#define KERNEL(name, ...) KERNEL_OF(name, __VA_ARGS__)
#define KERNEL_OF(name, ...)                                                         \
  static void name(__VA_ARGS__);                                                     \
  extern "C" void name##_call(void** arguments) { emulated_call(&name, arguments); } \
  extern "C" unsigned name##_count() { return emulated_count(&name); }               \
  static void name(__VA_ARGS__)

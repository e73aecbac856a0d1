// Runs the blocks of a launch: see emulation.h.
#include "emulation.h"

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <ucontext.h>
#include <vector>

Index3 threadIdx, blockIdx, blockDim, gridDim;
uint32_t emulated_lanes[1024];
extern char __start_emulated_shared, __stop_emulated_shared;
// So that the section exists also where no kernel has shared memory.
__attribute__((used)) __shared__ float emulated_nothing = 1;

namespace {

enum State { READY, AT_BARRIER, AT_WARP, DONE };

constexpr size_t STACK = 128 << 10;
constexpr unsigned MOST = 1024;

struct Fiber {
  ucontext_t first;
  jmp_buf here;
  bool started = false;
  State state = DONE;
  Index3 index;
};

Fiber fibers[MOST];
Fiber* current;
jmp_buf scheduler;
void (*kernel)(void**);
void** arguments;
uint64_t chance;

uint32_t draw() {
  chance ^= chance << 13;
  chance ^= chance >> 7;
  chance ^= chance << 17;
  return (uint32_t)(chance >> 32);
}

template <typename T>
void shuffle(std::vector<T>& items) {
  for (size_t i = items.size(); i > 1; i--) std::swap(items[i - 1], items[draw() % i]);
}

// Back to the scheduler; goes on here when the fiber is resumed.
void leave(State state) {
  current->state = state;
  if (_setjmp(current->here) == 0) _longjmp(scheduler, 1);
}

// A fiber serves one thread of each block.
void body() {
  for (;;) {
    kernel(arguments);
    leave(DONE);
  }
}

void resume(Fiber& fiber) {
  current = &fiber;
  threadIdx = fiber.index;
  if (_setjmp(scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.here, 1);
  fiber.started = true;
  getcontext(&fiber.first);
  fiber.first.uc_stack.ss_sp = std::malloc(STACK);
  fiber.first.uc_stack.ss_size = STACK;
  fiber.first.uc_link = nullptr;
  makecontext(&fiber.first, body, 0);
  setcontext(&fiber.first);
}

// Runs a warp as far as it gets alone, so that it is as far ahead of the others as it may be.
void run_warp(unsigned first, unsigned last) {
  std::vector<unsigned> ready;
  for (;;) {
    ready.clear();
    bool all = true;
    for (unsigned i = first; i < last; i++) {
      if (fibers[i].state == READY) ready.push_back(i);
      all &= fibers[i].state == AT_WARP;
    }
    if (ready.empty() && !all) return;
    for (unsigned i = first; all && i < last; i++) fibers[i].state = READY;
    shuffle(ready);
    for (unsigned i : ready) resume(fibers[i]);
  }
}

// 0, or 1 when some threads wait for others that never come.
int run_block(unsigned threads) {
  std::memset(&__start_emulated_shared, 0xff, &__stop_emulated_shared - &__start_emulated_shared);
  for (unsigned i = 0; i < threads; i++) {
    fibers[i].state = READY;
    fibers[i].index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
  }
  std::vector<unsigned> warps((threads + 31) / 32);
  for (unsigned i = 0; i < warps.size(); i++) warps[i] = i;
  for (;;) {
    shuffle(warps);
    for (unsigned warp : warps) run_warp(32 * warp, threads < 32 * warp + 32 ? threads : 32 * warp + 32);
    unsigned waiting = 0, done = 0;
    for (unsigned i = 0; i < threads; i++) {
      waiting += fibers[i].state == AT_BARRIER;
      done += fibers[i].state == DONE;
    }
    if (done == threads) return 0;
    if (waiting != threads) return 1;
    for (unsigned i = 0; i < threads; i++) fibers[i].state = READY;
  }
}

}  // namespace

void __syncthreads() { leave(AT_BARRIER); }
void __syncwarp(unsigned) { leave(AT_WARP); }

extern "C" int emulation_launch(void (*call)(void**), const unsigned* grid, const unsigned* block, void** values,
                                uint64_t seed) {
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  unsigned threads = block[0] * block[1] * block[2];
  if (threads == 0 || threads > MOST || grid[0] == 0 || grid[1] == 0 || grid[2] == 0) return 2;
  // Limits of CUDA on the other dimensions of a grid.
  if (grid[1] > 65535 || grid[2] > 65535) return 2;
  kernel = call;
  arguments = values;
  chance = seed * 0x9e3779b97f4a7c15u | 1;
  std::vector<unsigned> blocks(grid[0] * grid[1] * grid[2]);
  for (unsigned i = 0; i < blocks.size(); i++) blocks[i] = i;
  shuffle(blocks);
  for (unsigned i : blocks) {
    blockIdx = {i % grid[0], i / grid[0] % grid[1], i / grid[0] / grid[1]};
    if (int code = run_block(threads)) return code;
  }
  return 0;
}

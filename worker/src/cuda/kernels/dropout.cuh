// Dropout masks: the CPU's, bit for bit (model/dropout.rs, random.rs).
#pragma once
#include "common.cuh"

// What the masks of one member depend on, as the host lays it out: 6 words.
struct Member {
  u32 seed[2];
  // A number below it drops its element.
  u32 dropped;
  // Factor on what is kept.
  float scale;
  // Steps done before position 0.
  u32 step[2];
};

// Masks of one member in one step; in evaluation everything is kept.
struct Masks {
  u32 seed[2];
  u32 step[2];
  u32 dropped;
  float scale;
};

// `members` is null in evaluation.
DEVICE Masks masks_of(const Member* members, const u32* position, u32 member) {
  if (!members) return Masks{{0, 0}, {0, 0}, 0, 1.0f};
  Member own = members[member];
  u64 step = ((u64)own.step[1] << 32 | own.step[0]) + *position;
  return Masks{{own.seed[0], own.seed[1]}, {(u32)step, (u32)(step >> 32)}, own.dropped, own.scale};
}

// Philox4x32-10 (Salmon et al., SC 2011).
DEVICE void philox(u32 counter[4], u32 key0, u32 key1) {
#pragma unroll
  for (int round = 0; round < 10; round++) {
    u32 high0 = __umulhi(counter[0], 0xd2511f53u), low0 = counter[0] * 0xd2511f53u;
    u32 high1 = __umulhi(counter[2], 0xcd9e8d57u), low1 = counter[2] * 0xcd9e8d57u;
    counter[0] = high1 ^ counter[1] ^ key0;
    counter[1] = low1;
    counter[2] = high0 ^ counter[3] ^ key1;
    counter[3] = low0;
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
}

// Rows of both modalities are stacked, images first; each modality has a stream of its own. `site` is 4 * layer + site.
struct Place {
  u32 stream;
  u32 row;
};
DEVICE Place place_of(u32 row, u32 images, u32 site) {
  bool text = row >= images;
  return Place{2 * site + text, text ? row - images : row};
}

// Block `block` of a stream's sequence.
DEVICE void numbers(const Masks& masks, u32 stream, u32 block, u32 out[4]) {
  out[0] = block;
  out[1] = 3u | stream << 8;
  out[2] = masks.step[0];
  out[3] = masks.step[1];
  philox(out, masks.seed[0], masks.seed[1]);
}

// Factors, 0 or the scale, on the four elements from `column` on; `column` and `columns` are multiples of 4.
DEVICE Quad factors(const Masks& masks, Place place, u32 columns, u32 column) {
  Quad quad;
  if (masks.dropped == 0) {
    for (int i = 0; i < 4; i++) quad.v[i] = masks.scale;
    return quad;
  }
  u32 bits[4];
  numbers(masks, place.stream, (u32)(((u64)place.row * columns + column) / 4), bits);
  for (int i = 0; i < 4; i++) quad.v[i] = bits[i] >= masks.dropped ? masks.scale : 0.0f;
  return quad;
}

// Factor on one element; any column.
DEVICE float factor(const Masks& masks, Place place, u32 columns, u32 column) {
  if (masks.dropped == 0) return masks.scale;
  u64 position = (u64)place.row * columns + column;
  u32 bits[4];
  numbers(masks, place.stream, (u32)(position / 4), bits);
  u32 word = position % 4;
  u32 number = word < 2 ? (word == 0 ? bits[0] : bits[1]) : (word == 2 ? bits[2] : bits[3]);
  return number >= masks.dropped ? masks.scale : 0.0f;
}

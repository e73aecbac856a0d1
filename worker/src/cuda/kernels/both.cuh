// Includes BODY once for f32 and once for bf16 activations: `real` is the type, NAME(kernel) the kernel's name.
#include "common.cuh"
#define real float
#define NAME(kernel) kernel##_f32
#include BODY
#undef real
#undef NAME
#define real bf16
#define NAME(kernel) kernel##_bf16
#include BODY
#undef real
#undef NAME

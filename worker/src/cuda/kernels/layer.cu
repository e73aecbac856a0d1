// Kernels of a layer, for both types of activations.
#include "dropout.cuh"
#define BODY "layer.cuh"
#include "both.cuh"

// Kernels on rows of embeddings and features, for both types of activations.
#include "common.cuh"
#define BODY "rows.cuh"
#include "both.cuh"

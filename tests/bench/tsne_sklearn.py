"""Times scikit-learn's t-SNE: prints seconds and the divergence it reports.

    python3 tests/bench/tsne_sklearn.py POINTS.f32 WIDTH        (numpy, scikit-learn)
"""
import sys
import time

import numpy as np
from sklearn.manifold import TSNE

points = np.fromfile(sys.argv[1], dtype="<f4").reshape(-1, int(sys.argv[2]))
# What is loaded when it is first used is no part of the work.
TSNE(perplexity=5, max_iter=250, n_jobs=2).fit_transform(points[:50])
began = time.perf_counter()
tsne = TSNE(perplexity=30, init="pca", random_state=0, n_jobs=2)
tsne.fit(points)
print(time.perf_counter() - began, tsne.kl_divergence_)

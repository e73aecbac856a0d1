#!/usr/bin/env python3
"""PyTorch yardstick of worker/benches/encoders: the same samples through the same frozen encoder, one pass on request.

    encoders_torch.py images|reports INPUT.json OUTPUT.f32 --batch N --threads N

INPUT names the folder of the encoder (as `transformers` saves it) and the samples. A line on standard input makes one pass,
which is answered with its seconds; the end of the input ends the program. Images are timed from their files (OpenCV: grey, longest
side by area averaging, padded, cropped) to pooled outputs; reports from tokens to the mean over them, sorted by length,
so that padding is little. float32, eval and inference mode, attention by `scaled_dot_product_attention`.

OUTPUT gets the embeddings, of images those of the levels that INPUT names, so that decoders need not agree.
"""
import argparse
import json
import os
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["images", "reports"])
parser.add_argument("input")
parser.add_argument("output")
parser.add_argument("--batch", type=int, default=1)
parser.add_argument("--threads", type=int, default=1)
args = parser.parse_args()
for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[key] = str(args.threads)
# Waiting threads must not take time from the program that is measured in turn.
os.environ["OMP_WAIT_POLICY"] = "passive"

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

torch.set_num_threads(args.threads)
transformers.logging.set_verbosity_error()
given = json.load(open(args.input))
model = transformers.AutoModel.from_pretrained(given["weights"], attn_implementation="sdpa").eval()
samples = given["samples"]
batches = range(0, len(samples), args.batch)

if args.what == "images":
    import cv2

    cv2.setNumThreads(args.threads)
    size, crop = given["resize"], given["crop"]
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

    def levels(name):
        image = cv2.imread(os.path.join(given["root"], name), cv2.IMREAD_GRAYSCALE)
        height, width = image.shape
        scale = size / max(height, width)
        image = cv2.resize(image, (max(1, int(width * scale)), max(1, int(height * scale))), interpolation=cv2.INTER_AREA)
        padded = np.zeros((size, size), np.uint8)
        top, left = (size - image.shape[0]) // 2, (size - image.shape[1]) // 2
        padded[top : top + image.shape[0], left : left + image.shape[1]] = image
        start = round((size - crop) / 2)
        return padded[start : start + crop, start : start + crop]

    def encode(images):
        grey = torch.from_numpy(np.stack(images)).unsqueeze(1).float().div_(255)
        return model(((grey - mean) / deviation)).pooler_output

    def run():
        return [encode([levels(name) for name in samples[i : i + args.batch]]) for i in batches]

    def compare():
        all_levels = np.fromfile(given["levels"], np.uint8).reshape(len(samples), crop, crop)
        return torch.cat([encode(list(all_levels[i : i + args.batch])) for i in batches])
else:
    tokenizer = transformers.AutoTokenizer.from_pretrained(given["weights"])
    tokens = [tokenizer(text, truncation=True, max_length=given["max_tokens"])["input_ids"] for text in samples]
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))

    def encode(rows):
        length = max(len(row) for row in rows)
        ids, mask = torch.zeros(len(rows), length, dtype=torch.long), torch.zeros(len(rows), length)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        return (hidden * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True)

    def run():
        return [encode([tokens[j] for j in order[i : i + args.batch]]) for i in batches]

    def compare():
        out = torch.cat(run())
        unsorted = torch.empty_like(out)
        unsorted[order] = out
        return unsorted

with torch.inference_mode():
    compare().numpy().astype("<f4").tofile(args.output)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, batch {args.batch}", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)

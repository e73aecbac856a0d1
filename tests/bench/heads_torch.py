#!/usr/bin/env python3
"""PyTorch yardstick of worker/benches/heads.rs and of `permafrost bench heads`: steps of classification heads, on request.

A head is Dropout, Linear(768 -> 512, no bias), BatchNorm, ReLU, Dropout, Linear(512 -> classes) on features that lie in memory. Each line on
standard input makes as many steps of every head as it says, and answers with their seconds: gathering a batch, zero_grad, forward,
backward, AdamW. The end of the input ends the program.

--impl fused      one head after another, fused AdamW
--impl default    one head after another, AdamW as it is by default
--impl batched    all heads at once, their weights stacked (torch.bmm), fused AdamW
--compile MODE    torch.compile of the model, in that mode
--bf16            autocast to bfloat16
--tf32            float32 with matrix products in TF32 (CUDA)
--check FILE      little-endian float32: features and classes of some steps, and initial weights of each head in the order of the program's
                  layout. These steps are made first, without dropout; their losses, those of the first head first, are the second line
                  of the output. The file's size says how many heads; --check-steps how many steps
"""
import argparse
import json
import os
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("--impl", choices=["fused", "default", "batched"], default="fused")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--heads", type=int, default=64)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--classes", type=int, default=3)
parser.add_argument("--device", default="cpu")
parser.add_argument("--compile", metavar="MODE")
parser.add_argument("--bf16", action="store_true")
parser.add_argument("--tf32", action="store_true")
parser.add_argument("--check", metavar="FILE")
parser.add_argument("--check-steps", type=int, default=4)
args = parser.parse_args()
for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[key] = str(args.threads)
# Waiting threads must not take time from the program that is measured in turn.
os.environ["OMP_WAIT_POLICY"] = "passive"

import torch  # noqa: E402
import torch.nn as nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402

torch.set_num_threads(args.threads)
torch.manual_seed(0)
if args.tf32:
    torch.set_float32_matmul_precision("high")
WIDTH, HIDDEN, EPS, SAMPLES = 768, 512, 1e-5, 8192
device = torch.device(args.device)
OPTIMIZER = {"lr": 5e-4, "weight_decay": 0.05, **({} if args.impl == "default" else {"fused": True})}


class Head(nn.Module):
    """One head, and the loss of a batch."""

    def __init__(self, p):
        super().__init__()
        self.hidden, self.norm = nn.Linear(WIDTH, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN)
        self.output, self.drop = nn.Linear(HIDDEN, args.classes), nn.Dropout(p)

    def forward(self, x, y):
        logits = self.output(self.drop(F.relu(self.norm(self.hidden(self.drop(x))))))
        return loss_of(logits.float(), y)

    def weights(self):
        return [self.hidden.weight, self.norm.weight, self.norm.bias, self.output.weight, self.output.bias]


class Heads(nn.Module):
    """All heads as stacked weights; x is [heads, batch, width], y [heads, batch]; each head's loss."""

    def __init__(self, p, count):
        super().__init__()
        single = [Head(p).weights() for _ in range(count)]
        self.hidden, self.scale, self.offset, self.output, self.bias = (
            nn.Parameter(torch.stack([weights[i].detach() for weights in single])) for i in range(5)
        )
        self.register_buffer("mean", torch.zeros(count, 1, HIDDEN))
        self.register_buffer("variance", torch.ones(count, 1, HIDDEN))
        self.p = p

    def forward(self, x, y):
        h = torch.bmm(F.dropout(x, self.p), self.hidden.transpose(1, 2)).float()
        variance, mean = torch.var_mean(h, 1, correction=0, keepdim=True)
        with torch.no_grad():
            self.mean.lerp_(mean, 0.1)
            self.variance.lerp_(variance * (h.shape[1] / (h.shape[1] - 1)), 0.1)
        h = (h - mean) * torch.rsqrt(variance + EPS) * self.scale.unsqueeze(1) + self.offset.unsqueeze(1)
        h = F.dropout(F.relu(h), self.p)
        logits = torch.baddbmm(self.bias.unsqueeze(1), h, self.output.transpose(1, 2)).float()
        return loss_of(logits.flatten(0, 1), y.flatten(), "none").view(y.shape).mean(1)

    def weights(self):
        return [self.hidden, self.scale, self.offset, self.output, self.bias]


def loss_of(logits, y, reduction="mean"):
    if args.classes == 1:
        return F.binary_cross_entropy_with_logits(logits.squeeze(-1), y.float(), reduction=reduction)
    return F.cross_entropy(logits, y, reduction=reduction)


def compiled(model):
    return torch.compile(model, mode=args.compile) if args.compile else model


def training(p, count):
    """The heads' weights, and a step: from rows of features [heads, batch] to the losses."""
    if args.impl == "batched":
        models = [Heads(p, count).to(device)]
    else:
        models = [Head(p).to(device) for _ in range(count)]
    optimizers = [torch.optim.AdamW(model.parameters(), **OPTIMIZER) for model in models]
    runs = [compiled(model) for model in models]

    def step(features, labels, rows):
        losses = []
        for number, (run, optimizer) in enumerate(zip(runs, optimizers)):
            own = rows if args.impl == "batched" else rows[number]
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=args.bf16):
                loss = run(features[own], labels[own])
            loss.sum().backward()
            optimizer.step()
            losses.append(loss.detach())
        return losses

    return [model.weights() for model in models], step


def wait():
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def check():
    values = torch.frombuffer(bytearray(open(args.check, "rb").read()), dtype=torch.float32)
    steps, batch = args.check_steps, args.batch
    samples = steps * batch
    features = values[: samples * WIDTH].view(samples, WIDTH).to(device)
    labels = values[samples * WIDTH : samples * (WIDTH + 1)].long().to(device)
    values = values[samples * (WIDTH + 1) :]
    shapes = [(HIDDEN, WIDTH), (HIDDEN,), (HIDDEN,), (args.classes, HIDDEN), (args.classes,)]
    sizes = [torch.Size(shape).numel() for shape in shapes]
    count, rest = divmod(len(values), sum(sizes))
    assert rest == 0 and count > 0, "the file holds something else"
    weights, step = training(0.0, count)
    with torch.no_grad():
        for head in range(count):
            own = values[head * sum(sizes) : (head + 1) * sum(sizes)].split(sizes)
            for number, (value, shape) in enumerate(zip(own, shapes)):
                place = weights[0][number][head] if args.impl == "batched" else weights[head][number]
                place.copy_(value.view(shape))
    rows = torch.arange(samples, device=device).view(steps, 1, batch).expand(steps, count, batch)
    losses = [torch.stack([loss.reshape(-1) for loss in step(features, labels, rows[i])]).flatten() for i in range(steps)]
    print(json.dumps(torch.stack(losses, 1).flatten().tolist()), flush=True)


kind = " ".join(
    [args.impl]
    + ([f"compile={args.compile}"] if args.compile else [])
    + (["bf16"] if args.bf16 else [])
    + (["tf32"] if args.tf32 else [])
)
print(f"torch {torch.__version__} {kind}", flush=True)
if args.check:
    check()
_, step = training(0.1, args.heads)
features = torch.randn(SAMPLES, WIDTH, device=device) / WIDTH**0.5
labels = torch.randint(0, max(args.classes, 2), (SAMPLES,), device=device)
order = torch.randperm(SAMPLES, device=device)
done = 0
for line in sys.stdin:
    steps = int(line) if line.strip().isdigit() else 1
    wait()
    start = time.perf_counter()
    for _ in range(steps):
        # Each head has its own batch.
        first = (done * args.batch + torch.arange(args.heads, device=device) * 977).unsqueeze(1)
        step(features, labels, order[(first + torch.arange(args.batch, device=device)) % SAMPLES])
        done += 1
    wait()
    print(time.perf_counter() - start, flush=True)

#!/usr/bin/env python3
"""PyTorch yardstick of worker/benches/adaptor_step.rs and of `permafrost bench adaptor`: the same training steps, on request.

Each line on standard input runs as many steps as it says (one, if it is no number) and answers with their seconds: gathering a
batch of resident embeddings, zero_grad, forward, backward, AdamW. The end of the input ends the program.

--impl official   nn.MultiheadAttention over one token, as the authors' code has it: queries and keys are computed in vain
--impl lean       the same mathematics as a careful PyTorch user writes it: values and output projection only, images and
                  texts in one batch, fused AdamW (queries and keys stay parameters, with zero gradients)
--compile MODE    torch.compile of the model, in that mode
--bf16            autocast to bfloat16
--tf32            float32 with matrix products in TF32 (CUDA)
--check FILE      little-endian float32: initial weights in the order of the program's layout, images, texts. Three steps without
                  dropout are made on these first, and their losses are the second line of the output
"""
import argparse
import json
import os
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("--impl", choices=["official", "lean"], default="official")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--batch", type=int, default=1024)
parser.add_argument("--image-width", type=int, default=768)
parser.add_argument("--text-width", type=int, default=768)
parser.add_argument("--device", default="cpu")
parser.add_argument("--compile", metavar="MODE")
parser.add_argument("--bf16", action="store_true")
parser.add_argument("--tf32", action="store_true")
parser.add_argument("--check", metavar="FILE")
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
WIDTH, HEADS, HIDDEN, P = 768, 12, 2048, 0.1


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(WIDTH, HEADS, dropout=P, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(P)

    def attend(self, own, query):
        attention = self.self_attn
        if args.impl == "official":
            return attention(query[:, None], own[:, None], own[:, None], need_weights=False)[0][:, 0]
        value = F.linear(own, attention.in_proj_weight[2 * WIDTH :], attention.in_proj_bias[2 * WIDTH :])
        value = value.view(-1, HEADS, WIDTH // HEADS)
        kept = F.dropout(torch.ones_like(value[..., :1]), P, self.training)
        return attention.out_proj((value * kept).view(-1, WIDTH))

    def forward(self, own, query):
        middle = self.norm1(own + self.dropout(self.attend(own, query)))
        return self.norm2(middle + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(middle))))))


class Adaptor(nn.Module):
    def __init__(self):
        super().__init__()
        self.image_projection = nn.Linear(args.image_width, WIDTH, bias=False)
        self.text_projection = nn.Linear(args.text_width, WIDTH, bias=False)
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.logit_scale = nn.Parameter(torch.tensor(2.6592))

    def forward(self, images, texts):
        x = F.normalize(self.image_projection(images), dim=-1)
        t = F.normalize(self.text_projection(texts), dim=-1)
        if args.impl == "official":
            for layer in self.layers:
                x = layer(x, t)
                t = layer(t, x)
        else:
            both = torch.cat([x, t])
            for layer in self.layers:
                both = layer(both, None)
            x, t = both.chunk(2)
        logits = self.logit_scale.exp() * F.normalize(x, dim=-1) @ F.normalize(t, dim=-1).t()
        pairs = torch.arange(len(logits), device=logits.device)
        logits = logits.float()
        return 0.75 * F.cross_entropy(logits, pairs) + 0.25 * F.cross_entropy(logits.t(), pairs)


def names():
    """Parameters in the order of the program's flat buffer."""
    layer = ["self_attn.in_proj_weight", "self_attn.in_proj_bias", "self_attn.out_proj.weight", "self_attn.out_proj.bias"]
    layer += ["linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"]
    layer += ["norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"]
    layers = [f"layers.{number}.{name}" for number in range(2) for name in layer]
    return ["image_projection.weight", "text_projection.weight", *layers, "logit_scale"]


device = torch.device(args.device)
BATCHES = 4


def training():
    model = Adaptor().to(device)
    fused = {"fused": True} if args.impl == "lean" else {}
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01, **fused)
    run = torch.compile(model, mode=args.compile) if args.compile else model

    def step(images, texts):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=args.bf16):
            loss = run(images, texts)
        loss.backward()
        optimizer.step()
        return loss

    return model, step


def wait():
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def check():
    values = torch.frombuffer(bytearray(open(args.check, "rb").read()), dtype=torch.float32)
    model, step = training()
    parameters, at = dict(model.named_parameters()), 0

    def take(shape):
        nonlocal at
        count = torch.Size(shape).numel()
        at += count
        return values[at - count : at].view(shape).to(device)

    with torch.no_grad():
        for name in names():
            parameters[name].copy_(take(parameters[name].shape))
    images, texts = take((args.batch, args.image_width)), take((args.batch, args.text_width))
    assert at == len(values) and len(parameters) == len(names()), "the file holds something else"
    model.eval()  # No dropout.
    print(json.dumps([step(images, texts).item() for _ in range(3)]), flush=True)


kind = " ".join(
    [args.impl]
    + ([f"compile={args.compile}"] if args.compile else [])
    + (["bf16"] if args.bf16 else [])
    + (["tf32"] if args.tf32 else [])
)
print(f"torch {torch.__version__} {kind}", flush=True)
if args.check:
    check()
model, step = training()
images = torch.randn(BATCHES * args.batch, args.image_width, device=device)
texts = torch.randn(BATCHES * args.batch, args.text_width, device=device)
order = torch.randperm(BATCHES * args.batch, device=device).view(BATCHES, args.batch)
done = 0
for line in sys.stdin:
    steps = int(line) if line.strip().isdigit() else 1
    wait()
    start = time.perf_counter()
    for _ in range(steps):
        rows = order[done % BATCHES]
        step(images[rows], texts[rows])
        done += 1
    wait()
    print(time.perf_counter() - start, flush=True)

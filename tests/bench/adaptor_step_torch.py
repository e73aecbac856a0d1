#!/usr/bin/env python3
"""PyTorch yardstick of worker/benches/adaptor_step.rs: the same training step, one at a time on request.

Each line on standard input runs one step (zero_grad, forward, backward, AdamW) and answers with its seconds; the end of
the input ends the program. Runs on the CPU, in float32 or with --bf16.

--impl official   nn.MultiheadAttention over one token, as the authors' code has it: queries and keys are computed in vain
--impl lean       the same mathematics as a careful PyTorch user writes it: values and output projection only, images and
                  texts in one batch, fused AdamW (queries and keys stay parameters, with zero gradients)
"""
import argparse
import os
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("--impl", choices=["official", "lean"], default="official")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--batch", type=int, default=1024)
parser.add_argument("--image-width", type=int, default=768)
parser.add_argument("--text-width", type=int, default=768)
parser.add_argument("--bf16", action="store_true", help="autocast: products in bf16")
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
        logits = (self.logit_scale.exp() * F.normalize(x, dim=-1) @ F.normalize(t, dim=-1).t()).float()
        pairs = torch.arange(len(logits))
        return 0.75 * F.cross_entropy(logits, pairs) + 0.25 * F.cross_entropy(logits.t(), pairs)


model = Adaptor()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01, fused=args.impl == "lean")
images, texts = torch.randn(args.batch, args.image_width), torch.randn(args.batch, args.text_width)
print(f"torch {torch.__version__} {args.impl}{' bf16' if args.bf16 else ''}", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
        loss = model(images, texts)
    loss.backward()
    optimizer.step()
    print(time.perf_counter() - start, flush=True)

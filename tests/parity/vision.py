#!/usr/bin/env python3
"""Reference values of vision encoders of full size, for the ignored test of worker/tests/parity_vision.rs.

    python3 tests/parity/vision.py FOLDER [--real WEIGHTS ...]
    PERMAFROST_VISION=FOLDER cargo test --release -p permafrost-worker --test parity_vision -- --ignored --nocapture
    (torch, numpy, safetensors, transformers, torchxrayvision)

FOLDER gets the published configurations of DINOv2-S and -B, four layers of DINOv2-g, and torchxrayvision's ResNet-AE, with
random weights (1 GB in all), each with images of two sizes and, in float64, what the encoder makes of them. WEIGHTS are folders of real DINOv2 weights
(`config.json`, `model.safetensors`), which are linked to and not copied.
"""
import argparse
import pathlib
import sys

import torch
from torchxrayvision.autoencoders import ResNetAE
from transformers import Dinov2Config, Dinov2Model

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "fixtures"))
import make_vision as make

# Width, heads, layers, SwiGLU.
PUBLISHED = {
    "dinov2-s": (384, 6, 12, False),
    "dinov2-b": (768, 12, 12, False),
    "dinov2-g-4": (1536, 24, 4, True),
}


def images():
    return [torch.randn(2, 3, 224, 224), torch.randn(1, 3, 322, 252)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--real", type=pathlib.Path, nargs="*", default=[], help="folders of real DINOv2 weights")
    arguments = parser.parse_args()
    for name, (width, heads, layers, swiglu) in PUBLISHED.items():
        torch.manual_seed(1)
        # 0.05 rather than the published 0.02, so that the layers differ from the identity.
        model = Dinov2Model(Dinov2Config(
            hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, use_swiglu_ffn=swiglu,
            image_size=518, layer_norm_eps=1e-6, initializer_range=0.05))
        make.randomise(model)
        model.save_pretrained(arguments.folder / name)
        make.reference(arguments.folder / name, model, images(), make.dinov2_outputs)
    for source in arguments.real:
        folder = arguments.folder / f"real-{source.name}"
        folder.mkdir(exist_ok=True)
        for name in ["config.json", "model.safetensors"]:
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to((source / name).resolve())
        torch.manual_seed(2)
        make.reference(folder, Dinov2Model.from_pretrained(source, dtype=torch.float32), images(), make.dinov2_outputs)
    torch.manual_seed(3)
    model = ResNetAE()
    encoder = [value.numel() for name, value in model.named_parameters() if not name.startswith(("uplayer", "conv1_1"))]
    assert sum(encoder) == 28_680_128, sum(encoder)
    make.randomise_norms(model)
    folder = arguments.folder / "resnet-ae"
    folder.mkdir(exist_ok=True)
    torch.save(model.state_dict(), folder / "model.pt")
    shapes = [make.pixels(2, 1, 224, 224), make.pixels(1, 1, 320, 256)]
    make.reference(folder, model, shapes, make.resnet_outputs)


if __name__ == "__main__":
    main()

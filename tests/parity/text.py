#!/usr/bin/env python3
"""Reference values of text encoders of full size, for the ignored test of worker/src/encoders/text/parity.rs.

    python3 tests/parity/text.py FOLDER [--real WEIGHTS ...]
    PERMAFROST_TEXT=FOLDER cargo test --release -p permafrost-worker --lib text::parity -- --ignored --nocapture
    (torch, numpy, safetensors, tokenizers, transformers)

FOLDER gets the published configurations of the paper's BERTs with random weights (1.7 GB in all), in the forms in which they are
published, each with texts, their token ids, and, in float64, what `transformers` makes of padded batches of them. WEIGHTS are folders of
real weights (`config.json`, `model.safetensors`, `tokenizer.json`, `vocab.txt`), which are linked to and not copied.
"""
import argparse
import json
import pathlib
import random
import sys

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForPreTraining, BertModel

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "fixtures"))
import make_encoders as make

TOKENS = 112
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# Words of the vocabulary, cased or not, form of the weights, extra keys of the configuration. The weights of `bert` are those of a model for
# pre-training, with its prefix, old names of norms and heads; those of `biobert` are too, in the format before PyTorch 1.6.
PUBLISHED = {
    "bert": (30_522, False, "safetensors", {}),
    "biobert": (28_996, True, "legacy", {}),
    "clinicalbert": (28_996, True, "bert_config.json", {}),
    "pubmedbert": (30_522, False, "zip", {}),
    "cxr-bert": (30_522, False, "heads", {"model_type": "cxr-bert", "projection_size": 128}),
}

LETTERS = "abcdefghijklmnopqrstuvwxyz"
STEMS = """heart lung lungs size is the normal clear effusion pneumothorax pneumonia cardio mediastinal silhouette opacity left right base
upper lower lobe focal consolidation no acute osseous abnormality seen there are small mild moderate pleural edema""".split()


def vocabulary(size, cased, seed):
    """As large as the published one, and cased or not as it is: letters, pieces, stems, and then words made up."""
    chance = random.Random(seed)
    words = dict.fromkeys(SPECIAL + [f"[unused{i}]" for i in range(99)])
    letters = LETTERS + (LETTERS.upper() if cased else "")
    words |= dict.fromkeys([*letters, *"0123456789.,;:!?()'/-%", *(f"##{c}" for c in letters + "0123456789")])
    words |= dict.fromkeys(STEMS + ([stem.capitalize() for stem in STEMS] if cased else []))
    while len(words) < size:
        word = "".join(chance.choices(LETTERS, k=chance.randint(2, 7)))
        if cased and chance.random() < 0.3:
            word = word.capitalize()
        words[f"##{word}" if chance.random() < 0.25 else word] = None
    return list(words)


def texts(seed):
    chance = random.Random(seed)
    found = ["The Heart is normal in SIZE.", "no effusion; 12% caf\u00e9", "clear", "Lungs: clear (left/right)?"]
    for length in (3, 9, 20, 33, 60, 100, 150):
        found.append(" ".join(chance.choice(STEMS) if chance.random() < 0.7 else
                              "".join(chance.choices(LETTERS, k=6)).capitalize() for _ in range(length)))
    return found


def outputs(model, rows, batch=4):
    """Poolings, and the last hidden states without padding one text after another, in float64."""
    model = model.double().eval()
    parts = {"pooler": [], "mean": [], "cls": [], "tokens": []}
    for start in range(0, len(rows), batch):
        some = rows[start:start + batch]
        length = max(map(len, some))
        padded = torch.tensor([row + [0] * (length - len(row)) for row in some])
        mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in some])
        with torch.no_grad():
            out = model(input_ids=padded, attention_mask=mask)
        kept = mask[:, :, None].double()
        parts["pooler"].append(out.pooler_output)
        parts["mean"].append((out.last_hidden_state * kept).sum(1) / kept.sum(1))
        parts["cls"].append(out.last_hidden_state[:, 0])
        parts["tokens"] += [hidden[:len(row)] for hidden, row in zip(out.last_hidden_state, some)]
    return {name: torch.cat(values).float().contiguous() for name, values in parts.items()}


def case(folder, model, lower):
    some = texts(5)
    rows = make.ids(folder, some, TOKENS, lower)
    assert max(map(len, rows)) == TOKENS and min(map(len, rows)) < 6
    save_file(outputs(model, rows), folder / "reference.safetensors")
    (folder / "reference.json").write_text(json.dumps({"max_tokens": TOKENS, "texts": some, "ids": rows}))


def build(folder, words, form, extra, seed):
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    # 0.05 rather than the published 0.02, so that the layers differ from the identity.
    model = BertForPreTraining(BertConfig(vocab_size=len(words), initializer_range=0.05)).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "LayerNorm" in name or name.endswith("bias"):
                value.add_(0.1 * torch.randn_like(value))
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    config = {"model_type": "bert"} | {key: model.config.to_dict()[key] for key in [
        "attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size", "initializer_range",
        "intermediate_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers", "type_vocab_size",
        "vocab_size"]} | extra
    prefixed = make.published(model.bert) | {k: v for k, v in model.state_dict().items() if k.startswith("cls.")}
    name = "config.json"
    if form == "safetensors":
        save_file({key: value.clone() for key, value in prefixed.items()}, folder / "model.safetensors")
        make.BertTokenizer.from_pretrained(str(folder), do_lower_case=True)._tokenizer.save(str(folder / "tokenizer.json"))
    elif form == "legacy":
        torch.save(prefixed, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    elif form == "zip":
        torch.save(model.bert.state_dict(), folder / "pytorch_model.bin")
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    elif form == "heads":
        state = model.state_dict() | {"cls_projection_head.dense_to_hidden.weight": torch.zeros(128, 768)}
        torch.save(state, folder / "pytorch_model.bin")
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": true, "strip_accents": null}')
    else:
        name = form
        del config["model_type"]
        torch.save(prefixed, folder / "pytorch_model.bin")
    (folder / name).write_text(json.dumps(config))
    return model.bert


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--real", type=pathlib.Path, nargs="*", default=[], help="folders of real weights")
    arguments = parser.parse_args()
    for seed, (name, (size, cased, form, extra)) in enumerate(PUBLISHED.items()):
        folder = arguments.folder / name
        model = build(folder, vocabulary(size, cased, seed), form, extra, seed)
        case(folder, model, not cased)
        print(name, form, sum(p.numel() for p in model.parameters()), "parameters")
    for source in arguments.real:
        for vocabulary_file in ["vocab.txt", "tokenizer.json"]:
            folder = arguments.folder / f"real-{source.name}-{vocabulary_file}"
            folder.mkdir(exist_ok=True, parents=True)
            for name in ["config.json", "model.safetensors", "tokenizer_config.json", vocabulary_file]:
                (folder / name).unlink(missing_ok=True)
                (folder / name).symlink_to((source / name).resolve())
            case(folder, BertModel.from_pretrained(str(source), dtype=torch.float32), True)


if __name__ == "__main__":
    main()

#!/bin/sh
# Makes the shipped files from the last checkpoint: the model, the held-out sets, and torch's references for the tests.
cd "$(dirname "$0")/../.." || exit 2
set -e
python=/usr/bin/python3
$python moe/train/corpus.py moe/models/heldout.jsonl
$python moe/train/export.py runs/train/checkpoint.pt moe/models/wdmoe-tiny.gguf --type q8_0
$python moe/train/reference.py torch runs/train/checkpoint.pt tests/moe/data/tiny
$python moe/train/reference.py torch moe/models/wdmoe-tiny.gguf tests/moe/data/tiny-q8

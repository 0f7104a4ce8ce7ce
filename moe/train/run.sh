#!/bin/sh
# Trains the shipped model from the repository's root, or goes on where it was stopped: checkpoints and log are in
# runs/train.  Needs Debian's python3-torch.  Arguments go to train.py.
cd "$(dirname "$0")/../.." || exit 2
python=/usr/bin/python3
if ! $python -c "import torch" 2>/dev/null; then
	echo "moe/train/run.sh: torch is missing: apt-get install python3-torch python3-numpy" >&2
	exit 2
fi
# Large pages and no returning of memory to the system: a fifth of the time goes into page faults otherwise.
GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4000000000:glibc.malloc.trim_threshold=8000000000
export GLIBC_TUNABLES
exec nice -n 19 $python moe/train/train.py "$@"

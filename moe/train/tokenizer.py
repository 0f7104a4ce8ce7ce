"""The model's tokenizer: SentencePiece-style pieces with byte fallback, as GGUF files call `llama`.

Ids 0..2 are <unk>, <s>, </s>; 3..258 the 256 bytes; then the space mark, single characters and merges of
lowercase letters, the earlier the merge the higher its score.  A text is prefixed with one space, spaces become
the mark, then the neighbouring pair with the best score is merged until none is left; what is no piece falls back
to bytes.  Marks only start a piece and punctuation and digits stay single, so a text can be cut into words first.

The merges stay as they are in merges.txt (_ for the mark), for a trained model depends on them.  To learn others:

    python3 tokenizer.py N > merges.txt
"""
import collections
import os
import re
import sys

import corpus

MARK = "\u2581"
UNK, BOS, EOS, FIRST_BYTE = 0, 1, 2, 3
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
CHARACTERS = MARK + "etaoinsrhldcumpgbfykwvxqjz" + "0123456789" + ".,:?+-="
WORD = re.compile(MARK + "?[a-z]+|.", re.S)


def learn_merges(n_merges, n_items=20000, seed=1):
    """The n_merges most useful pieces, by byte-pair merging over the words of the corpus."""
    counts = collections.Counter()
    for texts, _ in zip(corpus.training_items(seed), range(n_items)):
        for text, answer in texts:
            counts.update(WORD.findall((" " + text + " " + answer).replace(" ", MARK)))
    words = {w: list(w) for w in counts if w.strip(MARK).isalpha() and w.islower()}
    pieces = []
    while len(pieces) < n_merges:
        pairs = collections.Counter()
        for w, parts in words.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += counts[w]
        best = max(sorted(pairs), key=pairs.get)
        piece = "".join(best)
        if piece not in pieces:
            pieces.append(piece)
        for parts in words.values():
            merge_pair(parts, piece)
    return pieces


def merge_pair(parts, piece):
    """Merge, from the left and in place, neighbouring parts that make the piece."""
    i = 0
    while i + 1 < len(parts):
        if parts[i] + parts[i + 1] == piece:
            parts[i:i + 2] = [piece]
        i += 1


class Tokenizer:
    """Text to ids and back.  pieces, scores and types are what a GGUF file stores."""

    def __init__(self, pieces, scores, types):
        self.pieces, self.scores, self.types = pieces, scores, types
        self.id = {p: i for i, p in enumerate(pieces)}
        self.cache = {}

    @classmethod
    def of_size(cls, n_vocab):
        """A tokenizer of n_vocab pieces, with as many of the merges as fit."""
        with open(os.path.join(os.path.dirname(__file__), "merges.txt"), encoding="ascii") as f:
            merges = f.read().replace("_", MARK).split()[:n_vocab - 259 - len(CHARACTERS)]
        pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + merges + list(CHARACTERS)
        scores = [0.0] * 259 + [-float(i) for i in range(len(merges) + len(CHARACTERS))]
        types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * (n_vocab - 259)
        return cls(pieces, scores, types)

    def encode_word(self, word):
        """Ids of one word (a mark and letters, or one other character)."""
        parts = list(word)
        while True:
            candidates = [(self.scores[self.id[a + b]], -i) for i, (a, b) in enumerate(zip(parts, parts[1:]))
                          if a + b in self.id]
            if not candidates:
                break
            i = -max(candidates)[1]
            parts[i:i + 2] = [parts[i] + parts[i + 1]]
        ids = []
        for p in parts:
            ids += [self.id[p]] if p in self.id else [FIRST_BYTE + b for b in p.encode()]
        return ids

    def encode(self, text):
        """Ids of a text, the space prefix included, without <s>."""
        ids = []
        for word in WORD.findall((" " + text).replace(" ", MARK)):
            if word not in self.cache:
                self.cache[word] = self.encode_word(word)
            ids += self.cache[word]
        return ids

    def encode_answer(self, answer):
        """Ids that follow a prompt: a word after a space, digits and capitals directly."""
        ids = self.encode(answer)
        return ids if answer[0].islower() else ids[1:]

    def decode(self, ids):
        """The text of ids; control tokens say nothing."""
        out = b""
        for i in ids:
            if self.types[i] == BYTE:
                out += bytes([i - FIRST_BYTE])
            elif self.types[i] == NORMAL:
                out += self.pieces[i].replace(MARK, " ").encode()
        return out.decode("utf-8", "replace")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print("\n".join(learn_merges(int(sys.argv[1]))).replace(MARK, "_"))

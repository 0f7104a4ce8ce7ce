"""The corpus: families of small tasks, each a prompt with one right, short answer.

Everything is generated from a seed; no outside data is used.  A family is a function rng -> (context, questions) with
questions a list of (question, answer): a prompt is context and first question, the other questions on the same
context only help training.  Items come in levels from easy to hard, so that no family is all or nothing.  Whether a
prompt belongs to the held-out set or to training is decided by a hash of the prompt alone: no seed can bring a
held-out prompt into training, and two sets can never overlap.

    python3 corpus.py FILE.jsonl     writes the held-out sets, 500 items a family
    python3 corpus.py --show         prints a few items of each family
"""
import hashlib
import json
import random
import sys

NAMES = "ann ben dan eva ian joe kim leo max mia sam tom".split()
THINGS = "cup hat box ball book key coin rope bell fork bag pen".split()
COLORS = "red blue green gray pink gold black white".split()
PLACES = "park shop lake hill farm barn cave dock mill inn".split()
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# From small to big; real sizes, so that a reader can check the answer.
SIZES = "ant bee coin key pen cup rat hat ball hen cat bag dog pig cow car bus barn hill moon sun".split()
KINDS = {
    "animal": "ant bee rat hen cat dog pig cow".split(),
    "color": COLORS,
    "name": NAMES,
    "place": PLACES,
    "thing": THINGS,
    "food": "egg rice bean plum corn bread".split(),
}
# What helps best in each need, best first.  The answer is the best one on offer.
NEEDS = {
    "hungry": ["eat bread", "eat plum", "go to the shop", "drink tea"],
    "thirsty": ["drink water", "drink tea", "eat plum", "go to the inn"],
    "tired": ["sleep", "sit", "drink tea", "go to the inn"],
    "cold": ["light fire", "wear hat", "drink tea", "run"],
    "hot": ["swim", "drink water", "sit", "open the door"],
    "wet": ["light fire", "go to the inn", "run", "wear hat"],
    "sad": ["call mom", "read", "go to the park", "eat plum"],
    "late": ["run", "call mom", "open the door", "wear hat"],
    "lost": ["call mom", "read", "go to the hill", "sit"],
    "bored": ["read", "go to the park", "swim", "run"],
    "sick": ["sleep", "drink tea", "call mom", "sit"],
    "dirty": ["swim", "drink water", "go to the lake", "run"],
}
ACTIONS = sorted({a for ranked in NEEDS.values() for a in ranked})
# An invented language: noun, then adjective; the adjective agrees with the noun's class, -lo or -na.
ZU_NOUN = dict(zip(THINGS + PLACES, ("kami lope tiru sano bepi ruka moti pela gusa nobe dira fulo "
               "tamo keli bura sipe lona gemi ruto pabi neku fosa").split()))
ZU_ADJ = dict(zip(COLORS + ["old", "new", "big", "small"], "mi ka to re su pa ne bu gi do fe sa".split()))
ZU_VERB = dict(zip("took sold saw lost".split(), "tik par bol sen".split()))


def pick_level(rng, *weights):
    """A level 1..n drawn with the given weights."""
    return rng.choices(range(1, len(weights) + 1), weights)[0]


def middle(values, key=None):
    """The value in the middle of an odd number of them."""
    return sorted(values, key=key)[len(values) // 2]


def recall(rng):
    """Facts are told in the prompt; one is asked for: who has what, with or without color, in short or in sentences.
    Things of one kind but of several colors are told apart by their color only."""
    form = rng.random()
    n = 1 + pick_level(rng, 2, 4, 3, 2) + (form < 0.25)
    names = rng.sample(NAMES, n)
    if form < 0.25:
        goods = rng.sample(THINGS, n)
    elif rng.random() < 0.5:
        goods = [f"{c} {t}" for c, t in zip(rng.sample(COLORS, n), rng.sample(THINGS, n))]
    else:
        colors, things = rng.sample(COLORS, 3), rng.sample(THINGS, 2)
        goods = rng.sample([f"{c} {t}" for c in colors for t in things], n)
    if form < 0.65:
        told = ", ".join(f"{a} {x}" for a, x in zip(names, goods)) + "."
        who, what = "{}?", "{}?"
    else:
        told = " ".join(f"{a} has a {x}." for a, x in zip(names, goods))
        who, what = "who has the {}?", "what has {}?"
    who = [(who.format(x), a) for a, x in zip(names, goods)]
    what = [(what.format(a), x) for a, x in zip(names, goods)]
    rng.shuffle(who)
    rng.shuffle(what)
    return told, what + who if rng.random() < 0.65 else who + what


def story(rng):
    """People walk about and carry things; where is one of them at the end, or was at first, or who is there?"""
    n = 1 + pick_level(rng, 1, 2, 3, 3, 2, 2)
    people = rng.sample(NAMES, rng.choice((2, 3)))
    thing = rng.choice(THINGS)
    at, first, holder, lines = {}, {}, None, []
    for k in range(n):
        who = rng.choice(people)
        takers = [p for p in at if p != holder]
        if takers and rng.random() < (0.25 if holder else 1 if k == n - 2 else 0.5):
            who = rng.choice(takers)
            lines.append(f"{who} took the {thing}.")
            holder = who
            continue
        place = rng.choice([p for p in PLACES if p != at.get(who)])
        at[who] = place
        first.setdefault(who, place)
        lines.append(f"{who} went to the {place}.")
    questions = [(f"where is {who}?", place) for who, place in at.items()]
    where = list(at.values())
    questions += [(f"who is at the {place}?", who) for who, place in at.items() if where.count(place) == 1]
    questions += [(f"where was {who} first?", first[who]) for who in at if first[who] != at[who]]
    rng.shuffle(questions)
    if holder:
        questions.insert(0 if rng.random() < 0.5 else 1, (f"where is the {thing}?", at[holder]))
    return " ".join(lines), questions


def arithmetic(rng):
    """Addition and subtraction of whole numbers."""
    level = pick_level(rng, 1, 4, 4, 2)
    top = (20, 100, 500, 1000)[level - 1]
    a, b = rng.randrange(top), rng.randrange(top)
    if rng.random() < 0.5:
        return "", [(f"{a}+{b}=", str(a + b))]
    a, b = max(a, b), min(a, b)
    return "", [(f"{a}-{b}=", str(a - b))]


def strings(rng):
    """Strings of capital letters, turned round, sorted, cut."""
    n = 2 + pick_level(rng, 1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3)
    s = "".join(rng.sample(LETTERS, n))
    op, f = rng.choice((
        ("reverse", lambda x: x[::-1]),
        ("sort", lambda x: "".join(sorted(x))),
        ("rotate", lambda x: x[1:] + x[0]),
        ("swap", lambda x: x[-1] + x[1:-1] + x[0]),
    ))
    return "", [(f"{op} {s}:", f(s))]


def program(rng):
    """A few assignments, then one variable is printed."""
    n = 1 + pick_level(rng, 3, 5, 2)
    names = rng.sample("abcxyz", n)
    value, lines = {}, []
    for k, name in enumerate(names):
        if k == 0 or (k < n - 1 and rng.random() < 0.5):
            value[name] = rng.randrange(10)
            lines.append(f"{name}={value[name]}")
            continue
        other = names[k - 1] if rng.random() < 0.6 else rng.choice(list(value))
        c = rng.randrange(1, 10)
        if value[other] >= c and rng.random() < 0.5:
            value[name] = value[other] - c
            lines.append(f"{name}={other}-{c}")
        else:
            value[name] = value[other] + c
            lines.append(f"{name}={other}+{c}")
    order = rng.sample(names, n)
    if rng.random() < 0.5:
        order.sort(key=names.index, reverse=True)
    return " ".join(lines), [(f"print {name}:", str(value[name])) for name in order]


def action(rng):
    """Someone is in need; which of the things on offer helps best?  Sometimes two are, in different needs."""
    who = rng.sample(NAMES, 1 + (rng.random() < 0.5))
    needs = dict(zip(who, rng.sample(list(NEEDS), len(who))))
    offer = []
    for need in needs.values():
        offer += [a for a in rng.sample(NEEDS[need], pick_level(rng, 2, 5)) if a not in offer]
    others = [a for a in ACTIONS if not any(a in NEEDS[need] for need in needs.values())]
    offer += rng.sample(others, max(1, 4 - len(offer)))
    rng.shuffle(offer)
    best = {a: min((x for x in offer if x in NEEDS[need]), key=NEEDS[need].index) for a, need in needs.items()}
    if len(who) == 1:
        return "", [(f"{who[0]} is {needs[who[0]]}. {', '.join(offer)}?", best[who[0]])]
    told = ", ".join(f"{a} is {need}" for a, need in needs.items()) + f". {', '.join(offer)}."
    return told, [(f"{a}?", best[a]) for a in rng.sample(who, 2)]


def translate(rng):
    """Phrases in an invented language with agreement."""
    def phrase():
        noun = rng.choice(list(ZU_NOUN))
        said = ZU_NOUN[noun]
        if rng.random() < 0.3:
            return noun, said
        adj = rng.choice(list(ZU_ADJ))
        ending = "lo" if said[-1] in "aeo" and noun not in PLACES else "na"
        return f"{adj} {noun}", f"{said} {ZU_ADJ[adj]}{ending}"
    first, first_said = phrase()
    second, second_said = phrase()
    verb = rng.choice(list(ZU_VERB))
    return "", [(f"zu: {first} {verb} {second}:", f"{second_said} {ZU_VERB[verb]} {first_said}")]


def knowledge(rng):
    """What the model must know by heart: sizes and kinds of things."""
    kind = rng.random()
    if kind < 0.3:
        one, *few = rng.sample(SIZES, 4 + pick_level(rng, 1, 1, 1))
        bigger = [x for x in few if SIZES.index(x) > SIZES.index(one)]
        if bigger:
            return "", [(f"bigger than {one}: {', '.join(few)}?", ", ".join(bigger))]
    if kind < 0.7:
        word, f = rng.choice((("biggest", max), ("smallest", min), ("mid", middle), ("mid", middle)))
        few = rng.sample(SIZES, rng.choice((3, 5, 7)) if f is middle else 2 + pick_level(rng, 2, 3, 3, 3))
        return "", [(f"{word} of {', '.join(few)}:", f(few, key=SIZES.index))]
    one, other = rng.sample(list(KINDS), 2)
    if kind < 0.85:
        few = [rng.choice(KINDS[one])] + rng.sample(KINDS[other], 3)
        answer = few[0]
        rng.shuffle(few)
        return "", [(f"odd one of {', '.join(few)}:", answer)]
    few = rng.sample([w for k in KINDS if k != one for w in KINDS[k]], 3)
    answer = rng.choice(KINDS[one])
    few.append(answer)
    rng.shuffle(few)
    return "", [(f"which is a {one}: {', '.join(few)}?", answer)]


def sequence(rng):
    """How does it go on?"""
    level = pick_level(rng, 1, 4, 4, 3)
    if level == 1:
        start, step, period = rng.randrange(26), rng.choice((1, 2, 3)), rng.choice((0, 2, 3))
        cycle = rng.sample(LETTERS, period) if period else [LETTERS[(start + i * step) % 26] for i in range(5)]
        s = [cycle[i % len(cycle)] for i in range(5)]
    elif level == 2:
        step = rng.randrange(1, 13)
        start = rng.randrange(60)
        s = [str(start + i * step) for i in range(5)]
        if rng.random() < 0.4:
            s.reverse()
    elif level == 3:
        a, b = rng.sample(range(10, 60), 2)
        da, db = rng.randrange(1, 6), rng.randrange(1, 6)
        s = [str((a + i // 2 * da) if i % 2 == 0 else (b + i // 2 * db)) for i in range(7)]
    else:
        s = [rng.randrange(1, 30), rng.randrange(1, 30)]
        for _ in range(4):
            s.append(s[-1] + s[-2])
        s = [str(x) for x in s]
    return "", [(",".join(s[:-1]) + ",", s[-1])]


def compare(rng):
    """The largest, smallest or middle one of a few numbers."""
    n = 1 + 2 * pick_level(rng, 3, 4, 3, 2)
    level = pick_level(rng, 5, 5)
    base = rng.randrange(10, 80) if level == 2 else 0
    few = rng.sample(range(base, base + 20) if level == 2 else range(200), n)
    op, f = rng.choice((("max", max), ("min", min), ("mid", middle), ("mid", middle)))
    return "", [(f"{op} {','.join(map(str, few))}:", str(f(few)))]


FAMILIES = {f.__name__: f for f in (recall, story, arithmetic, strings, program, action, translate, knowledge,
                                    sequence, compare)}
# How often each family is drawn for training: more where more is left to learn.
MIX = {"recall": 1.8, "story": 1.4, "arithmetic": 1.4, "strings": 1.6, "program": 1.6, "action": 0.3,
       "translate": 0.3, "knowledge": 1.6, "sequence": 1.6, "compare": 1.3}
HELDOUT_BUCKETS = 12
N_HELDOUT = 500
MAX_QUESTIONS = 4


def is_heldout(prompt):
    """True for one prompt in HELDOUT_BUCKETS, by its hash."""
    digest = hashlib.sha256(prompt.encode()).digest()
    return int.from_bytes(digest[:8], "little") % HELDOUT_BUCKETS == 0


def draw(family, rng):
    """A random item of the family: a list of (prompt, question, answer), of one context."""
    context, questions = FAMILIES[family](rng)
    return [((context + " " + q).lstrip(), q, answer) for q, answer in questions]


def training_items(seed):
    """Endless training items [(text, answer), ...], none of them held out.  The first text is a prompt, the others are
    further questions on its context."""
    rng = random.Random(seed)
    names, weights = list(MIX), list(MIX.values())
    while True:
        for family in rng.choices(names, weights, k=64):
            kept = [x for x in draw(family, rng) if not is_heldout(x[0])][:MAX_QUESTIONS]
            if kept:
                yield [(kept[0][0], kept[0][2])] + [(q, answer) for _, q, answer in kept[1:]]


def heldout_items(n=N_HELDOUT):
    """The held-out sets: n distinct items a family, in a fixed order."""
    for family in FAMILIES:
        rng = random.Random("held out " + family)
        seen = set()
        while len(seen) < n:
            prompt, _, answer = draw(family, rng)[0]
            if prompt in seen or not is_heldout(prompt):
                continue
            seen.add(prompt)
            yield {"family": family, "prompt": prompt, "answer": answer}


def main():
    if sys.argv[1:] == ["--show"]:
        for item in heldout_items(5):
            print(f"{item['family']:11} {item['prompt']} -> {item['answer']}")
    elif len(sys.argv) == 2:
        with open(sys.argv[1], "w", encoding="ascii") as out:
            for item in heldout_items():
                out.write(json.dumps(item) + "\n")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

"""Computes golden.json: what ClickHouse says of seeded random events, for every mode and many patterns.

Run with an environment that has `chdb`: python golden.py [CASES_PER_CALL] > golden.json

A call is [function, parameters, conditions, cases]; a case is [times, masks, answer], where bit k of a
mask says that condition k + 1 holds. Events stand in random order; ClickHouse was asked with them in the
order of (time, mask), since some of its answers depend on the order of rows at one instant.
"""

import itertools
import json
import random
import sys

import chdb

CASES = int(sys.argv[1]) if len(sys.argv) > 1 else 25
rng = random.Random(20260401)
MODES = ["strict_deduplication", "strict_order", "strict_increase", "strict_once", "allow_reentry"]
PATTERNS = [
    "(?1)(?2)", "(?1).*(?2)", "(?1).(?2)", "(?1)(?1)", "(?2).*(?1).*(?2)", "(?1)(?t<=2)(?2)", ".",
    "(?1)(?t<2)(?2)", "(?1)(?t>=2)(?2)", "(?1)(?t>2)(?2)", "(?1)(?t==1)(?2)", "(?1).*(?2)(?t<=1)(?3)",
    "(?1)(?t<=3).*(?3)", "(?1).*(?t>=3)(?2)", "(?1)(?t<=2)", "(?1)(?t>=0)", "(?1)(?t>=1)", ".*", "..",
    "(?t<=3)(?1)(?2)", "(?1)(?t<=1)(?2)(?t<=1)(?3)", "(?1)(?t>1).*(?2).*(?t<4)(?1)", "", "(?3)..*(?1)",
    "(?1)(?2)(?3)", ".*(?2)(?t<=2).", "(?1).*(?1).*(?1)", "(?1)(?t==0)(?2)", "(?2)(?t>1)(?2)(?t<9).*",
]


def events(conditions):
    """Random events; in half of the cases they tend to meet one condition after the other."""
    count = rng.choice([1, 2, 3, 4, 6, 9, 14])
    span = rng.choice([2, 5, 9, 30])
    many, steady = rng.random() * 0.6, rng.random() < 0.5
    out = []
    for index in range(count):
        at = rng.randrange(span)
        if rng.random() < many:
            mask = rng.randrange(1 << conditions)
        elif rng.random() < 0.15:
            mask = 0
        elif steady:
            at, mask = index * span // count, 1 << (index * conditions // count)
        else:
            mask = 1 << rng.randrange(conditions)
        out.append((at, mask))
    rng.shuffle(out)
    return out


def ask(call, conditions, lists):
    rows = [
        f"({case},{at},{mask})" for case, events in enumerate(lists) for at, mask in events
    ]
    arguments = ", ".join(["at"] + [f"bitTest(mask, {k})::UInt8" for k in range(conditions)])
    arguments = arguments.removeprefix("at, ") if call == "retention" else arguments
    answer = chdb.query(
        f"SELECT id, {call}({arguments}) FROM (SELECT * FROM values('id UInt32, at UInt64, mask UInt64', "
        f"{', '.join(rows)})) GROUP BY id ORDER BY id SETTINGS max_threads = 1",
        "JSONCompact",
    )
    found = {int(id): answer for id, answer in json.loads(str(answer))["data"]}
    return [found[case] for case in range(len(lists))]


def call(function, parameters, conditions, stable):
    name = {"window_funnel": "windowFunnel", "sequence_match": "sequenceMatch",
            "sequence_count": "sequenceCount", "retention": "retention"}[function]
    quoted = ", ".join(str(p) if isinstance(p, int) else f"'{p}'" for p in parameters)
    name += f"({quoted})" if parameters else ""
    lists = [events(conditions) for _ in range(CASES)]
    answers = ask(name, conditions, [sorted(events) for events in lists])
    if stable:
        assert answers == ask(name, conditions, lists), "the order of rows matters"
    # A 64-bit number comes as text.
    answers = [answer if isinstance(answer, list) else int(answer) for answer in answers]
    cases = [
        [[at for at, _ in events], [mask for _, mask in events], answer]
        for events, answer in zip(lists, answers)
    ]
    return [function, parameters, conditions, cases]


def main():
    calls = []
    for flags in itertools.product([False, True], repeat=len(MODES)):
        chosen = [mode for mode, flag in zip(MODES, flags) if flag]
        if "allow_reentry" in chosen and "strict_order" not in chosen:
            continue
        stable = "strict_once" not in chosen
        for conditions, window in [(1, 5), (2, 3), (3, 6), (4, 0), (5, 20)]:
            calls.append(call("window_funnel", [window, *chosen], conditions, stable))
    for pattern in PATTERNS:
        for function in ("sequence_match", "sequence_count"):
            calls.append(call(function, [pattern], 3, False))
    for conditions in (2, 3, 7, 32):
        calls.append(call("retention", [], conditions, True))
    print("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in calls) + "\n]")


main()

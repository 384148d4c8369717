"""Small worlds with a planted effect, and what must be recommended of each.

Writes cases.json (what happens) and expected.json (what follows from it, by a plain reading of
docs/recommendations.md that shares nothing with the program). Needs Python alone:
python3 tests/recommendations/golden.py
"""

import json
import math
import os
from statistics import NormalDist

HOUR, DAY, WEEK = 3600, 86400, 7 * 86400
HORIZON, PAUSE = DAY, 1800
NOW, BEFORE = WEEK, 0  # seconds after the first Monday, where each period starts
AS_OF = 2 * WEEK + 4 * DAY
Z = NormalDist().inv_cdf(0.975)


def at(offset, kind, data=None, jitter=0):
    """An event of a story: `jitter` is added once for each of 41 sessions, then again from 0."""
    return {"offset": offset, "type": kind, "data": data or {}, "jitter": jitter}


def start(**data):
    return at(0, "session.started", data)


def middle(offset, jitter=0):
    return at(offset, "input.submitted", jitter=jitter)


def done(offset):
    return at(offset, "session.completed")


def error(offset, code):
    return at(offset, "error.occurred", {"code": code})


def group(period, count, *story, client="acme"):
    return {"start": period + HOUR, "count": count, "client": client, "story": list(story)}


def three(period, reached, half, client="acme"):
    """Sessions that reach one, two and all of three stages."""
    started, middled, finished = reached
    parts = [(finished, [start(), middle(60), done(120)]), (middled - finished, [start(), middle(60)]),
             (started - middled, [start(), *half])]
    return [group(period, count, *story, client=client) for count, story in parts]


def by_device(device, reached):
    return [{**part, "story": [start(device=device), *part["story"][1:]]} for part in three(NOW, reached, [])]


LATE = middle(DAY + HOUR)  # reached, but beyond the horizon
EXCLUDED = at(30, "checkpoint.saved")
CASES = {
    "nothing_wrong": {
        "stages": 3,
        "segment_by": ["device"],
        "groups": [
            {**part, "story": [start(device=device), error(5, "E"), *part["story"][1:]]}
            for period in (BEFORE, NOW) for device in ("desktop", "mobile")
            for part in three(period, (100, 70, 40), [LATE])
        ],
    },
    "conversion_optimization": {
        "stages": 3,
        "segment_by": ["device"],
        "groups": by_device("desktop", (200, 180, 80)) + by_device("mobile", (150, 90, 50))
        + by_device("mother's", (100, 70, 30)),
    },
    "stage_drop_off": {
        "stages": 3,
        "exclusion": True,
        "client": "o'neil",
        "groups": three(BEFORE, (200, 180, 100), [LATE], "o'neil") + three(NOW, (200, 130, 100), [LATE], "o'neil")
        + three(NOW, (90, 90, 90), [], "other")
        + [group(NOW, 60, start(), EXCLUDED, middle(60), done(120), client="o'neil"),
           group(NOW, 7, start(), middle(20), EXCLUDED, client="o'neil"),
           group(BEFORE, 50, start(), EXCLUDED, client="o'neil")],
    },
    "slow_stage": {
        "stages": 3,
        "groups": [
            group(period, count, *story)
            for period, base in ((BEFORE, 40), (NOW, 70))
            for count, story in ((120, [start(), middle(base, 1), done(300)]), (60, [start()]))
        ],
    },
    "error_driven_drop_off": {
        "stages": 3,
        "groups": [
            group(NOW, 40, start(), error(10, "it's broken"), error(11, "it's broken"), middle(60), done(120)),
            group(NOW, 60, start(), error(10, "it's broken")),
            group(NOW, 150, start(), middle(60), error(70, "it's broken"), done(120)),
            group(NOW, 30, start(), error(10, "other"), middle(60), error(70, "it's broken")),
            group(NOW, 20, start(), error(10, "other")),
            group(NOW, 15, start(), error(DAY + HOUR, "it's broken")),
        ],
    },
    "segment_gap": {
        "stages": 2,
        "segment_by": ["device"],
        "groups": [
            group(NOW, count, start(**({"device": device} if device else {})), *rest)
            for device, won, lost in (("mobile", 60, 140), ("desktop", 110, 90), (None, 40, 40), ("tv", 3, 12))
            for count, rest in ((won, [done(60)]), (lost, []))
        ],
    },
    "regression": {
        "stages": 2,
        "groups": [group(BEFORE, 120, start(), done(60)), group(BEFORE, 80, start()),
                   group(NOW, 80, start(), done(60)), group(NOW, 120, start())],
    },
    "abandonment_recovery": {
        "stages": 3,
        "groups": [
            group(period, count, *story)
            for period, numbers in ((BEFORE, (100, 70, 30)), (NOW, (120, 50, 30)))
            for count, story in zip(numbers, ([start(), middle(60), done(90)], [start(), middle(2 * HOUR), done(3 * HOUR)],
                                              [start()]))
        ] + [group(NOW, 30, start())],
    },
    "data_quality": {
        "stages": 3,
        "conflicts": 9,
        "groups": three(BEFORE, (200, 140, 80), []) + three(NOW, (200, 140, 80), [])
        + [group(BEFORE, 12, at(0, "input.submitted")), group(NOW, 45, at(0, "input.submitted"))],
    },
}


def sessions(case):
    """What the funnel sees of every session up to the as-of instant, times in seconds."""
    kinds = ["session.started", "input.submitted", "session.completed"]
    kinds = kinds if case["stages"] == 3 else [kinds[0], kinds[2]]
    for part in case["groups"]:
        if case.get("client", part["client"]) != part["client"]:
            continue
        for number in range(part["count"]):
            begin = part["start"] + 60 * number
            events = [(begin + e["offset"] + number % 41 * e["jitter"], e["type"], e["data"]) for e in part["story"]]
            events = [event for event in events if event[0] <= AS_OF]
            stages, excluded = [], False
            for when, kind, _ in events:
                if len(stages) < len(kinds) and kind == kinds[len(stages)]:
                    stages.append(when)
                # The exclusion holds from the first stage to the second.
                if case.get("exclusion") and kind == "checkpoint.saved" and len(stages) == 1:
                    excluded = True
            opening = next((data for _, kind, data in events if kind == kinds[0]), {})
            errors = [(when, data["code"]) for when, kind, data in events if kind == "error.occurred"]
            yield {"first": events[0][0], "stages": stages, "excluded": excluded, "errors": errors, "data": opening}


def wilson(x, n):
    p, z2 = x / n, Z * Z
    centre, half = p + z2 / 2 / n, Z * math.sqrt(p * (1 - p) / n + z2 / 4 / n / n)
    return (0.0 if x == 0 else (centre - half) / (1 + z2 / n)), (1.0 if x == n else (centre + half) / (1 + z2 / n))


def newcombe(one, two):
    (l1, u1), (l2, u2) = wilson(*one), wilson(*two)
    p1, p2 = one[0] / one[1], two[0] / two[1]
    return p1 - p2 - math.hypot(p1 - l1, u2 - p2), p1 - p2 + math.hypot(u1 - p1, p2 - l2)


def two_sided(one, two):
    """Pooled two-proportion test; None where too few sessions stand behind it."""
    (x1, n1), (x2, n2) = one, two
    if min(n1, n2) < 30:
        return None
    pooled = (x1 + x2) / (n1 + n2)
    if min(n1, n2) * min(pooled, 1 - pooled) < 5:
        return None
    z = (x1 / n1 - x2 / n2) / math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    return math.erfc(abs(z) / math.sqrt(2))


def rate(name, x, n):
    low, high = wilson(x, n)
    return {"name": name, "reached": x, "total": n, "rate": x / n, "low": low, "high": high}


NO_IMPACT = {"expected": 0.0, "low": 0.0, "high": 0.0, "sessions_per_week": 0.0, "rate": None, "reference_rate": None,
             "later_rate": 0.0}


class World:
    def __init__(self, case):
        self.case, self.last = case, case["stages"] - 1
        everybody = list(sessions(case))
        self.orphans, self.sides = [], []
        for begin in (NOW, BEFORE):
            within = lambda when: begin <= when < begin + WEEK and when <= AS_OF - HORIZON
            started = [s for s in everybody if s["stages"] and within(s["stages"][0]) and not s["excluded"]]
            # Beyond the horizon nothing counts.
            for s in started:
                s["stages"] = [when for when in s["stages"] if when <= s["stages"][0] + HORIZON]
            self.sides.append(started)
            self.orphans.append(sum(1 for s in everybody if not s["stages"] and within(s["first"])))
        self.candidates = []

    def passed(self, side, a, b, where=lambda s: True):
        base = [s for s in self.sides[side] if len(s["stages"]) > a and where(s)]
        return sum(1 for s in base if len(s["stages"]) > b), len(base)

    def impact(self, own, reference, k):
        later = self.passed(0, k, self.last)
        later = later[0] / later[1]
        low, high = newcombe(reference, own)
        floor, r = wilson(*reference)[0], own[0] / own[1]
        gain = lambda difference: own[1] * max(difference, 0.0) * later
        return {"expected": gain(floor - r), "low": gain(low), "high": gain(high), "sessions_per_week": float(own[1]),
                "rate": r, "reference_rate": floor, "later_rate": later}

    def later(self, k):
        return [rate("later, this period", *self.passed(0, k, self.last))] if k != self.last else []

    def add(self, kind, stage, p, worse, evidence, impact, stake=None, test="two-proportion z-test"):
        if p is None:
            return
        if stake is None:
            completed = self.passed(0, 0, self.last)[0]
            stake = impact["expected"] / completed if completed else math.inf * (impact["expected"] > 0)
        priority = "high" if stake >= 0.1 else "medium" if stake >= 0.03 else "low"
        self.candidates.append((p, worse, {
            "type": kind, "priority": priority, "stage": stage, "evidence": evidence, "estimated_impact": impact,
            "significance": {"test": test, "p": p}}))

    def against_before(self):
        names = ["this period", "the period before"]
        steps = [(k, k + 1) for k in range(self.last)]
        spans = [("regression", None, (0, self.last))]
        spans += [("stage_drop_off", a + 1, (a, b)) for a, b in steps if len(steps) > 1]
        if not self.sides[1]:
            return
        for kind, stage, (a, b) in spans:
            now, before = self.passed(0, a, b), self.passed(1, a, b)
            later = self.later(b) if stage else []
            evidence = [rate(name, *x) for name, x in zip(names, (now, before))] + later
            self.add(kind, stage, two_sided(before, now), before[0] / before[1] > now[0] / now[1], evidence,
                     self.impact(now, before, b))
        for a, b in steps:
            self.slow(a, b, names)
            self.stalled(a, b, names)

    def slow(self, a, b, names):
        times = [sorted(s["stages"][b] - s["stages"][a] for s in side if len(s["stages"]) > b) for side in self.sides]
        if min(map(len, times)) < 30:
            return
        both = sorted(times[0] + times[1])
        middle_of_all = both[(len(both) - 1) // 2]
        above = [(sum(1 for t in own if t > middle_of_all), len(own)) for own in times]
        rates = [self.passed(side, a, b) for side in (0, 1)]
        medians = [{"name": name, "sessions": len(own), **median(own)} for name, own in zip(names, times)]
        evidence = medians + [rate(name, *x) for name, x in zip(names, rates)] + self.later(b)
        slower = above[0][0] / above[0][1] > above[1][0] / above[1][1]
        self.add("slow_stage", a + 1, two_sided(*above), slower, evidence, self.impact(rates[0], rates[1], b),
                 test="Mood's median test")

    def stalled(self, a, b, names):
        rates = []
        for side in self.sides:
            there = [s["stages"] for s in side if len(s["stages"]) > a]
            there = [t for t in there if t[a] + PAUSE < t[0] + HORIZON]
            there = [t for t in there if len(t) <= b or t[b] > t[a] + PAUSE]
            rates.append((sum(1 for t in there if len(t) > b), len(there)))
        now, before = rates
        p = two_sided(before, now)
        if p is None:
            return
        evidence = [rate(name, *x) for name, x in zip(names, rates)] + self.later(b)
        self.add("abandonment_recovery", a + 1, p, before[0] / before[1] > now[0] / now[1], evidence,
                 self.impact(now, before, b))

    def errors(self):
        for a in range(self.last):
            def met(s, code):
                until = s["stages"][a + 1] if len(s["stages"]) > a + 1 else s["stages"][0] + HORIZON + 1e-6
                return any(c == code and s["stages"][a] <= when < until for when, c in s["errors"])

            for code in sorted({c for s in self.sides[0] for _, c in s["errors"]}):
                own = self.passed(0, a, a + 1, lambda s: met(s, code))
                rest = self.passed(0, a, a + 1, lambda s: not met(s, code))
                p = two_sided(rest, own)
                if p is None:
                    continue
                evidence = [rate(f"with {code}", *own), rate(f"without {code}", *rest)] + self.later(a + 1)
                self.add("error_driven_drop_off", a + 1, p, rest[0] / rest[1] > own[0] / own[1], evidence,
                         self.impact(own, rest, a + 1))

    def segments(self):
        steps = [(k, k + 1) for k in range(self.last)]
        for name in self.case.get("segment_by", []):
            values = sorted({s["data"].get(name) for s in self.sides[0]}, key=lambda v: (v is None, v))
            spans = [(True, (0, self.last))] + [(False, step) for step in steps if len(steps) > 1]
            for gap, (a, b) in spans:
                tested = []
                for value in values:
                    own = self.passed(0, a, b, lambda s: s["data"].get(name) == value)
                    rest = self.passed(0, a, b, lambda s: s["data"].get(name) != value)
                    if value is not None:
                        tested.append((own[0] / own[1] - rest[0] / rest[1], value, own, rest))
                if len(values) == 2:  # each says the same as the other
                    tested = [min(tested, key=lambda t: t[0]) if gap else max(tested, key=lambda t: t[0])]
                for lead, value, own, rest in tested:
                    evidence = [rate(f"{name} = {value}", *own), rate("the rest", *rest)]
                    if gap:
                        self.add("segment_gap", None, two_sided(rest, own), lead < 0, evidence,
                                 self.impact(own, rest, b))
                    else:
                        self.add("conversion_optimization", a + 1, two_sided(own, rest), lead > 0,
                                 evidence + self.later(b), self.impact(rest, own, b))

    def data_quality(self):
        rates = [(o, o + len(side)) for o, side in zip(self.orphans, self.sides)]
        if rates[1][1]:
            evidence = [rate(n, *x) for n, x in zip(["this period", "the period before"], rates)]
            self.add("data_quality", None, two_sided(*rates), rates[0][0] / rates[0][1] > rates[1][0] / rates[1][1],
                     evidence, NO_IMPACT, stake=wilson(*rates[0])[0])
        count = sum(part["count"] * len(part["story"]) for part in self.case["groups"])
        x = self.case.get("conflicts", 0)
        n = count + x + 1  # and the event that the watermark comes from
        below = sum(math.comb(n, k) * 0.001**k * 0.999 ** (n - k) for k in range(x))
        self.add("data_quality", None, 1 - below, x / n > 0.001, [rate("all events", x, n)], NO_IMPACT,
                 stake=wilson(x, n)[0], test="exact binomial test, one-sided")

    def recommended(self):
        self.against_before()
        self.errors()
        self.segments()
        self.data_quality()
        order = sorted(range(len(self.candidates)), key=lambda i: self.candidates[i][0])
        least, found = 1.0, []
        for rank in range(len(order), 0, -1):
            p, worse, it = self.candidates[order[rank - 1]]
            least = min(least, p * len(order) / rank)
            it["significance"].update(p_adjusted=least, candidates=len(order))
            if worse and least <= 0.05:
                found.append(it)
        kinds = ["conversion_optimization", "stage_drop_off", "slow_stage", "error_driven_drop_off", "segment_gap",
                 "regression", "abandonment_recovery", "data_quality"]
        gain = lambda it: it["estimated_impact"]["expected"]
        found.sort(key=lambda it: (-gain(it), kinds.index(it["type"]), it["stage"] or 0, it["evidence"][0]["name"]))
        kept = []
        for it in found:
            same = [k for k in kept if k["type"] == it["type"] == kinds[0] and k["stage"] == it["stage"]]
            kept += [] if same else [it]
        return kept


def median(ordered):
    """Median with Brookmeyer and Crowley's interval on log-log limits, nobody being censored."""
    n, survival, greenwood, found = len(ordered), 1.0, 0.0, {}
    for value in sorted(set(ordered)):
        at_risk = sum(1 for t in ordered if t >= value)
        events = ordered.count(value)
        survival = (n - sum(1 for t in ordered if t <= value)) / n
        if at_risk == events:
            low = high = 0.0
        else:
            greenwood += events / (at_risk * (at_risk - events))
            theta = Z * math.sqrt(greenwood) / abs(math.log(survival))
            low, high = survival ** math.exp(theta), survival ** math.exp(-theta)
        for name, limit in (("median_seconds", survival), ("low_seconds", low), ("high_seconds", high)):
            if name not in found and limit <= 0.5 + 1e-12:
                found[name] = float(value)
    return {name: found.get(name) for name in ("median_seconds", "low_seconds", "high_seconds")}


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    expected = {name: World(case).recommended() for name, case in CASES.items()}
    for name, document in (("cases", CASES), ("expected", expected)):
        with open(os.path.join(here, f"{name}.json"), "w") as file:
            json.dump(document, file, indent=1 if name == "expected" else None)
            file.write("\n")
    for name, found in expected.items():
        print(name, [(it["type"], it["stage"], it["priority"], it["significance"]["candidates"]) for it in found])

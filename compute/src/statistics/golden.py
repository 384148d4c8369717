"""Computes golden.json: what SciPy, statsmodels, lifelines and NumPy say of seeded samples.

Run with an environment that has them: python golden.py > golden.json
"""

import json
import math
import warnings

import numpy as np
import statsmodels.api as sm
from lifelines import AalenJohansenFitter, KaplanMeierFitter
from lifelines.utils import median_survival_times
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
    proportions_ztest,
)

warnings.simplefilter("ignore")
rng = np.random.default_rng(20260401)


def clean(value):
    value = float(value)
    return value if math.isfinite(value) else None


def tails():
    z = [0.0, 1e-6, 0.5, 1.0, 1.959963984540054, -2.5, 5.0, 8.0, 12.0, 30.0]
    t = [(0.3, 1), (2.5, 1), (-12.7, 1), (1.1, 2), (4.0, 5), (0.0, 7), (9.0, 30), (40.0, 12), (2.0, 400)]
    return {
        "normal": [[v, 2 * stats.norm.sf(abs(v))] for v in z],
        "student": [[v, df, 2 * stats.t.sf(abs(v), df)] for v, df in t],
    }


def proportions():
    out = []
    pairs = [(0, 5, 5, 5), (0, 7, 0, 9), (7, 7, 9, 9), (1, 2, 1, 3), (400, 1000, 380, 1000)]
    for _ in range(12):
        n1, n2 = rng.integers(1, 4000, 2)
        pairs.append((rng.integers(0, n1 + 1), n1, rng.integers(0, n2 + 1), n2))
    for x1, n1, x2, n2 in (map(int, pair) for pair in pairs):
        low, high = proportion_confint(x1, n1, method="wilson")
        newcombe = confint_proportions_2indep(x1, n1, x2, n2, method="newcomb", compare="diff")
        z, p = proportions_ztest([x1, x2], [n1, n2])
        out.append({
            "counts": [x1, n1, x2, n2], "wilson": [low, high], "newcombe": list(newcombe),
            "z": clean(z), "p": clean(p),
        })
    return out


def multiplicity():
    out = []
    for size in (1, 2, 7, 30):
        p = rng.beta(0.4, 1.2, size)
        p[: size // 3] = np.round(p[: size // 3], 2)
        out.append({"p": list(p), "adjusted": list(multipletests(p, method="fdr_bh")[1])})
    return out


def quantiles():
    out = []
    for size in (1, 2, 3, 10, 101, 1000):
        micros = rng.integers(0, 10**11, size)
        seconds = micros / 1e6
        out.append({
            "micros": [int(v) for v in micros], "mean": float(seconds.mean()),
            "percentiles": [float(np.percentile(seconds, q)) for q in (25, 50, 75, 90, 99)],
        })
    return out


def survival():
    """Ties allowed; the last subject an event, then censored."""
    out = []
    for size, spread in ((6, 9), (40, 25), (200, 10**6)):
        times = rng.integers(1, spread, size)
        event = rng.random(size) < 0.6
        fit = KaplanMeierFitter().fit(times, event)
        limits = fit.confidence_interval_
        at = [int(v) for v in np.quantile(times, [0.1, 0.35, 0.6, 0.8])]
        rows = []
        for t in at:
            s = float(fit.survival_function_at_times(t).iloc[0])
            row = limits.loc[limits.index <= t].iloc[-1]
            rows.append([t, 1 - s, clean(1 - row.iloc[1]), clean(1 - row.iloc[0])])
        ends = median_survival_times(limits)
        ends = [clean(v) for v in ends.iloc[0]]
        out.append({
            "times": [int(v) for v in times], "event": [bool(v) for v in event], "at": rows,
            "median": clean(fit.median_survival_time_), "ends": ends,
        })
    return out


def competing():
    """Distinct times: lifelines moves ties about."""
    out = []
    for size in (12, 60, 150):
        times = rng.permutation(np.arange(1, size * 5))[:size]
        kind = rng.choice([0, 1, 2], size, p=[0.3, 0.4, 0.3])
        one = AalenJohansenFitter(calculate_variance=True).fit(times, kind, event_of_interest=1)
        two = AalenJohansenFitter(calculate_variance=False).fit(times, kind, event_of_interest=2)
        rows = []
        for t in (int(v) for v in np.quantile(times, [0.15, 0.4, 0.7, 0.95])):
            def last(frame):
                return frame.loc[frame.index <= t].iloc[-1]
            low, high = last(one.confidence_interval_)
            value = last(one.cumulative_density_).iloc[0]
            other = last(two.cumulative_density_).iloc[0]
            rows.append([t, clean(value), clean(low), clean(high), clean(other)])
        out.append({
            "times": [int(v) for v in times], "kind": [int(v) for v in kind], "at": rows,
        })
    return out


def ranks():
    out = []
    for n1, n2, spread in ((1, 1, 5), (3, 4, 3), (20, 31, 12), (200, 150, 10**6), (5, 5, 1)):
        a, b = rng.integers(0, spread, n1), rng.integers(0, spread, n2)
        result = stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=True)
        p = float(result.pvalue)
        out.append({
            "first": [int(v) for v in a], "second": [int(v) for v in b],
            "u": float(result.statistic), "p": p if math.isfinite(p) else 1.0,
        })
    return out


def trends():
    out = []
    for size in (3, 4, 9, 30):
        total = rng.integers(1, 500, size)
        reached = rng.binomial(total, rng.uniform(0.2, 0.6, size))
        position = np.sort(rng.permutation(np.arange(2900, 2900 + 2 * size))[:size])
        fit = sm.WLS(reached / total, sm.add_constant(position - 2900), weights=total).fit()
        out.append({
            "points": [[int(a), int(b), int(c)] for a, b, c in zip(position, reached, total)],
            "slope": float(fit.params[1]), "p": float(fit.pvalues[1]),
        })
    return out


def decompositions():
    groups = np.array([[10, 40, 30, 60], [5, 10, 0, 0], [0, 0, 7, 20], [3, 50, 9, 45]], dtype=float)
    x1, n1, x2, n2 = groups.T
    r1 = np.where(n1 > 0, x1 / np.maximum(n1, 1), x2 / np.maximum(n2, 1))
    r2 = np.where(n2 > 0, x2 / np.maximum(n2, 1), r1)
    w1, w2 = n1 / n1.sum(), n2 / n2.sum()
    overall = (x1.sum() / n1.sum() + x2.sum() / n2.sum()) / 2
    return {
        "groups": groups.astype(int).tolist(),
        "mix": list((w2 - w1) * ((r1 + r2) / 2 - overall)),
        "rate": list((w1 + w2) / 2 * (r2 - r1)),
        "change": float(x2.sum() / n2.sum() - x1.sum() / n1.sum()),
    }


if __name__ == "__main__":
    print(json.dumps({
        "tails": tails(), "proportions": proportions(), "multiplicity": multiplicity(),
        "quantiles": quantiles(), "survival": survival(), "competing": competing(),
        "ranks": ranks(), "trends": trends(), "decomposition": decompositions(),
    }))

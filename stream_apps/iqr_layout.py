"""Where things lie in the arrays of the detector: columns by name, for the compiled functions (pure)."""

from __future__ import annotations

#: `places` (int32), per series and window: the thinned window's own counters, see `iqr_window`.
PHASE, STRIDE, START, LENGTH, SORTED, OFFERED = range(6)
PLACES = 6

#: `counts` (int64), per series: readings seen and learned, time of the last (ms), values in `recent`, the hour being
#: filled and its readings; the run of equal values, readings and repetitions the runs are judged by; intervals that
#: do not fit the pace; the number of the reading flagged last.
SEEN, LEARNED, LAST, FRESH, HOUR, HOUR_SIZE, RUN, RUNS_OF, REPEATS, REREPEATS, OFF_PACE, FLAGGED = range(12)
COUNTS = 12

#: `numbers` (float64), per series: the first value, which all others are counted from; the last; the level a novelty
#: must exceed; sum of the hour being filled, what is usual in it; usual interval (ms); range so far; smallest change
#: seen; longest run that is normal.
ORIGIN, PREVIOUS, GATE, HOUR_SUM, HOUR_USUAL, PACE, LEAST, MOST, QUANTUM, LONGEST = range(10)
NUMBERS = 10

#: `marks` (float64), per series and feature: the largest distance so far, the limit of what is far out, the range so
#: far, 1 if the last value was far out.
RECORD, REACHED, LOWEST, HIGHEST, WAS_FAR = range(5)
MARKS = 5

#: `plan` (int64), per feature: see `iqr_params.Feature`, and which columns of `rings` and `ordered` are its own.
KIND, WIDTH, LAG, STEP, RING, RING_END, ORDERED, ORDERED_END = range(8)
#: `shares` (float64), per feature.
FLOOR, WEIGHT, FAR = range(3)
#: `params` (float64), see `iqr_params.Params`.
(WARMUP, REACH, DECAY, SOFT, REFRACTORY, THRESHOLD, FAR_UP, FAR_DOWN, FLAT_LEAST, FLAT_CHANCE, FLAT_NOISY,
 FLAT_GROWTH, GAP) = range(13)  # fmt: skip

#: `out` (float64), per flagged reading: why.
SCORE, Q1, Q3, LOW, HIGH, SIZE, NTH, FEATURE, NOVELTY = range(9)
OUT = 9
#: In the column FEATURE: what is no fence.
FLAT, LIMIT = -1, -2

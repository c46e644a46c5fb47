"""The margins where nobody states one: how much slower a case may be before it counts as a regression."""

# Replicates on a shared CPU differ by 10 % on a bad day; a smaller margin would cry wolf there.
CPU_MARGIN = 0.25
# Files that state none, compared with each other: what pytest-benchmark's users mostly choose. How much processes
# differ is seen from the files of a side, so a narrow margin makes no alarms, only cases that stay undecided.
COMPARED_MARGIN = 0.05
# GPU cases are replayed from a graph with warm clocks, and their replicates differ by less than 1 %.
GPU_MARGIN = 0.05
# Points of top-1 that a reduced precision may lose against FP32 on the same images.
ACCURACY_TOLERANCE = 0.5
# What rounding on other hardware may move in an FP32 network: ten images of ten thousand.
REFERENCE_TOLERANCE = 0.1

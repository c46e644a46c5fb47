"""How exactly it is computed: casts, calibration, Q/DQ placement."""

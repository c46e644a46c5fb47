"""A case as one archive that another machine can measure: what it is made of, both sides' figures, and a script."""

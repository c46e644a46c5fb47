"""The history of runs on this machine: every judged run's figures in one local file, and what they show over time.

    from inferkit.gate.history.store import History

    history = History()                                     # $INFERKIT_CACHE/history.duckdb; or History("file.duckdb")
    for series in history.series("lenet-fp32-b1-onnxruntime", metric="latency", fingerprint=None, project=None):
        series.fingerprint, series.metric, series.project   # one series per kind of machine
        for point in series.points:                         # oldest first; `series.usable` leaves INVALID ones out
            point.run.date, point.run.commit, point.run.run_id, point.run.version, point.run.branch, point.run.dirty
            point.centre, point.values                      # seconds, bytes or percent: the median, each replicate's
            point.verdict, point.change, point.margin, point.reason
    history.runs(); history.fingerprints()                  # where runs came from; kinds of machines by slug

Metrics are those of `inferkit.gate.metrics`; `reference` is the reference network's latency, whose case is its
version. A file that does not exist yet reads as empty. HistoryError tells what is wrong with a file.

`summary` is what is kept of a run, `store` the file, `changes` finds change points (Apache Otava), `ratchet` compares
with a release and with 30 days ago.
"""

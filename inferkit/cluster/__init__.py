"""Many machines: datasets and cases spread over a Ray cluster, merged exactly, redone where a worker is lost."""

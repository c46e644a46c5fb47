"""The service view: dynamic batching, load scenarios, many GPUs."""

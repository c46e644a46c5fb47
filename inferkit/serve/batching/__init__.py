"""Dynamic batching: from single requests to batches, and back."""

"""The layers of a network: what they compute, how long they take, and how fast they could be."""

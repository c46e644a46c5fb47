"""What every layer of a network is, how long it takes, and how fast it could be."""

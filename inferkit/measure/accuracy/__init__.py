"""How much is right, and where two engines give different answers."""

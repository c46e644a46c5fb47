"""How right inferkit is: after the import, at every precision, and with networks that PyTorch exports."""

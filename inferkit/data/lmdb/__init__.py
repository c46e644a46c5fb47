"""Caffe's image databases: reads LMDB files as untrusted input, and writes them atomically."""

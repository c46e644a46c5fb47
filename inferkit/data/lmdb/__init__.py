"""Caffe's image databases: LMDB files read without trusting them, and written whole."""

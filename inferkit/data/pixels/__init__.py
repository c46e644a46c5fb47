"""Decodes and preprocesses images as Caffe does, from file bytes to a row of a batch."""

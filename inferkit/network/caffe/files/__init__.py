"""Caffe's files as they are stored: the prototxt as text, the caffemodel as bytes."""

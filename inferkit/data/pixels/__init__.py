"""From the bytes of an image to a row of a batch, as Caffe does it."""

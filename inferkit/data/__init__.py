"""What it is computed on: Caffe LMDB, preprocessing, labels, the embedded dataset."""

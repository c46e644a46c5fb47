"""The `caffe` backend: real PyCaffe 1.0, in this process or in a worker process."""

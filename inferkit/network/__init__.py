"""Networks: the Caffe import, ONNX files, and the zoo of well-known networks."""

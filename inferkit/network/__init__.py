"""What is computed: Caffe import, ONNX loading, the zoo of reference networks."""

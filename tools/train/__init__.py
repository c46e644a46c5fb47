"""What trains the embedded networks: real Caffe for lenet, torch for the other two."""

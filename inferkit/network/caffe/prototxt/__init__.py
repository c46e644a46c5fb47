"""What a prototxt defines: older forms upgraded, layers filtered, the inference part taken."""

"""Top-1 and top-5 of every trained network in matrix.toml, reduced precisions paired with FP32 image by image."""


def test_accuracy(inferkit_accuracy):
    inferkit_accuracy.check()

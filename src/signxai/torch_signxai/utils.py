"""Taking the softmax off a model's output: the import path of the original package."""

from signxai.engine.prediction import NoSoftmaxWrapper, predict, remove_softmax

__all__ = ["NoSoftmaxWrapper", "predict", "remove_softmax"]

"""The calls of the original TensorFlow package, for PyTorch models."""

from signxai.torch_signxai.relevance_maps import calculate_relevancemap, calculate_relevancemaps

__all__ = ["calculate_relevancemap", "calculate_relevancemaps"]

"""The one door: explain a model's decision by a method's name."""

from signxai.torch_signxai.explaining import explain, explain_all, register_method

__all__ = ["explain", "explain_all", "register_method"]

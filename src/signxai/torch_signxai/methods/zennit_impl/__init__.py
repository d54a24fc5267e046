"""The analyzers: one class for each family of methods."""

from signxai.torch_signxai.methods.zennit_impl.backprop import DeconvNetAnalyzer, GuidedBackpropAnalyzer
from signxai.torch_signxai.methods.zennit_impl.base import Analyzer
from signxai.torch_signxai.methods.zennit_impl.grad_cam import GradCAMAnalyzer, GuidedGradCAMAnalyzer
from signxai.torch_signxai.methods.zennit_impl.gradient import (
    GradientAnalyzer,
    GradientXInputAnalyzer,
    GradientXSignAnalyzer,
    IntegratedGradientsAnalyzer,
    RandomUniformAnalyzer,
    SmoothGradAnalyzer,
    VarGradAnalyzer,
)
from signxai.torch_signxai.methods.zennit_impl.lrp import (
    AdvancedLRPAnalyzer,
    DeepTaylorAnalyzer,
    LRPAnalyzer,
    LRPSequential,
    MethodLRPAnalyzer,
)

__all__ = [
    "AdvancedLRPAnalyzer",
    "Analyzer",
    "DeconvNetAnalyzer",
    "DeepTaylorAnalyzer",
    "GradCAMAnalyzer",
    "GradientAnalyzer",
    "GradientXInputAnalyzer",
    "GradientXSignAnalyzer",
    "GuidedBackpropAnalyzer",
    "GuidedGradCAMAnalyzer",
    "IntegratedGradientsAnalyzer",
    "LRPAnalyzer",
    "LRPSequential",
    "MethodLRPAnalyzer",
    "RandomUniformAnalyzer",
    "SmoothGradAnalyzer",
    "VarGradAnalyzer",
]

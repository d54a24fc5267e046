"""The analyzers: one class for each family of methods."""

from signxai.methods import rules as rules
from signxai.methods.analyzer import Analyzer
from signxai.methods.backprop import DeconvNetAnalyzer, GuidedBackpropAnalyzer
from signxai.methods.batch import Batch
from signxai.methods.cam import GradCAMAnalyzer, GuidedGradCAMAnalyzer
from signxai.methods.gradients import GradientAnalyzer, GradientXInputAnalyzer, GradientXSignAnalyzer, RandomUniformAnalyzer
from signxai.methods.lrp import (
    AdvancedLRPAnalyzer,
    DeepTaylorAnalyzer,
    LRPAnalyzer,
    LRPSequential,
    MethodLRPAnalyzer,
)
from signxai.methods.repeated import IntegratedGradientsAnalyzer, SmoothGradAnalyzer, VarGradAnalyzer

__all__ = [
    "AdvancedLRPAnalyzer",
    "Analyzer",
    "Batch",
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

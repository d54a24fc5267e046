"""Methods that change the backward pass of every ReLU, written as a module or as a function."""

from __future__ import annotations

from torch import Tensor

from signxai.engine.relu_backward import ReLUPass
from signxai.methods.analyzer import Analyzer
from signxai.methods.batch import Batch


class _ReLUAnalyzer(Analyzer):
    """Replaces the backward pass of ReLU, ReLU6 and their other spellings (clamp at 0, hardtanh from 0, threshold 0)."""

    is_one_backward_pass = True

    @staticmethod
    def relu_backward(gradient: Tensor, active: Tensor) -> Tensor:
        """What a ReLU hands back, from the gradient at its output and where it was active."""
        raise NotImplementedError

    def attribute(self, batch: Batch) -> Tensor:
        return batch.backward(ReLUPass(self.relu_backward))


class GuidedBackpropAnalyzer(_ReLUAnalyzer):
    """Guided backpropagation: a ReLU passes positive gradients where it was active (Springenberg et al. 2015).

    Raises:
        ModelError: if no ReLU is executed.
    """

    changes_model = False
    takes_several = True

    @staticmethod
    def relu_backward(gradient: Tensor, active: Tensor) -> Tensor:
        return gradient.clamp(min=0) * active


class DeconvNetAnalyzer(_ReLUAnalyzer):
    """DeconvNet: a ReLU passes positive gradients, wherever it was active (Zeiler and Fergus 2014).

    Raises:
        ModelError: if no ReLU is executed.
    """

    changes_model = False
    takes_several = True

    @staticmethod
    def relu_backward(gradient: Tensor, active: Tensor) -> Tensor:
        return gradient.clamp(min=0)

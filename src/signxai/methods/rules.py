"""LRP rules of linear layers (Linear, Conv1d to Conv3d and their transposes).

Each rule is one function from the relevance at a layer's output to that at its input. It is also a Zennit hook: it can
stand in any Zennit composite next to Zennit's own rules, and gives the same numbers where Zennit has the rule.
Notation: x input, w weight, b bias, z = w x + b output, R relevance; ``+`` and ``-`` mark positive and negative parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from zennit.core import Hook, RemovableHandle, RemovableHandleList

from signxai.common.errors import OptionError
from signxai.engine.layers import BlockProducts, Layer, LinearLayer, MappedLayer, WeightMap
from signxai.engine.linear_node import layer_of_module, rule_output
from signxai.engine.ops.activations import PassNode
from signxai.engine.samples import SamplesOf
from signxai.engine.stabilizer import Stabilizer, not_shared, one_signed_share, stabilized_share
from signxai.methods.sign import sign_about

ZeroParams: TypeAlias = "str | Iterable[str] | None"
"""Parameters that a rule takes for zero: "weight", "bias", or both."""


class LinearRule(Hook):  # type: ignore[misc]  # zennit is untyped
    """Base of all rules: subclasses say how relevance passes one linear layer, as a pure function.

    Args:
        zero_params: "weight", "bias" or a list of them: what the rule takes for zero, as Zennit's rules do.

    Raises:
        OptionError: if ``zero_params`` names anything else.
    """

    active: bool
    zero_params: tuple[str, ...] = ()
    looks_at_samples: bool = True
    """Whether the rule looks at each sample as a whole, by ``SamplesOf(x, layer.samples)``; a rule that says no spares finding out."""

    def __init__(self, zero_params: ZeroParams = None) -> None:
        super().__init__()
        names = (zero_params,) if isinstance(zero_params, str) else tuple(zero_params or ())
        if any(name not in ("weight", "bias") for name in names):
            raise OptionError(
                f"zero_params={zero_params!r} names what a linear layer does not have; give 'weight', 'bias' or a list of them"
            )
        if names:
            self.zero_params = names

    def relevance(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> Tensor:
        """Relevance at the input, in the shape of ``x``.

        Args:
            layer: the linear layer, with weight (out, in, ...) and bias (out,) or None.
            x: the layer's input (N, ...).
            z: the layer's output (N, ...), bias included.
            relevance: relevance at the output, in the shape of ``z``.
        """
        raise NotImplementedError

    def absorbed(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> tuple[float, float]:
        """How much of the relevance at the output the bias and the stabilizer take; for reports.

        The rest of what does not reach the input is lost elsewhere: at 0 / 0, or because a rule does not share (sign).
        """
        return 0.0, 0.0

    def _as_given(self, layer: Layer, x: Tensor, z: Tensor) -> tuple[Layer, Tensor]:
        """The layer without what ``zero_params`` leaves out, and its output."""
        if not self.zero_params:
            return layer, z
        layer = layer.without(*self.zero_params)
        return layer, layer.output(x, layer.weight, layer.bias)

    def copy(self) -> LinearRule:
        """A rule with the same parameters and no state of its own, as Zennit's composites need one for each module."""
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        Hook.__init__(copy)
        return copy

    def register(self, module: nn.Module) -> RemovableHandleList:
        """Carry out this rule in ``module``, a Linear, ConvNd or ConvTransposeNd, until the handle is removed.

        Raises:
            ModelError: if the module is of another type.
        """
        layer_of_module(module)
        hooks = module.register_forward_pre_hook(self._see_input), module.register_forward_hook(self._replace_output)
        return RemovableHandleList([RemovableHandle(self), *hooks])

    def _see_input(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Nothing: hooks in front of a module are where Zennit looks for the rules of a composite."""

    def _replace_output(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if not args[0].requires_grad:
            return None
        return rule_output(module, self, args[0], output)

    def __repr__(self) -> str:
        state = {name: value for name, value in vars(self).items() if name not in vars(Hook())}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in state.items())})"


class Epsilon(LinearRule):
    """LRP-epsilon: ``R_i = sum_j x_i w_ij / (z_j + e sign(z_j)) R_j`` (Bach et al. 2015, eq. 58).

    Args:
        epsilon: e >= 0, in the units of the layer's output, or a function from z to the denominator.
            0 is the z rule (LRP-0), where 0 / 0 is 0.

    >>> rule = Epsilon(0.25)
    >>> rule
    Epsilon(epsilon=0.25)
    """

    looks_at_samples = False

    def __init__(self, epsilon: Stabilizer = 1e-6, zero_params: ZeroParams = None) -> None:
        super().__init__(zero_params)
        self.epsilon = _checked("epsilon", epsilon)

    def relevance(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> Tensor:
        layer, z = self._as_given(layer, x, z)
        return layer.transposed_own(stabilized_share(relevance, z, self.epsilon), x).mul_(x)

    def absorbed(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> tuple[float, float]:
        layer, z = self._as_given(layer, x, z)
        return _absorbed(layer, layer.bias, relevance, z, stabilized_share(relevance, z, self.epsilon))


def _absorbed(layer: Layer, bias: Tensor | None, relevance: Tensor, output: Tensor, share: Tensor) -> tuple[float, float]:
    """What the bias in an output and the stabilizer beside it take, when the output has this share."""
    return layer.through_bias(share, bias), not_shared(relevance, output, share)


class Z(Epsilon):
    """LRP-z: ``R_i = sum_j x_i w_ij / z_j R_j``, where 0 / 0 is 0 (Bach et al. 2015, eq. 56)."""

    def __init__(self) -> None:
        super().__init__(0.0)


class StdxEpsilon(LinearRule):
    """LRP-epsilon with ``e = k std(x)``: k times the population standard deviation of the layer's input, per sample.

    Args:
        k: factor >= 0, without unit.

    Source: the rule ``lrp.stdxepsilon`` of the original SIGN package (Gumpfer et al. 2023).
    """

    def __init__(self, k: float = 0.25) -> None:
        super().__init__()
        self.k = _checked("k", k)

    def relevance(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> Tensor:
        return layer.transposed_own(stabilized_share(relevance, z, self._epsilon(layer, x, z)), x).mul_(x)

    def absorbed(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> tuple[float, float]:
        return _absorbed(layer, layer.bias, relevance, z, stabilized_share(relevance, z, self._epsilon(layer, x, z)))

    def _epsilon(self, layer: Layer, x: Tensor, z: Tensor) -> Tensor:
        samples = SamplesOf(x, layer.samples)
        return samples.spread(_standard_deviation(samples.flat()), z.ndim).mul(self.k)


def _standard_deviation(rows: Tensor) -> Tensor:
    """The population standard deviation of each sample (N,); in two passes, many times as fast on the CPU as ``Tensor.std``."""
    mean = rows.mean(dim=1, keepdim=True)
    if rows.shape[1] <= _LONG_ROW:
        norm = torch.linalg.vector_norm(rows - mean, dim=1)
    else:  # in pieces that stay in the cache
        norms = [torch.linalg.vector_norm(piece - mean, dim=1) for piece in torch.split(rows, _PIECE, dim=1)]
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    result: Tensor = norm / rows.shape[1] ** 0.5
    return result


_LONG_ROW, _PIECE = 1 << 19, 1 << 17


class Sign(LinearRule):
    """SIGN input rule: ``R_i = s_i sum_j w_ij R_j / z_j`` with s_i = +1 where x_i >= mu, else -1 (Gumpfer et al. 2023).

    Args:
        mu: threshold in the units of the layer's input.
        stabilizer: added to z with its sign; 0: exact, where 0 / 0 is 0.
    """

    looks_at_samples = False

    def __init__(self, mu: float = 0.0, stabilizer: Stabilizer = 1e-6) -> None:
        super().__init__()
        self.mu = float(mu)
        self.stabilizer = _checked("stabilizer", stabilizer)

    def relevance(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> Tensor:
        share = stabilized_share(relevance, z, self.stabilizer)
        return layer.transposed_own(share, x).mul_(sign_about(x, self.mu))


class _Signs:
    """A layer's input split by sign, for weights that differ for positive and negative inputs; without negative inputs, whole."""

    def __init__(self, layer: Layer, x: Tensor) -> None:
        self.layer = layer
        has_negative = x.numel() > 0 and x.amin().item() < 0  # compared in Python: one operation of torch less
        self.x_pos = x.clamp(min=0) if has_negative else x
        self.x_neg = x.clamp(max=0) if has_negative else None

    def weights(self, for_pos: WeightMap, for_neg: WeightMap) -> tuple[MappedLayer, MappedLayer | None]:
        """The layer for the positive and that for the negative inputs."""
        return self.layer.mapped(for_pos), None if self.x_neg is None else self.layer.mapped(for_neg)

    def output(self, weights: tuple[MappedLayer, MappedLayer | None], bias: Tensor | None) -> Tensor:
        """The output of both together."""
        result = weights[0].output(self.x_pos, bias)
        return result if self.x_neg is None or weights[1] is None else result.add_(weights[1].output(self.x_neg, None))

    def relevance(self, share: Tensor, weights: tuple[MappedLayer, MappedLayer | None]) -> Tensor:
        """Each input times the transposed weight that stands for its sign."""
        result = weights[0].transposed(share, self.x_pos).mul_(self.x_pos)
        if self.x_neg is None or weights[1] is None:
            return result
        return result.add_(weights[1].transposed(share, self.x_neg).mul_(self.x_neg))


def _positive(weight: Tensor) -> Tensor:
    return weight.clamp(min=0)


def _negative(weight: Tensor) -> Tensor:
    return weight.clamp(max=0)


def _mapped_bias(bias: Tensor | None, bias_map: WeightMap) -> Tensor | None:
    return None if bias is None else bias_map(bias)


class AlphaBeta(LinearRule):
    """LRP-alpha-beta: alpha times the positive shares less beta times the negative ones (Bach et al. 2015, eq. 60).

    ``R_i = sum_j (alpha (x_i w_ij)+ / (sum_i (x_i w_ij)+ + b_j+) - beta (x_i w_ij)- / (sum_i (x_i w_ij)- + b_j-)) R_j``

    Args:
        alpha: weight of the positive shares, >= 0.
        beta: weight of the negative shares, >= 0, with alpha - beta = 1.
        stabilizer: added to both denominators with their sign; 0: exact, where 0 / 0 is 0.

    Raises:
        OptionError: if alpha or beta is negative or their difference is not 1.
    """

    looks_at_samples = False

    def __init__(self, alpha: float = 2.0, beta: float = 1.0, stabilizer: Stabilizer = 1e-6, zero_params: ZeroParams = None) -> None:
        super().__init__(zero_params)
        if alpha < 0 or beta < 0 or abs(alpha - beta - 1) > 1e-9:
            raise OptionError(f"alpha={alpha}, beta={beta}: both must be at least 0 and alpha - beta must be 1, for example 2 and 1")
        self.alpha = float(alpha)
        self.beta = float(beta)
        self.stabilizer = _checked("stabilizer", stabilizer)

    def relevance(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> Tensor:
        layer = layer.without(*self.zero_params)
        signs = _Signs(layer, x)
        if self.beta != 0 and signs.x_neg is None and isinstance(layer, LinearLayer) and layer.runs_in_blocks():
            return self._by_blocks(layer, x, relevance)
        result = self._part(signs, relevance, +1, _positive, _negative)
        result = result if self.alpha == 1 else result.mul_(self.alpha)
        if self.beta == 0:
            return result
        return result.sub_(self._part(signs, relevance, -1, _negative, _positive), alpha=self.beta)

    def absorbed(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> tuple[float, float]:
        layer = layer.without(*self.zero_params)
        signs, total = _Signs(layer, x), [0.0, 0.0]
        for factor, sign, for_pos, for_neg in ((self.alpha, +1, _positive, _negative), (-self.beta, -1, _negative, _positive)):
            bias = _mapped_bias(layer.bias, for_pos)
            output = signs.output(signs.weights(for_pos, for_neg), bias)
            share = one_signed_share(relevance, output.clone(), sign, self.stabilizer)
            by_bias, by_stabilizer = _absorbed(layer, bias, relevance, output, share)
            total = [total[0] + factor * by_bias, total[1] + factor * by_stabilizer]
        return total[0], total[1]

    def _by_blocks(self, layer: LinearLayer, x: Tensor, relevance: Tensor) -> Tensor:
        """Both parts at once for inputs >= 0 and a large matrix, which is read from memory but once for both."""
        vectors = x.reshape(-1, x.shape[-1])
        products = BlockProducts(layer.weight, len(vectors))
        outputs = [[products.output(vectors, part) for part in parts] for _, *parts in layer.signed_blocks()]
        shares = []
        for blocks, sign, bias_map in zip(zip(*outputs, strict=True), (+1, -1), (_positive, _negative), strict=True):
            output, bias = torch.cat(blocks, dim=1), _mapped_bias(layer.bias, bias_map)
            output = output if bias is None else output.add_(bias)
            shares.append(one_signed_share(relevance.reshape(output.shape), output, sign, self.stabilizer))
        to_positive, to_negative = shares[0].mul_(self.alpha), shares[1].mul_(-self.beta)
        for rows, positive, negative in layer.signed_blocks():
            products.add_transposed(to_positive[:, rows], positive)
            products.add_transposed(to_negative[:, rows], negative)
        return products.transposed().view(x.shape).mul_(x)

    def _part(self, signs: _Signs, relevance: Tensor, sign: int, for_pos: WeightMap, for_neg: WeightMap) -> Tensor:
        """The relevance that contributions of one sign get."""
        weights = signs.weights(for_pos, for_neg)
        output = signs.output(weights, _mapped_bias(signs.layer.bias, for_pos))
        return signs.relevance(one_signed_share(relevance, output, sign, self.stabilizer), weights)


class ZPlus(AlphaBeta):
    """LRP-z+: only positive shares count, ``alpha_1_beta_0`` (Montavon et al. 2017).

    Args:
        stabilizer: added to the denominator with its sign; 0: exact, where 0 / 0 is 0.
    """

    def __init__(self, stabilizer: Stabilizer = 1e-6, zero_params: ZeroParams = None) -> None:
        super().__init__(alpha=1.0, beta=0.0, stabilizer=stabilizer, zero_params=zero_params)


class Gamma(LinearRule):
    """Generalized LRP-gamma: the shares of the output's own sign are favoured (Montavon et al. 2019, Andeol et al. 2021).

    For z_j > 0: ``R_i = sum_j x_i (w_ij + g w_ij^p) / z_j^p R_j``, where w^p is the part of w for which x w > 0 and z^p is the
    output with that weight and with the bias b + g b+; mirrored for z_j < 0; no relevance passes where z_j = 0.

    Args:
        gamma: g >= 0, without unit.
        stabilizer: added to the denominators with their sign; 0: exact, where 0 / 0 is 0.
    """

    looks_at_samples = False

    def __init__(self, gamma: float = 0.25, stabilizer: Stabilizer = 1e-6, zero_params: ZeroParams = None) -> None:
        super().__init__(zero_params)
        self.gamma = _checked("gamma", gamma)
        self.stabilizer = _checked("stabilizer", stabilizer)

    def relevance(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> Tensor:
        signs = _Signs(layer.without(*self.zero_params), x)
        result = self._part(signs, relevance, z > 0, self._raise_positive, self._raise_negative)
        return result.add_(self._part(signs, relevance, z < 0, self._raise_negative, self._raise_positive))

    def absorbed(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> tuple[float, float]:
        layer = layer.without(*self.zero_params)
        signs, total = _Signs(layer, x), [0.0, 0.0]
        for where, for_pos, for_neg in (
            (z > 0, self._raise_positive, self._raise_negative),
            (z < 0, self._raise_negative, self._raise_positive),
        ):
            bias = _mapped_bias(layer.bias, for_pos)
            output = signs.output(signs.weights(for_pos, for_neg), bias)
            share = stabilized_share(relevance, output, self.stabilizer).mul_(where)
            by_bias, by_stabilizer = _absorbed(layer, bias, relevance, output, share)
            total = [total[0] + by_bias, total[1] + by_stabilizer]
        return total[0], total[1]

    def _part(self, signs: _Signs, relevance: Tensor, where: Tensor, for_pos: WeightMap, for_neg: WeightMap) -> Tensor:
        """The relevance of the outputs ``where`` z has one sign."""
        weights = signs.weights(for_pos, for_neg)
        output = signs.output(weights, _mapped_bias(signs.layer.bias, for_pos))
        return signs.relevance(stabilized_share(relevance, output, self.stabilizer).mul_(where), weights)

    def _raise_positive(self, weight: Tensor) -> Tensor:
        return torch.add(weight, weight.clamp(min=0), alpha=self.gamma)

    def _raise_negative(self, weight: Tensor) -> Tensor:
        return torch.add(weight, weight.clamp(max=0), alpha=self.gamma)


class WSquare(LinearRule):
    """w^2 rule: shares by squared weights, whatever the input; the squared bias takes its own (Montavon et al. 2017).

    Args:
        stabilizer: added to the denominator; 0: exact, where 0 / 0 is 0.
        zero_params: "bias" leaves the bias out, as the method name ``wsquare`` does.
    """

    looks_at_samples = False

    def __init__(self, stabilizer: Stabilizer = 1e-6, zero_params: ZeroParams = None) -> None:
        super().__init__(zero_params)
        self.stabilizer = _checked("stabilizer", stabilizer)

    def relevance(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> Tensor:
        weights, _, total = self._parts(layer, x)
        return weights.transposed(stabilized_share(relevance, total, self.stabilizer), x)

    def absorbed(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> tuple[float, float]:
        _, bias, total = self._parts(layer, x)
        share = stabilized_share(relevance, total, self.stabilizer)
        return layer.through_bias(share, bias), not_shared(relevance, total, share)

    def _parts(self, layer: Layer, x: Tensor) -> tuple[MappedLayer, Tensor | None, Tensor]:
        """The weights and the bias that share, and the sum of both for each output."""
        layer = layer.without(*self.zero_params)
        weights, bias = layer.mapped(self._shares_of), _mapped_bias(layer.bias, self._shares_of)
        return weights, bias, weights.output(_ones_for_one(x), bias)

    def _shares_of(self, weight: Tensor) -> Tensor:
        return weight.square()


class WSquareWithoutBias(WSquare):
    """The w^2 rule of the method name ``wsquare``: the bias takes nothing.

    Args:
        stabilizer: added to the denominator; 0: exact, where 0 / 0 is 0.
    """

    def __init__(self, stabilizer: Stabilizer = 1e-6) -> None:
        super().__init__(stabilizer, zero_params="bias")


class Flat(WSquare):
    """Flat rule: each input that a neuron reads gets the same share (Lapuschkin et al. 2019).

    Args:
        stabilizer: added to the denominator; 0: exact, where 0 / 0 is 0.
        zero_params: as for ``LinearRule``; the bias takes nothing in any case.
    """

    def __init__(self, stabilizer: Stabilizer = 1e-6, zero_params: ZeroParams = None) -> None:
        names = (zero_params,) if isinstance(zero_params, str) else tuple(zero_params or ())
        super().__init__(stabilizer, zero_params=dict.fromkeys((*names, "bias")))

    def _parts(self, layer: Layer, x: Tensor) -> tuple[MappedLayer, Tensor | None, Tensor]:
        weights = layer.mapped(torch.zeros_like if "weight" in self.zero_params else torch.ones_like)
        return weights, None, weights.output(_ones_for_one(x), None)


class ZBox(LinearRule):
    """z^B rule for inputs within bounds: ``(x - low) w+ + (x - high) w-`` in place of ``x w`` (Montavon et al. 2017).

    Args:
        low: lowest input value: a number, a tensor that broadcasts to the layer's input (N, ...), or None for each
            sample's own minimum.
        high: highest input value, likewise; None for each sample's own maximum.
        stabilizer: added to the denominator with its sign; 0: exact, where 0 / 0 is 0.

    Raises:
        OptionError: if low is not below high.
    """

    def __init__(
        self,
        low: float | Tensor | None = None,
        high: float | Tensor | None = None,
        stabilizer: Stabilizer = 1e-6,
        zero_params: ZeroParams = None,
    ) -> None:
        super().__init__(zero_params)
        if low is not None and high is not None and bool((_limit(low) > _limit(high)).any()):
            raise OptionError(f"low={low} is above high={high}; give the lowest and the highest value that an input can take")
        self.low = low
        self.high = high
        self.stabilizer = _checked("stabilizer", stabilizer)

    def relevance(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> Tensor:
        layer = layer.without(*self.zero_params)
        above, below, total = self._distances(layer, x)
        share = stabilized_share(relevance, total, self.stabilizer)
        result = layer.mapped(_positive).transposed(share, x).mul_(above)
        return result.add_(layer.mapped(_negative).transposed(share, x).mul_(below))

    def absorbed(self, layer: Layer, x: Tensor, z: Tensor, relevance: Tensor) -> tuple[float, float]:
        total = self._distances(layer.without(*self.zero_params), x)[2]
        return 0.0, not_shared(relevance, total, stabilized_share(relevance, total, self.stabilizer))

    def _distances(self, layer: Layer, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How far the input is from its bounds, and ``w+ (x - low) + w- (x - high)``: of terms that do not cancel, so that 0 is 0."""
        above = x - _bound(self.low, layer, x, torch.amin)
        below = x - _bound(self.high, layer, x, torch.amax)
        return above, below, layer.mapped(_positive).output(above, None).add_(layer.mapped(_negative).output(below, None))


class Pass(Hook):  # type: ignore[misc]  # zennit is untyped
    """Pass-through of an elementwise activation: relevance at its output is relevance at its input.

    For composites; under a method name every activation has this rule already.
    """

    active: bool

    def copy(self) -> Pass:
        return type(self)()

    def register(self, module: nn.Module) -> RemovableHandleList:
        """Carry out this rule in ``module``, any elementwise activation, until the handle is removed."""
        hooks = module.register_forward_pre_hook(self._set_input_aside), module.register_forward_hook(self._tie_to_input)
        return RemovableHandleList([RemovableHandle(self), *hooks])

    def _set_input_aside(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Let the module work on a copy, since it may do so in place."""
        if not self.active or not args[0].requires_grad:
            return None
        self.stored_tensors["input"] = args[0]
        return args[0].detach().clone(), *args[1:]

    def _tie_to_input(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        x = self.stored_tensors.pop("input", None)
        if x is None:
            return None
        result: Tensor = PassNode.apply(x, lambda _: output.detach())
        return result


def _limit(value: float | Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value, device="cpu")


def _ones_for_one(x: Tensor) -> Tensor:
    """Ones in the shape of one row of a layer's input; a vector is one row as a whole."""
    return torch.ones_like(x[:1] if x.ndim > 1 else x)


def _bound(value: float | Tensor | None, layer: Layer, x: Tensor, extreme: Callable[..., Tensor]) -> Tensor:
    """A bound of the input box in the shape of a layer's input; None: each sample's own extreme."""
    if value is None and not x.numel():
        return x  # an expert that got no tokens
    if value is None:
        samples = SamplesOf(x, layer.samples)
        return samples.spread(extreme(samples.flat(), dim=1), x.ndim).expand_as(x)
    bound = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    try:
        return bound.expand_as(x)
    except RuntimeError as error:
        raise OptionError(
            f"a bound of shape {tuple(bound.shape)} does not fit the first layer's input {tuple(x.shape)}; give a number, "
            "or a tensor that broadcasts to it, for example (1, C, 1, 1) for a convolution, also for one of Keras"
        ) from error


def _checked(name: str, value: Any) -> Any:
    """A stabilizer or a non-negative factor, as it may be given."""
    if callable(value):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise OptionError(f"{name}={value!r} must be a finite number of at least 0")
    return float(value)


__all__ = [
    "AlphaBeta",
    "Epsilon",
    "Flat",
    "Gamma",
    "LinearRule",
    "Pass",
    "Sign",
    "StdxEpsilon",
    "WSquare",
    "WSquareWithoutBias",
    "Z",
    "ZBox",
    "ZPlus",
]

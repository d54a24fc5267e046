"""Whether a model is exactly as it was."""

import torch
from torch import nn

HOOKS = [name for name in vars(nn.Module()) if "hook" in name]


def state(model):
    """All that must stay: parameters and buffers by name, identity, value, gradient; flags; hooks; attributes."""
    seen = {}
    for path, module in model.named_modules(remove_duplicate=False):
        seen[path] = {
            "type": type(module),
            "training": module.training,
            "inplace": getattr(module, "inplace", None),
            "attributes": [(key, id(value)) for key, value in vars(module).items() if key != "training"],
            "hooks": {name: list(getattr(module, name).items()) for name in HOOKS if hasattr(getattr(module, name), "items")},
            "forward": module.forward,
            "children": [(key, id(child)) for key, child in module._modules.items()],
            "parameters": [(key, id(p)) for key, p in module._parameters.items()],
            "buffers": [(key, id(b)) for key, b in module._buffers.items()],
        }
    tensors = {
        key: (
            value.data_ptr(),
            value._version,
            value.requires_grad,
            value.grad if value.grad is None else value.grad.clone(),
            value.clone(),
        )
        for key, value in [*model.named_parameters(), *model.named_buffers()]
    }
    return seen, list(model.state_dict()), tensors


def assert_untouched(model, before):
    seen, keys, tensors = before
    seen_now, keys_now, tensors_now = state(model)
    assert seen_now == seen
    assert keys_now == keys
    assert tensors_now.keys() == tensors.keys()
    for key, (pointer, version, needs, grad, value) in tensors.items():
        now = tensors_now[key]
        assert now[:3] == (pointer, version, needs), key
        assert torch.equal(now[4], value), key
        assert (now[3] is None) == (grad is None), key
        assert grad is None or torch.equal(now[3], grad), key
